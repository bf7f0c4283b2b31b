//! A fake sandbox for tests that follows a script instead of running anything.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Ended, OutputLine, Sandbox, SandboxRun};
use crate::builder::command_text;
use crate::error::{Error, Result};
use crate::platform::Platform;

/// Something that a scripted command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Writes a file below the rootfs, with its parents.
    Write(PathBuf, Vec<u8>),
    /// Prints a line on standard output.
    Print(String),
    /// Prints a line on standard error.
    Complain(String),
    /// Prints `NAME=VALUE` of a variable of its environment.
    PrintVariable(String),
    /// Never ends.
    Hang,
    /// Ends with this exit code.
    Exit(i32),
}

/// Knows some commands by their text; every other one fails with exit code 127.
#[derive(Debug, Default)]
pub struct ScriptedSandbox {
    commands: BTreeMap<String, Vec<Act>>,
    runs: Mutex<Vec<String>>,
    emulated: Vec<Platform>,
}

impl ScriptedSandbox {
    /// A sandbox that knows these commands.
    pub fn new(commands: impl IntoIterator<Item = (String, Vec<Act>)>) -> Self {
        Self { commands: commands.into_iter().collect(), runs: Mutex::default(), emulated: Vec::new() }
    }

    /// The same that can enter an operating system for this platform.
    #[must_use]
    pub fn with_emulated(mut self, platform: Platform) -> Self {
        self.emulated.push(platform);
        self
    }

    /// The commands that were run, in order.
    pub fn runs(&self) -> Vec<String> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Sandbox for ScriptedSandbox {
    fn identity(&self) -> String {
        "scripted".to_owned()
    }

    fn obstacle(&self) -> Option<String> {
        None
    }

    fn foreign_obstacle(&self, platform: &Platform) -> Option<String> {
        (!self.emulated.contains(platform)).then(|| "it is scripted so".to_owned())
    }

    async fn run(&self, run: SandboxRun, output: mpsc::Sender<OutputLine>) -> Result<Ended> {
        let text = command_text(&run.command);
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).push(text.clone());
        let Some(acts) = self.commands.get(&text) else { return Ok(Ended::Exited(127)) };
        for act in acts {
            let line = match act {
                Act::Write(path, bytes) => {
                    let path = run.upper.join(path);
                    let parent = path.parent().map_or(Ok(()), std::fs::create_dir_all);
                    parent.and_then(|()| std::fs::write(&path, bytes)).map_err(Error::file("write", &path))?;
                    continue;
                }
                Act::Hang => {
                    std::future::pending::<()>().await;
                    continue;
                }
                Act::Exit(code) => return Ok(Ended::Exited(*code)),
                Act::Print(text) => OutputLine { is_error: false, text: text.clone() },
                Act::Complain(text) => OutputLine { is_error: true, text: text.clone() },
                Act::PrintVariable(name) => {
                    let value = run.environment.get(name).map_or("", String::as_str);
                    OutputLine { is_error: false, text: format!("{name}={value}") }
                }
            };
            // Nobody listens any more: the line is lost, as with a closed pipe.
            let _ = output.send(line).await;
        }
        Ok(Ended::Exited(0))
    }
}
