//! Application images on a cluster that stands: run, repeated, configured, carried to masters that come, and removed.

use std::collections::BTreeSet;

use sealer_core::cloudimage::PruneOptions;
use sealer_core::clusterfile::{self, Clusterfile, Role};
use sealer_core::testing::KubernetesApi;
use sealer_core::{
    ApplicationError, Applied, ApplyOptions, BuildRequest, Error, InstallState, Outcome, RemoveApplication, RunRequest,
    applications, build, plan_removal, remove_application, wanted,
};

use crate::lab::{Bench, address, agreed, listed};

/// Two applications; what they do is written below the host's own directory.
const KUBEFILE: &str = "FROM scratch\nAPP web local://web.yaml local://values.yaml\nAPP tool local://tool.sh\nAPPENV tool Who=us\n\
    APPCMDS web [\"kubectl apply -f web.yaml\"]\nAPPCMDS tool [\"sh ./tool.sh >> $SEALER_DATA/trace\"]\nKUBEVERSION >=1.20 <1.24\nLAUNCH [\"tool\", \"web\"]\n";

/// A cluster that stands, with an API, and the application image `shop-app:1`.
async fn standing(kubefile: &str) -> Bench {
    let bench = Bench::new().await;
    bench.hosts.answer_with(KubernetesApi::default());
    bench.apply(&listed()).await.unwrap();
    image(&bench, kubefile, "shop-app:1").await;
    bench
}

async fn image(bench: &Bench, kubefile: &str, tag: &str) {
    let context = bench.directory.path().join("app");
    std::fs::create_dir_all(&context).unwrap();
    std::fs::write(context.join("web.yaml"), "original\n").unwrap();
    std::fs::write(context.join("values.yaml"), "a: yes\nb: {c: 1, d: 2}\n").unwrap();
    std::fs::write(context.join("tool.sh"), "echo \"$Who in ${PWD##*/}\"; cat ../web/web.yaml").unwrap();
    std::fs::write(context.join("kubectl"), "#!/bin/sh\necho \"kubectl $*\" >> $SEALER_DATA/trace\n").unwrap();
    let mut request = BuildRequest::new(format!("{kubefile}COPY --chmod=755 kubectl bin/\n"), &context);
    request.options.tag = Some(tag.to_owned());
    build(&bench.sealer, &request, &|_| ()).await.unwrap();
}

async fn run(bench: &Bench, request: RunRequest) -> Result<Applied, Error> {
    let wanted = wanted(&bench.sealer, request, &|_| ()).await?;
    bench.apply_by(wanted, &ApplyOptions::default()).await
}

async fn remove(bench: &Bench, request: &RemoveApplication, options: &ApplyOptions) -> Result<Applied, Error> {
    remove_application(&bench.sealer, request, options, &|_| ()).await
}

/// What the applications did, and forgets it.
fn trace(bench: &Bench) -> String {
    let path = bench.hosts.of(address(1)).join("data/shop/trace");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let _ = std::fs::remove_file(path);
    text
}

fn document(spec: &str) -> Clusterfile {
    let text = format!(
        "kind: Cluster\napiVersion: sealer.io/v2\nmetadata: {{name: shop}}\nspec:\n  image: shop-app:1\n  hosts: [{{ips: [10.0.0.1], roles: [master]}}]\n---\nkind: Application\napiVersion: sealer.io/v2\nmetadata: {{name: a}}\nspec: {spec}\n"
    );
    clusterfile::parse(&text).unwrap()
}

async fn refused(bench: &Bench, wanted: Clusterfile, part: &str) {
    let scripts = bench.hosts.ran("");
    let error = bench.apply(&wanted).await.unwrap_err();
    assert!(error.to_string().contains(part), "{error}");
    assert_eq!(bench.hosts.ran(""), scripts, "no host is touched: {part}");
}

