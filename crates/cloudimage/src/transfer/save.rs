//! Writes an OCI archive.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use atomic_file::AtomicFile;
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
    /// Each image is named in it as it is named here, so `skopeo copy oci-archive:FILE:NAME …` finds it. Every blob is
    /// verified while it is copied. The file appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::UnknownImage`]; [`Error::Store`] for a missing or corrupt blob, which is named; [`Error::File`].
    pub fn save(&self, names: &[impl AsRef<str>], path: &Path) -> Result<u64> {
        let mut entries = Vec::new();
        let mut blobs = BTreeMap::new();
        for name in names {
            let (whole, digest) = self.resolve(name.as_ref())?;
            entries.push(self.entry(name.as_ref(), whole, &digest)?);
            blobs.append(&mut closure::blobs(self.content(), &digest)?);
        }
        let index = Index {
            schema_version: 2,
            media_type: Some(format::INDEX.to_owned()),
            manifests: entries,
            annotations: BTreeMap::new(),
        };
        let index = serde_json::to_vec(&index).map_err(Error::document("index.json"))?;
        let file = AtomicFile::create(path).map_err(Error::file("write", path))?;
        let mut output = BufWriter::with_capacity(1 << 20, file);
        let mut size = 0;
        let mut add = |name: &str, length: u64, input: &mut dyn io::Read| -> io::Result<()> {
            size += 512 + length + padding(length) as u64;
            append(&mut output, name, length, input)
        };
        let fault = |source: io::Error| match source.downcast::<content_store::Error>() {
            Ok(error) => Error::Store(error),
            Err(source) => Error::File { act: "write", path: path.to_owned(), source },
        };
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
        add("oci-layout", layout.len() as u64, &mut &layout[..]).map_err(fault)?;
        add("index.json", index.len() as u64, &mut &index[..]).map_err(fault)?;
        for (digest, length) in &blobs {
            let mut blob = self.content().verified_reader(digest)?;
            add(&format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex()), *length, &mut blob)
                .map_err(fault)?;
        }
        output.write_all(&[0; 1024]).map_err(fault)?;
        let file = output.into_inner().map_err(|error| fault(error.into_error()))?;
        // An archive is made to be handed on.
        file.commit(0o644).map_err(fault)?;
        Ok(size + 1024)
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

fn append(output: &mut impl Write, name: &str, length: u64, input: &mut dyn io::Read) -> io::Result<()> {
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
