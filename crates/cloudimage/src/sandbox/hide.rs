//! Makes this machine's tree read-only and hides what a command must not reach in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};

use super::linux::fault;
use super::namespace::io;
use crate::error::Result;

/// File systems through which the kernel shows itself. Only those at `/proc` and `/dev` stay, which get mounts of their
/// own; `sysfs` and `cgroup` stay too, read-only.
const KERNEL_FILE_SYSTEMS: [&str; 14] = [
    "binfmt_misc",
    "bpf",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "proc",
    "pstore",
    "securityfs",
    "tracefs",
];
/// What container engines hide of `/sys`.
const MASKED_SYS: [&str; 3] = ["/sys/firmware", "/sys/devices/virtual/powercap", "/sys/kernel/security"];

/// Makes every mount of this namespace read-only, without devices, but those of processes and of `devices`; and hides what
/// the kernel shows of this machine.
pub(super) fn this_machine(devices: &Path) -> Result<()> {
    let table = std::fs::read_to_string("/proc/thread-self/mountinfo").map_err(fault("read the list of mounts"))?;
    for line in table.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let (Some(point), Some(options)) = (fields.get(4), fields.get(5)) else { continue };
        let point = unescape(point);
        if [Path::new("/proc"), Path::new("/dev"), devices].iter().any(|kept| point.starts_with(kept)) {
            continue;
        }
        let kind = line.split_once(" - ").and_then(|(_, kind)| kind.split(' ').next());
        if kind.is_some_and(|kind| KERNEL_FILE_SYSTEMS.contains(&kind)) {
            hide(&point)?;
            continue;
        }
        let mut flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NODEV;
        for option in options.split(',') {
            flags |= match option {
                "nosuid" => MountFlags::NOSUID,
                "noexec" => MountFlags::NOEXEC,
                "noatime" => MountFlags::NOATIME,
                "nodiratime" => MountFlags::NODIRATIME,
                "relatime" => MountFlags::RELATIME,
                _ => MountFlags::empty(),
            };
        }
        match mount_remount(&point, flags, "") {
            Ok(()) => {}
            // Hidden under another mount, or gone: nobody can reach it.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) if point != Path::new("/") => {}
            Err(error) => return Err(fault(format!("make {} read-only", point.display()))(error.into())),
        }
    }
    MASKED_SYS.iter().try_for_each(|path| hide(Path::new(path)))
}

/// Hides directories, wherever links in their paths lead. A root directory is left: it would take everything with it.
pub(super) fn directories(hidden: &[PathBuf]) -> Result<()> {
    let real = hidden.iter().filter_map(|path| path.canonicalize().ok());
    real.filter(|path| path != Path::new("/")).try_for_each(|path| hide(&path))
}

/// Hides the sockets of this machine's programs that are still seen, except below `rootfs`: the file system being
/// read-only keeps nobody from connecting to them.
pub(super) fn sockets(rootfs: &Path) -> Result<()> {
    let table = std::fs::read("/proc/thread-self/net/unix").map_err(fault("read the list of sockets"))?;
    let table = String::from_utf8_lossy(&table);
    // The eighth column is the path.
    let paths: BTreeSet<&str> = table.lines().filter_map(|line| line.find(" /").map(|at| &line[at + 1..])).collect();
    for path in paths.into_iter().map(Path::new).filter(|path| !path.starts_with(rootfs)) {
        use std::os::unix::fs::FileTypeExt;
        if path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket()) {
            hide(path)?;
        }
    }
    Ok(())
}

/// Puts something empty and read-only over a file or directory, if it is there.
pub(super) fn hide(path: &Path) -> Result<()> {
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let hidden = if metadata.is_dir() {
        mount("tmpfs", path, "tmpfs", flags, c"mode=0555")
    } else {
        mount_bind("/dev/null", path).and_then(|()| mount_remount(path, flags | MountFlags::BIND, ""))
    };
    hidden.map_err(io).map_err(fault(format!("hide {}", path.display())))
}

/// Undoes the octal escapes of the mount table.
fn unescape(field: &str) -> PathBuf {
    let mut path = field.to_owned();
    for (escape, letter) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        path = path.replace(escape, letter);
    }
    PathBuf::from(path)
}
