//! Reads a list of container images with logins, and asks for each image with its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use cloudimage::WantedImage;
use content_store::{Digest, Reference};
use registry_client::{BlobStream, Https, Login, LoginFiles, Manifest, Options, Registry};
use serde::Deserialize;

use crate::{Error, text_file};

/// A section of the list: images of one registry and the login for them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(default)]
    registry: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    images: Vec<String>,
}

/// Images, and how their registries are asked.
pub(crate) struct ImageLogins {
    pub(crate) images: Vec<WantedImage>,
    pub(crate) registry: WithLogins,
}

/// A registry that is asked with a login of its own for the images of a list; everything else is asked as usual.
#[derive(Debug)]
pub(crate) struct WithLogins {
    usual: Arc<dyn Registry>,
    /// By host and repository.
    own: BTreeMap<(String, String), Https>,
}

impl ImageLogins {
    /// Reads the list; images of its sections are asked for with `options` and their logins, others through `usual`.
    pub(crate) fn read(path: &Path, options: &Options, usual: Arc<dyn Registry>) -> Result<Self, Error> {
        let text = text_file::read("read the image list", path)?;
        let (mut images, mut own) = (Vec::new(), BTreeMap::new());
        for (section, references) in parse(&text, path)? {
            let login = Login::password(section.username, section.password);
            let hosts = references.iter().map(|(_, reference)| (reference.registry().to_owned(), login.clone()));
            let mut options = options.clone();
            (options.logins, options.known_logins) = (LoginFiles::default(), hosts.collect());
            let registry = Https::new(options)?;
            for (name, reference) in &references {
                images.push(WantedImage::new(name, path.display().to_string()));
                let key = (reference.registry().to_owned(), reference.repository().to_owned());
                own.insert(key, registry.clone());
            }
        }
        Ok(Self { images, registry: WithLogins { usual, own } })
    }
}

type Images = Vec<(String, Reference)>;

/// The sections with their images' whole names.
fn parse(text: &str, path: &Path) -> Result<Vec<(Section, Images)>, Error> {
    let wrong = |reason: String| Error::ImageLogins { path: path.to_owned(), reason };
    // What the parser quotes may be a password: only the place is told.
    let sections: Vec<Section> = serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map_or_else(String::new, |place| format!(" (line {})", place.line()));
        wrong(format!("it is no list of registry, username, password and images{place}"))
    })?;
    let mut parsed = Vec::new();
    for section in sections.into_iter().filter(|section| !section.images.is_empty()) {
        let shown = section.images.first().cloned().unwrap_or_default();
        if section.username.is_empty() || section.password.is_empty() {
            return Err(wrong(format!("the section of {shown} has no username or no password")));
        }
        let mut images = Images::new();
        for image in &section.images {
            let first = image.split('/').next().filter(|first| *first != image).unwrap_or_default();
            let has_host = first.contains(['.', ':']) || first == "localhost";
            let name = match section.registry.trim_end_matches('/') {
                registry if !registry.is_empty() && !has_host => format!("{registry}/{image}"),
                _ => image.clone(),
            };
            let reference: Reference = name.parse().map_err(|error| wrong(format!("{image}: {error}")))?;
            images.push((name, reference));
        }
        parsed.push((section, images));
    }
    Ok(parsed)
}

impl WithLogins {
    fn of(&self, image: &Reference) -> &dyn Registry {
        let key = (image.registry().to_owned(), image.repository().to_owned());
        self.own.get(&key).map_or(self.usual.as_ref(), |own| own)
    }
}

#[async_trait]
impl Registry for WithLogins {
    async fn manifest(&self, image: &Reference, accept: &[&str]) -> registry_client::Result<Manifest> {
        self.of(image).manifest(image, accept).await
    }

    async fn blob(&self, image: &Reference, digest: &Digest, offset: u64) -> registry_client::Result<BlobStream> {
        self.of(image).blob(image, digest, offset).await
    }

    async fn blob_exists(&self, image: &Reference, digest: &Digest) -> registry_client::Result<Option<u64>> {
        self.of(image).blob_exists(image, digest).await
    }

    async fn tags(&self, image: &Reference) -> registry_client::Result<Vec<String>> {
        self.of(image).tags(image).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, String> {
        let parsed = parse(text, Path::new("list.yaml")).map_err(|error| error.to_string())?;
        Ok(parsed.iter().flat_map(|(_, images)| images).map(|(_, reference)| reference.to_string()).collect())
    }

    #[test]
    fn names_without_a_host_are_of_the_sections_registry() {
        let text = "- registry: registry.example.com:5000\n  username: u\n  password: p\n  images: [team/shop:1, other.example.com/a:2]\n- username: u\n  password: p\n  images: [redis:6]\n- registry: docker.io\n  images: []\n";
        let expected = ["registry.example.com:5000/team/shop:1", "other.example.com/a:2", "docker.io/library/redis:6"];
        assert_eq!(names(text).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_told_without_passwords() {
        let without = names("- registry: a.example\n  username: u\n  images: [b:1]\n").unwrap_err();
        assert!(without.contains("list.yaml") && without.contains("b:1 has no username or no password"), "{without}");
        let odd = names("- registry: a.example\n  username: u\n  password: [hunter2]\n  images: [b:1]\n").unwrap_err();
        assert!(!odd.contains("hunter2"), "{odd}");
        assert!(names("- username: u\n  password: p\n  images: ['UPPER CASE']\n").unwrap_err().contains("UPPER CASE"));
        assert!(names("images: [a]\n").is_err() && names("- image: a\n").is_err());
    }
}
