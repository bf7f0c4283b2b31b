//! Reads the rules of one virtual service from IPVS, and changes them in it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::process::Command;

use super::connections;
use super::message::{self, ServerEntry, command};
use crate::netlink::{ACK, Attribute, DUMP, EXISTS, Failure, NO_SUCH, NOT_FOUND, Packet, Socket, nla, protocols};
use crate::{Change, Dataplane, Error, Result, Rules, Service, Traffic, conntrack};

/// The controller of generic netlink, which knows the numbers of the other parts (`linux/genetlink.h`).
const CONTROLLER: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const NOT_UNDERSTOOD: &str = "understand the answer about";

/// The kernel's IP Virtual Server, reached by generic netlink.
#[derive(Debug)]
pub struct Ipvs {
    netlink: Socket,
    family: u16,
}

impl Ipvs {
    /// Opens a socket to IPVS in the current network namespace; has the kernel load the module when it is missing.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the kernel has no IPVS; an [`Error::Io`] when it has no netlink.
    pub async fn open() -> Result<Self> {
        let netlink = Socket::new(protocols::NETLINK_GENERIC);
        let mut found = family(&netlink).await;
        if matches!(found, Err(Failure::Errno(NOT_FOUND))) {
            load_module().await;
            found = family(&netlink).await;
        }
        match found {
            Ok(family) => Ok(Self { netlink, family }),
            Err(Failure::Errno(NOT_FOUND)) => {
                Err(Error::Unsupported { what: "IPVS", advice: "load it with `modprobe ip_vs`, or use nftables" })
            }
            Err(failure) => Err(failure.of("find", "IPVS")),
        }
    }

    async fn servers(&self, service: SocketAddr) -> Result<Vec<ServerEntry>> {
        let object = format!("the servers of {service}");
        match self.ask(command::GET_SERVER, DUMP, &[message::service_at(service)]).await {
            Ok(told) => {
                told.iter().map(|packet| message::read_server(packet.attributes())).collect::<Option<_>>().ok_or(
                    Error::Refused { act: NOT_UNDERSTOOD, object, reason: "an entry cannot be understood".to_owned() },
                )
            }
            Err(failure) => Err(failure.of("read", object)),
        }
    }

    async fn perform(&self, service: SocketAddr, change: &Change) -> Result<(), Failure> {
        match change {
            Change::SetService(wanted) => {
                self.put([command::NEW_SERVICE, command::SET_SERVICE], &[message::service(wanted)]).await
            }
            Change::SetServer(address, weight) => {
                let whole = [message::service_at(service), message::server(*address, *weight)];
                self.put([command::NEW_SERVER, command::SET_SERVER], &whole).await
            }
            Change::RemoveServer(address) => self.remove_server(service, *address).await,
        }
    }

    /// Takes a server out with its connections.
    ///
    /// The kernel forgets the connections of a server that left, but clients that only wait for an answer would never
    /// hear of it: their sockets are closed. Which they are is read while the server is there and gets no new ones.
    async fn remove_server(&self, service: SocketAddr, address: SocketAddr) -> Result<(), Failure> {
        let drained = [message::service_at(service), message::server(address, 0)];
        match self.ask(command::SET_SERVER, ACK, &drained).await {
            Err(failure) if failure.is_missing() => return Ok(()),
            _ => {}
        }
        let clients = connections::clients(service, address).await;
        match self.ask(command::DELETE_SERVER, ACK, &drained).await {
            Err(failure) if !failure.is_missing() => return Err(failure),
            _ => {}
        }
        conntrack::close_sockets(service, clients.into_iter()).await;
        Ok(())
    }

    /// Makes something, or changes it when it is there.
    async fn put(&self, [make, change]: [u8; 2], attributes: &[Attribute]) -> Result<(), Failure> {
        match self.ask(make, ACK, attributes).await {
            Err(Failure::Errno(EXISTS)) => self.ask(change, ACK, attributes).await.map(drop),
            other => other.map(drop),
        }
    }

    async fn ask(&self, command: u8, flags: u16, attributes: &[Attribute]) -> Result<Vec<Packet>, Failure> {
        self.netlink.ask(generic(self.family, command, attributes), flags).await
    }
}

