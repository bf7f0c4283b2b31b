//! Reads the rules of one virtual service from IPVS, and changes them in it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::process::Command;

use super::answer::{self, ServerEntry, server_entry, service_entry};
use super::numbers::command;
use super::{connections, request};
use crate::netlink::{ACK, Attribute, Bus, DUMP, Failure, Message, Reply, Socket, find};
use crate::{Change, Dataplane, Error, Result, Rules, Scheduler, Server, Service, Traffic, conntrack};

/// The controller of generic netlink, which knows the numbers of the other parts (`linux/genetlink.h`).
const CONTROLLER: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

const NO_ENTRY: i32 = 2;
const NO_SERVICE: i32 = 3;
const EXISTS: i32 = 17;

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
        let netlink = Socket::new(Bus::Generic);
        let mut found = family(&netlink).await;
        if matches!(found, Err(Failure::Errno { errno: NO_ENTRY, .. })) {
            load_module().await;
            found = family(&netlink).await;
        }
        match found {
            Ok(family) => Ok(Self { netlink, family }),
            Err(Failure::Errno { errno: NO_ENTRY, .. }) => {
                Err(Error::Unsupported { what: "IPVS", advice: "load it with `modprobe ip_vs`, or use nftables" })
            }
            Err(failure) => Err(refused("find", "IPVS".to_owned(), None, failure)),
        }
    }

    async fn servers(&self, service: SocketAddr) -> Result<Vec<ServerEntry>> {
        let object = || format!("the servers of {service}");
        let mut entries = Vec::new();
        let take = &mut |reply: Reply<'_>| entries.push(server_entry(reply.body));
        let asked = self.ask(command::GET_SERVER, DUMP, &request::about(service), take).await;
        asked.map_err(|failure| refused("read", object(), None, failure))?;
        let malformed = || Error::Malformed { object: object(), reason: "an entry cannot be understood".to_owned() };
        entries.into_iter().collect::<Option<_>>().ok_or_else(malformed)
    }

    async fn perform(&self, service: SocketAddr, change: &Change) -> Result<()> {
        let virtual_service = || format!("the virtual service {service}");
        let server_of = |server: &SocketAddr| format!("the server {server} of {service}");
        match change {
            Change::AddService(wanted) | Change::SetService(wanted) => {
                let act = if matches!(change, Change::AddService(_)) { "add" } else { "change" };
                let done = self.put_service(wanted).await;
                done.map_err(|failure| refused(act, virtual_service(), Some(wanted.scheduler), failure))
            }
            Change::AddServer(address, wanted) | Change::SetServer(address, wanted) => {
                let adds = matches!(change, Change::AddServer(..));
                let done = self.put_server(service, *address, *wanted, adds).await;
                let act = if adds { "add" } else { "change" };
                done.map_err(|failure| refused(act, server_of(address), None, failure))
            }
            Change::RemoveServer(address) => {
                let done = self.remove_server(service, *address).await;
                done.map_err(|failure| refused("remove", server_of(address), None, failure))
            }
        }
    }

    /// Takes a server out with its connections.
    ///
    /// The kernel forgets the connections of a server that left, but clients that only wait for an answer would never
    /// hear of it: their sockets are closed while it can still be told which they are.
    async fn remove_server(&self, service: SocketAddr, address: SocketAddr) -> Result<(), Failure> {
        let drained = request::whole_server(service, address, Server::of(0));
        if let Err(Failure::Errno { errno: NO_ENTRY | NO_SERVICE, .. }) = self.tell(command::SET_SERVER, &drained).await
        {
            return Ok(());
        }
        let clients = connections::clients(service, address).await;
        match self.tell(command::DELETE_SERVER, &request::about_server(service, address)).await {
            Ok(()) | Err(Failure::Errno { errno: NO_ENTRY | NO_SERVICE, .. }) => {}
            Err(failure) => return Err(failure),
        }
        conntrack::close_sockets(service, &clients).await;
        Ok(())
    }

    /// Makes the service, or changes it when it is there.
    async fn put_service(&self, wanted: &Service) -> Result<(), Failure> {
        let whole = request::whole_service(wanted);
        match self.tell(command::NEW_SERVICE, &whole).await {
            Err(Failure::Errno { errno: EXISTS, .. }) => self.tell(command::SET_SERVICE, &whole).await,
            other => other,
        }
    }

    /// Adds or changes a server; what another program did meanwhile turns the one into the other.
    async fn put_server(
        &self,
        service: SocketAddr,
        address: SocketAddr,
        wanted: Server,
        adds: bool,
    ) -> Result<(), Failure> {
        let (first, second, turned) = if adds {
            (command::NEW_SERVER, command::SET_SERVER, EXISTS)
        } else {
            (command::SET_SERVER, command::NEW_SERVER, NO_ENTRY)
        };
        let whole = request::whole_server(service, address, wanted);
        match self.tell(first, &whole).await {
            Err(Failure::Errno { errno, .. }) if errno == turned => self.tell(second, &whole).await,
            other => other,
        }
    }

    async fn tell(&self, command: u8, attributes: &[Attribute]) -> Result<(), Failure> {
        self.ask(command, ACK, attributes, &mut |_| {}).await
    }

    async fn ask(
        &self,
        command: u8,
        flags: u16,
        attributes: &[Attribute],
        take: &mut (dyn FnMut(Reply<'_>) + Send),
    ) -> Result<(), Failure> {
        let body = request::body(command, 1, attributes);
        self.netlink.exchange(&[Message { kind: self.family, flags, body }], take).await
    }
}

#[async_trait]
impl Dataplane for Ipvs {
    fn name(&self) -> &'static str {
        "ipvs"
    }

    async fn observe(&self, service: SocketAddr) -> Result<Option<Rules>> {
        let object = || format!("the virtual service {service}");
        let mut found = None;
        let take = &mut |reply: Reply<'_>| found = found.or(service_entry(reply.body));
        match self.ask(command::GET_SERVICE, ACK, &request::about(service), take).await {
            Ok(()) => {}
            Err(Failure::Errno { errno: NO_SERVICE, .. }) => return Ok(None),
            Err(failure) => return Err(refused("read", object(), None, failure)),
        }
        let Some((_, scheduler)) = found.filter(|(address, _)| *address == service) else {
            let reason = "the kernel told about another service".to_owned();
            return Err(Error::Malformed { object: object(), reason });
        };
        let servers = self.servers(service).await?.into_iter().map(|entry| (entry.address, entry.server)).collect();
        Ok(Some(Rules { service: Service { address: service, scheduler }, servers }))
    }

    async fn apply(&self, wanted: &Rules, changes: &[Change]) -> Result<()> {
        check(wanted)?;
        for change in changes {
            self.perform(wanted.service.address, change).await?;
        }
        Ok(())
    }

    async fn remove(&self, service: &Service) -> Result<()> {
        match self.tell(command::DELETE_SERVICE, &request::about(service.address)).await {
            Ok(()) | Err(Failure::Errno { errno: NO_SERVICE, .. }) => Ok(()),
            Err(failure) => Err(refused("remove", format!("the virtual service {}", service.address), None, failure)),
        }
    }

    async fn traffic(&self, service: SocketAddr) -> Result<BTreeMap<SocketAddr, Traffic>> {
        Ok(self.servers(service).await?.into_iter().map(|entry| (entry.address, entry.traffic)).collect())
    }
}

