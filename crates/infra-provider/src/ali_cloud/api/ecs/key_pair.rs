//! Imports, lists and deletes SSH key pairs.

use clusterfile::Secret;
use serde::{Deserialize, Deserializer};

use super::super::answer::list;
use super::super::{Action, Done, Listing, Page, Parameters, Product, Tag};

/// Has the cloud make a key pair. It has no token, and the private key is told only this once.
#[derive(Debug, Clone, Default)]
pub struct CreateKeyPair {
    /// Its name, unique in account and region.
    pub name: String,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A key pair was made.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyPairCreated {
    /// Its name.
    pub key_pair_name: String,
    /// The private key, PEM.
    #[serde(deserialize_with = "secret")]
    pub private_key_body: Secret,
    /// Its fingerprint.
    #[serde(default)]
    pub key_pair_finger_print: String,
}

impl Action for CreateKeyPair {
    const NAME: &'static str = "CreateKeyPair";
    const PRODUCT: Product = Product::Ecs;
    type Answer = KeyPairCreated;

    fn parameters(&self) -> Parameters {
        Parameters::new().text("KeyPairName", &self.name).tags(&self.tags)
    }
}

/// Makes a key pair of a public key; the private one stays here. A name that is taken is refused.
#[derive(Debug, Clone, Default)]
pub struct ImportKeyPair {
    /// Its name, unique in account and region.
    pub name: String,
    /// The public key as in `authorized_keys`.
    pub public_key: String,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A key pair was imported.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KeyPairImported {
    /// Its name.
    pub key_pair_name: String,
    /// Its fingerprint.
    pub key_pair_finger_print: String,
}

impl Action for ImportKeyPair {
    const NAME: &'static str = "ImportKeyPair";
    const PRODUCT: Product = Product::Ecs;
    type Answer = KeyPairImported;

    fn parameters(&self) -> Parameters {
        Parameters::new().text("KeyPairName", &self.name).text("PublicKeyBody", &self.public_key).tags(&self.tags)
    }
}

/// Deletes key pairs; machines made with them keep the key.
#[derive(Debug, Clone, Default)]
pub struct DeleteKeyPairs {
    /// Their names, 1 to 100.
    pub names: Vec<String>,
}

impl Action for DeleteKeyPairs {
    const NAME: &'static str = "DeleteKeyPairs";
    const PRODUCT: Product = Product::Ecs;
    type Answer = Done;

    fn parameters(&self) -> Parameters {
        Parameters::new().json_list("KeyPairNames", &self.names)
    }
}

/// Lists key pairs.
#[derive(Debug, Clone)]
pub struct DescribeKeyPairs {
    /// Only this name; `*` stands for anything.
    pub name: Option<String>,
    /// Only those with all these tags.
    pub tags: Vec<Tag>,
    /// Which page.
    pub page: Page,
}

impl Default for DescribeKeyPairs {
    fn default() -> Self {
        Self { name: None, tags: Vec::new(), page: Page::first(50) }
    }
}

/// A page of key pairs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KeyPairs {
    /// How many there are on all pages.
    pub total_count: u64,
    /// Those of this page.
    #[serde(deserialize_with = "list")]
    pub key_pairs: Vec<KeyPair>,
}

/// A key pair.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KeyPair {
    /// Its name.
    pub key_pair_name: String,
    /// Its fingerprint.
    pub key_pair_finger_print: String,
    /// Its tags.
    #[serde(deserialize_with = "list")]
    pub tags: Vec<Tag>,
}

impl Action for DescribeKeyPairs {
    const NAME: &'static str = "DescribeKeyPairs";
    const PRODUCT: Product = Product::Ecs;
    type Answer = KeyPairs;

    fn parameters(&self) -> Parameters {
        let parameters = Parameters::new().optional("KeyPairName", self.name.as_ref()).tags(&self.tags);
        self.page.parameters(parameters)
    }
}

impl Listing for DescribeKeyPairs {
    type Item = KeyPair;

    fn turn(&mut self, answer: KeyPairs, items: &mut Vec<KeyPair>) -> bool {
        let more = self.page.turn(answer.key_pairs.len(), answer.total_count);
        items.extend(answer.key_pairs);
        more
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::from)
}
