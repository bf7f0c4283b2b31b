//! Turns text into instructions: lines are joined, split into words, read by instruction, then checked as a whole.

mod app;
mod arguments;
mod check;
mod command;
mod file;
mod heredoc;
mod joined;
mod json;
mod lines;
mod list;
mod pairs;
mod transfer;
mod word;

pub(crate) use app::app_source_problem;
pub use file::{MAX_BYTES, MAX_INSTRUCTIONS, parse};
pub(crate) use transfer::{checksum, owner, permissions, source_problem};
