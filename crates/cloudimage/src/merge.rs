//! Merges images into one: layers stacked, catalogues united, conflicts named.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use content_store::{Descriptor, Digest, MediaType, NameKind, Named};
use serde::Serialize;

use crate::assemble::{self, Parts};
use crate::builder::seal::now;
use crate::catalogue::Catalogue;
use crate::contents;
use crate::diff;
use crate::documents::History;
use crate::error::{Error, Result};
use crate::extension::{Extension, ImageKind};
use crate::format;
use crate::image::{Image, Layer};
use crate::images::Images;
use crate::layer::listing::{Listed, Merged};
use crate::platform::Platform;

/// A merged image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MergedImage {
    /// Its whole name.
    pub name: String,
    /// Digest of its index.
    pub digest: Digest,
    /// Its platforms.
    pub platforms: Vec<Platform>,
    /// Number of carried images, each platform counted.
    pub carried_images: usize,
    /// Where two images disagree; the later one wins.
    pub conflicts: Vec<Conflict>,
}

/// Something that two merged images have differently.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Conflict {
    /// What it is: `file`, `deleted file`, `carried image`, `label`, `variable`, `application`, `argument`.
    pub kind: &'static str,
    /// Its path or name.
    pub name: String,
    /// The image that wins.
    pub winner: String,
}

/// What is merged so far, for one platform.
#[derive(Default)]
struct Draft {
    /// How many images are in it.
    images: usize,
    layers: Vec<Layer>,
    history: Vec<History>,
    environment: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    author: Option<String>,
    extension: Extension,
    catalogue: Catalogue,
    merged: Merged,
    conflicts: BTreeSet<Conflict>,
}

impl Images {
    /// Stacks the layers of images in the order in which they are named, unites what they carry, and names the result.
    /// Layers that the images begin with alike, such as those of a common base, are in it once. `platforms` are those of
    /// the result, or, when it is empty, all that every image has here.
    ///
    /// # Errors
    /// [`Error::UnknownImage`], [`Error::NoPlatform`], [`Error::Store`]; [`Error::NotAnImage`] when there is no common platform,
    /// or there are more layers than an image may have.
    pub fn merge(&self, names: &[impl AsRef<str>], target: &str, platforms: &[Platform]) -> Result<MergedImage> {
        let reference = self.check_name(target)?;
        let _guard = self.content().gc_guard()?;
        let platforms = if platforms.is_empty() { self.common_platforms(names)? } else { platforms.to_vec() };
        let (mut entries, mut conflicts, mut carried_images) = (Vec::new(), BTreeSet::new(), 0);
        for platform in &platforms {
            let mut draft = Draft::default();
            for name in names {
                let (image, left_out) = self.get_base(name.as_ref(), platform)?;
                if let Some(reason) = left_out.into_iter().next() {
                    return Err(Error::NotAnImage { document: name.as_ref().to_owned(), reason });
                }
                draft.add(&image, name.as_ref())?;
            }
            carried_images += draft.catalogue.images.len();
            entries.extend(assemble::put_platform(self.content(), draft.parts(platform))?);
            conflicts.append(&mut draft.conflicts);
        }
        let index = assemble::put_index(self.content(), entries)?;
        self.content().set_names(vec![Named {
            kind: NameKind::ClusterImage,
            name: reference.to_string(),
            descriptor: Descriptor::new(MediaType::ImageIndex, index.size, index.digest),
            annotations: BTreeMap::from([(format::CREATED_ANNOTATION.to_owned(), now()?)]),
        }])?;
        Ok(MergedImage {
            name: reference.to_string(),
            digest: index.digest,
            platforms,
            carried_images,
            conflicts: conflicts.into_iter().collect(),
        })
    }

    /// The platforms that every image has here.
    fn common_platforms(&self, names: &[impl AsRef<str>]) -> Result<Vec<Platform>> {
        let mut common: Option<Vec<Platform>> = None;
        for name in names {
            let (image, first) = (self.get_any(name.as_ref())?, common.take());
            let mut theirs = image.platforms().to_vec();
            theirs.retain(|platform| !image.absent_platforms().contains(platform));
            common = Some(match first {
                None => theirs,
                Some(known) => known.into_iter().filter(|one| theirs.iter().any(|other| other.serves(one))).collect(),
            });
        }
        match common {
            Some(platforms) if !platforms.is_empty() => Ok(platforms),
            _ => Err(Error::NotAnImage {
                document: names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" and "),
                reason: "there is no platform that all of them are built for".to_owned(),
            }),
        }
    }
}

impl Draft {
    /// What is written of it.
    fn parts<'a>(&'a self, platform: &'a Platform) -> Parts<'a> {
        Parts {
            platform,
            layers: &self.layers,
            named_by: "the config of its image",
            created: self.history.iter().filter_map(|step| step.created.clone()).max(),
            author: self.author.clone(),
            environment: self.environment.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            labels: &self.labels,
            history: &self.history,
            extension: &self.extension,
            catalogue: &self.catalogue,
            annotations: BTreeMap::new(),
        }
    }

