//! `sealer version` and `sealer completion`: what this program is, and how shells complete it.

use clap::Args;

use crate::exit::Failure;
use crate::settings::Session;

/// Print the version
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer version\n  sealer version --short")]
pub(crate) struct Version {
    /// Only the number
    #[arg(long)]
    short: bool,
}

impl Version {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let version = env!("CARGO_PKG_VERSION");
        let line = if self.short {
            version.to_owned()
        } else {
            format!("sealer {version} {}/{}", std::env::consts::OS, std::env::consts::ARCH)
        };
        session.printer.done(
            &line,
            &serde_json::json!({ "version": version, "os": std::env::consts::OS, "arch": std::env::consts::ARCH }),
        )
    }
}

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer completion bash > /etc/bash_completion.d/sealer\n  sealer completion zsh > ~/.zfunc/_sealer"
)]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl Completion {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::command(), "sealer", &mut script);
        session.printer.raw(&script)
    }
}
