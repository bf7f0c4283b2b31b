//! The actions that the fake knows, by product.

mod available_resource;
mod catalogue;
mod eip;
mod instance_change;
mod instance_list;
mod instance_new;
mod key_pair;
mod page;
mod run_instances;
mod security_group;
mod tag;
mod vpc;
mod vswitch;

use crate::call::{Action, Product};
use crate::failure::{Failure, Outcome};

/// All tables of actions.
const TABLES: &[&[Action]] = &[
    available_resource::ACTIONS,
    catalogue::ACTIONS,
    eip::ACTIONS,
    instance_change::ACTIONS,
    instance_list::ACTIONS,
    key_pair::ACTIONS,
    run_instances::ACTIONS,
    security_group::ACTIONS,
    tag::ACTIONS,
    vpc::ACTIONS,
    vswitch::ACTIONS,
];

/// The action of this name in the product of this version.
pub(crate) fn action(name: &str, version: &str) -> Outcome<&'static Action> {
    let product = Product::of_version(version)?;
    let mut all = TABLES.iter().copied().flatten();
    all.find(|action| action.name == name && action.product == product).ok_or_else(|| {
        let message = format!("the action {name} is not known in version {version}");
        Failure::new(404, "InvalidAction.NotFound", message)
    })
}
