//! Brings the programs that service tests talk to.

use crate::error::Result;
use crate::machine;

/// Programs and the packages that bring them.
const PROGRAMS: &[(&str, &str)] = &[
    ("buildah", "buildah"),
    ("busybox", "busybox-static"),
    ("containerd", "containerd"),
    ("docker-registry", "docker-registry"),
    ("ip", "iproute2"),
    ("openssl", "openssl"),
    ("podman", "podman"),
    ("skopeo", "skopeo"),
    ("ssh-agent", "openssh-client"),
    ("sshd", "openssh-server"),
    ("strace", "strace"),
    ("sudo", "sudo"),
    ("umoci", "umoci"),
    ("unshare", "util-linux"),
    ("zstd", "zstd"),
];

/// Installs what the tests need; the container engine and its node image come apart from that.
pub(super) fn prepare() -> Result<()> {
    machine::require_root()?;
    machine::ensure_programs(PROGRAMS)?;
    machine::ensure_python()
}
