//! Tags: add, remove, list; in both products.

use serde_json::{Value, json};

use super::page;
use crate::call::{Action, ApiCall, Product, nothing};
use crate::failure::{Failure, Outcome};
use crate::world::World;

const KINDS: [&str; 3] = ["ResourceType", "ResourceId.N", "TagKey.N"];
const TAG: [&str; 2] = ["Tag.N.Key", "Tag.N.Value"];

pub(super) const ACTIONS: &[Action] = &[
    Action { name: "TagResources", product: Product::Ecs, required: PUT, optional: &TAG, perform: put },
    Action { name: "TagResources", product: Product::Vpc, required: PUT, optional: &TAG, perform: put },
    Action {
        name: "UntagResources",
        product: Product::Ecs,
        required: TAKE,
        optional: &["All", KINDS[2]],
        perform: take,
    },
    Action {
        name: "UnTagResources",
        product: Product::Vpc,
        required: TAKE,
        optional: &["All", KINDS[2]],
        perform: take,
    },
    Action { name: "ListTagResources", product: Product::Ecs, required: LIST, optional: LISTS, perform: list },
    Action { name: "ListTagResources", product: Product::Vpc, required: LIST, optional: LISTS, perform: list },
];

const PUT: &[&str] = &["RegionId", KINDS[0], KINDS[1], "Tag.N.Key"];
const TAKE: &[&str] = &["RegionId", KINDS[0], KINDS[1]];
const LIST: &[&str] = &["RegionId", KINDS[0]];
const LISTS: &[&str] = &[KINDS[1], TAG[0], TAG[1], "NextToken", "MaxResults"];

type Tags = Vec<(String, String)>;

fn put(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let new = call.parameters.tags()?;
    for id in call.parameters.list("ResourceId", 50)? {
        let tags = tags_of(world, call, id)?;
        tags.retain(|(key, _)| new.iter().all(|(other, _)| other != key));
        tags.extend(new.iter().cloned());
        if tags.len() > 20 {
            return Err(Failure::new(400, "NumberExceed.Tags", format!("{id} would have more than 20 tags")));
        }
    }
    Ok(nothing())
}

fn take(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let all = call.parameters.flag("All")?;
    let keys: Vec<String> = call.parameters.list("TagKey", 20)?.into_iter().map(str::to_string).collect();
    for id in call.parameters.list("ResourceId", 50)? {
        tags_of(world, call, id)?.retain(|(key, _)| !(keys.contains(key) || keys.is_empty() && all));
    }
    Ok(nothing())
}

fn list(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let ids = call.parameters.list("ResourceId", 50)?;
    let kind = call.parameters.required("ResourceType")?.to_string();
    let mut found = Vec::new();
    for (id, tags) in every(world, call.region, &kind)? {
        if (ids.is_empty() || ids.contains(&id.as_str())) && call.parameters.tags_match(&tags)? {
            found.extend(tags.iter().map(
                |(key, value)| json!({ "ResourceType": kind, "ResourceId": id, "TagKey": key, "TagValue": value }),
            ));
        }
    }
    let page = page::by_token(found, call)?;
    Ok(json!({ "NextToken": page.frame.get("NextToken"), "TagResources": { "TagResource": page.items } }))
}

fn tags_of<'a>(world: &'a mut World, call: &ApiCall<'_>, id: &str) -> Outcome<&'a mut Tags> {
    let region = call.region;
    let kind = call.parameters.required("ResourceType")?.to_ascii_lowercase();
    let tags = match kind.as_str() {
        "instance" => world.instance(region, id).ok().map(|found| &mut found.tags),
        "securitygroup" => world.group(region, id).ok().map(|found| &mut found.tags),
        "keypair" => {
            world.key_pairs.iter_mut().find(|p| p.name == id && p.region == region).map(|found| &mut found.tags)
        }
        "vpc" => world.vpc(region, id).ok().map(|found| &mut found.tags),
        "vswitch" => world.vswitch(region, id).ok().map(|found| &mut found.tags),
        "eip" => world.eip(region, id).ok().map(|found| &mut found.tags),
        _ => return Err(Failure::new(400, "InvalidResourceType.NotFound", format!("{kind} is no type of resource"))),
    };
    tags.ok_or_else(|| Failure::not_found("InvalidResourceId.NotFound", id))
}

fn every(world: &World, region: &str, kind: &str) -> Outcome<Vec<(String, Tags)>> {
    macro_rules! of {
        ($list:ident, $name:ident) => {
            world.$list.iter().filter(|r| r.region == region).map(|r| (r.$name.clone(), r.tags.clone())).collect()
        };
    }
    Ok(match kind.to_ascii_lowercase().as_str() {
        "instance" => of!(instances, id),
        "securitygroup" => of!(groups, id),
        "keypair" => of!(key_pairs, name),
        "vpc" => of!(vpcs, id),
        "vswitch" => of!(vswitches, id),
        "eip" => of!(eips, id),
        _ => return Err(Failure::new(400, "InvalidResourceType.NotFound", format!("{kind} is no type of resource"))),
    })
}

/// Tags as the first product writes them.
pub(super) fn pairs(tags: &[(String, String)]) -> Vec<Value> {
    tags.iter().map(|(key, value)| json!({ "TagKey": key, "TagValue": value })).collect()
}
