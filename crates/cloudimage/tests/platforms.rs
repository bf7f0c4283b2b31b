//! One build makes one index for several platforms, and images that were built apart join into the same.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;

use std::fs;

use bench::Bench;
use bench::registry::{docker_archive, name, put, put_index};
use cloudimage::sandbox::{Act, ScriptedSandbox};
use cloudimage::{
    Backends, BuildEvent, BuildOptions, Context, EntryOptions, Error, Image, ImageKind, ImageList, ImageSource,
    Platform, build, format,
};
use content_store::Digest;
use serde_json::Value;

const BOTH: &str = "linux/amd64,linux/arm64";

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

fn options(tag: &str, platforms: &str) -> BuildOptions {
    let mut options = BuildOptions::named(tag);
    options.platforms = Platform::parse_list(platforms).unwrap();
    options
}

fn read(image: &Image, path: &str) -> String {
    let mut files = image.read_files(&[path], 1000).unwrap();
    String::from_utf8(files.remove(path).unwrap_or_default()).unwrap()
}

fn document(bench: &Bench, digest: &Digest) -> Value {
    serde_json::from_slice(&bench.images().content().read_verified(digest, 1 << 20).unwrap()).unwrap()
}

/// Binaries for two processors, files for both, and a list of images.
fn context(bench: &Bench) {
    bench.write("bin/amd64/tool", "for amd64");
    bench.write("bin/arm64/tool", "for arm64");
    bench.write("etc/shop.conf", &"the same for all".repeat(1000));
    bench.write("manifests/imageList", "web:1\n");
}

const KUBEFILE: &str = "FROM scratch\nCOPY etc etc\nCOPY bin/${ARCH} bin/\n\
    COPY <<who notes/\n$TARGETPLATFORM $TARGETOS $TARGETARCH $TARGETVARIANT\nwho\nRUN touch\nCOPY manifests manifests\n";

fn sandbox() -> ScriptedSandbox {
    ScriptedSandbox::new([("touch".to_owned(), vec![Act::Write("touched".into(), b"x".to_vec())])])
}

#[tokio::test]
async fn one_build_makes_one_index_of_all_platforms() {
    let bench = Bench::new();
    context(&bench);
    let web = put_index(&bench.registry, "library/web", "1");
    let built = bench.build_in(KUBEFILE, &options("shop:1.4", BOTH), &sandbox()).await.unwrap();
    assert_eq!(built.platforms, [platform("linux/amd64"), platform("linux/arm64")]);
    assert_eq!((built.platform.clone(), built.carried_images), (platform("linux/amd64"), 1));

    let images = bench.images();
    let [amd64, arm64] = ["linux/amd64", "linux/arm64"].map(|one| images.get_for("shop:1.4", &platform(one)).unwrap());
    for (image, arch) in [(&amd64, "amd64"), (&arm64, "arm64")] {
        assert_eq!(image.index_digest(), &built.digest);
        assert_eq!(read(image, "bin/tool"), format!("for {arch}"));
        assert_eq!(read(image, "notes/who"), format!("linux/{arch} linux {arch} \n"));
        assert_eq!(read(image, "touched"), "x");
        let config = image.config().unwrap();
        assert_eq!((config.os.as_str(), config.architecture.as_str()), ("linux", arch));
        let carried = image.catalogue().image("docker.io/library/web:1").unwrap();
        assert_eq!((carried.digest, carried.platform.architecture.as_str()), (Digest::of(&web), arch));
        let layer = Digest::of(arch.as_bytes());
        assert!(carried.blobs.iter().any(|blob| blob.digest == layer), "the layers of the platform are carried");
        assert!(images.content().contains(&layer));
    }
    assert_eq!(amd64.layers()[0].digest, arm64.layers()[0].digest, "what is the same is there once");
    assert_ne!(amd64.layers()[1].digest, arm64.layers()[1].digest);
    // The second platform has of etc, of the list and of what RUN made nothing to pack; RUN itself is done for each.
    assert_eq!(bench.cached(), [false, false, false, false, false, true, false, false, false, true]);
    let mut blobs = amd64.blobs();
    blobs.extend(arm64.blobs());
    assert_eq!(built.size, blobs.values().sum::<u64>(), "what is shared counts once");

    let index = document(&bench, &built.digest);
    let entries = index["manifests"].as_array().unwrap();
    let of = |at: usize| entries[at]["platform"]["architecture"].as_str().unwrap();
    assert_eq!([of(0), of(1), of(2), of(3)], ["amd64", "arm64", "unknown", "unknown"]);
    for at in [0, 1] {
        assert_eq!(entries[at + 2]["annotations"][format::ROOTFS_ANNOTATION], entries[at]["digest"]);
    }
}

