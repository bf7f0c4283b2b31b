//! Plans the entries that a COPY or ADD puts into the rootfs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use kubefile::{ResolvedSource, ResolvedTransfer};

use super::find::{self, Found};
use super::{extract, links, owner};
use crate::builder::download::Downloaded;
use crate::builder::draft::RootfsState;
use crate::builder::options::Context;
use crate::error::{Error, Result};
use crate::layer::listing::Listed;
use crate::layer::scan::Scan;
use crate::layer::tree::{Content, Entry, Kind, Tree};

/// Directories that upstream's rootfs layout fixes: as a destination they are directories even before they exist.
pub(super) const CONVENTIONAL: [&str; 13] = [
    "application",
    "bin",
    "charts",
    "cri",
    "etc",
    "images",
    "lib",
    "lib64",
    "manifests",
    "plugins",
    "registry",
    "scripts",
    "statics",
];

/// What a COPY of a directory does with it, where images written for upstream until 0.8 meant the directory itself.
pub(super) fn emptied(context: &Context, transfer: &ResolvedTransfer, line: usize) -> Vec<String> {
    let destination = transfer.destination.trim_matches(['/', '.']);
    let conventional = |name: &str| CONVENTIONAL.contains(&name);
    let mut remarks = Vec::new();
    for source in &transfer.sources {
        let ResolvedSource::Path(path) = source else { continue };
        let Some(name) = Path::new(path).file_name().and_then(|name| name.to_str()) else { continue };
        let onto_layout = if destination.is_empty() { conventional(name) } else { conventional(destination) };
        let whole = !path.ends_with('/') && !path.ends_with("/.");
        if onto_layout && whole && name != destination && context.directory.join(path).is_dir() {
            let (onto, keep) = (&transfer.destination, Path::new(destination).join(name));
            let keep = keep.display();
            remarks.push(format!(
                "line {line}: what is in {path} goes into {onto}, not {path} itself (as docker and upstream since 0.9 do); `COPY {path} {keep}` keeps the directory"
            ));
        }
    }
    remarks
}

/// A COPY or ADD, ready to be performed.
#[derive(Debug)]
pub(super) struct Transfer {
    /// Line in the Kubefile.
    pub(super) line: usize,
    pub(super) transfer: ResolvedTransfer,
    /// What its URLs gave, in their order.
    pub(super) downloads: Vec<Downloaded>,
    /// Local archives are unpacked (ADD).
    pub(super) unpack: bool,
    /// Directory for what must be unpacked before it can be read.
    pub(super) spool: PathBuf,
}

/// The entries that `transfer` adds to the rootfs of `rootfs`.
pub(super) fn tree(rootfs: &RootfsState, transfer: &Transfer) -> Result<Tree> {
    let mut tree = Tree::default();
    let items = items(rootfs, transfer)?;
    let destination = destination(rootfs, transfer, &items)?;
    let mut downloads = transfer.downloads.iter();
    for item in items {
        match item {
            Item::Local(found) => add_local(&mut tree, rootfs, transfer, &found, &destination)?,
            Item::Text { name, content } => {
                let bytes = Content::Bytes(Arc::from(content.into_bytes()));
                tree.insert(destination.of_file(&name), Entry::new(Kind::File(bytes), 0o644));
            }
            Item::Url => {
                if let Some(download) = downloads.next() {
                    let content = Content::Disk { path: download.path.clone(), offset: 0, size: download.size };
                    tree.insert(destination.of_file(&download.name), Entry::new(Kind::File(content), 0o644));
                }
            }
        }
    }
    if destination.is_directory && !destination.path.as_os_str().is_empty() && tree.get(&destination.path).is_none() {
        tree.insert(destination.path.clone(), Entry::directory());
    }
    tree = links::follow(tree, &rootfs.merged);
    set_attributes(&mut tree, rootfs, transfer)?;
    add_parents(&mut tree, rootfs);
    Ok(tree)
}

/// One thing to copy.
enum Item {
    Local(Found),
    Text { name: String, content: String },
    Url,
}

fn items(rootfs: &RootfsState, transfer: &Transfer) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for source in &transfer.transfer.sources {
        match source {
            ResolvedSource::Path(pattern) => {
                items.extend(find::find(&rootfs.context, pattern, transfer.line)?.into_iter().map(Item::Local));
            }
            ResolvedSource::Url(_) => items.push(Item::Url),
            ResolvedSource::Heredoc { name, content } => {
                items.push(Item::Text { name: name.clone(), content: content.clone() })
            }
        }
    }
    Ok(items)
}

