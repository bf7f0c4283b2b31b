//! Turns the text of a Clusterfile into data, or into all of its errors.

mod check;
mod cluster;
mod dispatch;
mod documents;
mod fields;
mod hosts;
mod jump;
mod kubeadm;
mod login;
mod machines;
pub(crate) mod rules;
mod settings;

pub(crate) use cluster::SECOND_ONLY;
pub(crate) use dispatch::{BY_KIND_VERSIONS, CLUSTER_VERSIONS, FIRST_VERSION, OTHER_VERSIONS};
pub use dispatch::{MAX_BYTES, parse, parse_default, parse_plugins, parse_with_remarks};
pub use rules::is_certificate_name;
