//! Mounts the file tree that a command sees.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_remount, unmount};

use super::SandboxRun;
use super::hide::{self, hide};
use super::linux::fault;
use super::namespace::io;
use super::overlay::{attach, mount_layers};
use super::private_files;
use crate::error::Result;

/// Where the rootfs is mounted over this machine's tree, the first that exists; scripts that write down their directory
/// then write the same on every machine.
const MOUNT_POINTS: [&str; 3] = ["/mnt", "/media", "/srv"];
/// Mount points that an entered rootfs needs, and files that are lent to it.
const DIRECTORIES: [&str; 7] = ["proc", "dev", "sys", "tmp", "root", "run", "etc"];
const LENT_FILES: [&str; 2] = ["etc/resolv.conf", "etc/hosts"];
/// Devices that a command has.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Directories of this machine in whose place the command has empty ones of its own, with their options.
const PRIVATE: [(&str, &str); 5] = [
    ("/tmp", "mode=1777"),
    ("/var/tmp", "mode=1777"),
    ("/root", "mode=0700"),
    ("/home", "mode=0755"),
    ("/run", "mode=0755"),
];
/// Directories of this machine that may be mounted elsewhere too.
const HOMES: [&str; 2] = ["/root", "/home"];
/// Switches of this machine that every process namespace shows.
const READ_ONLY_PROC: [&str; 5] = ["sys", "sysrq-trigger", "irq", "bus", "fs"];
/// What the kernel says about this machine and its other users.
const MASKED_PROC: [&str; 10] = [
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];

/// What the command will see.
pub(super) struct View {
    /// The rootfs, as a path for the command.
    pub(super) rootfs: PathBuf,
    /// Where processes are to be shown, as a path for this thread.
    pub(super) proc: PathBuf,
    /// The directory that becomes the root of the tree, when the rootfs is entered.
    root: Option<PathBuf>,
}

impl View {
    /// Mounts the rootfs over this machine's tree without what is at `hidden`; or the rootfs alone, when it is an operating
    /// system.
    pub(super) fn mount(run: &SandboxRun, hidden: &[PathBuf]) -> Result<Self> {
        let enters = run.lower.iter().any(|layer| {
            layer.join("bin/sh").symlink_metadata().is_ok() || layer.join("usr/bin/sh").symlink_metadata().is_ok()
        });
        if enters { enter(run) } else { overlook(run, hidden) }
    }

    /// Makes the command's root and working directory this thread's.
    pub(super) fn step_in(&self) -> Result<()> {
        if let Some(root) = &self.root {
            std::env::set_current_dir(root).map_err(fault("enter the rootfs"))?;
            rustix::process::pivot_root(".", ".").map_err(io).map_err(fault("enter the rootfs"))?;
            unmount(".", UnmountFlags::DETACH).map_err(io).map_err(fault("leave the old root"))?;
        }
        std::env::set_current_dir(&self.rootfs).map_err(fault("enter the rootfs"))
    }
}

/// Makes the kernel's switches under `proc` read-only and hides what it tells about this machine: they are this machine's,
/// not the namespace's.
pub(super) fn mask_proc(proc: &Path) -> Result<()> {
    for path in READ_ONLY_PROC.iter().map(|name| proc.join(name)).filter(|path| path.exists()) {
        let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let protected = mount_bind(&path, &path).and_then(|()| mount_remount(&path, flags, ""));
        protected.map_err(io).map_err(fault(format!("protect {}", path.display())))?;
    }
    MASKED_PROC.iter().map(|name| proc.join(name)).try_for_each(|path| hide(&path))
}

