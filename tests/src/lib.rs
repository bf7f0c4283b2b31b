//! The harness of the end-to-end tests: the program under test, and machines that it did not create.
//!
//! Nothing here is shipped. A test that lacks what it needs fails and says what is missing; none is skipped.

#![expect(
    clippy::disallowed_methods,
    reason = "tests are told by the environment where things are, and wait for machines"
)]
#![allow(clippy::unwrap_used, reason = "a harness that cannot go on must stop the test")]

pub mod cloud;
pub mod inventory;
pub mod machines;
pub mod program;
pub mod stage;

pub use cloud::Cloud;
pub use inventory::Inventory;
pub use machines::{Machine, Machines};
pub use program::{Outcome, Program};
pub use stage::Stage;
