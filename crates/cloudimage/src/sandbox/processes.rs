//! Limits how many processes and threads a command may have at once.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::AtFlags;

/// Processes and threads of one command at once.
const PROCESS_LIMIT: &str = "4096";
/// How the names of our control groups begin; the process that made them follows.
const PREFIX: &str = "sealer-run-";
/// How the kernel is told the thread that writes.
const THIS_THREAD: &str = "0";

/// A control group for one command.
///
/// A limit on the processes of a user would not do: root has none.
#[derive(Debug)]
pub(super) struct ControlGroup {
    /// The directory of the group of this process.
    parent: OwnedFd,
    /// Takes a thread back there.
    way_back: File,
    name: String,
}

impl ControlGroup {
    /// Makes one below the control group of this process and moves the calling thread into it; what that starts is in it
    /// too. There is none where the kernel or the container around this process offers none that can be written; what
    /// limits the container then limits the command.
    pub(super) fn enter() -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let (parent, is_unified) = own_group()?;
        remove_abandoned(&parent);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let directory = parent.join(&name);
        let threads = if is_unified { "cgroup.threads" } else { "tasks" };
        let way_back = File::options().write(true).open(parent.join(threads)).ok()?;
        fs::create_dir(&directory).ok()?;
        // They stay open: the thread will see the files read-only, if at all.
        let group = Self { parent: File::open(&parent).ok()?.into(), way_back, name };
        let limited = || {
            if is_unified {
                // Only a threaded group takes one thread of a process.
                fs::write(directory.join("cgroup.type"), "threaded")?;
                fs::write(parent.join("cgroup.subtree_control"), "+pids")?;
            }
            fs::write(directory.join("pids.max"), PROCESS_LIMIT)?;
            fs::write(directory.join(threads), THIS_THREAD)
        };
        limited().ok().map(|()| group)
    }
}

/// In the thread that entered, when everything that it started has ended.
impl Drop for ControlGroup {
    fn drop(&mut self) {
        // Should it not be empty, a later build tries again.
        let _ = self.way_back.write_all(THIS_THREAD.as_bytes());
        let _ = rustix::fs::unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR);
    }
}

/// The directory of this process' control group that counts processes, and whether it is of version 2.
fn own_group() -> Option<(PathBuf, bool)> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    find_group(&groups, &mounts)
}

/// Finds it in the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn find_group(groups: &str, mounts: &str) -> Option<(PathBuf, bool)> {
    let counts = |line: &&str| line.split(':').nth(1).is_some_and(|names| names.split(',').any(|name| name == "pids"));
    let first = groups.lines().find(counts);
    let is_unified = first.is_none();
    let path = first.or_else(|| groups.lines().find(|line| line.starts_with("0::")))?.splitn(3, ':').nth(2)?;
    for line in mounts.lines() {
        let (place, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let (name, options) = (kind.next()?, kind.nth(1)?);
        let matches = if is_unified {
            name == "cgroup2"
        } else {
            name == "cgroup" && options.split(',').any(|option| option == "pids")
        };
        let mut place = place.split(' ').skip(3);
        if let (true, Some(root), Some(point)) = (matches, place.next(), place.next()) {
            let below = Path::new(path).strip_prefix(root).ok()?;
            return Some((Path::new(point).join(below), is_unified));
        }
    }
    None
}

/// Removes the groups of processes that are no more.
fn remove_abandoned(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split('-').next());
        if maker.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // Another build may be faster.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_group_is_found_in_both_versions() {
        let first = "9:name=systemd:/x\n8:cpu,pids:/ci/job\n0::/other\n";
        let second = "0::/user.slice/session-1.scope\n";
        let mounts = "30 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            31 25 0:27 /ci /sys/fs/cgroup/pids rw,nosuid shared:4 - cgroup cgroup rw,cpu,pids\n";
        assert_eq!(find_group(first, mounts), Some((PathBuf::from("/sys/fs/cgroup/pids/job"), false)));
        let expected = PathBuf::from("/sys/fs/cgroup/unified/user.slice/session-1.scope");
        assert_eq!(find_group(second, mounts), Some((expected, true)));
        assert_eq!(find_group("0::/../other\n", mounts).map(|found| found.1), Some(true));
        assert_eq!(find_group("", mounts), None);
    }
}
