//! One image looks the same to RUN, to `mount`, on a host, and to umoci, whatever its layers hold. Needs root, overlayfs, umoci.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use bench::Bench;
use cloudimage::{ArchiveFormat, Error, LinuxSandbox, SaveOptions, unpack};
use content_store::Digest;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

/// One thing that a layer does to a path.
#[derive(Debug, Clone)]
enum Act {
    Directory,
    File(Vec<u8>),
    /// A file with a megabyte of zeros.
    Zeros,
    /// A file with holes, in one of the PAX forms that GNU tar has for them; umoci does not read the old form.
    Holes(u8),
    Symlink(Vec<u8>),
    /// Another name of the file before it in the layer.
    HardLink,
    Fifo,
    Device(bool, u8, u8),
    Delete,
    Hide,
}

#[derive(Debug, Clone)]
struct Entry {
    path: Vec<Vec<u8>>,
    act: Act,
    mode: u16,
    owner: (u32, u32),
    mtime: u32,
    xattr: Option<Vec<u8>>,
}

/// Later than everything in layers.
const NOW: u32 = 1_700_000_000;

/// Names that are short, equal often, and not always UTF-8. One sorts before the names of whiteouts.
const NAMES: [&[u8]; 6] = [b"a", b"b", b"c", b"\xff\xfe", "ä b".as_bytes(), b"-x"];

fn entry() -> impl Strategy<Value = Entry> {
    let act = prop_oneof![
        4 => Just(Act::Directory),
        5 => prop::collection::vec(any::<u8>(), 0..600).prop_map(Act::File),
        1 => Just(Act::Zeros),
        2 => (1_u8..4).prop_map(Act::Holes),
        2 => prop::sample::select(vec![&b"a"[..], b"../b", b"/c", b"nowhere/at/all", b"\xff\xfe"]).prop_map(|target| Act::Symlink(target.to_vec())),
        2 => Just(Act::HardLink),
        1 => Just(Act::Fifo),
        1 => (any::<bool>(), 1_u8..9, any::<u8>()).prop_map(|(block, major, minor)| Act::Device(block, major, minor)),
        3 => Just(Act::Delete),
        2 => Just(Act::Hide),
    ];
    let path = prop::collection::vec(prop::sample::select(NAMES.map(<[u8]>::to_vec).to_vec()), 1..4);
    let owner = prop::sample::select(vec![(0, 0), (1000, 1001), (65_534, 65_534), (2_000_000, 7)]);
    let xattr = prop::option::weighted(0.2, prop::collection::vec(any::<u8>(), 1..40));
    (path, act, 0_u16..0o7777, owner, 0_u32..NOW, xattr).prop_map(|(path, act, mode, owner, mtime, xattr)| Entry {
        path,
        act,
        mode,
        owner,
        mtime,
        xattr,
    })
}

