//! Implements `Provider` for ALI_CLOUD.

use std::net::{IpAddr, Ipv4Addr};

use async_trait::async_trait;
use clusterfile::{Cluster, ProviderName};
use tokio::time::Instant;

use super::api::Client;
use super::cloud::Cloud;
use super::create::{CreateOptions, complete};
use super::options::AliCloudOptions;
use super::record::{Record, Resources};
use super::settings::{ClusterSpec, check_cidr, cluster_spec};
use super::{delete, describe, hosts, update};
use crate::{Context, Error, Provider, Provisioned, Release, Result, ssh_key};

/// Upstream's region where nobody names one.
const REGION: &str = "cn-chengdu";

/// Makes hosts on Alibaba Cloud: a VPC, a vSwitch, a security group, instances, and an elastic address for the first
/// master, through which the other hosts are reached.
#[derive(Debug)]
pub struct AliCloud {
    options: AliCloudOptions,
}

impl AliCloud {
    /// A provider that works as `options` say. Nothing is asked yet.
    #[must_use]
    pub fn new(options: AliCloudOptions) -> Self {
        Self { options }
    }

    fn region<'a>(&'a self, asked: Option<&'a str>) -> &'a str {
        asked.or(self.options.region.as_deref()).unwrap_or(REGION)
    }

    fn client(&self, region: &str) -> Result<Client> {
        let credentials = self.options.credentials.clone().ok_or(Error::NoCredentials)?;
        let client = Client::new(credentials, region, &self.options.endpoints, self.options.transport.clone())
            .map_err(|error| Error::Setting {
                field: "region".to_owned(),
                value: region.to_owned(),
                reason: error.to_string(),
            })?
            .with_clock(self.options.clock.clone());
        Ok(match &self.options.observer {
            Some(observer) => client.with_observer(observer.clone()),
            None => client,
        })
    }

    /// Who may reach SSH and the API server; it is not guessed.
    fn admin_cidrs(&self, spec: &ClusterSpec) -> Result<Vec<String>> {
        if !spec.admin_cidrs.is_empty() {
            return Ok(spec.admin_cidrs.clone());
        }
        if !self.options.admin_cidrs.is_empty() {
            self.options.admin_cidrs.iter().try_for_each(|cidr| check_cidr(cidr))?;
            return Ok(self.options.admin_cidrs.clone());
        }
        match self.options.own_address {
            Some(IpAddr::V4(address)) if is_public(address) => Ok(vec![format!("{address}/32")]),
            _ if spec.security_group.is_some() => Ok(Vec::new()),
            address => Err(Error::OperatorUnknown {
                address: address.map_or_else(|| "none".to_owned(), |address| address.to_string()),
                annotation: super::annotations::ADMIN_CIDR,
            }),
        }
    }

    /// The record of a cluster, made sure to be of the region that is asked for.
    fn record(&self, context: &Context<'_>, asked: Option<&str>) -> Result<Record> {
        let record = Record::open(context.state_dir, random_name)?;
        let (known, empty) = record.with(|resources| (resources.region.clone(), resources.is_empty()));
        let region = if empty { self.region(asked) } else { asked.unwrap_or(&known) };
        if region != known {
            if !empty {
                return Err(Error::Setting {
                    field: super::annotations::REGION.to_owned(),
                    value: region.to_owned(),
                    reason: format!("the cluster's machines are in {known}; delete it there first"),
                });
            }
            // What was searched for elsewhere says nothing about this region.
            record.change(|resources| resources.move_to(region))?;
        }
        Ok(record)
    }

    async fn make(&self, wanted: &Cluster, context: &Context<'_>) -> Result<Provisioned> {
        let spec = cluster_spec(wanted)?;
        let admin_cidrs = self.admin_cidrs(&spec)?;
        let client = self.client(self.region(spec.region.as_deref()))?;
        let record = self.record(context, spec.region.as_deref())?;
        let client = if client.region() == record.with(|resources| resources.region.clone()) {
            client
        } else {
            self.client(&record.with(|resources| resources.region.clone()))?
        };
        let new = is_new(&record, context, wanted);
        let key = match &spec.password {
            Some(_) => None,
            None if spec.key_pair.is_some() && wanted.ssh.private_key.is_some() => None,
            None => Some(ssh_key::ensure(context.state_dir, &spec.cluster).await?),
        };
        let cloud = self.cloud(&client, &record, context, wanted);
        let options = CreateOptions {
            admin_cidrs: &admin_cidrs,
            public_key: key.as_ref().map(|key| key.authorized.as_str()),
            new,
        };
        let done = complete(&cloud, &spec, &options).await;
        if matches!(done, Err(Error::ClusterExists { .. })) {
            // As if it had never been tried: whoever tries it again, or deletes it, has still made nothing.
            record.forget()?;
            ssh_key::forget(context.state_dir).await?;
        }
        let updates = done?;
        let key = key.as_ref().map(|key| key.private.as_path());
        let cluster = hosts::filled(wanted, &spec, &record.resources(), key)?;
        Ok(Provisioned::new(cluster).with_updates(updates))
    }

