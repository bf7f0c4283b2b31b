//! How are tests run, and what do they play with?

mod program;
mod report;
mod world;

pub use program::{run_in, text_in};
pub use report::{Plane, Test, figure, run, test};
pub use world::{World, within};
