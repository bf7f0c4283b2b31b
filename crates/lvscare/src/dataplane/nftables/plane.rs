//! Reads and changes the rules of virtual services in nftables.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::listing::{Listing, text};
use super::ruleset::{self, BALANCE, HOOKS, Ruleset, WEIGHTS, table_of};
use super::transaction;
use crate::netlink::{
    ACK, Attribute, Bus, DUMP, Failure, Family, Message, Reply, Socket, Subsystem, find, netfilter_attributes,
    netfilter_body, u32_be,
};
use crate::{Change, Dataplane, Error, Result, Rules, Scheduler, Server, Service, conntrack};

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
        let netlink = Socket::new(Bus::Netfilter);
        try_out(&netlink).await.map_err(|failure| match failure {
            Failure::Errno { errno: 1, .. } => failure.of("use", "nftables"),
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
        ruleset::knows(scheduler)
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
        let mut rules = settled(|| list(&self.netlink, service)).await.map_err(failed)?;
        if rules.as_ref().is_some_and(|rules| rules.service.scheduler == Scheduler::Other) {
            // Seen once on a busy machine, right after the table was written, and not explained: what is really other is
            // so twice, and only then is the table written again.
            rules = settled(|| list(&self.netlink, service)).await.map_err(failed)?;
        }
        // What changed meanwhile shows at the next look, which then finds another generation.
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((service, before, rules.clone()));
        Ok(rules)
    }

    async fn apply(&self, wanted: &Rules, changes: &[Change]) -> Result<()> {
        let ruleset = Ruleset::of(wanted)?;
        let service = wanted.service.address;
        let failed = |failure: Failure| failure.of("write", table_name(service));
        self.netlink.exchange(&transaction::replace(&ruleset), &mut |_| {}).await.map_err(failed)?;
        let left = changes.iter().filter_map(|change| match change {
            Change::RemoveServer(server) => Some(*server),
            _ => None,
        });
        conntrack::cut(&self.netlink, service, &left.collect::<Vec<_>>()).await
    }

    async fn remove(&self, service: &Service) -> Result<()> {
        match self.netlink.exchange(&transaction::delete(service.address), &mut |_| {}).await {
            Err(failure) if !failure.is_missing() => Err(failure.of("delete", table_name(service.address))),
            _ => Ok(()),
        }
    }
}

fn table_name(service: SocketAddr) -> String {
    let (family, table) = table_of(service);
    let family = if family == Family::V4 { "ip" } else { "ip6" };
    format!("the nftables table {family} {table}")
}

/// The number that grows with every change of nftables' rules by anybody.
async fn generation(netlink: &Socket) -> Result<u32, Failure> {
    let mut generation = None;
    ask(netlink, GET_GENERATION, ACK, Family::V4, &[], &mut |reply| {
        generation = find(netfilter_attributes(reply.body), 1).and_then(u32_be);
    })
    .await?;
    generation.ok_or(Failure::Silent)
}

/// What the table of `service` says; `None` when there is none.
async fn list(netlink: &Socket, service: SocketAddr) -> Result<Option<Rules>, Failure> {
    let (family, table) = table_of(service);
    let mut listing = Listing::default();
    match list_elements(netlink, family, &table, &text(WEIGHTS), &mut listing).await {
        Err(failure) if failure.is_missing() => return Ok(None),
        other => other?,
    }
    let all = [Attribute::text(1, &table)];
    ask(netlink, GET_RULE, DUMP, family, &all, &mut |reply| listing.rule(&table, reply.body)).await?;
    for chain in [BALANCE].into_iter().chain(HOOKS.map(|hook| hook.name)) {
        let one = [Attribute::text(1, &table), Attribute::text(3, chain)];
        let told = ask(netlink, GET_CHAIN, ACK, family, &one, &mut |reply| listing.chain(&table, reply.body)).await;
        told.or_else(|failure| if failure.is_missing() { Ok(()) } else { Err(failure) })?;
    }
    if let Some(places) = listing.places().map(<[u8]>::to_vec) {
        list_elements(netlink, family, &table, &places, &mut listing).await?;
    }
    Ok(listing.rules(service))
}

/// What `list` tells, asked again when others changed something meanwhile, in whatever table.
async fn settled<T, F: Future<Output = Result<T, Failure>>>(mut list: impl FnMut() -> F) -> Result<T, Failure> {
    for _ in 1..ATTEMPTS {
        match list().await {
            Err(Failure::Interrupted) => {}
            told => return told,
        }
    }
    list().await
}

async fn list_elements(
    netlink: &Socket,
    family: Family,
    table: &str,
    map: &[u8],
    listing: &mut Listing,
) -> Result<(), Failure> {
    let of = [Attribute::text(1, table), Attribute::bytes(2, map)];
    ask(netlink, GET_ELEMENTS, DUMP, family, &of, &mut |reply| listing.elements(reply.body)).await
}

async fn ask(
    netlink: &Socket,
    message: u16,
    flags: u16,
    family: Family,
    attributes: &[Attribute],
    take: &mut (dyn FnMut(Reply<'_>) + Send),
) -> Result<(), Failure> {
    let kind = Subsystem::Nftables.kind(message);
    let message = Message { kind, flags, body: netfilter_body(family, attributes) };
    netlink.exchange(&[message], take).await
}

/// Lets the kernel check tables without keeping them: what is needed is there when the only failure is the last message,
/// which makes what exists. IPv6 may be missing on hosts that do not need it, and is told about by those that do.
async fn try_out(netlink: &Socket) -> Result<(), Failure> {
    let address = SocketAddr::from(([192, 0, 2, 1], 1));
    let servers = BTreeMap::from([(address, Server::of(1))]);
    let rules = |scheduler| Rules { service: Service { address, scheduler }, servers: servers.clone() };
    let rulesets: Vec<_> = [Scheduler::Sh, Scheduler::Rr]
        .into_iter()
        .filter_map(|scheduler| Ruleset::of(&rules(scheduler)).ok())
        .collect();
    match netlink.exchange(&transaction::rehearse(&rulesets), &mut |_| {}).await {
        Err(failure) if failure.is_there() => Ok(()),
        Err(failure) => Err(failure),
        Ok(()) => Err(Failure::Silent),
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
