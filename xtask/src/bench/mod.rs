//! How fast is sealer, measured beside its peers in one run on one machine?

mod build;

pub(crate) use build::build;
