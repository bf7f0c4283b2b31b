//! Unpacks a stack of layers into a directory, whole or not at all.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use content_store::{Algorithm, Digest, Hasher, Store};
use rustix::mount::MountAttrFlags;

use crate::contents;
use crate::durable;
use crate::error::{Error, Result};
use crate::image::Layer;
use crate::images::Images;
use crate::layer::apply::{self, Whiteouts};
use crate::layer::listing::Merged;
use crate::layer::place::Root;
use crate::layer::stream::{self, Done};
use crate::layer::tar::Reader;
use crate::sandbox::overlay::overlay_by_calls;

/// Unpacks `layers` (bottom first) on each other as the directory `into`, in place of what is there.
///
/// Owners are kept when the process is root. Work is done in `<into>.partial`, flushed once and renamed, so `into` is
/// either the old or the new tree; after an interruption the same call starts over. `progress` hears the bytes of each
/// file written.
///
/// # Errors
/// [`Error::Store`] for a missing or corrupt layer (which is named), [`Error::Archive`] for a hostile one,
/// [`Error::File`] when the disk refuses.
pub fn unpack(content: &Store, layers: &[Layer], into: &Path, progress: &mut dyn FnMut(u64)) -> Result<()> {
    let partial = sibling(into, ".partial");
    make(content, layers, &partial, Whiteouts::Apply, progress)?;
    flush(&partial)?;
    replace(&partial, into)
}

/// Unpacks layers as overlay directories, topmost first; those of earlier calls are there already. Work is done in the
/// directory `work` on the same file system, which other users of this machine cannot enter.
///
/// A layer that says everything about its directories is unpacked by itself, once for all images. One that relies on what
/// is below (it has files in directories, or behind links, that it does not bring, or deletes nothing) is unpacked over that.
pub(crate) fn overlay_layers(images: &Images, layers: &[Layer], work: &Path) -> Result<Vec<PathBuf>> {
    let (mut directories, mut merged): (Vec<PathBuf>, _) = (Vec::new(), Merged::default());
    let mut chain = Hasher::new(Algorithm::Sha256);
    let mut has_root = false;
    for layer in topmost_once(layers).into_iter().rev() {
        chain.update(layer.digest.to_string().as_bytes());
        let listing = contents::listing(images.content(), layer, Some(&images.listings()))?;
        let directory = |name: &Digest| images.unpacked_layers().join(name.hex());
        let (alone, over) = (directory(&layer.digest), directory(&chain.clone().finish()));
        let unpack_over = || -> Result<PathBuf> {
            overlay_layer(images.content(), layer, &over, Below::These(&directories), work)?;
            Ok(over.clone())
        };
        let unpacked = if listing.is_self_contained(&merged, has_root) {
            match overlay_layer(images.content(), layer, &alone, Below::Anything, work) {
                Ok(()) => alone,
                // A hard link to a file below.
                Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => unpack_over()?,
                Err(error) => return Err(error),
            }
        } else {
            unpack_over()?
        };
        has_root |= listing.has_root();
        merged.stack(&listing);
        directories.insert(0, unpacked);
    }
    Ok(directories)
}

/// What a layer is unpacked over.
#[derive(Clone, Copy)]
enum Below<'a> {
    /// It means the same over everything.
    Anything,
    /// These layers, unpacked, topmost first.
    These(&'a [PathBuf]),
}

/// The layers, topmost first, each only once: overlayfs refuses one directory in two places, and whatever a layer adds
/// or takes away lower in the stack it adds or takes away again where it stands last.
fn topmost_once(layers: &[Layer]) -> Vec<&Layer> {
    let mut seen = std::collections::BTreeSet::new();
    layers.iter().rev().filter(|layer| seen.insert(layer.digest)).collect()
}

/// Unpacks one layer as overlay lower directory, unless that was done before.
fn overlay_layer(content: &Store, layer: &Layer, into: &Path, over: Below<'_>, work: &Path) -> Result<()> {
    if into.is_dir() {
        return Ok(());
    }
    let parent = into.parent().unwrap_or(Path::new("."));
    // Programs of old images that become root when they are run must not be reached by other users of this machine.
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(parent);
    made.and_then(|()| fs::set_permissions(parent, fs::Permissions::from_mode(0o700)))
        .map_err(Error::file("create", parent))?;
    let partial = tempfile::Builder::new()
        .prefix("layer-")
        .tempdir_in(work)
        .map_err(Error::file("create a directory in", work))?;
    let alone = std::slice::from_ref(layer);
    match over {
        Below::Anything => make(content, alone, partial.path(), Whiteouts::Overlay, &mut |_| {})?,
        Below::These([]) => make(content, alone, partial.path(), Whiteouts::Apply, &mut |_| {})?,
        Below::These(lower) => make_over(content, layer, partial.path(), lower, work)?,
    }
    flush(partial.path())?;
    match fs::rename(partial.path(), into) {
        // Another build was faster.
        Err(_) if into.is_dir() => Ok(()),
        renamed => renamed.map_err(Error::file("create", into)),
    }
}

