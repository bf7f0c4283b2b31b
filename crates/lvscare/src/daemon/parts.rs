//! Chooses the dataplane, addressing and probe that a daemon works with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::{HealthConfig, HealthScheme};
use super::watch;
use crate::{
    AddressingMode, Dataplane, DataplaneKind, Error, HttpCheck, HttpProbe, Probe, Result, Scheduler, Service, TcpProbe,
    TlsCheck, Trust, Vip, detect,
};

/// How the virtual address is kept usable; `socket` is that of the daemon.
pub(super) fn addressing(mode: &AddressingMode, dataplane: &dyn Dataplane, socket: &Path) -> Vip {
    Vip::new(mode.clone(), settings_record(socket)).with_settings_for(dataplane)
}

/// The dataplanes of this kernel that rules may be in. Where anything will do, none is loaded only to be looked at.
///
/// # Errors
/// When one is there and cannot be used, or the one that was asked for is not there.
pub(super) async fn dataplanes(kind: DataplaneKind) -> Result<Vec<Arc<dyn Dataplane>>> {
    if kind != DataplaneKind::Auto {
        return Ok(vec![detect(kind, Scheduler::default()).await?]);
    }
    let mut found = Vec::new();
    for kind in [DataplaneKind::Ipvs, DataplaneKind::Nftables].into_iter().filter(|kind| !is_idle(*kind)) {
        match detect(kind, Scheduler::default()).await {
            Ok(dataplane) => found.push(dataplane),
            Err(Error::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The dataplane that `service` gets: what is asked for, and where anything will do the one that has its rules already,
/// so that no connection moves because a module came or went between two starts.
///
/// # Errors
/// When the kernel has not what is asked for.
pub(super) async fn dataplane(kind: DataplaneKind, service: &Service) -> Result<Arc<dyn Dataplane>> {
    let found = detect(kind, service.scheduler).await?;
    if kind != DataplaneKind::Auto {
        return Ok(found);
    }
    let others = others(&*found, service.scheduler).await;
    Ok(prefer_existing(found, others, service.address).await)
}

/// `found`, or that of `others` which has the rules of `service` when it has none.
async fn prefer_existing(
    found: Arc<dyn Dataplane>,
    others: Vec<Arc<dyn Dataplane>>,
    service: SocketAddr,
) -> Arc<dyn Dataplane> {
    if has_rules(&*found, service).await {
        return found;
    }
    for other in others {
        if has_rules(&*other, service).await {
            return other;
        }
    }
    found
}

/// Takes the rules of `service` away that a daemon with another choice left in other dataplanes than `chosen`: the
/// kernel would go by them first, or by both.
///
/// # Errors
/// When the kernel refuses.
pub(super) async fn remove_stale_rules(chosen: &dyn Dataplane, service: &Service) -> Result<()> {
    remove_stale(others(chosen, Scheduler::default()).await, service).await
}

async fn remove_stale(others: Vec<Arc<dyn Dataplane>>, service: &Service) -> Result<()> {
    for other in others {
        if has_rules(&*other, service.address).await {
            other.remove(service).await?;
        }
    }
    Ok(())
}

/// The dataplanes beside `chosen` that this kernel has and that may have rules. One that cannot be opened has none of
/// ours.
async fn others(chosen: &dyn Dataplane, scheduler: Scheduler) -> Vec<Arc<dyn Dataplane>> {
    let mut found = Vec::new();
    for kind in [DataplaneKind::Ipvs, DataplaneKind::Nftables] {
        if kind.as_str() != chosen.name() && !is_idle(kind) {
            found.extend(detect(kind, scheduler).await);
        }
    }
    found
}

/// Whether there cannot be any rules: without this file IPVS has none, and to ask would load it.
fn is_idle(kind: DataplaneKind) -> bool {
    kind == DataplaneKind::Ipvs && !Path::new("/proc/thread-self/net/ip_vs").exists()
}

async fn has_rules(dataplane: &dyn Dataplane, service: SocketAddr) -> bool {
    matches!(dataplane.observe(service).await, Ok(Some(_)))
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
            HttpCheck::https(TlsCheck { trust, server_name: health.server_name.clone() })
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
        ..check
    };
    Ok(Arc::new(HttpProbe::new(check)?))
}

/// The file that keeps kernel settings as they were before.
pub(super) fn settings_record(socket: &Path) -> PathBuf {
    socket.with_extension("settings")
}

#[cfg(test)]
mod tests {
    use super::super::CareConfig;
    use super::*;
    use crate::{FakeDataplane, Rules, Server};

    fn table(services: &[&Service]) -> (FakeDataplane, Arc<dyn Dataplane>) {
        let table = FakeDataplane::new();
        let server = ("10.0.0.1:6443".parse().unwrap(), Server::of(1));
        table.interfere(|all| {
            for service in services {
                let rules = Rules { service: (*service).clone(), servers: [server].into() };
                all.insert(service.address, rules);
            }
        });
        (table.clone(), Arc::new(table))
    }

    #[tokio::test]
    async fn a_daemon_stays_where_the_rules_are() {
        let service = Service { address: "10.103.97.2:6443".parse().unwrap(), scheduler: Scheduler::Rr };
        let (empty, with) = (table(&[]).1, table(&[&service]).1);
        let both = [(&empty, &with, &with), (&with, &empty, &with), (&empty, &empty, &empty)];
        for (found, other, expected) in both {
            let chosen = prefer_existing(Arc::clone(found), vec![Arc::clone(other)], service.address).await;
            assert!(Arc::ptr_eq(&chosen, expected));
        }
    }

    #[tokio::test]
    async fn what_was_left_elsewhere_goes_and_nothing_else() {
        let service = Service { address: "10.103.97.2:6443".parse().unwrap(), scheduler: Scheduler::Rr };
        let neighbour = Service { address: "10.103.97.2:80".parse().unwrap(), scheduler: Scheduler::Rr };
        let (table, other) = table(&[&service, &neighbour]);
        remove_stale(vec![other], &service).await.unwrap();
        assert_eq!(table.rules(service.address), None);
        assert!(table.rules(neighbour.address).is_some());
    }

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
