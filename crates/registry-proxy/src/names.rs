//! Resolves repositories and tags to content.

use crate::route::{Page, Place};
use content_store::{Descriptor, Digest, NameKind, Named, Reference, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};

const DEFAULT_REGISTRY: &str = "docker.io";

/// The names of a store, read again when they changed.
#[derive(Debug)]
pub(crate) struct Names {
    store: Store,
    known: Mutex<Option<(Version, Arc<Table>)>>,
}

/// Tells one `index.json` from another: it is replaced, never changed in place.
type Version = (u64, u64, i64, i64);

impl Names {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, known: Mutex::new(None) }
    }

    /// The names as they are now. Blocks.
    pub(crate) fn table(&self) -> content_store::Result<Arc<Table>> {
        let version = fs::metadata(self.store.root().join("index.json"))
            .map(|metadata| (metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
            .ok();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seen, table)) = &*known
            && Some(*seen) == version
        {
            return Ok(table.clone());
        }
        let table = Arc::new(Table::new(&self.store.names()?));
        *known = version.map(|version| (version, table.clone()));
        Ok(table)
    }
}

/// What a name points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
}

/// Repository, then registry, then tag.
#[derive(Debug, Default)]
pub(crate) struct Table {
    repositories: BTreeMap<String, BTreeMap<String, BTreeMap<String, Target>>>,
}

impl Table {
    pub(crate) fn new(names: &[Named]) -> Self {
        let mut table = Self::default();
        for kind in [NameKind::CarriedImage, NameKind::ClusterImage] {
            for named in names.iter().filter(|named| named.kind == kind) {
                table.add(&named.name, &named.descriptor);
            }
        }
        table
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
    pub(crate) fn resolve(&self, place: &Place, own_names: &[String], tag: &str) -> Option<&Target> {
        self.candidates(place, own_names, |tags| tags.contains_key(tag))?.get(tag)
    }

    /// The tags of a repository.
    pub(crate) fn tags(&self, place: &Place, own_names: &[String]) -> Option<Vec<&str>> {
        let tags = self.candidates(place, own_names, |_| true)?;
        Some(tags.keys().map(String::as_str).collect())
    }

    /// The paths of all repositories.
    pub(crate) fn repositories(&self) -> Vec<&str> {
        self.repositories.keys().map(String::as_str).collect()
    }

    /// The one repository that is meant: of the registry that the client names, else of Docker Hub, else of the only registry that has it.
    fn candidates(
        &self,
        place: &Place,
        own_names: &[String],
        has: impl Fn(&BTreeMap<String, Target>) -> bool,
    ) -> Option<&BTreeMap<String, Target>> {
        let library = format!("library/{}", place.repository);
        let short = (!place.repository.contains('/')).then_some(library.as_str());
        let paths: Vec<&str> = [Some(place.repository.as_str()), short].into_iter().flatten().collect();
        let of = |path: &str, registry: &str| self.repositories.get(path)?.get(registry).filter(|tags| has(tags));
        let namespace = place.namespace.as_deref().filter(|name| !own_names.iter().any(|own| own == name));
        match namespace {
            Some(DEFAULT_REGISTRY) => return paths.iter().rev().find_map(|path| of(path, DEFAULT_REGISTRY)),
            Some(registry) => return of(&place.repository, registry),
            None => {}
        }
        if let Some(tags) = paths.iter().rev().find_map(|path| of(path, DEFAULT_REGISTRY)) {
            return Some(tags);
        }
        let mut found = self.repositories.get(&place.repository)?.values().filter(|tags| has(tags));
        let first = found.next()?;
        let meanings: BTreeSet<Digest> =
            first.values().chain(found.clone().flat_map(BTreeMap::values)).map(|target| target.digest).collect();
        // Several registries are no ambiguity as long as all of them mean the same content.
        (found.next().is_none() || meanings.len() == 1).then_some(first)
    }
}

/// One page of a sorted list, and the entry that the next page comes after.
pub(crate) fn page<'a>(entries: &[&'a str], page: &Page) -> (Vec<&'a str>, Option<&'a str>) {
    let after = |entry: &&&str| page.after.as_deref().is_none_or(|last| **entry > last);
    let rest: Vec<&str> = entries.iter().filter(after).copied().collect();
    match page.limit {
        Some(limit) if limit < rest.len() => (rest[..limit].to_vec(), limit.checked_sub(1).map(|last| rest[last])),
        _ => (rest, None),
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

    fn resolve(table: &Table, namespace: Option<&str>, repository: &str, tag: &str) -> Option<Digest> {
        let place = Place { namespace: namespace.map(str::to_owned), repository: repository.to_owned() };
        table.resolve(&place, &["sea.hub:5000".to_owned()], tag).map(|target| target.digest)
    }

    #[test]
    fn a_namespace_decides_and_its_absence_allows_what_is_unambiguous() {
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
        assert_eq!(
            resolve(&table, Some("sea.hub:5000"), "a/b", "1"),
            of(b"b"),
            "the registry's own name means no other"
        );
        assert_eq!(resolve(&table, None, "pause", "3.2"), of(b"pause"));
        assert_eq!(resolve(&table, None, "x/y", "1"), None, "two registries mean different images");
        assert_eq!(resolve(&table, None, "x/y", "2"), of(b"two"), "only one has this tag");
        assert_eq!(resolve(&table, None, "same/z", "1"), of(b"z"));
        assert_eq!(resolve(&table, None, "shop", "1.4"), of(b"shop"));
    }

    #[test]
    fn lists_are_sorted_and_paged() {
        let entries = ["a", "b", "c"];
        let read = |limit, after: Option<&str>| page(&entries, &Page { limit, after: after.map(str::to_owned) });
        assert_eq!(read(None, None), (vec!["a", "b", "c"], None));
        assert_eq!(read(Some(2), None), (vec!["a", "b"], Some("b")));
        assert_eq!(read(Some(2), Some("b")), (vec!["c"], None));
        assert_eq!(read(Some(0), None), (vec![], None));
        assert_eq!(read(Some(3), Some("0")), (vec!["a", "b", "c"], None));
    }
}
