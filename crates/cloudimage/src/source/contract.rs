//! The contract suite of [`ImageSource`]; run it on your own implementation.

use super::{ImageSource, RootfsView, WantedImage};

/// Checks a source that finds exactly `expected` for this rootfs.
///
/// # Panics
/// When the source does not keep the contract.
pub async fn check(source: &dyn ImageSource, rootfs: &RootfsView, expected: &[WantedImage]) {
    let found = source.find(rootfs).await.expect("the source can read its input");
    assert_eq!(found, expected);
    for image in &found {
        let name: Result<content_store::Reference, _> = image.name.parse();
        assert!(name.is_ok(), "{} is no image name", image.name);
        assert!(!image.source.is_empty(), "{} has no place where it was found", image.name);
    }
    let again = source.find(rootfs).await.expect("the source can read its input twice");
    assert_eq!(again, found, "the same input gives the same names in the same order");
}
