//! How does the kernel get IPVS when it does not load it by itself?

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Kernels since 5.x load the module when its netlink family is asked for; for older ones this runs `modprobe`, the
/// only program that this dataplane ever starts. Whether it helped shows when the family is asked for again.
pub(super) async fn load() {
    let mut modprobe = Command::new("modprobe");
    modprobe.args(["--quiet", "ip_vs"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    modprobe.kill_on_drop(true);
    let _ = tokio::time::timeout(Duration::from_secs(10), modprobe.status()).await;
}
