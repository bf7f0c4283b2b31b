//! Writes a copy of a state into the state directory: verified first, what makes it count last.

use std::fs;

use clusterfile::{Cluster, Clusterfile, Ssh};
use runtime::{SecretSpec, Secrets};

use crate::cluster_copy::{Base, Content, Index};
use crate::{ClusterState, Error};

/// Where a copy is verified before it counts.
const STAGING: &str = "taking-over";
const KNOWN_HOSTS: &str = "known_hosts";
const CLUSTERFILE: &str = "Clusterfile";
const TOKENS: &str = "secrets.json";

/// Makes a copy the state of this machine. Killed at any point, the next run does it again.
///
/// # Errors
///
/// [`Error::CopyDamaged`] when its secrets are not those of the cluster, and when a file cannot be written.
pub(super) fn adopt(
    state: &ClusterState,
    index: &Index,
    content: &Content,
    logins: &Cluster,
    specs: &[SecretSpec],
) -> Result<(), Error> {
    if index.cluster != state.name() || content.cluster() != index.cluster {
        return Err(Error::CopyDamaged { reason: format!("is of cluster {}", index.cluster) });
    }
    verify(state, index, content, specs)?;
    let known = state.clusterfile()?.map(|file| file.cluster);
    let clusterfile = with_logins(content.clusterfile()?, logins, known.as_ref());

    make_directory(state, "pki")?;
    let known_hosts = state.read(KNOWN_HOSTS)?;
    for (name, text) in content.files().filter(|(name, _)| *name != CLUSTERFILE && *name != TOKENS) {
        match &known_hosts {
            Some(ours) if name == KNOWN_HOSTS => state.write(name, merged(text.expose(), ours.expose()).as_bytes())?,
            _ => state.write(name, text.expose().as_bytes())?,
        }
    }
    // Without these two there is no state, so they come last, and in this order.
    if let Some(tokens) = content.file(TOKENS) {
        state.write(TOKENS, tokens.expose().as_bytes())?;
    }
    state.remember(&clusterfile)?;
    Base::remember(state, index, None)?;
    remove_staging(state)
}

/// Reads the secrets of a copy as every later run will: all are there, and keys belong to their certificates.
fn verify(state: &ClusterState, index: &Index, content: &Content, specs: &[SecretSpec]) -> Result<(), Error> {
    remove_staging(state)?;
    make_directory(state, STAGING)?;
    make_directory(state, &format!("{STAGING}/pki"))?;
    for (name, text) in content.files() {
        state.write(&format!("{STAGING}/{name}"), text.expose().as_bytes())?;
    }
    let loaded = Secrets::load(&state.file(STAGING), specs);
    remove_staging(state)?;
    let damaged = |reason: String| Error::CopyDamaged { reason };
    let secrets = loaded.map_err(|error| damaged(format!("has no secrets of the cluster: {error}")))?;
    match secrets {
        Some(secrets) if secrets.fingerprint() == index.authority => Ok(()),
        Some(_) => Err(damaged("has secrets of another cluster".to_owned())),
        None => Err(damaged("has no secrets".to_owned())),
    }
}

fn make_directory(state: &ClusterState, name: &str) -> Result<(), Error> {
    let path = state.file(name);
    atomic_file::create_dir(&path, 0o700).map_err(|source| Error::State { act: "make", path, source })
}

fn remove_staging(state: &ClusterState) -> Result<(), Error> {
    let path = state.file(STAGING);
    match fs::remove_dir_all(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::State { act: "remove", path, source })
        }
        _ => Ok(()),
    }
}

/// Each host with the login that the operator gives now, else with the one that was known here.
fn with_logins(mut file: Clusterfile, given: &Cluster, known: Option<&Cluster>) -> Clusterfile {
    let sources = || std::iter::once(given).chain(known);
    // Somebody who says nothing about logins means those that are known.
    let of_all = sources().map(|source| &source.ssh).find(|ssh| **ssh != Ssh::default());
    let cluster = &mut file.cluster;
    for host in &mut cluster.hosts {
        let own = sources().filter_map(|source| source.host(host.address)).map(|source| &source.ssh);
        let follows = host.ssh == cluster.ssh;
        if let Some(login) = own.chain(of_all.filter(|_| follows)).next() {
            host.ssh.clone_from(login);
        }
    }
    if let Some(login) = of_all {
        cluster.ssh.clone_from(login);
    }
    file
}

/// The host keys that are known here, and those of hosts that only the copy knows: a key that was accepted here is not
/// replaced from elsewhere.
fn merged(copy: &str, ours: &str) -> String {
    let host = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let known: Vec<_> = ours.lines().filter_map(host).collect();
    let new = copy.lines().filter(|line| host(line).is_some_and(|host| !known.contains(&host)));
    ours.lines().chain(new).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clusterfile::Role;

    use super::*;

    #[test]
    fn host_keys_of_both_are_known_and_those_that_were_accepted_here_stay() {
        let merged = merged("a key1\nb key2\n", "b other\nc key3");
        assert_eq!(merged, "b other\nc key3\na key1\n");
    }

    #[test]
    fn logins_are_those_that_the_operator_gives_else_those_that_were_known() {
        let address = |last: u8| std::net::IpAddr::from([10, 0, 0, last]);
        let cluster = |addresses: &[u8], password: &str| {
            let mut cluster = Cluster::new("c", "i:1");
            cluster.ssh.password = Some(password.into());
            cluster.add_hosts(&Role::Node, addresses.iter().map(|last| address(*last)));
            cluster
        };
        let mut copy = cluster(&[1, 2, 3], "");
        copy.ssh.password = None;
        copy.hosts.iter_mut().for_each(|host| host.ssh.password = None);
        copy.hosts[2].ssh.port = 2222;
        let passwords = |file: &Clusterfile| -> Vec<_> {
            let hosts = file.cluster.hosts.iter().map(|host| host.ssh.password.clone());
            hosts.map(|password| password.map(|password| password.expose().to_owned())).collect()
        };
        let some = |text: &str| Some(text.to_owned());
        let (given, known) = (cluster(&[1], "given"), cluster(&[1, 2], "known"));
        let file = with_logins(copy.clone().into(), &given, Some(&known));
        assert_eq!(passwords(&file), [some("given"), some("known"), None], "the last one has a login of its own");
        assert_eq!(file.cluster.ssh.password, Some("given".into()));
        let file = with_logins(copy.into(), &Cluster::new("c", "i:1"), Some(&known));
        assert_eq!(passwords(&file), [some("known"), some("known"), None]);
    }
}
