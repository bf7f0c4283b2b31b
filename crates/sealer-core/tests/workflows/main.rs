//! The workflows on hosts that are directories, with a provider that counts its calls.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests, some of which show what they saw")]

mod applications;
mod apply;
mod change;
mod connect;
mod delete;
mod egress;
mod kills;
mod lab;
mod machines;
mod managed;
mod operators;
mod platforms;
mod printed;
mod pull;
mod registry;
mod scale;
mod send;
mod simulated;