/// The layers as tars: each brings the directories of its entries, unless `bare`, and its whiteouts stand first or last.
fn layer(entries: &[Entry], whiteouts_last: bool, bare: bool) -> Vec<u8> {
    let mut chosen: BTreeMap<Vec<Vec<u8>>, Entry> = BTreeMap::new();
    for entry in entries {
        let is_directory = |act: &Act| matches!(act, Act::Directory | Act::Hide);
        let parents: Vec<Vec<Vec<u8>>> = (1..entry.path.len()).map(|length| entry.path[..length].to_vec()).collect();
        let clashes = parents.iter().any(|parent| chosen.get(parent).is_some_and(|known| !is_directory(&known.act)));
        let has_children = chosen.keys().any(|other| other.len() > entry.path.len() && other.starts_with(&entry.path));
        if clashes || (has_children && !is_directory(&entry.act)) {
            continue;
        }
        for path in parents.into_iter().filter(|_| !bare) {
            chosen.entry(path.clone()).or_insert(Entry { path, act: Act::Directory, xattr: None, ..entry.clone() });
        }
        chosen.insert(entry.path.clone(), entry.clone());
    }
    let (mut first, mut last, mut file) = (Vec::new(), Vec::new(), None);
    for entry in chosen.values() {
        let name = entry.path.join(&b'/');
        let (parent, own) = (entry.path[..entry.path.len() - 1].join(&b'/'), &entry.path[entry.path.len() - 1]);
        let below = |directory: &[u8], name: &[u8]| {
            if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
        };
        let whiteout =
            |name: Vec<u8>| member(&name, b'0', b"", b"", (0, 0), &Entry { mode: 0o600, xattr: None, ..entry.clone() });
        let body = &mut last;
        match &entry.act {
            Act::Directory => body.extend(member(&name, b'5', b"", b"", (0, 0), entry)),
            Act::Hide => {
                body.extend(member(&name, b'5', b"", b"", (0, 0), entry));
                let hidden = whiteout(below(&name, b".wh..wh..opq"));
                if whiteouts_last { first.push((true, hidden)) } else { body.extend(hidden) }
            }
            Act::File(bytes) => {
                body.extend(member(&name, b'0', b"", bytes, (0, 0), entry));
                file = Some(name);
            }
            Act::Zeros => body.extend(member(&name, b'0', b"", &vec![0; 1 << 20], (0, 0), entry)),
            Act::Holes(form) => body.extend(holes(&name, *form, entry)),
            Act::Symlink(target) => body.extend(member(&name, b'2', target, b"", (0, 0), entry)),
            Act::HardLink => {
                if let Some(file) = &file {
                    body.extend(member(&name, b'1', file, b"", (0, 0), &Entry { xattr: None, ..entry.clone() }));
                }
            }
            Act::Fifo => body.extend(member(&name, b'6', b"", b"", (0, 0), entry)),
            Act::Device(block, major, minor) => {
                let kind = if *block { b'4' } else { b'3' };
                body.extend(member(&name, kind, b"", b"", (*major, *minor), entry));
            }
            Act::Delete => first.push((whiteouts_last, whiteout(below(&parent, &[b".wh.", &own[..]].concat())))),
        }
    }
    let before: Vec<u8> = first.iter().filter(|(is_last, _)| !is_last).flat_map(|(_, bytes)| bytes.clone()).collect();
    let after: Vec<u8> = first.iter().filter(|(is_last, _)| *is_last).flat_map(|(_, bytes)| bytes.clone()).collect();
    // A whiteout before the directory that it is in needs that directory.
    let bytes = if bare { [last, before, after].concat() } else { [before, last, after].concat() };
    [bytes, vec![0; 1024]].concat()
}

/// A member of a tar, with what does not fit into its header before it.
fn member(name: &[u8], kind: u8, link: &[u8], data: &[u8], device: (u8, u8), entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::new();
    let may_have = matches!(kind, b'0' | b'5');
    if let Some(value) = entry.xattr.as_ref().filter(|_| may_have) {
        let rest = b"SCHILY.xattr.user.x=".len() + value.len() + 2;
        let length =
            (1..9).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length).unwrap();
        let record = [format!("{length} SCHILY.xattr.user.x=").as_bytes(), value, b"\n"].concat();
        bytes.extend(header(b"pax", b'x', b"", record.len(), (0, 0), entry));
        bytes.extend(&record);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend(header(name, kind, link, data.len(), device, entry));
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A file with holes before, between and behind its data, as GNU tar writes it with `--sparse`.
fn holes(name: &[u8], form: u8, entry: &Entry) -> Vec<u8> {
    const SIZE: usize = 70_000;
    let data = [vec![b'x'; 512], vec![b'y'; 700]].concat();
    let pieces = [(4096, 512), (20_480, 700)];
    let listed: Vec<String> =
        pieces.iter().flat_map(|(offset, length)| [offset, length]).map(ToString::to_string).collect();
    let mut records = vec![];
    let mut add = |key: &str, value: &[u8]| {
        let rest = key.len() + value.len() + 3;
        let length =
            (1..9).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length).unwrap();
        records.extend([format!("{length} {key}=").as_bytes(), value, b"\n"].concat());
    };
    let mut map = String::new();
    match form {
        1 => {
            add("GNU.sparse.size", SIZE.to_string().as_bytes());
            add("GNU.sparse.numblocks", b"2");
            for (number, key) in listed.iter().zip(["offset", "numbytes"].iter().cycle()) {
                add(&format!("GNU.sparse.{key}"), number.as_bytes());
            }
        }
        2 => {
            add("GNU.sparse.size", SIZE.to_string().as_bytes());
            add("GNU.sparse.numblocks", b"2");
            add("GNU.sparse.name", name);
            add("GNU.sparse.map", listed.join(",").as_bytes());
        }
        _ => {
            add("GNU.sparse.major", b"1");
            add("GNU.sparse.minor", b"0");
            add("GNU.sparse.name", name);
            add("GNU.sparse.realsize", SIZE.to_string().as_bytes());
            map = format!("2\n{}\n", listed.join("\n"));
        }
    }
    let mut data_and_map = map.into_bytes();
    data_and_map.resize(data_and_map.len().next_multiple_of(512), 0);
    data_and_map.extend(data);
    let mut bytes = header(b"pax", b'x', b"", records.len(), (0, 0), entry);
    bytes.extend(records);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    // Only the first form keeps the name of the file where others look for it.
    let shown = if form == 1 { name } else { b"GNUSparseFile.0/x" };
    bytes.extend(member(shown, b'0', b"", &data_and_map, (0, 0), &Entry { xattr: None, ..entry.clone() }));
    bytes
}

