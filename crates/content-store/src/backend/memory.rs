//! Objects in memory, the stand-in for tests.

use super::{Backend, key};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Objects that live as long as the value.
#[derive(Debug, Default)]
pub struct Memory {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Memory {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Memory {
    fn get(&self, key: &str, offset: u64) -> Result<Box<dyn Read + Send>> {
        key::check(key)?;
        let objects = self.objects();
        let bytes =
            objects.get(key).ok_or_else(|| Error::NoObject { key: key.to_owned(), backend: "memory".to_owned() })?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        Ok(Box::new(Cursor::new(bytes[start..].to_vec())))
    }

    fn put(&self, key: &str, source: &mut dyn Read) -> Result<u64> {
        key::check(key)?;
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).map_err(|source| Error::Source { object: key.to_owned(), source })?;
        let size = bytes.len() as u64;
        self.objects().insert(key.to_owned(), bytes);
        Ok(size)
    }

    fn size(&self, key: &str) -> Result<Option<u64>> {
        key::check(key)?;
        Ok(self.objects().get(key).map(|bytes| bytes.len() as u64))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.objects().keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }

    fn remove(&self, key: &str) -> Result<bool> {
        key::check(key)?;
        Ok(self.objects().remove(key).is_some())
    }
}
