//! Errors about cluster images, with the object they are about.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use content_store::Digest;

use crate::source::Unfetchable;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed act on a cluster image, with the object it failed on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message above each variant says it, its fields are the message's")]
pub enum Error {
    #[error(transparent)]
    Store(#[from] content_store::Error),
    #[error(transparent)]
    Reference(#[from] content_store::ReferenceError),
    #[error("cannot {act} {}", path.display())]
    File { act: &'static str, path: PathBuf, source: io::Error },
    #[error("`{value}` is not a value of {option}; expected {expected}")]
    Option { option: &'static str, value: String, expected: &'static str },
    #[error(
        "cluster image {name} is not in the store; see `sealer images`, pull it with `sealer pull {name}`, build it with `sealer build -t {name}`, or load it with `sealer load`"
    )]
    UnknownImage { name: String },
    #[error("{document} is not a cluster image: {reason}")]
    NotAnImage { document: String, reason: String },
    #[error("{document} cannot be understood")]
    Document { document: String, source: serde_json::Error },
    #[error("{name} is not built for {wanted}; it has {available}")]
    NoPlatform { name: String, wanted: String, available: String },
    #[error(
        "only a part of {name} is in the store{}: what it has for {absent} is not; `sealer pull --platform {absent} {name}` brings it",
        only(.here)
    )]
    Partial { name: String, absent: String, digest: Digest, here: String },
    #[error("cluster image {name} is not in the store (see `sealer images`), and cannot be pulled")]
    NotPulled { name: String, source: registry_client::Error },
    #[error("the index of {name} lists {count} manifests; {limit} are the most that are pulled")]
    TooManyManifests { name: String, count: usize, limit: usize },
    #[error("layer {digest} has the media type {media_type}, which is not a tar this version reads")]
    LayerType { digest: Digest, media_type: String },
    #[error("layer {digest} cannot be decompressed")]
    Decompress { digest: Digest, source: io::Error },
    #[error("{archive} is refused: {}{reason}", at(entry))]
    Archive { archive: String, entry: String, reason: String },
    #[error("{image} is used: {users}; remove it with force to take all these names away")]
    InUse { image: String, users: String },

    #[error("{what} is no mounted image and no place of one; `sealer mount` lists them")]
    NotMounted { what: String },
    #[error("there is an image {name} already; add to it with `sealer manifest add`, or delete it first")]
    NameTaken { name: String },
    #[error("{name} has no manifest {manifest}; see `sealer manifest inspect {name}`")]
    NotInList { name: String, manifest: String },
    #[error("{manifest} holds the container images of the rootfs {rootfs}; remove that one, and they go with it")]
    PartOfRootfs { manifest: String, rootfs: String },

    #[error("the Kubefile has errors")]
    Kubefile(#[from] kubefile::Errors),
    #[error("the build context {} is not a directory", path.display())]
    Context { path: PathBuf },
    #[error("line {line}: there is no {pattern} in the build context {}{}", context.display(), did_you_mean(suggestion))]
    MissingSource { line: usize, pattern: String, context: PathBuf, suggestion: Option<String> },
    #[error("line {line}: {pattern} is a link to {}, which is not there", target.display())]
    DanglingLink { line: usize, pattern: String, target: PathBuf },
    #[error("line {line}: {} is a socket, which an image cannot hold; take it out of the sources", path.display())]
    Socket { line: usize, path: PathBuf },
    #[error("line {line}: {pattern} is left out by .sealerignore")]
    IgnoredSource { line: usize, pattern: String },
    #[error("line {line}: {pattern} leads out of the build context (to {}); copy it into the context", target.display())]
    SourceEscapes { line: usize, pattern: String, target: PathBuf },
    #[error("line {line}: the pattern {pattern} is malformed: {reason}")]
    Pattern { line: usize, pattern: String, reason: String },
    #[error("line {line}: {reason}")]
    Destination { line: usize, reason: String },
    #[error("line {line}: the owner {owner} is not known: {reason}")]
    Owner { line: usize, owner: String, reason: String },
    #[error("line {line}: cannot download {url}: {reason}")]
    Download { line: usize, url: String, reason: String },
    #[error("{} files cannot be downloaded:{}", .0.len(), .0.iter().map(|one| format!("\n  {one}")).collect::<String>())]
    Downloads(Vec<Error>),
    #[error("line {line}: {url} is not what the Kubefile asks for: wanted sha256:{wanted}, found sha256:{found}")]
    Checksum { line: usize, url: String, wanted: String, found: String },
    #[error("{reason}")]
    BaseImage { reason: String },
    #[error("line {line}: {what} is not supported; {instead}")]
    Unsupported { line: usize, what: String, instead: &'static str },
    #[error("line {line}: `{command}` {outcome}{}", lines(last_lines))]
    Run { line: usize, command: String, outcome: String, last_lines: Vec<String> },
    #[error("line {line}: `{command}` was killed because it did not end within {} s{}", limit.as_secs_f64(), lines(last_lines))]
    RunTimeout { line: usize, command: String, limit: Duration, last_lines: Vec<String> },
    #[error(
        "line {line}: RUN enters the rootfs, an operating system for {platform}, which this machine cannot run: {reason}"
    )]
    ForeignRun { line: usize, platform: String, reason: String },
    #[error("the image is no {asked}: {reason}")]
    ImageKind { asked: &'static str, reason: String },
    #[error("line {line}: RUN cannot be performed here: {reason}; run the build as root, or do without RUN")]
    NoSandbox { line: usize, reason: String },
    #[error(transparent)]
    Registry(#[from] registry_client::Error),
    #[error("the sandbox cannot {act}")]
    Sandbox { act: String, source: io::Error },
    #[error("line {line}: {reason}")]
    Application { line: usize, reason: String },
    #[error("{} of the container images to carry cannot be had:{}", .0.len(), .0.iter().map(|one| format!("\n  {one}")).collect::<String>())]
    Unfetchable(Vec<Unfetchable>),
    #[error("{list}:{line}: `{text}` is not an image name")]
    ImageName { list: String, line: usize, text: String, source: content_store::ReferenceError },
    #[error(transparent)]
    Transfer(content_transfer::Error),
    #[error("the transfer was cancelled; the same command again continues it")]
    TransferCancelled,
    #[error(
        "the build was cancelled before its image was complete; the same build again reuses the layers that are done"
    )]
    Cancelled,
    #[error("a thread of the build panicked")]
    TaskPanicked(#[source] tokio::task::JoinError),
}

impl From<content_transfer::Error> for Error {
    fn from(error: content_transfer::Error) -> Self {
        match error {
            content_transfer::Error::Store(error) => Self::Store(error),
            content_transfer::Error::Registry(error) => Self::Registry(error),
            content_transfer::Error::Cancelled => Self::TransferCancelled,
            error => Self::Transfer(error),
        }
    }
}

impl Error {
    pub(crate) fn file(act: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { act, path, source }
    }

    pub(crate) fn document(document: impl std::fmt::Display) -> impl FnOnce(serde_json::Error) -> Self {
        let document = document.to_string();
        move |source| Self::Document { document, source }
    }
}

fn only(platforms: &str) -> String {
    if platforms.is_empty() { String::new() } else { format!(" ({platforms})") }
}

fn at(entry: &str) -> String {
    if entry.is_empty() { String::new() } else { format!("{entry}: ") }
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n  {line}")).collect()
}
