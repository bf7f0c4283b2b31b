//! Fetches the other programs of the base image, and finds the libraries that each needs.

use std::fs;
use std::path::{Path, PathBuf};

use super::{copy, in_xtask, make_directory};
use crate::cache::{Cache, Key};
use crate::error::{Error, Result};
use crate::machine::{self, PackageSource};
use crate::output;
use crate::program::{program, read, recipe, run_quietly};

const LIBRARIES: &str = "lib/x86_64-linux-gnu";
const LOADER: &str = "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
const PACKAGES: &[&str] = &[
    "busybox-static",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "etcd-client",
    "etcd-server",
    "iproute2",
    "iptables",
    "libbpf1",
    "libbsd0",
    "libc6",
    "libcap2",
    "libelf1",
    "libmd0",
    "libmnl0",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "libnftnl11",
    "libseccomp2",
    "libxtables12",
    "runc",
    "zlib1g",
];

/// Debian packages unpacked into one tree, none of them installed.
#[derive(Debug)]
pub(super) struct Packages {
    tree: PathBuf,
    key: Key,
}

impl Packages {
    /// Fetches and unpacks them on first use.
    pub(super) fn unpacked(cache: &Cache) -> Result<Packages> {
        let script = in_xtask("base-image/packages.sh");
        let key = Key::new("1").tree(&script)?.text(&PACKAGES.join(" "));
        let entry = cache.entry("packages", &key, |target| {
            machine::ensure_programs(&[("dpkg-deb", "dpkg")])?;
            output::step("fetching containerd, etcd and their companions");
            let source = PackageSource::new(cache.root())?;
            run_quietly(recipe(&script).arg(target.join("tree")).arg(source.file()).args(PACKAGES))
        })?;
        Ok(Packages { tree: entry.join("tree"), key })
    }

    /// Path of a file of the tree.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.tree.join(file)
    }

    /// Digest of what the tree was made from.
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Copies a program to `place` in `root`, with the loader and every library it needs, also those that it opens
    /// only while running when they are named in `plugins`.
    pub(super) fn install(&self, file: &str, root: &Path, place: &str, plugins: &[&str]) -> Result<()> {
        copy(&self.path(file), &root.join(place))?;
        let mut libraries = self.libraries(&self.path(file))?;
        for plugin in plugins {
            copy(&self.path(plugin), &root.join(plugin))?;
            for entry in fs::read_dir(self.path(plugin)).map_err(Error::file("list", &self.path(plugin)))? {
                let path = entry.map_err(Error::file("list", &self.path(plugin)))?.path();
                if path.is_file() && !path.is_symlink() {
                    libraries.extend(self.libraries(&path)?);
                }
            }
        }
        libraries.sort();
        libraries.dedup();
        make_directory(&root.join(LIBRARIES))?;
        for library in libraries {
            let name = library.file_name().unwrap_or_default();
            copy_content(&library, &root.join(LIBRARIES).join(name))?;
        }
        make_directory(&root.join("lib64"))?;
        copy_content(&self.path(LOADER), &root.join("lib64/ld-linux-x86-64.so.2"))
    }

    /// The shared libraries of a file, as the tree's own loader resolves them inside the tree.
    fn libraries(&self, file: &Path) -> Result<Vec<PathBuf>> {
        let search = format!("{}:{}", self.path(LIBRARIES).display(), self.path("usr").join(LIBRARIES).display());
        let listing = read(program(self.path(LOADER)).args(["--library-path", &search, "--list"]).arg(file))?;
        resolved(&listing)
            .map(|path| {
                if path.starts_with(&self.tree) {
                    return Ok(path);
                }
                Err(Error::Shape { what: format!("library of {}", file.display()), found: path.display().to_string() })
            })
            .collect()
    }
}

/// Paths on the right-hand side of a loader's listing; `not found` shows as a path outside the tree.
fn resolved(listing: &str) -> impl Iterator<Item = PathBuf> {
    listing
        .lines()
        .filter_map(|line| line.split_once(" => "))
        .map(|(_, found)| PathBuf::from(found.rsplit_once(" (").map_or(found, |(path, _)| path).trim()))
}

/// Copies what a link points at.
fn copy_content(source: &Path, target: &Path) -> Result<()> {
    fs::copy(source, target).map(drop).map_err(Error::file("copy", source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_of_the_loader_are_read() {
        let listing = "\tlinux-vdso.so.1 (0x7f)\n\tlibmnl.so.0 => /t/libmnl.so.0 (0x7f)\n\tlibx.so => not found\n";
        let found: Vec<_> = resolved(listing).collect();
        assert_eq!(found, [PathBuf::from("/t/libmnl.so.0"), PathBuf::from("not found")]);
    }
}
