//! Progress while a workflow runs: one line per layer, host or transfer.

mod build;
mod bytes;
mod cluster;
mod commands;
mod screen;
mod transfer;

pub(crate) use build::BuildProgress;
pub(crate) use bytes::BytesProgress;
pub(crate) use cluster::ClusterProgress;
pub(crate) use transfer::TransferProgress;

/// Where progress goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Lines that are updated in place.
    Terminal,
    /// One line for each thing that is finished.
    Lines,
    /// Every event as a JSON line.
    Json,
    /// Nowhere.
    Silent,
}
