//! Tests ALI_CLOUD on the test double: it makes what is wanted, once, and deletes all of it.
#![allow(clippy::unwrap_used)]
#![expect(clippy::print_stdout, reason = "the matrix is what a reader of the tests wants")]

#[cfg(feature = "testing")]
mod contract;
mod create;
mod doubt;
mod drops;
mod faults;
mod given;
mod kill;
mod lists;
mod official;
mod refusals;
mod scale;
mod scene;
mod sold_out;
