//! The cluster images of the store, and their names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use content_store::{DefaultRegistry, Descriptor, Digest, GcGuard, MediaType, NameKind, Named, Reference, Store};
use serde::Serialize;

use crate::builder::seal::now;
use crate::documents::{Index, IndexEntry, Top};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::format;
use crate::image::Image;
use crate::inspect::{Inspection, Summary};
use crate::platform::Platform;
use crate::prune::{PruneOptions, Pruned};

/// The cluster images under one root directory; cheap to clone.
#[derive(Debug, Clone)]
pub struct Images {
    root: PathBuf,
    content: Store,
    pub(crate) default_registry: DefaultRegistry,
    /// Names of images that were pulled in part, to be looked at: they end with this value and its clones.
    borrowed: Arc<Mutex<BTreeMap<String, Borrowed>>>,
}

/// An image that has no name in the store, kept from being freed.
#[derive(Debug)]
struct Borrowed {
    digest: Digest,
    _guard: GcGuard,
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
        Ok(Self { root, content, default_registry: DefaultRegistry::default(), borrowed: Arc::default() })
    }

    /// Looks for names without a registry there, too, when docker's meaning of them has no image.
    #[must_use]
    pub fn with_default_registry(mut self, default: DefaultRegistry) -> Self {
        self.default_registry = default;
        self
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

    /// The image of this name or digest for any platform that it has here, the host's before others.
    ///
    /// # Errors
    /// As [`Images::get`].
    pub fn get_any(&self, name: &str) -> Result<Image> {
        match self.get(name) {
            Err(error @ (Error::NoPlatform { .. } | Error::Partial { .. })) => {
                let (Top::Index(index), _) = Top::read(&self.content, &self.resolve(name)?.1)? else {
                    return Err(error);
                };
                let here = index.platforms_where(|entry| self.content.contains(&entry.digest));
                let first = here.into_iter().min_by_key(ToString::to_string).ok_or(error)?;
                self.find(name, Some(&first))
            }
            found => found,
        }
    }

    pub(crate) fn find(&self, name: &str, platform: Option<&Platform>) -> Result<Image> {
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
        let other = self.default_registry.complete(name)?;
        if let Some(digest) = reference.digest() {
            return if self.content.contains(digest) { Ok((Some(whole), *digest)) } else { Err(unknown()) };
        }
        // What is here under docker's name is taken before what another registry would have.
        for whole in std::iter::once(whole).chain((other != reference).then(|| other.to_string())) {
            if let Some(descriptor) = self.content.resolve(NameKind::ClusterImage, &whole)? {
                return Ok((Some(whole), Digest::try_from(descriptor.digest())?));
            }
            if let Some(borrowed) = self.borrowed().get(&whole) {
                return Ok((Some(whole), borrowed.digest));
            }
        }
        Err(unknown())
    }

    /// Gives an image a name for this process only.
    pub(crate) fn borrow_name(&self, name: &str, digest: Digest, guard: GcGuard) {
        self.borrowed().insert(name.to_owned(), Borrowed { digest, _guard: guard });
    }

    fn borrowed(&self) -> MutexGuard<'_, BTreeMap<String, Borrowed>> {
        self.borrowed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The named image whose digest is `text`, or begins with at least twelve digits of it.
    pub(crate) fn by_digest(&self, text: &str) -> Result<Option<Digest>> {
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
        let all = self.names()?;
        all.iter().map(|named| Summary::read(self, named, &all)).collect()
    }

    /// Those lines of [`Images::list`] that every filter lets through.
    ///
    /// # Errors
    /// As [`Images::list`].
    pub fn list_matching(&self, filters: &[Filter]) -> Result<Vec<Summary>> {
        let mut list = self.list()?;
        list.retain(|summary| filters.iter().all(|filter| filter.matches(self, summary)));
        Ok(list)
    }

    /// Everything about one image, for the host's platform or its only one.
    ///
    /// # Errors
    /// As [`Images::get`].
    pub fn inspect(&self, name: &str) -> Result<Inspection> {
        Inspection::read(self, name, None)
    }

    /// Everything about one image, for one platform.
    ///
    /// # Errors
    /// As [`Images::get_for`].
    pub fn inspect_for(&self, name: &str, platform: &Platform) -> Result<Inspection> {
        Inspection::read(self, name, Some(platform))
    }

    /// The document that the image is called by as it is stored: its index; or the rootfs manifest of a platform.
    ///
    /// # Errors
    /// As [`Images::get_for`].
    pub fn raw(&self, name: &str, platform: Option<&Platform>) -> Result<Vec<u8>> {
        let digest = match platform {
            Some(platform) => *self.get_for(name, platform)?.manifest_digest(),
            None => self.resolve(name)?.1,
        };
        Ok(self.content.read_verified(&digest, format::DOCUMENT_LIMIT)?)
    }

    /// Gives the image `source` (name or digest) one more name.
    ///
    /// # Errors
    /// [`Error::UnknownImage`]; [`Error::Store`] for a malformed name.
    pub fn tag(&self, source: &str, name: &str) -> Result<Reference> {
        self.tag_all(source, &[name])?;
        self.check_name(name)
    }

    /// Gives the image `source` (name or digest) more names: all of them, or none.
    ///
    /// # Errors
    /// As [`Images::tag`].
    pub fn tag_all(&self, source: &str, names: &[impl AsRef<str>]) -> Result<()> {
        let (_, digest) = self.resolve(source)?;
        let references: Vec<Reference> =
            names.iter().map(|name| self.check_name(name.as_ref())).collect::<Result<_>>()?;
        let old = self
            .names()?
            .into_iter()
            .find(|named| Digest::try_from(named.descriptor.digest()).is_ok_and(|other| other == digest));
        let size = self.content.size(&digest)?;
        let annotations = old.map(|named| named.annotations).unwrap_or_default();
        let (top, _) = Top::read(&self.content, &digest)?;
        let descriptor = Descriptor::new(MediaType::from(top.media_type()), size, digest);
        let named = |reference: &Reference| Named {
            kind: NameKind::ClusterImage,
            name: reference.to_string(),
            descriptor: descriptor.clone(),
            annotations: annotations.clone(),
        };
        Ok(self.content.set_names(references.iter().map(named).collect())?)
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
            freed_blobs: freed.as_ref().map(|freed| freed.blobs.count),
            freed_bytes: freed.as_ref().map(|freed| freed.blobs.bytes),
        })
    }

    /// Takes one platform away from images, under the same names, and frees what nothing else needs. An image that has no
    /// other platform is removed as by [`Images::remove`].
    ///
    /// # Errors
    /// As [`Images::remove`], and [`Error::NoPlatform`]; [`Error::Option`] for a name with a digest, which can stand for no other image.
    pub fn remove_platform(&self, names: &[impl AsRef<str>], platform: &Platform, force: bool) -> Result<Removed> {
        let (mut whole, mut changed) = (Vec::new(), Vec::new());
        for name in names {
            let meant = match self.names_meant(name.as_ref(), force) {
                Err(Error::UnknownImage { .. }) if force => continue,
                meant => meant?,
            };
            for name in meant {
                match self.without_platform(&name, platform)? {
                    Some(named) => changed.push(named),
                    None => whole.push(name),
                }
            }
        }
        let shortened: Vec<String> = changed.iter().map(|named| named.name.clone()).collect();
        self.content.set_names(changed)?;
        let mut removed = self.remove(&whole, force)?;
        removed.names.extend(shortened);
        Ok(removed)
    }

    /// The name, pointing at an index without this platform; `None` when no other is left.
    fn without_platform(&self, name: &str, platform: &Platform) -> Result<Option<Named>> {
        let (_, digest) = self.resolve(name)?;
        let rootfs = *self.get_for(name, platform)?.manifest_digest();
        let (Top::Index(index), _) = Top::read(&self.content, &digest)? else { return Ok(None) };
        let artifact = index.artifact_of(&rootfs).map(|entry| entry.digest);
        let stays = |entry: &&IndexEntry| entry.digest != rootfs && Some(entry.digest) != artifact;
        let manifests: Vec<IndexEntry> = index.manifests.iter().filter(stays).cloned().collect();
        let rest = Index { manifests, ..index };
        if rest.rootfs_entries().next().is_none() {
            return Ok(None);
        }
        self.check_name(name)?;
        let named = self.names()?.into_iter().find(|named| named.name == name);
        let annotations = named.map(|named| named.annotations).unwrap_or_default();
        let index = crate::assemble::put_index(&self.content, rest.manifests)?;
        let descriptor = Descriptor::new(MediaType::ImageIndex, index.size, index.digest);
        Ok(Some(Named { kind: NameKind::ClusterImage, name: name.to_owned(), descriptor, annotations }))
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

    /// Frees blobs, unpacked layers and cached results that nothing needs; `None` when somebody writes.
    fn free(&self) -> Result<Option<Pruned>> {
        match self.prune(PruneOptions::default()) {
            Ok(pruned) => Ok(Some(pruned)),
            Err(Error::Store(content_store::Error::InUse { .. })) => Ok(None),
            Err(error) => Err(error),
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

    /// Directory of uploads that are not finished.
    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("cache/uploads")
    }

    /// Directory of unpacked layers.
    pub(crate) fn unpacked_layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    /// Directory of what is known about mounted images, and of the mounts that were given no place of their own.
    pub(crate) fn mounts(&self) -> PathBuf {
        self.root.join("mounts")
    }
}