#[tokio::test]
async fn the_same_inputs_give_the_same_digest_in_whatever_order_platforms_are_named() {
    let mut digests = Vec::new();
    for platforms in [BOTH, "linux/arm64,linux/x86_64", BOTH] {
        let bench = Bench::new();
        context(&bench);
        put_index(&bench.registry, "library/web", "1");
        let options = options("shop:1.4", platforms);
        let built = bench.build_in(KUBEFILE, &options, &sandbox()).await.unwrap();
        let again = bench.build_in(KUBEFILE, &options, &sandbox()).await.unwrap();
        assert_eq!((built.digest, again.new_bytes), (again.digest, 0));
        assert!(bench.cached().iter().all(|cached| *cached), "{:?}", bench.cached());
        digests.push(built.digest);
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

#[tokio::test]
async fn results_of_one_platform_are_none_of_another() {
    let bench = Bench::new();
    context(&bench);
    put_index(&bench.registry, "library/web", "1");
    let sandbox = sandbox();
    let build = async |platforms: &str| {
        bench.build_in(KUBEFILE, &options("shop:1.4", platforms), &sandbox).await.unwrap();
        (bench.cached(), sandbox.runs().len())
    };
    assert_eq!(build("linux/amd64").await, (vec![false; 5], 1));
    let both = build(BOTH).await;
    assert_eq!(both.0[..5], [true; 5], "amd64 was built before");
    assert_eq!((&both.0[5..], both.1), (&[true, false, false, false, true][..], 2), "RUN is done for arm64");
    assert_eq!(build("linux/arm64").await, (vec![true; 5], 2));
}

#[tokio::test]
async fn a_base_must_have_every_platform() {
    let bench = Bench::new();
    bench.write("etc/a", "a");
    bench.build_with("FROM scratch\nCOPY etc etc\n", &options("base:1", "linux/amd64")).await.unwrap();
    let asked = options("shop:1.4", "linux/arm64,linux/amd64,linux/s390x");
    let error = bench.build_with("FROM base:1\nCOPY etc etc\n", &asked).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "docker.io/library/base:1 is not built for linux/arm64, linux/s390x; it has linux/amd64"
    );
    assert!(bench.events().is_empty(), "nothing was begun");
    bench.build_with("FROM scratch\nCOPY etc etc\n", &options("base:1", BOTH)).await.unwrap();
    bench.build_with("FROM base:1\nCOPY <<x etc/\n$ARCH\nx\n", &options("shop:1.4", BOTH)).await.unwrap();
    let arm64 = bench.images().get_for("shop:1.4", &platform("linux/arm64")).unwrap();
    assert_eq!((read(&arm64, "etc/a"), read(&arm64, "etc/x")), ("a".to_owned(), "arm64\n".to_owned()));
}

#[tokio::test]
async fn one_platform_that_fails_leaves_the_name_where_it_was() {
    let bench = Bench::new();
    bench.write("bin/amd64/tool", "x");
    let before = bench.build_with("FROM scratch\n", &options("shop:1.4", "linux/amd64")).await.unwrap();
    let kubefile = "FROM scratch\nCOPY bin/${ARCH} bin/\n";
    let error = bench.build_with(kubefile, &options("shop:1.4", BOTH)).await.unwrap_err();
    assert!(error.to_string().contains("there is no bin/arm64"), "{error}");
    assert_eq!(bench.images().get("shop:1.4").unwrap().index_digest(), &before.digest);
    assert_eq!(bench.images().list().unwrap().len(), 1);
}

#[tokio::test]
async fn an_operating_system_for_another_processor_is_entered_only_where_it_can_run() {
    let bench = Bench::new();
    let (own, foreign) = match Platform::host().architecture.as_str() {
        "arm64" => ("linux/arm64", "linux/amd64"),
        _ => ("linux/amd64", "linux/arm64"),
    };
    let both = options("shop:1.4", &format!("{own},{foreign}"));
    bench.write("os/bin/sh", "a shell");
    bench.write("tools/bin/tool", "a tool");
    for (tag, directory) in [("os:1", "os"), ("tools:1", "tools")] {
        let mut both = both.clone();
        both.tag = Some(tag.to_owned());
        bench.build_with(&format!("FROM scratch\nCOPY {directory} .\n"), &both).await.unwrap();
    }
    // This machine's tools do the work where the rootfs is none.
    bench.build_in("FROM tools:1\nRUN touch\n", &both, &sandbox()).await.unwrap();

    let error = bench.build_in("FROM os:1\nLABEL a=b\nRUN touch\n", &both, &sandbox()).await.unwrap_err();
    assert!(matches!(&error, Error::ForeignRun { line: 3, platform, .. } if platform == foreign), "{error}");
    assert!(bench.events().is_empty(), "it is told before anything is built");
    // An operating system that only COPY brings shows when its RUN comes.
    let copied = "FROM scratch\nCOPY os .\nRUN touch\n";
    let error = bench.build_in(copied, &both, &sandbox()).await.unwrap_err();
    assert!(matches!(error, Error::ForeignRun { line: 3, .. }), "{error}");

    let emulated = sandbox().with_emulated(platform(foreign));
    let mut anew = both.clone();
    anew.no_cache = true;
    bench.build_in("FROM os:1\nRUN touch\n", &anew, &emulated).await.unwrap();
    assert_eq!(emulated.runs().len(), 2);
}

#[tokio::test]
async fn every_platform_carries_what_a_name_meant_when_it_was_first_asked() {
    let bench = Bench::new();
    let first = put_index(&bench.registry, "library/web", "1");
    bench.write("manifests/imageList", "web:1\n");
    let context = Context::open(&bench.context()).unwrap();
    let (list, kubefile) = (ImageList::new(&context, None), kubefile::parse("FROM scratch\n").unwrap());
    let sources: [&dyn ImageSource; 1] = [&list];
    let backends = Backends::new(&bench.sandbox, &bench.registry, &sources);
    let move_tag = |event| {
        if matches!(event, BuildEvent::Platform { index: 2, .. }) {
            let moved = put(&bench.registry, "library/web", "2", "arm64", &[b"moved"]);
            bench.registry.add_manifest(&name("library/web", "1"), format::MANIFEST, moved);
        }
    };
    build(bench.images(), &kubefile, &context, &options("shop:1.4", BOTH), &backends, &move_tag).await.unwrap();
    for one in ["linux/amd64", "linux/arm64"] {
        let image = bench.images().get_for("shop:1.4", &platform(one)).unwrap();
        assert_eq!(image.catalogue().images[0].digest, Digest::of(&first), "{one}");
    }
}

#[tokio::test]
async fn archives_of_each_platform_are_taken_by_their_directory() {
    let bench = Bench::new();
    for arch in ["amd64", "arm64"] {
        let directory = bench.context().join("images").join(arch);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("pause.tar"), docker_archive("pause:3", arch, &[arch.as_bytes()])).unwrap();
    }
    bench.build_with("FROM scratch\nCOPY images/$ARCH images\n", &options("shop:1.4", BOTH)).await.unwrap();
    for arch in ["amd64", "arm64"] {
        let image = bench.images().get_for("shop:1.4", &platform(&format!("linux/{arch}"))).unwrap();
        let pause = image.catalogue().image("docker.io/library/pause:3").unwrap();
        assert!(pause.blobs.iter().any(|blob| blob.digest == Digest::of(arch.as_bytes())), "{arch}");
        assert!(image.list_files().unwrap().is_empty());
    }
    // What a registry serves for both: one name, and each platform's own manifest behind it.
    let image = |arch: &str| bench.images().get_for("shop:1.4", &platform(&format!("linux/{arch}"))).unwrap();
    let content = bench.images().content();
    let names = cloudimage::carried_names(content, &[image("amd64"), image("arm64")]).unwrap();
    let [pause] = &names[..] else { panic!("{names:?}") };
    let index = document(&bench, &Digest::try_from(pause.descriptor.digest()).unwrap());
    let served: Vec<(&str, &str)> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["platform"]["architecture"].as_str().unwrap(), entry["digest"].as_str().unwrap()))
        .collect();
    let digest = |arch: &str| image(arch).catalogue().images[0].digest.to_string();
    assert_eq!(served, [("amd64", digest("amd64").as_str()), ("arm64", digest("arm64").as_str())]);
    let alone = cloudimage::carried_names(content, &[image("arm64")]).unwrap();
    assert_eq!(alone[0].descriptor.digest().to_string(), digest("arm64"));
    let error = bench.build_with("FROM scratch\nCOPY images images\n", &options("shop:1.5", BOTH)).await.unwrap_err();
    assert!(error.to_string().contains("the image is built for linux/amd64"), "{error}");
}