fn header(name: &[u8], kind: u8, link: &[u8], size: usize, device: (u8, u8), entry: &Entry) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(tar::EntryType::new(kind));
    // A directory that hands its group on does so to those that no layer speaks of, if it is made before them.
    let mode = u32::from(entry.mode);
    header.set_mode(if kind == b'5' { (mode & 0o5777) | 0o700 } else { mode });
    header.set_uid(entry.owner.0.into());
    header.set_gid(entry.owner.1.into());
    header.set_mtime(entry.mtime.into());
    header.set_size(size as u64);
    header.set_device_major(device.0.into()).unwrap();
    header.set_device_minor(device.1.into()).unwrap();
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Which times are looked at.
#[derive(Clone, Copy, PartialEq)]
enum Times {
    All,
    /// Those of files.
    Files,
    None,
}

/// Everything about everything below a directory.
fn tree(root: &Path, times: Times) -> BTreeMap<OsString, String> {
    let (mut found, mut pending) = (BTreeMap::new(), vec![root.to_owned()]);
    let mut names: HashMap<(u64, u64), Vec<OsString>> = HashMap::new();
    while let Some(directory) = pending.pop() {
        let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        for entry in entries.map(Result::unwrap) {
            let (path, metadata) = (entry.path(), entry.path().symlink_metadata().unwrap());
            let name = path.strip_prefix(root).unwrap().as_os_str().to_owned();
            let kind = metadata.file_type();
            let what = if kind.is_dir() {
                pending.push(path.clone());
                "directory".to_owned()
            } else if kind.is_symlink() {
                format!("link to {:?}", fs::read_link(&path).unwrap())
            } else if kind.is_file() {
                names.entry((metadata.dev(), metadata.ino())).or_default().push(name.clone());
                format!("file {} {}", metadata.len(), Digest::of(&fs::read(&path).unwrap()))
            } else if kind.is_fifo() {
                "fifo".to_owned()
            } else {
                format!("device {} {:x}", kind.is_block_device(), metadata.rdev())
            };
            let mode = if kind.is_symlink() { 0 } else { metadata.mode() & 0o7777 };
            // A directory that no layer speaks of is made now.
            let is_seen = times == Times::All || (times == Times::Files && !kind.is_dir());
            let time = if is_seen { metadata.mtime().min(NOW.into()) } else { 0 };
            let mut value = [0; 100];
            let xattr = rustix::fs::lgetxattr(&path, "user.x", &mut value[..]).map(|length| value[..length].to_vec());
            let line = format!("{what} {mode:o} {}:{} {time} {:?}", metadata.uid(), metadata.gid(), xattr.ok());
            found.insert(name, line);
        }
    }
    for mut names in names.into_values().filter(|names| names.len() > 1) {
        names.sort();
        for name in &names {
            found.get_mut(name).unwrap().push_str(&format!(" = {:?}", names[0]));
        }
    }
    found
}

