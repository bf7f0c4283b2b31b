//! Reads the settings for Alibaba Cloud from command line, environment and home directory.

use std::env;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use sealer_core::clusterfile::{Cluster, ProviderName, Secret};
use sealer_core::infra_provider::ali_cloud::api::profile::{self, Login, ProfileError};
use sealer_core::infra_provider::ali_cloud::api::{
    AccessKey, Credentials, Endpoints, HttpOptions, HttpTransport, InstanceRole, Product, WallClock,
};
use sealer_core::infra_provider::ali_cloud::{AliCloud, AliCloudOptions, annotations};
use sealer_core::infra_provider::{Context, Error, Provider, Provisioned, Release, Result};

use super::{home, proxy, variable};

/// Largest configuration of the cloud's own tool, in bytes.
const PROFILE_LIMIT: u64 = 1 << 20;
/// Variables that name another server than the cloud's own, by product.
const ENDPOINTS: [(&str, Product); 2] =
    [("SEALER_ALIYUN_ECS_ENDPOINT", Product::Ecs), ("SEALER_ALIYUN_VPC_ENDPOINT", Product::Vpc)];

/// Arguments about the cloud.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct CloudArguments {
    /// Region of the machines that ALI_CLOUD makes [default: the Clusterfile's, else the variable RegionID, else cn-chengdu]
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// Who may reach SSH and the API server of machines that ALI_CLOUD makes [default: this machine, if its address is public]
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub(crate) admin_cidr: Vec<String>,
    #[command(flatten)]
    pub(crate) endpoints: EndpointArguments,
}

/// Arguments about the cloud's API servers.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct EndpointArguments {
    /// Also ask API servers of ALI_CLOUD that are named by http:// and are not on this machine: requests can be read on their way
    #[arg(long)]
    pub(crate) insecure_cloud_endpoint: bool,
}

impl CloudArguments {
    /// Writes the arguments into a cluster, which is saved.
    pub(crate) fn overlay(&self, cluster: &mut Cluster) {
        let mut say = |name: &str, value: String| drop(cluster.annotations.insert(name.to_owned(), value));
        if let Some(region) = &self.region {
            say(annotations::REGION, region.clone());
        }
        if !self.admin_cidr.is_empty() {
            say(annotations::ADMIN_CIDR, self.admin_cidr.join(","));
        }
    }
}

/// The provider, made when it is first needed: a key that cannot be read does not fail commands without the cloud.
#[derive(Debug)]
pub(super) struct Cloud {
    region: Option<String>,
    endpoints: EndpointArguments,
    made: OnceLock<Result<AliCloud, Arc<Error>>>,
}

impl Cloud {
    /// `region` is used where the Clusterfile names none.
    pub(super) fn new(region: Option<String>, endpoints: EndpointArguments) -> Self {
        Self { region, endpoints, made: OnceLock::new() }
    }

    fn provider(&self) -> Result<&AliCloud> {
        let made = self.made.get_or_init(|| self.make().map_err(Arc::new));
        made.as_ref().map_err(|error| Error::Unusable { source: Arc::clone(error) })
    }

    fn make(&self) -> Result<AliCloud> {
        let mut endpoints = Endpoints::default();
        if self.endpoints.insecure_cloud_endpoint {
            endpoints = endpoints.allow_insecure();
        }
        let mut first = None;
        for (name, product) in ENDPOINTS {
            if let Some(text) = given(name) {
                endpoints = endpoints.with(product, &text)?;
                first.get_or_insert(text);
            }
        }
        let plain = first.as_deref().is_some_and(|text| text.starts_with("http://"));
        let proxy = proxy(if plain { "HTTP_PROXY" } else { "HTTPS_PROXY" }).map(Secret::from);
        let mut http = HttpOptions::new();
        (http.proxy, http.no_proxy) = (proxy, variable("NO_PROXY"));
        let (credentials, region) = credentials()?;
        let admin_cidrs = given("SEALER_ADMIN_CIDR").unwrap_or_default();
        let admin_cidrs = admin_cidrs.split(',').map(str::trim).filter(|cidr| !cidr.is_empty());
        let mut options = AliCloudOptions::new(Arc::new(HttpTransport::new(&http)?));
        options.credentials = credentials;
        options.region = self.region.clone().or_else(|| given("RegionID")).or(region);
        options.endpoints = endpoints;
        options.admin_cidrs = admin_cidrs.map(str::to_owned).collect();
        options.own_address = own_address(first.as_deref());
        Ok(AliCloud::new(options))
    }
}

#[async_trait]
impl Provider for Cloud {
    fn name(&self) -> &ProviderName {
        &ProviderName::ALI_CLOUD
    }

    fn owns_hosts(&self) -> bool {
        true
    }

    fn check(&self, wanted: &Cluster) -> Result<()> {
        self.provider()?.check(wanted)
    }

    async fn provision(
        &self,
        wanted: &Cluster,
        current: Option<&Cluster>,
        context: &Context<'_>,
    ) -> Result<Provisioned> {
        self.provider()?.provision(wanted, current, context).await
    }

