//! Reads tar streams within limits: a hostile stream costs no memory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use tar::{EntryType, Header};

use super::pax;
use super::sparse::{self, Map, MapReader, Records, Span};
use super::write::padding;
use crate::error::{Error, Result};

/// Longest header extension (long name, PAX records) that is read into memory.
const EXTENSION_LIMIT: u64 = 1 << 20;
/// Longest path.
const PATH_LIMIT: usize = 4096;
/// Most members of one stream.
const MEMBER_LIMIT: u64 = 8_000_000;
/// Most bytes that names, link targets and attributes of one stream may take in memory, with what is kept beside each of
/// them and the directories above. A million files with usual names fit.
pub(crate) const NAMES_LIMIT: u64 = 256 << 20;
/// What is kept beside the name of one member.
const MEMBER_COST: u64 = 128;
/// Most bytes of all files of one stream.
const SIZE_LIMIT: u64 = 2 << 40;

/// One member of a tar stream; its data, if any, is read from the [`Reader`] that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Relative path without `.` and `..`; empty for the root itself.
    pub(crate) path: PathBuf,
    pub(crate) kind: MemberKind,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MemberKind {
    File { size: u64 },
    Directory,
    Symlink(PathBuf),
    HardLink(PathBuf),
    Fifo,
    Character { major: u32, minor: u32 },
    Block { major: u32, minor: u32 },
}

/// Reads a tar stream member by member.
pub(crate) struct Reader<R> {
    input: R,
    /// What is read, for messages.
    archive: String,
    /// Data of the current member not read yet.
    left: u64,
    padding: usize,
    /// The current member is a file with holes.
    sparse: Option<Map>,
    /// Bytes of the stream consumed so far: where the current data starts, right after `next`.
    position: u64,
    members: u64,
    total: u64,
    /// Bytes of [`NAMES_LIMIT`] that are spent.
    names: u64,
    previous: PathBuf,
}

/// Header extensions that precede a member.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<i64>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    sparse: Option<Records>,
}

impl<R: Read> Reader<R> {
    /// `archive` names the stream in messages.
    pub(crate) fn new(input: R, archive: impl Into<String>) -> Self {
        Self {
            input,
            archive: archive.into(),
            left: 0,
            padding: 0,
            sparse: None,
            position: 0,
            members: 0,
            total: 0,
            names: 0,
            previous: PathBuf::new(),
        }
    }

