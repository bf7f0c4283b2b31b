//! Writes a tree as a layer blob, in one pass and without holding the layer in memory.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use content_store::{Algorithm, Digest, Hasher, Store};

use super::compression::Compression;
use super::tree::{Content, Entry, Kind, Tree};
use crate::error::{Error, Result};

/// A layer in the store, before it has a place in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    /// Digest of the uncompressed tar.
    pub(crate) diff_id: Digest,
    pub(crate) media_type: &'static str,
}

/// Writes `tree` into the store: sorted entries, every time set to `mtime` (seconds since 1970).
///
/// One thread reads files and makes the tar, this one hashes and compresses (on all cores for zstd) and stores.
pub(crate) fn write(store: &Store, tree: &Tree, compression: Compression, mtime: i64) -> Result<Written> {
    let blob = store.writer()?;
    let fault = |source| Error::File { act: "write a layer to", path: "the content store".into(), source };
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<Vec<u8>>(4);
        let producer = scope.spawn(move || produce(tree, mtime, sender));
        let consumed = consume(&receiver, compression.encoder(blob).map_err(fault)?).map_err(fault);
        drop(receiver); // A failed consumer must stop the producer.
        let produced = producer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // When the consumer failed, the producer only saw a closed channel: the consumer knows why.
        let (diff_id, blob) = consumed?;
        produced?;
        let blob = blob.commit(None)?;
        Ok(Written { digest: blob.digest, size: blob.size, diff_id, media_type: compression.media_type() })
    })
}

fn consume<W: Write>(
    chunks: &Receiver<Vec<u8>>,
    mut encoder: super::compression::Encoder<W>,
) -> io::Result<(Digest, W)> {
    let mut hash = Hasher::new(Algorithm::Sha256);
    for chunk in chunks {
        hash.update(&chunk);
        encoder.write_all(&chunk)?;
    }
    Ok((hash.finish(), encoder.finish()?))
}

/// Size of the pieces that travel between the threads.
const CHUNK: usize = 1 << 20;

/// Writes into a channel in pieces of [`CHUNK`] bytes.
struct ChunkWriter {
    chunk: Vec<u8>,
    sender: SyncSender<Vec<u8>>,
}

impl ChunkWriter {
    fn send(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        self.sender.send(chunk).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Copies exactly `size` bytes; fewer mean that the file changed meanwhile.
    fn copy(&mut self, input: &mut dyn Read, size: u64) -> io::Result<()> {
        let mut left = size;
        while left > 0 {
            let start = self.chunk.len();
            let want = ((CHUNK - start) as u64).min(left) as usize;
            self.chunk.resize(start + want, 0);
            let got = input.read(&mut self.chunk[start..]);
            self.chunk.truncate(start + *got.as_ref().unwrap_or(&0));
            match got {
                Ok(0) => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
                }
                Ok(count) => left -= count as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.chunk.len() == CHUNK {
                self.send()?;
            }
        }
        Ok(())
    }
}

impl Write for ChunkWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = data.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&data[..count]);
        if self.chunk.len() == CHUNK {
            self.send()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn produce(tree: &Tree, mtime: i64, sender: SyncSender<Vec<u8>>) -> Result<()> {
    let mut output = ChunkWriter { chunk: Vec::with_capacity(CHUNK), sender };
    for (path, entry) in tree.iter() {
        let fault = |source| match &entry.kind {
            Kind::File(content) => Error::File { act: "read", path: content.path().to_owned(), source },
            _ => Error::File { act: "write a layer with", path: path.to_owned(), source },
        };
        append(&mut output, path, entry, mtime).map_err(fault)?;
    }
    let end = |source| Error::File { act: "end", path: "a layer".into(), source };
    output.write_all(&[0; 1024]).map_err(end)?;
    output.send().map_err(end)
}

fn append(output: &mut ChunkWriter, path: &Path, entry: &Entry, mtime: i64) -> io::Result<()> {
    let mut name = path.as_os_str().as_bytes().to_vec();
    if entry.kind == Kind::Directory {
        name.push(b'/');
    }
    let (link, size) = match &entry.kind {
        Kind::Symlink(target) | Kind::HardLink(target) => (target.as_os_str().as_bytes(), 0),
        Kind::File(content) => (&b""[..], content.size()),
        _ => (&b""[..], 0),
    };
    append_extensions(output, &name, link, entry)?;
    let mut header = tar::Header::new_ustar();
    put(&mut header.as_old_mut().name, &name);
    put(&mut header.as_old_mut().linkname, link);
    header.set_entry_type(entry_type(&entry.kind));
    header.set_size(size);
    header.set_mode(entry.mode & 0o7777);
    header.set_uid(entry.uid);
    header.set_gid(entry.gid);
    header.set_mtime(mtime.max(0).unsigned_abs());
    if let Kind::Character { major, minor } | Kind::Block { major, minor } = entry.kind {
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
    }
    header.set_cksum();
    output.write_all(header.as_bytes())?;
    if let Kind::File(content) = &entry.kind {
        append_content(output, content)?;
    }
    Ok(())
}

fn append_content(output: &mut ChunkWriter, content: &Content) -> io::Result<()> {
    output.copy(&mut content.open()?, content.size())?;
    output.write_all(&[0; 512][..padding(content.size())])
}

/// Long names and extended attributes travel in a PAX header before the entry.
fn append_extensions(output: &mut ChunkWriter, name: &[u8], link: &[u8], entry: &Entry) -> io::Result<()> {
    let mut records = Vec::new();
    if name.len() > 100 {
        record(&mut records, b"path", name);
    }
    if link.len() > 100 {
        record(&mut records, b"linkpath", link);
    }
    for (name, value) in &entry.xattrs {
        record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    if records.is_empty() {
        return Ok(());
    }
    let mut header = tar::Header::new_ustar();
    put(&mut header.as_old_mut().name, b"PaxHeaders/0");
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(records.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    output.write_all(header.as_bytes())?;
    output.write_all(&records)?;
    output.write_all(&[0; 512][..padding(records.len() as u64)])
}

/// One PAX record: its own length in decimal, the key, the value.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn entry_type(kind: &Kind) -> tar::EntryType {
    match kind {
        Kind::Directory => tar::EntryType::Directory,
        Kind::File(_) => tar::EntryType::Regular,
        Kind::Symlink(_) => tar::EntryType::Symlink,
        Kind::HardLink(_) => tar::EntryType::Link,
        Kind::Fifo => tar::EntryType::Fifo,
        Kind::Character { .. } => tar::EntryType::Char,
        Kind::Block { .. } => tar::EntryType::Block,
    }
}

fn put(field: &mut [u8], value: &[u8]) {
    let count = value.len().min(field.len());
    field[..count].copy_from_slice(&value[..count]);
}

/// Zero bytes that follow `size` bytes of data in a tar.
pub(crate) fn padding(size: u64) -> usize {
    ((512 - size % 512) % 512) as usize
}
