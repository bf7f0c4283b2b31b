//! The cluster images of the store, and their names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use content_store::{Descriptor, Digest, Freed, MediaType, NameKind, Named, Reference, Store};
use serde::Serialize;

use crate::builder::seal::now;
use crate::documents::Top;
use crate::error::{Error, Result};
use crate::format;
use crate::image::Image;
use crate::inspect::{Inspection, Summary};
use crate::platform::Platform;

/// The cluster images under one root directory; cheap to clone.
#[derive(Debug, Clone)]
pub struct Images {
    root: PathBuf,
    content: Store,
}

/// What [`Images::remove`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Removed {
    /// The names that were taken away.
    pub names: Vec<String>,
    /// Number of blobs freed; `None` when something else writes to the store, so that a later removal frees them.
    pub freed_blobs: Option<u64>,
    /// Bytes freed, likewise.
    pub freed_bytes: Option<u64>,
}

impl Images {
    /// Opens the root directory (`content/`, `layers/` and `cache/` are below it), making it when it is not there.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::File`] when it cannot be made or is not ours.
    pub fn open(root: &Path) -> Result<Self> {
        atomic_file::create_dir(root, 0o755).map_err(Error::file("create", root))?;
        let root = root.canonicalize().map_err(Error::file("open", root))?;
        atomic_file::refuse_changeable(&root).map_err(Error::file("use", &root))?;
        let content = Store::open(&root.join("content"))?;
        Ok(Self { root, content })
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The content store.
    #[must_use]
    pub fn content(&self) -> &Store {
        &self.content
    }

    /// The image of this name or digest, for the host's platform or its only one.
    ///
    /// # Errors
    /// [`Error::UnknownImage`]; [`Error::Store`] when a document is missing or corrupt.
    pub fn get(&self, name: &str) -> Result<Image> {
        self.find(name, None)
    }

    /// The image of this name or digest, for one platform.
    ///
    /// # Errors
    /// As [`Images::get`], and [`Error::NoPlatform`].
    pub fn get_for(&self, name: &str, platform: &Platform) -> Result<Image> {
        self.find(name, Some(platform))
    }

    /// The image of this name or digest for any platform that it has, the host's before others.
    ///
    /// # Errors
    /// As [`Images::get`].
    pub fn get_any(&self, name: &str) -> Result<Image> {
        match self.get(name) {
            Err(Error::NoPlatform { .. }) => {
                let platforms = self.manifest_list(name)?.manifests.into_iter().filter_map(|one| one.platform_text());
                let first = platforms.min().map(|first| first.parse()).transpose()?;
                self.find(name, first.as_ref())
            }
            found => found,
        }
    }

    fn find(&self, name: &str, platform: Option<&Platform>) -> Result<Image> {
        let (name, digest) = self.resolve(name)?;
        let mut image = Image::read(&self.content, &digest, platform, name.as_deref())?;
        image.listings = Some(self.listings());
        Ok(image)
    }

    /// The whole name (none when asked by digest) and the digest of its index.
    pub(crate) fn resolve(&self, name: &str) -> Result<(Option<String>, Digest)> {
        let unknown = || Error::UnknownImage { name: name.to_owned() };
        if let Some(digest) = self.by_digest(name)? {
            return Ok((None, digest));
        }
        let reference: Reference = name.parse()?;
        let whole = reference.to_string();
        if let Some(digest) = reference.digest() {
            return if self.content.contains(digest) { Ok((Some(whole), *digest)) } else { Err(unknown()) };
        }
        let descriptor = self.content.resolve(NameKind::ClusterImage, &whole)?.ok_or_else(unknown)?;
        Ok((Some(whole), Digest::try_from(descriptor.digest())?))
    }

    /// The named image whose digest is `text`, or begins with at least twelve digits of it.
    fn by_digest(&self, text: &str) -> Result<Option<Digest>> {
        if let Ok(digest) = text.parse::<Digest>() {
            return Ok(self.content.contains(&digest).then_some(digest));
        }
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if !(12..64).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let mut found = None;
        for named in self.names()? {
            let digest = Digest::try_from(named.descriptor.digest())?;
            if digest.hex().starts_with(digits) {
                if found.is_some_and(|other| other != digest) {
                    return Ok(None);
                }
                found = Some(digest);
            }
        }
        Ok(found)
    }

    /// All names of cluster images.
    pub(crate) fn names(&self) -> Result<Vec<Named>> {
        Ok(self.content.names()?.into_iter().filter(|named| named.kind == NameKind::ClusterImage).collect())
    }

    /// One line for each name, sorted by name.
    ///
    /// # Errors
    /// [`Error::Store`] when a document is missing or corrupt.
    pub fn list(&self) -> Result<Vec<Summary>> {
        self.names()?.iter().map(|named| Summary::read(self, named)).collect()
    }

    /// Everything about one image.
    ///
    /// # Errors
    /// As [`Images::get`].
    pub fn inspect(&self, name: &str) -> Result<Inspection> {
        Inspection::read(self, name)
    }

    /// Gives the image `source` (name or digest) one more name.
    ///
    /// # Errors
    /// [`Error::UnknownImage`]; [`Error::Store`] for a malformed name.
    pub fn tag(&self, source: &str, name: &str) -> Result<Reference> {
        let (_, digest) = self.resolve(source)?;
        let reference = self.check_name(name)?;
        let old = self
            .names()?
            .into_iter()
            .find(|named| Digest::try_from(named.descriptor.digest()).is_ok_and(|other| other == digest));
        let size = self.content.size(&digest)?;
        let annotations = old.map(|named| named.annotations).unwrap_or_default();
        let (top, _) = Top::read(&self.content, &digest)?;
        let descriptor = Descriptor::new(MediaType::from(top.media_type()), size, digest);
        let named = Named { kind: NameKind::ClusterImage, name: reference.to_string(), descriptor, annotations };
        self.content.set_names(vec![named])?;
        Ok(reference)
    }

    /// Takes names away and frees what nothing else needs. A digest stands for all names of that image.
    ///
    /// With `force`, a name that is not there is no error, and a digest may stand for several names.
    ///
    /// # Errors
    /// [`Error::UnknownImage`], [`Error::InUse`], [`Error::Store`]; then no name was taken away.
    pub fn remove(&self, names: &[impl AsRef<str>], force: bool) -> Result<Removed> {
        let mut unwanted = BTreeSet::new();
        for name in names {
            match self.names_meant(name.as_ref(), force) {
                Err(Error::UnknownImage { .. }) if force => {}
                meant => unwanted.extend(meant?),
            }
        }
        self.content
            .remove_names_where(|named| named.kind == NameKind::ClusterImage && unwanted.contains(&named.name))?;
        let freed = self.free()?;
        Ok(Removed {
            names: unwanted.into_iter().collect(),
            freed_blobs: freed.as_ref().map(|freed| freed.blobs),
            freed_bytes: freed.as_ref().map(|freed| freed.bytes),
        })
    }

    fn names_meant(&self, name: &str, force: bool) -> Result<Vec<String>> {
        let (whole, digest) = self.resolve(name)?;
        if let Some(whole) = whole {
            return Ok(vec![whole]);
        }
        let of_digest = |named: &Named| Digest::try_from(named.descriptor.digest()).is_ok_and(|other| other == digest);
        let names: Vec<String> = self.names()?.into_iter().filter(of_digest).map(|named| named.name).collect();
        match names.len() {
            0 => Err(Error::UnknownImage { name: name.to_owned() }),
            1 => Ok(names),
            _ if force => Ok(names),
            _ => Err(Error::InUse { image: name.to_owned(), users: names.join(", ") }),
        }
    }

    /// Frees blobs, unpacked layers and cached results that nothing needs.
    fn free(&self) -> Result<Option<Freed>> {
        match self.content.collect_garbage() {
            Ok(freed) => {
                crate::builder::cache::prune(self)?;
                Ok(Some(freed))
            }
            Err(content_store::Error::InUse { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Points a name at an index that was just made here.
    pub(crate) fn set_name(&self, reference: &Reference, descriptor: Descriptor) -> Result<()> {
        let annotations = BTreeMap::from([(format::CREATED_ANNOTATION.to_owned(), now()?)]);
        let (kind, name) = (NameKind::ClusterImage, reference.to_string());
        Ok(self.content.set_names(vec![Named { kind, name, descriptor, annotations }])?)
    }

    /// A name that an image may get: one without a digest.
    pub(crate) fn check_name(&self, name: &str) -> Result<Reference> {
        let reference: Reference = name.parse()?;
        if reference.digest().is_some() {
            return Err(Error::Option {
                option: "the image name",
                value: name.to_owned(),
                expected: "a name with a tag, not with a digest",
            });
        }
        Ok(reference)
    }

    /// Directory of the listings of layers.
    pub(crate) fn listings(&self) -> PathBuf {
        self.root.join("cache/listing")
    }

    /// Directory of the results of earlier builds, and of builds at work.
    pub(crate) fn build_cache(&self) -> PathBuf {
        self.root.join("cache/build")
    }

    /// Directory of unpacked layers.
    pub(crate) fn unpacked_layers(&self) -> PathBuf {
        self.root.join("layers")
    }
}