    async fn update(&self, cluster: &Cluster, host: IpAddr, context: &Context<'_>) -> Result<()> {
        self.provider()?.update(cluster, host, context).await
    }

    async fn updated(&self, cluster: &Cluster, host: IpAddr, context: &Context<'_>) -> Result<()> {
        self.provider()?.updated(cluster, host, context).await
    }

    async fn release(&self, cluster: &Cluster, hosts: Release, context: &Context<'_>) -> Result<()> {
        self.provider()?.release(cluster, hosts, context).await
    }

    async fn find(&self, name: &str, context: &Context<'_>) -> Result<Option<Cluster>> {
        self.provider()?.find(name, context).await
    }

    fn public_address(&self, cluster: &Cluster) -> Option<IpAddr> {
        self.provider().ok()?.public_address(cluster)
    }

    fn describe(&self, wanted: &Cluster) -> Vec<String> {
        match self.provider() {
            Ok(provider) => provider.describe(wanted),
            Err(error) => vec![format!("nothing: {error}")],
        }
    }
}

/// The key to sign with, and the region that comes with it: from the variables, else the role that is asked for, else
/// the configuration of the cloud's own command-line tool.
fn credentials() -> Result<(Option<Credentials>, Option<String>)> {
    match (given("ACCESSKEYID"), given("ACCESSKEYSECRET")) {
        (Some(id), Some(secret)) => {
            let token = given("SecurityToken").or_else(|| given("SECURITYTOKEN")).unwrap_or_default();
            return Ok((Some(Credentials::Key(AccessKey::new(id, secret).with_token(token))), None));
        }
        (Some(_), None) => return Err(Error::HalfKey { given: "ACCESSKEYID", missing: "ACCESSKEYSECRET" }),
        (None, Some(_)) => return Err(Error::HalfKey { given: "ACCESSKEYSECRET", missing: "ACCESSKEYID" }),
        (None, None) => {}
    }
    if let Some(role) = given("ALIBABA_CLOUD_ECS_METADATA") {
        return Ok((Some(role_of_instance(Some(role))?), None));
    }
    let Some(path) = home().map(|home| home.join(".aliyun").join("config.json")) else { return Ok((None, None)) };
    let text = match atomic_file::read_text(&path, PROFILE_LIMIT) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok((None, None)),
        Err(source) => return Err(Error::File { act: "read", path, source }),
    };
    let chosen = given("ALIBABA_CLOUD_PROFILE");
    match profile::parse(&text, chosen.as_deref()) {
        Ok(profile) => {
            let credentials = match profile.login {
                Login::Key(key) => Credentials::Key(key),
                Login::InstanceRole { role } => role_of_instance(role)?,
                _ => return Ok((None, profile.region)),
            };
            Ok((Some(credentials), profile.region))
        }
        // The tool writes an empty profile when it is first started.
        Err(ProfileError::Incomplete { .. }) if chosen.is_none() => Ok((None, None)),
        Err(source) => Err(Error::Profile { path, source }),
    }
}

/// The metadata service is on the machine itself, so no proxy is used.
fn role_of_instance(name: Option<String>) -> Result<Credentials> {
    let transport = Arc::new(HttpTransport::new(&HttpOptions::default())?);
    let role = InstanceRole::new(transport, name, WallClock::default());
    Ok(Credentials::InstanceRole(Arc::new(role)))
}

/// This machine's address on the way to the cloud. Nothing is sent, and no name is asked for: where `endpoint` is no
/// address, the way into the internet counts.
fn own_address(endpoint: Option<&str>) -> Option<IpAddr> {
    let host = endpoint.map(|text| text.split_once("://").map_or(text, |(_, rest)| rest));
    let address = host.and_then(|host| host.rsplit_once(':').map_or(host, |(host, _)| host).parse::<Ipv4Addr>().ok());
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((address.unwrap_or(Ipv4Addr::new(192, 0, 2, 1)), 443)).ok()?;
    socket.local_addr().ok().map(|own| own.ip())
}

fn given(name: &str) -> Option<String> {
    env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_own_address_is_the_one_on_the_way() {
        let loopback = Some(IpAddr::from([127, 0, 0, 1]));
        assert_eq!(own_address(Some("http://127.0.0.1:8080")), loopback);
        assert_eq!(own_address(Some("127.0.0.1")), loopback);
        assert_ne!(own_address(Some("https://ecs.example.test")), loopback);
    }

    #[test]
    fn what_is_said_is_written_into_the_cluster() {
        let mut cluster = Cluster::new("shop", "shop:1.4");
        CloudArguments::default().overlay(&mut cluster);
        assert!(cluster.annotations.is_empty());
        let admin_cidr = vec!["203.0.113.7/32".to_owned(), "198.51.100.0/24".to_owned()];
        CloudArguments { region: Some("cn-hangzhou".to_owned()), admin_cidr, ..CloudArguments::default() }
            .overlay(&mut cluster);
        assert_eq!(cluster.annotations[annotations::REGION], "cn-hangzhou");
        assert_eq!(cluster.annotations[annotations::ADMIN_CIDR], "203.0.113.7/32,198.51.100.0/24");
    }
}
