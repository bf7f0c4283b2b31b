//! The members of an archive, written as a tar or as a directory.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use content_store::{Digest, Store};

use super::event::{ArchiveProgress, Telling};
use crate::error::{Error, Result};
use crate::image::Layer;
use crate::layer::stream::{self, Done};
use crate::layer::write::padding;

/// Tells how much of all members is written.
struct Progress<'a> {
    written: AtomicU64,
    total: u64,
    tell: ArchiveProgress<'a>,
}

impl<'a> Progress<'a> {
    fn new(members: &[Member], tell: ArchiveProgress<'a>) -> Self {
        let total = members.iter().map(|member| member.size).sum();
        Self { written: AtomicU64::new(0), total, tell }
    }

    fn add(&self, bytes: u64) {
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        (self.tell)(before + bytes, Some(self.total));
    }
}

/// A file of an archive.
#[derive(Debug)]
pub(super) struct Member {
    /// Its path in the archive.
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) data: Data,
}

/// Where the bytes of a member come from.
#[derive(Debug)]
pub(super) enum Data {
    Document(Vec<u8>),
    /// A blob of the store as it is.
    Blob(Digest),
    /// A layer, decompressed.
    Layer(Box<Layer>),
}

impl Member {
    pub(super) fn document(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), size: bytes.len() as u64, data: Data::Document(bytes) }
    }

    pub(super) fn blob(digest: Digest, size: u64) -> Self {
        let name = format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex());
        Self { name, size, data: Data::Blob(digest) }
    }

    /// Gives its bytes to `write`; those of blobs are verified on the way.
    fn read(&self, store: &Store, write: &mut dyn FnMut(&mut dyn Read) -> Result<()>) -> Result<()> {
        match &self.data {
            Data::Document(bytes) => write(&mut &bytes[..]),
            Data::Blob(digest) => write(&mut store.verified_reader(digest)?),
            Data::Layer(layer) => stream::with_tar(store, layer, |tar| write(tar).map(Done::All)),
        }
    }

    /// Copies exactly its bytes.
    fn copy(&self, input: &mut dyn Read, output: &mut dyn Write, progress: &Progress<'_>) -> io::Result<()> {
        let tell = |bytes| progress.add(bytes);
        let mut output = Telling::new(output, &tell);
        // Reading one byte more than there should be reaches the end, where the digest is checked.
        let copied = io::copy(&mut Read::take(input, self.size + 1), &mut output)?;
        if copied == self.size {
            return Ok(());
        }
        let Self { name, size, .. } = self;
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name} has {copied} bytes instead of {size}")))
    }
}

/// Writes the members as a tar; `path` is what errors call it.
pub(super) fn write_tar(
    store: &Store,
    members: &[Member],
    output: &mut dyn Write,
    path: &Path,
    progress: ArchiveProgress<'_>,
) -> Result<()> {
    let fault = |source| write_fault(source, path);
    let progress = Progress::new(members, progress);
    for member in members {
        output.write_all(header(member).map_err(fault)?.as_bytes()).map_err(fault)?;
        member.read(store, &mut |input| member.copy(input, output, &progress).map_err(fault))?;
        output.write_all(&[0; 512][..padding(member.size)]).map_err(fault)?;
    }
    output.write_all(&[0; 1024]).and_then(|()| output.flush()).map_err(fault)
}

/// Writes the members as files below an existing directory, and flushes them. Gives their size.
pub(super) fn write_directory(
    store: &Store,
    members: &[Member],
    directory: &Path,
    progress: ArchiveProgress<'_>,
) -> Result<u64> {
    let progress = Progress::new(members, progress);
    for member in members {
        let path = directory.join(&member.name);
        let fault = |source| write_fault(source, &path);
        fs::create_dir_all(path.parent().unwrap_or(directory)).map_err(fault)?;
        let mut output = BufWriter::with_capacity(1 << 20, File::create_new(&path).map_err(fault)?);
        member.read(store, &mut |input| member.copy(input, &mut output, &progress).map_err(fault))?;
        let file = output.into_inner().map_err(|error| fault(error.into_error()))?;
        file.sync_data().map_err(fault)?;
    }
    Ok(progress.total)
}

/// An error of the store that came through a reader is what went wrong; everything else is the output's.
fn write_fault(source: io::Error, path: &Path) -> Error {
    match source.downcast::<content_store::Error>() {
        Ok(error) => Error::Store(error),
        Err(source) => Error::File { act: "write", path: path.to_owned(), source },
    }
}

fn header(member: &Member) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(&member.name)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(member.size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header)
}
