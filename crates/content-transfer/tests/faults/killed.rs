//! Processes that are killed in the middle of a transfer: another one continues it.

use super::{Bench, large};
use crate::fault_proxy::Fault;
use content_store::{Digest, Reference, Store};
use content_transfer::{Destination, Fetcher, Options, Origin, SendOptions, Sender};
use http::Method;
use registry_client::Https;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Tells the child what to do: `push` or `fetch`, the image, the store and the directory of sessions.
const TASK: &str = "SEALER_TEST_TRANSFER";

/// Not a test of its own: the process that the others start and kill.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it is started by other tests"]
#[expect(clippy::disallowed_methods, reason = "the test that starts it says so what to do")]
async fn child() {
    let task = std::env::var(TASK).unwrap();
    let [act, image, store, sessions] = task.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let (image, store): (Reference, _) = (image.parse().unwrap(), Store::open(store.as_ref()).unwrap());
    let registry = Https::new(registry_client::Options::default()).unwrap();
    let manifests = Bench::manifests_of(&Bench::content(image.registry()));
    if act == "push" {
        let mut options = SendOptions::default();
        options.part = 2_000_000;
        let sender = Sender::new(&store, sessions.as_ref(), options);
        sender.send(&Destination::new(&registry, image), &manifests, &|_| {}).await.unwrap();
    } else {
        let fetcher = Fetcher::new(&store, Options::default());
        fetcher.blobs(&[Origin::new(&registry, image)], manifests[0].blobs.clone(), &|_| {}).await.unwrap();
    }
}

/// Starts the process, and kills it (SIGKILL) once it has come to where it stalls.
async fn kill_in(bench: &Bench, act: &str, store: &Store, stalled: &AtomicBool) {
    let task =
        format!("{act} {} {} {}", bench.image("team/shop:1"), store.root().display(), bench.sessions().display());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::child", "--ignored", "--quiet"])
        .env(TASK, task)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..600 {
        if stalled.load(Ordering::SeqCst) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(stalled.load(Ordering::SeqCst), "it never came so far");
    // The bytes before it stalls are on their way, and then where they belong.
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    bench.proxy.forget();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_push_is_continued_by_another_process() {
    let stalled = Arc::new(AtomicBool::new(false));
    let seen = stalled.clone();
    let bench = Bench::new(move |asked| {
        let is_fourth = asked.is(&Method::PATCH, "upload") && asked.nth_large == 3;
        if is_fourth && !seen.swap(true, Ordering::SeqCst) { Fault::Stall(1_000_000) } else { Fault::None }
    })
    .await;
    kill_in(&bench, "push", &bench.store, &stalled).await;
    assert_eq!(std::fs::read_dir(bench.sessions()).unwrap().count(), 2, "one session and its lock, which nobody holds");
    let sent = bench.send("team/shop:1").await.unwrap();
    assert_eq!(sent.sent_bytes, 3_000_019, "seven million bytes had arrived");
    assert_eq!(bench.proxy.count(&Method::POST, "uploads"), 0);
    bench.check("team/shop:1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_fetch_is_continued_by_another_process() {
    let (stalled, digest) = (Arc::new(AtomicBool::new(false)), Digest::of(&large()).to_string());
    let seen = stalled.clone();
    let bench = Bench::new(move |asked| {
        let is_large = asked.is(&Method::GET, "blob") && asked.path.contains(&digest);
        if is_large && !seen.swap(true, Ordering::SeqCst) { Fault::StallDownload(6_000_000) } else { Fault::None }
    })
    .await;
    bench.send("team/shop:1").await.unwrap();
    let store = bench.other_store();
    kill_in(&bench, "fetch", &store, &stalled).await;
    bench.fetch("team/shop:1", &store).await.unwrap();
    store.verify(&bench.large()).unwrap();
    let asked = bench.proxy.asked().into_iter().filter(|asked| asked.path.contains(&bench.large().to_string()));
    let ranges: Vec<_> = asked.map(|asked| asked.range.unwrap()).collect();
    assert!(ranges.len() == 1 && ranges[0].as_str() > "bytes=5000000-", "{ranges:?}");
}
