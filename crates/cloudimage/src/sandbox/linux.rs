//! How does RUN use this machine's tools without changing this machine?

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Ended, OutputLine, Sandbox, SandboxRun};
use crate::error::{Error, Result};

/// Linux namespaces over an overlay; needs root.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinuxSandbox;

#[async_trait]
impl Sandbox for LinuxSandbox {
    fn identity(&self) -> String {
        "linux 1".to_owned()
    }

    fn obstacle(&self) -> Option<String> {
        (!rustix::process::geteuid().is_root()).then(|| "mounting needs root".to_owned())
    }

    async fn run(&self, _: SandboxRun, _: mpsc::Sender<OutputLine>) -> Result<Ended> {
        Err(Error::Sandbox { act: "run commands: this is not built yet".to_owned(), source: std::io::ErrorKind::Unsupported.into() })
    }
}
