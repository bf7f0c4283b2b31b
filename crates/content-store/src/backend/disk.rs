//! Objects as files below one directory.

use super::{Backend, key};
use crate::durable;
use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Objects as files: the key is the path below the root.
#[derive(Clone, Debug)]
pub struct Disk {
    root: PathBuf,
}

impl Disk {
    /// Keeps objects below `root`, which is created when it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::File`] or [`Error::NoSpace`] when it cannot be created.
    pub fn open(root: &Path) -> Result<Self> {
        durable::create_directory(root)?;
        Ok(Self { root: root.to_path_buf() })
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        key::check(key)?;
        Ok(self.root.join(key))
    }

    fn walk(&self, directory: &Path, prefix: &str, keys: &mut Vec<String>) -> Result<()> {
        let fail = |source| Error::file("list", directory, source);
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(fail(source)),
        };
        for entry in entries {
            let entry = entry.map_err(fail)?;
            let path = entry.path();
            let Some(key) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) else {
                continue;
            };
            let kind = entry.file_type().map_err(fail)?;
            if kind.is_dir() && (prefix.starts_with(key) || key.starts_with(prefix)) {
                self.walk(&path, prefix, keys)?;
            } else if kind.is_file() && key.starts_with(prefix) && key::check(key).is_ok() {
                keys.push(key.to_owned());
            }
        }
        Ok(())
    }
}

impl Backend for Disk {
    fn get(&self, key: &str, offset: u64) -> Result<Box<dyn Read + Send>> {
        let path = self.path(key)?;
        let mut file = match File::open(&path) {
            Ok(file) if file.metadata().is_ok_and(|metadata| metadata.is_file()) => file,
            Ok(_) => return Err(self.no_object(key)),
            Err(error) if is_absent(&error) => return Err(self.no_object(key)),
            Err(source) => return Err(Error::file("open", &path, source)),
        };
        file.seek(SeekFrom::Start(offset)).map_err(|source| Error::file("read", &path, source))?;
        Ok(Box::new(file))
    }

    fn put(&self, key: &str, source: &mut dyn Read) -> Result<u64> {
        let path = self.path(key)?;
        let directory = path.parent().unwrap_or(&self.root);
        durable::create_directory(directory)?;
        let (mut file, temporary) = durable::create_unique(directory, durable::REPLACE_PREFIX)?;
        let mut buffer = vec![0; 1 << 20];
        let mut size = 0;
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(Error::Source { object: key.to_owned(), source });
                }
            };
            file.write_all(&buffer[..count]).map_err(|source| Error::file("write", &path, source))?;
            size += count as u64;
        }
        let placed = file.sync_all().and_then(|()| fs::rename(temporary.path(), &path));
        placed.map_err(|source| Error::file("write", &path, source))?;
        temporary.keep();
        durable::sync_directory(directory)?;
        Ok(size)
    }

    fn size(&self, key: &str) -> Result<Option<u64>> {
        let path = self.path(key)?;
        match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(source) => Err(Error::file("read", &path, source)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        self.walk(&self.root, prefix, &mut keys)?;
        keys.sort();
        Ok(keys)
    }

    fn remove(&self, key: &str) -> Result<bool> {
        let path = self.path(key)?;
        if self.size(key)?.is_none() {
            return Ok(false);
        }
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(source) => Err(Error::file("remove", &path, source)),
        }
    }
}

impl Disk {
    fn no_object(&self, key: &str) -> Error {
        Error::NoObject { key: key.to_owned(), backend: self.root.display().to_string() }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
