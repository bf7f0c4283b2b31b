//! Push and pull: one platform or all, only what is missing, names only for what is whole.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::Bench;
use cloudimage::{
    BlobOutcome, BuildEvent, Error, Images, Platform, Platforms, PullOptions, PullPolicy, Pulled, PushOptions, Pushed,
    TransferEvent, format,
};
use content_store::{Descriptor, Digest, NameKind, Reference};
use registry_client::{ACCEPT, Memory, Registry};
use serde_json::{Value, json};
use std::sync::Mutex;

const NAME: &str = "registry.example/team/shop:1.4";

/// A workstation that has images, and another that has none.
struct Two {
    bench: Bench,
    registry: Memory,
    directory: tempfile::TempDir,
}

impl Two {
    /// An image with a carried image, built for the host and under [`NAME`].
    async fn new() -> Self {
        let bench = Bench::new();
        bench.write("app.yaml", "kind: Deployment\n");
        bench.write("manifests/imageList", "registry.example/library/redis:6\n");
        carried(&bench.registry);
        bench.build("FROM scratch\nCOPY . .\nCMD echo\n").await.unwrap();
        bench.images().tag("shop:1.4", NAME).unwrap();
        Self { bench, registry: Memory::default(), directory: tempfile::tempdir().unwrap() }
    }

    fn other(&self) -> Images {
        Images::open(&self.directory.path().join("other")).unwrap()
    }

    async fn push(&self, image: &str, destination: Option<&str>) -> Result<Pushed, Error> {
        push(self.bench.images(), &self.registry, image, destination).await
    }

    /// The image with two platforms: that of the host, and one whose files are others.
    fn with_two_platforms(&self) -> Digest {
        let store = self.bench.images().content();
        let index = self.document(self.bench.images().get("shop:1.4").unwrap().index_digest());
        let mut manifests = index["manifests"].as_array().unwrap().clone();
        let put = |value: &Value| {
            let bytes = value.to_string();
            let blob = store.put(bytes.as_bytes()).unwrap();
            (blob.digest, blob.size)
        };
        let rootfs = self.document(&manifests[0]["digest"].as_str().unwrap().parse().unwrap());
        let mut config = self.document(&rootfs["config"]["digest"].as_str().unwrap().parse().unwrap());
        config["architecture"] = other_architecture().into();
        let (digest, size) = put(&config);
        let mut other = rootfs;
        other["config"]["digest"] = digest.to_string().into();
        other["config"]["size"] = size.into();
        let (digest, size) = put(&other);
        manifests.push(json!({
            "mediaType": format::MANIFEST, "digest": digest, "size": size,
            "platform": { "os": "linux", "architecture": other_architecture() },
        }));
        let index = json!({ "schemaVersion": 2, "mediaType": format::INDEX, "manifests": manifests });
        let (digest, size) = put(&index);
        let descriptor = Descriptor::new(format::INDEX.into(), size, digest);
        store.set_name(NameKind::ClusterImage, "registry.example/team/both:1", &descriptor).unwrap();
        digest
    }

    fn document(&self, digest: &Digest) -> Value {
        serde_json::from_slice(&self.bench.images().content().read_verified(digest, 1 << 20).unwrap()).unwrap()
    }
}

fn other_architecture() -> &'static str {
    if Platform::host().architecture == "arm64" { "amd64" } else { "arm64" }
}

fn other_platform() -> Platform {
    format!("linux/{}", other_architecture()).parse().unwrap()
}

/// A container image that a cluster image may carry.
fn carried(registry: &Memory) {
    let name: Reference = "registry.example/library/redis:6".parse().unwrap();
    let config = json!({ "os": "linux", "architecture": Platform::host().architecture, "rootfs": { "type": "layers", "diff_ids": [] } });
    let config = config.to_string();
    let layer = vec![7_u8; 3_000_000];
    let describe =
        |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len() });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": format::MANIFEST,
        "config": describe(format::CONFIG, config.as_bytes()),
        "layers": [describe(format::LAYER_TAR, &layer)],
    });
    registry.add_blob(&name, config);
    registry.add_blob(&name, layer);
    registry.add_manifest(&name, format::MANIFEST, manifest.to_string());
}

