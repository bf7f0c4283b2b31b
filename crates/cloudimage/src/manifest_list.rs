//! Joins images that were built apart into one, and takes them out again: what `sealer manifest` does.

use std::collections::BTreeMap;

use content_store::{Digest, Reference};
use serde::Serialize;
use serde_json::Value;

use crate::documents::{self, Config, Top};
use crate::error::{Error, Result};
use crate::format;
use crate::images::{Images, Removed};
use crate::joined::{Entry, EntryPlatform, Joined};
use crate::platform::Platform;

/// What entries that are added say besides what their images say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryOptions {
    /// Operating system: of an image for several platforms only the matching are added, another one is recorded so.
    pub os: Option<String>,
    /// Architecture, likewise.
    pub architecture: Option<String>,
    /// Variant of the architecture, likewise.
    pub variant: Option<String>,
    /// Version of the operating system.
    pub os_version: Option<String>,
    /// Features of the operating system.
    pub os_features: Vec<String>,
    /// Annotations of the entries.
    pub annotations: BTreeMap<String, String>,
}

/// The manifests of a cluster image.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ManifestList {
    /// The whole name.
    pub name: String,
    /// Digest of the index.
    pub digest: Digest,
    /// Its entries, those of container images behind the rootfs manifests that they belong to.
    pub manifests: Vec<ListedManifest>,
    /// Rootfs manifests that were taken out, because others for their platforms took their place or it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Digest>,
}

/// An entry of a [`ManifestList`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ListedManifest {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where it runs, in the words of the index; none for what is no rootfs.
    pub platform: Option<Value>,
    /// The rootfs manifest whose container images these are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried_with: Option<Digest>,
    /// Annotations of the entry.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl ListedManifest {
    /// The platform as people write it.
    #[must_use]
    pub fn platform_text(&self) -> Option<String> {
        let platform: Platform = serde_json::from_value(self.platform.clone()?).ok()?;
        Some(platform.to_string())
    }
}

impl Images {
    /// Makes an image of the platforms of others, which may be none yet.
    ///
    /// # Errors
    /// [`Error::NameTaken`] when there is one of this name; as [`Images::add_to_list`].
    pub fn create_list(&self, name: &str, sources: &[String]) -> Result<ManifestList> {
        let reference = self.check_name(name)?;
        if !matches!(self.resolve(name), Err(Error::UnknownImage { .. })) {
            return Err(Error::NameTaken { name: reference.familiar() });
        }
        self.add(&reference, Vec::new(), sources, &EntryOptions::default())
    }

