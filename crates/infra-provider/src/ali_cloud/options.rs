//! Holds the options of the ALI_CLOUD provider.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::api::{Credentials, Endpoints, Observer, Transport, WallClock};

/// Options of the [`AliCloud`](super::AliCloud) provider; nothing is read from environment or home directory.
#[derive(Clone)]
#[non_exhaustive]
pub struct AliCloudOptions {
    /// The key to sign with; without one every call fails with [`Error::NoCredentials`](crate::Error::NoCredentials).
    pub credentials: Option<Credentials>,
    /// The region where the Clusterfile names none.
    pub region: Option<String>,
    /// Servers to use instead of the cloud's own.
    pub endpoints: Endpoints,
    /// How requests are sent.
    pub transport: Arc<dyn Transport>,
    /// The time of day.
    pub clock: WallClock,
    /// Who may reach SSH and the API server where the Clusterfile does not say, as `a.b.c.d/len`.
    pub admin_cidrs: Vec<String>,
    /// This machine's address on its way to the cloud; used for `admin_cidrs` when it is a public one.
    pub own_address: Option<IpAddr>,
    /// How long one call of the provider may take.
    pub deadline: Duration,
    /// Is called after every request.
    pub observer: Option<Observer>,
}

impl AliCloudOptions {
    /// Options without a key; requests are sent by `transport`.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            credentials: None,
            region: None,
            endpoints: Endpoints::default(),
            transport,
            clock: WallClock::default(),
            admin_cidrs: Vec::new(),
            own_address: None,
            deadline: Duration::from_secs(900),
            observer: None,
        }
    }
}

impl fmt::Debug for AliCloudOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AliCloudOptions")
            .field("region", &self.region)
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}
