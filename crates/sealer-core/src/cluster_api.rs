//! Reads and writes single objects in the namespace `kube-system` of a cluster, by kubectl on any master that answers.
//!
//! Objects travel on standard input and output, never in arguments: some hold secrets.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clusterfile::Cluster;
use remote::text::{last_lines, quote};
use remote::{Command, Output, Remote};
use runtime::{Facts, Requirements};
use serde_json::Value;
use tokio::time::sleep;

use crate::{Error, Remotes};

/// Finds kubectl and the kubeconfig; the call itself follows as the last line.
const PREPARE: &str = include_str!("cluster_api.sh");
/// How a call begins; [`crate::testing::KubernetesApi`] knows it by this, too.
pub(crate) const KUBECTL: &str = "kubectl --kubeconfig=\"$ADMIN_KUBECONFIG\" --request-timeout=10s -n kube-system ";
/// The exit code of a host without an API server.
const NO_API: i32 = 69;
/// How long one call may take on its master.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How often all masters are tried, and how long after each other: an API server that restarts is away for a moment.
const ROUNDS: usize = 3;
const PAUSE: Duration = Duration::from_secs(2);
/// No answer is larger than what a [`Remote`] keeps of an output.
const ANSWER_LIMIT: usize = 4 << 20;
/// A message of kubectl is cut at this many characters.
const DETAIL_LIMIT: usize = 300;

/// What etcd says to every write while its alarm NOSPACE is raised (`ErrNoSpace` of go.etcd.io/etcd).
const ETCD_FULL: &str = "mvcc: database space exceeded";

/// The API of one cluster, through its masters.
#[derive(Debug)]
pub(crate) struct ClusterApi {
    /// The masters; any of them may be gone by now, or not be one yet.
    masters: Vec<Arc<dyn Remote>>,
    kubeconfig: &'static str,
    /// The one that answered last.
    current: AtomicUsize,
    rounds: usize,
}

/// How a write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is stored, in this version.
    Done(String),
    /// There already is an object of this name.
    Exists,
    /// There is no object of this name.
    Missing,
    /// The object has another version than the one that was to be replaced.
    Conflict,
}

/// What to do with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Makes it; it must not be there.
    Create,
    /// Replaces the version that the object names in `metadata.resourceVersion`.
    Replace,
}

/// A call that reached an API server, or none.
enum Reached {
    Answer(Output),
    /// Why, and whether the host has an API server at all: one that becomes a master later has none yet.
    Nobody {
        detail: String,
        has_api: bool,
    },
}

impl ClusterApi {
    /// The API through the masters of `cluster` that were observed; `None` when none has an API server that answers.
    pub(crate) fn through(
        remotes: &Remotes,
        facts: &Facts,
        cluster: &Cluster,
        requirements: &Requirements,
    ) -> Option<Self> {
        let kubeconfig = requirements.admin_kubeconfig?;
        let asked = facts.api.as_ref()?.through;
        let is_ours = |address: &IpAddr| {
            let facts = facts.hosts.get(address);
            let marker = facts.and_then(|facts| facts.marker.as_ref());
            marker.is_some_and(|marker| marker.cluster == cluster.name && marker.role == "master")
        };
        let is_wanted = |address: &IpAddr| cluster.host(*address).is_some_and(clusterfile::Host::is_master);
        // The one that answered a moment ago is asked first, one that becomes a master in this run last.
        let (known, new): (Vec<_>, Vec<_>) = remotes.iter().partition(|(address, _)| is_ours(address));
        let (first, known): (Vec<_>, Vec<_>) = known.into_iter().partition(|(address, _)| Some(**address) == asked);
        let masters = first.into_iter().chain(known).chain(new.into_iter().filter(|(address, _)| is_wanted(address)));
        Self::of(masters.map(|(_, remote)| Arc::clone(remote)).collect(), kubeconfig)
    }

    /// The API through these masters; `None` when there are none.
    pub(crate) fn of(masters: Vec<Arc<dyn Remote>>, kubeconfig: &'static str) -> Option<Self> {
        (!masters.is_empty()).then(|| Self { masters, kubeconfig, current: AtomicUsize::new(0), rounds: ROUNDS })
    }

    /// The same for calls that are repeated anyway: each tries every master once.
    pub(crate) fn once(&self) -> Self {
        let current = AtomicUsize::new(self.current.load(Ordering::Relaxed));
        Self { masters: self.masters.clone(), kubeconfig: self.kubeconfig, current, rounds: 1 }
    }

