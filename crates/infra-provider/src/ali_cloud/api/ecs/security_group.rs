//! Creates, opens, lists and deletes security groups.

use serde::Deserialize;

use super::super::answer::list;
use super::super::{Done, Listing, Parameters, Product, Request, Tag};

/// Makes a security group in a VPC that is `Available`; its members reach each other, and nobody else reaches them.
#[must_use]
pub fn create_security_group(vpc: &str, name: &str, tags: &[Tag]) -> Request<SecurityGroupCreated> {
    let parameters = Parameters::new().text("VpcId", vpc).text("SecurityGroupName", name).tags(tags);
    Request::new(Product::Ecs, "CreateSecurityGroup", parameters)
}

/// A security group was made.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SecurityGroupCreated {
    /// Its id.
    pub security_group_id: String,
}

/// Lets addresses (`a.b.c.d/len`) reach TCP ports, by 1 to 100 pairs of both; a rule that is there already is no error.
#[must_use]
pub fn authorize_security_group<'a>(id: &str, opened: impl IntoIterator<Item = (u16, &'a str)>) -> Request<Done> {
    let parameters = Parameters::new().text("SecurityGroupId", id);
    let parameters = opened.into_iter().zip(1_u32..).fold(parameters, |all, ((port, source), n)| {
        let name = format!("Permissions.{n}");
        all.text(format!("{name}.IpProtocol"), "TCP")
            .text(format!("{name}.PortRange"), format!("{port}/{port}"))
            .text(format!("{name}.Policy"), "accept")
            .text(format!("{name}.SourceCidrIp"), source)
    });
    Request::new(Product::Ecs, "AuthorizeSecurityGroup", parameters)
}

/// Deletes a security group without members.
#[must_use]
pub fn delete_security_group(id: &str) -> Request<Done> {
    Request::new(Product::Ecs, "DeleteSecurityGroup", Parameters::new().text("SecurityGroupId", id))
}

/// Lists security groups with all these tags.
#[must_use]
pub fn describe_security_groups(tags: &[Tag]) -> Listing<SecurityGroup> {
    Listing::numbered(Product::Ecs, "DescribeSecurityGroups", Parameters::new().tags(tags), 50)
}

/// A security group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SecurityGroup {
    /// Its id.
    pub security_group_id: String,
    /// Its name.
    pub security_group_name: String,
    /// The VPC it belongs to.
    pub vpc_id: String,
    /// Its tags.
    #[serde(deserialize_with = "list")]
    pub tags: Vec<Tag>,
}
