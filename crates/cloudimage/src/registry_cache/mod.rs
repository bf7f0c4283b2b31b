//! Understands images of upstream sealer that keep container images as files, in the layout of docker's registry.
//!
//! [`scan`] takes blobs and names out of the layers, [`names`] finds the whole names, [`import`] makes an image of it that
//! carries the same container images as ours do.

mod import;
mod names;
mod scan;

pub use import::Imported;
