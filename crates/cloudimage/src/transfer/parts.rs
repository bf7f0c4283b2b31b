//! Archives in numbered parts, for media that do not hold all of it.
//!
//! A part is a header of 512 bytes and a piece of the archive. The header says which set the part belongs to, which number
//! it has, how many bytes follow, and whether it is the last. Parts in their order, one after the other, can be read too.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use atomic_file::TemporaryFile;
use serde::{Deserialize, Serialize};

use super::unfinished::{self, parent};
use crate::error::{Error, Result};

/// What every part begins with.
pub(super) const MAGIC: &[u8] = b"sealer archive part 1\n";
const HEADER: usize = 512;
/// Smallest part: headers must not be most of it.
const SMALLEST: u64 = 64 << 10;
/// Most parts of a set: they are open until all are written.
const MOST: u32 = 999;

/// What a part says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    /// The same in all parts of one archive, and in no other.
    set: String,
    /// From 1.
    part: u32,
    last: bool,
    /// How many bytes of the archive follow.
    bytes: u64,
}

impl Header {
    fn to_bytes(&self) -> io::Result<[u8; HEADER]> {
        let text = serde_json::to_vec(self)?;
        let mut bytes = [b'\n'; HEADER];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[MAGIC.len()..MAGIC.len() + text.len()].copy_from_slice(&text);
        Ok(bytes)
    }

    /// `None` when the bytes are not those of a part.
    fn from_bytes(bytes: &[u8; HEADER]) -> Option<Self> {
        serde_json::from_slice(bytes.strip_prefix(MAGIC)?).ok()
    }