async fn push(images: &Images, registry: &Memory, image: &str, to: Option<&str>) -> Result<Pushed, Error> {
    images.push(registry, image, to, &PushOptions::default(), &|_| {}).await
}

async fn pull(images: &Images, registry: &Memory, name: &str) -> Result<Pulled, Error> {
    pull_with(images, registry, name, |_| {}).await
}

async fn pull_with(
    images: &Images,
    registry: &Memory,
    name: &str,
    change: impl FnOnce(&mut PullOptions),
) -> Result<Pulled, Error> {
    let mut options = PullOptions::default();
    options.policy = PullPolicy::Always;
    change(&mut options);
    images.pull(registry, name, &options, &|_| {}).await
}

#[tokio::test]
async fn an_image_arrives_as_it_left() {
    let two = Two::new().await;
    let events = Mutex::new(Vec::new());
    let keep = |event| events.lock().unwrap().push(event);
    let images = two.bench.images();
    let pushed = images.push(&two.registry, NAME, None, &PushOptions::default(), &keep).await.unwrap();
    let image = images.get(NAME).unwrap();
    assert_eq!((pushed.digest, pushed.destination.as_str(), pushed.manifests), (*image.index_digest(), NAME, 3));
    let events = events.into_inner().unwrap();
    let TransferEvent::Image { bytes, blobs, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!((pushed.sent_bytes, pushed.sent_blobs), (*bytes, *blobs));

    let other = two.other();
    let pulled = pull(&other, &two.registry, NAME).await.unwrap();
    assert_eq!((pulled.digest, pulled.fetched_bytes, pulled.fetched_blobs), (pushed.digest, *bytes, *blobs));
    let arrived = other.get(NAME).unwrap();
    assert_eq!(arrived.catalogue(), image.catalogue());
    assert_eq!(arrived.read_files(&["app.yaml"], 100).unwrap()["app.yaml"], b"kind: Deployment\n");
    for digest in arrived.blobs().keys() {
        other.content().verify(digest).unwrap();
    }
    other.remove(&["nothing:1"], true).unwrap();
    assert!(other.get(NAME).is_ok(), "a collection of garbage keeps what was pulled");
}

#[tokio::test]
async fn what_is_there_is_neither_sent_nor_fetched_again() {
    let two = Two::new().await;
    two.push(NAME, None).await.unwrap();
    let again = two.push(NAME, None).await.unwrap();
    assert_eq!((again.manifests, again.sent_bytes, again.sent_blobs), (0, 0, 0));
    let tagged = two.push(NAME, Some("docker://registry.example/team/shop:latest")).await.unwrap();
    assert_eq!((tagged.manifests, tagged.sent_bytes), (1, 0), "only the tag is put");
    let elsewhere = two.push("shop:1.4", Some("registry.example/team/copy:1")).await.unwrap();
    assert_eq!((elsewhere.manifests, elsewhere.sent_bytes), (3, 0), "the name in the store says where its blobs are");
    assert!(elsewhere.mounted_bytes > 3_000_000);

    let other = two.other();
    pull(&other, &two.registry, NAME).await.unwrap();
    let asked = two.registry.requested().len();
    let again = pull(&other, &two.registry, NAME).await.unwrap();
    assert_eq!((again.fetched_bytes, again.previous), (0, None));
    assert_eq!(two.registry.requested().len() - asked, 1, "{:?}", &two.registry.requested()[asked..]);
    let renamed = pull(&other, &two.registry, "registry.example/team/copy:1").await.unwrap();
    assert_eq!((renamed.fetched_bytes, renamed.digest), (0, again.digest));
    let pinned = format!("registry.example/team/shop@{}", again.digest);
    pull(&other, &two.registry, &pinned).await.unwrap();
    assert_eq!(*other.get(&pinned).unwrap().index_digest(), again.digest);
}

#[tokio::test]
async fn what_verify_found_corrupt_is_fetched_again_and_nothing_else() {
    let two = Two::new().await;
    two.push(NAME, None).await.unwrap();
    let other = two.other();
    pull(&other, &two.registry, NAME).await.unwrap();
    let layer = other.get(NAME).unwrap().layers()[0].clone();
    let path = other.content().blob_path(&layer.digest);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, vec![0; usize::try_from(layer.size).unwrap()]).unwrap();
    let damaged = other.verify(&[NAME], &|_, _| {}).unwrap().damaged;
    assert_eq!(damaged.iter().map(|damage| damage.digest).collect::<Vec<_>>(), [layer.digest]);
    let pulled = pull(&other, &two.registry, NAME).await.unwrap();
    assert_eq!((pulled.fetched_blobs, pulled.fetched_bytes), (1, layer.size));
    assert!(other.verify(&[NAME], &|_, _| {}).unwrap().damaged.is_empty());
}

