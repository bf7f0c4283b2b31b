//! Resolves repositories and tags to content.

use super::push::SUBJECT_ANNOTATION;
use crate::source::{DEFAULT_REGISTRY, Repository};
use content_store::{Descriptor, Digest, FileVersion, NameKind, Named, Reference, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The names of a store, read again when they changed.
#[derive(Debug)]
pub(super) struct Names {
    store: Store,
    known: Mutex<Option<(FileVersion, Arc<Table>)>>,
}

impl Names {
    pub(super) fn new(store: Store) -> Self {
        Self { store, known: Mutex::new(None) }
    }

    /// The names as they are now. Blocks.
    pub(super) fn table(&self) -> content_store::Result<Arc<Table>> {
        let version = self.store.names_version()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seen, table)) = &*known
            && *seen == version
        {
            return Ok(table.clone());
        }
        let table = Arc::new(Table::new(&self.store.names()?));
        *known = Some((version, table.clone()));
        Ok(table)
    }
}

/// What a name points at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) digest: Digest,
    pub(super) media_type: String,
}

/// Repository, then registry, then tag.
#[derive(Debug, Default)]
pub(super) struct Table {
    repositories: BTreeMap<String, BTreeMap<String, BTreeMap<String, Target>>>,
    /// Registry, path and subject, then who refers to it.
    referrers: BTreeMap<(String, String, Digest), BTreeSet<Target>>,
    /// What names of cached images point at.
    cached: BTreeSet<Digest>,
}

impl Table {
    pub(super) fn new(names: &[Named]) -> Self {
        let cached = names.iter().filter(|named| named.kind == NameKind::CachedImage);
        let cached = cached.filter_map(|named| Digest::try_from(named.descriptor.digest()).ok()).collect();
        let mut table = Self { cached, ..Self::default() };
        // What was pushed goes before the rest: it was meant to be served.
        for named in names.iter().filter(|named| named.kind == NameKind::PushedImage) {
            table.add_pushed(named);
        }
        for kind in [NameKind::CarriedImage, NameKind::ClusterImage] {
            for named in names.iter().filter(|named| named.kind == kind) {
                table.add(&named.name, &named.descriptor);
            }
        }
        table
    }

    fn add_pushed(&mut self, named: &Named) {
        let Ok(digest) = Digest::try_from(named.descriptor.digest()) else { return };
        let target = Target { digest, media_type: named.descriptor.media_type().to_string() };
        let (path, tag) = match named.name.split_once('@') {
            Some((path, _)) => (path, None),
            None => named.name.rsplit_once(':').map_or((named.name.as_str(), None), |(path, tag)| (path, Some(tag))),
        };
        let (registry, path) = split(path);
        if let Some(subject) = named.annotations.get(SUBJECT_ANNOTATION).and_then(|text| text.parse().ok()) {
            let key = (registry.to_owned(), path.to_owned(), subject);
            self.referrers.entry(key).or_default().insert(target.clone());
        }
        let registries = self.repositories.entry(path.to_owned()).or_default();
        let tags = registries.entry(registry.to_owned()).or_default();
        if let Some(tag) = tag {
            tags.insert(tag.to_owned(), target);
        }
    }

    /// Whether a name of a cached image points at it.
    pub(super) fn is_cached(&self, digest: &Digest) -> bool {
        self.cached.contains(digest)
    }

    /// The pushed manifests that are about `subject`.
    pub(super) fn referrers(&self, repository: &Repository, subject: &Digest) -> Vec<Target> {
        let (registry, path) = match repository.registry.as_deref() {
            Some(registry) => (registry, repository.path.as_str()),
            None => split(&repository.path),
        };
        let key = (registry.to_owned(), path.to_owned(), *subject);
        self.referrers.get(&key).into_iter().flatten().cloned().collect()
    }

    fn add(&mut self, name: &str, descriptor: &Descriptor) {
        let (Ok(reference), Ok(digest)) = (name.parse::<Reference>(), Digest::try_from(descriptor.digest())) else {
            return;
        };
        let registries = self.repositories.entry(reference.repository().to_owned()).or_default();
        let tags = registries.entry(reference.registry().to_owned()).or_default();
        if let Some(tag) = reference.tag() {
            let target = Target { digest, media_type: descriptor.media_type().to_string() };
            tags.entry(tag.to_owned()).or_insert(target);
        }
    }

    /// What the tag of a repository points at.
    pub(super) fn resolve(&self, repository: &Repository, tag: &str) -> Option<&Target> {
        self.candidates(repository, |tags| tags.contains_key(tag))?.get(tag)
    }

    /// The tags of a repository.
    pub(super) fn tags(&self, repository: &Repository) -> Option<Vec<String>> {
        Some(self.candidates(repository, |_| true)?.keys().cloned().collect())
    }

    /// The paths of all repositories.
    pub(super) fn repositories(&self) -> Vec<String> {
        self.repositories.keys().cloned().collect()
    }

