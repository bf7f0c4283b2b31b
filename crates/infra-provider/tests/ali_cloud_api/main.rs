//! Tests the API client against scripted responses and the test double.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod client;
mod double;
mod http;
mod parameters;
mod role;
mod scripted;
