//! The journal: which steps were finished, on which machine. It makes a plan resumable.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Action, Content, Custom, Error, Run, Step, Wait};

/// A journal is never larger than this.
const LIMIT: u64 = 64 << 20;

/// Finished steps, one JSON line each, appended and synced.
///
/// A step counts as finished on a host only as long as its action is the same, the machine too, and nothing else was done
/// to the host since. The journal is that of one change: clear it when the change is complete or given up, or a later
/// change would skip its steps.
#[derive(Debug, Clone)]
pub struct Journal {
    inner: Arc<Inner>,
    machines: Arc<BTreeMap<IpAddr, String>>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    entries: BTreeSet<Entry>,
}

impl State {
    fn note(&mut self, entry: Entry) {
        if entry.forgotten {
            self.entries.remove(&Entry { forgotten: false, ..entry });
        } else {
            self.entries.insert(entry);
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Entry {
    step: String,
    host: IpAddr,
    /// SHA-256 over all that the action does.
    action: String,
    /// `/etc/machine-id` of the host, when it was told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    machine: String,
    /// It does not count any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    forgotten: bool,
}

impl Journal {
    /// Opens or makes the journal at `path`; its directory must exist.
    ///
    /// # Errors
    ///
    /// When it cannot be read or made; a torn last line is dropped.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Journal { act: "read", path: path.to_owned(), source };
        let state = load(path).map_err(failed)?;
        let inner = Inner { path: path.to_owned(), state: Mutex::new(state) };
        Ok(Self { inner: Arc::new(inner), machines: Arc::default() })
    }

    /// The same journal, knowing each host's machine id: steps finished on another machine under the same
    /// address do not count.
    #[must_use]
    pub fn with_machines(mut self, machines: BTreeMap<IpAddr, String>) -> Self {
        self.machines = Arc::new(machines);
        self
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// How many finished steps it holds; a step on two hosts counts twice.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().entries.len()
    }

    /// Whether no step is finished.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `step` is finished on `host`.
    #[must_use]
    pub fn contains(&self, step: &Step, host: IpAddr) -> bool {
        self.state().entries.contains(&self.entry(step, host))
    }

    /// Notes that `step` is finished on `host`; on disk when this returns. Blocks.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn record(&self, step: &Step, host: IpAddr) -> Result<(), Error> {
        self.append(&[self.entry(step, host)])
    }

    /// The steps that were finished on `host` besides these, as far as something is noted of them.
    pub(crate) fn others<'s>(&self, host: IpAddr, kept: impl Iterator<Item = &'s Step>) -> Vec<Entry> {
        let kept: BTreeSet<Entry> = kept.map(|step| self.entry(step, host)).collect();
        let state = self.state();
        let others = state.entries.iter().filter(|entry| entry.host == host && !kept.contains(entry));
        others.map(|entry| Entry { forgotten: true, ..entry.clone() }).collect()
    }

    /// Adds lines; on disk when this returns. Blocks.
    pub(crate) fn append(&self, entries: &[Entry]) -> Result<(), Error> {
        let failed = |source| Error::Journal { act: "append to", path: self.inner.path.clone(), source };
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, entry).map_err(|error| failed(error.into()))?;
            lines.push(b'\n');
        }
        let mut state = self.state();
        state.file.write_all(&lines).and_then(|()| state.file.sync_data()).map_err(failed)?;
        entries.iter().for_each(|entry| state.note(entry.clone()));
        Ok(())
    }

    /// Forgets everything.
    ///
    /// # Errors
    ///
    /// When the file cannot be emptied.
    pub fn clear(&self) -> Result<(), Error> {
        let failed = |source| Error::Journal { act: "clear", path: self.inner.path.clone(), source };
        let mut state = self.state();
        state.file.set_len(0).and_then(|()| state.file.sync_all()).map_err(failed)?;
        state.entries.clear();
        Ok(())
    }

    fn entry(&self, step: &Step, host: IpAddr) -> Entry {
        let machine = self.machines.get(&host).cloned().unwrap_or_default();
        Entry { step: step.id.clone(), host, action: digest(&step.action), machine, forgotten: false }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what is there, and cuts off what a crash left of an unfinished line.
fn load(path: &Path) -> io::Result<State> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let mut bytes = Vec::new();
    (&mut file).take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 MiB"));
    }
    let mut state = State { file, entries: BTreeSet::new() };
    let mut intact = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let Some(entry) = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok()) else {
            break;
        };
        state.note(entry);
        intact += line.len();
    }
    if intact < bytes.len() {
        state.file.set_len(intact as u64)?;
        state.file.sync_all()?;
    }
    if bytes.is_empty() {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()?;
    }
    Ok(state)
}