/// Where copied things go.
struct Destination {
    /// Relative to the rootfs, links resolved.
    path: PathBuf,
    /// It is a directory that files go into, rather than a file's new name.
    is_directory: bool,
}

impl Destination {
    fn of_file(&self, name: &str) -> PathBuf {
        if self.is_directory { self.path.join(name) } else { self.path.clone() }
    }
}

fn destination(rootfs: &RootfsState, transfer: &Transfer, items: &[Item]) -> Result<Destination> {
    let written = &transfer.transfer.destination;
    let mut relative = PathBuf::new();
    for component in Path::new(written).components() {
        match component {
            Component::Normal(name) => relative.push(name),
            Component::ParentDir => drop(relative.pop()),
            _ => {}
        }
    }
    let path = rootfs.merged.resolve(&relative);
    let known = rootfs.merged.get(&path);
    let is_root = path.as_os_str().is_empty();
    let looks_like_directory = written.ends_with('/') || written.ends_with("/.") || written == "." || is_root;
    let is_conventional = known.is_none() && path.to_str().is_some_and(|path| CONVENTIONAL.contains(&path));
    let is_directory = looks_like_directory || is_conventional || known == Some(&Listed::Directory);
    if looks_like_directory && known.is_some_and(|known| *known != Listed::Directory) {
        let reason = format!("{written} is not a directory in the rootfs");
        return Err(Error::Destination { line: transfer.line, reason });
    }
    if items.len() > 1 && !is_directory {
        let reason = format!("several sources need a directory as destination; write {written}/");
        return Err(Error::Destination { line: transfer.line, reason });
    }
    Ok(Destination { path, is_directory })
}

fn add_local(
    tree: &mut Tree,
    rootfs: &RootfsState,
    transfer: &Transfer,
    found: &Found,
    destination: &Destination,
) -> Result<()> {
    let metadata = fs::symlink_metadata(&found.path).map_err(Error::file("read", &found.path))?;
    if metadata.is_dir() {
        if matches!(rootfs.merged.get(&destination.path), Some(listed) if *listed != Listed::Directory) {
            let reason = format!(
                "{} is a directory, {} is a file in the rootfs",
                found.relative.display(),
                destination.path.display()
            );
            return Err(Error::Destination { line: transfer.line, reason });
        }
        if !destination.path.as_os_str().is_empty() && rootfs.merged.get(&destination.path).is_none() {
            let mut directory = Entry::directory();
            directory.mode = metadata.mode() & 0o7777;
            tree.insert(destination.path.clone(), directory);
        }
        let mut scan = Scan::new(tree, false);
        return scan
            .add_children(&found.path, &destination.path, &found.relative, &rootfs.context.ignore)
            .and_then(|()| no_socket(&scan.sockets, transfer.line));
    }
    if transfer.unpack && metadata.is_file() && extract::unpack(tree, &found.path, &destination.path, transfer)? {
        return Ok(());
    }
    let name = found.relative.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut scan = Scan::new(tree, false);
    scan.add(&found.path, &metadata, destination.of_file(&name))?;
    no_socket(&scan.sockets, transfer.line)
}

fn no_socket(sockets: &[PathBuf], line: usize) -> Result<()> {
    match sockets.first() {
        Some(path) => Err(Error::Socket { line, path: path.clone() }),
        None => Ok(()),
    }
}

/// Applies `--chown` and `--chmod`.
fn set_attributes(tree: &mut Tree, rootfs: &RootfsState, transfer: &Transfer) -> Result<()> {
    let owner = match &transfer.transfer.chown {
        Some(owner) => Some(owner::resolve(owner, transfer.line, &rootfs.store, &rootfs.layers, &rootfs.merged)?),
        None => None,
    };
    for entry in tree.entries_mut() {
        if let Some((uid, gid)) = owner {
            (entry.uid, entry.gid) = (uid, gid);
        }
        if let Some(mode) = transfer.transfer.chmod
            && !matches!(entry.kind, Kind::Symlink(_))
        {
            entry.mode = mode;
        }
    }
    Ok(())
}

/// Adds the directories above the entries that the rootfs does not have yet; those it has keep their attributes.
fn add_parents(tree: &mut Tree, rootfs: &RootfsState) {
    let missing = |path: &Path| !path.as_os_str().is_empty() && rootfs.merged.get(path).is_none();
    let parents: BTreeSet<PathBuf> = tree
        .iter()
        .flat_map(|(path, _)| path.ancestors().skip(1))
        .filter(|path| missing(path))
        .map(Path::to_owned)
        .collect();
    for parent in parents {
        if tree.get(&parent).is_none() {
            tree.insert(parent, Entry::directory());
        }
    }
}