/// Loads an image of these layers as `made:1`.
fn load(bench: &Bench, layers: &[Vec<u8>]) {
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let history: Vec<_> = layers.iter().map(|_| json!({ "created_by": "made" })).collect();
    let config = json!({ "os": "linux", "architecture": "amd64", "config": {}, "rootfs": { "type": "layers", "diff_ids": diff_ids }, "history": history });
    let config = config.to_string().into_bytes();
    let describe =
        |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len() });
    let described: Vec<_> =
        layers.iter().map(|layer| describe("application/vnd.oci.image.layer.v1.tar", layer)).collect();
    let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": describe("application/vnd.oci.image.config.v1+json", &config), "layers": described });
    let manifest = manifest.to_string().into_bytes();
    let mut entry = describe("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": "made:1" });
    let layout = bench.path("made");
    let _ = fs::remove_dir_all(&layout);
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    for blob in layers.iter().chain([&config, &manifest]) {
        fs::write(layout.join("blobs/sha256").join(Digest::of(blob).hex()), blob).unwrap();
    }
    fs::write(layout.join("index.json"), json!({ "schemaVersion": 2, "manifests": [entry] }).to_string()).unwrap();
    bench.images().load(&layout).unwrap();
}

/// How an image looks to each of the four.
struct Views {
    host: PathBuf,
    mounted: BTreeMap<OsString, String>,
    umoci: PathBuf,
    /// What RUN copied.
    run: PathBuf,
}

/// `None` when a layer puts something below a file of another: nobody takes that.
fn views(bench: &Bench, runtime: &tokio::runtime::Runtime, layers: &[Vec<u8>]) -> Option<Views> {
    load(bench, layers);
    let images = bench.images();
    let image = images.get("made:1").unwrap();
    let host = bench.path("host");
    match unpack(images.content(), image.layers(), &host, &mut |_| {}) {
        Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotADirectory => return None,
        unpacked => unpacked.unwrap(),
    }
    let mounted = images.mount("made:1", None, None).unwrap();
    let seen = tree(&mounted.path, Times::All);
    images.unmount(None).unwrap();

    let mut options = SaveOptions::default();
    options.format = ArchiveFormat::OciDir;
    let (layout, bundle) = (bench.path("layout"), bench.path("bundle"));
    for directory in [&layout, &bundle] {
        let _ = fs::remove_dir_all(directory);
    }
    images.save_as(&["made:1"], &layout, &options, &|_, _| ()).unwrap();
    let source = format!("{}:made:1", layout.display());
    let unpacked = Command::new("umoci").args(["unpack", "--image", &source]).arg(&bundle).output().unwrap();
    assert!(unpacked.status.success(), "umoci: {}", String::from_utf8_lossy(&unpacked.stderr));

    // What RUN sees, it copies; what is sealed of that, a host unpacks. The layer of RUN alone is looked at.
    let (build_options, sandbox) = (bench.options(), LinuxSandbox::default());
    let build = bench.build_in(
        "FROM made:1\nRUN set -e; mkdir \"$PWD/.copy\"; tar --exclude=./.copy --xattrs --xattrs-include='user.*' -cf - . | tar --xattrs --xattrs-include='user.*' -C .copy -xpf -\n",
        &build_options,
        &sandbox,
    );
    runtime.block_on(build).unwrap();
    let sealed = bench.path("sealed");
    unpack(images.content(), images.get("shop:1.4").unwrap().layers(), &sealed, &mut |_| {}).unwrap();
    Some(Views { host, mounted: seen, umoci: bundle.join("rootfs"), run: sealed.join(".copy") })
}

/// What two views have differently, or nothing.
fn different(one: &BTreeMap<OsString, String>, other: &BTreeMap<OsString, String>) -> Vec<String> {
    let names = one.keys().chain(other.keys()).collect::<std::collections::BTreeSet<_>>();
    let differs = names.into_iter().filter(|name| one.get(*name) != other.get(*name));
    differs.map(|name| format!("{name:?}: {:?} and {:?}", one.get(name), other.get(name))).collect()
}

