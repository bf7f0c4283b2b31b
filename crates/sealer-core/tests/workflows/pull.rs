//! An image that is not here is pulled before anything else happens; to plan, only what planning needs.

use std::sync::Arc;

use sealer_core::cloudimage::PullPolicy;
use sealer_core::registry_client::Memory;
use sealer_core::{Error, Event, PullRequest, PushRequest, RunRequest, pull, push, wanted};

use crate::lab::{Bench, address, listed};

/// The image is in its registry, and no longer here.
async fn only_in_the_registry() -> (Bench, Arc<Memory>) {
    let mut bench = Bench::new().await;
    let registry = Arc::new(Memory::default());
    bench.sealer = bench.sealer.with_registry(registry.clone());
    push(&bench.sealer, &PushRequest::new("lab:1"), &|_| ()).await.unwrap();
    bench.sealer.images().remove(&["lab:1"], false).unwrap();
    assert!(bench.sealer.images().get("lab:1").is_err());
    (bench, registry)
}

#[tokio::test]
async fn apply_pulls_the_image() {
    let (bench, _registry) = only_in_the_registry().await;
    bench.apply(&listed()).await.unwrap();
    assert!(bench.is_installed(address(1)));
    assert!(bench.sealer.images().get("lab:1").is_ok());
    let events = bench.events.lock().unwrap();
    let transfer = events.iter().position(|event| matches!(event, Event::Transfer { .. }));
    let planned = events.iter().position(|event| matches!(event, Event::Planned { .. }));
    assert!(transfer.unwrap() < planned.unwrap());
}

#[tokio::test]
async fn a_dry_run_pulls_what_it_needs_and_says_so() {
    let (bench, _registry) = only_in_the_registry().await;
    let planned = bench.plan(&listed()).await.unwrap();
    assert_eq!(planned.plan.steps.len(), 6);
    let note = planned.plan.notes.iter().find(|note| note.contains("lab:1 is not here"));
    assert!(note.is_some_and(|note| note.contains("pulled to make this plan")), "{:?}", planned.plan.notes);
    assert!(bench.sealer.images().list().unwrap().is_empty(), "it gets no name");

    let mut request = RunRequest::new("lab:1");
    request.masters = Some("10.0.0.1".to_owned());
    request.only_to_plan = true;
    wanted(&bench.sealer, request, &|_| ()).await.unwrap();
    assert!(bench.sealer.images().list().unwrap().is_empty());
}

#[tokio::test]
async fn an_image_that_is_nowhere_stops_everything() {
    let mut bench = Bench::new().await;
    bench.sealer = bench.sealer.with_registry(Arc::new(Memory::default()));
    let mut elsewhere = listed();
    elsewhere.cluster.image = "nowhere:1".to_owned();
    let error = bench.apply(&elsewhere).await.unwrap_err();
    // A name without a registry: the error says where it was looked for.
    assert!(
        matches!(&error, Error::ShortName { name, whole, .. } if name == "nowhere:1" && whole == "docker.io/library/nowhere"),
        "{error:?}"
    );
    assert!(bench.remembered().is_none());
    assert!(bench.plan(&elsewhere).await.is_err());
}

#[tokio::test]
async fn a_name_that_a_cluster_runs_moves_with_a_warning() {
    let (bench, registry) = only_in_the_registry().await;
    bench.apply(&listed()).await.unwrap();
    // Somebody pushes another image of that name.
    let other = Bench::with_image("lab").await;
    let mut other = other;
    other.sealer = other.sealer.with_registry(registry);
    let mut build = sealer_core::BuildRequest::new("FROM lab:1\nCMD echo\n", other.sealer.settings().root.join(".."));
    build.options.tag = Some("lab:1".to_owned());
    sealer_core::build(&other.sealer, &build, &|_| ()).await.unwrap();
    push(&other.sealer, &PushRequest::new("lab:1"), &|_| ()).await.unwrap();

    let warnings = std::sync::Mutex::new(Vec::new());
    let tell = |event| {
        if let Event::Warning { message } = event {
            warnings.lock().unwrap().push(message);
        }
    };
    let mut request = PullRequest::new("lab:1");
    pull(&bench.sealer, &request, &tell).await.unwrap();
    assert!(warnings.lock().unwrap().is_empty(), "it is here");
    request.options.policy = PullPolicy::Always;
    pull(&bench.sealer, &request, &tell).await.unwrap();
    let warnings = warnings.into_inner().unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("cluster shop runs it"), "{warnings:?}");
}
