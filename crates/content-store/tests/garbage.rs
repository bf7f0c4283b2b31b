//! Garbage collection removes everything that is not needed and nothing that is.
#![allow(clippy::unwrap_used)]

use content_store::{
    Blob, DOCUMENT_MEDIA_TYPE, Descriptor, Digest, Error, Freed, MediaType, NameKind, Partials, Store,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

fn store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    (directory, store)
}

fn document(store: &Store, value: &Value) -> Blob {
    store.put(value.to_string().as_bytes()).unwrap()
}

fn describe(kind: &str, blob: Blob) -> Value {
    json!({ "mediaType": kind, "digest": blob.digest, "size": blob.size })
}

fn name(store: &Store, name: &str, blob: Blob) {
    store
        .set_name(NameKind::ClusterImage, name, &Descriptor::new(MediaType::ImageIndex, blob.size, blob.digest))
        .unwrap();
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

struct ClusterImage {
    index: Blob,
    carried: Blob,
    all: BTreeSet<Digest>,
    of_carried: BTreeSet<Digest>,
}

/// A cluster image: index, rootfs manifest, artifact manifest with catalogue, carried image.
fn cluster_image(store: &Store, mark: &str) -> ClusterImage {
    let put = |text: &str| store.put(format!("{text} {mark}").as_bytes()).unwrap();
    let (config, layer, carried_layer) =
        (document(store, &json!({ "config": mark })), put("layer"), put("carried layer"));
    let carried_config = document(store, &json!({ "carried config": mark }));
    let carried = document(
        store,
        &json!({ "config": describe("c", carried_config), "layers": [describe(LAYER, carried_layer)] }),
    );
    let absent = Digest::of(format!("another platform {mark}").as_bytes());
    let carried_index = document(
        store,
        &json!({ "manifests": [describe(MANIFEST, carried), { "mediaType": MANIFEST, "digest": absent, "size": 1 }] }),
    );
    let rootfs = document(store, &json!({ "config": describe("c", config), "layers": [describe(LAYER, layer)] }));
    let catalogue = document(store, &json!({ "images": [{ "name": "nginx", "digest": carried_index.digest }] }));
    let listed = [carried_index, carried, carried_config].map(|blob| describe(DOCUMENT_MEDIA_TYPE, blob));
    let artifact = document(
        store,
        &json!({ "config": describe("catalogue", catalogue), "layers": [listed[0], listed[1], listed[2], describe(LAYER, carried_layer)] }),
    );
    let index = document(store, &json!({ "manifests": [describe(MANIFEST, rootfs), describe(MANIFEST, artifact)] }));
    let of_carried = [carried_layer, carried_config, carried, carried_index];
    let own = [config, layer, rootfs, catalogue, artifact, index];
    ClusterImage {
        index,
        carried: carried_index,
        all: own.iter().chain(&of_carried).map(|blob| blob.digest).collect(),
        of_carried: of_carried.map(|blob| blob.digest).into(),
    }
}

fn stored(store: &Store) -> BTreeSet<Digest> {
    store.blobs().unwrap().into_iter().map(|blob| blob.digest).collect()
}

#[test]
fn what_a_name_reaches_is_kept_and_the_rest_removed() {
    let (_directory, store) = store();
    let ClusterImage { index: one, all: of_one, .. } = cluster_image(&store, "one");
    let ClusterImage { index: two, all: of_two, .. } = cluster_image(&store, "two");
    assert!(of_one.is_disjoint(&of_two));
    name(&store, "one", one);
    name(&store, "two", two);
    let junk = store.put(b"nobody names this").unwrap();
    assert_eq!(store.collect_garbage().unwrap(), Freed { blobs: 1, bytes: junk.size });
    assert_eq!(stored(&store), of_one.union(&of_two).copied().collect());

    store.remove_name(NameKind::ClusterImage, "two").unwrap();
    let freed = store.collect_garbage().unwrap();
    assert_eq!(freed.blobs, of_two.len() as u64);
    assert_eq!(stored(&store), of_one);
    assert_eq!(store.collect_garbage().unwrap(), Freed::default());

    store.remove_name(NameKind::ClusterImage, "one").unwrap();
    store.collect_garbage().unwrap();
    assert!(stored(&store).is_empty());
}

#[test]
fn a_carried_image_alone_keeps_its_blobs() {
    let (_directory, store) = store();
    let ClusterImage { carried, all, of_carried, .. } = cluster_image(&store, "x");
    let descriptor = Descriptor::new(MediaType::ImageIndex, carried.size, carried.digest);
    store.set_name(NameKind::CarriedImage, "docker.io/library/nginx:1", &descriptor).unwrap();
    assert_eq!(store.collect_garbage().unwrap().blobs as usize, all.len() - of_carried.len());
    assert_eq!(stored(&store), of_carried);
}

#[test]
fn extra_roots_are_kept() {
    let (_directory, store) = store();
    let ClusterImage { index, all, .. } = cluster_image(&store, "cached");
    store.alone().unwrap().garbage(&[index.digest].into()).unwrap().remove(Partials::Useless).unwrap();
    assert_eq!(stored(&store), all);
}

#[test]
fn nothing_is_removed_while_somebody_writes() {
    let (_directory, store) = store();
    let other = Store::open(store.root()).unwrap();
    let guard = other.gc_guard().unwrap();
    let second = guard.clone();
    let blob = other.put(b"fresh").unwrap();
    drop(guard);
    assert!(matches!(store.collect_garbage(), Err(Error::InUse { .. })));
    assert!(store.contains(&blob.digest));
    drop(second);
    let writer = other.writer().unwrap();
    assert!(matches!(store.collect_garbage(), Err(Error::InUse { .. })));
    drop(writer);
    let partial = other.partial(&Digest::of(b"x")).unwrap();
    assert!(matches!(store.collect_garbage(), Err(Error::InUse { .. })));
    drop(partial);
    assert_eq!(store.collect_garbage().unwrap().blobs, 1);
}

#[test]
fn corruption_of_a_document_stops_the_collection() {
    let (_directory, store) = store();
    let ClusterImage { index, all, .. } = cluster_image(&store, "x");
    name(&store, "x", index);
    fs::write(store.blob_path(&index.digest), b"{\"manifests\":[]}").unwrap();
    let error = store.collect_garbage().unwrap_err();
    assert!(matches!(error, Error::Corrupt { digest, .. } if digest == index.digest), "{error}");
    assert_eq!(stored(&store), all, "nothing was removed");
}

#[test]
fn partial_blobs_stay_until_they_are_useless() {
    let (_directory, store) = store();
    let start = |bytes: &[u8]| {
        let mut partial = store.partial(&Digest::of(bytes)).unwrap();
        partial.write_all(b"some").unwrap();
        store.root().join("ingest").join(format!("partial-{}", Digest::of(bytes).hex()))
    };
    let (wanted, there, old) = (start(b"wanted"), start(b"there"), start(b"old"));
    let blob = store.put(b"there").unwrap();
    name(&store, "there", blob);
    let weeks_ago = SystemTime::now() - Duration::from_secs(15 * 24 * 3600);
    fs::File::options().write(true).open(&old).unwrap().set_modified(weeks_ago).unwrap();
    fs::write(store.root().join("ingest/write-1-2-3"), b"").unwrap();
    store.collect_garbage().unwrap();
    assert!(wanted.exists() && !there.exists() && !old.exists());
    assert_eq!(fs::read_dir(store.root().join("ingest")).unwrap().count(), 1);
}

#[test]
fn documents_that_name_each_other_end() {
    let (_directory, store) = store();
    // Digests cannot form a ring, but deep nesting and repetition can be made.
    let mut last = store.put(b"leaf").unwrap();
    for _ in 0..300 {
        last = document(&store, &json!({ "a": [last.digest, last.digest], "b": { last.digest.to_string(): 1 } }));
    }
    let deep = format!("{{\"x\":{}\"{}\"{}}}", "[".repeat(100), last.digest, "]".repeat(100));
    let top = store.put(deep.as_bytes()).unwrap();
    name(&store, "deep", top);
    store.put(b"junk").unwrap();
    assert_eq!(store.collect_garbage().unwrap().blobs, 1);
    assert_eq!(store.blobs().unwrap().len(), 302);
}
