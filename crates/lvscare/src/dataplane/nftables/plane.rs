//! How does nftables hold the rules for virtual services?

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use async_trait::async_trait;

use super::listing::{Listing, text};
use super::ruleset::{self, BALANCE, HOOKS, Ruleset, WEIGHTS, table_of};
use super::slots::slots;
use super::transaction;
use crate::knock::{knock, remind};
use crate::netlink::{
    ACK, Attribute, Bus, DUMP, Failure, Family, Message, Reply, Socket, Subsystem, exchange, find,
    netfilter_attributes, netfilter_body, overhear, u32_be,
};
use crate::{Change, Dataplane, Error, Result, Rules, Scheduler, Server, Service, conntrack};

/// Balances by destination rewriting in nftables, for kernels without IPVS.
///
/// Each virtual service has its own table `lvscare-ADDRESS-PORT`; everything else in nftables is left alone. A
/// connection through a server that leaves is cut.
#[derive(Debug)]
pub struct Nftables {
    /// What was seen, and the generation of nftables' rules at that time.
    seen: Mutex<BTreeMap<SocketAddr, (u32, Option<Rules>)>>,
}

/// A list that is interrupted is asked for so often.
const ATTEMPTS: usize = 5;

/// So many services are remembered; one guard has one.
const REMEMBERED: usize = 64;

/// Those who want to hear of changes of nftables' rules.
const NOTIFIED: u32 = 7;

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
        try_out().await.map_err(|failure| match failure {
            Failure::Errno { errno: 1, .. } => failure.of("use", "nftables"),
            _ => Error::Unsupported {
                what: "nftables with address translation, numgen and jhash",
                advice: "load the modules nf_tables, nft_chain_nat, nft_numgen and nft_hash",
            },
        })?;
        Ok(Self { seen: Mutex::default() })
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
        let seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.get(&service).filter(|(then, _)| *then == generation).map(|(_, rules)| rules.clone())
    }

    /// The generation in which the table was seen to be as it should be, with servers or without.
    fn whole_in(&self, service: SocketAddr, with_servers: bool) -> Option<u32> {
        let seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (generation, rules) = seen.get(&service)?;
        let rules = rules.as_ref().filter(|rules| rules.service.scheduler != Scheduler::Other)?;
        (slots(rules).is_empty() != with_servers).then_some(*generation)
    }

    fn remember(&self, service: SocketAddr, generation: u32, rules: Option<Rules>) {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(service, (generation, rules));
    }
}

