//! What every backend must do; run by the real ones and by the stand-in.

use super::Backend;
use crate::Error;
use std::io::{self, Read};

/// Checks the contract of [`Backend`] on an empty backend.
///
/// # Panics
///
/// When the backend breaks the contract.
#[expect(clippy::unwrap_used, reason = "a contract suite reports by panicking")]
pub fn contract(backend: &dyn Backend) {
    let read = |key: &str, offset| -> Vec<u8> {
        let mut bytes = Vec::new();
        backend.get(key, offset).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(backend.list("").unwrap(), Vec::<String>::new(), "the suite starts with an empty backend");
    assert_eq!(backend.size("a/b").unwrap(), None);
    assert!(matches!(backend.get("a/b", 0), Err(Error::NoObject { .. })));
    assert!(!backend.remove("a/b").unwrap());

    assert_eq!(backend.put("a/b", &mut &b"hello"[..]).unwrap(), 5);
    assert_eq!(backend.put("a/c/d", &mut &b""[..]).unwrap(), 0);
    assert_eq!(backend.put("ab", &mut &b"x"[..]).unwrap(), 1);
    assert_eq!(read("a/b", 0), b"hello");
    assert_eq!(read("a/b", 3), b"lo");
    assert_eq!(read("a/b", 5), b"");
    assert_eq!(read("a/b", 500), b"");
    assert_eq!(backend.size("a/b").unwrap(), Some(5));
    assert_eq!(backend.size("a/c/d").unwrap(), Some(0));
    assert_eq!(backend.size("a").unwrap(), None, "a prefix is not an object");
    assert!(matches!(backend.get("a", 0), Err(Error::NoObject { .. })));
    assert_eq!(backend.list("").unwrap(), ["a/b", "a/c/d", "ab"]);
    assert_eq!(backend.list("a/").unwrap(), ["a/b", "a/c/d"]);
    assert_eq!(backend.list("a/c").unwrap(), ["a/c/d"]);
    assert_eq!(backend.list("zz").unwrap(), Vec::<String>::new());

    assert_eq!(backend.put("a/b", &mut &b"other"[..]).unwrap(), 5);
    assert_eq!(read("a/b", 0), b"other");
    let mut broken = b"half".chain(Broken);
    assert!(matches!(backend.put("a/b", &mut broken), Err(Error::Source { .. })));
    assert_eq!(read("a/b", 0), b"other", "a failed put changes nothing");
    assert_eq!(backend.list("").unwrap(), ["a/b", "a/c/d", "ab"], "a failed put leaves nothing");

    for key in ["", "/", "/a", "a/", "a//b", "..", "../a", "a/../b", ".", "a/.b", "a\\b", "a\nb", &"k".repeat(513)] {
        assert!(
            matches!(backend.put(key, &mut &b""[..]), Err(Error::InvalidKey { .. })),
            "key {key:?} was taken by put"
        );
        assert!(matches!(backend.get(key, 0), Err(Error::InvalidKey { .. })), "key {key:?} was taken by get");
        assert!(matches!(backend.size(key), Err(Error::InvalidKey { .. })), "key {key:?} was taken by size");
        assert!(matches!(backend.remove(key), Err(Error::InvalidKey { .. })), "key {key:?} was taken by remove");
    }

    assert!(backend.remove("a/b").unwrap());
    assert!(!backend.remove("a/b").unwrap());
    assert_eq!(backend.list("").unwrap(), ["a/c/d", "ab"]);
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the source broke"))
    }
}
