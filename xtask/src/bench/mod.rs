//! How fast is sealer, measured beside its peers in one run on one machine?

mod build;
mod lvscare;

pub(crate) use build::build;
pub(crate) use lvscare::{Apart, apart, lvscare};
