//! The plan that is executed is the plan that was printed, whatever a cluster is and whatever it shall be.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sealer_core::clusterfile::{Clusterfile, Host, Role};
use sealer_core::{ApplyOptions, Planned, plan};

use crate::lab::address;
use crate::simulated::{Act, Image, Kind, Place, listed, run_to_end};

/// What a host is: nothing, a master, a node, a node with a label.
const PARTS: u8 = 4;

/// A cluster of up to five hosts and some of what may differ between two.
fn any_cluster() -> impl Strategy<Value = Clusterfile> {
    let parts = prop::collection::vec(0..PARTS, 4);
    (parts, any::<bool>(), any::<bool>(), 0_u8..3).prop_map(|(parts, named, launched, registry)| {
        let mut file = listed(&[1], &[]);
        for (last, part) in (2..).zip(parts).filter(|(_, part)| *part > 0) {
            let mut host = Host::new(address(last), if part == 1 { Role::Master } else { Role::Node });
            host.labels.extend((part == 3).then(|| ("disk".to_owned(), "ssd".to_owned())));
            file.cluster.hosts.push(host);
        }
        file.cluster.cert_sans.extend(named.then(|| "api.example.com".to_owned()));
        file.cluster.commands.extend(launched.then(|| "kubectl apply -f other.yaml".to_owned()));
        let login = (registry == 1).then(|| ("puller".to_owned(), "secret".into()));
        (file.cluster.registry.username, file.cluster.registry.password) = login.unzip();
        file.cluster.registry.insecure = registry == 2;
        file
    })
}

/// The same with the roles that hosts have already: a change of role is refused.
fn with_roles_of(from: &Clusterfile, mut to: Clusterfile) -> Clusterfile {
    for host in &mut to.cluster.hosts {
        if let Some(known) = from.cluster.host(host.address).filter(|known| known.is_master() != host.is_master()) {
            host.roles.clone_from(&known.roles);
            host.labels.clear();
        }
    }
    to
}

fn printed(place: &Place, wanted: &Clusterfile) -> Result<Planned, String> {
    place.world.begin(None);
    let planned = run_to_end(plan(&place.sealer, wanted.clone(), &ApplyOptions::default(), &|_| ()));
    let changes = place.world.state().calls.iter().filter(|call| call.kind == Kind::Change).count();
    assert_eq!(changes, 0, "a dry run changes nothing");
    planned.map_err(|error| error_report::one_line(&error))
}

/// Prints the plan, then applies: what is told and what is done are just that.
fn expect_as_printed(place: &Place, wanted: &Clusterfile) {
    let planned = printed(place, wanted);
    let applied = place.perform(&Act::apply(wanted.clone()), None).unwrap();
    let state = place.world.state();
    match (planned, applied) {
        (Ok(planned), Ok(_)) if planned.plan.is_empty() => assert_eq!(state.finished, []),
        (Ok(planned), Ok(_)) => {
            let executed = state.model.plan.as_ref().unwrap();
            assert_eq!(planned.plan.to_text(), executed.to_text());
            assert_eq!(shown(&planned.plan), shown(executed));
            let steps = planned.plan.steps.iter();
            let steps: Vec<_> = steps.flat_map(|step| step.hosts.iter().map(|host| (step.id.clone(), *host))).collect();
            assert_eq!(steps.len(), state.finished.len(), "each step is done once");
            assert_eq!(steps.into_iter().collect::<BTreeSet<_>>(), state.finished.iter().cloned().collect());
        }
        (Err(printed), Err(refused)) => assert_eq!(printed, error_report::one_line(&refused)),
        (planned, applied) => panic!("printed {planned:?}, executed {applied:?}"),
    }
}

fn shown(plan: &sealer_core::runtime::Plan) -> serde_json::Value {
    serde_json::to_value(plan).unwrap()
}

#[test]
fn the_plan_that_is_executed_is_the_one_that_was_printed() {
    let image = Image::new();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 40,
        source_file: Some(file!()),
        ..ProptestConfig::default()
    });
    let pairs = (any_cluster(), any_cluster());
    let ended = runner.run(&pairs, |(from, to)| {
        let place = Place::new(&image, None);
        expect_as_printed(&place, &from);
        expect_as_printed(&place, &with_roles_of(&from, to));
        Ok(())
    });
    if let Err(failed) = ended {
        panic!("{failed}");
    }
}