#[tokio::test]
async fn an_application_image_runs_is_configured_and_is_removed() {
    let bench = standing(KUBEFILE).await;
    let before = bench.file();
    assert_eq!(run(&bench, RunRequest::new("shop-app:1")).await.unwrap().outcome, Outcome::Changed);
    assert_eq!(trace(&bench), "us in tool\noriginal\nkubectl apply -f web.yaml\n");
    assert_eq!(bench.file(), before, "the cluster itself is what it was");
    assert_eq!(run(&bench, RunRequest::new("shop-app:1")).await.unwrap().outcome, Outcome::Unchanged);
    assert_eq!(trace(&bench), "");

    let spec = "{configs: [{name: tool, env: [Who=them]}, {name: web, files: [{path: web.yaml, data: changed}], launch: {cmds: [cat web.yaml >> $SEALER_DATA/trace]}}]}";
    assert_eq!(bench.apply(&document(spec)).await.unwrap().outcome, Outcome::Changed);
    assert_eq!(trace(&bench), "them in tool\nchangedchanged");
    let spec = "{configs: [{name: web, files: [{path: values.yaml, strategy: merge, data: 'b: {c: 3}'}], launch: {cmds: [cat values.yaml >> $SEALER_DATA/trace]}}]}";
    bench.apply(&document(spec)).await.unwrap();
    assert_eq!(trace(&bench), "us in tool\noriginal\na: true\nb:\n  c: 3\n  d: 2\n");
    // Without the document, everything is as in the image again.
    run(&bench, RunRequest::new("shop-app:1")).await.unwrap();
    assert_eq!(trace(&bench), "us in tool\noriginal\nkubectl apply -f web.yaml\n");

    let listed = applications(&bench.sealer, None).unwrap();
    let names: Vec<_> = listed[0].applications.iter().map(|one| (one.name.as_str(), one.removal.is_some())).collect();
    assert_eq!(names, [("tool", false), ("web", true)]);
    let mut request = RemoveApplication::new("shop-app:1");
    let error = remove(&bench, &request, &agreed()).await.unwrap_err();
    assert!(matches!(error, Error::Application(ApplicationError::NoRemoval { .. })), "{error}");
    request.name = "web".to_owned();
    let planned = plan_removal(&bench.sealer, &request, &ApplyOptions::default(), &|_| ()).await.unwrap();
    assert!(
        planned.plan.to_text().contains("kubectl delete --ignore-not-found -f web.yaml"),
        "{}",
        planned.plan.to_text()
    );
    let error = remove(&bench, &request, &ApplyOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::Application(ApplicationError::NotConfirmed { .. })), "{error}");
    remove(&bench, &request, &agreed()).await.unwrap();
    assert_eq!(trace(&bench), "kubectl delete --ignore-not-found -f web.yaml\n");
    request.name = "tool".to_owned();
    request.commands = vec!["echo gone >> $SEALER_DATA/trace".to_owned()];
    remove(&bench, &request, &agreed()).await.unwrap();
    assert_eq!(trace(&bench), "gone\n");
    assert_eq!(applications(&bench.sealer, None).unwrap(), []);
    let left = std::fs::read_dir(bench.hosts.of(address(1)).join("data/shop/applications")).unwrap().count();
    assert_eq!(left, 0);
    let error = remove(&bench, &request, &agreed()).await.unwrap_err();
    assert!(matches!(error, Error::Application(ApplicationError::NotInstalled { .. })), "{error}");
}

#[tokio::test]
async fn after_a_failure_the_same_command_goes_on() {
    let bench = standing(KUBEFILE).await;
    bench.hosts.fail("kubectl apply");
    assert!(matches!(run(&bench, RunRequest::new("shop-app:1")).await, Err(Error::Unfinished { .. })));
    assert_eq!(applications(&bench.sealer, None).unwrap()[0].state, InstallState::Launching);
    bench.hosts.repair();
    let applied = run(&bench, RunRequest::new("shop-app:1")).await.unwrap();
    assert!(applied.skipped > 0, "{applied:?}");
    assert_eq!(trace(&bench), "us in tool\noriginal\nkubectl apply -f web.yaml\n", "nothing is run twice");
    assert_eq!(applications(&bench.sealer, None).unwrap()[0].state, InstallState::Launched);
}

#[tokio::test]
async fn what_was_done_before_a_removal_is_done_again_after_it() {
    let bench = standing(KUBEFILE).await;
    bench.hosts.fail("kubectl apply");
    run(&bench, RunRequest::new("shop-app:1")).await.unwrap_err();
    let mut request = RemoveApplication::new("shop-app:1");
    request.commands = ["echo gone >> $SEALER_DATA/trace", "false"].map(str::to_owned).into();
    remove(&bench, &request, &agreed()).await.unwrap_err();
    assert_eq!(trace(&bench), "us in tool\noriginal\ngone\n");
    bench.hosts.repair();
    run(&bench, RunRequest::new("shop-app:1")).await.unwrap();
    assert_eq!(trace(&bench), "us in tool\noriginal\nkubectl apply -f web.yaml\n");
}

