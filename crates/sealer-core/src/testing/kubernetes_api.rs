//! An API server in memory: objects with versions, conflicts and outages, asked by kubectl's commands.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use remote::{Command, Error, Output, Remote, Session};
use serde_json::{Value, json};

use crate::cluster_api::KUBECTL;

/// The API of one cluster, shared by its masters. It understands the commands by which sealer keeps its own objects.
#[derive(Debug, Clone, Default)]
pub struct KubernetesApi(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    stopped: BTreeSet<IpAddr>,
    /// So many calls from now on are not answered.
    failing: usize,
    /// So many writes are done before all calls fail, as if the caller were killed.
    writes_left: Option<usize>,
    /// The answer to the next write is lost, though it is done.
    lose_answer: bool,
    calls: Vec<String>,
    inputs: Vec<String>,
}

impl KubernetesApi {
    /// Masters at `10.0.0.x` that have this API.
    #[must_use]
    pub fn masters(&self, last: &[u8]) -> Vec<Arc<dyn Remote>> {
        let master = |last: &u8| {
            Arc::new(Master { address: IpAddr::from([10, 0, 0, *last]), api: self.clone() }) as Arc<dyn Remote>
        };
        last.iter().map(master).collect()
    }

    /// Ends the API server of the master at `10.0.0.last`.
    pub fn stop(&self, last: u8) {
        self.state().stopped.insert(IpAddr::from([10, 0, 0, last]));
    }

    /// Starts it again.
    pub fn start(&self, last: u8) {
        self.state().stopped.remove(&IpAddr::from([10, 0, 0, last]));
    }

    /// Makes the next `calls` fail as if no API server answered.
    pub fn fail_next(&self, calls: usize) {
        self.state().failing = calls;
    }

    /// Makes every call fail after so many writes, until this is called with `None`.
    pub fn fail_after_writes(&self, writes: Option<usize>) {
        self.state().writes_left = writes;
    }

    /// Does the next write, and loses the answer to it.
    pub fn lose_next_answer(&self) {
        self.state().lose_answer = true;
    }