#[tokio::test]
async fn carried_images_are_mounted_from_where_they_come_from() {
    let two = Two::new().await;
    carried(&two.registry);
    let pushed = two.push(NAME, None).await.unwrap();
    assert!(pushed.mounted_bytes > 3_000_000 && pushed.sent_bytes < 100_000, "{pushed:?}");
}

#[tokio::test]
async fn one_platform_is_pulled_and_the_index_stays_whole() {
    let two = Two::new().await;
    let digest = two.with_two_platforms();
    let name = "registry.example/team/both:1";
    two.push(name, None).await.unwrap();
    let (other, host) = (two.other(), Platform::host());
    let pulled = pull(&other, &two.registry, name).await.unwrap();
    assert_eq!((pulled.digest, &pulled.platforms), (digest, &vec![host.clone()]));
    let image = other.get(name).unwrap();
    assert_eq!((image.platform(), image.absent_platforms()), (&host, &[other_platform()][..]));
    assert_eq!(other.inspect(name).unwrap().absent_platforms, [other_platform()]);
    assert_eq!(other.list().unwrap()[0].platforms, std::slice::from_ref(&host));
    let absent = |error: Error| {
        let text = error.to_string();
        let advice = format!("sealer pull --platform {} registry.example/team/both:1", other_platform());
        assert!(matches!(error, Error::Partial { .. }) && text.contains(&advice), "{text}");
    };
    absent(other.get_for(name, &other_platform()).unwrap_err());
    absent(push(&other, &Memory::default(), name, Some("elsewhere.example/both:1")).await.unwrap_err());
    // Where the other platform is, a part is enough: nothing is missing there.
    let again = push(&other, &two.registry, name, Some("registry.example/team/both:2")).await.unwrap();
    assert_eq!((again.manifests, again.sent_bytes, again.digest), (1, 0, digest));

    let both = pull_with(&other, &two.registry, name, |options| options.platforms = Platforms::All).await.unwrap();
    assert_eq!((both.digest, both.platforms.len()), (digest, 2));
    assert_eq!(other.get_for(name, &other_platform()).unwrap().platform(), &other_platform());
    push(&other, &Memory::default(), name, Some("elsewhere.example/both:1")).await.unwrap();
}

#[tokio::test]
async fn another_platform_alone_is_what_there_is() {
    let two = Two::new().await;
    two.with_two_platforms();
    let name = "registry.example/team/both:1";
    two.push(name, None).await.unwrap();
    let other = two.other();
    let only = Platforms::These(vec![other_platform()]);
    let pulled = pull_with(&other, &two.registry, name, |options| options.platforms = only).await.unwrap();
    assert_eq!(pulled.platforms, [other_platform()]);
    assert_eq!(other.get(name).unwrap().platform(), &other_platform(), "as there is nothing else");
    // The platform of this machine is then pulled besides.
    let pulled = pull_with(&other, &two.registry, name, |options| options.policy = PullPolicy::Missing).await.unwrap();
    assert_eq!(pulled.platforms.len(), 2);
    let unknown = Platforms::These(vec!["linux/s390x".parse().unwrap()]);
    let error = pull_with(&other, &two.registry, name, |options| options.platforms = unknown).await.unwrap_err();
    assert!(matches!(error, Error::NoPlatform { .. }) && error.to_string().contains("s390x"), "{error}");
}

