//! The view that sources have of the merged rootfs: layers of the base image and of this build, deletions applied.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use content_store::Store;

use crate::contents;
use crate::error::{Error, Result};
use crate::image::Layer;
use crate::layer::listing::{Listed, Merged};

/// The files of the cluster image that is being built, as they will be on hosts.
#[derive(Debug, Clone)]
pub struct RootfsView(Content);

#[derive(Debug, Clone)]
enum Content {
    Layers {
        store: Store,
        /// Bottom first.
        layers: Arc<[Layer]>,
        /// How many of them are the base image's.
        base: usize,
        merged: Arc<Merged>,
    },
    Memory(Arc<BTreeMap<String, Vec<u8>>>),
}

impl RootfsView {
    pub(crate) fn new(store: &Store, layers: &[Layer], base: usize, merged: &Arc<Merged>) -> Self {
        Self(Content::Layers { store: store.clone(), layers: layers.into(), base, merged: Arc::clone(merged) })
    }

    /// A rootfs of these files (path and content), for tests of sources.
    pub fn in_memory(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        Self(Content::Memory(Arc::new(files.into_iter().collect())))
    }

    /// Paths of the files and links at or below `prefix` (a path without a leading `/`, empty for the whole rootfs), sorted.
    #[must_use]
    pub fn list(&self, prefix: &str) -> Vec<String> {
        let below = |path: &Path| path.starts_with(prefix);
        match &self.0 {
            Content::Layers { merged, .. } => merged
                .iter()
                .filter(|(path, listed)| **listed != Listed::Directory && below(path))
                .map(|(path, _)| path.to_string_lossy().into_owned())
                .collect(),
            Content::Memory(files) => files.keys().filter(|path| below(Path::new(path))).cloned().collect(),
        }
    }

    /// The content of a file of at most `limit` bytes; links are followed below the rootfs. `None` when there is no such file.
    ///
    /// # Errors
    /// As [`RootfsView::read_all`].
    pub async fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        Ok(self.read_all(&[path], limit).await?.remove(path))
    }

    /// As [`RootfsView::read`] for many files at once: each layer is read at most once, so this is the cheaper way.
    ///
    /// # Errors
    /// [`Error::Archive`] for a file longer than `limit`; [`Error::Store`] for a missing or corrupt layer.
    pub async fn read_all(&self, paths: &[&str], limit: u64) -> Result<BTreeMap<String, Vec<u8>>> {
        let view = self.clone();
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let read = tokio::task::spawn_blocking(move || view.read_blocking(&paths, limit));
        read.await.map_err(Error::TaskPanicked)?
    }

    fn read_blocking(&self, paths: &[String], limit: u64) -> Result<BTreeMap<String, Vec<u8>>> {
        match &self.0 {
            Content::Layers { store, layers, merged, .. } => {
                let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
                contents::read_merged(store, layers, merged, &paths, limit)
            }
            Content::Memory(files) => {
                let found = paths.iter().filter_map(|path| Some((path.clone(), files.get(path)?.clone())));
                let found: BTreeMap<String, Vec<u8>> = found.collect();
                match found.iter().find(|(_, bytes)| bytes.len() as u64 > limit) {
                    Some((path, _)) => Err(Error::Archive {
                        archive: "the rootfs".to_owned(),
                        entry: path.clone(),
                        reason: format!("it is longer than {limit} bytes"),
                    }),
                    None => Ok(found),
                }
            }
        }
    }

    /// Whether the file comes unchanged from the base image, whose own build has read it already.
    #[must_use]
    pub fn is_from_base(&self, path: &str) -> bool {
        match &self.0 {
            Content::Layers { base, merged, .. } => {
                merged.layer_of(&merged.resolve(Path::new(path))).is_some_and(|layer| layer < *base)
            }
            Content::Memory(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::layer::Compression;
    use crate::layer::listing::Listing;
    use crate::layer::tree::{self, Entry, Kind, Tree};
    use crate::layer::write;

    fn file(tree: &mut Tree, path: &str, text: &str) {
        tree.insert(path.into(), Entry::new(Kind::File(tree::Content::Bytes(Arc::from(text.as_bytes()))), 0o644));
    }

    /// A view over these layers; the first `base` are the base image's.
    fn view(store: &Store, trees: &[Tree], base: usize) -> RootfsView {
        let (mut layers, mut merged) = (Vec::new(), Merged::default());
        for tree in trees {
            let written = write::write(store, tree, Compression::default(), 0).unwrap();
            merged.stack(&Listing::of_tree(tree));
            layers.push(Layer {
                digest: written.digest,
                size: written.size,
                media_type: written.media_type.to_owned(),
                diff_id: Some(written.diff_id),
                created_by: String::new(),
            });
        }
        RootfsView::new(store, &layers, base, &Arc::new(merged))
    }

    #[tokio::test]
    async fn base_and_own_layers_are_one_tree_and_deletions_count() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let (mut base, mut own) = (Tree::default(), Tree::default());
        file(&mut base, "charts/a/values.yaml", "base");
        file(&mut base, "charts/gone/values.yaml", "gone");
        file(&mut base, "manifests/imageList", "redis:6.2");
        file(&mut base, "manifests/old.yaml", "old");
        base.insert("manifests/link".into(), Entry::new(Kind::Symlink("../charts/a/values.yaml".into()), 0o777));
        own.whiteout(Path::new("manifests/imageList"));
        own.opaque(Path::new("charts/gone"));
        file(&mut own, "charts/gone/new.yaml", "new");
        file(&mut own, "manifests/old.yaml", "changed");

        let before = view(&store, std::slice::from_ref(&base), 1);
        assert_eq!(before.read("manifests/imageList", 100).await.unwrap().unwrap(), b"redis:6.2");
        let after = view(&store, &[base, own], 1);
        assert_eq!(after.read("manifests/imageList", 100).await.unwrap(), None);
        assert_eq!(after.list("manifests"), ["manifests/link", "manifests/old.yaml"]);
        assert_eq!(after.list("charts"), ["charts/a/values.yaml", "charts/gone/new.yaml"]);
        assert_eq!(after.list("").len(), 4);
        assert!(after.list("chart").is_empty(), "a prefix is whole names");
        let read = after.read_all(&["manifests/link", "manifests/old.yaml", "none"], 100).await.unwrap();
        assert_eq!(
            (read.len(), &read["manifests/link"][..], &read["manifests/old.yaml"][..]),
            (2, &b"base"[..], &b"changed"[..])
        );
        assert!(after.is_from_base("manifests/link") && !after.is_from_base("manifests/old.yaml"));
        assert!(after.read("manifests/old.yaml", 3).await.unwrap_err().to_string().contains("old.yaml"));
    }

    #[tokio::test]
    async fn a_view_in_memory_is_alike() {
        let view = RootfsView::in_memory([("manifests/a".to_owned(), b"text".to_vec())]);
        assert_eq!((view.list("manifests"), view.list("man").len()), (vec!["manifests/a".to_owned()], 0));
        assert_eq!(view.read("manifests/a", 4).await.unwrap().unwrap(), b"text");
        assert!(view.read("manifests/a", 3).await.is_err());
        assert_eq!(view.read("none", 3).await.unwrap(), None);
    }
}