    /// The master that answered last.
    pub(crate) fn host(&self) -> IpAddr {
        self.masters[self.current.load(Ordering::Relaxed)].address()
    }

    /// The objects of these names (`secret/a`) that are there.
    pub(crate) async fn get(&self, names: &[&str]) -> Result<Vec<Value>, Error> {
        let act = || format!("read {}", names.join(" and "));
        let output = self.call(&format!("get {} --ignore-not-found -o json", names.join(" ")), None, &act).await?;
        if output.code != Some(0) {
            return Err(self.refused(act(), &output));
        }
        if output.stdout.trim_ascii().is_empty() {
            return Ok(Vec::new());
        }
        let cut = output.stdout.len() >= ANSWER_LIMIT;
        let object = serde_json::from_slice(&output.stdout).ok().filter(|_| !cut);
        match object.ok_or_else(|| self.failed(act(), "the answer cannot be read"))? {
            Value::Object(mut list) if list.get("kind").is_some_and(|kind| kind == "List") => {
                match list.remove("items") {
                    Some(Value::Array(items)) => Ok(items),
                    _ => Ok(Vec::new()),
                }
            }
            object => Ok(vec![object]),
        }
    }

    /// Names of the secrets with this label, as `secret/a`.
    pub(crate) async fn secrets_labelled(&self, label: &str) -> Result<Vec<String>, Error> {
        let act = || format!("list the secrets with the label {label}");
        let output = self.call(&format!("get secret -l {} -o name", quote(label)), None, &act).await?;
        if output.code != Some(0) {
            return Err(self.refused(act(), &output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect())
    }

    /// Writes one object. When the answer to it was lost, the next master may tell of a conflict with this very write.
    pub(crate) async fn write(&self, verb: Verb, object: &Value) -> Result<Written, Error> {
        let word = if verb == Verb::Create { "create" } else { "replace" };
        let act = || format!("{word} {} {}", object["kind"], object["metadata"]["name"]).replace('"', "");
        // Validation by kubectl would fetch a description of the whole API first; the API server validates anyway.
        let call = format!("{word} -f - --validate=false -o 'jsonpath={{.metadata.resourceVersion}}'");
        let output = self.call(&call, Some(object.to_string().into_bytes()), &act).await?;
        if output.code == Some(0) {
            return Ok(Written::Done(String::from_utf8_lossy(&output.stdout).trim().to_owned()));
        }
        match reason(&output) {
            Some("AlreadyExists") => Ok(Written::Exists),
            Some("NotFound") => Ok(Written::Missing),
            Some("Conflict") => Ok(Written::Conflict),
            _ => Err(self.refused(act(), &output)),
        }
    }

    /// Deletes the objects of these names (`secret/a`) that are there.
    pub(crate) async fn delete(&self, names: &[String]) -> Result<(), Error> {
        let act = || format!("delete {}", names.join(" and "));
        let call = format!("delete {} --ignore-not-found --wait=false -o name", names.join(" "));
        let output = self.call(&call, None, &act).await?;
        if output.code == Some(0) { Ok(()) } else { Err(self.refused(act(), &output)) }
    }

    /// Asks one master after the other, beginning with the one that answered last, until an API server has answered.
    async fn call(&self, call: &str, stdin: Option<Vec<u8>>, act: &impl Fn() -> String) -> Result<Output, Error> {
        let mut command = Command::new(format!("{PREPARE}{KUBECTL}{call}\n")).timeout(TIMEOUT);
        command.env.insert("ADMIN_KUBECONFIG".to_owned(), self.kubeconfig.to_owned());
        command.stdin = stdin;
        let mut why = String::new();
        for round in 0..self.rounds {
            if round > 0 {
                sleep(PAUSE).await;
            }
            let first = self.current.load(Ordering::Relaxed);
            for offset in 0..self.masters.len() {
                let index = (first + offset) % self.masters.len();
                match ask(self.masters[index].as_ref(), &command).await {
                    Reached::Answer(output) => {
                        self.current.store(index, Ordering::Relaxed);
                        return Ok(output);
                    }
                    Reached::Nobody { detail, has_api } if has_api || why.is_empty() => why = detail,
                    Reached::Nobody { .. } => {}
                }
            }
        }
        Err(Error::ClusterApi { act: act(), detail: why })
    }

    fn refused(&self, act: String, output: &Output) -> Error {
        self.failed(act, &detail(output))
    }

    fn failed(&self, act: String, detail: &str) -> Error {
        Error::ClusterApi { act, detail: format!("{}: {detail}", self.host()) }
    }
}

async fn ask(master: &dyn Remote, command: &Command) -> Reached {
    let output = match master.run(command).await {
        Ok(output) => output,
        Err(error) => return Reached::Nobody { detail: error.to_string(), has_api: true },
    };
    // Whether it says yes or no: an API server that says so has decided. One that cannot reach etcd has not.
    let decided = output.code == Some(0)
        || (output.code != Some(NO_API)
            && reason(&output).is_some_and(|reason| {
                !matches!(
                    reason,
                    "Timeout" | "ServiceUnavailable" | "InternalError" | "TooManyRequests" | "ServerTimeout"
                )
            }));
    if decided {
        Reached::Answer(output)
    } else {
        let detail = format!("{}: {}", master.address(), detail(&output));
        Reached::Nobody { detail, has_api: output.code != Some(NO_API) }
    }
}

/// The reason that an API server gave, for example `Conflict`.
fn reason(output: &Output) -> Option<&str> {
    let text = std::str::from_utf8(&output.stderr).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Error from server (")?.split_once(')').map(|(reason, _)| reason))
}

/// What kubectl said; objects are never part of it, see [`Verb`].
fn detail(output: &Output) -> String {
    let mut detail = last_lines(&output.stderr, 1);
    if detail.is_empty() {
        detail = output.status();
    }
    if let Some((at, _)) = detail.char_indices().nth(DETAIL_LIMIT) {
        detail = format!("{}…", &detail[..at]);
    }
    if detail.contains(ETCD_FULL) {
        detail.push_str("; compact and defragment etcd, then `etcdctl alarm disarm` on a master");
    }
    detail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::KubernetesApi;
    use serde_json::json;

    fn object(name: &str, version: Option<&str>) -> Value {
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "resourceVersion": version } })
    }

