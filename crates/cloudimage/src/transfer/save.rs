//! Writes an OCI archive.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use atomic_file::{TEMPORARY_PREFIX, TemporaryFile};
use content_store::{Digest, REF_NAME_ANNOTATION};

use super::closure;
use crate::documents::{Index, IndexEntry, Top};
use crate::error::{Error, Result};
use crate::format;
use crate::images::Images;
use crate::layer::write::padding;

impl Images {
    /// Writes the images of these names into one OCI archive: a tar of an OCI image layout. Gives its size in bytes.
    ///
    /// Each image is named in it as it is named here, so `skopeo copy oci-archive:FILE:NAME …` finds it; one that is asked
    /// for by digest, by all its names. Every blob is verified while it is copied. A file appears whole or not at all, a
    /// link is followed, a named pipe is written to.
    ///
    /// # Errors
    /// [`Error::UnknownImage`]; [`Error::Store`] for a missing or corrupt blob, which is named; [`Error::File`],
    /// also for a device, a socket or a directory.
    pub fn save(&self, names: &[impl AsRef<str>], path: &Path) -> Result<u64> {
        if fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
            let pipe = OpenOptions::new().write(true).open(path).map_err(Error::file("write", path))?;
            return self.write(&self.archived(names)?, &mut BufWriter::with_capacity(1 << 20, pipe), path);
        }
        let path = &atomic_file::target(path).map_err(Error::file("write", path))?;
        let contents = self.archived(names)?;
        let fault = |source| Error::File { act: "write", path: path.clone(), source };
        let old = fs::metadata(path).ok().map(|metadata| metadata.permissions());
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // An archive is made to be handed on, as far as the umask and the file that was there allow it.
        let file = TemporaryFile::create(directory, TEMPORARY_PREFIX, 0o666).map_err(fault)?;
        let mut output = BufWriter::with_capacity(1 << 20, file);
        let size = self.write(&contents, &mut output, path)?;
        let mut file = output.into_inner().map_err(|error| fault(error.into_error()))?;
        old.map_or(Ok(()), |old| file.as_file().set_permissions(old)).map_err(fault)?;
        file.persist(path).and_then(|()| atomic_file::sync_dir(directory)).map_err(fault)?;
        Ok(size)
    }

    /// The same as a stream, for example into a pipe.
    ///
    /// # Errors
    /// As [`Images::save`]; what was written until then is no archive.
    pub fn save_to(&self, names: &[impl AsRef<str>], output: &mut dyn Write) -> Result<u64> {
        self.write(&self.archived(names)?, output, Path::new("the output"))
    }

    /// What an archive of these images holds.
    fn archived(&self, names: &[impl AsRef<str>]) -> Result<Contents> {
        let mut entries = Vec::new();
        let mut blobs = BTreeMap::new();
        for name in names {
            let (whole, digest) = self.resolve(name.as_ref())?;
            match whole {
                Some(whole) => entries.push(self.entry(name.as_ref(), Some(whole), &digest)?),
                None => entries.extend(self.entries_of(&digest)?),
            }
            blobs.append(&mut closure::blobs(self.content(), &digest)?);
        }
        let index = Index {
            schema_version: 2,
            media_type: Some(format::INDEX.to_owned()),
            manifests: entries,
            annotations: BTreeMap::new(),
        };
        Ok(Contents { index: serde_json::to_vec(&index).map_err(Error::document("index.json"))?, blobs })
    }

    fn write(&self, contents: &Contents, output: &mut dyn Write, path: &Path) -> Result<u64> {
        let mut size = 0;
        let mut add = |name: &str, length: u64, input: &mut dyn io::Read| -> io::Result<()> {
            size += 512 + length + padding(length) as u64;
            append(output, name, length, input)
        };
        let fault = |source: io::Error| match source.downcast::<content_store::Error>() {
            Ok(error) => Error::Store(error),
            Err(source) => Error::File { act: "write", path: path.to_owned(), source },
        };
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
        add("oci-layout", layout.len() as u64, &mut &layout[..]).map_err(fault)?;
        add("index.json", contents.index.len() as u64, &mut &contents.index[..]).map_err(fault)?;
        for (digest, length) in &contents.blobs {
            let mut blob = self.content().verified_reader(digest)?;
            add(&format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex()), *length, &mut blob)
                .map_err(fault)?;
        }
        output.write_all(&[0; 1024]).and_then(|()| output.flush()).map_err(fault)?;
        Ok(size + 1024)
    }

    /// An entry for each name of an image, or one without a name.
    fn entries_of(&self, digest: &Digest) -> Result<Vec<IndexEntry>> {
        let named = self.names()?;
        let names = named.iter().filter(|named| named.descriptor.digest().to_string() == digest.to_string());
        let entries: Vec<IndexEntry> =
            names.map(|named| self.entry(&named.name, Some(named.name.clone()), digest)).collect::<Result<_>>()?;
        if entries.is_empty() { Ok(vec![self.entry("", None, digest)?]) } else { Ok(entries) }
    }

    fn entry(&self, written: &str, whole: Option<String>, digest: &Digest) -> Result<IndexEntry> {
        let mut annotations = BTreeMap::new();
        if let Some(whole) = whole {
            annotations.insert(REF_NAME_ANNOTATION.to_owned(), written.to_owned());
            annotations.insert(format::CONTAINERD_NAME_ANNOTATION.to_owned(), whole);
        }
        let size = self.content().size(digest)?;
        Ok(IndexEntry {
            media_type: Top::read(self.content(), digest)?.0.media_type().to_owned(),
            digest: *digest,
            size,
            platform: None,
            annotations,
        })
    }
}

/// What is written into an archive.
struct Contents {
    index: Vec<u8>,
    blobs: BTreeMap<Digest, u64>,
}

fn append(output: &mut dyn Write, name: &str, length: u64, input: &mut dyn io::Read) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(length);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    output.write_all(header.as_bytes())?;
    // Reading one byte more than there should be reaches the end, where the digest is checked.
    let copied = io::copy(&mut io::Read::take(input, length + 1), output)?;
    if copied != length {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{name} has {copied} bytes instead of {length}"),
        ));
    }
    output.write_all(&[0; 512][..padding(length)])
}
