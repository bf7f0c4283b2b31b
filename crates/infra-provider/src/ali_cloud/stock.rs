//! Chooses the zones and instance types to try, best first.

use std::collections::BTreeMap;

use super::api::ecs::{Stock, StockLevel};
use super::settings::Group;

/// More types than this are not tried in one zone: what is sold out twelve times over is sold out.
const MAX_TYPES: usize = 12;

/// A zone and the types that may be had there, the best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidates {
    pub(super) zone: String,
    /// For masters.
    pub(super) masters: Vec<String>,
    /// For nodes.
    pub(super) nodes: Vec<String>,
}

/// Zones in which both groups can be had, the best first.
///
/// `only` is a zone that is given; a group of no machines can be had everywhere.
pub(super) fn candidates(
    (masters, master_stock): (&Group, &Stock),
    (nodes, node_stock): (&Group, &Stock),
    only: Option<&str>,
) -> Vec<Candidates> {
    let for_masters = by_zone(masters, master_stock);
    let for_nodes = by_zone(nodes, node_stock);
    let zones: Vec<&String> = if masters.count > 0 { for_masters.keys() } else { for_nodes.keys() }.collect();
    let mut found: Vec<(usize, Candidates)> = Vec::new();
    for zone in zones.into_iter().filter(|zone| only.is_none_or(|only| only == zone.as_str())) {
        let take = |group: &Group, offers: &BTreeMap<String, Vec<Offer>>| {
            let offers = offers.get(zone).cloned().unwrap_or_default();
            (group.count == 0 || !offers.is_empty()).then_some(offers)
        };
        let (Some(masters), Some(nodes)) = (take(masters, &for_masters), take(nodes, &for_nodes)) else { continue };
        let plenty = |offers: &[Offer]| offers.iter().filter(|offer| offer.level == StockLevel::WithStock).count();
        let scarce = usize::from(plenty(&masters) == 0) + usize::from(plenty(&nodes) == 0);
        let names = |offers: Vec<Offer>| offers.into_iter().map(|offer| offer.name).take(MAX_TYPES).collect();
        found.push((scarce, Candidates { zone: zone.clone(), masters: names(masters), nodes: names(nodes) }));
    }
    // Zones with plenty of both first; among equals the one whose name sorts last is usually the newest and emptiest.
    found.sort_by(|(scarce, one), (other, two)| scarce.cmp(other).then_with(|| two.zone.cmp(&one.zone)));
    found.into_iter().map(|(_, candidates)| candidates).collect()
}

#[derive(Debug, Clone)]
struct Offer {
    name: String,
    level: StockLevel,
}

fn by_zone(group: &Group, stock: &Stock) -> BTreeMap<String, Vec<Offer>> {
    let mut zones = BTreeMap::new();
    for zone in &stock.zones {
        let mut offers: Vec<Offer> = zone
            .offers()
            .filter(|offer| offer.is_available())
            .filter(
                |offer| if group.types.is_empty() { is_x86(&offer.value) } else { group.types.contains(&offer.value) },
            )
            .map(|offer| Offer { name: offer.value.clone(), level: offer.status_category })
            .collect();
        let preference = |name: &str| group.types.iter().position(|preferred| preferred == name).unwrap_or(0);
        offers.sort_by_key(|offer| (preference(&offer.name), std::cmp::Reverse(offer.level), rank(&offer.name)));
        offers.dedup_by(|one, two| one.name == two.name);
        if !offers.is_empty() {
            zones.insert(zone.zone_id.clone(), offers);
        }
    }
    zones
}

/// Families of ARM machines are named by their generation and `r` or `y` (`g6r`, `c8y`); images here are for x86.
fn is_x86(name: &str) -> bool {
    let family = family(name);
    let mut rest = family.trim_start_matches(|letter: char| letter.is_ascii_alphabetic()).chars();
    let suffix = rest.by_ref().find(|character| !character.is_ascii_digit());
    !(matches!(suffix, Some('r' | 'y')) && family.starts_with(['c', 'g', 'r']) && rest.next().is_none())
}

