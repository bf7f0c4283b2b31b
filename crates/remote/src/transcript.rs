//! A host in memory: files, answers to commands that were set before, and a record of all calls.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Command, Output, Remote, Session};
use crate::Error;

/// A host that is not there. What no answer fits succeeds and says nothing.
#[derive(Debug)]
pub struct Transcript {
    address: IpAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    answers: Vec<Answer>,
    calls: Vec<Call>,
    files: BTreeMap<String, (u32, Vec<u8>)>,
}

/// What to say to a command.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The answer fits commands whose script or standard input contains this text.
    pub part: String,
    /// How long the command takes.
    pub takes: Duration,
    /// How it ends.
    pub output: Output,
    /// Whether it is given only to the first command that it fits.
    pub once: bool,
}

/// What was asked of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A command was run, with this script and standard input.
    Run(String, String),
    /// A file was written or uploaded.
    Write(String),
    /// A file was read.
    Read(String),
}

impl Transcript {
    /// A host that says yes to everything.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self { address, state: Arc::default() }
    }

    /// Adds an answer; the first that fits is given.
    #[must_use]
    pub fn with(self, answer: Answer) -> Self {
        self.state().answers.push(answer);
        self
    }

    /// Adds an answer that ends with `code` at once.
    #[must_use]
    pub fn answering(self, part: &str, code: i32, stdout: &str, stderr: &str) -> Self {
        self.with(Answer { part: part.to_owned(), output: exit(code, stdout, stderr), ..Answer::default() })
    }

    /// Everything asked so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Whether a command was run whose script or standard input contains `part`.
    #[must_use]
    pub fn ran(&self, part: &str) -> bool {
        self.calls()
            .iter()
            .any(|call| matches!(call, Call::Run(script, stdin) if script.contains(part) || stdin.contains(part)))
    }

    /// A file as written, with its mode.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<(u32, Vec<u8>)> {
        self.state().files.get(path).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn put(&self, path: &str, mode: u32, content: Vec<u8>) -> Result<(), Error> {
        if !path.starts_with('/') || path.ends_with('/') {
            return Err(Error::RemotePath { path: path.to_owned() });
        }
        let mut state = self.state();
        state.calls.push(Call::Write(path.to_owned()));
        let directory = format!("{path}/");
        if state.files.keys().any(|other| other.starts_with(&directory)) {
            let detail = "it is a directory".to_owned();
            return Err(Error::File { host: self.address, act: "write", path: path.to_owned(), detail });
        }
        state.files.insert(path.to_owned(), (mode, content));
        Ok(())
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// The answer to a command, which is remembered.
    fn answer(&mut self, script: &str, stdin: &[u8]) -> Answer {
        let stdin = String::from_utf8_lossy(stdin).into_owned();
        let fits = |answer: &Answer| script.contains(&answer.part) || stdin.contains(&answer.part);
        let found = self.answers.iter().position(fits);
        let answer = match found {
            Some(index) if self.answers[index].once => self.answers.remove(index),
            Some(index) => self.answers[index].clone(),
            None => Answer { output: exit(0, "", ""), ..Answer::default() },
        };
        self.calls.push(Call::Run(script.to_owned(), stdin));
        answer
    }
}

/// An end with an exit code.
#[must_use]
pub fn exit(code: i32, stdout: &str, stderr: &str) -> Output {
    Output::exited(code, stdout, stderr)
}

#[async_trait]
impl Remote for Transcript {
    fn address(&self) -> IpAddr {
        self.address
    }

    async fn run(&self, command: &Command) -> Result<Output, Error> {
        let answer = self.state().answer(&command.script, command.stdin.as_deref().unwrap_or_default());
        tokio::time::sleep(answer.takes).await;
        Ok(answer.output)
    }

    async fn stream(&self, command: &Command) -> Result<Session, Error> {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let (mut reader, mut writer) = tokio::io::split(theirs);
        let mut stdin = command.stdin.clone().unwrap_or_default();
        let (state, script) = (self.state.clone(), command.script.clone());
        let end = tokio::spawn(async move {
            // The answer depends on all of the input, which therefore must have an end.
            let _ = reader.read_to_end(&mut stdin).await;
            let answer = lock(&state).answer(&script, &stdin);
            tokio::time::sleep(answer.takes).await;
            let _ = writer.write_all(&answer.output.stdout).await;
            let _ = writer.shutdown().await;
            Ok(answer.output)
        });
        Ok(Session::new(ours, end))
    }

    async fn write(&self, path: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
        self.put(path, mode, content.to_vec())
    }

    async fn upload(
        &self,
        local: &Path,
        remote: &str,
        mode: u32,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Error> {
        let failed = |source| Error::LocalFile { path: local.to_owned(), source };
        let content = tokio::fs::read(local).await.map_err(failed)?;
        if self.state().files.get(remote).is_some_and(|file| *file == (mode, content.clone())) {
            return Ok(0);
        }
        let sent = content.len() as u64;
        self.put(remote, mode, content)?;
        progress(sent);
        Ok(sent)
    }

    async fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let mut state = self.state();
        state.calls.push(Call::Read(path.to_owned()));
        match state.files.get(path) {
            Some((_, content)) if content.len() as u64 > limit => {
                Err(Error::FileTooLarge { host: self.address, path: path.to_owned(), limit })
            }
            Some((_, content)) => Ok(Some(content.clone())),
            None => Ok(None),
        }
    }
}