    #[tokio::test(start_paused = true)]
    async fn objects_are_read_and_written_through_any_master_that_answers() {
        let api = KubernetesApi::default();
        let masters = api.masters(&[1, 2, 3]);
        let cluster = ClusterApi::of(masters, "/etc/kubernetes/admin.conf").unwrap();
        assert!(cluster.get(&["secret/a"]).await.unwrap().is_empty());
        let Written::Done(version) = cluster.write(Verb::Create, &object("a", None)).await.unwrap() else { panic!() };
        assert_eq!(cluster.write(Verb::Create, &object("a", None)).await.unwrap(), Written::Exists);
        assert_eq!(cluster.write(Verb::Replace, &object("b", Some("1"))).await.unwrap(), Written::Missing);
        assert_eq!(cluster.write(Verb::Replace, &object("a", Some("0"))).await.unwrap(), Written::Conflict);

        api.stop(1);
        let replaced = cluster.write(Verb::Replace, &object("a", Some(&version))).await.unwrap();
        assert!(matches!(replaced, Written::Done(newer) if newer != version));
        assert_eq!(cluster.host().to_string(), "10.0.0.2", "the one that answers is asked first from now on");
        assert_eq!(cluster.get(&["secret/a", "secret/b"]).await.unwrap().len(), 1);

        api.stop(2);
        api.stop(3);
        let error = cluster.get(&["secret/a"]).await.unwrap_err().to_string();
        assert!(error.contains("read secret/a") && error.contains("refused"), "{error}");
        api.start(3);
        cluster.delete(&["secret/a".to_owned(), "secret/b".to_owned()]).await.unwrap();
        assert!(cluster.get(&["secret/a"]).await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_that_is_away_for_a_moment_is_asked_again() {
        let api = KubernetesApi::default();
        let cluster = ClusterApi::of(api.masters(&[1]), "/etc/kubernetes/admin.conf").unwrap();
        api.fail_next(2);
        assert!(cluster.get(&["secret/a"]).await.is_ok());
        api.fail_next(1);
        assert!(cluster.once().get(&["secret/a"]).await.is_err());
    }

    #[test]
    fn a_message_is_short_and_its_reason_is_understood() {
        let output = Output::exited(1, "", format!("Error from server (Conflict): {}\n", "x".repeat(900)));
        assert_eq!(reason(&output), Some("Conflict"));
        assert_eq!(detail(&output).chars().count(), DETAIL_LIMIT + 1);
        assert_eq!(reason(&Output::exited(1, "", "The connection to the server 10.0.0.1:6443 was refused\n")), None);
    }
}
