//! Keeps the rules of a virtual service true, over and over.
//!
//! Each server has a task that checks it (`check`); what they find is counted (`health`, `health_table`). [`Guard`]
//! (`run`) takes it in and has the kernel's rules follow (`sync`).

mod check;
mod health;
mod health_table;
mod log_throttle;
mod run;
mod sync;
#[cfg(test)]
mod tests;

pub use run::{Guard, GuardHandle};
