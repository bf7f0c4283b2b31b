//! Every form of an archive that is written is read back, and so are those that other programs write.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;

use std::fs;
use std::path::{Path, PathBuf};

use bench::Bench;
use cloudimage::{ArchiveFormat, Compression, Images, SaveOptions, unpack};
use content_store::Digest;
use serde_json::{Value, json};

fn empty_images() -> (tempfile::TempDir, Images) {
    let directory = tempfile::tempdir().unwrap();
    let images = Images::open(directory.path()).unwrap();
    (directory, images)
}

/// With an image `shop:1.4` of two layers that do not compress.
async fn bench() -> Bench {
    let bench = Bench::new();
    let noise = |seed: u64| {
        let next = |state: &mut u64| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + (*state >> 40) as u8 % 90)
        };
        let mut state = seed;
        (0..300_000).map(|_| next(&mut state)).collect::<String>()
    };
    bench.write("a/file", &noise(1));
    bench.write("b/file", &noise(2));
    bench.build("FROM scratch\nCOPY a a\nCOPY b b\nCMD echo\n").await.unwrap();
    bench
}

fn options(change: impl FnOnce(&mut SaveOptions)) -> SaveOptions {
    let mut options = SaveOptions::default();
    change(&mut options);
    options
}

fn digest(images: &Images, name: &str) -> Digest {
    *images.get(name).unwrap().index_digest()
}

#[tokio::test]
async fn how_far_an_archive_is_never_goes_back() {
    let bench = Bench::new();
    let digests: String = (0_u32..60_000).map(|number| Digest::of(&number.to_le_bytes()).hex()).collect();
    bench.write("a/file", &digests);
    bench.build("FROM scratch\nCOPY a a\n").await.unwrap();
    let told = std::sync::Mutex::new(Vec::new());
    let progress = |bytes: u64, total: Option<u64>| told.lock().unwrap().push((bytes, total));
    let check = |most: u64, total: Option<u64>| {
        let told = std::mem::take(&mut *told.lock().unwrap());
        assert!(told.is_sorted() && !told.is_empty(), "{told:?}");
        assert!(told.iter().all(|(bytes, of)| *bytes <= most && *of == total), "{told:?}: {most} {total:?}");
    };
    let path = bench.path("shop.tar");
    bench.images().save_as(&["shop:1.4"], &path, &SaveOptions::default(), &progress).unwrap();
    let (size, files) = (path.metadata().unwrap().len(), told.lock().unwrap()[0].1);
    assert!(files.is_some_and(|files| files < size), "{files:?}: the blobs are less than the archive");
    check(files.unwrap(), files);
    let (_directory, images) = empty_images();
    images.read_paths(std::slice::from_ref(&path), &progress).unwrap().set_names().unwrap();
    check(size, Some(size));
    let (_directory, images) = empty_images();
    let input = std::io::Cursor::new(fs::read(&path).unwrap());
    images.read_archive(input, Path::new("a pipe"), &progress).unwrap().set_names().unwrap();
    check(size, None);
}

