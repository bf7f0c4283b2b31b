//! Reads the plugins that an image carries in `plugins/` of its rootfs.

use cloudimage::Image;
use clusterfile::Clusterfile;

use crate::{ApplicationError, Error};

/// No file of a plugin is larger than this.
const FILE_LIMIT: u64 = 1 << 20;

/// Adds the plugins of an image to those of a Clusterfile, in the order of their files. One of the same name in the
/// Clusterfile stands in place of the image's.
pub(crate) fn add(wanted: &mut Clusterfile, image: &Image) -> Result<(), Error> {
    let files = image.list_files()?;
    let mut files: Vec<&str> = files.iter().map(String::as_str).filter(|file| file.starts_with("plugins/")).collect();
    files.sort_unstable();
    let refused = |file: &str, reason: String| ApplicationError::ImagePlugin {
        image: wanted.cluster.image.clone(),
        file: file.to_owned(),
        reason,
    };
    if let Some(file) = files.iter().find(|file| file.ends_with(".so")) {
        let reason = "a plugin compiled by Go runs only inside the very program that it was built for; write it as a plugin of type SHELL, and build the image without the file";
        return Err(refused(file, reason.to_owned()).into());
    }
    files.retain(|file| [".yaml", ".yml"].iter().any(|ending| file.ends_with(ending)));
    let mut found = Vec::new();
    for (file, bytes) in image.read_files(&files, FILE_LIMIT)? {
        let text = String::from_utf8_lossy(&bytes);
        let text = atomic_file::without_byte_order_mark(&text);
        found.extend(clusterfile::parse_plugins(text).map_err(|errors| refused(&file, errors.to_string()))?);
    }
    found.retain(|plugin| {
        wanted.plugins.iter().all(|known| known != plugin && (known.name.is_empty() || known.name != plugin.name))
    });
    let has_found = !found.is_empty();
    wanted.plugins.extend(found);
    // It is remembered with them, and must be read again.
    if has_found && wanted.to_yaml().len() > clusterfile::MAX_BYTES {
        let reason = format!("with them the Clusterfile is larger than {} bytes", clusterfile::MAX_BYTES);
        return Err(refused("plugins/", reason).into());
    }
    Ok(())
}