/// This machine's tree, read-only, with the rootfs mounted somewhere in it.
fn overlook(run: &SandboxRun, hidden: &[PathBuf]) -> Result<View> {
    let overlay = mount_layers(run, None)?;
    let target = MOUNT_POINTS.iter().map(Path::new).find(|path| path.is_dir());
    let target = target.ok_or_else(|| {
        fault("find a mount point (none of /mnt, /media, /srv is a directory)")(std::io::ErrorKind::NotFound.into())
    })?;
    let devices = run.work.join("devices");
    std::fs::create_dir_all(&devices).map_err(fault("make mount points"))?;
    mount_devices(&devices)?;
    let resolver = Path::new("/etc/resolv.conf").canonicalize().ok();
    let resolver = resolver.and_then(|path| std::fs::read(&path).ok().map(|text| (path, text)));
    let mounts = hide::mounts()?;
    hide::this_machine(&mounts, &devices)?;
    mount_bind_recursive(&devices, "/dev").map_err(io).map_err(fault("mount /dev"))?;
    let private = private_files::find();
    let homes = HOMES.iter().map(Path::new).chain(hidden.iter().map(PathBuf::as_path));
    hide::paths(&mounts, homes.chain(private.iter().map(PathBuf::as_path)))?;
    attach(&overlay, target)?;
    for (directory, options) in PRIVATE {
        if Path::new(directory).is_dir() {
            mount_tmpfs(Path::new(directory), options)?;
        }
    }
    hide::sockets(target)?;
    // The sockets in /run must not be reached, but names must be resolved.
    if let Some((path, text)) = resolver.filter(|(path, _)| path.starts_with("/run")) {
        let parent = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        parent.and_then(|()| std::fs::write(&path, text)).map_err(fault("lend /etc/resolv.conf"))?;
    }
    Ok(View { rootfs: target.to_owned(), proc: PathBuf::from("/proc"), root: None })
}

/// The rootfs as the whole tree.
fn enter(run: &SandboxRun) -> Result<View> {
    // Mount points stand in a layer below all others, so that making them changes nothing.
    let base = run.work.join("mount-points");
    for directory in DIRECTORIES {
        std::fs::create_dir_all(base.join(directory)).map_err(fault("make mount points"))?;
    }
    for file in LENT_FILES {
        std::fs::write(base.join(file), "").map_err(fault("make mount points"))?;
    }
    let root = run.work.join("root");
    std::fs::create_dir_all(&root).map_err(fault("make mount points"))?;
    attach(&mount_layers(run, Some(&base))?, &root)?;
    mount_devices(&root.join("dev"))?;
    for (directory, options) in [("tmp", "mode=1777"), ("root", "mode=0700")] {
        mount_tmpfs(&root.join(directory), options)?;
    }
    for file in LENT_FILES {
        let (from, to) = (Path::new("/").join(file), root.join(file));
        let is_file = to.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        if from.is_file() && is_file {
            lend(&from, &to)?;
        }
    }
    Ok(View { rootfs: PathBuf::from("/"), proc: root.join("proc"), root: Some(root) })
}

fn mount_tmpfs(target: &Path, options: &str) -> Result<()> {
    let options =
        std::ffi::CString::new(options).map_err(|_| fault("mount a tmpfs")(std::io::ErrorKind::InvalidInput.into()))?;
    let mounted = mount("tmpfs", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str());
    mounted.map_err(io).map_err(fault(format!("mount a tmpfs on {}", target.display())))
}

/// A few harmless devices of this machine.
fn mount_devices(target: &Path) -> Result<()> {
    mount_tmpfs(target, "mode=0755")?;
    for device in DEVICES {
        let (from, to) = (Path::new("/dev").join(device), target.join(device));
        if from.exists() {
            std::fs::write(&to, "").map_err(fault(format!("make {}", to.display())))?;
            mount_bind(&from, &to).map_err(io).map_err(fault(format!("mount {}", to.display())))?;
        }
    }
    let shared = target.join("shm");
    std::fs::create_dir(&shared).map_err(fault("make shm"))?;
    mount_tmpfs(&shared, "mode=1777")?;
    for (name, link) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        std::os::unix::fs::symlink(link, target.join(name)).map_err(fault(format!("make {name}")))?;
    }
    Ok(())
}

/// Shows a file of this machine in the rootfs, read-only.
fn lend(from: &Path, to: &Path) -> Result<()> {
    let lent =
        mount_bind_recursive(from, to).and_then(|()| mount_remount(to, MountFlags::BIND | MountFlags::RDONLY, ""));
    lent.map_err(io).map_err(fault(format!("lend {}", from.display())))
}