#[tokio::test]
async fn a_name_is_set_only_when_everything_is_here() {
    let two = Two::new().await;
    two.push(NAME, None).await.unwrap();
    let image = two.bench.images().get(NAME).unwrap();
    let layer = image.catalogue().blobs().into_iter().max_by_key(|blob| blob.size).unwrap();
    two.registry.break_blob(&layer.digest);
    let other = two.other();
    let error = pull(&other, &two.registry, NAME).await.unwrap_err();
    assert!(matches!(error, Error::NotPulled { .. }), "{error:?}");
    assert!(matches!(other.get(NAME), Err(Error::UnknownImage { .. })));
    let partial = other.root().join(format!("content/ingest/partial-{}", layer.digest.hex()));
    assert!(std::fs::metadata(partial).unwrap().len() >= 1_000_000, "what arrived is kept");
    let pulled = pull(&other, &two.registry, NAME).await.unwrap();
    let sizes: u64 = image.carried_blobs().values().sum();
    assert!(pulled.fetched_bytes < sizes, "the first half was here");
    other.content().verify(&layer.digest).unwrap();
}

#[tokio::test]
async fn policies_say_when_the_registry_is_asked() {
    let two = Two::new().await;
    two.push(NAME, None).await.unwrap();
    let other = two.other();
    let with = async |policy| pull_with(&other, &two.registry, NAME, |options| options.policy = policy).await;
    let error = with(PullPolicy::Never).await.unwrap_err();
    assert!(matches!(error, Error::UnknownImage { .. }), "{error:?}");
    let first = with(PullPolicy::Missing).await.unwrap().digest;

    // The tag moves.
    two.bench.write("app.yaml", "kind: Job\n");
    two.bench.build("FROM scratch\nCOPY . .\nCMD echo\n").await.unwrap();
    two.bench.images().tag("shop:1.4", NAME).unwrap();
    let second = two.push(NAME, None).await.unwrap().digest;
    assert_ne!(first, second);
    assert_eq!(with(PullPolicy::Missing).await.unwrap().digest, first);
    assert_eq!(with(PullPolicy::Never).await.unwrap().digest, first);
    let newer = with(PullPolicy::IfNewer).await.unwrap();
    assert_eq!((newer.digest, newer.previous), (second, Some(first)));

    // A registry that does not have it: what is here is enough, but not for whoever wants to know.
    let empty = Memory::default();
    let newer = pull_with(&other, &empty, NAME, |options| options.policy = PullPolicy::IfNewer).await.unwrap();
    assert_eq!((newer.digest, newer.fetched_bytes), (second, 0));
    let error = pull(&other, &empty, NAME).await.unwrap_err();
    assert!(matches!(&error, Error::Registry(error) if error.is_not_found()), "{error:?}");
}

#[tokio::test]
async fn to_plan_only_the_rootfs_is_pulled_and_no_name_is_set() {
    let two = Two::new().await;
    two.push(NAME, None).await.unwrap();
    let other = two.other();
    let look = |options: &mut PullOptions| {
        options.policy = PullPolicy::Missing;
        options.without_carried = true;
    };
    let pulled = pull_with(&other, &two.registry, NAME, look).await.unwrap();
    assert!(pulled.left_out_bytes > 3_000_000 && pulled.fetched_bytes < 100_000, "{pulled:?}");
    let image = other.get(NAME).unwrap();
    assert_eq!(image.catalogue().images.len(), 1);
    assert!(image.read_files(&["app.yaml"], 100).unwrap().contains_key("app.yaml"));
    other.remove(&["nothing:1"], true).unwrap();
    assert!(other.get(NAME).is_ok(), "nobody frees it while it is looked at");
    assert!(other.list().unwrap().is_empty());
    let asked = two.registry.requested().len();
    pull_with(&other, &two.registry, NAME, look).await.unwrap();
    assert_eq!(two.registry.requested().len(), asked, "once is enough");
    drop((image, other));
    assert!(matches!(two.other().get(NAME), Err(Error::UnknownImage { .. })));
}