    /// The next member, or `None` at the end of the archive; unread data of the last one is skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Member>> {
        let mut extensions = Extensions::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            self.members += 1;
            if self.members > MEMBER_LIMIT {
                return Err(self.fault("", format!("it has more than {MEMBER_LIMIT} members")));
            }
            let size = || header.entry_size().map_err(|error| self.fault("", error.to_string()));
            match header.entry_type() {
                EntryType::GNULongName => {
                    let size = size()?;
                    extensions.path = Some(trim_nul(self.extension(size)?));
                }
                EntryType::GNULongLink => {
                    let size = size()?;
                    extensions.link = Some(trim_nul(self.extension(size)?));
                }
                EntryType::XHeader => {
                    let size = size()?;
                    let records = self.extension(size)?;
                    self.read_records(&records, &mut extensions)?;
                }
                EntryType::XGlobalHeader => {
                    let size = size()?;
                    self.extension(size)?;
                }
                _ => return self.member(&header, extensions).map(Some),
            }
        }
    }

    /// Where the data of the current member starts, counted from the start of the stream.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Whether the data of the current member is not in one piece, so that it cannot be found at [`Reader::position`].
    pub(crate) fn is_sparse(&self) -> bool {
        self.sparse.is_some()
    }

    /// Writes the data of the current member, of `size` bytes, into a new file. Holes stay holes.
    pub(crate) fn unpack(&mut self, file: &mut File, size: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut left = size;
        while left > 0 {
            let hole = self.skip_hole();
            if hole > 0 {
                file.seek(SeekFrom::Current(hole.cast_signed()))?;
                left -= hole;
                continue;
            }
            let want = left.min(buffer.len() as u64) as usize;
            let count = self.read(&mut buffer[..want])?;
            file.write_all(&buffer[..count])?;
            left -= count as u64;
        }
        // It may end with a hole.
        if self.is_sparse() { file.set_len(size) } else { Ok(()) }
    }

    /// Goes behind a hole of the current member, if it stands before one; gives its size.
    fn skip_hole(&mut self) -> u64 {
        match self.sparse.as_mut().map(|map| (map.next(), map)) {
            Some((Span::Hole(count), map)) => {
                map.advance(count);
                count
            }
            _ => 0,
        }
    }

    /// Reads the data of the current member, which must not be longer than `limit`.
    pub(crate) fn read_data(&mut self, limit: u64, name: &Path) -> Result<Vec<u8>> {
        if self.sparse.as_ref().map_or(self.left, |map| map.size) > limit {
            return Err(self.fault(&name.to_string_lossy(), format!("it is longer than {limit} bytes")));
        }
        let mut data = Vec::new();
        self.read_to_end(&mut data).map_err(|source| self.read_fault(source))?;
        Ok(data)
    }

    fn member(&mut self, header: &Header, mut extensions: Extensions) -> Result<Member> {
        let sparse_name = extensions.sparse.as_mut().and_then(|records| records.name.take());
        let path = sparse_name.or(extensions.path).unwrap_or_else(|| header.path_bytes().into_owned());
        let shown = String::from_utf8_lossy(&path).into_owned();
        // A field that was never filled in counts as zero, as other readers have it.
        let number = |field: &[u8], value: io::Result<u64>| match value {
            Err(_) if field.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(0),
            value => value.map_err(|error| self.fault(&shown, error.to_string())),
        };
        let fields = header.as_old();
        let size = extensions.size.map_or_else(|| number(&fields.size, header.entry_size()), Ok)?;
        let uid = extensions.uid.map_or_else(|| number(&fields.uid, header.uid()), Ok)?;
        let gid = extensions.gid.map_or_else(|| number(&fields.gid, header.gid()), Ok)?;
        let mtime = extensions.mtime.unwrap_or_else(|| header.mtime().unwrap_or(0).try_into().unwrap_or(0));
        let mode = number(&fields.mode, header.mode().map(u64::from))? as u32 & 0o7777;
        let link =
            extensions.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned)).unwrap_or_default();
        let sparse = self.sparse_map(header, extensions.sparse, size, &shown)?;
        let whole = sparse.as_ref().map_or(size, |(map, _)| map.size);
        let kind = self.kind(header, &path, link, whole, &shown)?;
        let path = self.relative(&path, &shown)?;
        if path.as_os_str().is_empty() && kind != MemberKind::Directory {
            return Err(self.fault(&shown, "a name is missing".to_owned()));
        }
        let whole = if let MemberKind::File { size } = kind { size } else { 0 };
        (self.left, self.sparse) = match sparse {
            Some((map, stored)) if whole > 0 => (stored, Some(map)),
            _ => (whole, None),
        };
        self.padding = padding(self.left);
        self.total = self.total.saturating_add(whole);
        if self.total > SIZE_LIMIT {
            return Err(self.fault(&shown, format!("the files together are longer than {SIZE_LIMIT} bytes")));
        }
        self.spend_names(&path, &kind)?;
        Ok(Member { path, kind, mode, uid, gid, mtime, xattrs: extensions.xattrs })
    }

    /// The holes of a file that has some, and how many bytes of its data follow.
    fn sparse_map(
        &mut self,
        header: &Header,
        records: Option<Records>,
        mut stored: u64,
        shown: &str,
    ) -> Result<Option<(Map, u64)>> {
        let read = match (header.entry_type(), records) {
            (EntryType::GNUSparse, _) => self.old_map(header)?,
            (EntryType::Regular | EntryType::Continuous, Some(records)) => {
                let numbers = match records.map_in_data {
                    true => self.map_in_data(&mut stored)?,
                    false => Some(records.numbers),
                };
                numbers.zip(records.size)
            }
            _ => return Ok(None),
        };
        let map = read.and_then(|(numbers, size)| Map::new(&numbers, size, stored));
        let map = map.ok_or_else(|| self.fault(shown, "the map of its holes is malformed".to_owned()))?;
        Ok(Some((map, stored)))
    }

    /// The map of the old form, and the size of the file.
    fn old_map(&mut self, header: &Header) -> Result<Option<(Vec<u64>, u64)>> {
        let Some((mut numbers, size, mut more)) = sparse::of_header(header) else { return Ok(None) };
        while more {
            let mut block = [0; 512];
            self.fill(&mut block)?;
            let Some(follows) = sparse::extend(&mut numbers, &block) else { return Ok(None) };
            more = follows;
        }
        Ok(Some((numbers, size)))
    }

    /// The map that stands before the data, of which so much less follows.
    fn map_in_data(&mut self, stored: &mut u64) -> Result<Option<Vec<u64>>> {
        let mut map = MapReader::default();
        let mut block = [0; 512];
        while *stored >= block.len() as u64 {
            self.fill(&mut block)?;
            *stored -= block.len() as u64;
            match map.take(&block) {
                Some(true) => return Ok(Some(map.finish())),
                Some(false) => {}
                None => break,
            }
        }
        Ok(None)
    }

    /// Counts what a reader keeps of a member: its path, its link, and the directories above it that are not those of the
    /// member before.
    fn spend_names(&mut self, path: &Path, kind: &MemberKind) -> Result<()> {
        let link = match kind {
            MemberKind::Symlink(target) | MemberKind::HardLink(target) => target.as_os_str().len(),
            _ => 0,
        };
        let new = |directory: &&Path| !directory.as_os_str().is_empty() && !self.previous.starts_with(directory);
        let above = path.ancestors().skip(1).take_while(new);
        let above: u64 = above.map(|directory| MEMBER_COST + directory.as_os_str().len() as u64).sum();
        let bytes = MEMBER_COST + above + (path.as_os_str().len() + link) as u64;
        self.previous.clear();
        self.previous.push(path);
        self.spend(bytes)
    }

    fn spend(&mut self, bytes: u64) -> Result<()> {
        self.names = self.names.saturating_add(bytes);
        if self.names > NAMES_LIMIT {
            let reason = format!("its names and attributes take more than {} MiB", NAMES_LIMIT >> 20);
            return Err(self.fault("", reason));
        }
        Ok(())
    }

    fn kind(&self, header: &Header, path: &[u8], link: Vec<u8>, size: u64, shown: &str) -> Result<MemberKind> {
        let device = || {
            let number = |value: io::Result<Option<u32>>| value.ok().flatten().unwrap_or(0);
            (number(header.device_major()), number(header.device_minor()))
        };
        Ok(match header.entry_type() {
            // Old archives mark a directory only by the slash at the end of its name.
            EntryType::Regular if path.ends_with(b"/") && size == 0 => MemberKind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => MemberKind::File { size },
            EntryType::Directory => MemberKind::Directory,
            EntryType::Symlink if link.is_empty() => {
                return Err(self.fault(shown, "its link target is missing".to_owned()));
            }
            EntryType::Symlink if link.len() >= PATH_LIMIT => {
                return Err(self.fault(shown, "its link target is too long".to_owned()));
            }
            EntryType::Symlink => MemberKind::Symlink(PathBuf::from(OsString::from_vec(link))),
            EntryType::Link => MemberKind::HardLink(self.relative(&link, shown)?),
            EntryType::Fifo => MemberKind::Fifo,
            EntryType::Char => device_kind(device(), true),
            EntryType::Block => device_kind(device(), false),
            other => {
                return Err(
                    self.fault(shown, format!("members of type {:?} are not supported", char::from(other.as_byte())))
                );
            }
        })
    }

    /// A path as it may be used below a root: relative, without `.`; one with `..` is refused.
    fn relative(&self, path: &[u8], shown: &str) -> Result<PathBuf> {
        if path.len() >= PATH_LIMIT || path.contains(&0) {
            return Err(self.fault(shown, "its path is too long or holds a NUL".to_owned()));
        }
        let path = PathBuf::from(OsString::from_vec(path.to_vec()));
        let mut relative = PathBuf::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => relative.push(name),
                Component::ParentDir => {
                    return Err(self.fault(shown, "its path leads out of the archive (`..`)".to_owned()));
                }
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Ok(relative)
    }

    fn read_records(&mut self, data: &[u8], extensions: &mut Extensions) -> Result<()> {
        let records = pax::records(data).ok_or_else(|| self.fault("", "a header extension is malformed".to_owned()))?;
        for (key, value) in records {
            let number = || std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
            match key {
                b"path" => extensions.path = Some(value.to_vec()),
                b"linkpath" => extensions.link = Some(value.to_vec()),
                b"size" => {
                    extensions.size = Some(number().ok_or_else(|| self.fault("", "a size is malformed".to_owned()))?)
                }
                b"uid" => extensions.uid = number(),
                b"gid" => extensions.gid = number(),
                b"mtime" => extensions.mtime = seconds(value),
                key => {
                    if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                        let taken = extensions.sparse.get_or_insert_default().take(key, value);
                        taken.ok_or_else(|| self.fault("", "the map of a sparse file is malformed".to_owned()))?;
                    }
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.spend(MEMBER_COST + (name.len() + value.len()) as u64)?;
                        extensions.xattrs.insert(name.to_vec(), value.to_vec());
                    }
                }
            }
        }
        Ok(())
    }

    fn header(&mut self) -> Result<Option<Header>> {
        let mut block = [0; 512];
        let got = self.fill(&mut block)?;
        if got == 0 || block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if got < block.len() {
            return Err(self.read_fault(io::ErrorKind::UnexpectedEof.into()));
        }
        let header = Header::from_byte_slice(&block).clone();
        let sum = block
            .iter()
            .enumerate()
            .map(|(at, &byte)| u32::from(if (148..156).contains(&at) { b' ' } else { byte }))
            .sum::<u32>();
        if header.cksum().ok() != Some(sum) {
            return Err(self.fault("", "it is not a tar archive, or a header is corrupt".to_owned()));
        }
        Ok(Some(header))
    }

    /// The data of a header extension.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > EXTENSION_LIMIT {
            return Err(self.fault("", format!("a header extension is longer than {EXTENSION_LIMIT} bytes")));
        }
        let mut data = vec![0; size as usize];
        if self.fill(&mut data)? < data.len() {
            return Err(self.read_fault(io::ErrorKind::UnexpectedEof.into()));
        }
        self.padding = padding(size);
        Ok(data)
    }

    fn skip(&mut self) -> Result<()> {
        let mut left = self.left + self.padding as u64;
        (self.left, self.padding, self.sparse) = (0, 0, None);
        let mut buffer = vec![0; left.min(64 << 10) as usize];
        while left > 0 {
            let want = left.min(buffer.len() as u64) as usize;
            if self.fill(&mut buffer[..want])? < want {
                return Err(self.read_fault(io::ErrorKind::UnexpectedEof.into()));
            }
            left -= want as u64;
        }
        Ok(())
    }

    /// Fills the buffer as far as the stream goes.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.read_fault(error)),
            }
        }
        self.position += filled as u64;
        Ok(filled)
    }

    fn fault(&self, entry: &str, reason: String) -> Error {
        Error::Archive { archive: self.archive.clone(), entry: entry.to_owned(), reason }
    }

    fn read_fault(&self, source: io::Error) -> Error {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return self.fault("", "it ends in the middle".to_owned());
        }
        Error::File { act: "read", path: PathBuf::from(&self.archive), source }
    }
}

/// Reads the data of the current member.
impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let here = match self.sparse.as_mut().map(|map| (map.next(), map)) {
            Some((Span::Hole(count), map)) => {
                let count = count.min(buffer.len() as u64);
                buffer[..count as usize].fill(0);
                map.advance(count);
                return Ok(count as usize);
            }
            Some((Span::Data(count), _)) => count,
            None => self.left,
        };
        let want = (buffer.len() as u64).min(here) as usize;
        if want == 0 {
            return Ok(0);
        }
        let count = self.input.read(&mut buffer[..want])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(map) = &mut self.sparse {
            map.advance(count as u64);
        }
        self.left -= count as u64;
        self.position += count as u64;
        Ok(count)
    }
}

fn device_kind((major, minor): (u32, u32), character: bool) -> MemberKind {
    if character { MemberKind::Character { major, minor } } else { MemberKind::Block { major, minor } }
}

fn trim_nul(mut name: Vec<u8>) -> Vec<u8> {
    while name.last() == Some(&0) {
        name.pop();
    }
    name
}

/// Whole seconds of a decimal number such as `1350244992.023960108`.
fn seconds(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.split('.').next()?.parse().ok()
}
