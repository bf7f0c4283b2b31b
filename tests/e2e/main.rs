//! The end-to-end tests: real kubeadm, kubelet, etcd and containerd on systemd hosts.
//!
//! Started by `cargo xtask test`, one after the other: each makes its own machines and takes them away again.

#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "tests wait for machines")]

mod bare_metal;
mod cloud;
mod cluster;
mod container;
mod faults;
mod resume;
