//! The log of the device-mapper target `log-writes`: every write to a disk, in its order (Linux,
//! Documentation/admin-guide/device-mapper/log-writes.rst).

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// What a log begins with.
const MAGIC: u64 = 0x6a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 1 << 1;
const DISCARD: u64 = 1 << 2;
const MARK: u64 = 1 << 3;

/// All writes.
pub(crate) struct WriteLog {
    pub(crate) entries: Vec<Entry>,
}

/// A write, a flush or a mark.
pub(crate) struct Entry {
    /// Where the data belongs, in bytes.
    offset: usize,
    data: Vec<u8>,
    /// How many bytes are thrown away instead.
    discarded: usize,
    /// Everything before it is on the disk for certain.
    pub(crate) is_flush: bool,
    pub(crate) mark: Option<String>,
}

impl WriteLog {
    pub(crate) fn read(device: &Path) -> Self {
        let mut input = BufReader::with_capacity(1 << 20, File::open(device).unwrap());
        let head: Vec<u8> = (&mut input).take(512).bytes().collect::<Result<_, _>>().unwrap();
        assert_eq!(number(&head, 0), MAGIC, "it is no log of writes");
        let size = u32::from_le_bytes(head[24..28].try_into().unwrap());
        let mut entries = Vec::new();
        let mut position = u64::from(size);
        for _ in 0..number(&head, 2) {
            input.seek(SeekFrom::Start(position)).unwrap();
            let mut block = vec![0; size as usize];
            input.read_exact(&mut block).unwrap();
            position += u64::from(size);
            let [sector, sectors, flags, length] = [0, 1, 2, 3].map(|field| number(&block, field));
            let bytes = (sectors * u64::from(size)) as usize;
            let mut data = Vec::new();
            if flags & DISCARD == 0 {
                data.resize(bytes, 0);
                input.read_exact(&mut data).unwrap();
                position += bytes as u64;
            }
            let text = &block[32..32 + if flags & MARK == 0 { 0 } else { length as usize }];
            entries.push(Entry {
                offset: (sector * u64::from(size)) as usize,
                data,
                discarded: if flags & DISCARD == 0 { 0 } else { bytes },
                is_flush: flags & (FLUSH | FUA) != 0,
                mark: (flags & MARK != 0).then(|| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned()),
            });
        }
        Self { entries }
    }
}

impl Entry {
    /// Does to the bytes of a disk what was done to the disk.
    pub(crate) fn replay(&self, disk: &mut [u8]) {
        disk[self.offset..][..self.discarded].fill(0);
        disk[self.offset..][..self.data.len()].copy_from_slice(&self.data);
    }
}

fn number(bytes: &[u8], field: usize) -> u64 {
    u64::from_le_bytes(bytes[8 * field..][..8].try_into().unwrap())
}