/// A digest over what an action does; how it is shown, and by which way content comes, do not count.
fn digest(action: &Action) -> String {
    let mut hasher = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    match action {
        Action::Run(Run { script, env, .. }) => {
            part(b"run");
            part(script.as_bytes());
            for (name, value) in env {
                part(name.as_bytes());
                part(value.expose().as_bytes());
            }
        }
        Action::Write { files } => {
            part(b"write");
            for file in files {
                part(file.path.as_bytes());
                part(&file.mode.to_le_bytes());
                part(&file.content);
            }
        }
        Action::Content(Content { image, carried_images, platforms, rootfs, .. }) => {
            part(b"content");
            part(image.as_bytes());
            part(&[u8::from(*carried_images)]);
            platforms.iter().for_each(|platform| part(platform.as_bytes()));
            part(rootfs.as_bytes());
        }
        Action::Wait(Wait { script, .. }) => {
            part(b"wait");
            part(script.as_bytes());
        }
        Action::Custom(Custom { name, detail }) => {
            part(b"custom");
            part(name.as_bytes());
            part(detail.as_bytes());
        }
    }
    hex::encode(hasher.finalize())
}

#[cfg(test)]
mod tests {

    use std::net::Ipv4Addr;

    use super::*;

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    fn step(id: &str, script: &str) -> Step {
        Step::wait(id, [HOST], Wait::new(script, ""))
    }

    fn machines(id: &str) -> BTreeMap<IpAddr, String> {
        BTreeMap::from([(HOST, id.to_owned())])
    }

    #[test]
    fn finished_steps_are_there_when_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let journal = Journal::open(&path).unwrap().with_machines(machines("m1"));
        journal.record(&step("a", "true"), HOST).unwrap();
        assert!(journal.contains(&step("a", "true"), HOST));
        let again = Journal::open(&path).unwrap();
        assert_eq!(again.len(), 1);
        let same = again.clone().with_machines(machines("m1"));
        assert!(same.contains(&step("a", "true"), HOST));
        assert!(!same.contains(&step("a", "false"), HOST), "another action");
        assert!(!same.contains(&step("b", "true"), HOST), "another step");
        assert!(!again.with_machines(machines("m2")).contains(&step("a", "true"), HOST), "another machine");
        same.clear().unwrap();
        same.record(&step("b", "true"), HOST).unwrap();
        assert_eq!(Journal::open(&path).unwrap().len(), 1);
    }

    #[test]
    fn what_was_done_otherwise_since_is_forgotten_for_good() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let journal = Journal::open(&path).unwrap();
        let (first, second) = (step("a", "true"), step("b", "true"));
        for step in [&first, &second] {
            journal.record(step, HOST).unwrap();
        }
        journal.append(&journal.others(HOST, [&first].into_iter())).unwrap();
        for journal in [&journal, &Journal::open(&path).unwrap()] {
            assert!(journal.contains(&first, HOST) && !journal.contains(&second, HOST));
        }
        journal.record(&second, HOST).unwrap();
        assert_eq!(Journal::open(&path).unwrap().len(), 2);
    }

    #[test]
    fn a_torn_line_is_dropped_and_the_next_one_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let journal = Journal::open(&path).unwrap();
        journal.record(&step("a", "true"), HOST).unwrap();
        journal.record(&step("b", "true"), HOST).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 1..whole.len() {
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let journal = Journal::open(&path).unwrap();
            assert!(journal.len() < 2);
            journal.record(&step("c", "true"), HOST).unwrap();
            let count = journal.len();
            assert_eq!(Journal::open(&path).unwrap().len(), count);
        }
    }

    #[test]
    fn secrets_written_do_not_appear() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let file = crate::File::secret("/x", "hunter2");
        let mut step = step("a", "");
        step.action = Action::Write { files: vec![file] };
        Journal::open(&path).unwrap().record(&step, HOST).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains("hunter2"));
        let mut other = step.clone();
        let Action::Write { files } = &mut other.action else { panic!() };
        files[0].content = b"hunter3".to_vec();
        assert!(!Journal::open(&path).unwrap().contains(&other, HOST));
    }
}
