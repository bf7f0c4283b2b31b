//! A fake of the ECS, VPC and EIP interfaces of Alibaba Cloud, as strict, slow and forgetful as the real one.
//!
//! # Steps
//!
//! 1. [`Options`] say how long things take, what is on stock, which limits hold, and who may call.
//! 2. [`Double::handle`] answers one HTTP request: it checks the signature (V1 or V3), the parameters, the throttle
//!    and the state of what is meant, and answers after the latency of a call. All time is tokio's, so a test with
//!    paused time spends no real second.
//! 3. [`Double::fail`] and [`Double::disconnect`] make single calls go wrong.
//! 4. [`Double::calls`] and [`Double::leftovers`] tell what was asked and what still exists.
//!
//! ```
//! use cloud_double::{Double, Options};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(false).build().unwrap().block_on(async {
//! let double = Double::new(Options::default());
//! let request = http::Request::get("http://127.0.0.1/?Action=DescribeRegions").body(bytes::Bytes::new()).unwrap();
//! let answer = double.handle(request).await.unwrap();
//! assert_eq!(answer.status(), 400, "it is not signed");
//! # });
//! ```

mod actions;
mod answer;
mod call;
mod clock;
mod decide;
mod double;
mod failure;
mod fault;
mod hook;
mod log;
mod metadata;
mod options;
mod parameters;
mod received;
mod seed;
mod serve;
mod stock;
mod throttle;
mod tokens;
mod verify;
mod world;

pub use double::{Double, Lost};
pub use fault::{Disconnect, Fault, FaultKind};
pub use hook::{Addresses, InstanceHook, InstanceSeed};
pub use log::{Call, Scheme, Verdict};
pub use options::{Consistency, Key, Options, Quotas, Timing};
pub use serve::{Server, serve};
pub use stock::{Image, InstanceType, Stock, StockRule};
pub use throttle::Throttle;