#[tokio::test]
async fn images_that_were_built_apart_join_into_what_one_build_makes() {
    let bench = Bench::new();
    context(&bench);
    put_index(&bench.registry, "library/web", "1");
    let build = async |tag: &str, platforms: &str| {
        bench.build_in(KUBEFILE, &options(tag, platforms), &sandbox()).await.unwrap().digest
    };
    let together = build("together:1", BOTH).await;
    build("shop:1-amd64", "linux/amd64").await;
    build("shop:1-arm64", "linux/arm64").await;
    let images = bench.images();
    let sources = ["shop:1-arm64", "shop:1-amd64"].map(str::to_owned);
    let list = images.create_list("shop:1", &sources).unwrap();
    assert_eq!(list.digest, together);
    assert_eq!(images.manifest_list("shop:1").unwrap().manifests, list.manifests);
    let texts: Vec<_> = list.manifests.iter().map(cloudimage::ListedManifest::platform_text).collect();
    assert_eq!(texts, [Some("linux/amd64".to_owned()), Some("linux/arm64".to_owned()), None, None]);
    for at in [0, 1] {
        assert_eq!(list.manifests[at + 2].carried_with, Some(list.manifests[at].digest));
        let image = images.get_for("shop:1", &platform(texts[at].as_ref().unwrap())).unwrap();
        assert_eq!(image.catalogue().images.len(), 1, "each keeps its own container images");
    }
    // One by one, and again: nothing is there twice.
    images.add_to_list("shop:2", &sources[..1], &EntryOptions::default()).unwrap();
    for _ in 0..2 {
        let added = images.add_to_list("shop:2", &sources[1..], &EntryOptions::default()).unwrap();
        assert_eq!((added.digest, added.removed.len()), (together, 0));
    }
    let taken = images.create_list("shop:2", &[]).unwrap_err().to_string();
    assert!(taken.contains("there is an image shop:2 already"), "{taken}");
    // The images that were joined may go: the joined one needs nothing of their names.
    images.remove(&sources, false).unwrap();
    assert!(
        images.get_for("shop:1", &platform("linux/arm64")).unwrap().list_files().unwrap().contains(&"bin/tool".into())
    );
}

