//! Hands out the hosts that a Clusterfile lists.

use std::collections::HashSet;

use async_trait::async_trait;
use clusterfile::{Cluster, ProviderName};

use crate::{Context, Error, Provider, Provisioned, Release, Result};

/// Hands out the hosts that the Clusterfile lists. It makes nothing, so it releases nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct BareMetal;

#[async_trait]
impl Provider for BareMetal {
    fn name(&self) -> &ProviderName {
        &ProviderName::BAREMETAL
    }

    fn owns_hosts(&self) -> bool {
        false
    }

    async fn provision(
        &self,
        wanted: &Cluster,
        _current: Option<&Cluster>,
        _context: &Context<'_>,
    ) -> Result<Provisioned> {
        let cluster = || wanted.name.clone();
        if wanted.hosts.is_empty() {
            return Err(Error::NoHosts { cluster: cluster() });
        }
        if wanted.masters().next().is_none() {
            return Err(Error::NoMasters { cluster: cluster() });
        }
        let mut seen = HashSet::new();
        match wanted.hosts.iter().find(|host| !seen.insert(host.address)) {
            Some(host) => Err(Error::HostTwice { cluster: cluster(), address: host.address }),
            None => Ok(wanted.clone().into()),
        }
    }

    async fn release(&self, _cluster: &Cluster, _hosts: Release, _context: &Context<'_>) -> Result<()> {
        Ok(())
    }

    fn describe(&self, wanted: &Cluster) -> Vec<String> {
        let line = |host: &clusterfile::Host| {
            let roles: Vec<_> = host.roles.iter().map(clusterfile::Role::as_str).collect();
            format!(
                "host {} ({}): as given, reached as {} on port {}",
                host.address,
                roles.join(","),
                host.ssh.user,
                host.ssh.port
            )
        };
        wanted.hosts.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;
    use clusterfile::Role;

    async fn provision(wanted: &Cluster) -> Result<Cluster> {
        let provisioned = BareMetal.provision(wanted, None, &Context::new(Path::new("/nowhere"), &|_| ())).await?;
        Ok(provisioned.cluster)
    }

    #[tokio::test]
    async fn what_is_listed_is_checked() {
        let mut wanted = Cluster::new("shop", "shop:1.4");
        assert!(matches!(provision(&wanted).await, Err(Error::NoHosts { .. })));
        wanted.add_hosts(&Role::Node, ["192.0.2.3".parse().unwrap()]);
        assert!(matches!(provision(&wanted).await, Err(Error::NoMasters { .. })));
        wanted.add_hosts(&Role::Master, ["192.0.2.2".parse().unwrap()]);
        assert_eq!(provision(&wanted).await.unwrap(), wanted);
        wanted.hosts.push(wanted.hosts[0].clone());
        let message = provision(&wanted).await.unwrap_err().to_string();
        assert!(message.contains("192.0.2.3 twice"), "{message}");
    }
}
