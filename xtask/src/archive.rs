//! Writes container image archives without a container engine, the same bytes every time.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::program::{program, run_quietly};

/// The two shapes of archive that stock tools write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// An OCI image layout in a tar, layers compressed with zstd.
    Oci,
    /// What `docker save` writes: layers as plain tar.
    Docker,
}

/// A container image: file trees stacked on each other, and how its process starts.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    /// Full name with registry and tag.
    pub(crate) name: &'a str,
    /// Directories, the lowest first.
    pub(crate) layers: &'a [PathBuf],
    pub(crate) entrypoint: &'a [&'a str],
}

/// Writes `image` as an archive at `target`; `scratch` is an existing directory for what is made on the way.
pub(crate) fn write(image: &Image<'_>, format: Format, scratch: &Path, target: &Path) -> Result<()> {
    let stage = tempfile::tempdir_in(scratch).map_err(Error::file("create a directory in", scratch))?;
    let layers = image
        .layers
        .iter()
        .enumerate()
        .map(|(index, tree)| pack_layer(tree, &stage.path().join(format!("layer-{index}.tar"))))
        .collect::<Result<Vec<_>>>()?;
    let config = to_bytes(&config(image, &layers));
    let tree = stage.path().join("tree");
    match format {
        Format::Oci => write_oci(image, &layers, &config, &tree)?,
        Format::Docker => write_docker(image, &layers, &config, &tree)?,
    }
    pack(&tree, target)
}

/// A layer as plain tar, with the digest of its bytes.
struct Layer {
    tar: PathBuf,
    diff_id: String,
}

fn pack_layer(tree: &Path, tar: &Path) -> Result<Layer> {
    pack(tree, tar)?;
    Ok(Layer { tar: tar.to_path_buf(), diff_id: file_digest(tar)? })
}

/// Packs a directory; names sorted, times and owners zero, so that equal trees give equal bytes.
fn pack(tree: &Path, tar: &Path) -> Result<()> {
    run_quietly(
        program("tar")
            .args(["--create", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--file"])
            .arg(tar)
            .arg("--directory")
            .arg(tree)
            .arg("."),
    )
}

fn config(image: &Image<'_>, layers: &[Layer]) -> Value {
    json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Entrypoint": image.entrypoint,
            "WorkingDir": "/",
        },
        "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| format!("sha256:{}", layer.diff_id)).collect::<Vec<_>>() },
    })
}

fn write_oci(image: &Image<'_>, layers: &[Layer], config: &[u8], tree: &Path) -> Result<()> {
    let blobs = tree.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(Error::file("create", &blobs))?;
    let mut descriptors = Vec::new();
    for layer in layers {
        let packed = layer.tar.with_extension("tar.zst");
        run_quietly(program("zstd").args(["-q", "-f", "-10", "-T0", "-o"]).arg(&packed).arg(&layer.tar))?;
        let digest = file_digest(&packed)?;
        let blob = blobs.join(&digest);
        fs::rename(&packed, &blob).map_err(Error::file("move into place", &blob))?;
        let size = fs::metadata(&blob).map_err(Error::file("read", &blob))?.len();
        descriptors.push(descriptor("application/vnd.oci.image.layer.v1.tar+zstd", &digest, size));
    }
    let config = write_blob(&blobs, "application/vnd.oci.image.config.v1+json", config)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": descriptors,
    });
    let mut manifest = write_blob(&blobs, "application/vnd.oci.image.manifest.v1+json", &to_bytes(&manifest))?;
    manifest["annotations"] = json!({
        "io.containerd.image.name": image.name,
        "org.opencontainers.image.ref.name": image.name,
    });
    manifest["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    write_file(&tree.join("index.json"), &to_bytes(&json!({ "schemaVersion": 2, "manifests": [manifest] })))?;
    write_file(&tree.join("oci-layout"), &to_bytes(&json!({ "imageLayoutVersion": "1.0.0" })))
}

fn write_docker(image: &Image<'_>, layers: &[Layer], config: &[u8], tree: &Path) -> Result<()> {
    fs::create_dir_all(tree).map_err(Error::file("create", tree))?;
    let mut names = Vec::new();
    for layer in layers {
        let name = format!("{}.tar", layer.diff_id);
        let place = tree.join(&name);
        fs::rename(&layer.tar, &place).map_err(Error::file("move into place", &place))?;
        names.push(name);
    }
    let config_name = format!("{}.json", hex::encode(Sha256::digest(config)));
    write_file(&tree.join(&config_name), config)?;
    let manifest = json!([{ "Config": config_name, "RepoTags": [image.name], "Layers": names }]);
    write_file(&tree.join("manifest.json"), &to_bytes(&manifest))
}

fn write_blob(blobs: &Path, media_type: &str, bytes: &[u8]) -> Result<Value> {
    let digest = hex::encode(Sha256::digest(bytes));
    write_file(&blobs.join(&digest), bytes)?;
    Ok(descriptor(media_type, &digest, bytes.len() as u64))
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size })
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(Error::file("write", path))
}

fn to_bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// Hexadecimal SHA-256 of a file.
fn file_digest(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(Error::file("open", path))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = io::Read::read(&mut file, &mut buffer).map_err(Error::file("read", path))?;
        if count == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(&buffer[..count]);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::program::read;

    #[test]
    fn the_same_tree_gives_the_same_docker_archive() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("layer");
        fs::create_dir_all(tree.join("bin")).unwrap();
        fs::write(tree.join("bin/hello"), "hello").unwrap();
        let image = Image { name: "docker.io/example/hello:1.0", layers: &[tree], entrypoint: &["/bin/hello"] };
        let targets = ["one.tar", "two.tar"].map(|name| directory.path().join(name));
        for target in &targets {
            write(&image, Format::Docker, directory.path(), target).unwrap();
        }
        assert_eq!(fs::read(&targets[0]).unwrap(), fs::read(&targets[1]).unwrap());
        let manifest = read(program("tar").arg("-xOf").arg(&targets[0]).arg("./manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "docker.io/example/hello:1.0");
        let layer = manifest[0]["Layers"][0].as_str().unwrap();
        let content = fs::read(&targets[0]).unwrap();
        assert!(content.windows(layer.len()).any(|window| window == layer.as_bytes()));
    }
}