#[tokio::test]
async fn hostile_documents_are_refused() {
    let registry = Memory::default();
    let name: Reference = NAME.parse().unwrap();
    let images = Images::open(&tempfile::tempdir().unwrap().keep()).unwrap();
    let entry = |number: usize| {
        json!({ "mediaType": format::MANIFEST, "digest": Digest::of(number.to_string().as_bytes()), "size": 2,
            "platform": { "os": "linux", "architecture": format!("a{number}") } })
    };
    let index = |entries: Vec<Value>| {
        json!({ "schemaVersion": 2, "mediaType": format::INDEX, "manifests": entries }).to_string()
    };
    registry.add_manifest(&name, ACCEPT[0], index((0..501).map(entry).collect()));
    let error = pull(&images, &registry, NAME).await.unwrap_err();
    assert!(matches!(error, Error::TooManyManifests { count: 501, .. }), "{error:?}");

    let padding = "x".repeat(5 << 20);
    registry.add_manifest(&name, ACCEPT[0], json!({ "manifests": [], "annotations": { "a": padding } }).to_string());
    let error = pull(&images, &registry, NAME).await.unwrap_err();
    assert!(matches!(error, Error::Store(content_store::Error::TooLarge { .. })), "{error:?}");

    let layer = json!({ "mediaType": format::LAYER_TAR, "digest": Digest::of(b"layer"), "size": 3 });
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": format::MANIFEST, "config": layer, "layers": [] }).to_string();
    registry.add_blob(&name, "layer");
    let host = Platform::host();
    let mut listed = json!({ "mediaType": format::MANIFEST, "digest": Digest::of(manifest.as_bytes()), "size": 7,
        "platform": { "os": host.os, "architecture": host.architecture } });
    registry.add_manifest(&name.with_digest(Digest::of(manifest.as_bytes())), ACCEPT[1], manifest.clone());
    registry.add_manifest(&name, ACCEPT[0], index(vec![listed.clone()]));
    let error = pull(&images, &registry, NAME).await.unwrap_err();
    assert!(error.to_string().contains("its index says 7"), "{error}");
    listed["size"] = manifest.len().into();
    registry.add_manifest(&name, ACCEPT[0], index(vec![listed]));
    let error = pull(&images, &registry, NAME).await.unwrap_err();
    assert!(
        matches!(error, Error::Store(content_store::Error::TooLarge { limit: 3, .. })),
        "a lie about a size: {error:?}"
    );
    assert!(images.list().unwrap().is_empty());
}

#[tokio::test]
async fn from_pulls_what_is_not_here() {
    let two = Two::new().await;
    two.push(NAME, None).await.unwrap();
    let builder = Bench::new();
    let base: Reference = NAME.parse().unwrap();
    // The registry of the builder is the one that was pushed to.
    push(two.bench.images(), &builder.registry, NAME, None).await.unwrap();
    let kubefile = format!("FROM {NAME}\nCOPY more manifests/\n");
    builder.write("more", "x");
    let never = builder.options_with(|options| options.pull = PullPolicy::Never);
    let error = builder.build_with(&kubefile, &never).await.unwrap_err();
    assert!(matches!(error, Error::UnknownImage { .. }), "{error:?}");
    builder.build(&kubefile).await.unwrap();
    let image = builder.images().get("shop:1.4").unwrap();
    assert_eq!(image.catalogue().images.len(), 1, "also what the base carries");
    let before = builder.registry.manifest_digest(&base).await.unwrap();
    assert!(before.is_some());
    let asked = builder.registry.requested().len();
    builder.build(&kubefile).await.unwrap();
    assert_eq!(builder.registry.requested().len(), asked, "it is here now");
    let newer = builder.options_with(|options| options.pull = PullPolicy::IfNewer);
    builder.build_with(&kubefile, &newer).await.unwrap();
    assert_eq!(builder.registry.requested().len(), asked + 1);

    // The tag moves.
    two.bench.build("FROM scratch\nCOPY app.yaml .\n").await.unwrap();
    push(two.bench.images(), &builder.registry, "shop:1.4", Some(NAME)).await.unwrap();
    builder.build_with(&kubefile, &newer).await.unwrap();
    let warned =
        |event| matches!(event, BuildEvent::Warning { message } if message.starts_with(&format!("{NAME} was")));
    assert!(builder.events().into_iter().any(warned), "{:?}", builder.events());
}