/// The number of the IPVS family; asking for it makes current kernels load the module.
async fn family(netlink: &Socket) -> Result<u16, Failure> {
    let body = request::body(GET_FAMILY, 1, &[Attribute::text(FAMILY_NAME, "IPVS")]);
    let mut family = None;
    let take = &mut |reply: Reply<'_>| {
        family = find(answer::attributes(reply.body), FAMILY_ID).and_then(answer::short);
    };
    netlink.exchange(&[Message { kind: CONTROLLER, flags: ACK, body }], take).await?;
    family.ok_or(Failure::Silent)
}

/// Has `modprobe` load the module, for kernels that do not load it by themselves: the only program that this dataplane
/// ever starts. Whether it helped shows when the family is asked for again.
async fn load_module() {
    let mut modprobe = Command::new("modprobe");
    modprobe.args(["--quiet", "ip_vs"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    modprobe.kill_on_drop(true);
    let _ = tokio::time::timeout(Duration::from_secs(10), modprobe.status()).await;
}

/// What the kernel would refuse without a reason, or hold other than it was told.
fn check(wanted: &Rules) -> Result<()> {
    let service = wanted.service.address;
    let invalid = |reason: String| Err(Error::Invalid { service, reason });
    if wanted.service.scheduler == Scheduler::Other {
        return invalid("IPVS needs a scheduler that it knows".to_owned());
    }
    match wanted.servers.keys().find(|address| address.is_ipv6() != service.is_ipv6()) {
        Some(address) => invalid(format!("server {address} is of another address family")),
        None => Ok(()),
    }
}

/// The error of an act on an object that failed; `scheduler` is set when the act chooses one.
fn refused(act: &'static str, object: String, scheduler: Option<Scheduler>, failure: Failure) -> Error {
    let Failure::Errno { errno, .. } = failure else { return failure.of(act, object) };
    let reason = match (errno, scheduler) {
        (1 | 13, _) => "needs CAP_NET_ADMIN: run it as root".to_owned(),
        (NO_ENTRY, Some(name)) => format!("the kernel has no scheduler {name}; load it with `modprobe ip_vs_{name}`"),
        (NO_ENTRY, None) => "there is no such server".to_owned(),
        (NO_SERVICE, _) => "there is no such virtual service".to_owned(),
        (12 | 105, _) => "the kernel has no memory left for it".to_owned(),
        (EXISTS, _) => "it is there already".to_owned(),
        (97, _) => "the kernel's IPVS does not know this address family; IPv6 may be switched off".to_owned(),
        _ => return failure.of(act, object),
    };
    Error::Refused { act, object, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(errno: i32, scheduler: Option<Scheduler>) -> String {
        let failure = Failure::Errno { errno, words: String::new() };
        refused("add", "the virtual service 10.0.0.1:6443".into(), scheduler, failure).to_string()
    }

    #[test]
    fn refusals_say_what_to_do() {
        let prefix = "cannot add the virtual service 10.0.0.1:6443: ";
        assert_eq!(told(1, None), format!("{prefix}needs CAP_NET_ADMIN: run it as root"));
        assert_eq!(
            told(2, Some(Scheduler::Wrr)),
            format!("{prefix}the kernel has no scheduler wrr; load it with `modprobe ip_vs_wrr`")
        );
        assert_eq!(told(3, None), format!("{prefix}there is no such virtual service"));
        assert!(told(22, None).contains("invalid argument"));
    }
}
