//! What delete takes away, leaves alone, and resumes.

use sealer_core::runtime::Action;
use sealer_core::{Class, DeleteOptions, Error, clusterfile, plan_delete};

use crate::lab::{Bench, address, counted, listed};
use crate::simulated::{Act, Image, Place, run_to_end};

#[tokio::test]
async fn hosts_are_cleaned_and_the_state_is_forgotten() {
    let bench = Bench::new().await;
    assert!(matches!(bench.delete(false).await, Err(Error::NoCluster { .. })));
    bench.apply(&listed()).await.unwrap();
    let deleted = bench.delete(false).await.unwrap();
    assert_eq!((deleted.hosts, deleted.unreachable.len()), (2, 0));
    assert!(!bench.is_installed(address(1)) && !bench.is_installed(address(2)));
    assert!(bench.remembered().is_none());
    assert!(matches!(bench.delete(false).await, Err(Error::NoCluster { .. })));
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_stops_it_unless_forced() {
    let bench = Bench::new().await;
    bench.apply(&listed()).await.unwrap();
    bench.hosts.unreachable(address(2), 2);
    assert!(matches!(bench.delete(false).await, Err(Error::Connect(failures)) if failures.len() == 1));
    assert!(bench.is_installed(address(1)), "nothing was done to the other");
    let deleted = bench.delete(true).await.unwrap();
    assert_eq!((deleted.hosts, deleted.unreachable), (1, vec![address(2)]));
    assert!(bench.is_installed(address(2)) && !bench.is_installed(address(1)));
}

#[tokio::test]
async fn a_deletion_that_failed_is_repeated() {
    let bench = Bench::new().await;
    bench.apply(&listed()).await.unwrap();
    bench.hosts.fail("true remove");
    assert_eq!(bench.delete(false).await.unwrap_err().class(), Class::Partly);
    assert!(bench.remembered().is_some());
    bench.hosts.repair();
    bench.delete(false).await.unwrap();
    assert!(bench.remembered().is_none());
}

#[tokio::test]
async fn machines_go_back_to_their_provider_without_being_cleaned() {
    let bench = Bench::new().await;
    bench.apply(&counted(1)).await.unwrap();
    bench.provider.fail_next();
    assert!(matches!(bench.delete(false).await, Err(Error::Provider(_))));
    assert_eq!(bench.delete(false).await.unwrap().hosts, 2);
    let counts = bench.provider.counts();
    assert_eq!((counts.provisions, counts.releases, counts.hosts, counts.updates), (1, 2, 0, 0));
    assert_eq!(bench.hosts.ran("true remove"), 0);
}

#[tokio::test]
async fn a_dry_run_says_what_is_cleaned_and_changes_nothing() {
    let bench = Bench::new().await;
    assert!(matches!(bench.plan_delete(false).await, Err(Error::NoCluster { .. })));
    bench.apply(&listed()).await.unwrap();
    let planned = bench.plan_delete(false).await.unwrap();
    assert_eq!(planned.plan.leaving().count(), 2);
    assert!(planned.plan.steps.iter().any(|step| step.hosts.contains(&address(2))), "{}", planned.plan.to_text());
    bench.hosts.unreachable(address(2), 2);
    assert!(matches!(bench.plan_delete(false).await, Err(Error::Connect(_))));
    let planned = bench.plan_delete(true).await.unwrap();
    assert_eq!(planned.unreachable.keys().collect::<Vec<_>>(), [&address(2)]);
    assert!(bench.is_installed(address(1)) && bench.is_installed(address(2)) && bench.remembered().is_some());
    assert_eq!(bench.hosts.ran("true remove"), 0);
}

#[tokio::test]
async fn a_dry_run_lists_the_machines_that_go_back() {
    let bench = Bench::new().await;
    bench.apply(&counted(1)).await.unwrap();
    let planned = bench.plan_delete(false).await.unwrap();
    assert_eq!((planned.given_back, planned.plan.steps.len()), (bench.hosts(), 0));
    assert_eq!(bench.provider.counts().releases, 0);
}

#[test]
fn variables_of_a_deletion_reach_plugins_and_change_no_setting() {
    let text = "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata: {name: shop}\nspec:\n  image: shop:1\n  env: [MODE=slow]\n  \
                hosts: [{ips: [10.0.0.1], roles: [master]}]\n---\napiVersion: sealer.io/v1\nkind: Plugin\nmetadata: {name: tell}\n\
                spec: {type: SHELL, action: PreClean, data: echo $MODE}\n";
    let image = Image::new();
    let place = Place::new(&image, None);
    place.perform(&Act::apply(clusterfile::parse(text).unwrap()), None).unwrap().unwrap();
    let planned = |env: &str| {
        let options = DeleteOptions { env: vec![env.to_owned()], ..DeleteOptions::default() };
        run_to_end(async { plan_delete(&place.sealer, "shop", &options, &|_| ()).await })
    };
    let plan = planned("MODE=fast").unwrap().plan;
    let step = plan.steps.iter().find(|step| step.id.starts_with("plugin-PreClean-tell")).unwrap();
    let Action::Run(run) = &step.action else { panic!("a plugin runs") };
    assert_eq!(run.env["MODE"].expose(), "fast");
    let refused = planned("IPvsVIPv4=10.9.9.9").unwrap_err();
    assert_eq!((refused.class(), refused.to_string().contains("--env IPvsVIPv4")), (Class::Usage, true));
}
