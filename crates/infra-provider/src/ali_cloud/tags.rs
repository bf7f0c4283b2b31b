//! Names and tags a cluster's resources.

use super::api::Tag;
use super::api::ecs::Instance;
use super::settings::Role;

/// Upstream's tag: the name of the cluster.
const PRODUCT: &str = "product";
/// Upstream's tag: what a machine is for.
const ROLE: &str = "role";
/// Only what bears this tag is ever deleted.
const OWNER: &str = "sealer.io/cluster";

/// Tags of everything that is made for a cluster; also what it is found by.
pub(super) fn of_cluster(cluster: &str) -> Vec<Tag> {
    vec![Tag::new(OWNER, cluster), Tag::new(PRODUCT, cluster)]
}

/// What resources are searched by.
pub(super) fn search(cluster: &str) -> Vec<Tag> {
    vec![Tag::new(OWNER, cluster)]
}

/// Tags of a machine.
pub(super) fn of_machine(cluster: &str, role: Role) -> Vec<Tag> {
    let mut tags = of_cluster(cluster);
    tags.push(Tag::new(ROLE, role.as_str()));
    tags
}

/// Whether these tags are those of something that was made for `cluster`.
pub(super) fn is_own(tags: &[Tag], cluster: &str) -> bool {
    tags.iter().any(|tag| tag.key == OWNER && tag.value == cluster)
}

/// The name of what a cluster has only one of.
pub(super) fn name(cluster: &str) -> String {
    format!("sealer-{cluster}")
}

/// The host name of a machine.
pub(super) fn host_name(cluster: &str, role: Role, index: u32) -> String {
    format!("{cluster}-{}-{index}", role.as_str())
}

/// What a listed machine is for, and its number; `None` when its tags or its name do not tell.
pub(super) fn read(instance: &Instance, cluster: &str) -> Option<(Role, u32)> {
    let role = Role::parse(instance.tag(ROLE)?)?;
    let number = |name: &str| name.strip_prefix(&format!("{cluster}-{}-", role.as_str()))?.parse().ok();
    Some((role, number(&instance.host_name).or_else(|| number(&instance.instance_name))?))
}
