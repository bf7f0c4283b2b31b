//! Puts what is copied where the links of the rootfs lead, so that RUN, the layer and hosts agree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::layer::listing::{Listed, Merged};
use crate::layer::tree::{Kind, Tree};

/// The tree with the links on the way to each entry followed: `bin/tool` is `usr/bin/tool` where `bin` is a link.
///
/// Hosts follow them when they unpack. In an overlay, a directory of the layer would hide the link instead.
pub(super) fn follow(tree: Tree, rootfs: &Merged) -> Tree {
    if !rootfs.iter().any(|(_, listed)| matches!(listed, Listed::Symlink(_))) {
        return tree;
    }
    // What the tree itself puts in a link's place counts.
    let own: BTreeMap<PathBuf, Listed> =
        tree.iter().map(|(path, entry)| (path.to_owned(), Listed::from(&entry.kind))).collect();
    let at = |path: &Path| match own.get(path) {
        Some(Listed::Directory) | None => rootfs.get(path),
        listed => listed,
    };
    let place = |path: &Path| match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Merged::resolve_by(&at, parent).join(name),
        _ => path.to_owned(),
    };
    let mut followed = Tree::default();
    for (path, mut entry) in tree {
        let target = place(&path);
        if entry.kind == Kind::Directory
            && matches!(at(&target), Some(Listed::Symlink(_)))
            && at(&Merged::resolve_by(&at, &target)) == Some(&Listed::Directory)
        {
            continue; // The directory that the link leads to stays as it is.
        }
        if let Kind::HardLink(file) = &mut entry.kind {
            *file = place(file);
        }
        followed.insert(target, entry);
    }
    followed
}
