//! The compute service: what is in stock, machines, security groups, key pairs, tags.

mod image;
mod instance;
mod key_pair;
mod run;
mod security_group;
mod stock;
mod tag;

pub use image::{DescribeImages, Image, Images};
pub use instance::{
    DeleteInstances, DescribeInstances, Instance, InstanceStatus, Instances, ModifyInstanceSpec, StartInstances,
    StopInstances,
};
pub use key_pair::{
    CreateKeyPair, DeleteKeyPairs, DescribeKeyPairs, ImportKeyPair, KeyPair, KeyPairCreated, KeyPairImported, KeyPairs,
};
pub use run::{Disk, LogIn, RunInstances, Started};
pub use security_group::{
    AuthorizeSecurityGroup, CreateSecurityGroup, DeleteSecurityGroup, DescribeSecurityGroups, Permission, Protocol,
    SecurityGroup, SecurityGroupCreated, SecurityGroups,
};
pub use stock::{
    DescribeAvailableResource, DescribeInstanceTypes, InstanceType, InstanceTypes, Offer, Stock, StockLevel, ZoneStock,
};
pub use tag::{ListTagResources, TagResources, TaggedResource, TaggedResources};
