//! Mounts the root file systems of images, read-only, for looking at them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use content_store::Digest;
use rustix::mount::{MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags, mount, move_mount, unmount};
use serde::{Deserialize, Serialize};

use crate::builder::cache::Workplace;
use crate::durable;
use crate::error::{Error, Result};
use crate::images::Images;
use crate::platform::Platform;
use crate::sandbox::overlay::overlay_by_calls;
use crate::unpack;

/// An image whose rootfs is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mounted {
    /// The whole name by which it was asked for, or its digest.
    pub image: String,
    /// Digest of its index.
    pub digest: Digest,
    /// Its platform.
    pub platform: Platform,
    /// Where it is mounted.
    pub path: PathBuf,
    /// The unpacked layers that it needs.
    layers: Vec<PathBuf>,
    /// The boot that it was made in: what is mounted on its path after another one is somebody else's. Empty in older records.
    #[serde(default)]
    boot: String,
}

/// What is known about a mount, in its directory.
const RECORD: &str = "mount.json";
/// Where an image is mounted that was given no place, in its directory.
const ROOTFS: &str = "rootfs";
/// What lies below one layer, or stands for none: overlayfs wants two where nothing is written.
const EMPTY: [&str; 2] = ["empty", "empty2"];

impl Images {
    /// Mounts the rootfs of an image, read-only, on the directory `at`, or on one below the root directory. Needs root. It
    /// stays until [`Images::unmount`] or the next boot.
    ///
    /// # Errors
    /// As [`Images::get_for`]; [`Error::File`] when it cannot be unpacked or mounted.
    pub fn mount(&self, name: &str, platform: Option<&Platform>, at: Option<&Path>) -> Result<Mounted> {
        let _guard = self.content().gc_guard()?;
        let image = self.find(name, platform)?;
        let at = at.map(|at| at.canonicalize().map_err(Error::file("mount an image on", at))).transpose()?;
        let place = Workplace::open(self)?;
        let layers = unpack::overlay_layers(self, image.layers(), place.path())?;
        let directory = self.new_mount(image.manifest_digest())?;
        let path = at.unwrap_or_else(|| directory.join(ROOTFS));
        let (digest, platform) = (*image.index_digest(), image.platform().clone());
        let mounted = Mounted { image: image.name(), digest, platform, path, layers, boot: boot()? };
        match mounted.attach(&directory) {
            Ok(()) => Ok(mounted),
            Err(error) => {
                // What failed to be mounted leaves nothing.
                let _ = forget(&directory);
                Err(error)
            }
        }
    }

    /// The images that are mounted.
    ///
    /// # Errors
    /// [`Error::File`] when that cannot be read.
    pub fn mounted(&self) -> Result<Vec<Mounted>> {
        Ok(self.records()?.into_iter().filter(|(_, _, is_live)| *is_live).map(|(_, mounted, _)| mounted).collect())
    }

    /// Takes away the mounts on this path, or of the image of this name or digest; all of them without either.
    ///
    /// # Errors
    /// [`Error::NotMounted`] when nothing of it is mounted; [`Error::File`] when it is in use.
    pub fn unmount(&self, what: Option<&str>) -> Result<Vec<Mounted>> {
        let records = self.records()?;
        let wanted = |mounted: &Mounted| match what {
            None => true,
            Some(what) => {
                let is_path = Path::new(what).canonicalize().is_ok_and(|path| path == mounted.path);
                let is_image = self.resolve(what).is_ok_and(|(_, digest)| digest == mounted.digest);
                is_path || is_image || mounted.image == what
            }
        };
        let mut unmounted = Vec::new();
        for (directory, mounted, is_live) in records.into_iter().filter(|(_, mounted, _)| wanted(mounted)) {
            if is_live {
                unmount(&mounted.path, UnmountFlags::empty())
                    .map_err(|error| Error::file("unmount", &mounted.path)(error.into()))?;
            }
            // What is left after a boot is only a record.
            forget(&directory)?;
            if is_live {
                unmounted.push(mounted);
            }
        }
        match what {
            Some(what) if unmounted.is_empty() => Err(Error::NotMounted { what: what.to_owned() }),
            _ => Ok(unmounted),
        }
    }

    fn new_mount(&self, digest: &Digest) -> Result<PathBuf> {
        let parent = self.mounts();
        atomic_file::create_dir(&parent, 0o700).map_err(Error::file("create", &parent))?;
        let prefix = format!("{}-", &digest.hex()[..12]);
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in(&parent);
        let directory = directory.map_err(Error::file("create a directory in", &parent))?.keep();
        for below in [ROOTFS, EMPTY[0], EMPTY[1]] {
            fs::create_dir(directory.join(below)).map_err(Error::file("create", directory.join(below)))?;
        }
        Ok(directory)
    }

