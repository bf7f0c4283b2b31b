//! Events of a build.

use serde::Serialize;

use content_store::Digest;

use crate::transfer::TransferEvent;

/// Something that happened in a build. Steps and indexes are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum BuildEvent {
    /// The build for one of several platforms starts.
    Platform {
        /// The platform.
        platform: String,
        /// Its number.
        index: usize,
        /// How many there are.
        total: usize,
    },
    /// An instruction starts.
    Step {
        /// Its number.
        index: usize,
        /// How many there are.
        total: usize,
        /// Its name, for example `COPY`.
        keyword: String,
        /// Its arguments on one line.
        arguments: String,
    },
    /// A line of output of a RUN.
    Output {
        /// The instruction's number.
        index: usize,
        /// Standard error rather than standard output.
        is_error: bool,
        /// The line, without its end.
        line: String,
    },
    /// The instruction is done.
    StepDone {
        /// Its number.
        index: usize,
        /// What came of it.
        outcome: StepOutcome,
    },
    /// Something is probably a mistake, but the build goes on.
    Warning {
        /// What, in one sentence.
        message: String,
    },
    /// The base image is pulled.
    Pull {
        /// What happened.
        pull: TransferEvent,
    },
    /// The container images to carry are known.
    Images {
        /// How many names were found in lists.
        named: usize,
        /// How many came with archives in `images/`.
        in_archives: usize,
        /// How many the base image brings.
        inherited: usize,
    },
    /// A container image makes progress; the last one has `done` set.
    Image {
        /// Its name as written.
        name: String,
        /// Bytes that are here.
        bytes: u64,
        /// Bytes of the whole image, once known.
        total: Option<u64>,
        /// Bytes that had to be fetched.
        fetched: u64,
        /// It is complete.
        done: bool,
    },
}

/// What came of an instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum StepOutcome {
    /// The image to start from.
    Base {
        /// Size of its layers in bytes.
        size: u64,
        /// Number of its carried images.
        carried_images: usize,
    },
    /// A layer.
    Layer {
        /// Digest of the blob; `None` when nothing changed.
        digest: Option<Digest>,
        /// Number of files.
        files: u64,
        /// Size of the blob in bytes.
        size: u64,
        /// It was made by an earlier build, or by this one for another platform.
        cached: bool,
        /// Container images taken out of the layer into the catalogue.
        archived_images: usize,
    },
    /// It is written into the image and performed later, or concerns the instructions after it.
    Recorded,
}

/// Is told what a build does; must return quickly.
pub type BuildEvents<'a> = &'a (dyn Fn(BuildEvent) + Send + Sync);
