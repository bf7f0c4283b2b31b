//! Describes one action: its name, its parameters, its effect.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::failure::{Failure, Outcome};
use crate::parameters::Parameters;
use crate::world::World;

/// A group of actions with a version of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    Ecs,
    Vpc,
}

impl Product {
    pub(crate) fn of_version(version: &str) -> Outcome<Product> {
        match version {
            "2014-05-26" => Ok(Product::Ecs),
            "2016-04-28" => Ok(Product::Vpc),
            _ => Err(Failure::new(400, "InvalidVersion", format!("the version {version} is not valid"))),
        }
    }
}

/// One action. Names of parameters have `N` where a number stands; `RegionId` is always allowed.
pub(crate) struct Action {
    pub(crate) name: &'static str,
    pub(crate) product: Product,
    pub(crate) required: &'static [&'static str],
    pub(crate) optional: &'static [&'static str],
    pub(crate) perform: fn(&mut World, &ApiCall<'_>) -> Outcome,
}

/// A call that was let in.
pub(crate) struct ApiCall<'a> {
    pub(crate) parameters: &'a Parameters,
    pub(crate) region: &'a str,
    /// Since the making of the double.
    pub(crate) now: Duration,
    pub(crate) wall: SystemTime,
    pub(crate) twist: Twist,
}

/// What a fault changes inside of an action.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Twist {
    pub(crate) partial: Option<u32>,
    pub(crate) vanish: Option<Duration>,
    pub(crate) bind_fails: bool,
}

impl Action {
    /// Refuses what is missing and what the action does not know.
    pub(crate) fn check(&self, parameters: &Parameters) -> Outcome<()> {
        for name in self.required {
            let first = name.replace(".N", ".1");
            let given = parameters.map().keys().any(|key| key == &first || key.starts_with(&format!("{first}.")));
            if !given || parameters.map().get(&first).is_some_and(String::is_empty) {
                return Err(Failure::missing(name));
            }
        }
        let known = |key: &str| {
            let pattern = pattern(key);
            pattern == "RegionId" || self.required.iter().chain(self.optional).any(|name| *name == pattern)
        };
        match parameters.map().keys().find(|key| !known(key)) {
            Some(key) => {
                let message = format!("{} has no parameter {key}", self.name);
                Err(Failure::new(400, "InvalidParameter.Unknown", message))
            }
            None => Ok(()),
        }
    }
}

/// `Tag.3.Key` as `Tag.N.Key`.
fn pattern(key: &str) -> String {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = key.split('.').map(|part| if number(part) { "N" } else { part }).collect();
    parts.join(".")
}

/// The answer of an action that returns nothing but its `RequestId`.
pub(crate) fn nothing() -> Value {
    Value::Object(serde_json::Map::new())
}
