//! Reads and changes the rules of virtual services in nftables.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::table::{self, CHAINS, Listing, WEIGHTS};
use crate::netlink::{ACK, DUMP, Failure, Packet, Socket, Subsystem, family, nla, protocols};
use crate::{Change, Dataplane, Error, Result, Rules, Scheduler, Service, conntrack};

/// Balances by destination rewriting in nftables, for kernels without IPVS.
///
/// Each virtual service has its own table `lvscare-ADDRESS-PORT`; everything else in nftables is left alone. A
/// connection through a server that leaves is cut.
#[derive(Debug)]
pub struct Nftables {
    netlink: Socket,
    /// What was seen last, and the generation of nftables' rules at that time.
    seen: Mutex<Option<(SocketAddr, u32, Option<Rules>)>>,
}

/// A list that is interrupted is asked for so often.
const ATTEMPTS: usize = 5;

const GET_CHAIN: u16 = 4;
const GET_RULE: u16 = 7;
const GET_ELEMENTS: u16 = 13;
const GET_GENERATION: u16 = 16;

impl Nftables {
    /// nftables of this network namespace, when the kernel has all that is needed of it.
    ///
    /// # Errors
    /// When it has not, or this process may not change it.
    pub async fn open() -> Result<Self> {
        let netlink = Socket::new(protocols::NETLINK_NETFILTER);
        try_out(&netlink).await.map_err(|failure| match failure {
            Failure::Errno(1) => failure.of("use", "nftables"),
            _ => Error::Unsupported {
                what: "nftables with address translation, numgen and jhash",
                advice: "load the modules nf_tables, nft_chain_nat, nft_numgen and nft_hash",
            },
        })?;
        Ok(Self { netlink, seen: Mutex::default() })
    }

    /// Whether nftables can choose servers in this way.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when it cannot: it does not count the connections of a server.
    pub fn knows(scheduler: Scheduler) -> Result<()> {
        match scheduler {
            Scheduler::Rr | Scheduler::Wrr | Scheduler::Sh | Scheduler::Dh => Ok(()),
            _ => Err(Error::Unsupported {
                what: "least-connection scheduling without IPVS",
                advice: "choose the scheduler rr, wrr, sh or dh, or load the module ip_vs",
            }),
        }
    }

    /// What was seen of `service` when nftables' rules had this generation.
    fn remembered(&self, service: SocketAddr, generation: u32) -> Option<Option<Rules>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().filter(|(of, then, _)| (*of, *then) == (service, generation)).map(|(_, _, rules)| rules.clone())
    }
}

#[async_trait]
impl Dataplane for Nftables {
    fn name(&self) -> &'static str {
        "nftables"
    }

    async fn observe(&self, service: SocketAddr) -> Result<Option<Rules>> {
        let failed = |failure: Failure| failure.of("read", table_name(service));
        let before = generation(&self.netlink).await.map_err(failed)?;
        if let Some(rules) = self.remembered(service, before) {
            return Ok(rules);
        }
        let rules = settled(|| list(&self.netlink, service)).await.map_err(failed)?;
        // What changed meanwhile shows at the next look, which then finds another generation.
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((service, before, rules.clone()));
        Ok(rules)
    }

    async fn apply(&self, wanted: &Rules, changes: &[Change]) -> Result<()> {
        let service = wanted.service.address;
        Self::knows(wanted.service.scheduler)?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let seen = seen.filter(|(of, ..)| *of == service);
        let update = seen.and_then(|(_, generation, old)| table::update(&old?, generation, wanted));
        let mut written = Err(Failure::Incomplete);
        if let Some(update) = update {
            written = self.netlink.exchange(update, &mut |_| {}).await;
        }
        // Others changed something meanwhile, or this kernel keeps the old map's name until the end of a transaction.
        if written.is_err() {
            written = self.netlink.exchange(table::replace(wanted), &mut |_| {}).await;
        }
        written.map_err(|failure| failure.of("write", table_name(service)))?;
        let left = changes.iter().filter_map(|change| match change {
            Change::RemoveServer(server) => Some(*server),
            _ => None,
        });
        conntrack::end_connections(&self.netlink, service, &left.collect::<Vec<_>>()).await
    }

    async fn remove(&self, service: &Service) -> Result<()> {
        match self.netlink.exchange(table::delete(service.address), &mut |_| {}).await {
            Err(failure) if !failure.is_missing() => Err(failure.of("delete", table_name(service.address))),
            _ => Ok(()),
        }
    }
}