    /// An object by kind and name, for example `secret/a`.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<Value> {
        self.state().objects.get(name).cloned()
    }

    /// Names of all objects.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// Puts an object there as somebody else would.
    pub fn put(&self, name: &str, object: Value) {
        self.state().store(name, object);
    }

    /// Removes an object as somebody else would.
    pub fn remove(&self, name: &str) {
        self.state().objects.remove(name);
    }

    /// The arguments of kubectl of all calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// What was written to the standard inputs of all calls so far.
    #[must_use]
    pub fn inputs(&self) -> Vec<String> {
        self.state().inputs.clone()
    }

    /// Answers a command of a master; `None` when it does not call kubectl.
    #[must_use]
    pub fn answer(&self, master: IpAddr, command: &Command) -> Option<Output> {
        if command.script.contains("get --raw /version") {
            let stopped = self.state().stopped.contains(&master);
            return Some(Output::exited(i32::from(stopped), "version {\"gitVersion\": \"v1.20.2\"}\n", ""));
        }
        let (_, call) = command.script.split_once(KUBECTL)?;
        let mut state = self.state();
        state.calls.push(call.trim().to_owned());
        let input = command.stdin.as_deref().map(|input| String::from_utf8_lossy(input).into_owned());
        state.inputs.extend(input.clone());
        let refused =
            Output::exited(1, "", "The connection to the server was refused - did you specify the right host?\n");
        if state.stopped.contains(&master) || state.writes_left == Some(0) {
            return Some(refused);
        }
        if state.failing > 0 {
            state.failing -= 1;
            return Some(refused);
        }
        let words: Vec<&str> = call.split_whitespace().collect();
        let answer = match words[0] {
            "create" | "replace" => state.write(words[0] == "create", &input.unwrap_or_default()),
            "delete" => {
                words[1..].iter().filter(|word| word.contains('/')).for_each(|name| drop(state.objects.remove(*name)));
                Output::exited(0, "", "")
            }
            _ => state.get(&words[1..]),
        };
        let is_write = words[0] != "get";
        if let Some(left) = state.writes_left.as_mut().filter(|_| is_write) {
            *left -= 1;
        }
        let lost = is_write && std::mem::take(&mut state.lose_answer);
        Some(if lost { refused } else { answer })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn get(&self, words: &[&str]) -> Output {
        if words[0] == "secret" {
            let label = words[2].trim_matches('\'').split_once('=').unwrap_or_default();
            let has = |object: &Value| object["metadata"]["labels"][label.0] == label.1;
            let names = self.objects.iter().filter(|(_, object)| has(object)).map(|(name, _)| format!("{name}\n"));
            return Output::exited(0, names.collect::<String>(), "");
        }
        let names: Vec<&&str> = words.iter().filter(|word| word.contains('/')).collect();
        let items: Vec<&Value> = names.iter().filter_map(|name| self.objects.get(**name)).collect();
        let text = match (names.len(), items.as_slice()) {
            (_, []) => String::new(),
            (1, [one]) => one.to_string(),
            (_, items) => json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string(),
        };
        Output::exited(0, text, "")
    }

    fn write(&mut self, create: bool, input: &str) -> Output {
        let refuse =
            |reason: &str, what: &str| Output::exited(1, "", format!("Error from server ({reason}): {what}\n"));
        let Ok(mut object) = serde_json::from_str::<Value>(input) else {
            return Output::exited(1, "", "error: unable to decode \"STDIN\"\n");
        };
        let bytes: usize =
            object["data"].as_object().into_iter().flatten().filter_map(|(_, text)| text.as_str()).map(str::len).sum();
        if bytes / 4 * 3 > 1 << 20 {
            return refuse("Invalid", "data: Too long: must have at most 1048576 bytes");
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = format!("{}/{}", text(&object["kind"]).to_lowercase(), text(&object["metadata"]["name"]));
        let there = self.objects.get(&name).map(|there| text(&there["metadata"]["resourceVersion"]));
        match there {
            Some(_) if create => return refuse("AlreadyExists", "error when creating \"STDIN\": already exists"),
            None if !create => return refuse("NotFound", "error when replacing \"STDIN\": not found"),
            Some(there) if there != text(&object["metadata"]["resourceVersion"]) => {
                return refuse("Conflict", "error when replacing \"STDIN\": the object has been modified");
            }
            _ => {}
        }
        object["metadata"]["resourceVersion"] = Value::Null;
        Output::exited(0, self.store(&name, object), "")
    }

    fn store(&mut self, name: &str, mut object: Value) -> String {
        self.version += 1;
        let version = self.version.to_string();
        object["metadata"]["resourceVersion"] = Value::String(version.clone());
        self.objects.insert(name.to_owned(), object);
        version
    }
}

/// A master of which only the API is there.
#[derive(Debug)]
struct Master {
    address: IpAddr,
    api: KubernetesApi,
}

impl Master {
    fn no_files<T>(&self, path: &str) -> Result<T, Error> {
        Err(Error::File { host: self.address, act: "find", path: path.to_owned(), detail: "only an API".to_owned() })
    }
}

#[async_trait]
impl Remote for Master {
    fn address(&self) -> IpAddr {
        self.address
    }

    async fn run(&self, command: &Command) -> Result<Output, Error> {
        // As a real call does, so that others come in between.
        tokio::task::yield_now().await;
        Ok(self.api.answer(self.address, command).unwrap_or_else(|| Output::exited(127, "", "only kubectl is here\n")))
    }

    async fn stream(&self, command: &Command) -> Result<Session, Error> {
        self.no_files(&command.script)
    }

    async fn write(&self, path: &str, _: u32, _: &[u8]) -> Result<(), Error> {
        self.no_files(path)
    }

    async fn upload(&self, _: &Path, path: &str, _: u32, _: &(dyn Fn(u64) + Sync)) -> Result<u64, Error> {
        self.no_files(path)
    }

    async fn read(&self, path: &str, _: u64) -> Result<Option<Vec<u8>>, Error> {
        self.no_files(path)
    }
}
