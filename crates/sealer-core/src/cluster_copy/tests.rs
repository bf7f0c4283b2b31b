//! The copy of a state, on an API in memory.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clusterfile::Clusterfile;
use flate2::Compression;
use flate2::write::GzEncoder;
use runtime::Secrets;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::testing::KubernetesApi;
use crate::{ApplyOptions, Event, Sealer, Settings};

const TEXT: &str = "{apiVersion: sealer.io/v2, kind: Cluster, metadata: {name: shop}, spec: {image: 'shop:1.4', \
    ssh: {user: ops, passwd: hunter2, pk: /home/ops/key, pkPasswd: hunter3, jump: [{host: 8.8.8.8, user: gate, passwd: hunter4}]}, \
    hosts: [{ips: [10.0.0.1], roles: [master], ssh: {passwd: hunter5}}]}}";

/// A state directory with secrets, and what a workflow has.
pub(crate) struct Desk {
    _directory: TempDir,
    pub(crate) sealer: Sealer,
    pub(crate) state: ClusterState,
    options: ApplyOptions,
    warnings: Mutex<Vec<String>>,
}

impl Desk {
    pub(crate) fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sealer =
            Sealer::open(Settings::new(directory.path().join("root"), directory.path().join("state"))).unwrap();
        let state = sealer.state().lock("shop").unwrap();
        Self { _directory: directory, sealer, state, options: ApplyOptions::default(), warnings: Mutex::default() }
    }

    pub(crate) fn new() -> Self {
        let desk = Self::empty();
        let file = wanted();
        Secrets::open(desk.state.path(), &file.cluster, runtime::Kubeadm::REQUIREMENTS.secrets).unwrap();
        desk.state.write("known_hosts", b"10.0.0.1 ssh-ed25519 AAAA\n").unwrap();
        desk.state.remember(&file).unwrap();
        desk
    }

    pub(crate) async fn with_run<T>(&self, act: impl AsyncFnOnce(Run<'_>) -> T) -> T {
        let tell = |event| {
            if let Event::Warning { message } = event {
                self.warnings.lock().unwrap().push(message);
            }
        };
        act(Run { sealer: &self.sealer, options: &self.options, events: &tell }).await
    }

    pub(crate) async fn save(&self, api: &ClusterApi) -> Result<(), Error> {
        self.with_run(async |run| save(&run, &self.state, Some(api)).await).await
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock().unwrap())
    }
}

pub(crate) fn wanted() -> Clusterfile {
    clusterfile::parse(TEXT).unwrap()
}

pub(crate) fn through(api: &KubernetesApi, last: &[u8]) -> ClusterApi {
    ClusterApi::of(api.masters(last), "/etc/kubernetes/admin.conf").unwrap()
}

fn secrets(api: &KubernetesApi) -> Vec<String> {
    api.names().into_iter().filter(|name| name.starts_with("secret/")).collect()
}

/// Text that does not become smaller.
pub(super) fn noise(bytes: usize) -> String {
    let mut seed = 88_172_645_463_325_252_u64;
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        text.push_str(&format!("{seed:016x}"));
    }
    text
}

