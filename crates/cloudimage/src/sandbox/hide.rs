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

/// A mount of this namespace.
pub(super) struct Mount {
    /// The file system that it shows.
    device: String,
    /// The directory in that file system.
    root: PathBuf,
    point: PathBuf,
    options: String,
    kind: String,
}

/// The mounts of this namespace.
pub(super) fn mounts() -> Result<Vec<Mount>> {
    let table = std::fs::read_to_string("/proc/thread-self/mountinfo").map_err(fault("read the list of mounts"))?;
    Ok(table.lines().filter_map(read_mount).collect())
}

fn read_mount(line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    let fields: Vec<&str> = place.split(' ').collect();
    let [_, _, device, root, point, options, ..] = fields[..] else { return None };
    Some(Mount {
        device: device.to_owned(),
        root: unescape(root),
        point: unescape(point),
        options: options.to_owned(),
        kind: kind.split(' ').next()?.to_owned(),
    })
}

/// Makes every mount read-only, without devices, but those of processes and of `devices`; and hides what the kernel shows
/// of this machine.
pub(super) fn this_machine(mounts: &[Mount], devices: &Path) -> Result<()> {
    for Mount { point, options, kind, .. } in mounts {
        if [Path::new("/proc"), Path::new("/dev"), devices].iter().any(|kept| point.starts_with(kept)) {
            continue;
        }
        if KERNEL_FILE_SYSTEMS.contains(&kind.as_str()) {
            hide(point)?;
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
        match mount_remount(point, flags, "") {
            Ok(()) => {}
            // Hidden under another mount, or gone: nobody can reach it.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) if point != Path::new("/") => {}
            Err(error) => return Err(fault(format!("make {} read-only", point.display()))(error.into())),
        }
    }
    MASKED_SYS.iter().try_for_each(|path| hide(Path::new(path)))
}

/// Hides files and directories, wherever links in their paths lead and wherever else they are mounted. A root directory is
/// left: it would take everything with it.
pub(super) fn paths<'a>(mounts: &[Mount], hidden: impl Iterator<Item = &'a Path>) -> Result<()> {
    let real = hidden.filter_map(|path| path.canonicalize().ok()).filter(|path| path != Path::new("/"));
    // Before the first one is hidden, which could be above another.
    let places: BTreeSet<PathBuf> = real.flat_map(|path| places(mounts, &path)).collect();
    places.iter().try_for_each(|path| hide(path))
}

/// The paths at which a directory, or a part of it, is seen.
fn places(mounts: &[Mount], directory: &Path) -> Vec<PathBuf> {
    let of_it = mounts.iter().filter(|mount| directory.starts_with(&mount.point));
    let Some(mount) = of_it.max_by_key(|mount| mount.point.components().count()) else {
        return vec![directory.to_owned()];
    };
    let inside = mount.root.join(directory.strip_prefix(&mount.point).unwrap_or(Path::new("")));
    let elsewhere = mounts.iter().filter(|other| other.device == mount.device).filter_map(|other| {
        let whole = inside.strip_prefix(&other.root).map(|below| other.point.join(below));
        whole.ok().or_else(|| other.root.starts_with(&inside).then(|| other.point.clone()))
    });
    elsewhere.chain([directory.to_owned()]).filter(|path| path != Path::new("/")).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_found_wherever_it_is_mounted() {
        let table = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
            23 22 8:2 / /data rw shared:1 - ext4 /dev/sda2 rw\n\
            24 22 8:2 /homes /home rw - ext4 /dev/sda2 rw\n\
            25 22 8:2 /homes/al\\040ice/.ssh /keys rw - ext4 /dev/sda2 rw\n\
            26 22 8:1 / /host rw - ext4 /dev/sda1 rw\n";
        let mounts: Vec<Mount> = table.lines().filter_map(read_mount).collect();
        let found = |directory: &str| {
            let found: BTreeSet<PathBuf> = places(&mounts, Path::new(directory)).into_iter().collect();
            found.into_iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found("/home/al ice"), ["/data/homes/al ice", "/home/al ice", "/keys"]);
        assert_eq!(found("/var/lib/sealer"), ["/host/var/lib/sealer", "/var/lib/sealer"]);
        assert_eq!(places(&[], Path::new("/root")), [Path::new("/root")]);
    }
}
