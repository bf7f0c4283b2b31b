//! Security groups: create, authorize, revoke, describe, delete.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::page;
use crate::call::{Action, ApiCall, Product, nothing};
use crate::clock::timestamp;
use crate::failure::{Failure, Outcome};
use crate::world::{Cidr, Rule, SecurityGroup, World};

const RULE_LIMIT: usize = 200;
const FLAT: &[&str] =
    &["IpProtocol", "PortRange", "SourceCidrIp", "SourceGroupId", "Policy", "Priority", "Description"];

pub(super) const ACTIONS: &[Action] = &[
    Action {
        name: "CreateSecurityGroup",
        product: Product::Ecs,
        required: &["RegionId"],
        optional: &[
            "VpcId",
            "SecurityGroupName",
            "SecurityGroupType",
            "Description",
            "ClientToken",
            "Tag.N.Key",
            "Tag.N.Value",
            "ResourceGroupId",
        ],
        perform: create,
    },
    Action {
        name: "AuthorizeSecurityGroup",
        product: Product::Ecs,
        required: &["RegionId", "SecurityGroupId"],
        optional: RULES,
        perform: authorize,
    },
    Action {
        name: "RevokeSecurityGroup",
        product: Product::Ecs,
        required: &["RegionId", "SecurityGroupId"],
        optional: RULES,
        perform: revoke,
    },
    Action {
        name: "DescribeSecurityGroups",
        product: Product::Ecs,
        required: &["RegionId"],
        optional: &[
            "VpcId",
            "SecurityGroupId",
            "SecurityGroupIds",
            "SecurityGroupName",
            "Tag.N.Key",
            "Tag.N.Value",
            "PageNumber",
            "PageSize",
            "MaxResults",
            "NextToken",
        ],
        perform: list,
    },
    Action {
        name: "DescribeSecurityGroupAttribute",
        product: Product::Ecs,
        required: &["RegionId", "SecurityGroupId"],
        optional: &["Direction", "NicType"],
        perform: attribute,
    },
    Action {
        name: "DeleteSecurityGroup",
        product: Product::Ecs,
        required: &["RegionId", "SecurityGroupId"],
        optional: &[],
        perform: delete,
    },
];

const RULES: &[&str] = &[
    "IpProtocol",
    "PortRange",
    "SourceCidrIp",
    "SourceGroupId",
    "Policy",
    "Priority",
    "Description",
    "NicType",
    "Permissions.N.IpProtocol",
    "Permissions.N.PortRange",
    "Permissions.N.SourceCidrIp",
    "Permissions.N.SourceGroupId",
    "Permissions.N.Policy",
    "Permissions.N.Priority",
    "Permissions.N.Description",
    "Permissions.N.NicType",
    "ClientToken",
];

fn create(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let vpc = call.parameters.required("VpcId")?.to_string();
    let status = world.vpc(call.region, &vpc)?.status(call.now);
    if status == "Pending" {
        return Err(Failure::state("IncorrectVpcStatus", &vpc, status));
    }
    if !matches!(call.parameters.get("SecurityGroupType"), None | Some("normal" | "enterprise")) {
        return Err(Failure::invalid("SecurityGroupType", "it is neither normal nor enterprise"));
    }
    if world.groups.iter().filter(|group| group.region == call.region).count() >= world.options.quotas.security_groups {
        return Err(Failure::new(403, "QuotaExceed.SecurityGroup", "there are too many security groups"));
    }
    let id = world.fresh_id("sg");
    world.groups.push(SecurityGroup {
        id: id.clone(),
        region: call.region.to_string(),
        name: call.parameters.get("SecurityGroupName").unwrap_or_default().to_string(),
        vpc,
        tags: call.parameters.tags()?,
        created: timestamp(call.wall),
        rules: Vec::new(),
        foreign: false,
    });
    Ok(json!({ "SecurityGroupId": id }))
}

fn authorize(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let rules = rules(call)?;
    let group = world.group(call.region, call.parameters.required("SecurityGroupId")?)?;
    for rule in rules {
        if !group.rules.contains(&rule) {
            group.rules.push(rule);
        }
    }
    if group.rules.len() > RULE_LIMIT {
        return Err(Failure::new(403, "AuthorizationLimitExceed", format!("a group has at most {RULE_LIMIT} rules")));
    }
    Ok(nothing())
}

fn revoke(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let rules = rules(call)?;
    let group = world.group(call.region, call.parameters.required("SecurityGroupId")?)?;
    group.rules.retain(|rule| !rules.contains(rule));
    Ok(nothing())
}

/// The rules of one call, in either form, never in both.
fn rules(call: &ApiCall<'_>) -> Outcome<Vec<Rule>> {
    let flat: BTreeMap<&str, &str> = FLAT.iter().filter_map(|name| Some((*name, call.parameters.get(name)?))).collect();
    let several = call.parameters.objects("Permissions", 100)?;
    match (flat.is_empty(), several.is_empty()) {
        (true, true) => Err(Failure::missing("Permissions")),
        (false, false) => Err(Failure::invalid("Permissions", "the two forms exclude each other")),
        (false, true) => Ok(vec![rule(&flat)?]),
        (true, false) => several.iter().map(rule).collect(),
    }
}

