//! Installs missing Debian packages, and says where their source comes from.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::output;
use crate::program::{find, program, read, run_quietly};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A release of Debian; this machine's archive has both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// Debian 12, which the recipes of this repository are written for
    Bookworm,
    /// Debian 13
    Trixie,
}

impl Release {
    /// Its name in the archive.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Release::Bookworm => "bookworm",
            Release::Trixie => "trixie",
        }
    }
}

/// Installs the package of every program that is not found; a program that came another way is left alone.
pub(crate) fn ensure_programs(needs: &[(&str, &str)]) -> Result<()> {
    let mut missing: Vec<&str> =
        needs.iter().filter(|(name, _)| find(name).is_none()).map(|(_, package)| *package).collect();
    missing.dedup();
    install(&missing)
}

/// Installs those of `packages` that are not installed.
pub(crate) fn ensure_packages(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    install(&missing)
}

/// The address of the Debian archive this machine already uses.
pub(crate) fn mirror() -> Result<String> {
    let mut texts = Vec::new();
    for file in source_files() {
        texts.push(fs::read_to_string(&file).map_err(Error::file("read", &file))?);
    }
    texts.iter().find_map(|text| archive_address(text)).ok_or_else(|| Error::Machine {
        missing: "no Debian archive among this machine's apt sources".into(),
        remedy: "add one to /etc/apt/sources.list.d".into(),
    })
}

/// A sources file of our own, outside `/etc`, with binary and source packages of a release.
#[derive(Debug)]
pub(crate) struct PackageSource {
    directory: tempfile::TempDir,
}

impl PackageSource {
    /// Writes the file below `scratch`; it goes away with the value.
    pub(crate) fn new(scratch: &Path, release: Release) -> Result<PackageSource> {
        let (address, suite) = (mirror()?, release.name());
        let directory = tempfile::tempdir_in(scratch).map_err(Error::file("create a directory in", scratch))?;
        let source = PackageSource { directory };
        let entry = |kind: &str| format!("{kind} [signed-by={KEYRING}] {address} {suite} main\n");
        let file = source.file();
        fs::write(&file, entry("deb") + &entry("deb-src")).map_err(Error::file("write", &file))?;
        Ok(source)
    }

    /// Path of the sources file.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("sources.list")
    }
}

fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    super::require_root()?;
    output::step(&format!("installing {}", packages.join(" ")));
    static UPDATED: AtomicBool = AtomicBool::new(false);
    if !UPDATED.swap(true, Ordering::Relaxed) {
        run_quietly(program("apt-get").args(["-q", "update"]))?;
    }
    run_quietly(
        program("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", "install"])
            .args(packages),
    )
}

fn is_installed(package: &str) -> bool {
    read(program("dpkg-query").args(["-W", "-f", "${db:Status-Abbrev}", package]))
        .is_ok_and(|status| status.starts_with("ii"))
}

fn source_files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "sources" || end == "list"))
        .collect();
    files.sort();
    let main = PathBuf::from("/etc/apt/sources.list");
    if main.is_file() {
        files.insert(0, main);
    }
    files
}

/// The first address in a sources file (either format) whose path is the main Debian archive.
fn archive_address(text: &str) -> Option<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter(|line| line.starts_with("URIs:") || line.starts_with("deb "))
        .flat_map(str::split_whitespace)
        .find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
        .map(|word| word.trim_end_matches('/').to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_found_in_both_formats() {
        let new = "Types: deb\n# http://old.example/debian\nURIs: http://mirror.example/debian/\nSuites: bookworm\n";
        assert_eq!(archive_address(new).as_deref(), Some("http://mirror.example/debian"));
        let old = "# deb cdrom\ndeb [arch=amd64] https://m.example/debian bookworm main\n";
        assert_eq!(archive_address(old).as_deref(), Some("https://m.example/debian"));
    }

    #[test]
    fn other_archives_are_not_taken_for_it() {
        assert_eq!(archive_address("URIs: http://mirror.example/debian-security\nURIs: https://x.example/apt"), None);
    }
}
