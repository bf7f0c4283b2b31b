//! Chooses the dataplane that a daemon works with, and finds rules that are in another one.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::{Dataplane, DataplaneKind, Error, Result, Scheduler, Service, detect};

type Dataplanes = Vec<Arc<dyn Dataplane>>;

/// The dataplanes of this kernel that rules may be in. Where anything will do, none is loaded only to be looked at.
///
/// # Errors
/// When one is there and cannot be used, or the one that was asked for is not there.
pub(super) async fn existing(kind: DataplaneKind) -> Result<Dataplanes> {
    match kind {
        DataplaneKind::Auto => present(Scheduler::default()).await,
        kind => Ok(vec![detect(kind, Scheduler::default()).await?]),
    }
}

/// The dataplane that `service` gets: what is asked for, and where anything will do the one that has its rules already,
/// so that no connection moves because a module came or went between two starts.
///
/// # Errors
/// When the kernel has not what is asked for.
pub(super) async fn choose(kind: DataplaneKind, service: &Service) -> Result<Arc<dyn Dataplane>> {
    if kind == DataplaneKind::Auto {
        let candidates = present(service.scheduler).await.unwrap_or_default();
        if let Some(existing) = first_with_rules(candidates, service.address).await {
            return Ok(existing);
        }
    }
    detect(kind, service.scheduler).await
}

/// Takes the rules of `service` away that a daemon with another choice left in other dataplanes than `chosen`: the
/// kernel would go by them first, or by both.
///
/// # Errors
/// When the kernel refuses.
pub(super) async fn remove_stale_rules(chosen: &dyn Dataplane, service: &Service) -> Result<()> {
    // One that cannot be opened has none of ours.
    for other in present(Scheduler::default()).await.unwrap_or_default() {
        if other.name() != chosen.name() {
            other.remove(service).await?;
        }
    }
    Ok(())
}

/// The dataplanes that this kernel has and that may have rules for this scheduler. Without this file IPVS has none, and
/// to ask would load it.
async fn present(scheduler: Scheduler) -> Result<Dataplanes> {
    let mut found = Vec::new();
    for kind in [DataplaneKind::Ipvs, DataplaneKind::Nftables] {
        if kind == DataplaneKind::Ipvs && !Path::new("/proc/thread-self/net/ip_vs").exists() {
            continue;
        }
        match detect(kind, scheduler).await {
            Ok(dataplane) => found.push(dataplane),
            Err(Error::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The first that has rules of `service`.
async fn first_with_rules(dataplanes: Dataplanes, service: SocketAddr) -> Option<Arc<dyn Dataplane>> {
    for dataplane in dataplanes {
        if matches!(dataplane.observe(service).await, Ok(Some(_))) {
            return Some(dataplane);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FakeDataplane, Rules};

    #[tokio::test]
    async fn the_first_dataplane_with_rules_is_found() {
        let service = Service { address: "10.103.97.2:6443".parse().unwrap(), scheduler: Scheduler::Rr };
        let server = ("10.0.0.1:6443".parse().unwrap(), 1);
        let rules = Rules { service: service.clone(), servers: [server].into() };
        let table = |address: &str| -> Arc<dyn Dataplane> {
            let table = FakeDataplane::new();
            table.interfere(|all| drop(all.insert(address.parse().unwrap(), rules.clone())));
            Arc::new(table)
        };
        let (first, neighbour, second) =
            (table("10.103.97.2:6443"), table("10.103.97.2:80"), table("10.103.97.2:6443"));
        let all = vec![Arc::clone(&neighbour), Arc::clone(&first), second];
        assert!(first_with_rules(all, service.address).await.is_some_and(|found| Arc::ptr_eq(&found, &first)));
        assert!(first_with_rules(vec![neighbour], service.address).await.is_none());
    }
}
