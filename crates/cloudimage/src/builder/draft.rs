//! The state of an image that is being built.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use content_store::{Digest, Store};

use super::cache::Record;
use super::options::Context;
use crate::catalogue::{CarriedImage, Catalogue};
use crate::contents;
use crate::documents::History;
use crate::error::Result;
use crate::extension::Extension;
use crate::image::{Image, Layer};
use crate::images::Images;
use crate::layer::listing::Merged;
use crate::platform::Platform;
use crate::source::RootfsView;

/// An image that is being built.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) images: Images,
    /// What COPY and RUN stand on; shared with the threads that perform them.
    pub(super) rootfs: RootfsState,
    /// Environment in `NAME=VALUE` order of appearance.
    pub(super) environment: Vec<(String, String)>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) author: Option<String>,
    pub(super) extension: Extension,
    /// Line of the last LAUNCH, for messages.
    pub(super) launch_line: usize,
    /// Carried images of the base.
    pub(super) inherited: Catalogue,
    /// Carried images that came with archives.
    pub(super) archived: Vec<CarriedImage>,
    pub(super) history: Vec<History>,
}

/// The rootfs so far.
#[derive(Debug, Clone)]
pub(super) struct RootfsState {
    /// What it is for.
    pub(super) platform: Platform,
    /// Layers of this build by the trees that they hold, over all its platforms.
    pub(super) written: WrittenLayers,
    pub(super) context: Context,
    pub(super) store: Store,
    /// Bottom first.
    pub(super) layers: Vec<Layer>,
    /// How many of them are the base image's.
    pub(super) base_layers: usize,
    pub(super) merged: Arc<Merged>,
}

/// Layers by the digests of the trees that they hold: what several platforms have in common is packed once.
#[derive(Debug, Clone, Default)]
pub(super) struct WrittenLayers(Arc<Mutex<BTreeMap<Digest, Layer>>>);

impl WrittenLayers {
    pub(super) fn get(&self, tree: &Digest) -> Option<Layer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(tree).cloned()
    }

    pub(super) fn insert(&self, tree: Digest, layer: &Layer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(tree, layer.clone());
    }
}

impl Draft {
    /// Nothing: what FROM scratch starts with.
    pub(super) fn new(images: &Images, context: &Context, platform: &Platform, written: &WrittenLayers) -> Self {
        Self {
            images: images.clone(),
            rootfs: RootfsState {
                platform: platform.clone(),
                written: written.clone(),
                context: context.clone(),
                store: images.content().clone(),
                layers: Vec::new(),
                base_layers: 0,
                merged: Arc::new(Merged::default()),
            },
            environment: Vec::new(),
            labels: BTreeMap::new(),
            author: None,
            extension: Extension::default(),
            launch_line: 1,
            inherited: Catalogue::default(),
            archived: Vec::new(),
            history: Vec::new(),
        }
    }

    /// Starts from a base image.
    pub(super) fn start_from(&mut self, base: &Image, merged: Merged) {
        self.rootfs.merged = Arc::new(merged);
        self.rootfs.layers = base.layers().to_vec();
        self.rootfs.base_layers = self.rootfs.layers.len();
        self.labels = base.labels().clone();
        self.inherited = base.catalogue().clone();
        let client = std::mem::take(&mut self.extension.build_client);
        self.extension = Extension { build_client: client, ..base.extension().clone() };
        if let Some(config) = base.config() {
            self.author.clone_from(&config.author);
            self.history.clone_from(&config.history);
            for variable in config.config.env.iter().flatten() {
                let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
                self.set_variable(name, value);
            }
        }
    }

    /// Puts what an instruction made on top.
    pub(super) fn add(&mut self, record: &Record) -> Result<()> {
        if let Some(layer) = &record.layer {
            let listing = contents::listing(&self.rootfs.store, layer, Some(&self.images.listings()))?;
            Arc::make_mut(&mut self.rootfs.merged).stack(&listing);
            self.rootfs.layers.push(layer.clone());
        }
        self.archived.extend(record.carried.iter().cloned());
        Ok(())
    }

    /// Notes an instruction in the history; `layer` says whether it made a layer.
    pub(super) fn note(&mut self, created_by: &str, created: &str, layer: bool) {
        self.history.push(History {
            created: Some(created.to_owned()),
            created_by: created_by.to_owned(),
            comment: None,
            empty_layer: !layer,
        });
    }

    pub(super) fn set_variable(&mut self, name: &str, value: &str) {
        match self.environment.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.environment.push((name.to_owned(), value.to_owned())),
        }
    }
}

impl RootfsState {
    /// What sources of images may look at.
    pub(super) fn view(&self) -> RootfsView {
        RootfsView::new(&self.store, &self.layers, self.base_layers, &self.merged)
    }

    /// What a layer stands on, for cache keys.
    pub(super) fn diff_ids(&self) -> Vec<Digest> {
        self.layers.iter().map(|layer| layer.diff_id.unwrap_or(layer.digest)).collect()
    }
}
