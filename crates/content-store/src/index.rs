//! Reads and changes the names in `index.json`, which other tools share.

use crate::durable;
use crate::error::{Error, Result};
use crate::lock::{Exclusive, GcGuard};
use crate::reserve;
use crate::store::Paths;
use crate::{Descriptor, Digest, FileVersion, Store};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// The annotation of an `index.json` entry that holds its name, from the OCI image layout.
pub const REF_NAME_ANNOTATION: &str = "org.opencontainers.image.ref.name";
/// The annotation of an `index.json` entry that says what the name is for; its values are those of [`NameKind`].
pub const NAME_KIND_ANNOTATION: &str = "io.sealer.name.kind";
/// The largest `index.json` that is read, in bytes.
const INDEX_LIMIT: u64 = 64 << 20;

/// What a name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NameKind {
    /// A cluster image that was built, loaded or pulled here.
    ClusterImage,
    /// A container image that came inside a cluster image, served under its original name.
    CarriedImage,
    /// A manifest that a client pushed into the registry: `path:tag`, or `path@digest` for one that was pushed by its digest.
    PushedImage,
    /// A container image of an upstream registry that is kept to serve it again; given up when space is needed.
    CachedImage,
}

impl NameKind {
    /// The value of [`NAME_KIND_ANNOTATION`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterImage => "cluster-image",
            Self::CarriedImage => "carried-image",
            Self::PushedImage => "pushed-image",
            Self::CachedImage => "cached-image",
        }
    }

    /// The kind with this value of [`NAME_KIND_ANNOTATION`].
    #[must_use]
    pub fn from_annotation(text: &str) -> Option<Self> {
        [Self::ClusterImage, Self::CarriedImage, Self::PushedImage, Self::CachedImage]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// A name and what it points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What the name is for.
    pub kind: NameKind,
    /// The whole name, as [`crate::Reference`] writes it.
    pub name: String,
    /// What it points at, without the annotations.
    pub descriptor: Descriptor,
    /// The annotations of the entry but those that hold name and kind.
    pub annotations: BTreeMap<String, String>,
}

impl Store {
    /// All names, sorted by kind and name. Entries that other tools made without a kind are not among them.
    ///
    /// # Errors
    ///
    /// [`Error::Layout`] when `index.json` cannot be understood.
    pub fn names(&self) -> Result<Vec<Named>> {
        let index = Index::read(&self.paths.index)?;
        let mut names: Vec<Named> = index.entries.iter().filter_map(named).collect();
        names.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
        Ok(names)
    }

    /// The version of the names: as long as it stays the same, [`Store::names`] returns the same.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when `index.json` cannot be read.
    pub fn names_version(&self) -> Result<FileVersion> {
        let metadata = fs::metadata(&self.paths.index);
        metadata
            .map(|metadata| FileVersion::from(&metadata))
            .map_err(|source| Error::file("read", &self.paths.index, source))
    }

    /// What the name points at.
    ///
    /// # Errors
    ///
    /// [`Error::Layout`] when `index.json` cannot be understood.
    pub fn resolve(&self, kind: NameKind, name: &str) -> Result<Option<Descriptor>> {
        let index = Index::read(&self.paths.index)?;
        Ok(index
            .entries
            .iter()
            .filter(|entry| is_named(entry, kind, name))
            .find_map(named)
            .map(|found| found.descriptor))
    }

    /// Points the name at the descriptor, in place of what it pointed at before. Annotations of the descriptor are kept.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when the blob is not here; see [`Store::set_names`].
    pub fn set_name(&self, kind: NameKind, name: &str, descriptor: &Descriptor) -> Result<()> {
        let mut descriptor = descriptor.clone();
        let annotations = descriptor.annotations().clone().unwrap_or_default().into_iter().collect();
        descriptor.set_annotations(None);
        self.set_names(vec![Named { kind, name: name.to_owned(), descriptor, annotations }])
    }