#[async_trait]
impl Dataplane for Nftables {
    fn name(&self) -> &'static str {
        "nftables"
    }

    async fn observe(&self, service: SocketAddr) -> Result<Option<Rules>> {
        let failed = |failure: Failure| failure.of("read", table_name(service));
        let before = generation().await.map_err(failed)?;
        if let Some(rules) = self.remembered(service, before) {
            return Ok(rules);
        }
        let rules = settled(|| list(service)).await.map_err(failed)?;
        let after = generation().await.map_err(failed)?;
        if before == after {
            self.remember(service, after, rules.clone());
        }
        Ok(rules)
    }

    async fn apply(&self, wanted: &Rules, changes: &[Change]) -> Result<()> {
        let ruleset = Ruleset::of(wanted)?;
        let service = wanted.service.address;
        let failed = |failure: Failure| failure.of("write", table_name(service));
        let mut netfilter = Socket::open(Bus::Netfilter).map_err(failed)?;
        let revised = match self.whole_in(service, !ruleset.places.is_empty()) {
            Some(generation) => {
                netfilter.exchange(&transaction::revise(&ruleset, generation), &mut |_| {}).await.is_ok()
            }
            None => false,
        };
        if !revised {
            netfilter.exchange(&transaction::replace(&ruleset), &mut |_| {}).await.map_err(failed)?;
        }
        let left = changes.iter().filter_map(|change| match change {
            Change::RemoveServer(server) => Some(*server),
            _ => None,
        });
        let (unheard, cut) = conntrack::cut_each(&mut netfilter, service, &left.collect::<Vec<_>>()).await;
        knock(service, &unheard);
        if changes.iter().any(|change| matches!(change, Change::AddService(_) | Change::SetService(_))) {
            // What servers sent while the rules were gone was refused in the name of clients that know nothing of it.
            remind(service, &conntrack::clients(&mut netfilter, service).await);
        }
        // After a change closing waits until the kernel has forgotten what was there: some ten milliseconds, in which
        // everything else of this process would stand still.
        tokio::task::spawn_blocking(|| drop(netfilter));
        cut
    }

    async fn meddled(&self, service: SocketAddr) {
        let (family, table) = table_of(service);
        let table = text(&table);
        // All objects begin with the address family, and their first attribute is the name of the table.
        let ours = |reply: Reply<'_>| {
            reply.body.first() == Some(&family.number())
                && find(netfilter_attributes(reply.body), 1) == Some(table.as_slice())
        };
        if overhear(Bus::Netfilter, &[NOTIFIED], &ours).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn remove(&self, service: &Service) -> Result<()> {
        match exchange(Bus::Netfilter, &transaction::delete(service.address), &mut |_| {}).await {
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
async fn generation() -> Result<u32, Failure> {
    let mut generation = None;
    ask(GET_GENERATION, ACK, Family::V4, &[], &mut |reply| {
        generation = find(netfilter_attributes(reply.body), 1).and_then(u32_be);
    })
    .await?;
    generation.ok_or(Failure::Silent)
}

/// What the table of `service` says; `None` when there is none.
async fn list(service: SocketAddr) -> Result<Option<Rules>, Failure> {
    let (family, table) = table_of(service);
    let mut listing = Listing::default();
    match list_elements(family, &table, &text(WEIGHTS), &mut listing).await {
        Err(failure) if failure.is_missing() => return Ok(None),
        other => other?,
    }
    let all = [Attribute::text(1, &table)];
    ask(GET_RULE, DUMP, family, &all, &mut |reply| listing.rule(&table, reply.body)).await?;
    for chain in [BALANCE].into_iter().chain(HOOKS.map(|hook| hook.name)) {
        let one = [Attribute::text(1, &table), Attribute::text(3, chain)];
        let told = ask(GET_CHAIN, ACK, family, &one, &mut |reply| listing.chain(&table, reply.body)).await;
        told.or_else(|failure| if failure.is_missing() { Ok(()) } else { Err(failure) })?;
    }
    if let Some(places) = listing.places().map(<[u8]>::to_vec) {
        list_elements(family, &table, &places, &mut listing).await?;
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

async fn list_elements(family: Family, table: &str, map: &[u8], listing: &mut Listing) -> Result<(), Failure> {
    let of = [Attribute::text(1, table), Attribute::bytes(2, map)];
    ask(GET_ELEMENTS, DUMP, family, &of, &mut |reply| listing.elements(reply.body)).await
}

async fn ask(
    message: u16,
    flags: u16,
    family: Family,
    attributes: &[Attribute],
    take: &mut (dyn FnMut(Reply<'_>) + Send),
) -> Result<(), Failure> {
    let kind = Subsystem::Nftables.kind(message);
    let message = Message { kind, flags, body: netfilter_body(family, attributes) };
    exchange(Bus::Netfilter, &[message], take).await
}

/// Lets the kernel check tables without keeping them: what is needed is there when the only failure is the last message,
/// which makes what exists. IPv6 may be missing on hosts that do not need it, and is told about by those that do.
async fn try_out() -> Result<(), Failure> {
    let address = SocketAddr::from(([192, 0, 2, 1], 1));
    let servers = BTreeMap::from([(address, Server::of(1))]);
    let rules = |scheduler| Rules { service: Service { address, scheduler }, servers: servers.clone() };
    let rulesets: Vec<_> = [Scheduler::Sh, Scheduler::Rr]
        .into_iter()
        .filter_map(|scheduler| Ruleset::of(&rules(scheduler)).ok())
        .collect();
    match exchange(Bus::Netfilter, &transaction::rehearse(&rulesets), &mut |_| {}).await {
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