#[async_trait]
impl Dataplane for Ipvs {
    fn name(&self) -> &'static str {
        "ipvs"
    }

    async fn observe(&self, service: SocketAddr) -> Result<Option<Rules>> {
        let object = format!("the virtual service {service}");
        let told = match self.ask(command::GET_SERVICE, ACK, &[message::service_at(service)]).await {
            Ok(told) => told,
            Err(Failure::Errno(NO_SUCH)) => return Ok(None),
            Err(failure) => return Err(failure.of("read", object)),
        };
        let Some(scheduler) = told.iter().find_map(|packet| message::read_scheduler(packet.attributes())) else {
            return Err(Error::Refused { act: NOT_UNDERSTOOD, object, reason: "it has no service".to_owned() });
        };
        let servers = self.servers(service).await?.into_iter().map(|entry| (entry.address, entry.weight)).collect();
        Ok(Some(Rules { service: Service { address: service, scheduler }, servers }))
    }

    async fn apply(&self, wanted: &Rules, changes: &[Change]) -> Result<()> {
        let service = wanted.service.address;
        for change in changes {
            self.perform(service, change).await.map_err(|failure| refused(service, change, failure))?;
        }
        Ok(())
    }

    async fn remove(&self, service: &Service) -> Result<()> {
        match self.ask(command::DELETE_SERVICE, ACK, &[message::service_at(service.address)]).await {
            Ok(_) | Err(Failure::Errno(NO_SUCH)) => Ok(()),
            Err(failure) => Err(failure.of("remove", format!("the virtual service {}", service.address))),
        }
    }

    async fn traffic(&self, service: SocketAddr) -> Result<BTreeMap<SocketAddr, Traffic>> {
        Ok(self.servers(service).await?.into_iter().map(|entry| (entry.address, entry.traffic)).collect())
    }
}

/// A message to a part of the kernel that speaks generic netlink.
pub(super) fn generic(family: u16, command: u8, attributes: &[Attribute]) -> Packet {
    Packet { kind: family, body: nla::encode(&[command, 1, 0, 0], attributes) }
}

/// The number of the IPVS family; asking for it makes current kernels load the module.
async fn family(netlink: &Socket) -> Result<u16, Failure> {
    let told = netlink.ask(generic(CONTROLLER, GET_FAMILY, &[nla::text(FAMILY_NAME, "IPVS")]), ACK).await?;
    let number = |packet: &Packet| message::read_u16(nla::find(packet.attributes(), &[FAMILY_ID])?);
    told.iter().find_map(number).ok_or(Failure::Incomplete)
}

/// Has `modprobe` load the module, for kernels that do not load it by themselves: the only program that this dataplane
/// ever starts. Whether it helped shows when the family is asked for again.
async fn load_module() {
    let mut modprobe = Command::new("modprobe");
    modprobe.args(["--quiet", "ip_vs"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    modprobe.kill_on_drop(true);
    let _ = tokio::time::timeout(Duration::from_secs(10), modprobe.status()).await;
}

/// The error of a change that the kernel refused.
fn refused(service: SocketAddr, change: &Change, failure: Failure) -> Error {
    let (act, object) = match change {
        Change::SetService(_) => ("set", format!("the virtual service {service}")),
        Change::SetServer(server, _) => ("set", format!("the server {server} of {service}")),
        Change::RemoveServer(server) => ("remove", format!("the server {server} of {service}")),
    };
    let reason = match (&failure, change) {
        (Failure::Errno(NOT_FOUND), Change::SetService(wanted)) => {
            format!("the kernel has no scheduler {0}; load it with `modprobe ip_vs_{0}`", wanted.scheduler)
        }
        (Failure::Errno(NO_SUCH), _) => "there is no such virtual service".to_owned(),
        (Failure::Errno(97), _) => {
            "the kernel's IPVS does not know this address family; IPv6 may be switched off".to_owned()
        }
        _ => return failure.of(act, object),
    };
    Error::Refused { act, object, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scheduler;

    #[test]
    fn refusals_say_what_to_do() {
        let address = SocketAddr::from(([10, 0, 0, 1], 6443));
        let set = Change::SetService(Service { address, scheduler: Scheduler::Wrr });
        let told = |errno, change: &Change| refused(address, change, Failure::Errno(errno)).to_string();
        let missing = "cannot set the virtual service 10.0.0.1:6443: the kernel has no scheduler wrr; \
                       load it with `modprobe ip_vs_wrr`";
        assert_eq!(told(2, &set), missing);
        let remove = Change::RemoveServer(address);
        let gone = "cannot remove the server 10.0.0.1:6443 of 10.0.0.1:6443: there is no such virtual service";
        assert_eq!(told(3, &remove), gone);
        assert!(told(1, &set).contains("CAP_NET_ADMIN") && told(22, &set).contains("invalid argument"));
    }
}
