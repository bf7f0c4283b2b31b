//! Runs tests and holds what they play with.

mod child;
mod client;
pub mod clock;
mod held;
mod program;
mod report;
mod stage;
pub mod view;
mod world;

pub use child::{Actor, itself};
pub use client::{Calls, Client, ask, connect_from};
pub use held::Held;
pub use program::{run_in, text_in};
pub use report::{Plane, Test, figure, run, test};
pub use stage::{Stage, TIMEOUT};
pub use world::{World, within};
