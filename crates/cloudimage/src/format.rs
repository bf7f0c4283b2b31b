//! Media types, annotations, labels and size limits of cluster images.

/// An OCI image index: the outermost document of a cluster image.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Docker's manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's manifest, version 2 schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A layer: tar and zstd.
pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// A layer: tar and gzip.
pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A layer: plain tar.
pub const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
/// Artifact type of the manifest that carries container images, and media type of its config, the catalogue.
pub const CONTAINER_IMAGES: &str = "application/vnd.sealer.container-images.v1+json";

/// Annotation of an index entry: what the manifest is. Its value here is [`KIND_CONTAINER_IMAGES`].
pub const KIND_ANNOTATION: &str = "io.sealer.manifest.kind";
/// Value of [`KIND_ANNOTATION`] for the manifest that carries container images.
pub const KIND_CONTAINER_IMAGES: &str = "container-images";
/// Annotation of an index entry: digest of the rootfs manifest that the carried images belong to.
pub const ROOTFS_ANNOTATION: &str = "io.sealer.manifest.rootfs";
/// Manifest annotation with applications and launch commands, as upstream writes it.
pub const EXTENSION_ANNOTATION: &str = "sealer.image.extension";
/// Manifest annotation with the names of the carried images, as upstream writes it.
pub const IMAGES_ANNOTATION: &str = "sealer.image.container.images";
/// Annotation of a name in the store: when the image was built or loaded here (RFC 3339).
pub const CREATED_ANNOTATION: &str = "org.opencontainers.image.created";
/// Annotation that containerd and Docker use for a whole image name.
pub const CONTAINERD_NAME_ANNOTATION: &str = "io.containerd.image.name";

/// Label: the version of sealer that built the image.
pub const VERSION_LABEL: &str = "io.sealer.version";
/// Label: the Kubernetes versions that an application image supports.
pub const KUBE_VERSION_LABEL: &str = "app.alpha.sealer.io/supported-kube-version";
/// Prefix of the label that names a network plugin.
pub const CNI_LABEL_PREFIX: &str = "cluster.alpha.sealer.io/kube-cni-";
/// Prefix of the label that names a storage plugin.
pub const CSI_LABEL_PREFIX: &str = "cluster.alpha.sealer.io/kube-csi-";

/// Largest index, manifest or config that is read, in bytes; registries take no larger ones.
pub const DOCUMENT_LIMIT: u64 = 4 << 20;
/// Largest catalogue that is read, in bytes. The manifest of carried images has at most [`content_store::DOCUMENT_LIMIT`]: in a
/// larger one, the store would not see which blobs are needed.
pub const CATALOGUE_LIMIT: u64 = 16 << 20;
/// Most manifests that the index of a pulled image may list.
pub const MANIFESTS_LIMIT: usize = 500;
/// Most layers of a rootfs. An overlay file system takes no more.
pub const LAYERS_LIMIT: usize = 500;

/// Whether a media type is that of an image index.
#[must_use]
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, INDEX | DOCKER_INDEX)
}

/// Whether a media type is that of an image manifest.
#[must_use]
pub fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, MANIFEST | DOCKER_MANIFEST)
}