    fn cloud<'a>(
        &'a self,
        client: &'a Client,
        record: &'a Record,
        context: &'a Context<'a>,
        wanted: &'a Cluster,
    ) -> Cloud<'a> {
        Cloud {
            client,
            record,
            context,
            wanted,
            deadline: Instant::now() + self.options.deadline,
            state_deadline: None,
            password: wanted.ssh.password.as_ref(),
        }
    }
}

#[async_trait]
impl Provider for AliCloud {
    fn name(&self) -> &ProviderName {
        &ProviderName::ALI_CLOUD
    }

    fn owns_hosts(&self) -> bool {
        true
    }

    fn check(&self, wanted: &Cluster) -> Result<()> {
        let spec = cluster_spec(wanted)?;
        self.client(self.region(spec.region.as_deref()))?;
        self.admin_cidrs(&spec).map(drop)
    }

    async fn provision(
        &self,
        wanted: &Cluster,
        _current: Option<&Cluster>,
        context: &Context<'_>,
    ) -> Result<Provisioned> {
        self.make(wanted, context).await
    }

    async fn update(&self, cluster: &Cluster, host: IpAddr, context: &Context<'_>) -> Result<()> {
        let spec = cluster_spec(cluster)?;
        let record = self.record(context, spec.region.as_deref())?;
        let client = self.client(&record.with(|resources| resources.region.clone()))?;
        update::update(&self.cloud(&client, &record, context, cluster), &spec, host).await
    }

    async fn updated(&self, cluster: &Cluster, host: IpAddr, context: &Context<'_>) -> Result<()> {
        let asked = super::annotations::value(&cluster.annotations, super::annotations::REGION);
        self.record(context, asked)?.change(|resources| {
            let Resources { updating, machines, .. } = resources;
            updating.retain(|id| machines.get(id).is_some_and(|machine| machine.address != Some(host)));
        })
    }

    async fn release(&self, cluster: &Cluster, hosts: Release, context: &Context<'_>) -> Result<()> {
        let asked = super::annotations::value(&cluster.annotations, super::annotations::REGION);
        let record = self.record(context, asked)?;
        if is_new(&record, context, cluster) {
            // What bears its name was made by somebody else.
            return record.forget();
        }
        let client = self.client(&record.with(|resources| resources.region.clone()))?;
        let cloud = self.cloud(&client, &record, context, cluster);
        match hosts {
            Release::All => {
                delete::everything(&cloud).await?;
                ssh_key::forget(context.state_dir).await
            }
            Release::Hosts(addresses) => delete::hosts(&cloud, &addresses).await,
        }
    }

    async fn find(&self, name: &str, context: &Context<'_>) -> Result<Option<Cluster>> {
        let mut cluster = Cluster::new(name, "");
        cluster.provider = ProviderName::ALI_CLOUD;
        // The record of a search that was broken off may be of another region: ids of one mean nothing in the other,
        // where all of them would seem to be gone.
        self.client(self.region(None))?;
        let record = self.record(context, self.options.region.as_deref())?;
        let client = self.client(&record.with(|resources| resources.region.clone()))?;
        let cloud = self.cloud(&client, &record, context, &cluster);
        super::discover::machines(&cloud).await?;
        super::discover::other_resources(&cloud).await?;
        let resources = record.resources();
        if !resources.any_exist() {
            record.forget()?;
            return Ok(None);
        }
        Ok(Some(hosts::annotated(&cluster, &resources)))
    }

    fn public_address(&self, cluster: &Cluster) -> Option<IpAddr> {
        super::annotations::value(&cluster.annotations, super::annotations::CLUSTER_EIP)?.parse().ok()
    }

    fn describe(&self, wanted: &Cluster) -> Vec<String> {
        match cluster_spec(wanted) {
            Ok(spec) => {
                let admin_cidrs = self.admin_cidrs(&spec);
                let mut lines = describe::lines(
                    &spec,
                    self.region(spec.region.as_deref()),
                    admin_cidrs.as_deref().unwrap_or_default(),
                );
                lines.extend(admin_cidrs.err().map(|error| format!("not yet: {error}")));
                lines
            }
            Err(error) => vec![format!("nothing: {error}")],
        }
    }
}

/// Whether nothing was ever made from here: there is neither record nor key, and the Clusterfile names nothing.
fn is_new(record: &Record, context: &Context<'_>, cluster: &Cluster) -> bool {
    record.with(|resources| resources.is_empty() && !resources.searched)
        && !ssh_key::exists(context.state_dir)
        && !super::annotations::names_resources(&cluster.annotations)
}

/// Eight letters and digits that nobody else has.
fn random_name() -> Result<String> {
    let mut bytes = [0; 5];
    getrandom::fill(&mut bytes).map_err(|error| Error::KeyMaking { reason: format!("no random numbers: {error}") })?;
    Ok(hex::encode(bytes))
}

/// Whether others on the internet see this machine by this address.
fn is_public(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let shared = first == 100 && (64..128).contains(&second);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || shared)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_addresses_that_others_see_are_public() {
        for (address, public) in
            [("8.8.8.8", true), ("10.1.2.3", false), ("100.64.0.1", false), ("100.128.0.1", true), ("127.0.0.1", false)]
        {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }
}
