//! Reads small files of text that the operator named.

use std::io::ErrorKind;
use std::path::Path;

use crate::Error;

const LIMIT: u64 = 1 << 20;

/// The text of a file that must be there; `act` says in the error what for, as in "read the private key".
pub(crate) fn read(act: &'static str, path: &Path) -> Result<String, Error> {
    let text = atomic_file::read_text(path, LIMIT).and_then(|text| text.ok_or(ErrorKind::NotFound.into()));
    text.map_err(|source| Error::State { act, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_is_text_without_a_byte_order_mark() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        std::fs::write(&path, "\u{feff}-----BEGIN CERTIFICATE-----\n").unwrap();
        assert_eq!(read("read", &path).unwrap(), "-----BEGIN CERTIFICATE-----\n");
        std::fs::write(&path, b"\xff\xfe-\0").unwrap();
        let said = error_report::one_line(&read("read the private key", &path).unwrap_err());
        assert!(said.contains("read the private key") && said.contains("ca.pem") && said.contains("UTF-16"), "{said}");
        assert!(read("read", std::path::Path::new("/dev/zero")).is_err(), "no more than the limit is read");
    }
}
