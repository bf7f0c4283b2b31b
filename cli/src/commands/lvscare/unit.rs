//! `sealer lvscare unit`: a systemd unit that runs `sealer lvscare care`.

use clap::Args;
use sealer_core::{Error, lvscare};

use super::arguments::CareArguments;
use crate::exit::Failure;
use crate::settings::Session;

/// Print a systemd unit that cares
///
/// It starts `sealer lvscare care` with the same options at each start of this machine, restarts it when it ends or no
/// longer works, and gives it no right but that to administrate the network.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer lvscare unit --config /etc/sealer/lvscare.json > /etc/systemd/system/sealer-lvscare.service\n  sealer lvscare unit --vs 10.103.97.2:6443 --rs 192.168.0.2:6443 --health-schem tcp"
)]
pub(super) struct Unit {
    #[command(flatten)]
    wanted: CareArguments,
    /// Unit that needs the virtual address and starts later (may be repeated); `.service` need not be written
    #[arg(long, value_name = "UNIT")]
    before: Vec<String>,
}

impl Unit {
    pub(super) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let wanted = self.wanted.with_absolute_paths()?;
        let unit = lvscare::Unit {
            service: wanted.care_request()?.config.read().map_err(Error::from)?.vs.to_string(),
            program: std::env::current_exe()?,
            arguments: wanted.words(),
            reads: wanted.reads(),
            writes: wanted.writes(),
            modules: wanted.place.modules(),
            before: self.before.iter().map(|name| unit_name(name)).collect::<Result<_, _>>()?,
        };
        session.printer.raw(unit.to_text().as_bytes())
    }
}

/// The whole name of a unit, as `systemctl` completes it; systemd ignores a dependency on half a name.
fn unit_name(name: &str) -> Result<String, Failure> {
    const KINDS: [&str; 11] =
        ["service", "socket", "target", "device", "mount", "automount", "swap", "timer", "path", "slice", "scope"];
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ":-_.\\@".contains(letter);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Failure::Usage(format!("--before {name}: expected the name of a unit, such as kubelet.service")));
    }
    let is_whole = name.rsplit_once('.').is_some_and(|(_, kind)| KINDS.contains(&kind));
    Ok(if is_whole { name.to_owned() } else { format!("{name}.service") })
}