#[tokio::test]
async fn parts_are_put_together_in_any_order() {
    let bench = bench().await;
    let options = options(|options| options.compression = Some(Compression::Zstd));
    let saved =
        bench.images().save_parts(&["shop:1.4"], &bench.path("shop.tar"), 100_000, &options, &|_, _| ()).unwrap();
    assert!(saved.parts.len() > 4, "{saved:?}");
    let sizes: Vec<u64> = saved.parts.iter().map(|part| part.metadata().unwrap().len()).collect();
    assert!(sizes.iter().all(|size| *size <= 100_000) && sizes.iter().sum::<u64>() == saved.bytes, "{sizes:?}");

    let load = |parts: &[PathBuf]| {
        let (directory, images) = empty_images();
        let names = images.read_paths(parts, &|_, _| ()).and_then(|archive| archive.set_names())?;
        assert_eq!(names, ["docker.io/library/shop:1.4"]);
        assert_eq!(digest(&images, "shop:1.4"), digest(bench.images(), "shop:1.4"));
        drop(directory);
        Ok::<_, cloudimage::Error>(())
    };
    let mut mixed = saved.parts.clone();
    mixed.reverse();
    mixed.swap(0, 2);
    load(&mixed).unwrap();
    load(&saved.parts[2..3]).unwrap();
    let stream: Vec<u8> = saved.parts.iter().flat_map(|part| fs::read(part).unwrap()).collect();
    let (_directory, images) = empty_images();
    let read = images.read_archive(std::io::Cursor::new(stream), Path::new("the stream"), &|_, _| ()).unwrap();
    assert_eq!(read.set_names().unwrap().len(), 1);

    // Parts on different media: beside each other there is nothing to find.
    let media: Vec<PathBuf> = (saved.parts.iter().enumerate())
        .map(|(at, part)| {
            let medium = bench.path(&format!("medium-{at}"));
            fs::create_dir(&medium).unwrap();
            let moved = medium.join(part.file_name().unwrap());
            fs::rename(part, &moved).unwrap();
            moved
        })
        .collect();
    load(&media).unwrap();
    let refused = |parts: &[PathBuf]| load(parts).unwrap_err().to_string();
    let lacking: Vec<PathBuf> = [&media[..1], &media[3..]].concat();
    assert!(refused(&lacking).contains("parts 2, 3 are missing"), "{}", refused(&lacking));
    let cut = media.len() - 1;
    assert!(refused(&media[..cut]).contains(&format!("the last part (number {} or later) is missing", cut + 1)));

    let others =
        bench.images().save_parts(&["shop:1.4"], &bench.path("other.tar"), 100_000, &options, &|_, _| ()).unwrap();
    let mut foreign = media.clone();
    foreign[2].clone_from(&others.parts[2]);
    let said = refused(&foreign);
    assert!(said.contains("other.tar.003") && said.contains("belongs to another archive than"), "{said}");
    fs::write(&media[1], &fs::read(&media[1]).unwrap()[..5000]).unwrap();
    let said = refused(&media);
    assert!(said.contains("shop.tar.002") && said.contains("it has 5000 bytes instead of 100000"), "{said}");
    let said = refused(&[media[0].clone(), bench.context().join("a/file")]);
    assert!(said.contains("a/file") && said.contains("it is no part of an archive"), "{said}");
}

#[tokio::test]
async fn parts_leave_nothing_when_they_fail_and_never_replace_others() {
    let bench = bench().await;
    let layer = bench.images().get("shop:1.4").unwrap().layers()[1].digest;
    let blob = bench.images().content().blob_path(&layer);
    let bytes = fs::read(&blob).unwrap();
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, [&bytes[..bytes.len() - 1], b"x"].concat()).unwrap();
    let before = fs::read_dir(bench.path("")).unwrap().count();
    let save = || {
        bench.images().save_parts(&["shop:1.4"], &bench.path("shop.tar"), 100_000, &SaveOptions::default(), &|_, _| ())
    };
    assert!(save().unwrap_err().to_string().contains(&layer.to_string()));
    assert_eq!(fs::read_dir(bench.path("")).unwrap().count(), before, "nothing is left");
    fs::write(&blob, bytes).unwrap();
    save().unwrap();
    let again = error_report::one_line(&save().unwrap_err());
    assert!(again.contains("shop.tar.001") && again.contains("a part of another archive is there"), "{again}");
    let small = bench.images().save_parts(&["shop:1.4"], &bench.path("x"), 1000, &SaveOptions::default(), &|_, _| ());
    assert!(small.unwrap_err().to_string().contains("expected 64 KiB or more"));
}

#[tokio::test]
async fn a_directory_is_a_layout_and_appears_whole() {
    let bench = bench().await;
    let options = options(|options| options.format = ArchiveFormat::OciDir);
    let path = bench.path("layout");
    let saved = bench.images().save_as(&["shop:1.4"], &path, &options, &|_, _| ()).unwrap();
    assert!(saved.bytes > 400_000 && path.join("index.json").is_file());
    let (_directory, images) = empty_images();
    images.load(&path).unwrap();
    assert_eq!(digest(&images, "shop:1.4"), digest(bench.images(), "shop:1.4"));
    let again = bench.images().save_as(&["shop:1.4"], &path, &options, &|_, _| ()).unwrap_err();
    assert!(error_report::one_line(&again).contains("something is there"), "{again}");
    let empty = bench.path("empty");
    fs::create_dir(&empty).unwrap();
    bench.images().save_as(&["shop:1.4"], &empty, &options, &|_, _| ()).unwrap();
    assert!(empty.join("oci-layout").is_file());
    bench.images().save_as(&["nobody:1"], &bench.path("none"), &options, &|_, _| ()).unwrap_err();
    assert!(!bench.path("none").exists());
}

