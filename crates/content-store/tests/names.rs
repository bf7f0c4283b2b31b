//! Names survive concurrent writers, other tools, and corruption.
#![allow(clippy::unwrap_used)]

use content_store::{Descriptor, Digest, Error, MediaType, NameKind, Named, Store};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use tempfile::TempDir;

fn store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    (directory, store)
}

fn descriptor(store: &Store, bytes: &[u8]) -> Descriptor {
    let blob = store.put(bytes).unwrap();
    Descriptor::new(MediaType::ImageIndex, blob.size, blob.digest)
}

fn index(store: &Store) -> Value {
    serde_json::from_slice(&fs::read(store.root().join("index.json")).unwrap()).unwrap()
}

fn names(store: &Store) -> Vec<(NameKind, String)> {
    store.names().unwrap().into_iter().map(|named| (named.kind, named.name)).collect()
}

#[test]
fn a_name_can_be_set_moved_and_removed() {
    use NameKind::{CarriedImage, ClusterImage};
    let (_directory, store) = store();
    let (one, two) = (descriptor(&store, b"one"), descriptor(&store, b"two"));
    assert_eq!(store.resolve(ClusterImage, "a").unwrap(), None);
    store.set_name(ClusterImage, "a", &one).unwrap();
    store.set_name(CarriedImage, "a", &two).unwrap();
    assert_eq!(store.resolve(ClusterImage, "a").unwrap(), Some(one));
    assert_eq!(store.resolve(CarriedImage, "a").unwrap(), Some(two.clone()));
    store.set_name(ClusterImage, "a", &two).unwrap();
    assert_eq!(store.resolve(ClusterImage, "a").unwrap(), Some(two.clone()));
    assert_eq!(names(&store), [(ClusterImage, "a".to_owned()), (CarriedImage, "a".to_owned())]);
    assert!(store.remove_name(ClusterImage, "a").unwrap());
    assert!(!store.remove_name(ClusterImage, "a").unwrap());
    assert_eq!(Store::open(store.root()).unwrap().resolve(CarriedImage, "a").unwrap(), Some(two));
}

#[test]
fn many_names_are_set_together_or_not_at_all() {
    let (_directory, store) = store();
    let named = |name: &str, descriptor| Named {
        kind: NameKind::CarriedImage,
        name: name.to_owned(),
        descriptor,
        annotations: BTreeMap::new(),
    };
    let good = descriptor(&store, b"good");
    let absent = Descriptor::new(MediaType::ImageIndex, 1, Digest::of(b"absent"));
    let error = store.set_names(vec![named("a", good.clone()), named("b", absent)]).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    assert!(names(&store).is_empty());
    store.set_names((0..50).map(|number| named(&format!("n{number:02}"), good.clone())).collect()).unwrap();
    assert_eq!(names(&store).len(), 50);
    let removed = store.remove_names_where(|named| named.name.as_str() < "n20").unwrap();
    assert_eq!((removed, names(&store).len()), (20, 30));
    assert!(store.set_names(vec![named("", good)]).is_err());
}

#[test]
fn annotations_and_platform_of_a_descriptor_are_kept() {
    let (_directory, store) = store();
    let mut wanted = descriptor(&store, b"x");
    wanted.set_annotations(Some([("org.example.note".to_owned(), "kept".to_owned())].into()));
    store.set_name(NameKind::ClusterImage, "a", &wanted).unwrap();
    let named = store.names().unwrap().remove(0);
    assert_eq!(named.annotations, BTreeMap::from([("org.example.note".to_owned(), "kept".to_owned())]));
    assert_eq!(named.descriptor.annotations(), &None);
    let entry = &index(&store)["manifests"][0];
    assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "a");
    assert_eq!(entry["annotations"]["io.sealer.name.kind"], "cluster-image");
    assert_eq!(entry["annotations"]["org.example.note"], "kept");
}

#[test]
fn what_other_tools_wrote_is_kept() {
    let (_directory, store) = store();
    let blob = store.put(b"{}").unwrap();
    let foreign = json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": blob.digest, "size": 2, "annotations": { "org.opencontainers.image.ref.name": "theirs", "x": "y" }, "unknown": [1, { "deep": true }] });
    let odd = json!({ "digest": 7 });
    let mut whole = json!({ "unknownTop": { "z": 1 }, "schemaVersion": 2, "manifests": [foreign, odd], "annotations": { "a": "b" } });
    fs::write(store.root().join("index.json"), whole.to_string()).unwrap();
    assert!(names(&store).is_empty(), "an entry without a kind is not one of our names");
    store.set_name(NameKind::ClusterImage, "theirs", &descriptor(&store, b"ours")).unwrap();
    store.set_name(NameKind::ClusterImage, "theirs", &descriptor(&store, b"ours again")).unwrap();
    let mut after = index(&store);
    assert_eq!(after["manifests"].as_array().unwrap().len(), 3);
    assert!(store.remove_name(NameKind::ClusterImage, "theirs").unwrap());
    after = index(&store);
    whole["manifests"] = json!([foreign, odd]);
    assert_eq!(after, whole);
    let order: Vec<&String> = after.as_object().unwrap().keys().collect();
    assert_eq!(order, ["unknownTop", "schemaVersion", "manifests", "annotations"], "fields stay in their order");
    let freed = store.collect_garbage().unwrap();
    assert_eq!(freed.blobs, 2);
    assert!(store.contains(&blob.digest), "their blob is reached by their entry");
}

#[test]
fn an_index_that_cannot_be_understood_is_not_overwritten() {
    let (_directory, store) = store();
    let kept = descriptor(&store, b"kept");
    for text in ["", "[]", "{\"manifests\":7}", "{\"manifests\":[", "\u{0}"] {
        fs::write(store.root().join("index.json"), text).unwrap();
        let errors = [
            store.names().map(|_| ()).unwrap_err(),
            store.set_name(NameKind::ClusterImage, "a", &kept).unwrap_err(),
            store.remove_name(NameKind::ClusterImage, "a").map(|_| ()).unwrap_err(),
            store.collect_garbage().map(|_| ()).unwrap_err(),
        ];
        for error in errors {
            assert!(
                matches!(error, Error::Layout { .. }) && error.to_string().contains("index.json"),
                "{text}: {error}"
            );
        }
        assert_eq!(fs::read_to_string(store.root().join("index.json")).unwrap(), text);
    }
    assert_eq!(store.blobs().unwrap().len(), 1);
}

#[test]
fn threads_with_handles_of_their_own_lose_no_name() {
    let (_directory, store) = store();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let root = store.root();
            scope.spawn(move || {
                let store = Store::open(root).unwrap();
                for number in 0..15 {
                    let target = descriptor(&store, format!("{thread} {number}").as_bytes());
                    store.set_name(NameKind::CarriedImage, &format!("{thread}/{number:02}"), &target).unwrap();
                    store.set_name(NameKind::ClusterImage, "shared", &target).unwrap();
                    if number % 3 == 0 {
                        assert!(store.remove_name(NameKind::CarriedImage, &format!("{thread}/{number:02}")).unwrap());
                    }
                }
            });
        }
    });
    let names = names(&store);
    assert_eq!(names.iter().filter(|(kind, _)| *kind == NameKind::CarriedImage).count(), 6 * 10);
    assert_eq!(names.iter().filter(|(kind, _)| *kind == NameKind::ClusterImage).count(), 1);
    let leftovers = fs::read_dir(store.root())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".new"));
    assert_eq!(leftovers.count(), 0);
}