    /// Points many names at once: all of them or, after an error, none.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when a blob is not here, [`Error::Reference`] for an empty name, [`Error::Layout`], [`Error::NoSpace`].
    pub fn set_names(&self, names: Vec<Named>) -> Result<()> {
        let _guard = self.shared_guard()?;
        let mut fresh: BTreeMap<(NameKind, String), Value> = BTreeMap::new();
        for named in names {
            let digest = Digest::try_from(named.descriptor.digest())?;
            if !self.contains(&digest) {
                return Err(Error::Missing { digest, root: self.paths.root.clone() });
            }
            if named.name.is_empty() {
                return Err(
                    oci_reference::Error::InvalidReference { text: String::new(), reason: "it is empty" }.into()
                );
            }
            fresh.insert((named.kind, named.name.clone()), entry(&named));
        }
        // The blobs must survive a power cut before a name does that points at them.
        self.sync_blobs()?;
        self.change_index(Purpose::Keep, |entries| {
            for place in entries.iter_mut() {
                if let Some(new) = key(place).and_then(|key| fresh.remove(&key)) {
                    *place = new;
                }
            }
            entries.extend(fresh.into_values());
        })
    }

    /// Removes one name; says whether it was there. Blobs stay until [`Store::collect_garbage`].
    ///
    /// # Errors
    ///
    /// [`Error::Layout`], [`Error::NoSpace`] or [`Error::File`].
    pub fn remove_name(&self, kind: NameKind, name: &str) -> Result<bool> {
        Ok(self.remove_names_where(|named| named.kind == kind && named.name == name)? > 0)
    }

    /// Removes every name that `is_unwanted` accepts; returns how many.
    ///
    /// # Errors
    ///
    /// [`Error::Layout`], [`Error::NoSpace`] or [`Error::File`].
    pub fn remove_names_where(&self, is_unwanted: impl FnMut(&Named) -> bool) -> Result<usize> {
        let _guard = self.shared_guard()?;
        self.forget_names(is_unwanted)
    }

    /// As [`Store::remove_names_where`], for who has the store alone or keeps others from having it.
    pub(crate) fn forget_names(&self, mut is_unwanted: impl FnMut(&Named) -> bool) -> Result<usize> {
        let mut removed = 0;
        self.change_index(Purpose::Free, |entries| {
            entries.retain(|entry| {
                let unwanted = named(entry).is_some_and(|named| is_unwanted(&named));
                removed += usize::from(unwanted);
                !unwanted
            });
        })?;
        Ok(removed)
    }

    /// Reads, changes and replaces `index.json` while no other process does.
    fn change_index(&self, purpose: Purpose, change: impl FnOnce(&mut Vec<Value>)) -> Result<()> {
        let _lock = Exclusive::wait(&self.paths.index_lock)?;
        let mut index = Index::read(&self.paths.index)?;
        let before = index.entries.clone();
        change(&mut index.entries);
        if index.entries == before {
            return Ok(());
        }
        let text = index.into_text(&self.paths.index)?;
        match durable::replace(&self.paths.index, &text) {
            Err(Error::NoSpace { .. }) if purpose == Purpose::Free => {
                reserve::give_up(&self.paths.reserve);
                durable::replace(&self.paths.index, &text)
            }
            written => written,
        }
    }

    /// The digests that entries of `index.json` point at, those of other tools too. Names that `is_root` refuses are passed over.
    pub(crate) fn roots(&self, is_root: impl Fn(&Named) -> bool) -> Result<Vec<Digest>> {
        let index = Index::read(&self.paths.index)?;
        let digest = |entry: &Value| entry.get("digest").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let entries = index.entries.iter().filter(|entry| named(entry).is_none_or(|named| is_root(&named)));
        Ok(entries.filter_map(digest).collect())
    }
}

/// Writes `oci-layout` and an empty `index.json` unless they are there.
pub(crate) fn create_layout(paths: &Paths) -> Result<()> {
    let layout = paths.root.join("oci-layout");
    if layout.is_file() && paths.index.is_file() {
        return check_layout(&layout);
    }
    let _guard = GcGuard::shared(&paths.lock)?;
    let _lock = Exclusive::wait(&paths.index_lock)?;
    if !paths.index.exists() {
        durable::replace(&paths.index, &Index::empty().into_text(&paths.index)?)?;
    }
    if !layout.exists() {
        durable::replace(&layout, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    }
    check_layout(&layout)
}

fn check_layout(path: &Path) -> Result<()> {
    let text = read_limited(path, 4096)?;
    let value: Value = serde_json::from_slice(&text).map_err(|error| layout_error(path, error.to_string()))?;
    match value.get("imageLayoutVersion").and_then(Value::as_str) {
        Some(version) if version.starts_with("1.") => Ok(()),
        Some(version) => {
            Err(layout_error(path, format!("version `{}` is not known", version.chars().take(80).collect::<String>())))
        }
        None => Err(layout_error(path, "it has no imageLayoutVersion".to_owned())),
    }
}

/// What a change of names is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Keep,
    /// To free space: it may use what is kept back for that.
    Free,
}

