//! Lists of layers, unpacked layers and their tars agree, whatever the layers hold. Tests only.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use content_store::Store;
use proptest::prelude::*;

use super::compression::Compression;
use super::listing::{Listed, Listing, Merged};
use super::tar::Reader;
use super::tree::{Content, Entry, Kind, Tree};
use super::write;
use crate::contents;
use crate::image::Layer;
use crate::unpack::unpack;

/// One thing that a generated layer does to a path.
#[derive(Debug, Clone)]
enum Act {
    Directory(u32),
    File(Vec<u8>, u32),
    Link(String),
    Delete,
    Hide,
}

fn path() -> impl Strategy<Value = PathBuf> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "ä long name \u{1F980}"]), 1..4)
        .prop_map(|names| names.iter().collect())
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0o700_u32..=0o777).prop_map(Act::Directory),
        4 => (prop::collection::vec(any::<u8>(), 0..1500), 0o400_u32..=0o777).prop_map(|(bytes, mode)| Act::File(bytes, mode)),
        1 => "[a-z./]{1,120}".prop_map(Act::Link),
        2 => Just(Act::Delete),
        1 => Just(Act::Hide),
    ]
}

/// A layer as writers make them: parents are directories of the same layer, nothing is below a file.
fn tree(acts: Vec<(PathBuf, Act)>) -> Tree {
    let mut chosen: BTreeMap<PathBuf, Act> = BTreeMap::new();
    for (path, act) in acts {
        let parents = path.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty());
        let clashes =
            parents.clone().any(|parent| !matches!(chosen.get(parent), None | Some(Act::Directory(_) | Act::Hide)));
        let has_children = chosen.keys().any(|other| other != &path && other.starts_with(&path));
        if clashes || (has_children && !matches!(act, Act::Directory(_) | Act::Hide)) {
            continue;
        }
        for parent in parents {
            chosen.entry(parent.to_owned()).or_insert(Act::Directory(0o755));
        }
        chosen.insert(path, act);
    }
    let mut tree = Tree::default();
    for (path, act) in chosen {
        match act {
            Act::Directory(mode) => tree.insert(path, Entry::new(Kind::Directory, mode)),
            Act::File(bytes, mode) => tree.insert(path, Entry::new(Kind::File(Content::Bytes(bytes.into())), mode)),
            Act::Link(target) => tree.insert(path, Entry::new(Kind::Symlink(target.into()), 0o777)),
            Act::Delete => tree.whiteout(&path),
            Act::Hide => {
                tree.opaque(&path);
                tree.insert(path, Entry::directory());
            }
        }
    }
    tree
}

fn store_layer(store: &Store, tree: &Tree, compression: Compression) -> Layer {
    let written = write::write(store, tree, compression, 1).unwrap();
    Layer {
        digest: written.digest,
        size: written.size,
        media_type: written.media_type.to_owned(),
        diff_id: Some(written.diff_id),
        created_by: String::new(),
    }
}