#[tokio::test]
async fn whole_archives_are_compressed() {
    let bench = bench().await;
    for (kind, magic) in [(Compression::Gzip, &[0x1f, 0x8b][..]), (Compression::Zstd, &[0x28, 0xb5])] {
        let path = bench.path("packed");
        let options = options(|options| options.compression = Some(kind));
        let saved = bench.images().save_as(&["shop:1.4"], &path, &options, &|_, _| ()).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.starts_with(magic) && bytes.len() as u64 == saved.bytes);
        let (_directory, images) = empty_images();
        images.load(&path).unwrap();
        let mut stream = Vec::new();
        bench.images().save_to(&["shop:1.4"], &mut stream, &options, &|_, _| ()).unwrap();
        assert_eq!(stream.len(), bytes.len());
    }
}

#[tokio::test]
async fn a_docker_archive_holds_the_rootfs() {
    let bench = bench().await;
    bench.images().tag("shop:1.4", "registry.example.com/shop:2").unwrap();
    let options = options(|options| options.format = ArchiveFormat::DockerArchive);
    let path = bench.path("docker.tar");
    let names = ["shop:1.4", "registry.example.com/shop:2"];
    let saved = bench.images().save_as(&names, &path, &options, &|_, _| ()).unwrap();
    assert_eq!(saved.left_out.len(), 2, "{saved:?}");
    assert!(saved.left_out[0].contains("its launch commands are not in a docker-archive"), "{saved:?}");

    let (directory, images) = empty_images();
    let loaded = images.load(&path).unwrap();
    assert_eq!(loaded, ["docker.io/library/shop:1.4", "registry.example.com/shop:2"]);
    let (ours, theirs) = (bench.images().get("shop:1.4").unwrap(), images.get("shop:1.4").unwrap());
    let diff_ids = |image: &cloudimage::Image| image.layers().iter().map(|layer| layer.diff_id).collect::<Vec<_>>();
    assert_eq!(diff_ids(&ours), diff_ids(&theirs));
    assert_eq!(ours.labels(), theirs.labels());
    let rootfs = directory.path().join("rootfs");
    unpack(images.content(), theirs.layers(), &rootfs, &mut |_| {}).unwrap();
    assert_eq!(fs::read(rootfs.join("b/file")).unwrap(), fs::read(bench.context().join("b/file")).unwrap());
    let platforms = ["linux/amd64", "linux/arm64"].map(|platform| platform.parse().unwrap());
    let both = SaveOptions::default();
    let both = {
        let mut both = both;
        both.format = ArchiveFormat::DockerArchive;
        both.platforms = platforms.into();
        both
    };
    assert!(
        bench.images().save_as(&names, &path, &both, &|_, _| ()).unwrap_err().to_string().contains("holds no more")
    );
}

/// A path, and what is there: the bytes of a file, or the target of a link.
type Named<'a> = (&'a str, Result<&'a [u8], &'a str>);

/// A tar of files and links.
fn tar(members: &[Named<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, member) in members {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        match member {
            Ok(bytes) => {
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, name, *bytes).unwrap();
            }
            Err(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                tar.append_link(&mut header, name, target).unwrap();
            }
        }
    }
    tar.into_inner().unwrap()
}