fn table_name(service: SocketAddr) -> String {
    format!("the nftables table {} {}", if service.is_ipv4() { "ip" } else { "ip6" }, table::name(service))
}

/// The number that grows with every change of nftables' rules by anybody.
async fn generation(netlink: &Socket) -> Result<u32, Failure> {
    let request = Subsystem::Nftables.request(GET_GENERATION, ACK, 0, &[]);
    let answers = netlink.ask(request.message, request.flags).await?;
    let number = |packet: &Packet| Some(u32::from_be_bytes(nla::find(packet.attributes(), &[1])?.try_into().ok()?));
    answers.iter().find_map(number).ok_or(Failure::Incomplete)
}

/// What the table of `service` holds; `None` when there is none.
async fn list(netlink: &Socket, service: SocketAddr) -> Result<Option<Rules>, Failure> {
    let table = table::name(service);
    let ask = |message, flags, attributes: &[_]| {
        vec![Subsystem::Nftables.request(message, flags, family(service.ip()), attributes)]
    };
    let mut listing = Listing::default();
    let weights = ask(GET_ELEMENTS, DUMP, &[nla::text(1, &table), nla::text(2, WEIGHTS)]);
    match netlink.exchange(weights, &mut |packet| listing.weights(&packet)).await {
        Err(failure) if failure.is_missing() => return Ok(None),
        other => other?,
    }
    let mut objects: Vec<_> =
        CHAINS.iter().map(|chain| ask(GET_CHAIN, ACK, &[nla::text(1, &table), nla::text(3, chain)])).collect();
    objects.push(ask(GET_RULE, DUMP, &[nla::text(1, &table)]));
    for request in objects {
        match netlink.exchange(request, &mut |packet| listing.object(&table, packet)).await {
            Err(failure) if failure.is_missing() => {}
            other => other?,
        }
    }
    Ok(Some(listing.rules(service)))
}

/// What `list` tells, asked again when others changed something meanwhile, in whatever table.
async fn settled<T, F: Future<Output = Result<T, Failure>>>(mut list: impl FnMut() -> F) -> Result<T, Failure> {
    let mut told = list().await;
    for _ in 1..ATTEMPTS {
        told = if matches!(told, Err(Failure::Interrupted)) { list().await } else { break };
    }
    told
}

/// Lets the kernel check tables without keeping them: what is needed is there when the only failure is the last message,
/// which makes what exists. IPv6 may be missing on hosts that do not need it, and is told about by those that do.
async fn try_out(netlink: &Socket) -> Result<(), Failure> {
    let address = SocketAddr::from(([192, 0, 2, 1], 1));
    let servers = BTreeMap::from([(address, 1)]);
    let rules = |scheduler| Rules { service: Service { address, scheduler }, servers: servers.clone() };
    match netlink.exchange(table::rehearse(&[Scheduler::Sh, Scheduler::Rr].map(rules)), &mut |_| {}).await {
        Err(failure) if failure.exists() => Ok(()),
        Err(failure) => Err(failure),
        Ok(()) => Err(Failure::Incomplete),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_interrupted_list_is_asked_for_again_but_not_for_ever() {
        for (interruptions, asked) in [(0, 1), (3, 4), (usize::MAX, ATTEMPTS)] {
            let mut times = 0;
            let told = settled(|| {
                times += 1;
                std::future::ready(if times <= interruptions { Err(Failure::Interrupted) } else { Ok(()) })
            })
            .await;
            assert_eq!((told.is_ok(), times), (interruptions < ATTEMPTS, asked));
        }
    }
}
