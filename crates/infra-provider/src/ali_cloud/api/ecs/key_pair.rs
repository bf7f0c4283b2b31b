//! Imports, lists and deletes SSH key pairs.

use serde::Deserialize;

use super::super::answer::list;
use super::super::{Done, Listing, Parameters, Product, Request, Tag};

/// Makes a key pair of a public key, as in `authorized_keys`; the private one stays here. A name that is taken in account
/// and region is refused.
#[must_use]
pub fn import_key_pair(name: &str, public_key: &str, tags: &[Tag]) -> Request<Done> {
    let parameters = Parameters::new().text("KeyPairName", name).text("PublicKeyBody", public_key).tags(tags);
    Request::new(Product::Ecs, "ImportKeyPair", parameters)
}

/// Deletes 1 to 100 key pairs by name; machines made with them keep the key.
#[must_use]
pub fn delete_key_pairs(names: &[String]) -> Request<Done> {
    Request::new(Product::Ecs, "DeleteKeyPairs", Parameters::new().json_list("KeyPairNames", names))
}

/// Lists key pairs with all these tags.
#[must_use]
pub fn describe_key_pairs(tags: &[Tag]) -> Listing<KeyPair> {
    Listing::numbered(Product::Ecs, "DescribeKeyPairs", Parameters::new().tags(tags), 50)
}

/// A key pair.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KeyPair {
    /// Its name.
    pub key_pair_name: String,
    /// Its tags.
    #[serde(deserialize_with = "list")]
    pub tags: Vec<Tag>,
}
