//! Machines: start, stop, change, delete.

use serde_json::{Value, json};

use super::instance_new::auto_release;
use super::run_instances::{on_stock, wanted_type};
use crate::call::{Action, ApiCall, Product, nothing};
use crate::failure::{Failure, Outcome};
use crate::world::{Instance, Phase, Task, World};

pub(super) const ACTIONS: &[Action] = &[
    Action {
        name: "DeleteInstances",
        product: Product::Ecs,
        required: &["RegionId", "InstanceId.N"],
        optional: &["Force", "ForceStop", "ClientToken", "DryRun", "TerminateSubscription"],
        perform: delete,
    },
    Action {
        name: "DeleteInstance",
        product: Product::Ecs,
        required: &["InstanceId"],
        optional: &["Force", "ForceStop", "DryRun", "TerminateSubscription"],
        perform: delete,
    },
    Action {
        name: "StopInstances",
        product: Product::Ecs,
        required: &["RegionId", "InstanceId.N"],
        optional: &["ForceStop", "StoppedMode", "BatchOptimization", "DryRun"],
        perform: stop,
    },
    Action {
        name: "StopInstance",
        product: Product::Ecs,
        required: &["InstanceId"],
        optional: &["ForceStop", "StoppedMode", "DryRun", "ConfirmStop"],
        perform: stop,
    },
    Action {
        name: "StartInstances",
        product: Product::Ecs,
        required: &["RegionId", "InstanceId.N"],
        optional: &["BatchOptimization", "DryRun"],
        perform: start,
    },
    Action {
        name: "StartInstance",
        product: Product::Ecs,
        required: &["InstanceId"],
        optional: &["DryRun", "InitLocalDisk"],
        perform: start,
    },
    Action {
        name: "ModifyInstanceSpec",
        product: Product::Ecs,
        required: &["InstanceId", "InstanceType"],
        optional: &["ClientToken", "DryRun", "AllowMigrateAcrossZone", "Async"],
        perform: modify,
    },
    Action {
        name: "ModifyInstanceAutoReleaseTime",
        product: Product::Ecs,
        required: &["InstanceId"],
        optional: &["AutoReleaseTime"],
        perform: modify_auto_release,
    },
    Action {
        name: "ModifyInstanceAttribute",
        product: Product::Ecs,
        required: &["InstanceId"],
        optional: &["InstanceName", "DeletionProtection"],
        perform: modify_attribute,
    },
];

/// The instances that are meant, every one of which is there.
fn meant(world: &mut World, call: &ApiCall<'_>) -> Outcome<Vec<Instance>> {
    let mut ids = call.parameters.list("InstanceId", 100)?;
    ids.extend(call.parameters.get("InstanceId"));
    ids.iter().map(|id| world.instance(call.region, id).cloned()).collect()
}

fn delete(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let force = call.parameters.flag("Force")?;
    let until = call.now + world.options.timing.delete;
    for instance in meant(world, call)? {
        match instance.phase {
            Phase::Releasing { .. } => continue,
            Phase::Pending { .. } | Phase::Starting { .. } => {
                return Err(Failure::state("IncorrectInstanceStatus.Initializing", &instance.id, "being made"));
            }
            Phase::Running | Phase::Stopping { .. } if !force => {
                return Err(Failure::state("IncorrectInstanceStatus", &instance.id, instance.phase.status()));
            }
            _ if instance.protected => {
                let message = format!("{} is protected against deletion", instance.id);
                return Err(Failure::new(403, "InvalidOperation.DeletionProtection", message));
            }
            _ => {}
        }
        world.instance(call.region, &instance.id)?.phase = Phase::Releasing { until };
        if world.hooked {
            world.tasks.push(Task::Release(instance.id));
        }
    }
    Ok(nothing())
}

fn stop(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let until = call.now + world.options.timing.delete;
    change(world, call, |instance| match instance.phase {
        Phase::Running => Ok(Phase::Stopping { until }),
        Phase::Stopped | Phase::Stopping { .. } => Ok(instance.phase),
        _ => Err(Failure::state("IncorrectInstanceStatus", &instance.id, instance.phase.status())),
    })
}

fn start(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let until = call.now + world.options.timing.running.mul_f64(2.0 / 3.0);
    change(world, call, |instance| match instance.phase {
        Phase::Stopped => Ok(Phase::Starting { until }),
        Phase::Running | Phase::Starting { .. } => Ok(instance.phase),
        _ => Err(Failure::state("IncorrectInstanceStatus", &instance.id, instance.phase.status())),
    })
}

fn change(world: &mut World, call: &ApiCall<'_>, next: impl Fn(&Instance) -> Outcome<Phase>) -> Outcome {
    let mut responses: Vec<Value> = Vec::new();
    for instance in meant(world, call)? {
        let before = instance.phase.status();
        let phase = next(&instance)?;
        world.instance(call.region, &instance.id)?.phase = phase;
        responses.push(json!({
            "InstanceId": instance.id,
            "Code": "200",
            "Message": "success",
            "PreviousStatus": before,
            "CurrentStatus": phase.status(),
        }));
    }
    Ok(json!({ "InstanceResponses": { "InstanceResponse": responses } }))
}

fn modify(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let id = call.parameters.required("InstanceId")?;
    let instance = world.instance(call.region, id)?.clone();
    if instance.phase != Phase::Stopped {
        return Err(Failure::state("IncorrectInstanceStatus", id, instance.phase.status()));
    }
    let wanted = wanted_type(world, call.parameters.required("InstanceType")?)?;
    if wanted.id != instance.instance_type {
        on_stock(world, &instance.zone, &wanted)?;
    }
    let categories = &wanted.disk_categories;
    if let Some(disk) = instance.disks.iter().find(|disk| !categories.contains(&disk.category)) {
        let message = format!("{} does not take disks of category {}", wanted.id, disk.category);
        return Err(Failure::new(403, "InvalidInstanceType.NotSupportDiskCategory", message));
    }
    let instance = world.instance(call.region, id)?;
    (instance.cpus, instance.memory, instance.instance_type) = (wanted.cpus, wanted.memory, wanted.id);
    Ok(json!({ "OrderId": world.fresh_id("order") }))
}

fn modify_auto_release(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let at = auto_release(call)?;
    world.instance(call.region, call.parameters.required("InstanceId")?)?.auto_release = at;
    Ok(nothing())
}

fn modify_attribute(world: &mut World, call: &ApiCall<'_>) -> Outcome {
    let protected = call.parameters.flag("DeletionProtection")?;
    let given = call.parameters.get("DeletionProtection").is_some();
    let instance = world.instance(call.region, call.parameters.required("InstanceId")?)?;
    if given {
        instance.protected = protected;
    }
    if let Some(name) = call.parameters.get("InstanceName") {
        instance.name = name.to_string();
    }
    Ok(nothing())
}
