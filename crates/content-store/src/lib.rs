//! Stores blobs by digest and names that point at them, on disk as an OCI image layout.
//!
//! # Steps
//!
//! 1. [`Store::open`] a directory. Any number of processes may have it open.
//! 2. Take a [`GcGuard`] with [`Store::gc_guard`] for as long as blobs are written that no name points at yet.
//! 3. Write blobs with [`Store::writer`], [`Store::partial`] (continues after an interruption) or [`Store::put`].
//! 4. Point a name at them with [`Store::set_name`]; from then on they are kept.
//! 5. Read with [`Store::read_verified`] (documents) and [`Store::verified_reader`] (anything); corrupt content is an error, never data.
//! 6. [`Store::collect_garbage`] removes what no name reaches; [`Alone::forget_cached`] before it keeps cached images within a size.
//!
//! ```
//! # fn main() -> Result<(), content_store::Error> {
//! # let directory = tempfile::tempdir().expect("a temporary directory");
//! # let root = directory.path();
//! use content_store::{Descriptor, MediaType, NameKind, Reference, Store};
//!
//! let store = Store::open(root)?;
//! let _guard = store.gc_guard()?;
//! let blob = store.put(br#"{"schemaVersion":2,"manifests":[]}"#)?;
//! let name: Reference = "shop:1.4".parse()?;
//! store.set_name(
//!     NameKind::ClusterImage,
//!     &name.to_string(),
//!     &Descriptor::new(MediaType::ImageIndex, blob.size, blob.digest),
//! )?;
//! assert_eq!(store.names()?[0].name, "docker.io/library/shop:1.4");
//! # Ok(())
//! # }
//! ```
//!
//! # On disk
//!
//! `oci-layout`, `index.json` and `blobs/sha256/` (`blobs/sha512/` for such digests) as the OCI image layout says; beside them `ingest/` (unfinished writes, uploads, and marks of blobs that no name reaches yet), `lock`
//! (shared while blobs are written, exclusive while garbage is collected) and `index.lock` (exclusive while `index.json` is replaced).
//! A name is an entry of `index.json` with the annotations [`REF_NAME_ANNOTATION`] and [`NAME_KIND_ANNOTATION`]; entries of other
//! tools are kept as they are.
//!
//! # Errors
//!
//! Every function returns [`Error`], which names the failed act and the file it failed on.

mod check;
mod durable;
mod error;
mod evict;
mod gc;
mod index;
mod lock;
mod mentioned;
mod partial;
mod reader;
mod references;
mod reserve;
mod store;
mod upload;
mod writer;

pub use check::Check;
pub use error::{Error, Result};
pub use gc::{Alone, Freed, Garbage, Partials, Removed};
pub use index::{NAME_KIND_ANNOTATION, NameKind, Named, REF_NAME_ANNOTATION};
pub use lock::GcGuard;
pub use oci_reference::{Algorithm, DefaultRegistry, Digest, Error as ReferenceError, Hasher, Reference};
pub use oci_spec::image::{Descriptor, MediaType};
pub use partial::PartialBlob;
pub use reader::{BlobFile, FileVersion, VerifiedReader};
pub use references::References;
pub use store::{Blob, DOCUMENT_LIMIT, DOCUMENT_MEDIA_TYPE, Store};
pub use upload::Upload;
pub use writer::BlobWriter;
