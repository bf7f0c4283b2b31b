//! Reads image lists: one name a line, `#` comments.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use content_store::Reference;

use super::{ImageSource, RootfsView, WantedImage};
use crate::builder::Context;
use crate::error::{Error, Result};

/// Where the context and the rootfs keep their list.
const IMAGE_LIST: &str = "manifests/imageList";
/// Largest list, in bytes.
const LIMIT: u64 = 4 << 20;

/// The lists of a build: a file given by the user, the context's `manifests/imageList`, and that of the merged rootfs,
/// whether the base image or this build put it there.
#[derive(Debug, Clone)]
pub struct ImageList {
    file: Option<PathBuf>,
    in_context: PathBuf,
}

impl ImageList {
    /// The lists for builds of `context`, and `file`, which must exist when it is given.
    #[must_use]
    pub fn new(context: &Context, file: Option<&Path>) -> Self {
        Self { file: file.map(Path::to_owned), in_context: context.directory().join(IMAGE_LIST) }
    }
}

/// The names in a list file, each with its place.
///
/// # Errors
/// [`Error::File`] when it cannot be read, [`Error::ImageName`] for what is no name.
pub fn read_image_list(file: &Path) -> Result<Vec<WantedImage>> {
    parse(&read(file)?, &file.display().to_string())
}

#[async_trait]
impl ImageSource for ImageList {
    async fn find(&self, rootfs: &RootfsView) -> Result<Vec<WantedImage>> {
        let mut images = Vec::new();
        if let Some(file) = &self.file {
            images.extend(read_image_list(file)?);
        }
        if self.in_context.is_file() {
            images.extend(parse(&read(&self.in_context)?, IMAGE_LIST)?);
        }
        if let Some(bytes) = rootfs.read(IMAGE_LIST, LIMIT).await? {
            let from_base = rootfs.is_from_base(IMAGE_LIST);
            let listed = parse(&String::from_utf8_lossy(&bytes), &format!("rootfs {IMAGE_LIST}"))?;
            images.extend(listed.into_iter().map(|image| WantedImage { from_base, ..image }));
        }
        Ok(images)
    }
}

/// Names of a list's text, each checked.
fn parse(text: &str, list: &str) -> Result<Vec<WantedImage>> {
    let mut images = Vec::new();
    for (at, line) in atomic_file::without_byte_order_mark(text).lines().enumerate() {
        let name = line.split_once(" #").map_or(line, |(name, _)| name).trim();
        if name.is_empty() || name.starts_with('#') {
            continue;
        }
        let checked: std::result::Result<Reference, _> = name.parse();
        checked.map_err(|source| Error::ImageName {
            list: list.to_owned(),
            line: at + 1,
            text: name.to_owned(),
            source,
        })?;
        images.push(WantedImage::new(name, format!("{list}:{}", at + 1)));
    }
    Ok(images)
}

fn read(path: &Path) -> Result<String> {
    let text = atomic_file::read_text(path, LIMIT).and_then(|text| text.ok_or(ErrorKind::NotFound.into()));
    text.map_err(Error::file("read the image list", path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_remember_where_they_stood() {
        let images = parse("\u{feff}# all\n\nredis:6.2 # cache\r\n  quay.io/a/b@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n", "l").unwrap();
        assert_eq!(images[0], WantedImage::new("redis:6.2", "l:3"));
        assert_eq!(images[1].source, "l:4");
    }

    #[test]
    fn what_is_no_name_is_an_error_with_its_line() {
        let error = parse("redis\nRed is\n", "manifests/imageList").unwrap_err();
        assert!(error.to_string().starts_with("manifests/imageList:2: `Red is`"), "{error}");
    }
}
