//! Key pairs: create, import, describe, delete.

use serde_json::{Value, json};

use super::page;
use super::tag::pairs;
use crate::call::{Action, ApiCall, Product, nothing};
use crate::failure::{Failure, Outcome};
use crate::world::{KeyPair, World, letters};

pub(super) const ACTIONS: &[Action] = &[
    Action {
        name: "CreateKeyPair",
        product: Product::Ecs,
        required: &["RegionId", "KeyPairName"],
        optional: &["Tag.N.Key", "Tag.N.Value", "ResourceGroupId"],
        perform: create,
    },
    Action {
        name: "ImportKeyPair",
        product: Product::Ecs,
        required: &["RegionId", "KeyPairName", "PublicKeyBody"],
        optional: &["Tag.N.Key", "Tag.N.Value", "ResourceGroupId"],
        perform: import,
    },
    Action {
        name: "DescribeKeyPairs",
        product: Product::Ecs,
        required: &["RegionId"],
        optional: &[
            "KeyPairName",
            "KeyPairFingerPrint",
            "IncludePublicKey",
            "Tag.N.Key",
            "Tag.N.Value",
            "PageNumber",
            "PageSize",
        ],
        perform: list,
    },
    Action {
        name: "DeleteKeyPairs",
        product: Product::Ecs,
        required: &["RegionId", "KeyPairNames"],
        optional: &[],
        perform: delete,
    },
];

fn create(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let pair = remember(world, call, None)?;
    Ok(json!({
        "KeyPairId": format!("ssh-{}", letters(fingerprint_seed(&pair.name), 20)),
        "KeyPairName": pair.name,
        "KeyPairFingerPrint": pair.fingerprint,
        // Nobody can log in with it: a test that needs a key brings its own.
        "PrivateKeyBody": "-----BEGIN RSA PRIVATE KEY-----\nthe double makes no keys\n-----END RSA PRIVATE KEY-----",
    }))
}

fn import(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let body = call.parameters.required("PublicKeyBody")?.trim().to_string();
    let kind = body.split(' ').next().unwrap_or_default();
    if !["ssh-rsa", "ssh-ed25519"].contains(&kind) || body.split(' ').count() < 2 {
        return Err(Failure::new(400, "InvalidPublicKeyBody.Malformed", "it is no public key that is supported"));
    }
    let pair = remember(world, call, Some(body))?;
    Ok(json!({ "KeyPairName": pair.name, "KeyPairFingerPrint": pair.fingerprint }))
}

fn remember(world: &mut World, call: &ApiCall<'_>, public_key: Option<String>) -> Outcome<KeyPair> {
    let name = call.parameters.required("KeyPairName")?;
    let length = name.chars().count();
    if !(2..=128).contains(&length) || !name.starts_with(char::is_alphabetic) || name.starts_with("http") {
        return Err(Failure::new(400, "InvalidKeyPairName.Malformed", "a name has 2 to 128 characters"));
    }
    if world.key_pairs.iter().any(|pair| pair.name == name && pair.region == call.region) {
        return Err(Failure::new(400, "KeyPair.AlreadyExist", format!("there is a key pair {name} already")));
    }
    let fingerprint = letters(fingerprint_seed(public_key.as_deref().unwrap_or(name)), 32);
    let pair = KeyPair {
        region: call.region.to_string(),
        name: name.to_string(),
        public_key,
        fingerprint,
        tags: call.parameters.tags()?,
        foreign: false,
    };
    world.key_pairs.push(pair.clone());
    Ok(pair)
}

fn fingerprint_seed(text: &str) -> u64 {
    text.bytes().fold(7, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

fn list(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let public = call.parameters.flag("IncludePublicKey")?;
    let mut found = Vec::new();
    for pair in world.key_pairs.iter().filter(|pair| pair.region == call.region) {
        let fits = call.parameters.get("KeyPairName").is_none_or(|wanted| matches(wanted, &pair.name))
            && call.parameters.get("KeyPairFingerPrint").is_none_or(|wanted| wanted == pair.fingerprint);
        if fits && call.parameters.tags_match(&pair.tags)? {
            let mut shown = json!({
                "KeyPairName": pair.name,
                "KeyPairFingerPrint": pair.fingerprint,
                "Tags": { "Tag": pairs(&pair.tags) },
            });
            if let (true, Some(key)) = (public, &pair.public_key) {
                shown["PublicKey"] = json!(key);
            }
            found.push(shown);
        }
    }
    let page = page::by_number(found, call, 50)?;
    let mut answer = page.frame;
    answer.insert("KeyPairs".to_string(), json!({ "KeyPair": page.items }));
    Ok(Value::Object(answer))
}

/// `*` at either end stands for anything.
fn matches(wanted: &str, name: &str) -> bool {
    match (wanted.strip_prefix('*'), wanted.strip_suffix('*')) {
        (Some(rest), None) => name.ends_with(rest),
        (None, Some(rest)) => name.starts_with(rest),
        (Some(_), Some(_)) => name.contains(wanted.trim_matches('*')),
        (None, None) => wanted == name,
    }
}

fn delete(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let text = call.parameters.required("KeyPairNames")?;
    let names: Vec<String> =
        serde_json::from_str(text).map_err(|_| Failure::invalid("KeyPairNames", "it is no JSON list of text"))?;
    for name in &names {
        let Some(pair) = world.key_pairs.iter().find(|pair| pair.name == *name && pair.region == call.region) else {
            continue;
        };
        if pair.foreign {
            return Err(Failure::foreign("deletes key pair", name));
        }
        if world.instances.iter().any(|instance| instance.key_pair.as_ref() == Some(name)) {
            let message = format!("{name} is in use by an instance");
            return Err(Failure::new(400, "InvalidOperation.KeyPairInUse", message));
        }
    }
    world.key_pairs.retain(|pair| pair.region != call.region || !names.contains(&pair.name));
    Ok(nothing())
}
