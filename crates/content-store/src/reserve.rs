//! Keeps some space of the disk back, so that a full disk does not stop what frees space.
//!
//! To remove a name, a smaller `index.json` has to be written beside the one that is there.

use std::fs;
use std::path::Path;

/// Name of the file in the store.
pub(crate) const FILE: &str = "reserve";
/// Enough for an `index.json` of more than a thousand names.
const BYTES: usize = 512 << 10;

/// Takes the space, unless it is taken already. Where there is none, there is nothing to keep back.
pub(crate) fn keep(path: &Path) {
    if !path.exists() && atomic_file::write(path, &vec![0; BYTES], 0o600).is_err() {
        give_up(path);
    }
}

/// Gives the space back, to be used at once.
pub(crate) fn give_up(path: &Path) {
    // What is not there, or on a disk that cannot be written, frees nothing.
    let _ = fs::remove_file(path);
}
