//! Does the client of Alibaba Cloud send what it should, and understand what comes back?

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod client;
mod double;
mod http;
mod parameters;
mod role;
mod scripted;
