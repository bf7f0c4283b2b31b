//! Finds the whole names of images of which upstream's registry knows only path and tag.

use content_store::{Digest, Reference};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::format;
use crate::image::Image;

/// Largest list of images that is read.
const LIST_LIMIT: u64 = 1 << 20;
/// Where upstream's builds find the names of images to carry.
const LIST: &str = "manifests/imageList";

/// An image in upstream's annotation.
#[derive(Debug, Deserialize)]
struct Listed {
    #[serde(default)]
    image: String,
}

/// The names of images that the cluster image itself lists: in its annotation, and in its image list.
pub(super) fn listed(image: &Image) -> Result<Vec<Reference>> {
    let mut names: Vec<String> = Vec::new();
    if let Some(text) = image.annotations().get(format::IMAGES_ANNOTATION) {
        let source = format!("annotation {}", format::IMAGES_ANNOTATION);
        let listed: Option<Vec<Listed>> = serde_json::from_str(text).map_err(Error::document(source))?;
        names.extend(listed.unwrap_or_default().into_iter().map(|listed| listed.image));
    }
    let files = image.read_files(&[LIST], LIST_LIMIT)?;
    let text = files.get(LIST).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    names.extend(text.lines().map(|line| line.trim().to_owned()));
    // What is no name there names nothing here; the image list itself is checked when images are fetched by it.
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// The whole names of the image under this path and tag: those that are listed, else the path as it is when it begins with
/// a host, else docker.io's. Upstream drops the host, so one path may stand for several names.
pub(super) fn of_tag(listed: &[Reference], repository: &str, tag: &str) -> Option<Vec<Reference>> {
    let mut names: Vec<Reference> =
        (listed.iter()).filter(|name| name.repository() == repository && name.tag() == Some(tag)).cloned().collect();
    names.sort_by_key(ToString::to_string);
    names.dedup();
    if names.is_empty() {
        names.push(format!("{repository}:{tag}").parse().ok()?);
    }
    Some(names)
}

/// The same for an image that has no tag.
pub(super) fn of_digest(listed: &[Reference], repository: &str, digest: &Digest) -> Option<Reference> {
    let is_meant = |name: &&Reference| name.repository() == repository && name.digest() == Some(digest);
    listed.iter().find(is_meant).cloned().or_else(|| format!("{repository}@{digest}").parse().ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_get_their_hosts_back() {
        let listed = ["nginx:1", "quay.io/team/app:2", "registry.k8s.io/pause:3.9", "mirror.example.com/pause:3.9"];
        let listed: Vec<Reference> = listed.iter().map(|name| name.parse().unwrap()).collect();
        for (repository, tag, expected) in [
            ("library/nginx", "1", &["docker.io/library/nginx:1"][..]),
            ("team/app", "2", &["quay.io/team/app:2"]),
            ("team/app", "3", &["docker.io/team/app:3"]),
            ("pause", "3.9", &["mirror.example.com/pause:3.9", "registry.k8s.io/pause:3.9"]),
            ("quay.io/other/app", "1", &["quay.io/other/app:1"]),
        ] {
            let names = of_tag(&listed, repository, tag).unwrap();
            assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{repository}");
        }
        assert!(of_tag(&listed, "Not a name", "1").is_none());
    }
}