#[tokio::test]
async fn applications_and_commands_are_chosen() {
    let bench = standing(KUBEFILE).await;
    let mut request = RunRequest::new("shop-app:1");
    request.apps = vec!["web".to_owned()];
    run(&bench, request.clone()).await.unwrap();
    assert_eq!(trace(&bench), "kubectl apply -f web.yaml\n");
    request.apps.clear();
    request.commands = vec!["echo $Stage >> $SEALER_DATA/trace".to_owned()];
    request.env = vec!["Stage=test".to_owned()];
    run(&bench, request.clone()).await.unwrap();
    assert_eq!(trace(&bench), "test\n");
    request.commands.clear();
    request.apps = vec!["tool".to_owned()];
    request.env = vec!["Who=me".to_owned()];
    bench.hosts.unreachable(address(2), 99);
    let applied = run(&bench, request.clone()).await.unwrap();
    assert!(applied.unreachable.is_empty(), "nothing is done on a node: {applied:?}");
    assert_eq!(trace(&bench), "me in tool\noriginal\n");
    let listed = applications(&bench.sealer, None).unwrap();
    let names: Vec<&str> = listed[0].applications.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["tool", "", "web"], "what was launched before still runs");
    assert_eq!(run(&bench, request.clone()).await.unwrap().outcome, Outcome::Unchanged);
    let mut gone = RemoveApplication::new("tool");
    gone.commands = vec!["true".to_owned()];
    remove(&bench, &gone, &agreed()).await.unwrap();
    assert_eq!(run(&bench, request.clone()).await.unwrap().outcome, Outcome::Changed, "it was removed");
    request.masters = Some("10.0.0.1".to_owned());
    let error = wanted(&bench.sealer, request, &|_| ()).await.unwrap_err();
    assert!(error.to_string().contains("`--masters` means nothing"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_before_a_host_is_touched() {
    let bench = standing(KUBEFILE).await;
    for (spec, part) in [
        ("{launchApps: [Web]}", "has no application `Web` (there is web)"),
        ("{launchApps: [web], cmds: [x]}", "both commands and applications"),
        ("{launchApps: [web, web]}", "web is named twice"),
        ("{configs: [{name: web}, {name: WEB}]}", "web and WEB differ only in"),
        (
            "{configs: [{name: web, files: [{path: a, strategy: merge, data: x}]}]}",
            "web has no file a in the image to merge into",
        ),
        (
            "{configs: [{name: web, files: [{path: values.yaml, strategy: merge, data: 'a: ['}]}]}",
            "what is merged into values.yaml of",
        ),
        ("{cmds: [helm install a b]}", "needs helm"),
    ] {
        refused(&bench, document(spec), part).await;
    }
    image(&bench, "FROM scratch\nKUBEVERSION >=1.24\nAPP web local://web.yaml\nLAUNCH [\"web\"]\n", "shop-app:1").await;
    refused(&bench, document("{}"), "supports kubernetes >=1.24, and cluster shop has v1.20.2").await;
    image(&bench, "FROM scratch\nAPP web local://web.yaml\n", "shop-app:1").await;
    refused(&bench, document("{}"), "launches nothing").await;
    let mut elsewhere = document("{}");
    elsewhere.cluster.name = "other".to_owned();
    elsewhere.cluster.hosts.clear();
    refused(&bench, elsewhere, "there is no cluster other").await;
}

#[tokio::test]
async fn images_in_use_are_kept_from_prune() {
    let bench = standing(KUBEFILE).await;
    run(&bench, RunRequest::new("shop-app:1")).await.unwrap();
    let content = bench.sealer.images().content();
    let digest = *bench.sealer.images().get("shop-app:1").unwrap().index_digest();
    // Another image gets its name.
    image(&bench, "FROM scratch\n", "shop-app:1").await;
    // A program that another test starts at this moment has the lock of this process until it runs.
    for attempt in 0..50 {
        match sealer_core::prune(&bench.sealer, PruneOptions::new(false, false)) {
            Ok(_) => break,
            Err(error) if attempt == 49 => panic!("{error:?}"),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
    let kept = content.contains(&digest);
    bench.sealer.images().prune_keeping(PruneOptions::new(false, false), &BTreeSet::new()).unwrap();
    assert!(kept && !content.contains(&digest));
}

#[tokio::test]
async fn several_images_run_beside_each_other_and_a_tag_replaces_another() {
    let bench = standing(KUBEFILE).await;
    image(&bench, "FROM scratch\nCMDS [\"echo other >> $SEALER_DATA/trace\"]\n", "other:1").await;
    image(&bench, "FROM scratch\nCMDS [\"kubectl apply -f two\"]\n", "shop-app:2").await;
    let request = RunRequest::new("shop-app:1");
    run(&bench, request.clone()).await.unwrap();
    run(&bench, request.for_application("other:1", "shop")).await.unwrap();
    run(&bench, request.for_application("shop-app:2", "shop")).await.unwrap();
    let listed = applications(&bench.sealer, Some("shop")).unwrap();
    let names: Vec<&str> = listed.iter().map(|image| image.image.as_str()).collect();
    assert_eq!(names, ["shop-app:2", "other:1"]);
    assert!(trace(&bench).ends_with("other\nkubectl apply -f two\n"));
}

#[tokio::test]
async fn applications_of_a_clusters_own_image_are_known_too() {
    let bench = Bench::new().await;
    let text = "FROM lab:1\nAPP web local://web.yaml\nLAUNCH [\"web\"]\n";
    image(&bench, text, "whole:1").await;
    let mut wanted = listed();
    wanted.cluster.image = "whole:1".to_owned();
    wanted.cluster.add_hosts(&Role::Master, [address(3)]);
    bench.apply(&wanted).await.unwrap();
    let listed = applications(&bench.sealer, None).unwrap();
    assert!(listed[0].is_cluster_image && listed[0].applications[0].name == "web");
    assert_eq!(listed[0].applications[0].commands, ["kubectl apply -f application/apps/web/web.yaml"]);
    bench.hosts.answer_with(KubernetesApi::default());
    remove(&bench, &RemoveApplication::new("whole:1"), &agreed()).await.unwrap();
    bench.apply(&wanted).await.unwrap();
    assert_eq!(applications(&bench.sealer, None).unwrap(), [], "what was not launched again is not listed");
}