#[tokio::test]
async fn manifests_are_taken_out_with_the_images_that_belong_to_them() {
    let bench = Bench::new();
    context(&bench);
    put_index(&bench.registry, "library/web", "1");
    bench.build_in(KUBEFILE, &options("shop:1", BOTH), &sandbox()).await.unwrap();
    let single = bench.build_in(KUBEFILE, &options("only:1", "linux/amd64"), &sandbox()).await.unwrap();
    let images = bench.images();
    let list = images.manifest_list("shop:1").unwrap();
    let [arm64, artifact] = [1, 3].map(|at| list.manifests[at].digest.to_string());
    let refused = images.remove_from_list("shop:1", std::slice::from_ref(&artifact)).unwrap_err();
    assert!(matches!(refused, Error::PartOfRootfs { rootfs, .. } if rootfs == arm64));
    let unknown = images.remove_from_list("shop:1", &["linux/arm64".into(), "linux/s390x".into()]).unwrap_err();
    assert!(unknown.to_string().contains("shop:1 has no manifest linux/s390x"), "{unknown}");
    assert_eq!(images.manifest_list("shop:1").unwrap(), list, "one that is unknown leaves all");
    let short = arm64.trim_start_matches("sha256:")[..12].to_owned();
    let left = images.remove_from_list("shop:1", &[short]).unwrap();
    assert_eq!((left.digest, left.removed[0].to_string()), (single.digest, arm64));
    images.delete_lists(&["shop:1".to_owned()]).unwrap();
    assert!(images.manifest_list("shop:1").is_err() && images.get("only:1").is_ok());
}

