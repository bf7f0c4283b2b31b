//! The compute service: what is in stock, machines, security groups, key pairs.

mod instance;
mod key_pair;
mod run;
mod security_group;
mod stock;

pub use instance::{
    Instance, InstanceStatus, delete_instances, describe_instances, modify_instance_spec, start_instances,
    stop_instances,
};
pub use key_pair::{KeyPair, delete_key_pairs, describe_key_pairs, import_key_pair};
pub(in super::super) use run::RUN;
pub use run::{Disk, LogIn, RunInstances, Started};
pub use security_group::{
    SecurityGroup, SecurityGroupCreated, authorize_security_group, create_security_group, delete_security_group,
    describe_security_groups,
};
pub use stock::{Offer, Stock, StockLevel, ZoneStock, describe_available_resource};