fn walk(root: &Path, directory: &Path, found: &mut BTreeMap<PathBuf, Listed>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let (path, metadata) = (entry.path(), entry.path().symlink_metadata().unwrap());
        let listed = if metadata.is_dir() {
            Listed::Directory
        } else if metadata.is_symlink() {
            Listed::Symlink(fs::read_link(&path).unwrap())
        } else {
            Listed::File
        };
        found.insert(path.strip_prefix(root).unwrap().to_owned(), listed);
        if metadata.is_dir() {
            walk(root, &path, found);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lists_say_what_unpacking_makes(layers in prop::collection::vec(prop::collection::vec((path(), act()), 0..8), 1..5)) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("content")).unwrap();
        let trees: Vec<Tree> = layers.into_iter().map(tree).collect();
        let compressions = [Compression::None, Compression::Zstd, Compression::Gzip];
        let layers: Vec<Layer> = trees.iter().zip(compressions.iter().cycle()).map(|(tree, compression)| store_layer(&store, tree, *compression)).collect();
        let mut merged = Merged::default();
        for (tree, layer) in trees.iter().zip(&layers) {
            let listing = contents::listing(&store, layer, None).unwrap();
            prop_assert_eq!(&listing, &Listing::of_tree(tree), "the tar says what the tree said");
            prop_assert_eq!(Listing::from_bytes(&listing.to_bytes()), Some(listing.clone()));
            merged.stack(&listing);
        }
        let rootfs = directory.path().join("rootfs");
        unpack(&store, &layers, &rootfs, &mut |_| {}).unwrap();
        let mut found = BTreeMap::new();
        walk(&rootfs, &rootfs, &mut found);
        let listed: BTreeMap<PathBuf, Listed> = merged.iter().map(|(path, listed)| (path.to_owned(), listed.clone())).collect();
        prop_assert_eq!(&listed, &found);
        // Contents and modes are those of the layer that the list names.
        for (path, listed) in &listed {
            let Some(entry) = merged.layer_of(path).and_then(|layer| trees[layer].get(path)) else { continue };
            let metadata = rootfs.join(path).symlink_metadata().unwrap();
            prop_assert!(*listed == Listed::Directory || metadata.mtime() == 1);
            match &entry.kind {
                Kind::File(content) => {
                    prop_assert_eq!(metadata.mode() & 0o7777, entry.mode);
                    let mut bytes = Vec::new();
                    std::io::Read::read_to_end(&mut content.open().unwrap(), &mut bytes).unwrap();
                    prop_assert_eq!(fs::read(rootfs.join(path)).unwrap(), bytes);
                }
                Kind::Directory => prop_assert_eq!(metadata.mode() & 0o7777, entry.mode),
                _ => {}
            }
        }
    }

    #[test]
    fn a_changed_tar_is_read_or_refused_but_never_panics(
        acts in prop::collection::vec((path(), act()), 0..6),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        end in any::<prop::sample::Index>(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("content")).unwrap();
        let layer = store_layer(&store, &tree(acts), Compression::None);
        let mut bytes = fs::read(store.blob_path(&layer.digest)).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            fix_checksum(&mut bytes, at / 512 * 512);
        }
        bytes.truncate(end.index(bytes.len()) + 1);
        let mut reader = Reader::new(&bytes[..], "changed");
        while let Ok(Some(_)) = reader.next() {}
        let blob = store.put(&bytes).unwrap();
        let changed = Layer { digest: blob.digest, size: blob.size, ..layer };
        let before: Vec<_> = fs::read_dir(directory.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        let outcome = unpack(&store, &[changed], &directory.path().join("rootfs"), &mut |_| {});
        let after = fs::read_dir(directory.path()).unwrap().flatten().map(|entry| entry.file_name());
        let fresh: Vec<_> = after.filter(|name| !before.contains(name)).collect();
        let allowed = if outcome.is_ok() { "rootfs" } else { "rootfs.partial" };
        prop_assert!(fresh.iter().all(|name| name == allowed), "{fresh:?}");
    }

    #[test]
    fn any_bytes_are_no_tar_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut reader = Reader::new(&bytes[..], "noise");
        while let Ok(Some(_)) = reader.next() {}
        let _ = Listing::from_bytes(&bytes);
    }
}

/// GNU tar packs a file with holes in each of its forms; it is read as it was, and unpacked with holes.
#[test]
fn sparse_files_of_gnu_tar_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let mut file = fs::File::create(&path).unwrap();
    // More pieces than the first header, and the one behind it, hold.
    for piece in 0..60_u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 4096], (3 * piece + 1) << 16).unwrap();
    }
    file.set_len(16 << 20).unwrap();
    std::io::Write::flush(&mut file).unwrap();
    let forms: [&[&str]; 4] = [
        &["--format=gnu"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ];
    let store = Store::open(&directory.path().join("content")).unwrap();
    for form in forms {
        let tar = directory.path().join("archive.tar");
        let mut command = std::process::Command::new("tar");
        command.args(form).arg("--sparse").arg("-cf").arg(&tar).arg("-C").arg(directory.path()).arg("file");
        assert!(command.status().unwrap().success());
        let bytes = fs::read(&tar).unwrap();
        assert!(bytes.len() < 1 << 20, "{form:?}: it has no holes");
        let mut reader = Reader::new(&bytes[..], "sparse");
        let member = reader.next().unwrap().unwrap();
        assert_eq!((member.path.to_str(), reader.is_sparse()), (Some("file"), true));
        let limited = reader.read_data(1 << 20, &member.path).unwrap_err().to_string();
        assert!(limited.contains("it is longer than"), "{limited}");
        assert!(reader.read_data(16 << 20, &member.path).unwrap() == fs::read(&path).unwrap(), "{form:?}");
        assert!(reader.next().unwrap().is_none());

        let blob = store.put(&bytes).unwrap();
        let layer = store_layer(&store, &Tree::default(), Compression::None);
        let layer = Layer { digest: blob.digest, size: blob.size, diff_id: None, ..layer };
        let rootfs = directory.path().join("rootfs");
        unpack(&store, &[layer], &rootfs, &mut |_| {}).unwrap();
        assert!(fs::read(rootfs.join("file")).unwrap() == fs::read(&path).unwrap(), "{form:?}");
        assert!(
            rootfs.join("file").metadata().unwrap().blocks() * 512 < 2 << 20,
            "{form:?}: it takes the space of its holes"
        );
        fs::remove_dir_all(&rootfs).unwrap();
    }
}

/// Without it, nearly every change would only show that checksums are checked.
fn fix_checksum(bytes: &mut [u8], start: usize) {
    let Some(header) = bytes.get_mut(start..start + 512) else { return };
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
