//! How are the rules of one virtual service read from IPVS and changed in it?

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::answer::{Answer, ServerEntry};
use super::refusal::{self, EXISTS, NO_ENTRY, NO_SERVICE};
use super::request::{Command, Request};
use super::socket::{Connection, Expect, Failure};
use super::{Info, Timeouts, connections, module};
use crate::knock::knock;
use crate::{Change, Dataplane, Error, Result, Rules, Scheduler, Server, Service, Traffic, conntrack};

/// The kernel's IP Virtual Server, reached by generic netlink.
#[derive(Debug)]
pub struct Ipvs {
    connection: Mutex<Connection>,
}

impl Ipvs {
    /// Opens a socket to IPVS in the current network namespace; has the kernel load the module when it is missing.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the kernel has no IPVS; an [`Error::Io`] when it has no netlink.
    pub async fn open() -> Result<Self> {
        let io = |source| Error::Io { act: "open a generic netlink socket".to_string(), source };
        let mut connection = Connection::open().map_err(io)?;
        let mut found = connection.find_family().await;
        if matches!(found, Err(Failure::Refused(NO_ENTRY))) {
            module::load().await;
            found = connection.find_family().await;
        }
        match found {
            Ok(()) => Ok(Self { connection: Mutex::new(connection) }),
            Err(Failure::Refused(NO_ENTRY)) => {
                Err(Error::Unsupported { what: "IPVS", advice: "load it with `modprobe ip_vs`, or use nftables" })
            }
            Err(failure) => Err(refusal::error("find", "IPVS".to_string(), None, failure)),
        }
    }

    /// What IPVS says about itself.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub async fn info(&self) -> Result<Info> {
        let mut info = Info::default();
        let request = Request::bare(Command::GetInfo);
        let asked = self.ask(request, Expect::One, |answer| {
            if let Answer::Info(found) = answer {
                info = found;
            }
        });
        asked.await.map_err(|failure| refusal::error("read", "the version of IPVS".to_string(), None, failure))?;
        Ok(info)
    }

    /// How long IPVS remembers silent connections.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub async fn timeouts(&self) -> Result<Timeouts> {
        let mut timeouts = Timeouts::default();
        let asked = self.ask(Request::bare(Command::GetConfig), Expect::One, |answer| {
            if let Answer::Timeouts(found) = answer {
                timeouts = found;
            }
        });
        asked.await.map_err(|failure| refusal::error("read", "the time-outs of IPVS".to_string(), None, failure))?;
        Ok(timeouts)
    }

    /// Sets how long IPVS remembers silent connections, in whole seconds; a time of zero leaves the old one.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn set_timeouts(&self, timeouts: Timeouts) -> Result<()> {
        let told = self.ask(Request::timeouts(timeouts), Expect::Done, drop).await;
        told.map_err(|failure| refusal::error("set", "the time-outs of IPVS".to_string(), None, failure))
    }

    /// Takes every virtual service away, those of others too.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn flush(&self) -> Result<()> {
        let told = self.ask(Request::bare(Command::Flush), Expect::Done, drop).await;
        told.map_err(|failure| refusal::error("flush", "all rules of IPVS".to_string(), None, failure))
    }

    async fn servers(&self, service: SocketAddr) -> Result<Vec<ServerEntry>> {
        let mut entries = Vec::new();
        let asked = self.ask(Request::about(Command::GetServer, service), Expect::List, |answer| {
            if let Answer::Server(entry) = answer {
                entries.push(entry);
            }
        });
        let failed = |failure| refusal::error("read", format!("the servers of {service}"), None, failure);
        asked.await.map_err(failed)?;
        Ok(entries)
    }

    async fn perform(&self, service: SocketAddr, change: &Change) -> Result<()> {
        let virtual_service = || format!("the virtual service {service}");
        let server_of = |server: &SocketAddr| format!("the server {server} of {service}");
        match change {
            Change::AddService(wanted) | Change::SetService(wanted) => {
                let act = if matches!(change, Change::AddService(_)) { "add" } else { "change" };
                let done = self.put_service(wanted).await;
                done.map_err(|failure| refusal::error(act, virtual_service(), Some(wanted.scheduler), failure))
            }
            Change::AddServer(address, wanted) | Change::SetServer(address, wanted) => {
                let adds = matches!(change, Change::AddServer(..));
                let done = self.put_server(service, *address, *wanted, adds).await;
                let act = if adds { "add" } else { "change" };
                done.map_err(|failure| refusal::error(act, server_of(address), None, failure))
            }
            Change::RemoveServer(address) => {
                let done = self.remove_server(service, *address).await;
                done.map_err(|failure| refusal::error("remove", server_of(address), None, failure))
            }
        }
    }

    /// Takes a server out with its connections.
    ///
    /// The kernel forgets the connections of a server that left, but clients that only wait for an answer would never
    /// hear of it: their sockets are closed while it can still be told which they are.
    async fn remove_server(&self, service: SocketAddr, address: SocketAddr) -> Result<(), Failure> {
        let drained = Request::server(Command::SetServer, service, address, Server::of(0));
        if let Err(Failure::Refused(NO_ENTRY | NO_SERVICE)) = self.ask(drained, Expect::Done, drop).await {
            return Ok(());
        }
        let clients = connections::clients(service, address).await;
        match self.ask(Request::about_server(Command::DelServer, service, address), Expect::Done, drop).await {
            Ok(()) | Err(Failure::Refused(NO_ENTRY | NO_SERVICE)) => {}
            Err(failure) => return Err(failure),
        }
        let unheard = conntrack::close_sockets(service, &clients).await;
        if !unheard.is_empty() {
            tokio::spawn(knock_soon(service, unheard));
        }
        Ok(())
    }

    /// Makes the service, or changes it when it is there.
    async fn put_service(&self, wanted: &Service) -> Result<(), Failure> {
        match self.ask(Request::service(Command::NewService, wanted), Expect::Done, drop).await {
            Err(Failure::Refused(EXISTS)) => {
                self.ask(Request::service(Command::SetService, wanted), Expect::Done, drop).await
            }
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
            (Command::NewServer, Command::SetServer, EXISTS)
        } else {
            (Command::SetServer, Command::NewServer, NO_ENTRY)
        };
        match self.ask(Request::server(first, service, address, wanted), Expect::Done, drop).await {
            Err(Failure::Refused(code)) if code == turned => {
                self.ask(Request::server(second, service, address, wanted), Expect::Done, drop).await
            }
            other => other,
        }
    }

    async fn ask(&self, request: Request, expect: Expect, each: impl FnMut(Answer)) -> Result<(), Failure> {
        self.connection.lock().await.ask(request, expect, each).await
    }
}