fn config(layers: &[&[u8]], architecture: &str) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config =
        json!({ "os": "linux", "architecture": architecture, "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    config.to_string().into_bytes()
}

#[test]
fn what_docker_saved_before_version_25_is_read() {
    let layer = tar(&[("etc/file", Ok(b"content"))]);
    let config = config(&[&layer, &layer], "amd64");
    let manifest = json!([{ "Config": "c0ffee.json", "RepoTags": ["shop:1", "other:2"],
        "Layers": ["aaaa/layer.tar", "bbbb/layer.tar"] }, { "Config": "c0ffee.json", "RepoTags": null,
        "Layers": ["aaaa/layer.tar", "bbbb/layer.tar"] }])
    .to_string();
    let archive = tar(&[
        ("aaaa/VERSION", Ok(b"1.0")),
        ("aaaa/json", Ok(b"{}")),
        ("aaaa/layer.tar", Ok(&layer)),
        ("bbbb/layer.tar", Err("../aaaa/layer.tar")),
        ("c0ffee.json", Ok(&config)),
        ("manifest.json", Ok(manifest.as_bytes())),
        ("repositories", Ok(b"{}")),
    ]);
    let (directory, images) = empty_images();
    let path = directory.path().join("docker.tar");
    fs::write(&path, &archive).unwrap();
    let names = images.load(&path).unwrap();
    assert_eq!(names[..2], ["docker.io/library/shop:1", "docker.io/library/other:2"]);
    assert_eq!(names[2], digest(&images, "shop:1").to_string(), "one without a name is told by its digest");
    assert_eq!(images.get("other:2").unwrap().list_files().unwrap(), ["etc/file"]);

    // Refused, and no name is set: a layer that is missing, and one that is not what the config says.
    let wrong = tar(&[("etc/file", Ok(b"changed"))]);
    let cases: [(&[Named<'_>], &str); 3] = [
        (&[("c0ffee.json", Ok(&config)), ("manifest.json", Ok(manifest.as_bytes()))], "aaaa/layer.tar: it is missing"),
        (&[("manifest.json", Ok(manifest.as_bytes()))], "c0ffee.json: it is missing"),
        (
            &[
                ("aaaa/layer.tar", Ok(&wrong)),
                ("bbbb/layer.tar", Ok(&wrong)),
                ("c0ffee.json", Ok(&config)),
                ("manifest.json", Ok(manifest.as_bytes())),
            ],
            "aaaa/layer.tar: it is corrupt",
        ),
    ];
    for (members, expected) in cases {
        let (directory, images) = empty_images();
        let path = directory.path().join("bad.tar");
        fs::write(&path, tar(members)).unwrap();
        let said = images.load(&path).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
        assert!(images.list().unwrap().is_empty());
    }
}

/// An image in an OCI layout, as its members, with its manifest's digest and size.
fn image(architecture: &str) -> (Vec<(String, Vec<u8>)>, Digest, usize) {
    let layer = tar(&[("etc/arch", Ok(architecture.as_bytes()))]);
    let config = config(&[&layer], architecture);
    let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest::of(&config), "size": config.len() },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": Digest::of(&layer), "size": layer.len() }] })
    .to_string()
    .into_bytes();
    let (digest, size) = (Digest::of(&manifest), manifest.len());
    let blob = |bytes: Vec<u8>| (format!("blobs/sha256/{}", Digest::of(&bytes).hex()), bytes);
    ([layer, config, manifest].map(blob).into(), digest, size)
}

fn layout(members: &[(String, Vec<u8>)], entries: &Value) -> Vec<u8> {
    let index = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
    let mut all: Vec<Named<'_>> =
        vec![("oci-layout", Ok(b"{\"imageLayoutVersion\":\"1.0.0\"}")), ("index.json", Ok(index.as_bytes()))];
    all.extend(members.iter().map(|(name, bytes)| (name.as_str(), Ok(bytes.as_slice()))));
    tar(&all)
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

#[test]
fn what_docker_saves_since_version_25_is_read() {
    // Of an index for two platforms one is there, with what docker adds about its build; names are in both forms.
    let (mut members, digest, size) = image("amd64");
    let (_, absent, absent_size) = image("arm64");
    let note = br#"{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[]}"#.to_vec();
    let note_entry = json!({ "mediaType": MANIFEST, "digest": Digest::of(&note), "size": note.len(),
        "platform": { "os": "unknown", "architecture": "unknown" }, "annotations": { "vnd.docker.reference.type": "attestation-manifest" } });
    members.push((format!("blobs/sha256/{}", Digest::of(&note).hex()), note));
    let platform = |name: &str| json!({ "os": "linux", "architecture": name });
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        { "mediaType": MANIFEST, "digest": digest, "size": size, "platform": platform("amd64") },
        { "mediaType": MANIFEST, "digest": absent, "size": absent_size, "platform": platform("arm64") }, note_entry ] })
    .to_string()
    .into_bytes();
    let top = Digest::of(&index);
    let entry = json!([{ "mediaType": "application/vnd.oci.image.index.v1+json", "digest": top, "size": index.len(),
        "annotations": { "io.containerd.image.name": "docker.io/library/shop:1", "org.opencontainers.image.ref.name": "1" } }]);
    members.push((format!("blobs/sha256/{}", top.hex()), index));
    members.push(("manifest.json".to_owned(), b"[]".to_vec()));
    let (directory, images) = empty_images();
    let path = directory.path().join("docker.tar");
    fs::write(&path, layout(&members, &entry)).unwrap();
    assert_eq!(images.load(&path).unwrap(), ["docker.io/library/shop:1"]);
    let loaded = images.get("shop:1").unwrap();
    assert_eq!((*loaded.index_digest(), *loaded.manifest_digest()), (top, digest), "digests stay");
    assert_eq!(loaded.list_files().unwrap(), ["etc/arch"]);

    // What is here is saved again, under the same digest; what is not here cannot be.
    let again = directory.path().join("again.tar");
    images.save(&["shop:1"], &again).unwrap();
    let (_other, others) = empty_images();
    others.load(&again).unwrap();
    assert_eq!(self::digest(&others, "shop:1"), top);
    let arm = options(|options| options.platforms = vec!["linux/arm64".parse().unwrap()]);
    let said = images.save_as(&["shop:1"], &again, &arm, &|_, _| ()).unwrap_err().to_string();
    assert!(said.contains(&absent.to_string()), "{said}");
    let riscv = options(|options| options.platforms = vec!["linux/riscv64".parse().unwrap()]);
    let said = images.save_as(&["shop:1"], &again, &riscv, &|_, _| ()).unwrap_err().to_string();
    assert!(said.contains("is not built for linux/riscv64"), "{said}");
}