/// `umoci_times` are those that umoci keeps: it loses that of a directory in which it makes one that no layer speaks of.
fn check(
    bench: &Bench,
    runtime: &tokio::runtime::Runtime,
    layers: &[Vec<u8>],
    umoci_times: Times,
) -> Result<(), TestCaseError> {
    let Some(Views { host, mounted, umoci, run }) = views(bench, runtime, layers) else { return Ok(()) };
    let same = |one: &BTreeMap<_, _>, other: &BTreeMap<_, _>, who: &str| {
        prop_assert_eq!(different(one, other), Vec::<String>::new(), "host and {}", who);
        Ok(())
    };
    same(&tree(&host, umoci_times), &tree(&umoci, umoci_times), "umoci")?;
    same(&tree(&host, Times::All), &mounted, "mount")?;
    // A sealed layer has no times.
    same(&tree(&host, Times::None), &tree(&run, Times::None), "RUN")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

#[test]
fn generated_layers_look_the_same_to_everyone() {
    let runtime = runtime();
    let config = Config { cases: 40, max_shrink_iters: 40, failure_persistence: None, ..Config::default() };
    let layers =
        prop::collection::vec((prop::collection::vec(entry(), 0..10), any::<bool>(), prop::bool::weighted(0.3)), 1..5);
    let tested = TestRunner::new(config).run(&layers, |layers| {
        let bench = Bench::below(Path::new("/var/tmp"));
        let tars: Vec<Vec<u8>> = layers.iter().map(|(entries, last, bare)| layer(entries, *last, *bare)).collect();
        let is_bare = layers.iter().any(|(_, _, bare)| *bare);
        check(&bench, &runtime, &tars, if is_bare { Times::Files } else { Times::All })
    });
    tested.unwrap();
}

fn file(path: &[&[u8]], act: Act) -> Entry {
    let path = path.iter().map(|name| name.to_vec()).collect();
    Entry { path, act, mode: 0o750, owner: (7, 8), mtime: 1_000_000_000, xattr: None }
}

#[test]
fn two_hundred_layers_look_the_same_to_everyone() {
    let layers: Vec<Vec<u8>> = (0..210_u32)
        .map(|at| {
            let name = |at: u32| format!("file-{at}").into_bytes();
            let mut entries = vec![file(&[b"d", &name(at)], Act::File(name(at)))];
            if at % 3 == 2 {
                entries.push(file(&[b"d", &name(at - 1)], Act::Delete));
            }
            layer(&entries, false, false)
        })
        .collect();
    let bench = Bench::below(Path::new("/var/tmp"));
    check(&bench, &runtime(), &layers, Times::All).unwrap();
    assert_eq!(fs::read_dir(bench.path("host/d")).unwrap().count(), 140);
}

#[test]
fn layers_that_rely_on_what_is_below_are_seen_over_it() {
    let link = |name: &[u8], target: &[u8]| file(&[name], Act::Symlink(target.to_vec()));
    let bare = |entries: &[Entry]| layer(entries, false, true);
    let layers = [
        layer(&[file(&[b"usr", b"bin", b"old"], Act::File(b"old".to_vec())), link(b"bin", b"usr/bin")], false, false),
        // Behind a link, into a directory whose mode is not the usual one, and a deletion behind the link.
        bare(&[file(&[b"bin", b"tool"], Act::File(b"tool".to_vec())), file(&[b"bin", b"old"], Act::Delete)]),
        bare(&[file(&[b"usr", b"share"], Act::File(b"new".to_vec()))]),
        // The same bytes as a layer of another image, which has nothing below.
        bare(&[file(&[b"bin", b"tool"], Act::File(b"tool".to_vec())), file(&[b"bin", b"old"], Act::Delete)]),
    ];
    let bench = Bench::below(Path::new("/var/tmp"));
    check(&bench, &runtime(), &layers, Times::All).unwrap();
    let host = bench.path("host");
    assert_eq!(fs::read(host.join("usr/bin/tool")).unwrap(), b"tool");
    assert!(host.join("bin").is_symlink() && !host.join("usr/bin/old").exists());
    assert_eq!(host.join("usr").metadata().unwrap().mode() & 0o7777, 0o750);
    check(&bench, &runtime(), &layers[1..2], Times::Files).unwrap();
    assert!(bench.path("host/bin").is_dir());
}
