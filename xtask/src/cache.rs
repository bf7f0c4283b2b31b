//! Keeps slow results for the next run, under a name that changes with their inputs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// A directory outside the repository. Each entry is named after what it is and a digest of everything it was made
/// from, so a changed recipe makes a new entry instead of a stale one.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens `$SEALER_XTASK_CACHE`, `$XDG_CACHE_HOME/sealer-xtask` or `~/.cache/sealer-xtask`.
    pub(crate) fn open() -> Result<Cache> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = variable("SEALER_XTASK_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|base| base.join("sealer-xtask")))
            .or_else(|| variable("HOME").map(|home| home.join(".cache/sealer-xtask")))
            .ok_or_else(|| Error::Machine {
                missing: "no home directory for the cache".into(),
                remedy: "set SEALER_XTASK_CACHE to a directory".into(),
            })?;
        Cache::at(&root)
    }

    /// Opens the cache at a given place, made when missing.
    pub(crate) fn at(root: &Path) -> Result<Cache> {
        fs::create_dir_all(root).map_err(Error::file("create", root))?;
        Ok(Cache { root: root.to_path_buf() })
    }

    /// Returns the directory of an entry; when there is none yet, `make` fills a fresh directory first. A second
    /// process that wants the same entry waits; a partially made entry is made anew.
    pub(crate) fn entry(&self, name: &str, key: &Key, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let entry = self.root.join(format!("{name}-{}", key.short()));
        let _lock = self.lock(name)?;
        if entry.is_dir() {
            return Ok(entry);
        }
        let partial = entry.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(Error::file("remove", &partial))?;
        }
        fs::create_dir_all(&partial).map_err(Error::file("create", &partial))?;
        make(&partial).map_err(|source| Error::Entry { name: name.to_owned(), source: Box::new(source) })?;
        fs::rename(&partial, &entry).map_err(Error::file("move into place", &entry))?;
        Ok(entry)
    }

    /// Waits until no other process holds `name`, and holds it until the value is dropped.
    pub(crate) fn lock(&self, name: &str) -> Result<File> {
        let path = self.root.join(format!("{name}.lock"));
        let lock = File::create(&path).map_err(Error::file("create", &path))?;
        lock.lock().map_err(Error::file("lock", &path))?;
        Ok(lock)
    }

    /// The directory that holds the entries, for scratch files that must lie on the same disk.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
}

/// A digest of the inputs of an entry.
#[derive(Debug, Clone)]
pub(crate) struct Key(Sha256);

impl Key {
    /// Starts with a word that changes when the code that makes the entry changes its ways.
    pub(crate) fn new(generation: &str) -> Key {
        Key(Sha256::new()).text(generation)
    }

    /// Adds a text, such as a version or the key of another entry.
    #[must_use]
    pub(crate) fn text(mut self, text: &str) -> Key {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
        self
    }

    /// Adds every file below `path` (or the file itself): name, executable bit and content.
    pub(crate) fn tree(mut self, path: &Path) -> Result<Key> {
        for file in files_below(path)? {
            let content = fs::read(&file).map_err(Error::file("read", &file))?;
            let name = file.strip_prefix(path).unwrap_or(&file).to_string_lossy().into_owned();
            self = self.text(&name).text(if is_executable(&file)? { "x" } else { "-" });
            self.0.update((content.len() as u64).to_le_bytes());
            self.0.update(&content);
        }
        Ok(self)
    }

    /// Sixteen hexadecimal digits: enough to tell entries apart, short enough to read.
    pub(crate) fn short(&self) -> String {
        hex::encode(self.0.clone().finalize())[..16].to_string()
    }
}

/// Every regular file below `path`, sorted; the path itself when it is a file.
pub(crate) fn files_below(path: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut pending = vec![path.to_path_buf()];
    while let Some(next) = pending.pop() {
        if next.is_dir() && !next.is_symlink() {
            for child in fs::read_dir(&next).map_err(Error::file("list", &next))? {
                pending.push(child.map_err(Error::file("list", &next))?.path());
            }
        } else {
            files.push(next);
        }
    }
    files.sort();
    Ok(files)
}

fn is_executable(file: &Path) -> Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(file).map_err(Error::file("read", file))?;
    Ok(metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_entry_is_made_once_and_again_after_an_input_changed() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path()).unwrap();
        let input = directory.path().join("recipe.sh");
        let made = std::cell::Cell::new(0);
        let make = |cache: &Cache| {
            let key = Key::new("1").tree(&input).unwrap();
            cache.entry("thing", &key, |target| {
                made.set(made.get() + 1);
                fs::write(target.join("result"), "done").map_err(Error::file("write", target))
            })
        };
        fs::write(&input, "one").unwrap();
        let first = make(&cache).unwrap();
        assert_eq!(first, make(&cache).unwrap());
        assert_eq!(made.get(), 1);
        fs::write(&input, "two").unwrap();
        assert_ne!(first, make(&cache).unwrap());
        assert_eq!(made.get(), 2);
        assert!(first.join("result").is_file());
    }

    #[test]
    fn a_partially_made_entry_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path()).unwrap();
        let key = Key::new("1");
        let failed = cache.entry("thing", &key, |target| {
            fs::write(target.join("half"), "").unwrap();
            Err(Error::Checks { failed: 1, total: 1 })
        });
        let failed = failed.unwrap_err();
        assert!(failed.to_string().contains("the same command resumes"), "{failed}");
        let entry = cache.entry("thing", &key, |_| Ok(())).unwrap();
        assert_eq!(fs::read_dir(entry).unwrap().count(), 0);
    }

    #[test]
    fn texts_cannot_run_together() {
        assert_ne!(Key::new("ab").text("c").short(), Key::new("a").text("bc").short());
    }
}