fn rule(fields: &BTreeMap<&str, &str>) -> Outcome<Rule> {
    let field = |name: &str| fields.get(name).copied().filter(|value| !value.is_empty());
    let protocol = field("IpProtocol").ok_or_else(|| Failure::missing("IpProtocol"))?.to_ascii_uppercase();
    if !["TCP", "UDP", "ICMP", "GRE", "ALL"].contains(&protocol.as_str()) {
        return Err(Failure::new(400, "InvalidIpProtocol.Malformed", format!("{protocol} is no protocol")));
    }
    let ports = field("PortRange").ok_or_else(|| Failure::missing("PortRange"))?;
    let ends: Vec<i32> = ports.split('/').filter_map(|end| end.parse().ok()).collect();
    let sensible = match (protocol.as_str(), ends.as_slice()) {
        ("TCP" | "UDP", [low, high]) => 1 <= *low && low <= high && *high <= 65_535,
        (_, [-1, -1]) => true,
        _ => false,
    };
    if !sensible {
        return Err(Failure::new(400, "InvalidPortRange.Malformed", format!("{ports} is no range for {protocol}")));
    }
    let (source, from_group) = match (field("SourceCidrIp"), field("SourceGroupId")) {
        (Some(network), _) => (network, false),
        (None, Some(group)) => (group, true),
        (None, None) => return Err(Failure::missing("SourceCidrIp")),
    };
    let network = if source.contains('/') { source.to_string() } else { format!("{source}/32") };
    if !from_group && network.parse::<Cidr>().is_err() {
        return Err(Failure::new(400, "InvalidSourceCidrIp.Malformed", format!("{source} is no network")));
    }
    let policy = field("Policy").unwrap_or("accept").to_ascii_lowercase();
    let priority = field("Priority").unwrap_or("1").parse().ok().filter(|value| (1..=100).contains(value));
    let priority = priority.ok_or_else(|| Failure::invalid("Priority", "it is not within 1 and 100"))?;
    if !["accept", "drop"].contains(&policy.as_str()) {
        return Err(Failure::invalid("Policy", "it is neither accept nor drop"));
    }
    Ok(Rule { protocol, ports: ports.to_string(), source: source.to_string(), from_group, policy, priority })
}

fn list(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let ids: Option<Vec<String>> = match call.parameters.get("SecurityGroupIds") {
        Some(text) => Some(
            serde_json::from_str(text).map_err(|_| Failure::invalid("SecurityGroupIds", "it is no list of text"))?,
        ),
        None => call.parameters.get("SecurityGroupId").map(|id| vec![id.to_string()]),
    };
    let given = |name: &str, value: &str| call.parameters.get(name).is_none_or(|wanted| wanted == value);
    let mut found = Vec::new();
    for group in world.groups.iter().filter(|group| group.region == call.region) {
        let fits = ids.as_ref().is_none_or(|ids| ids.contains(&group.id))
            && given("VpcId", &group.vpc)
            && given("SecurityGroupName", &group.name);
        if fits && call.parameters.tags_match(&group.tags)? {
            found.push(json!({
                "SecurityGroupId": group.id,
                "SecurityGroupName": group.name,
                "SecurityGroupType": "normal",
                "VpcId": group.vpc,
                "CreationTime": group.created,
                "Description": "",
                "Tags": { "Tag": super::tag::pairs(&group.tags) },
            }));
        }
    }
    let page = page::either(found, call)?;
    let mut answer = page.frame;
    answer.insert("RegionId".to_string(), json!(call.region));
    answer.insert("SecurityGroups".to_string(), json!({ "SecurityGroup": page.items }));
    Ok(Value::Object(answer))
}

fn attribute(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let group = world.group(call.region, call.parameters.required("SecurityGroupId")?)?;
    let shown = |rule: &Rule| {
        json!({
            "Direction": "ingress",
            "IpProtocol": rule.protocol,
            "PortRange": rule.ports,
            "SourceCidrIp": if rule.from_group { "" } else { &rule.source },
            "SourceGroupId": if rule.from_group { &rule.source } else { "" },
            "Policy": if rule.policy == "accept" { "Accept" } else { "Drop" },
            "Priority": rule.priority.to_string(),
            "NicType": "intranet",
        })
    };
    let rules: Vec<Value> = group.rules.iter().map(shown).collect();
    Ok(json!({
        "RegionId": group.region,
        "SecurityGroupId": group.id,
        "SecurityGroupName": group.name,
        "VpcId": group.vpc,
        "InnerAccessPolicy": "Accept",
        "Permissions": { "Permission": rules },
    }))
}

fn delete(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let id = call.parameters.required("SecurityGroupId")?;
    if world.group(call.region, id)?.foreign {
        return Err(Failure::foreign("deletes security group", id));
    }
    if world.instances.iter().any(|instance| instance.groups.iter().any(|group| group == id)) {
        return Err(Failure::new(403, "DependencyViolation", format!("there are still instances in {id}")));
    }
    let named = |rule: &Rule| rule.from_group && rule.source == id;
    if world.groups.iter().any(|group| group.id != id && group.rules.iter().any(named)) {
        return Err(Failure::new(403, "DependencyViolation", format!("another group has a rule that names {id}")));
    }
    world.groups.retain(|group| group.id != id);
    Ok(nothing())
}
