//! The index of a copy: what is needed to find and to verify it, and nothing secret.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Content;
use super::content::{LIMIT, Packed};
use crate::Error;
use crate::operator_lock::Operator;

/// The layout of copies that this version writes and reads.
const FORMAT: u32 = 1;
/// Bytes of one part: with what Base64 and the object around it add, far below what API server and etcd accept.
pub(super) const PART: usize = 700 << 10;

/// What is stored last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    /// [`FORMAT`].
    format: u32,
    /// The cluster's name.
    pub(crate) cluster: String,
    /// Counts the copies of a cluster: a higher one is newer, whatever clocks say.
    pub(crate) generation: u64,
    /// [`Content::digest`].
    pub(crate) digest: String,
    /// Digest of the compressed block that the parts make.
    pub(crate) archive: String,
    /// How many parts there are.
    pub(crate) parts: usize,
    /// [`Content::authority`].
    pub(crate) authority: String,
    /// Who wrote it, for people: `alice@desk`.
    pub(crate) writer: String,
    /// The state directory from which it was written.
    pub(crate) operator: String,
    /// When, by the writer's clock.
    pub(crate) time: String,
}

impl Index {
    pub(super) fn new(
        generation: u64,
        content: &Content,
        packed: &Packed,
        operator: &Operator,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            format: FORMAT,
            cluster: content.cluster().to_owned(),
            generation,
            digest: content.digest().to_owned(),
            archive: packed.digest.clone(),
            parts: packed.bytes.len().div_ceil(packed.part),
            authority: content.authority(),
            writer: operator.name().to_owned(),
            operator: operator.id().to_owned(),
            time: crate::operator_lock::timestamp(now),
        }
    }

    /// Reads an index.
    ///
    /// # Errors
    ///
    /// [`Error::CopyFormat`] when a later version wrote it, [`Error::CopyDamaged`] when it is none.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = || Error::CopyDamaged { reason: "has no index that can be read".to_owned() };
        let Format { format } = serde_json::from_slice(text).map_err(|_| damaged())?;
        if format > FORMAT {
            return Err(Error::CopyFormat { format });
        }
        let index: Self = serde_json::from_slice(text).map_err(|_| damaged())?;
        let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        // Names of objects are made of these.
        let sane = is_digest(&index.archive) && (1..=LIMIT / PART + 2).contains(&index.parts);
        if sane { Ok(index) } else { Err(damaged()) }
    }

    /// The name of a part.
    pub(super) fn part(&self, number: usize) -> String {
        format!("{}{number}", self.prefix())
    }

    /// How the names of its parts begin, and no others.
    pub(super) fn prefix(&self) -> String {
        format!("sealer-state-{}-{}-", self.generation, &self.archive[..16])
    }
}
