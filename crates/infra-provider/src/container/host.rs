//! Creates one host, or starts it again.

use std::io::{self, Read};
use std::net::IpAddr;
use std::time::Duration;

use bollard::body_full;
use bollard::models::ContainerSummaryStateEnum as State;
use bollard::query_parameters::{
    CreateContainerOptions, DownloadFromContainerOptions, StartContainerOptions, UploadToContainerOptions,
};
use clusterfile::Cluster;
use futures_util::StreamExt;

use super::boot::Boot;
use super::engine::{Engine, FoundContainer, failed, is_absent, status};
use super::isolation::{Isolation, refused_for_capabilities};
use super::machine::{Machine, MachineRole};
use super::{network, ready};
use crate::ssh_key::ClusterKey;
use crate::{Context, Error, ProviderEvent, Result};

/// The largest `authorized_keys` that is looked into, in bytes.
const KEYS_LIMIT: usize = 256 * 1024;

/// What the making of every host of a cluster shares.
pub(super) struct HostSetup<'a> {
    pub(super) engine: &'a Engine,
    pub(super) cluster: &'a Cluster,
    pub(super) image: &'a str,
    pub(super) key: &'a ClusterKey,
    pub(super) ready_within: Duration,
    pub(super) context: &'a Context<'a>,
}

/// Makes a host and waits until it is ready.
pub(super) async fn make(setup: &HostSetup<'_>, machine: Machine) -> Result<()> {
    setup.context.check_cancelled()?;
    let host = machine.name(&setup.cluster.name);
    setup.context.tell(ProviderEvent::Creating { host, address: IpAddr::V4(machine.address) });
    let id = boot(setup, machine).await?;
    ready::wait(setup, machine, &id).await
}

/// Brings an existing host to life, if need be, and waits until it is ready.
pub(super) async fn revive(setup: &HostSetup<'_>, machine: Machine, found: &FoundContainer) -> Result<()> {
    let docker = &setup.engine.docker;
    match found.state {
        // It never ran, or is half removed: there is nothing in it to keep.
        State::CREATED | State::DEAD | State::REMOVING => {
            setup.engine.remove_container(&found.id, &found.name).await?;
            return make(setup, machine).await;
        }
        State::PAUSED => {
            docker.unpause_container(&found.id).await.map_err(failed("resuming host", &found.name))?;
        }
        State::EXITED | State::STOPPING => {
            let (host, address) = (found.name.clone(), IpAddr::V4(machine.address));
            setup.context.tell(ProviderEvent::Restarting { host, address });
            restart(setup, machine, found).await?;
        }
        State::RUNNING | State::RESTARTING | State::EMPTY => {}
    }
    if !opens_to(setup, &found.id, &found.name).await? {
        authorize(setup, &found.id, &found.name).await?;
    }
    ready::wait(setup, machine, &found.id).await
}

/// Starts a container that ran before, in the cluster's network of today if that was made anew since.
async fn restart(setup: &HostSetup<'_>, machine: Machine, found: &FoundContainer) -> Result<()> {
    let docker = &setup.engine.docker;
    match docker.start_container(&found.id, None::<StartContainerOptions>).await {
        // The container remembers the identity of its network, which is "not found".
        Err(error) if is_absent(&error) => {
            network::reattach(setup.engine, &setup.cluster.name, machine, found).await?;
            let started = docker.start_container(&found.id, None::<StartContainerOptions>).await;
            started.map_err(failed("starting host", &found.name))
        }
        started => started.map_err(failed("starting host", &found.name)),
    }
}

/// Creates the container, lets the cluster's key in, and starts it; returns its id.
async fn boot(setup: &HostSetup<'_>, machine: Machine) -> Result<String> {
    let name = machine.name(&setup.cluster.name);
    loop {
        let isolation = setup.engine.isolation();
        let id = create(setup, machine, &name, &isolation).await?;
        authorize(setup, &id, &name).await?;
        match setup.engine.docker.start_container(&id, None::<StartContainerOptions>).await {
            Ok(()) => return Ok(id),
            Err(error) if isolation == Isolation::Privileged && refused_for_capabilities(&error.to_string()) => {
                setup.engine.restrict();
                setup.engine.remove_container(&id, &name).await?;
            }
            Err(error) => return Err(failed("starting host", &name)(error)),
        }
    }
}