/// Applies a layer to the layers below as they are seen together: what it changes is then in `directory`.
fn make_over(content: &Store, layer: &Layer, directory: &Path, lower: &[PathBuf], work: &Path) -> Result<()> {
    let place = tempfile::Builder::new().prefix("over-").tempdir_in(work);
    let place = place.map_err(Error::file("create a directory in", work))?;
    set_mode(directory)?;
    let fault =
        |source: io::Error| Error::File { act: "unpack a layer over those below in", path: work.to_owned(), source };
    let lower: Vec<&Path> = lower.iter().map(PathBuf::as_path).collect();
    // The top directory of what is below is the one that is seen, also where this layer does not speak of it.
    let top = lower.first().map(fs::metadata).transpose().map_err(fault)?;
    if let Some(top) = top {
        std::os::unix::fs::chown(directory, Some(top.uid()), Some(top.gid())).map_err(fault)?;
        fs::set_permissions(directory, top.permissions()).map_err(fault)?;
    }
    let mounted = overlay_by_calls(&lower, Some((directory, place.path())), MountAttrFlags::MOUNT_ATTR_NODEV);
    let mounted = mounted.map_err(|error| fault(error.into()))?;
    let mut root = Root::of_mount(&mounted).map_err(fault)?;
    stream::with_tar(content, layer, |tar| {
        let label = tar.label.clone();
        let mut reader = Reader::new(tar, label);
        apply::apply(&mut reader, &mut root, Whiteouts::Apply, &mut |_| {}).map_err(below(directory))?;
        Ok(Done::All(()))
    })
}

fn make(
    content: &Store,
    layers: &[Layer],
    directory: &Path,
    whiteouts: Whiteouts,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    remove(directory)?;
    fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
    set_mode(directory)?;
    let mut root = Root::open(directory).map_err(Error::file("open", directory))?;
    for layer in layers {
        stream::with_tar(content, layer, |tar| {
            let label = tar.label.clone();
            apply::apply(&mut Reader::new(tar, label), &mut root, whiteouts, progress).map_err(below(directory))?;
            Ok(Done::All(()))
        })?;
    }
    Ok(())
}

/// Without it, a power cut after the rename could leave a tree of empty files under the final name.
fn flush(directory: &Path) -> Result<()> {
    Root::open(directory).and_then(|root| root.sync()).map_err(Error::file("flush", directory))
}

/// A rootfs is readable by everyone, whatever the umask.
fn set_mode(directory: &Path) -> Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).map_err(Error::file("create", directory))
}

/// Paths in messages are whole ones.
fn below(directory: &Path) -> impl Fn(Error) -> Error + '_ {
    move |error| match error {
        Error::File { act, path, source } if path.is_relative() => {
            Error::File { act, path: directory.join(path), source }
        }
        other => other,
    }
}

/// Puts `new` in the place of `old`, in one step also when `old` is a directory with files.
fn replace(new: &Path, old: &Path) -> Result<()> {
    let parent = old.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if old.symlink_metadata().is_ok() {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        let exchanged = rustix::fs::renameat_with(rustix::fs::CWD, new, rustix::fs::CWD, old, flags);
        exchanged
            .map_err(io::Error::from)
            .or_else(|error| step_aside(new, old, error))
            .map_err(Error::file("replace", old))?;
        durable::sync_directory(parent)?;
        return remove(new);
    }
    fs::rename(new, old).map_err(Error::file("create", old))?;
    durable::sync_directory(parent)
}

/// For file systems that cannot exchange two names.
fn step_aside(new: &Path, old: &Path, error: io::Error) -> io::Result<()> {
    if !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) {
        return Err(error);
    }
    let aside = sibling(old, ".old");
    remove(&aside).map_err(io::Error::other)?;
    fs::rename(old, &aside)?;
    fs::rename(new, old)?;
    fs::rename(&aside, new)
}

fn remove(path: &Path) -> Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(Error::file("remove", path))
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use content_store::Digest;

    #[test]
    fn a_layer_that_stands_twice_is_mounted_once_where_it_stands_last() {
        let layer = |name: &str| Layer {
            digest: Digest::of(name.as_bytes()),
            size: 1,
            media_type: String::new(),
            diff_id: None,
            created_by: name.to_owned(),
        };
        let layers = [layer("images"), layer("bin"), layer("images"), layer("etc")];
        let mounted: Vec<&str> = topmost_once(&layers).iter().map(|layer| layer.created_by.as_str()).collect();
        assert_eq!(mounted, ["etc", "images", "bin"]);
    }
}
