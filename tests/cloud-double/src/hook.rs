//! Lets instances become real machines.

use std::net::Ipv4Addr;

use async_trait::async_trait;

/// Makes a real machine of every instance, for tests that go further than the interface.
#[async_trait]
pub trait InstanceHook: Send + Sync {
    /// Makes the machine; the instance is `Running` when this returns and its time has passed.
    /// With an error, which becomes part of [`crate::Double::violations`], the instance disappears.
    async fn started(&self, seed: &InstanceSeed) -> Result<Addresses, String>;

    /// Destroys the machine.
    async fn released(&self, id: &str);

    /// An address for the outside now leads to the machine.
    async fn bound(&self, _id: &str, _eip: Ipv4Addr) {}
}

/// What a machine is made from.
#[derive(Clone, PartialEq, Eq)]
pub struct InstanceSeed {
    /// Of the instance.
    pub id: String,
    /// As the system shall call itself.
    pub host_name: String,
    /// The address that the instance has unless the hook gives another.
    pub private_ip: Ipv4Addr,
    /// Raw, at most 16 KiB.
    pub user_data: Option<Vec<u8>>,
    /// The public key in the form of OpenSSH, when the instance has a key pair.
    pub public_key: Option<String>,
    /// Of the administrator, when the instance has one.
    pub password: Option<String>,
}

impl std::fmt::Debug for InstanceSeed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("InstanceSeed")
            .field("id", &self.id)
            .field("host_name", &self.host_name)
            .field("private_ip", &self.private_ip)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}

/// Where a real machine can be reached; what is not given stays as the double chose it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Inside of the VPC.
    pub private: Option<Ipv4Addr>,
    /// Shown instead of the address of the EIP that is bound to the instance.
    pub public: Option<Ipv4Addr>,
}