async fn create(setup: &HostSetup<'_>, machine: Machine, name: &str, isolation: &Isolation) -> Result<String> {
    let machines = &setup.cluster.machines;
    let spec = match machine.duty {
        MachineRole::Master => machines.masters.as_ref(),
        MachineRole::Node => machines.nodes.as_ref(),
    };
    let cluster = &setup.cluster.name;
    let boot = Boot {
        cluster,
        machine,
        image: setup.image,
        spec,
        isolation,
        modules: setup.engine.modules,
        kmsg: setup.engine.kmsg,
    };
    let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
    match setup.engine.docker.create_container(Some(options), boot.request()).await {
        Ok(created) => Ok(created.id),
        Err(error) if is_absent(&error) => Err(Error::NodeImageMissing { image: setup.image.to_owned() }),
        Err(error) if status(&error) == Some(409) => {
            Err(Error::NameTaken { cluster: cluster.clone(), host: name.to_owned() })
        }
        Err(error) => Err(failed("creating host", name)(error)),
    }
}

/// Puts the cluster's key into root's `authorized_keys`; works on a container that runs and on one that does not.
async fn authorize(setup: &HostSetup<'_>, id: &str, name: &str) -> Result<()> {
    let archive = keys_archive(&setup.key.authorized)
        .map_err(|error| Error::KeyMaking { reason: format!("cannot pack it for `{name}`: {error}") })?;
    let options = UploadToContainerOptions { path: "/".to_owned(), ..Default::default() };
    let body = body_full(archive.into());
    setup
        .engine
        .docker
        .upload_to_container(id, Some(options), body)
        .await
        .map_err(failed("handing the key to host", name))
}

/// Whether root's `authorized_keys` holds the cluster's key.
async fn opens_to(setup: &HostSetup<'_>, id: &str, name: &str) -> Result<bool> {
    let options = DownloadFromContainerOptions { path: "/root/.ssh/authorized_keys".to_owned() };
    let mut stream = Box::pin(setup.engine.docker.download_from_container(id, Some(options)));
    let mut archive = Vec::new();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => archive.extend_from_slice(&chunk),
            Err(error) if is_absent(&error) => return Ok(false),
            Err(error) => return Err(failed("reading the keys of host", name)(error)),
        }
        if archive.len() > KEYS_LIMIT {
            return Ok(false);
        }
    }
    Ok(archive_holds(&archive, &setup.key.authorized))
}

fn keys_archive(authorized: &str) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let entry = |kind: tar::EntryType, mode: u32, size: usize| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size as u64);
        header
    };
    archive.append_data(&mut entry(tar::EntryType::Directory, 0o700, 0), "root/.ssh", io::empty())?;
    let line = format!("{authorized}\n");
    let mut header = entry(tar::EntryType::Regular, 0o600, line.len());
    archive.append_data(&mut header, "root/.ssh/authorized_keys", line.as_bytes())?;
    archive.into_inner()
}

/// Whether a file in the archive has `line` among its lines; corrupt archives have none.
fn archive_holds(archive: &[u8], line: &str) -> bool {
    let mut archive = tar::Archive::new(archive);
    let Ok(entries) = archive.entries() else {
        return false;
    };
    entries.filter_map(Result::ok).any(|entry| {
        let mut text = String::new();
        entry.take(KEYS_LIMIT as u64).read_to_string(&mut text).is_ok() && text.lines().any(|found| found == line)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_key_is_packed_for_root_alone() {
        let packed = keys_archive("ssh-ed25519 AAAA cluster").unwrap();
        let mut archive = tar::Archive::new(packed.as_slice());
        let entries: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                (entry.path().unwrap().display().to_string(), header.mode().unwrap(), header.uid().unwrap())
            })
            .collect();
        assert_eq!(entries, [("root/.ssh".to_owned(), 0o700, 0), ("root/.ssh/authorized_keys".to_owned(), 0o600, 0)]);
        assert!(archive_holds(&packed, "ssh-ed25519 AAAA cluster"));
        assert!(!archive_holds(&packed, "ssh-ed25519 AAAA"));
    }

    #[test]
    fn corrupt_archives_hold_nothing() {
        let packed = keys_archive("ssh-ed25519 AAAA cluster").unwrap();
        for archive in [&packed[..700], &[0xff; 2048][..], &[][..]] {
            assert!(!archive_holds(archive, "ssh-ed25519 AAAA cluster"));
        }
    }
}