#[async_trait]
impl Dataplane for Ipvs {
    fn name(&self) -> &'static str {
        "ipvs"
    }

    async fn observe(&self, service: SocketAddr) -> Result<Option<Rules>> {
        let mut scheduler = None;
        let asked = self.ask(Request::about(Command::GetService, service), Expect::One, |answer| {
            if let Answer::Service(entry) = answer
                && same(entry.address, service)
            {
                scheduler = Some(entry.scheduler);
            }
        });
        match asked.await {
            Ok(()) => {}
            Err(Failure::Refused(NO_SERVICE)) => return Ok(None),
            Err(failure) => {
                return Err(refusal::error("read", format!("the virtual service {service}"), None, failure));
            }
        }
        let Some(scheduler) = scheduler else {
            let reason = "the kernel told about another service".to_string();
            return Err(Error::Malformed { object: format!("the virtual service {service}"), reason });
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
        let request = Request::about(Command::DelService, service.address);
        match self.ask(request, Expect::Done, drop).await {
            Ok(()) | Err(Failure::Refused(NO_SERVICE)) => Ok(()),
            Err(failure) => {
                Err(refusal::error("remove", format!("the virtual service {}", service.address), None, failure))
            }
        }
    }

    async fn traffic(&self, service: SocketAddr) -> Result<BTreeMap<SocketAddr, Traffic>> {
        Ok(self.servers(service).await?.into_iter().map(|entry| (entry.address, entry.traffic)).collect())
    }
}

/// Knocks when the kernel has forgotten the connections, which takes it a moment; kernels before 5.10 forget each when
/// its next packet comes, so that only the second knock tells the client.
async fn knock_soon(service: SocketAddr, clients: Vec<SocketAddr>) {
    for wait in [Duration::from_millis(30), Duration::from_millis(600)] {
        tokio::time::sleep(wait).await;
        knock(service, &clients);
    }
}

/// IPVS knows neither scopes nor flow labels.
fn same(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip() == other.ip() && one.port() == other.port()
}

/// What the kernel would refuse without a reason, or hold other than it was told.
fn check(wanted: &Rules) -> Result<()> {
    let service = wanted.service.address;
    let invalid = |reason: String| Err(Error::Invalid { service, reason });
    if wanted.service.scheduler == Scheduler::Other {
        return invalid("IPVS needs a scheduler that it knows".to_string());
    }
    for address in wanted.servers.keys() {
        if address.is_ipv6() != service.is_ipv6() {
            return invalid(format!("server {address} is of another address family"));
        }
        if matches!(address, SocketAddr::V6(six) if six.scope_id() != 0 || six.flowinfo() != 0) {
            return invalid(format!("server {address} has a scope, which IPVS cannot hold"));
        }
    }
    Ok(())
}
