//! The answers of the fake, action by action, to a caller that signs its requests.

#![allow(clippy::unwrap_used)]

mod caller;
mod gates;
mod life;
mod lists;
mod machines;
mod mishaps;
mod refusals;
mod repeats;
mod wire;

use cloud_double::{Double, Options};

/// A double in paused time, and a caller that it knows.
fn account(options: Options) -> (Double, caller::Caller) {
    let double = Double::new(options);
    (double.clone(), caller::Caller::new(double))
}