    /// Adds every platform of other images to one that is made when it is not there; a manifest for a platform that it has
    /// takes the place of that one.
    ///
    /// # Errors
    /// [`Error::UnknownImage`], [`Error::Store`]; [`Error::NoPlatform`] when an image has none that the options ask for.
    pub fn add_to_list(&self, name: &str, sources: &[String], options: &EntryOptions) -> Result<ManifestList> {
        let reference = self.check_name(name)?;
        let entries = match self.resolve(name) {
            Ok((_, digest)) => self.entries(&digest)?,
            Err(Error::UnknownImage { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        self.add(&reference, entries, sources, options)
    }

    fn add(
        &self,
        reference: &Reference,
        mut entries: Vec<Entry>,
        sources: &[String],
        options: &EntryOptions,
    ) -> Result<ManifestList> {
        let _guard = self.content().gc_guard()?;
        if let Some(key) = options.annotations.keys().find(|key| is_ours(key)) {
            let expected = "another name: sealer tells by it what a manifest belongs to";
            return Err(Error::Option { option: "annotation", value: key.clone(), expected });
        }
        let mut removed = Vec::new();
        for source in sources {
            let (_, digest) = self.resolve(source)?;
            for entry in chosen(source, &self.entries(&digest)?, options)? {
                removed.extend(displace(&mut entries, &entry));
                entries.push(entry);
            }
        }
        self.write_list(reference, entries, removed)
    }

    /// Takes manifests, each named by its digest, twelve digits of it or its platform, and the images carried with them
    /// out of an image.
    ///
    /// # Errors
    /// [`Error::UnknownImage`]; [`Error::NotInList`] when one is not there: then nothing is taken out.
    pub fn remove_from_list(&self, name: &str, manifests: &[String]) -> Result<ManifestList> {
        let reference = self.check_name(name)?;
        let _guard = self.content().gc_guard()?;
        let (_, digest) = self.resolve(name)?;
        let mut entries = self.entries(&digest)?;
        let mut removed = Vec::new();
        for manifest in manifests {
            let found = entries.iter().find(|entry| is_meant(entry, manifest)).cloned();
            let unknown = || Error::NotInList { name: reference.familiar(), manifest: manifest.clone() };
            let found = found.ok_or_else(unknown)?;
            if let Some(rootfs) = found.rootfs() {
                return Err(Error::PartOfRootfs { manifest: manifest.clone(), rootfs: rootfs.to_owned() });
            }
            take_out(&mut entries, &found.digest);
            removed.push(found.digest);
        }
        self.write_list(&reference, entries, removed)
    }

    /// The manifests of an image.
    ///
    /// # Errors
    /// [`Error::UnknownImage`], [`Error::Store`].
    pub fn manifest_list(&self, name: &str) -> Result<ManifestList> {
        let (whole, digest) = self.resolve(name)?;
        let entries = Joined::new(self.entries(&digest)?).manifests;
        Ok(listed(whole.unwrap_or_else(|| digest.to_string()), digest, &entries, Vec::new()))
    }

    /// Takes the names of images away, as [`Images::remove`]; the images that were joined keep their own names.
    ///
    /// # Errors
    /// As [`Images::remove`].
    pub fn delete_lists(&self, names: &[String]) -> Result<Removed> {
        self.remove(names, false)
    }

    fn write_list(&self, reference: &Reference, entries: Vec<Entry>, removed: Vec<Digest>) -> Result<ManifestList> {
        let mut joined = Joined::new(entries);
        let descriptor = joined.put(self.content())?;
        let digest = Digest::try_from(descriptor.digest())?;
        self.set_name(reference, descriptor)?;
        Ok(listed(reference.to_string(), digest, &joined.manifests, removed))
    }

    /// The entries of an index; of a single manifest, one for the platform that its config says.
    fn entries(&self, digest: &Digest) -> Result<Vec<Entry>> {
        let content = self.content();
        let (manifest, size) = match Top::read(content, digest)? {
            (Top::Index(_), _) => return Ok(Joined::read(content, digest)?.manifests),
            (Top::Manifest(manifest), size) => (manifest, size),
        };
        let config: Config = documents::read(content, &manifest.config.digest, format::DOCUMENT_LIMIT)?;
        let platform = Platform { os: config.os, architecture: config.architecture, variant: config.variant };
        let media_type = manifest.media_type.unwrap_or_else(|| format::MANIFEST.to_owned());
        Ok(vec![Entry::of_rootfs(&documents::Descriptor { media_type, digest: *digest, size }, &platform)])
    }
}

/// The entries of an image that are added, as the options want them; artifacts come with what they belong to.
fn chosen(source: &str, entries: &[Entry], options: &EntryOptions) -> Result<Vec<Entry>> {
    let matches = |entry: &&Entry| {
        let is = |asked: &Option<String>, has: Option<&str>| asked.as_deref().is_none_or(|asked| has == Some(asked));
        entry.platform().is_some_and(|platform| {
            is(&options.os, Some(&platform.os))
                && is(&options.architecture, Some(&platform.architecture))
                && is(&options.variant, platform.variant.as_deref())
        })
    };
    let all: Vec<&Entry> = entries.iter().filter(|entry| entry.is_rootfs()).collect();
    let rootfs: Vec<&Entry> = match all.as_slice() {
        [only] => vec![only],
        several => several.iter().copied().filter(matches).collect(),
    };
    if rootfs.is_empty() {
        let asked = [&options.os, &options.architecture, &options.variant];
        let wanted: Vec<&str> = asked.into_iter().flatten().map(String::as_str).collect();
        let platforms: Vec<String> = all.iter().filter_map(|entry| entry.platform()).map(ToString::to_string).collect();
        return Err(Error::NoPlatform {
            name: source.to_owned(),
            wanted: if wanted.is_empty() { "any platform".to_owned() } else { wanted.join("/") },
            available: if platforms.is_empty() { "no rootfs".to_owned() } else { platforms.join(", ") },
        });
    }
    let mut chosen = Vec::new();
    for one in rootfs {
        let digest = one.digest.to_string();
        chosen.push(described(one, options));
        chosen.extend(entries.iter().filter(|entry| entry.rootfs() == Some(&digest)).cloned());
    }
    Ok(chosen)
}

/// The entry with what the options say of it.
fn described(entry: &Entry, options: &EntryOptions) -> Entry {
    let mut entry = entry.clone();
    let unknown = || EntryPlatform { platform: Platform::default(), other: BTreeMap::new() };
    let said = entry.platform.get_or_insert_with(unknown);
    let platform = &mut said.platform;
    let variant =
        options.variant.clone().or_else(|| platform.variant.take().filter(|_| options.architecture.is_none()));
    let os = options.os.as_deref().unwrap_or(&platform.os);
    let architecture = options.architecture.as_deref().unwrap_or(&platform.architecture);
    *platform = Platform::normal(os, architecture, variant.as_deref().unwrap_or_default());
    if let Some(version) = &options.os_version {
        said.other.insert("os.version".to_owned(), Value::from(version.as_str()));
    }
    if !options.os_features.is_empty() {
        said.other.insert("os.features".to_owned(), Value::from(options.os_features.clone()));
    }
    entry.annotations.extend(options.annotations.clone());
    entry
}

/// Takes out what an entry takes the place of: itself, and another rootfs for its platform, which is told.
fn displace(entries: &mut Vec<Entry>, entry: &Entry) -> Option<Digest> {
    if entry.rootfs().is_some() {
        entries.retain(|known| known.digest != entry.digest || known.rootfs() != entry.rootfs());
        return None;
    }
    let same = entries.iter().find(|known| known.is_rootfs() && known.platform == entry.platform);
    let displaced = same.map(|known| known.digest).filter(|digest| *digest != entry.digest);
    for digest in displaced.iter().chain([&entry.digest]) {
        take_out(entries, digest);
    }
    displaced
}

/// Takes out a rootfs and what belongs to it.
fn take_out(entries: &mut Vec<Entry>, rootfs: &Digest) {
    let text = rootfs.to_string();
    entries.retain(|entry| entry.rootfs().map_or(entry.digest != *rootfs, |other| other != text));
}

fn is_meant(entry: &Entry, manifest: &str) -> bool {
    let digits = manifest.strip_prefix("sha256:").unwrap_or(manifest);
    let begins = digits.len() >= 12 && entry.digest.hex().starts_with(digits);
    begins || (manifest.contains('/') && entry.platform().is_some_and(|platform| platform.to_string() == manifest))
}

fn is_ours(annotation: &str) -> bool {
    [format::KIND_ANNOTATION, format::ROOTFS_ANNOTATION].contains(&annotation)
}

fn listed(name: String, digest: Digest, entries: &[Entry], removed: Vec<Digest>) -> ManifestList {
    let one = |entry: &Entry| ListedManifest {
        digest: entry.digest,
        media_type: entry.media_type.clone(),
        size: entry.size,
        platform: entry
            .platform
            .as_ref()
            .filter(|_| entry.is_rootfs())
            .and_then(|said| serde_json::to_value(said).ok()),
        carried_with: entry.rootfs().and_then(|rootfs| rootfs.parse().ok()),
        annotations: entry.annotations.clone(),
    };
    ManifestList { name, digest, manifests: entries.iter().map(one).collect(), removed }
}
