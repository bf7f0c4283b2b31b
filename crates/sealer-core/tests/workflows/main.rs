//! The workflows on hosts that are directories, with a provider that counts its calls.
#![expect(clippy::unwrap_used, reason = "tests")]

mod applications;
mod apply;
mod change;
mod connect;
mod delete;
mod lab;
mod machines;
mod managed;
mod operators;
mod platforms;
mod pull;
mod registry;
mod scale;
mod send;