#[test]
fn what_upstream_saves_for_several_platforms_is_read() {
    let instances = ["amd64", "arm64"].map(|architecture| {
        let (members, digest, size) = image(architecture);
        let entry = json!([{ "mediaType": MANIFEST, "digest": digest, "size": size }]);
        (format!("{}.tar", digest.hex()), layout(&members, &entry))
    });
    let metadata: Named<'_> = ("Metadata", Ok(b"registry.example.com/shop:1"));
    let mut members: Vec<_> = instances.iter().map(|(name, bytes)| (name.as_str(), Ok(bytes.as_slice()))).collect();
    members.push(metadata);
    let (directory, images) = empty_images();
    let path = directory.path().join("upstream.tar");
    fs::write(&path, tar(&members)).unwrap();
    assert_eq!(images.load(&path).unwrap(), ["registry.example.com/shop:1"]);
    for architecture in ["amd64", "arm64"] {
        let platform = format!("linux/{architecture}").parse().unwrap();
        let image = images.get_for("registry.example.com/shop:1", &platform).unwrap();
        let files = image.read_files(&["etc/arch"], 100).unwrap();
        assert_eq!(files["etc/arch"], architecture.as_bytes());
        let only = options(|options| options.platforms = vec![platform.clone()]);
        let one = directory.path().join("one.tar");
        images.save_as(&["registry.example.com/shop:1"], &one, &only, &|_, _| ()).unwrap();
        let (_directory, others) = empty_images();
        others.load(&one).unwrap();
        let there = others.get("registry.example.com/shop:1").unwrap();
        assert_eq!((there.platform(), there.index_digest()), (&platform, image.index_digest()));
    }
    for members in [&[metadata][..], &[("x.tar", Ok(b"no archive")), metadata]] {
        fs::write(&path, tar(members)).unwrap();
        images.load(&path).unwrap_err();
    }
    assert_eq!(images.list().unwrap().len(), 1);
}
