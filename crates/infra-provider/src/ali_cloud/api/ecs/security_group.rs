//! Creates, opens, lists and deletes security groups.

use serde::Deserialize;

use super::super::answer::list;
use super::super::{Action, Done, Listing, Page, Parameters, Product, Tag};

/// Makes a security group; its members reach each other, and nobody else reaches them.
#[derive(Debug, Clone, Default)]
pub struct CreateSecurityGroup {
    /// Token of this act, at most 64 characters.
    pub client_token: String,
    /// The VPC it belongs to, which must be `Available`.
    pub vpc_id: String,
    /// Its name.
    pub name: Option<String>,
    /// `normal` (the default: members reach each other) or `enterprise`.
    pub security_group_type: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A security group was made.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SecurityGroupCreated {
    /// Its id.
    pub security_group_id: String,
}

impl Action for CreateSecurityGroup {
    const NAME: &'static str = "CreateSecurityGroup";
    const PRODUCT: Product = Product::Ecs;
    type Answer = SecurityGroupCreated;

    fn parameters(&self) -> Parameters {
        Parameters::new()
            .token(&self.client_token)
            .text("VpcId", &self.vpc_id)
            .optional("SecurityGroupName", self.name.as_ref())
            .optional("SecurityGroupType", self.security_group_type.as_ref())
            .tags(&self.tags)
    }
}

/// Opens a security group; a rule that is there already is no error.
#[derive(Debug, Clone, Default)]
pub struct AuthorizeSecurityGroup {
    /// Its id.
    pub security_group_id: String,
    /// What is let in, 1 to 100 rules.
    pub permissions: Vec<Permission>,
}

/// Lets something in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permission {
    /// Of which protocol.
    pub protocol: Protocol,
    /// From which port.
    pub from_port: u16,
    /// To which port, inclusive.
    pub to_port: u16,
    /// Who may come, `a.b.c.d/len`.
    pub source_cidr: Option<String>,
    /// Members of which group may come.
    pub source_group: Option<String>,
    /// What the rule is for.
    pub description: Option<String>,
}

/// A protocol that a rule is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, which has no ports.
    Icmp,
    /// Everything.
    All,
}

impl Permission {
    /// Lets `source` reach one TCP port.
    #[must_use]
    pub fn tcp(port: u16, source: impl Into<String>) -> Self {
        Self { from_port: port, to_port: port, source_cidr: Some(source.into()), ..Self::default() }
    }

    fn parameters(&self, name: &str, parameters: Parameters) -> Parameters {
        let (protocol, ports) = match self.protocol {
            Protocol::Tcp => ("TCP", format!("{}/{}", self.from_port, self.to_port)),
            Protocol::Udp => ("UDP", format!("{}/{}", self.from_port, self.to_port)),
            Protocol::Icmp => ("ICMP", "-1/-1".to_owned()),
            Protocol::All => ("ALL", "-1/-1".to_owned()),
        };
        parameters
            .text(format!("{name}.IpProtocol"), protocol)
            .text(format!("{name}.PortRange"), ports)
            .text(format!("{name}.Policy"), "accept")
            .optional(format!("{name}.SourceCidrIp"), self.source_cidr.as_ref())
            .optional(format!("{name}.SourceGroupId"), self.source_group.as_ref())
            .optional(format!("{name}.Description"), self.description.as_ref())
    }
}

impl Action for AuthorizeSecurityGroup {
    const NAME: &'static str = "AuthorizeSecurityGroup";
    const PRODUCT: Product = Product::Ecs;
    type Answer = Done;

    fn parameters(&self) -> Parameters {
        let parameters = Parameters::new().text("SecurityGroupId", &self.security_group_id);
        self.permissions
            .iter()
            .zip(1_u32..)
            .fold(parameters, |all, (permission, n)| permission.parameters(&format!("Permissions.{n}"), all))
    }
}

/// Deletes a security group without members.
#[derive(Debug, Clone, Default)]
pub struct DeleteSecurityGroup {
    /// Its id.
    pub security_group_id: String,
}

impl Action for DeleteSecurityGroup {
    const NAME: &'static str = "DeleteSecurityGroup";
    const PRODUCT: Product = Product::Ecs;
    type Answer = Done;

    fn parameters(&self) -> Parameters {
        Parameters::new().text("SecurityGroupId", &self.security_group_id)
    }
}

/// Lists security groups.
#[derive(Debug, Clone)]
pub struct DescribeSecurityGroups {
    /// Only this one.
    pub security_group_id: Option<String>,
    /// Only those of this VPC.
    pub vpc_id: Option<String>,
    /// Only those with all these tags.
    pub tags: Vec<Tag>,
    /// Which page.
    pub page: Page,
}

impl Default for DescribeSecurityGroups {
    fn default() -> Self {
        Self { security_group_id: None, vpc_id: None, tags: Vec::new(), page: Page::first(50) }
    }
}

/// A page of security groups.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SecurityGroups {
    /// How many there are on all pages.
    pub total_count: u64,
    /// Those of this page.
    #[serde(deserialize_with = "list")]
    pub security_groups: Vec<SecurityGroup>,
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

impl Action for DescribeSecurityGroups {
    const NAME: &'static str = "DescribeSecurityGroups";
    const PRODUCT: Product = Product::Ecs;
    type Answer = SecurityGroups;

    fn parameters(&self) -> Parameters {
        let parameters = Parameters::new()
            .optional("SecurityGroupId", self.security_group_id.as_ref())
            .optional("VpcId", self.vpc_id.as_ref())
            .tags(&self.tags);
        self.page.parameters(parameters)
    }
}

impl Listing for DescribeSecurityGroups {
    type Item = SecurityGroup;

    fn turn(&mut self, answer: SecurityGroups, items: &mut Vec<SecurityGroup>) -> bool {
        let more = self.page.turn(answer.security_groups.len(), answer.total_count);
        items.extend(answer.security_groups);
        more
    }
}
