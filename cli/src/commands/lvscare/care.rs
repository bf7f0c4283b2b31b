//! `sealer lvscare care`: keep the rules of a virtual address pointing at healthy servers.

use clap::Args;
use sealer_core::Error;
use sealer_core::lvscare::daemon::clean;

use super::arguments::CareArguments;
use super::life::{begin_anew, keep};
use crate::exit::Failure;
use crate::settings::Session;

/// Keep the rules of a virtual address pointing at healthy servers
///
/// Runs until stopped and leaves the rules as they are. Prints one line for each change and nothing else.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer lvscare care --vs 10.103.97.2:6443 --rs 192.168.0.2:6443 --rs 192.168.0.3:6443 --health-ca /etc/kubernetes/pki/ca.crt\n  sealer lvscare care --config /etc/sealer/lvscare.json"
)]
pub(super) struct Care {
    #[command(flatten)]
    wanted: CareArguments,
    /// Take away what is there before anything else
    #[arg(long)]
    clean: bool,
    /// Take away what is there and end
    #[arg(short = 'C', long, requires = "vs")]
    clean_and_exit: bool,
    /// Check once, put the rules right, end
    #[arg(long)]
    run_once: bool,
}

impl Care {
    pub(super) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        if let (true, Some(vs)) = (self.clean_and_exit, self.wanted.vs) {
            return Ok(clean(&self.wanted.place.clean_request(vs)).await.map_err(Error::from)?);
        }
        for note in self.wanted.notes() {
            session.printer.note(note);
        }
        let mut request = self.wanted.care_request()?;
        (request.clean, request.once) = (self.clean, self.run_once);
        if session.is_whole && !self.run_once {
            begin_anew(&request, &session.printer);
        }
        keep(&request, &session.printer).await
    }
}