#[tokio::test]
async fn the_copy_is_whole_has_no_logins_and_is_not_written_twice() {
    let (api, desk) = (KubernetesApi::default(), Desk::new());
    let cluster = through(&api, &[1]);
    desk.state.write("kubeconfig", b"kind: Config").unwrap();
    desk.state.write("journal.jsonl", b"{}\n").unwrap();
    desk.save(&cluster).await.unwrap();
    assert_eq!(secrets(&api).len(), 2, "{:?}", api.names());

    let (index, content) = fetch(&cluster).await.unwrap().unwrap();
    let names: Vec<&str> = content.files().map(|(name, _)| name).collect();
    let (pki, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.starts_with("pki/"));
    assert_eq!(others, ["Clusterfile", "known_hosts", "secrets.json"]);
    assert_eq!(pki.len(), 10, "four authorities and certificates with their keys, and the pair of keys for tokens");
    let key = desk.state.read("pki/ca.key").unwrap().unwrap();
    assert_eq!(content.file("pki/ca.key").unwrap(), &key);
    let text = content.file("Clusterfile").unwrap().expose();
    assert!(text.contains("user: ops") && text.contains("8.8.8.8"), "{text}");
    assert!(!text.contains("hunter") && !text.contains("/home/ops/key"), "{text}");
    let loaded = Secrets::load(desk.state.path(), &[]).unwrap().unwrap();
    assert_eq!((index.generation, index.cluster.as_str()), (1, "shop"));
    assert_eq!(index.authority, loaded.fingerprint(), "the fingerprint of markers");

    let calls = api.calls();
    assert!(calls.iter().all(|call| call.len() < 200 && !call.contains("PRIVATE")), "{calls:?}");
    desk.save(&cluster).await.unwrap();
    assert_eq!(api.calls().len() - calls.len(), 1, "one round trip when nothing changed");
    assert!(desk.warnings().is_empty());
}

