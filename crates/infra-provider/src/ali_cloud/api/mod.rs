//! A client of the Alibaba Cloud APIs that the provider needs: ECS, VPC, EIP.
//!
//! One [`Client`] signs and sends; every action is a function that makes a [`Request`] or a [`Listing`]. Nothing here repeats a
//! refused call (except to correct the clock, a nonce or a stale token, once each): when and whether to try again is
//! the caller's affair, and [`ApiError::class`] is what it decides by.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use infra_provider::ali_cloud::api::{
//!     AccessKey, Client, Credentials, Endpoints, HttpOptions, HttpTransport, vpc::describe_vpcs,
//! };
//! use std::sync::Arc;
//!
//! let key = AccessKey::new("testid", "testsecret");
//! let transport = Arc::new(HttpTransport::new(&HttpOptions::default())?);
//! let client = Client::new(Credentials::Key(key), "cn-chengdu", &Endpoints::default(), transport)?;
//! let vpcs = client.list(describe_vpcs(None, &[])).await?;
//! # let _ = vpcs; Ok(()) }
//! ```

mod answer;
mod classify;
mod client;
mod clock;
mod credentials;
pub mod ecs;
pub mod eip;
mod endpoint;
mod failure;
mod observe;
mod parameters;
pub mod profile;
mod request;
mod role;
pub mod sign;
mod transport;
pub mod vpc;

pub use classify::{Class, Wait, classify, throttle_wait};
pub use client::Client;
pub use clock::WallClock;
pub use credentials::{AccessKey, Credentials};
pub use endpoint::{Endpoint, EndpointError, Endpoints, Product};
pub use failure::ApiError;
pub use observe::{Call, Observer};
pub use parameters::Parameters;
pub use request::{Done, Listing, Page, Request, Tag};
pub use role::{InstanceRole, RoleError};
pub use transport::{HttpOptions, HttpTransport, Transport, TransportFailure};