    /// Puts an image on top; `name` is what it is called in conflicts.
    fn add(&mut self, image: &Image, name: &str) -> Result<()> {
        let alike =
            self.layers.iter().zip(image.layers()).take_while(|(one, other)| one.digest == other.digest).count();
        self.stack(image, alike, name)?;
        self.add_history(image, alike);
        if let Some(config) = image.config() {
            self.author = config.author.clone().or(self.author.take());
            let variables = config.config.env.iter().flatten().filter_map(|variable| variable.split_once('='));
            let theirs = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            put_over(&mut self.environment, theirs, "variable", name, &mut self.conflicts);
        }
        let mut labels = image.labels().clone();
        labels.remove(format::VERSION_LABEL);
        put_over(&mut self.labels, labels, "label", name, &mut self.conflicts);
        self.labels.insert(format::VERSION_LABEL.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        self.extend(image, name);
        for carried in &image.catalogue().images {
            let known = self.catalogue.image(&carried.reference);
            if known.is_some_and(|known| known.digest != carried.digest) {
                self.conflict("carried image", &carried.reference, name);
            }
        }
        self.catalogue.unite(image.catalogue().images.iter().cloned());
        Ok(())
    }

    /// Stacks the layers but the first `alike`, and notes which files of the images below they replace or delete.
    fn stack(&mut self, image: &Image, alike: usize, name: &str) -> Result<()> {
        let (below, first) = (self.merged.clone(), self.layers.len());
        for layer in &image.layers()[alike..] {
            let listing = contents::listing(&image.store, layer, image.listings.as_deref())?;
            self.merged.stack(&listing);
            self.layers.push(layer.clone());
        }
        if self.layers.len() > format::LAYERS_LIMIT {
            let reason = format!("together they have more than {} layers", format::LAYERS_LIMIT);
            return Err(Error::NotAnImage { document: name.to_owned(), reason });
        }
        let mut replaced: Vec<&Path> = Vec::new();
        for (path, _) in below.iter().filter(|(_, listed)| **listed != Listed::Directory) {
            match self.merged.layer_of(path) {
                Some(layer) if layer < first => {}
                Some(_) => replaced.push(path),
                None => self.conflict("deleted file", &path.to_string_lossy(), name),
            }
        }
        let before = diff::fingerprints(&image.store, &self.layers[..first], &below, &replaced)?;
        let after = diff::fingerprints(&image.store, &self.layers, &self.merged, &replaced)?;
        for path in replaced.into_iter().filter(|path| before.get(*path) != after.get(*path)) {
            self.conflict("file", &path.to_string_lossy(), name);
        }
        Ok(())
    }

    fn add_history(&mut self, image: &Image, alike: usize) {
        let mut made = 0;
        for step in image.config().iter().flat_map(|config| &config.history) {
            let is_common = made < alike;
            made += usize::from(!step.empty_layer);
            if !is_common {
                self.history.push(step.clone());
            }
        }
        // Steps and layers must stay in step, also when an image has no history.
        let known = self.history.iter().filter(|step| !step.empty_layer).count();
        self.history.extend((known..self.layers.len()).map(|_| History::default()));
    }

    fn extend(&mut self, image: &Image, name: &str) {
        let theirs = image.extension();
        if self.images == 0 || theirs.kind == ImageKind::KubeInstaller {
            self.extension.kind = theirs.kind;
        }
        self.images += 1;
        for application in &theirs.applications {
            if self.extension.application(&application.name).is_some_and(|known| known != application) {
                self.conflict("application", &application.name, name);
            }
            self.extension.put(application.clone());
        }
        put_over(&mut self.extension.env, theirs.env.clone(), "variable", name, &mut self.conflicts);
        put_over(&mut self.extension.arguments, theirs.arguments.clone(), "argument", name, &mut self.conflicts);
        self.extension.labels.clone_from(&self.labels);
        let launch = &mut self.extension.launch;
        let new = |known: &[String], theirs: &[String]| {
            let theirs = theirs.iter().filter(|one| !known.contains(one));
            theirs.cloned().collect::<Vec<_>>()
        };
        let (commands, names) =
            (new(&launch.cmds, &theirs.launch.cmds), new(&launch.app_names, &theirs.launch.app_names));
        launch.cmds.extend(commands);
        launch.app_names.extend(names);
    }

    fn conflict(&mut self, kind: &'static str, name: &str, winner: &str) {
        self.conflicts.insert(Conflict { kind, name: name.to_owned(), winner: winner.to_owned() });
    }
}

/// Adds values; those that are another than before are conflicts.
fn put_over(
    known: &mut BTreeMap<String, String>,
    theirs: BTreeMap<String, String>,
    kind: &'static str,
    winner: &str,
    conflicts: &mut BTreeSet<Conflict>,
) {
    for (name, value) in theirs {
        if known.get(&name).is_some_and(|known| *known != value) {
            conflicts.insert(Conflict { kind, name: name.clone(), winner: winner.to_owned() });
        }
        known.insert(name, value);
    }
}