/// Stores the state in parts that are small enough for several.
async fn save_in_parts(desk: &Desk, api: &ClusterApi) -> Result<(), Error> {
    let content = Content::of(&desk.state)?.unwrap();
    assert_eq!(store_unless_there(&desk.state, api, &content, 1500).await?, None);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_was_cut_off_anywhere_leaves_the_one_before_it() {
    let desk = Desk::new();
    let whole = {
        let api = KubernetesApi::default();
        save_in_parts(&desk, &through(&api, &[1])).await.unwrap();
        secrets(&api).len() - 1
    };
    assert!(whole >= 4, "{whole}");
    // Before every part, before the index, before the removal of what is superseded, and after it.
    for writes in 0..=2 * whole + 2 {
        let api = KubernetesApi::default();
        let cluster = through(&api, &[1]);
        for file in ["copy.json", "known_hosts"] {
            atomic_file::remove(&desk.state.file(file)).unwrap();
        }
        save_in_parts(&desk, &cluster).await.unwrap();
        let before = Content::of(&desk.state).unwrap().unwrap().digest().to_owned();
        desk.state.write("known_hosts", b"10.0.0.9 ssh-ed25519 BBBB\n").unwrap();
        let after = Content::of(&desk.state).unwrap().unwrap().digest().to_owned();

        api.fail_after_writes(Some(writes));
        let cut_off = save_in_parts(&desk, &cluster).await;
        api.fail_after_writes(None);
        let (index, content) = fetch(&cluster).await.unwrap().unwrap();
        let parts = secrets(&api).len() - 1;
        let is_new = writes > index.parts;
        assert_eq!(cut_off.is_ok(), is_new, "after {writes} writes");
        assert_eq!((content.digest(), index.generation), if is_new { (&*after, 2) } else { (&*before, 1) });
        assert_eq!(parts > index.parts, writes > 0 && writes <= index.parts + 1, "{writes} writes left {parts} parts");

        save_in_parts(&desk, &cluster).await.unwrap();
        assert_eq!(fetch(&cluster).await.unwrap().unwrap().1.digest(), after);
        desk.state.write("known_hosts", b"").unwrap();
        desk.save(&cluster).await.unwrap();
        assert_eq!(secrets(&api).len(), 2, "nothing is left of earlier copies: {:?}", api.names());
    }
}

#[tokio::test(start_paused = true)]
async fn parts_that_were_never_finished_go_with_the_next_copy() {
    let (api, desk) = (KubernetesApi::default(), Desk::new());
    let cluster = through(&api, &[1]);
    api.fail_after_writes(Some(2));
    assert!(save_in_parts(&desk, &cluster).await.is_err());
    api.fail_after_writes(None);
    assert_eq!(secrets(&api).len(), 2);
    // The next copy has the same generation and other content.
    desk.state.write("known_hosts", b"10.0.0.9 ssh-ed25519 BBBB\n").unwrap();
    desk.save(&cluster).await.unwrap();
    assert_eq!(secrets(&api).len(), 2, "{:?}", api.names());
    assert_eq!(fetch(&cluster).await.unwrap().unwrap().0.generation, 1);
}

#[tokio::test(start_paused = true)]
async fn of_two_writers_one_wins_and_the_other_knows() {
    let (api, alice) = (KubernetesApi::default(), Desk::new());
    let cluster = through(&api, &[1]);
    alice.save(&cluster).await.unwrap();
    let content = Content::of(&alice.state).unwrap().unwrap();
    let packed = content.pack(PART).unwrap();
    let seen = look(&cluster).await.unwrap().index;
    let index =
        |id: &str| Index::new(2, &content, &packed, &Operator::test("bob@other", id), OffsetDateTime::UNIX_EPOCH);
    api.lose_next_answer();
    assert!(store::write(&cluster, seen.as_ref(), &index("b0"), &packed).await.unwrap());
    assert!(!store::write(&cluster, seen.as_ref(), &index("b1"), &packed).await.unwrap(), "the version has changed");
    assert_eq!(fetch(&cluster).await.unwrap().unwrap().0.operator, "b0", "and the copy is whole");
}

#[tokio::test(start_paused = true)]
async fn an_index_whose_answer_was_lost_is_ours() {
    let (api, desk) = (KubernetesApi::default(), Desk::new());
    let cluster = through(&api, &[1, 2]);
    let content = Content::of(&desk.state).unwrap().unwrap();
    let packed = content.pack(PART).unwrap();
    let operator = Operator::of(&desk.state).unwrap();
    let index = Index::new(1, &content, &packed, &operator, OffsetDateTime::UNIX_EPOCH);
    assert!(store::write(&cluster, None, &index, &packed).await.unwrap());
    // The same again, as after a lost answer: the secret is there already, and it is this one.
    assert!(store::write(&cluster, None, &index, &packed).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_cannot_be_stored_is_a_warning_and_one_that_is_too_large_an_error() {
    let (api, desk) = (KubernetesApi::default(), Desk::new());
    let cluster = through(&api, &[1]);
    api.stop(1);
    desk.save(&cluster).await.unwrap();
    let warnings = desk.warnings();
    assert!(warnings[0].contains("is older than this change") && warnings[0].contains("10.0.0.1"), "{warnings:?}");

    desk.state.write("known_hosts", "x".repeat(4 << 20).as_bytes()).unwrap();
    desk.state.write("ali-cloud.json", "x".repeat(4 << 20).as_bytes()).unwrap();
    desk.state.write("pki/more", "x".repeat(1 << 10).as_bytes()).unwrap();
    for refused in [check(&desk.state), desk.save(&cluster).await] {
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("8388608") && message.contains("known_hosts"), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_copy_is_refused_with_the_way_out() {
    type Case = (&'static str, fn(&mut Value), &'static str);
    let tamper: [Case; 5] = [
        ("part", |part| part["data"]["part"] = STANDARD.encode("other").into(), "does not have the digest"),
        ("part", |part| part["data"]["part"] = "*".into(), "is not Base64"),
        ("index", |index| index["data"]["index.json"] = STANDARD.encode("{}").into(), "has no index that can be read"),
        ("index", |index| replace_in(index, "parts", json!(1_000_000)), "has no index that can be read"),
        ("index", |index| replace_in(index, "archive", json!("../../../x")), "has no index that can be read"),
    ];
    let desk = Desk::new();
    let stored = async || {
        let api = KubernetesApi::default();
        let cluster = through(&api, &[1]);
        atomic_file::remove(&desk.state.file("copy.json")).unwrap();
        desk.save(&cluster).await.unwrap();
        (api, cluster)
    };
    for (which, change, expected) in tamper {
        let (api, cluster) = stored().await;
        let name =
            secrets(&api).into_iter().find(|name| (name == "secret/sealer-state") == (which == "index")).unwrap();
        let mut object = api.object(&name).unwrap();
        change(&mut object);
        api.put(&name, object);
        let message = fetch(&cluster).await.unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("delete secret sealer-state"), "{message}");
    }
    let (api, cluster) = stored().await;
    let part = secrets(&api).pop().unwrap();
    api.remove(&part);
    assert!(fetch(&cluster).await.unwrap_err().to_string().contains("lacks the secret sealer-state-1-"));
    let mut index = api.object("secret/sealer-state").unwrap();
    replace_in(&mut index, "format", json!(2));
    api.put("secret/sealer-state", index);
    assert!(matches!(fetch(&cluster).await, Err(Error::CopyFormat { format: 2 })));
    api.remove("secret/sealer-state");
    assert!(fetch(&cluster).await.unwrap().is_none());
}

fn replace_in(object: &mut Value, key: &str, value: Value) {
    let text = STANDARD.decode(object["data"]["index.json"].as_str().unwrap()).unwrap();
    let mut index: Value = serde_json::from_slice(&text).unwrap();
    index[key] = value;
    object["data"]["index.json"] = STANDARD.encode(index.to_string()).into();
}

#[test]
fn a_block_from_elsewhere_can_neither_write_elsewhere_nor_fill_the_memory() {
    let pack = |text: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let files = json!({ "Clusterfile": TEXT, "../x": "", "pki/../x": "", "pki/.x": "", "/etc/x": "", "lock": "", "pki/a/b": "" });
    let content = Content::unpack(&pack(files.to_string().as_bytes())).unwrap();
    assert_eq!(content.files().map(|(name, _)| name).collect::<Vec<_>>(), ["Clusterfile"]);
    let ssh = content.clusterfile().unwrap().cluster.ssh;
    assert_eq!((ssh.password, ssh.private_key), (None, None), "whoever wrote it does not choose how to log in");
    let bomb = pack(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100 << 10);
    for bad in [bomb, pack(b"{}"), pack(b"[]"), pack(b"\xff"), b"no gzip".to_vec(), Vec::new()] {
        assert!(matches!(Content::unpack(&bad), Err(Error::CopyDamaged { .. })));
    }
}

#[test]
fn generations_decide_which_is_newer_and_clocks_only_between_equal_ones() {
    let desk = Desk::new();
    let content = Content::of(&desk.state).unwrap().unwrap();
    let (ours, theirs) = (Operator::test("a@b", "a0"), Operator::test("c@d", "c0"));
    let index = |generation, digest: &str, operator: &Operator, time: &str| {
        let now = OffsetDateTime::UNIX_EPOCH;
        let mut index = Index::new(generation, &content, &content.pack(PART).unwrap(), operator, now);
        (index.digest, index.time) = (digest.to_owned(), time.to_owned());
        index
    };
    let base = |generation, digest: &str| Base { generation, digest: digest.to_owned(), time: "2026".to_owned() };
    for (expected, base, index) in [
        (Relation::Missing, Some(base(3, "x")), None),
        (Relation::Same, None, Some(index(9, "local", &theirs, "2027"))),
        (Relation::ClusterNewer, None, Some(index(1, "x", &theirs, "1999"))),
        (Relation::ClusterNewer, Some(base(3, "x")), Some(index(4, "y", &theirs, "1999"))),
        // Killed after the copy was stored and before that was remembered.
        (Relation::LocalNewer, Some(base(3, "x")), Some(index(4, "y", &ours, "1999"))),
        (Relation::LocalNewer, Some(base(3, "x")), Some(index(3, "x", &theirs, "2027"))),
        // The cluster's database was restored from a backup, and two went on from there.
        (Relation::LocalNewer, Some(base(3, "x")), Some(index(2, "y", &theirs, "2027"))),
        (Relation::ClusterNewer, Some(base(3, "x")), Some(index(3, "y", &theirs, "2027"))),
        (Relation::LocalNewer, Some(base(3, "x")), Some(index(3, "y", &theirs, "2025"))),
    ] {
        assert_eq!(relation(base.as_ref(), "local", index.as_ref(), &ours), expected, "{base:?} {index:?}");
    }
}