#[tokio::test]
async fn events_tell_where_blobs_came_from() {
    let two = Two::new().await;
    carried(&two.registry);
    let events = Mutex::new(Vec::new());
    let keep = |event| events.lock().unwrap().push(event);
    let images = two.bench.images();
    images.push(&two.registry, NAME, None, &PushOptions::default(), &keep).await.unwrap();
    let outcomes: Vec<BlobOutcome> = events
        .into_inner()
        .unwrap()
        .into_iter()
        .filter_map(|event| match event {
            TransferEvent::Blob { outcome, .. } => outcome,
            _ => None,
        })
        .collect();
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    assert!(count(BlobOutcome::Mounted) >= 2 && count(BlobOutcome::Moved) >= 2, "{outcomes:?}");
}

#[tokio::test]
async fn what_an_image_lacks_is_fetched_of_that_image_and_its_name_stays() {
    let two = Two::new().await;
    let digest = two.with_two_platforms();
    let name = "registry.example/team/both:1";
    two.push(name, None).await.unwrap();
    let other = two.other();
    pull(&other, &two.registry, name).await.unwrap();
    // The tag moves.
    two.push("shop:1.4", Some(name)).await.unwrap();
    let missing = async |registry: &Memory, platform: Platform| {
        let change = |options: &mut PullOptions| {
            options.policy = PullPolicy::Missing;
            options.platforms = Platforms::These(vec![platform]);
        };
        pull_with(&other, registry, name, change).await
    };
    let error = missing(&Memory::default(), other_platform()).await.unwrap_err();
    assert!(matches!(error, Error::Partial { .. }), "a registry that lacks it: {error:?}");
    let error = missing(&two.registry, "linux/s390x".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::NoPlatform { .. }), "{error:?}");
    let pulled = missing(&two.registry, other_platform()).await.unwrap();
    assert_eq!((pulled.digest, pulled.previous, pulled.platforms.len()), (digest, None, 2));
    assert_eq!(*other.get(name).unwrap().index_digest(), digest);
}

#[tokio::test]
async fn what_is_here_without_a_name_gets_it_and_is_kept() {
    let two = Two::new().await;
    let digest = two.push(NAME, None).await.unwrap().digest;
    let missing = async |images: &Images, name: &str, without_carried: bool| {
        let change = |options: &mut PullOptions| {
            options.policy = PullPolicy::Missing;
            options.without_carried = without_carried;
        };
        pull_with(images, &two.registry, name, change).await.unwrap()
    };
    let (other, pinned) = (two.other(), format!("registry.example/team/shop@{digest}"));
    pull(&other, &two.registry, NAME).await.unwrap();
    missing(&other, &pinned, true).await;
    assert_eq!(other.list().unwrap().len(), 1, "to plan, no name is set");
    assert_eq!(missing(&other, &pinned, false).await.digest, digest);
    other.remove(&[NAME], false).unwrap();
    assert_eq!(*other.get(&pinned).unwrap().index_digest(), digest);

    // A borrowed name becomes one of the store, also when everything is here by then.
    missing(&other, NAME, true).await;
    assert_eq!(other.list().unwrap().len(), 1);
    missing(&other, NAME, false).await;
    assert_eq!(other.list().unwrap().len(), 2);
}