#[tokio::test]
async fn entries_say_what_is_asked_and_take_the_place_of_others_for_their_platform() {
    let bench = Bench::new();
    bench.write("a", "a");
    let kubefile = "FROM scratch\nCOPY a .\n";
    bench.build_with(kubefile, &options("both:1", BOTH)).await.unwrap();
    bench.build_with(kubefile, &options("amd64:1", "linux/amd64")).await.unwrap();
    let newer = bench.build_with("FROM scratch\nLABEL a=b\n", &options("newer:1", "linux/amd64")).await.unwrap();
    let images = bench.images();
    let add =
        |list: &str, source: &str, options: &EntryOptions| images.add_to_list(list, &[source.to_owned()], options);
    let mut arm = EntryOptions::default();
    arm.architecture = Some("arm64".to_owned());
    let chosen = add("shop:1", "both:1", &arm).unwrap();
    assert_eq!(chosen.manifests.len(), 1, "of several platforms one is chosen");
    arm.architecture = Some("riscv64".to_owned());
    let none = add("shop:1", "both:1", &arm).unwrap_err().to_string();
    assert!(none.contains("both:1 is not built for riscv64; it has linux/amd64, linux/arm64"), "{none}");

    let mut described = EntryOptions::default();
    described.architecture = Some("armhf".to_owned());
    (described.os_version, described.os_features) = (Some("10.1".to_owned()), vec!["sse4".to_owned()]);
    described.annotations.insert("team".to_owned(), "shop".to_owned());
    let list = add("shop:1", "amd64:1", &described).unwrap();
    let entry = &document(&bench, &list.digest)["manifests"][0];
    let expected = serde_json::json!({ "os": "linux", "architecture": "arm", "variant": "v7", "os.features": ["sse4"], "os.version": "10.1" });
    assert_eq!((&entry["platform"], &entry["annotations"]["team"]), (&expected, &Value::from("shop")));

    let before = images.manifest_list("both:1").unwrap().manifests[0].digest;
    let replaced = add("both:1", "newer:1", &EntryOptions::default()).unwrap();
    assert_eq!((replaced.manifests.len(), &replaced.removed[..]), (2, &[before][..]));
    let current = images.get_for("both:1", &platform("linux/amd64")).unwrap();
    assert_eq!(
        current.manifest_digest(),
        images.get_for("newer:1", &platform("linux/amd64")).unwrap().manifest_digest()
    );
    assert_ne!(newer.digest, replaced.digest);

    described.annotations.insert(format::ROOTFS_ANNOTATION.to_owned(), "x".to_owned());
    assert!(
        matches!(add("shop:1", "amd64:1", &described), Err(Error::Option { .. })),
        "what sealer goes by is its own"
    );
    images.create_list("empty:1", &[]).unwrap();
    assert!(images.get("empty:1").unwrap_err().to_string().contains("no manifest for any platform"));
}