/// Plain families first, the newest generation first; then what shares its processors; then what is made for something
/// else (graphics, local disks, bare metal).
fn rank(name: &str) -> (u8, std::cmp::Reverse<u32>, String) {
    let family = family(name);
    let letters: String = family.chars().take_while(char::is_ascii_alphabetic).collect();
    let digits: String = family.chars().skip(letters.len()).take_while(char::is_ascii_digit).collect();
    let kind = match letters.as_str() {
        "c" | "g" | "r" | "u" | "hfc" | "hfg" | "hfr" => 0,
        "sn" | "se" | "n" | "e" | "s" | "ic" => 1,
        "t" | "xn" => 2,
        _ => 3,
    };
    (kind, std::cmp::Reverse(digits.parse().unwrap_or(0)), name.to_owned())
}

/// `g6` of `ecs.g6.large`.
fn family(name: &str) -> &str {
    name.split('.').nth(1).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::settings::{DiskSpec, Role};
    use super::*;

    fn group(role: Role, count: u32, types: &[&str]) -> Group {
        Group {
            role,
            count,
            cpu: 4,
            memory_gib: 8,
            sized: true,
            types: types.iter().map(|name| (*name).to_owned()).collect(),
            system_disk: DiskSpec { size_gib: 100, categories: Vec::new() },
            data_disks: Vec::new(),
        }
    }

    /// `zone: type=level type=level`, a zone a line.
    fn stock(text: &str) -> Stock {
        let zones: Vec<serde_json::Value> = text
            .lines()
            .map(|line| {
                let (zone, offers) = line.trim().split_once(':').unwrap();
                let offers: Vec<serde_json::Value> = offers
                    .split_whitespace()
                    .map(|offer| {
                        let (name, level) = offer.split_once('=').unwrap();
                        serde_json::json!({"Value": name, "Status": "Available", "StatusCategory": level})
                    })
                    .collect();
                serde_json::json!({"ZoneId": zone, "AvailableResources": {"AvailableResource": [
                    {"SupportedResources": {"SupportedResource": offers}}]}})
            })
            .collect();
        serde_json::from_value(serde_json::json!({"AvailableZones": {"AvailableZone": zones}})).unwrap()
    }

    fn show(candidates: &[Candidates]) -> Vec<String> {
        candidates
            .iter()
            .map(|one| format!("{} {} / {}", one.zone, one.masters.join(","), one.nodes.join(",")))
            .collect()
    }

    #[test]
    fn plenty_comes_before_scarce_and_plain_before_special() {
        let stock = stock(
            "a: ecs.g6.xlarge=ClosedWithStock\nb: ecs.t6.x=WithStock ecs.c6.x=WithStock ecs.c7.x=WithStock ecs.gn6.x=WithStock\nc: ecs.c7.x=WithoutStock",
        );
        let (masters, nodes) = (group(Role::Master, 3, &[]), group(Role::Node, 3, &[]));
        let found = candidates((&masters, &stock), (&nodes, &stock), None);
        let types = "ecs.c7.x,ecs.c6.x,ecs.t6.x,ecs.gn6.x";
        assert_eq!(show(&found), [format!("b {types} / {types}"), "a ecs.g6.xlarge / ecs.g6.xlarge".to_owned()]);
        assert_eq!(candidates((&masters, &stock), (&nodes, &stock), Some("a")).len(), 1);
    }

    #[test]
    fn a_zone_must_have_both() {
        let (small, large) = (stock("a: ecs.c6.s=WithStock\nb: ecs.c6.s=WithStock"), stock("b: ecs.c6.l=WithStock"));
        let (masters, nodes) = (group(Role::Master, 3, &[]), group(Role::Node, 3, &[]));
        assert_eq!(show(&candidates((&masters, &small), (&nodes, &large), None)), ["b ecs.c6.s / ecs.c6.l"]);
        let none = group(Role::Node, 0, &[]);
        assert_eq!(candidates((&masters, &small), (&none, &large), None).len(), 2);
    }

    #[test]
    fn types_that_are_named_are_taken_in_their_order_and_arm_only_then() {
        let stock = stock("a: ecs.g8y.x=WithStock ecs.g6r.x=WithStock ecs.r6.x=WithStock ecs.r7.x=WithStock");
        let nodes = group(Role::Node, 0, &[]);
        let plain = group(Role::Master, 1, &[]);
        assert_eq!(candidates((&plain, &stock), (&nodes, &stock), None)[0].masters, ["ecs.r7.x", "ecs.r6.x"]);
        let named = group(Role::Master, 1, &["ecs.r6.x", "ecs.g8y.x"]);
        assert_eq!(candidates((&named, &stock), (&nodes, &stock), None)[0].masters, ["ecs.r6.x", "ecs.g8y.x"]);
    }
}