#[tokio::test]
async fn a_name_with_a_digest_keeps_all_platforms() {
    let two = Two::new().await;
    let digest = two.with_two_platforms();
    let name = "registry.example/team/both:1";
    two.push(name, None).await.unwrap();
    let (other, pinned) = (two.other(), format!("registry.example/team/both@{digest}"));
    pull_with(&other, &two.registry, &pinned, |options| options.platforms = Platforms::All).await.unwrap();
    let error = other.remove_platform(&[&pinned], &other_platform(), false).unwrap_err();
    assert!(matches!(error, Error::Option { .. }), "{error:?}");
    assert_eq!(other.get(&pinned).unwrap().platforms().len(), 2);
    let names: Vec<Digest> = other.list().unwrap().iter().map(|summary| summary.digest).collect();
    assert_eq!(names, [digest]);
}

#[tokio::test]
async fn a_destination_without_a_registry_means_the_default_one() {
    let two = Two::new().await;
    let images = two.bench.images().clone().with_default_registry("registry.example".parse().unwrap());
    let pushed = push(&images, &two.registry, "shop:1.4", Some("team/copy:1")).await.unwrap();
    assert_eq!(pushed.destination, "registry.example/team/copy:1");
    let other = two.other().with_default_registry("registry.example".parse().unwrap());
    assert_eq!(pull(&other, &two.registry, "team/copy:1").await.unwrap().digest, pushed.digest);
}

#[tokio::test]
async fn images_that_are_here_in_part_are_merged_and_looked_at_as_far_as_they_are() {
    let two = Two::new().await;
    two.with_two_platforms();
    let name = "registry.example/team/both:1";
    two.push(name, None).await.unwrap();
    let other = two.other();
    pull(&other, &two.registry, name).await.unwrap();
    assert_eq!(other.merge(&[name], "merged:1", &[]).unwrap().platforms, [Platform::host()]);

    // Of three platforms that are not the host's, the first one is not here.
    let store = other.content();
    let manifest = *other.get(name).unwrap().manifest_digest();
    let entry = |digest: Digest, architecture: &str| {
        json!({ "mediaType": format::MANIFEST, "digest": digest, "size": store.size(&manifest).unwrap(),
            "platform": { "os": "linux", "architecture": architecture } })
    };
    let manifests = [entry(Digest::of(b"absent"), "a1"), entry(manifest, "a2"), entry(manifest, "a3")];
    let index = json!({ "schemaVersion": 2, "mediaType": format::INDEX, "manifests": manifests }).to_string();
    let blob = store.put(index.as_bytes()).unwrap();
    let descriptor = Descriptor::new(format::INDEX.into(), blob.size, blob.digest);
    store.set_name(NameKind::ClusterImage, "registry.example/team/foreign:1", &descriptor).unwrap();
    let found = other.get_any("registry.example/team/foreign:1").unwrap();
    assert_eq!(found.platform(), &"linux/a2".parse().unwrap());
}

/// A registry that nobody may ask.
#[derive(Debug)]
struct Closed;

#[async_trait::async_trait]
impl Registry for Closed {
    async fn manifest(&self, image: &Reference, _: &[&str]) -> registry_client::Result<registry_client::Manifest> {
        let (object, host) = (image.to_string(), image.registry().to_owned());
        Err(registry_client::Error::Unauthorised { object, host, reason: "log in first".to_owned() })
    }

    async fn blob(
        &self,
        image: &Reference,
        _: &Digest,
        _: u64,
    ) -> registry_client::Result<registry_client::BlobStream> {
        Err(registry_client::Error::ReadOnly { host: image.registry().to_owned() })
    }

    async fn blob_exists(&self, _: &Reference, _: &Digest) -> registry_client::Result<Option<u64>> {
        Ok(None)
    }

    async fn tags(&self, _: &Reference) -> registry_client::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn a_registry_that_cannot_be_asked_for_the_rest_says_why() {
    let two = Two::new().await;
    two.with_two_platforms();
    let name = "registry.example/team/both:1";
    two.push(name, None).await.unwrap();
    let other = two.other();
    pull(&other, &two.registry, name).await.unwrap();
    let error = other.push(&Closed, name, None, &PushOptions::default(), &|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Registry(registry_client::Error::Unauthorised { .. })), "{error:?}");
}