    /// The header at the start of a file or stream; `None` when it is no part.
    fn read(input: &mut dyn Read) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEADER];
        match input.read_exact(&mut bytes) {
            Ok(()) => Ok(Self::from_bytes(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Writes an archive in parts, which appear with [`PartWriter::finish`]. Dropped without it, nothing is left behind.
#[derive(Debug)]
pub(super) struct PartWriter {
    path: PathBuf,
    set: String,
    /// Bytes of the archive in each part.
    capacity: u64,
    parts: Vec<TemporaryFile>,
    /// Bytes of the archive in the last of them.
    written: u64,
}

impl PartWriter {
    /// `part_size` is that of the files.
    pub(super) fn create(path: &Path, part_size: u64) -> Result<Self> {
        if part_size < SMALLEST {
            return Err(Error::Option {
                option: "the size of a part",
                value: format!("{part_size} bytes"),
                expected: "64 KiB or more",
            });
        }
        if let Some(there) = siblings(path)?.into_values().next() {
            let reason = "a part of another archive is there; remove it, or choose another name";
            return Err(Error::file("write", there)(io::Error::new(io::ErrorKind::AlreadyExists, reason)));
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| Error::file("write", path)(io::Error::other(error)))?;
        let set = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { path: path.to_owned(), set, capacity: part_size - HEADER as u64, parts: Vec::new(), written: 0 })
    }

    /// Makes the parts appear; gives their paths and how many bytes they have together.
    pub(super) fn finish(mut self) -> Result<(Vec<PathBuf>, u64)> {
        let fault = |path: &Path, source| Error::file("write", path)(source);
        self.end_part(true).map_err(|source| fault(&self.path, source))?;
        let full = (self.parts.len() as u64).saturating_sub(1) * self.capacity;
        let bytes = full + self.written + (self.parts.len() * HEADER) as u64;
        let paths: Vec<PathBuf> = (1..).take(self.parts.len()).map(|number| numbered(&self.path, number)).collect();
        for (part, path) in self.parts.into_iter().zip(&paths) {
            part.persist(path).map_err(|source| fault(path, source))?;
        }
        let directory = parent(&self.path);
        atomic_file::sync_dir(directory).map_err(|source| fault(directory, source))?;
        Ok((paths, bytes))
    }

    fn next_part(&mut self) -> io::Result<()> {
        if !self.parts.is_empty() {
            self.end_part(false)?;
        }
        if self.parts.len() >= MOST as usize {
            return Err(io::Error::other(format!("it takes more than {MOST} parts; choose a larger size")));
        }
        let mut part = unfinished::file(&self.path)?;
        part.write_all(&[0; HEADER])?;
        self.parts.push(part);
        self.written = 0;
        Ok(())
    }

    /// Writes the header of the part that is being written.
    fn end_part(&mut self, last: bool) -> io::Result<()> {
        let number = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        let header = Header { set: self.set.clone(), part: number, last, bytes: self.written };
        let Some(part) = self.parts.last_mut() else { return Ok(()) };
        part.as_file().seek(SeekFrom::Start(0))?;
        part.write_all(&header.to_bytes()?)
    }
}

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.parts.is_empty() || self.written == self.capacity {
            self.next_part()?;
        }
        let room = usize::try_from(self.capacity - self.written).unwrap_or(usize::MAX);
        let Some(part) = self.parts.last_mut() else { return Ok(0) };
        let count = part.write(&bytes[..bytes.len().min(room)])?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the file is a part of an archive.
pub(super) fn is_part(path: &Path) -> Result<bool> {
    // A pipe that is opened and closed is broken for its writer.
    if !fs::metadata(path).map_err(Error::file("read", path))?.is_file() {
        return Ok(false);
    }
    let mut file = File::open(path).map_err(Error::file("read", path))?;
    Header::read(&mut file).map(|header| header.is_some()).map_err(Error::file("read", path))
}

/// Opens the archive whose parts are at `paths`, in any order. What is missing is looked for beside them.
pub(super) fn open(paths: &[PathBuf]) -> Result<Joined<impl Read + Send + 'static>> {
    let found = complete(paths)?;
    let mut chain: Box<dyn Read + Send> = Box::new(io::empty());
    for path in found {
        let file = File::open(&path).map_err(Error::file("read", &path))?;
        chain = Box::new(chain.chain(file));
    }
    Ok(Joined::new(chain))
}

/// The paths of all parts of the set that `paths` belong to, in their order.
fn complete(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut set: Option<(String, PathBuf)> = None;
    let mut parts: BTreeMap<u32, (PathBuf, bool)> = BTreeMap::new();
    for path in paths {
        let header = header_of(path)?.ok_or_else(|| refused(path, "it is no part of an archive in parts"))?;
        let (name, first) = set.get_or_insert_with(|| (header.set.clone(), path.clone()));
        if *name != header.set {
            let reason = format!("it belongs to another archive than {}", first.display());
            return Err(refused(path, reason));
        }
        parts.entry(header.part).or_insert((path.clone(), header.last));
    }
    let Some((name, first)) = set else { return Ok(Vec::new()) };
    if !missing(&parts).is_empty() {
        for path in paths.iter().filter_map(|path| siblings(&stem(path)?).ok()).flat_map(BTreeMap::into_values) {
            if let Ok(Some(header)) = header_of(&path)
                && header.set == name
            {
                parts.entry(header.part).or_insert((path, header.last));
            }
        }
    }
    match missing(&parts).as_slice() {
        [] => Ok(parts.into_values().map(|(path, _)| path).collect()),
        lacking => Err(refused(&first, format!("of its archive, {} missing; name all parts", lacking.join(" and ")))),
    }
}

/// What is missing of a set, as a message says it.
fn missing(parts: &BTreeMap<u32, (PathBuf, bool)>) -> Vec<String> {
    let highest = parts.keys().last().copied().unwrap_or(0).min(MOST);
    let gaps: Vec<String> =
        (1..=highest).filter(|number| !parts.contains_key(number)).map(|number| number.to_string()).collect();
    let mut missing = Vec::new();
    if !gaps.is_empty() {
        let (noun, verb) = if gaps.len() == 1 { ("part", "is") } else { ("parts", "are") };
        missing.push(format!("{noun} {} {verb}", gaps.join(", ")));
    }
    if !parts.values().any(|(_, last)| *last) {
        missing.push(format!("the last part (number {} or later) is", highest + 1));
    }
    missing
}

/// The header of a part whose length is right; `None` for another file.
fn header_of(path: &Path) -> Result<Option<Header>> {
    let mut file = File::open(path).map_err(Error::file("read", path))?;
    let Some(header) = Header::read(&mut file).map_err(Error::file("read", path))? else { return Ok(None) };
    let (length, expected) = (file.metadata().map_err(Error::file("read", path))?.len(), HEADER as u64 + header.bytes);
    if length != expected {
        return Err(refused(path, format!("it has {length} bytes instead of {expected}: copy that part again")));
    }
    Ok(Some(header))
}

fn refused(path: &Path, reason: impl Into<String>) -> Error {
    Error::Archive { archive: path.display().to_string(), entry: String::new(), reason: reason.into() }
}

/// Files named like the parts of the archive `path`, by number.
fn siblings(path: &Path) -> Result<BTreeMap<u32, PathBuf>> {
    let directory = parent(path);
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(Error::file("read", directory))? {
        let entry = entry.map_err(Error::file("read", directory))?.path();
        let number = entry.extension().and_then(|number| number.to_str()).filter(|number| number.len() == 3);
        if let Some(number) = number.and_then(|number| number.parse().ok())
            && entry.file_stem() == path.file_name()
        {
            found.insert(number, entry);
        }
    }
    Ok(found)
}

/// The archive that a part is named after.
fn stem(part: &Path) -> Option<PathBuf> {
    part.file_stem().map(|stem| part.with_file_name(stem))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{number:03}"));
    path.with_file_name(name)
}

/// Reads an archive from its parts one after the other.
pub(super) struct Joined<R> {
    input: R,
    part: Option<Header>,
    /// Bytes of the part that are still to come.
    left: u64,
}

impl<R: Read> Joined<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, part: None, left: 0 }
    }

    /// Goes on to the next part; whether there is one.
    fn advance(&mut self) -> io::Result<bool> {
        let fault = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
        if self.part.as_ref().is_some_and(|part| part.last) {
            return Ok(false);
        }
        let number = self.part.as_ref().map_or(1, |part| part.part.saturating_add(1));
        let next = Header::read(&mut self.input)?.ok_or_else(|| fault(format!("part {number} of it is missing")))?;
        if self.part.as_ref().is_some_and(|part| part.set != next.set) {
            return Err(fault(format!("what follows part {} belongs to another archive", number - 1)));
        }
        if next.part != number {
            return Err(fault(format!("part {} comes where part {number} should: name all parts as files", next.part)));
        }
        self.left = next.bytes;
        self.part = Some(next);
        Ok(true)
    }
}

impl<R: Read> Read for Joined<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            if !self.advance()? {
                return Ok(0);
            }
        }
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.input.read(&mut buffer[..want])?;
        if count == 0 && want > 0 {
            let part = self.part.as_ref().map_or(0, |part| part.part);
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("part {part} of it is cut short")));
        }
        self.left -= count as u64;
        Ok(count)
    }
}
