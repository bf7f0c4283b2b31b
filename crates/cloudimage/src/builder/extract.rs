//! Lists the entries of a local archive that ADD unpacks.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use super::copy::Transfer;
use crate::error::{Error, Result};
use crate::layer::Compression;
use crate::layer::tar::{Member, MemberKind, Reader};
use crate::layer::tree::{Content, Entry, Kind, Tree};

/// Adds the members of the tar at `path` below `destination`; false when it is no archive that ADD knows.
pub(super) fn unpack(tree: &mut Tree, path: &Path, destination: &Path, transfer: &Transfer) -> Result<bool> {
    let fault = |source| Error::File { act: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(fault)?;
    let mut start = [0; 512];
    let got = read_start(&mut file, &mut start).map_err(fault)?;
    if let Some(kind) = Compression::unsupported(&start[..got]) {
        return Err(Error::Unsupported {
            line: transfer.line,
            what: format!("{}: unpacking {kind} archives", path.display()),
            instead: "pack it as tar, tar.gz or tar.zst, or use COPY to keep it packed",
        });
    }
    let Some(plain) = plain_tar(path, file, &start[..got], &transfer.spool)? else { return Ok(false) };
    let input = File::open(&plain).map_err(Error::file("read", &plain))?;
    let mut reader = Reader::new(io::BufReader::with_capacity(64 << 10, input), path.display().to_string());
    let mut buffer = vec![0; 256 << 10];
    while let Some(member) = reader.next()? {
        let target = destination.join(&member.path);
        if !target.as_os_str().is_empty() && target != destination {
            let (archive, position) = match member.kind {
                MemberKind::File { size } if reader.is_sparse() => {
                    let (mut file, path) = spooled(&transfer.spool)?;
                    let unpacked = reader.unpack(&mut file, size, &mut buffer);
                    unpacked.map_err(Error::file("unpack", &member.path))?;
                    (path, 0)
                }
                _ => (plain.clone(), reader.position()),
            };
            tree.insert(target, entry(member, archive, position, destination));
        }
    }
    Ok(true)
}

/// The uncompressed archive on disk; `None` when the file is no tar.
pub(super) fn plain_tar(path: &Path, mut file: File, start: &[u8], spool: &Path) -> Result<Option<PathBuf>> {
    let compression = Compression::of_magic(start);
    if compression == Compression::None {
        return Ok(is_tar(start).then(|| path.to_owned()));
    }
    let fault = |source| Error::File { act: "decompress", path: path.to_owned(), source };
    file.rewind().map_err(fault)?;
    let mut decoder = compression.decoder(file).map_err(fault)?;
    let mut inner = [0; 512];
    let got = read_start(&mut decoder, &mut inner).map_err(fault)?;
    if !is_tar(&inner[..got]) {
        return Ok(None);
    }
    let (mut output, plain) = spooled(spool)?;
    io::copy(&mut (&inner[..got]).chain(decoder), &mut output).map_err(fault)?;
    Ok(Some(plain))
}

/// A new file in `spool`, which is removed with it.
pub(super) fn spooled(spool: &Path) -> Result<(File, PathBuf)> {
    let fault = Error::file("create a file in", spool);
    let made = tempfile::Builder::new().prefix("spooled-").tempfile_in(spool);
    made.and_then(|file| file.keep().map_err(|error| error.error)).map_err(fault)
}

pub(super) fn read_start(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// Whether the first block is a tar header: its checksum is right.
fn is_tar(start: &[u8]) -> bool {
    let Ok(block) = <[u8; 512]>::try_from(start) else { return false };
    let sum: u32 =
        block.iter().enumerate().map(|(at, &byte)| u32::from(if (148..156).contains(&at) { b' ' } else { byte })).sum();
    sum != 256 && tar::Header::from_byte_slice(&block).cksum().ok() == Some(sum)
}

fn entry(member: Member, archive: PathBuf, position: u64, destination: &Path) -> Entry {
    let kind = match member.kind {
        MemberKind::File { size } => Kind::File(Content::Disk { path: archive, offset: position, size }),
        MemberKind::Directory => Kind::Directory,
        MemberKind::Symlink(target) => Kind::Symlink(target),
        MemberKind::HardLink(target) => Kind::HardLink(destination.join(target)),
        MemberKind::Fifo => Kind::Fifo,
        MemberKind::Character { major, minor } => Kind::Character { major, minor },
        MemberKind::Block { major, minor } => Kind::Block { major, minor },
    };
    Entry { kind, mode: member.mode, uid: member.uid, gid: member.gid, xattrs: member.xattrs }
}
