//! Measures sealer beside its peers, in one run on one machine.

mod apply;
mod build;
mod cloud;
mod hosts;
mod image;
mod lvscare;
mod overhead;
mod registry;

pub(crate) use apply::apply;
pub(crate) use build::build;
pub(crate) use cloud::cloud;
pub(crate) use image::image;
pub(crate) use lvscare::{Apart, apart, lvscare};
pub(crate) use registry::registry;
