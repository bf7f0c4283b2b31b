//! Does ALI_CLOUD make what is wanted, once, and free all of it, whatever the cloud does meanwhile?
#![allow(clippy::unwrap_used)]

mod create;
mod kill;
mod scene;
