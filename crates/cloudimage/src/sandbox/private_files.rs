//! Finds what of this machine only some of its users may read: passwords, keys, logs, data of services.

use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where it is looked for, how deep, and whether single files count or only whole directories.
const TREES: [(&str, usize, bool); 2] = [("/etc", 16, true), ("/var", 3, false)];
/// Hidden although everybody may enter them: what services say and keep, and copies of `/etc`.
const ALWAYS: [&str; 5] = ["/var/backups", "/var/lib/containerd", "/var/lib/kubelet", "/var/log", "/var/spool"];

/// The files and directories, none below another.
pub(super) fn find() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ALWAYS.iter().map(PathBuf::from).collect();
    for (tree, depth, files) in TREES {
        search(Path::new(tree), depth, files, &mut found);
    }
    found
}

/// What cannot be looked at is passed over: then the command cannot look at it either.
fn search(directory: &Path, depth: usize, files: bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Some((path, metadata)) = look(&entry) else { continue };
        if found.contains(&path) {
            continue;
        }
        let is_private = !is_for_everybody(&metadata);
        if metadata.is_dir() && !is_private && depth > 1 {
            search(&path, depth - 1, files, found);
        } else if is_private && (metadata.is_dir() || files) {
            found.push(path);
        }
    }
}

/// Links are not followed: what they lead to is found where it is.
fn look(entry: &DirEntry) -> Option<(PathBuf, Metadata)> {
    let metadata = entry.metadata().ok()?;
    (metadata.is_dir() || metadata.is_file()).then(|| (entry.path(), metadata))
}

fn is_for_everybody(metadata: &Metadata) -> bool {
    let needed = if metadata.is_dir() { 0o005 } else { 0o004 };
    metadata.mode() & needed == needed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_not_everybody_may_read_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for (path, mode) in [("shadow", 0o640), ("passwd", 0o644), ("ssh/key", 0o600), ("ssh/key.pub", 0o644)] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), "").unwrap();
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        for (path, mode) in [("pki/private", 0o710), ("pki/by-name-only", 0o711), ("pki/open", 0o755)] {
            fs::create_dir_all(root.join(path)).unwrap();
            fs::write(root.join(path).join("inside"), "").unwrap();
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("shadow", root.join("link")).unwrap();
        let found = |depth, files| {
            let mut found = Vec::new();
            search(root, depth, files, &mut found);
            found.sort();
            let names = found.iter().map(|path| path.strip_prefix(root).unwrap().display().to_string());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found(9, true), "pki/by-name-only pki/private shadow ssh/key");
        assert_eq!(found(9, false), "pki/by-name-only pki/private");
        assert_eq!(found(1, true), "shadow");
    }
}
