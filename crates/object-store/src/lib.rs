//! Puts, gets and lists objects of S3-compatible stores and Alibaba OSS, in parts.
//!
//! # Steps
//!
//! 1. Say where the bucket is and how to log in with an [`Options`], and make an [`ObjectStore`] of it. Nothing is sent before something is asked.
//! 2. [`ObjectStore::put`] stores a small object, [`ObjectStore::upload`] a large one in parts.
//! 3. [`ObjectStore::get`] streams an object or a range of it, [`ObjectStore::list`] names those below a prefix, [`ObjectStore::presign`] makes a URL
//!    with which somebody else may get one.
//!
//! ```
//! use object_store::{Kind, ObjectStore, Options};
//!
//! let mut options = Options::new(Kind::S3, "http://127.0.0.1:9000", "bucket");
//! options.login = Some(("key".to_owned(), "secret".into()));
//! let store = ObjectStore::new(options)?;
//! assert!(format!("{store:?}").contains("***"));
//! # Ok::<(), object_store::Error>(())
//! ```
//!
//! Requests are signed by signature version 4, also for Alibaba OSS (OSS4-HMAC-SHA256).
//!
//! # Errors
//!
//! [`Error`] names the bucket, the object and what the store said.

mod error;
mod multipart;
mod options;
mod request;
mod store;

pub use error::{Error, Result};
pub use options::{Kind, Options};
pub use secret::Secret;
pub use store::{Object, ObjectStore, Stored};
