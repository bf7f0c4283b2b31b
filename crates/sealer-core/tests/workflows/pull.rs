//! An image that is not here is pulled before anything else happens; to plan, only what planning needs.

use std::sync::Arc;

use sealer_core::cloudimage::PullPolicy;
use sealer_core::registry_client::Memory;
use sealer_core::{
    Error, Event, PullRequest, PushRequest, RemoveRequest, RunRequest, Sealer, pull, push, remove, wanted,
};

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

#[tokio::test]
async fn an_image_that_a_cluster_names_otherwise_stays() {
    let bench = Bench::new().await;
    let mut settings = bench.sealer.settings().clone();
    settings.default_registry = "hub.example/team".parse().unwrap();
    let sealer = Sealer::open(settings).unwrap();
    let digest = *sealer.images().get("lab:1").unwrap().index_digest();
    sealer.images().tag("lab:1", "hub.example/team/shop:1").unwrap();
    sealer.images().remove(&["lab:1"], false).unwrap();
    let state = sealer.state().lock("shop").unwrap();
    let pinned = format!("hub.example/team/other@{digest}");
    let mut request = RemoveRequest::default();
    request.all = true;
    for image in ["shop:1", &digest.to_string(), &digest.hex()[..12], &pinned] {
        let mut file = listed();
        file.cluster.image = image.to_owned();
        state.remember(&file).unwrap();
        let warnings = std::sync::Mutex::new(0);
        let removed = remove(&sealer, &request, &|_| *warnings.lock().unwrap() += 1).unwrap();
        assert!(removed.names.is_empty() && *warnings.lock().unwrap() == 1, "{image}: {removed:?}");
    }
    let mut file = listed();
    file.cluster.image = "docker.io/library/shop:1".to_owned();
    state.remember(&file).unwrap();
    assert_eq!(remove(&sealer, &request, &|_| ()).unwrap().names, ["hub.example/team/shop:1"]);
}