/// `index.json` with everything that others wrote into it.
#[derive(Debug)]
struct Index {
    fields: Map<String, Value>,
    entries: Vec<Value>,
}

impl Index {
    fn empty() -> Self {
        let mut fields = Map::new();
        fields.insert("schemaVersion".to_owned(), json!(2));
        fields.insert("mediaType".to_owned(), json!("application/vnd.oci.image.index.v1+json"));
        fields.insert("manifests".to_owned(), json!([]));
        Self { fields, entries: Vec::new() }
    }

    fn read(path: &Path) -> Result<Self> {
        let text = read_limited(path, INDEX_LIMIT)?;
        let value: Value = serde_json::from_slice(&text).map_err(|error| layout_error(path, error.to_string()))?;
        let Value::Object(mut fields) = value else {
            return Err(layout_error(path, "it is not an object".to_owned()));
        };
        // The place of `manifests` among the fields is kept: it is filled again in `write`.
        let entries = match fields.get_mut("manifests").map(Value::take) {
            Some(Value::Array(entries)) => entries,
            None | Some(Value::Null) => Vec::new(),
            Some(_) => return Err(layout_error(path, "`manifests` is not a list".to_owned())),
        };
        Ok(Self { fields, entries })
    }

    /// The bytes for the file at `path`.
    fn into_text(mut self, path: &Path) -> Result<Vec<u8>> {
        self.fields.insert("manifests".to_owned(), Value::Array(self.entries));
        let text = serde_json::to_vec(&self.fields).map_err(|error| layout_error(path, error.to_string()))?;
        if text.len() as u64 > INDEX_LIMIT {
            return Err(Error::TooLarge { object: path.display().to_string(), limit: INDEX_LIMIT });
        }
        Ok(text)
    }
}

fn key(entry: &Value) -> Option<(NameKind, String)> {
    let annotations = entry.get("annotations")?;
    let kind = NameKind::from_annotation(annotations.get(NAME_KIND_ANNOTATION)?.as_str()?)?;
    Some((kind, annotations.get(REF_NAME_ANNOTATION)?.as_str()?.to_owned()))
}

fn is_named(entry: &Value, kind: NameKind, name: &str) -> bool {
    let annotation = |key| entry.get("annotations").and_then(|all| all.get(key)).and_then(Value::as_str);
    annotation(REF_NAME_ANNOTATION) == Some(name) && annotation(NAME_KIND_ANNOTATION) == Some(kind.as_str())
}

fn named(entry: &Value) -> Option<Named> {
    let (kind, name) = key(entry)?;
    let mut descriptor: Descriptor = serde::Deserialize::deserialize(entry).ok()?;
    let mut annotations: BTreeMap<String, String> =
        descriptor.annotations().clone().unwrap_or_default().into_iter().collect();
    annotations.retain(|key, _| key != REF_NAME_ANNOTATION && key != NAME_KIND_ANNOTATION);
    descriptor.set_annotations(None);
    Some(Named { kind, name, descriptor, annotations })
}

fn entry(named: &Named) -> Value {
    let mut annotations: BTreeMap<&str, &str> = BTreeMap::new();
    if let Some(own) = named.descriptor.annotations() {
        annotations.extend(own.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    }
    annotations.extend(named.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    annotations.insert(NAME_KIND_ANNOTATION, named.kind.as_str());
    annotations.insert(REF_NAME_ANNOTATION, &named.name);
    let mut value = serde_json::to_value(&named.descriptor).unwrap_or_default();
    value["annotations"] = json!(annotations);
    value
}

fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = |text: &mut Vec<u8>| -> io::Result<usize> { File::open(path)?.take(limit + 1).read_to_end(text) };
    read(&mut text).map_err(|source| Error::file("read", path, source))?;
    if text.len() as u64 > limit {
        return Err(Error::TooLarge { object: path.display().to_string(), limit });
    }
    Ok(text)
}

fn layout_error(path: &Path, reason: String) -> Error {
    Error::Layout { path: path.to_path_buf(), reason }
}