#[tokio::test]
async fn annotations_kind_and_lists_of_images_are_options() {
    let bench = Bench::new();
    put(&bench.registry, "library/redis", "6", "amd64", &[b"redis"]);
    put(&bench.registry, "library/web", "1", "amd64", &[b"web"]);
    bench.write("manifests/imageList", "redis:6\nweb:1\n");
    let mut asked = options("shop:1.4", "linux/amd64");
    asked.annotations.insert("org.example.team".to_owned(), "shop".to_owned());
    asked.kind = Some(ImageKind::AppInstaller);
    asked.ignored_images = vec!["docker.io/library/web:1".to_owned(), "gone:1".to_owned()];
    bench.build_with("FROM scratch\n", &asked).await.unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    let names: Vec<&str> = image.catalogue().images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["redis:6"]);
    let manifest = document(&bench, image.manifest_digest());
    assert_eq!(manifest["annotations"]["org.example.team"], "shop");
    let warned = |text: &str| {
        let is = |event: &BuildEvent| matches!(event, BuildEvent::Warning { message } if message.contains(text));
        bench.events().iter().any(is)
    };
    assert!(warned("nothing asks for gone:1") && !warned("web:1"));

    let asked_before = bench.registry.requested().len();
    let mut lite = options("lite:1", "linux/amd64");
    lite.lite = true;
    assert_eq!(bench.build_with("FROM shop:1.4\n", &lite).await.unwrap().carried_images, 1, "those of the base stay");
    assert!(warned("2 container images are named and not carried"));
    assert_eq!(bench.registry.requested().len(), asked_before);

    asked.kind = Some(ImageKind::KubeInstaller);
    let error = bench.build_with("FROM scratch\n", &asked).await.unwrap_err().to_string();
    assert!(error.contains("the image is no kube-installer: its rootfs has none of bin/kubeadm"), "{error}");
    bench.write("bin/k3s", "x");
    bench.build_with("FROM scratch\nCOPY bin bin\n", &asked).await.unwrap();
    asked.kind = Some(ImageKind::AppInstaller);
    let error = bench.build_with("FROM scratch\nCOPY bin bin\n", &asked).await.unwrap_err().to_string();
    assert!(error.contains("its rootfs has bin/k3s"), "{error}");
}

#[tokio::test]
async fn a_list_with_logins_is_never_copied() {
    let bench = Bench::new();
    bench.write("sub/logins.yaml", "secret");
    bench.write("imageListWithAuth.yaml", "secret");
    bench.write(".sealerignore", "!imageListWithAuth.yaml\n!sub/logins.yaml\n");
    bench.write("sub/other", "x");
    let context = Context::open(&bench.context()).unwrap().without(&bench.context().join("sub/logins.yaml")).unwrap();
    let kubefile = kubefile::parse("FROM scratch\nCOPY . .\n").unwrap();
    let backends = Backends::new(&bench.sandbox, &bench.registry, &[]);
    build(bench.images(), &kubefile, &context, &bench.options(), &backends, &|_| {}).await.unwrap();
    assert_eq!(bench.images().get("shop:1.4").unwrap().list_files().unwrap(), ["sub/other"]);
    let kubefile = kubefile::parse("FROM scratch\nCOPY sub/logins.yaml .\n").unwrap();
    let named = build(bench.images(), &kubefile, &context, &bench.options(), &backends, &|_| {}).await;
    assert!(matches!(named, Err(Error::IgnoredSource { .. })), "{named:?}");
}
