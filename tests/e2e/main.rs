//! The end-to-end tests: real kubeadm, kubelet, etcd and containerd on systemd hosts.
//!
//! Started by `cargo xtask test`: each test makes its own machines, does much to them and takes them away again.

#![allow(clippy::unwrap_used)]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests wait for machines and tell how far they are"
)]

mod applications;
mod available;
mod bare_metal;
mod base_image;
mod cloud;
mod cluster;
mod container;
mod counted;
mod faults;
mod ipv6;
mod later_release;
mod resume;
