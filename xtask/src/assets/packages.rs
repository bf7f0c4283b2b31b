//! Fetches the other programs of the base image, and finds the libraries that each needs.

use std::fs;
use std::path::{Path, PathBuf};

use super::{copy, in_xtask, make_directory};
use crate::cache::{Cache, Key};
use crate::error::{Error, Result};
use crate::machine::{self, PackageSource, Release};
use crate::output;
use crate::program::{program, read, recipe, run_quietly};

const LIBRARIES: &str = "lib/x86_64-linux-gnu";
const LOADER: &str = "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
/// The container engine of a base image, with what it starts and needs.
pub(super) const ENGINE: &[&str] = &["containerd", "libseccomp2", "runc"];
/// Everything else that comes from packages.
pub(super) const COMPANIONS: &[&str] = &[
    "busybox-static",
    "conntrack",
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
    "libxtables12",
    "zlib1g",
];

/// Debian packages unpacked into one tree, none of them installed.
#[derive(Debug)]
pub(super) struct Packages {
    tree: PathBuf,
    key: Key,
}

impl Packages {
    /// Fetches and unpacks those of a release on first use.
    pub(super) fn unpacked(cache: &Cache, release: Release, names: &[&str]) -> Result<Packages> {
        let script = in_xtask("base-image/packages.sh");
        let key = Key::new("2").tree(&script)?.text(release.name()).text(&names.join(" "));
        let entry = cache.entry("packages", &key, |target| {
            machine::ensure_programs(&[("dpkg-deb", "dpkg")])?;
            output::step(&format!("fetching packages of {}: {}", release.name(), names.join(" ")));
            let source = PackageSource::new(cache.root(), release)?;
            run_quietly(recipe(&script).arg(target.join("tree")).arg(source.file()).args(names))
        })?;
        Ok(Packages { tree: entry.join("tree"), key })
    }

    /// Path of a file of the tree.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.tree.join(file)
    }

    /// The version that the makers of a package gave it, without what Debian adds: `1.7.24` of `1.7.24~ds1-6`.
    pub(super) fn version(&self, package: &str) -> Result<String> {
        let list = self.path("versions");
        let text = fs::read_to_string(&list).map_err(Error::file("read", &list))?;
        upstream_version(&text, package)
            .map(str::to_owned)
            .ok_or_else(|| Error::Shape { what: format!("list of packages {}", list.display()), found: text.clone() })
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

/// The version of a package in lines such as `zlib1g 1:1.2.13.dfsg-1`, cut where Debian's additions begin.
fn upstream_version<'a>(versions: &'a str, package: &str) -> Option<&'a str> {
    let (_, version) = versions.lines().filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == package)?;
    let version = version.split_once(':').map_or(version, |(_, version)| version);
    version.split(['~', '+', '-']).next()
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

    #[test]
    fn versions_are_those_of_the_makers() {
        let list = "runc 1.1.15+ds1-2+b4\ncontainerd 1.7.24~ds1-6+deb13u1\nzlib1g 1:1.2.13.dfsg-1\n";
        let found = ["containerd", "runc", "zlib1g", "run"].map(|package| upstream_version(list, package));
        assert_eq!(found, [Some("1.7.24"), Some("1.1.15"), Some("1.2.13.dfsg"), None]);
    }
}
