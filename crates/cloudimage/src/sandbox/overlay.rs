//! Mounts the layers of a rootfs over each other.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount, move_mount, open_tree,
};

use super::SandboxRun;
use super::linux::fault;
use super::namespace::io;
use crate::error::Result;

/// The layers on each other, not attached anywhere yet.
pub(super) fn mount_layers(run: &SandboxRun, bottom: Option<&Path>) -> Result<OwnedFd> {
    let work = run.work.join("overlay");
    let empty = run.work.join("empty");
    for directory in [&work, &empty] {
        std::fs::create_dir_all(directory).map_err(fault("prepare the overlay"))?;
    }
    let mut lower: Vec<&Path> = run.lower.iter().map(PathBuf::as_path).chain(bottom).collect();
    if lower.is_empty() {
        lower.push(&empty);
    }
    match overlay_by_calls(&lower, Some((&run.upper, &work)), MountAttrFlags::MOUNT_ATTR_NODEV) {
        // Kernels before 6.5 know no `lowerdir+`.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => overlay_by_options(&lower, run, &work),
        overlay => overlay.map_err(io).map_err(fault("mount the layers over each other")),
    }
}

/// Layers over each other, topmost first, not attached anywhere yet; with `writable` (upper and work directory) changes are
/// kept there. Kernels before 6.5 refuse it.
pub(crate) fn overlay_by_calls(
    lower: &[&Path],
    writable: Option<(&Path, &Path)>,
    attributes: MountAttrFlags,
) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in lower {
        fsconfig_set_string(context.as_fd(), "lowerdir+", *layer)?;
    }
    if let Some((upper, work)) = writable {
        fsconfig_set_string(context.as_fd(), "upperdir", upper)?;
        fsconfig_set_string(context.as_fd(), "workdir", work)?;
    }
    // Every change must be a whole file in the upper directory.
    for (option, value) in OVERLAY_OPTIONS {
        fsconfig_set_string(context.as_fd(), option, value)?;
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

const OVERLAY_OPTIONS: [(&str, &str); 3] = [("redirect_dir", "off"), ("metacopy", "off"), ("index", "off")];

/// The same through one option string, kept short by relative names: it must fit into one page.
fn overlay_by_options(lower: &[&Path], run: &SandboxRun, work: &Path) -> Result<OwnedFd> {
    let links = run.work.join("l");
    std::fs::create_dir_all(&links).map_err(fault("prepare the overlay"))?;
    let mut names = Vec::new();
    for (at, layer) in lower.iter().enumerate() {
        std::os::unix::fs::symlink(layer, links.join(at.to_string())).map_err(fault("prepare the overlay"))?;
        names.push(format!("l/{at}"));
    }
    let target = run.work.join("merged");
    std::fs::create_dir_all(&target).map_err(fault("prepare the overlay"))?;
    std::env::set_current_dir(&run.work).map_err(fault("prepare the overlay"))?;
    let options: String = OVERLAY_OPTIONS.iter().map(|(option, value)| format!(",{option}={value}")).collect();
    let options =
        format!("lowerdir={},upperdir={},workdir={}{options}", names.join(":"), run.upper.display(), work.display());
    let options = std::ffi::CString::new(options)
        .map_err(|_| fault("prepare the overlay")(std::io::ErrorKind::InvalidInput.into()))?;
    mount("overlay", &target, "overlay", MountFlags::NODEV, options.as_c_str())
        .map_err(io)
        .map_err(fault("mount the layers over each other"))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(rustix::fs::CWD, &target, flags).map_err(io).map_err(fault("take the overlay"))
}

pub(super) fn attach(mounted: &OwnedFd, target: &Path) -> Result<()> {
    let moved = move_mount(mounted.as_fd(), "", rustix::fs::CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH);
    moved.map_err(io).map_err(fault(format!("mount the rootfs on {}", target.display())))
}