    /// The one repository that is meant: of the registry that the client names, in `ns` or as the first part of the path, else the one that
    /// was pushed here, else of Docker Hub, else of the only registry that has it.
    fn candidates(
        &self,
        repository: &Repository,
        has: impl Fn(&BTreeMap<String, Target>) -> bool,
    ) -> Option<&BTreeMap<String, Target>> {
        let path = repository.path.as_str();
        let library = format!("library/{path}");
        let short = (!path.contains('/')).then_some(library.as_str());
        let paths: Vec<&str> = [Some(path), short].into_iter().flatten().collect();
        let of = |path: &str, registry: &str| self.repositories.get(path)?.get(registry).filter(|tags| has(tags));
        match repository.registry.as_deref() {
            Some(DEFAULT_REGISTRY) => return paths.iter().rev().find_map(|path| of(path, DEFAULT_REGISTRY)),
            Some(registry) => return of(path, registry),
            None => {}
        }
        let (registry, rest) = split(path);
        if let Some(tags) = of(rest, registry) {
            return Some(tags);
        }
        if let Some(tags) = paths.iter().rev().find_map(|path| of(path, DEFAULT_REGISTRY)) {
            return Some(tags);
        }
        let mut found = self.repositories.get(path)?.values().filter(|tags| has(tags));
        let first = found.next()?;
        let meanings: BTreeSet<Digest> =
            first.values().chain(found.clone().flat_map(BTreeMap::values)).map(|target| target.digest).collect();
        // Several registries are no ambiguity as long as all of them mean the same content.
        (found.next().is_none() || meanings.len() == 1).then_some(first)
    }
}

/// Registry and path of a repository that names its registry in its first part, as image names do; of another one the registry is empty.
fn split(path: &str) -> (&str, &str) {
    match path.split_once('/') {
        Some((first, rest)) if first.contains('.') || first == "localhost" => (first, rest),
        _ => ("", path),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use content_store::MediaType;

    fn table(names: &[(NameKind, &str, &[u8])]) -> Table {
        let named = |(kind, name, bytes): &(NameKind, &str, &[u8])| Named {
            kind: *kind,
            name: (*name).to_owned(),
            descriptor: Descriptor::new(MediaType::ImageIndex, 1, Digest::of(bytes)),
            annotations: BTreeMap::new(),
        };
        Table::new(&names.iter().map(named).collect::<Vec<_>>())
    }

    fn resolve(table: &Table, registry: Option<&str>, repository: &str, tag: &str) -> Option<Digest> {
        table.resolve(&Repository::new(registry, repository), tag).map(|target| target.digest)
    }

    #[test]
    fn a_registry_decides_and_its_absence_allows_what_is_unambiguous() {
        use NameKind::{CarriedImage, ClusterImage};
        let table = table(&[
            (CarriedImage, "docker.io/library/nginx:1", b"hub"),
            (CarriedImage, "quay.io/library/nginx:1", b"quay"),
            (CarriedImage, "quay.io/a/b:1", b"b"),
            (CarriedImage, "k8s.gcr.io/pause:3.2", b"pause"),
            (CarriedImage, "one.example/x/y:1", b"one"),
            (CarriedImage, "two.example/x/y:1", b"two"),
            (CarriedImage, "two.example/x/y:2", b"two"),
            (CarriedImage, "one.example/same/z:1", b"z"),
            (CarriedImage, "two.example/same/z:1", b"z"),
            (ClusterImage, "docker.io/library/shop:1.4", b"shop"),
            (ClusterImage, "docker.io/library/nginx:1", b"cluster"),
        ]);
        let of = |bytes: &[u8]| Some(Digest::of(bytes));
        assert_eq!(
            resolve(&table, Some("docker.io"), "library/nginx", "1"),
            of(b"hub"),
            "a carried image goes before a cluster image"
        );
        assert_eq!(resolve(&table, Some("docker.io"), "nginx", "1"), of(b"hub"));
        assert_eq!(resolve(&table, Some("quay.io"), "library/nginx", "1"), of(b"quay"));
        assert_eq!(
            resolve(&table, Some("ghcr.io"), "library/nginx", "1"),
            None,
            "another registry's image is never given"
        );
        assert_eq!(resolve(&table, Some("ghcr.io"), "a/b", "1"), None);
        assert_eq!(resolve(&table, None, "library/nginx", "1"), of(b"hub"));
        assert_eq!(resolve(&table, None, "nginx", "1"), of(b"hub"));
        assert_eq!(resolve(&table, None, "nginx", "2"), None);
        assert_eq!(resolve(&table, None, "a/b", "1"), of(b"b"));
        assert_eq!(resolve(&table, None, "pause", "3.2"), of(b"pause"));
        assert_eq!(resolve(&table, None, "x/y", "1"), None, "two registries mean different images");
        assert_eq!(resolve(&table, None, "x/y", "2"), of(b"two"), "only one has this tag");
        assert_eq!(resolve(&table, None, "same/z", "1"), of(b"z"));
        assert_eq!(resolve(&table, None, "shop", "1.4"), of(b"shop"));
        assert_eq!(resolve(&table, None, "quay.io/a/b", "1"), of(b"b"), "the path names the registry");
        assert_eq!(resolve(&table, None, "ghcr.io/a/b", "1"), None);
    }

    #[test]
    fn what_was_pushed_goes_first_and_belongs_to_this_registry() {
        use NameKind::{CachedImage, CarriedImage, PushedImage};
        let table = table(&[
            (CarriedImage, "docker.io/library/app:1", b"carried"),
            (PushedImage, "app:1", b"pushed"),
            (PushedImage, "quay.io/a/b:1", b"published"),
            (PushedImage, "x/pinned@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", b"pin"),
            (CachedImage, "docker.io/library/cached:1", b"cached"),
        ]);
        let of = |bytes: &[u8]| Some(Digest::of(bytes));
        assert_eq!(resolve(&table, None, "app", "1"), of(b"pushed"));
        assert_eq!(resolve(&table, Some("docker.io"), "library/app", "1"), of(b"carried"));
        assert_eq!(resolve(&table, None, "quay.io/a/b", "1"), of(b"published"));
        assert_eq!(resolve(&table, Some("quay.io"), "a/b", "1"), of(b"published"));
        assert_eq!(table.tags(&Repository::new(None, "x/pinned")), Some(vec![]));
        assert_eq!(resolve(&table, Some("docker.io"), "library/cached", "1"), None, "whoever cached it revalidates it");
    }
}
