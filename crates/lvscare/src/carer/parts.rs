//! Which dataplane, addressing and probe does a carer work with?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::{HealthConfig, HealthScheme};
use super::watch;
use crate::{
    AddressingMode, Dataplane, DataplaneKind, Error, HttpCheck, HttpProbe, Probe, Result, Scheduler, TcpProbe,
    TlsCheck, Trust, Vip, detect,
};

/// How the virtual address is kept usable; `socket` is that of the carer.
pub(super) fn addressing(mode: &AddressingMode, dataplane: &dyn Dataplane, socket: &Path) -> Vip {
    Vip::new(mode.clone(), settings_record(socket)).with_settings_for(dataplane)
}

/// The dataplanes of this kernel that rules may be in.
///
/// # Errors
/// When one is there and cannot be used, or the one that was asked for is not there.
pub(super) async fn dataplanes(kind: DataplaneKind) -> Result<Vec<Arc<dyn Dataplane>>> {
    if kind != DataplaneKind::Auto {
        return Ok(vec![detect(kind, Scheduler::default()).await?]);
    }
    let mut found = Vec::new();
    for kind in [DataplaneKind::Ipvs, DataplaneKind::Nftables] {
        match detect(kind, Scheduler::default()).await {
            Ok(dataplane) => found.push(dataplane),
            Err(Error::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The probe of a configuration; reads the authorities' certificates.
///
/// # Errors
/// When they cannot be read, or the check makes no sense.
pub(super) fn probe(health: &HealthConfig) -> Result<Arc<dyn Probe>> {
    let check = match health.scheme {
        HealthScheme::Tcp => return Ok(Arc::new(TcpProbe::new())),
        HealthScheme::Http => HttpCheck::http(),
        HealthScheme::Https => {
            let trust = match &health.ca {
                _ if health.insecure_skip_verify => Trust::SkipVerify,
                Some(path) => Trust::Authorities(watch::read(path)?.into_bytes()),
                // An empty list of authorities is refused with the reason.
                None => Trust::Authorities(Vec::new()),
            };
            HttpCheck::https(TlsCheck { trust, server_name: health.server_name.clone(), client: None })
        }
    };
    let mut status = check.status.clone();
    status.extend(health.status.iter().map(|code| *code..=*code));
    let check = HttpCheck {
        method: health.method.clone(),
        path: health.path.clone(),
        headers: health.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        body: health.body.clone().into_bytes(),
        status,
        hedge_after: check.hedge_after.min(health.timeout / 2),
        ..check
    };
    Ok(Arc::new(HttpProbe::new(check)?))
}

/// The file that keeps kernel settings as they were before.
fn settings_record(socket: &Path) -> PathBuf {
    socket.with_extension("settings")
}

#[cfg(test)]
mod tests {
    use super::super::CareConfig;
    use super::*;

    #[test]
    fn a_probe_needs_certificates_that_can_be_read() {
        let mut health = CareConfig::new("10.1.1.1:1".parse().unwrap(), Vec::new()).health;
        health.ca = Some(PathBuf::from("/nowhere/ca.crt"));
        assert_eq!(probe(&health).unwrap_err().to_string(), "cannot read /nowhere/ca.crt");
        health.ca = None;
        assert!(matches!(probe(&health).unwrap_err(), Error::Check { .. }));
        health.insecure_skip_verify = true;
        probe(&health).unwrap();
        health.scheme = HealthScheme::Http;
        health.method = "GET /".to_owned();
        assert!(matches!(probe(&health).unwrap_err(), Error::Check { .. }));
    }

    #[test]
    fn settings_are_kept_beside_the_socket() {
        let socket = Path::new("/run/sealer/lvscare/10.103.97.2:6443.sock");
        assert_eq!(settings_record(socket), Path::new("/run/sealer/lvscare/10.103.97.2:6443.settings"));
    }
}