    /// Every record with its directory, and whether it is mounted.
    fn records(&self) -> Result<Vec<(PathBuf, Mounted, bool)>> {
        let parent = self.mounts();
        let entries = match fs::read_dir(&parent) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::file("read", &parent))?,
        };
        let (live, boot) = (overlays()?, boot()?);
        let mut records = Vec::new();
        for entry in entries {
            let directory = entry.map_err(Error::file("read", &parent))?.path();
            let path = directory.join(RECORD);
            let text = atomic_file::read_limited(&path, 1 << 20).map_err(Error::file("read", &path))?;
            let Some(text) = text else { continue };
            let mounted: Mounted = serde_json::from_slice(&text).map_err(Error::document(path.display()))?;
            let is_live = [&boot, ""].contains(&mounted.boot.as_str()) && live.contains(&mounted.path);
            records.push((directory, mounted, is_live));
        }
        records.sort_by(|one, other| one.1.path.cmp(&other.1.path));
        Ok(records)
    }
}

/// The unpacked layers that mounts need.
pub(crate) fn layers_in_use(images: &Images) -> Result<BTreeSet<PathBuf>> {
    Ok(images.mounted()?.into_iter().flat_map(|mounted| mounted.layers).collect())
}

impl Mounted {
    /// Mounts it; its record is there before it is.
    fn attach(&self, directory: &Path) -> Result<()> {
        let record = serde_json::to_vec(self).map_err(Error::document("a mount"))?;
        durable::write(&directory.join(RECORD), &record)?;
        let empty = EMPTY.map(|name| directory.join(name));
        let missing = empty.iter().take(2_usize.saturating_sub(self.layers.len()));
        let lower: Vec<&Path> = self.layers.iter().chain(missing).map(PathBuf::as_path).collect();
        let fault = |source: rustix::io::Errno| Error::file("mount an image on", &self.path)(source.into());
        let flags =
            MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
        match overlay_by_calls(&lower, None, flags) {
            Ok(overlay) => {
                let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                move_mount(overlay.as_fd(), "", rustix::fs::CWD, &self.path, empty).map_err(fault)
            }
            // Kernels before 6.5 know no `lowerdir+`.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => by_options(&lower, &self.path).map_err(fault),
            Err(error) => Err(fault(error)),
        }
    }
}

/// Mounts by one option string, which must fit into one page: layers are named by their descriptors.
fn by_options(lower: &[&Path], target: &Path) -> rustix::io::Result<()> {
    let flags = rustix::fs::OFlags::PATH.bits().cast_signed();
    let open = |path: &&Path| fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
    let open: io::Result<Vec<File>> = lower.iter().map(open).collect();
    let open = open.map_err(|_| rustix::io::Errno::IO)?;
    let names: Vec<String> = open.iter().map(|layer| format!("/proc/self/fd/{}", layer.as_raw_fd())).collect();
    let options = std::ffi::CString::new(format!("lowerdir={}", names.join(":")));
    let options = options.map_err(|_| rustix::io::Errno::INVAL)?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    mount("overlay", target, "overlay", flags, options.as_c_str())
}

/// Takes away what is known about a mount. Nothing is removed that is not empty: it could still be mounted.
fn forget(directory: &Path) -> Result<()> {
    let record = directory.join(RECORD);
    match fs::remove_file(&record) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::file("remove", record)(error)),
        _ => {}
    }
    for below in [ROOTFS, EMPTY[0], EMPTY[1], ""] {
        let path = directory.join(below);
        fs::remove_dir(&path).map_err(Error::file("remove", path))?;
    }
    Ok(())
}

/// What the kernel calls the time since the machine was started.
fn boot() -> Result<String> {
    const ID: &str = "/proc/sys/kernel/random/boot_id";
    fs::read_to_string(ID).map(|id| id.trim().to_owned()).map_err(Error::file("read", ID))
}

/// Where overlay file systems are mounted.
fn overlays() -> Result<BTreeSet<PathBuf>> {
    const TABLE: &str = "/proc/self/mountinfo";
    let mut table = Vec::new();
    File::open(TABLE).and_then(|mut file| file.read_to_end(&mut table)).map_err(Error::file("read", TABLE))?;
    let mut paths = BTreeSet::new();
    for line in table.split(|byte| *byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let kind = fields.iter().position(|field| *field == b"-").and_then(|at| fields.get(at + 1));
        if kind == Some(&&b"overlay"[..])
            && let Some(path) = fields.get(4)
        {
            paths.insert(unescaped(path));
        }
    }
    Ok(paths)
}

/// A path of the table, in which spaces and the like are octal numbers.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, more)) = rest.split_first() {
        let number = more.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match number.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                path.push(byte);
                rest = &more[3..];
            }
            _ => {
                path.push(*first);
                rest = more;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_table_are_read_whatever_they_hold() {
        for (field, path) in [("/a/b", "/a/b"), (r"/a\040b\134c", r"/a b\c"), (r"/a\", r"/a\"), (r"/\0x", r"/\0x")] {
            assert_eq!(unescaped(field.as_bytes()), Path::new(path));
        }
    }
}
