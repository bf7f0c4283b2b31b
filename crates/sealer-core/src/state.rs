//! Keeps the state of each cluster on the operator's machine, for one writer at a time.
//!
//! | file below `<state>/<cluster>/` | written by |
//! |---|---|
//! | `Clusterfile` (0600) | [`ClusterState::remember`] |
//! | `kubeconfig` (0600) | [`ClusterState::write`] |
//! | `journal.jsonl` | `runtime::Journal` |
//! | `known_hosts` | `remote::Ssh` |
//! | `pki/`, `secrets.json` (0600) | `runtime::Secrets` |
//! | `ssh/` (0600) | `infra_provider::Container` |
//! | `lock` | [`ClusterState::lock`] |
//! | `operator`, `copy.json` (0600) | `operator_lock`, `cluster_copy` |

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clusterfile::{Clusterfile, Secret};

use crate::Error;

/// No file that is read here is larger than this.
const FILE_LIMIT: u64 = 4 << 20;

/// The directory that holds one directory per cluster.
#[derive(Debug, Clone)]
pub struct State {
    root: PathBuf,
    is_only_looked_at: bool,
}

impl State {
    /// States are kept below `root`, by default `~/.sealer`; it is made when first written.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), is_only_looked_at: false }
    }

    /// The same for somebody who changes nothing: a directory that was made only for the lock goes with it.
    pub(crate) fn to_look_at(&self) -> Self {
        Self { is_only_looked_at: true, ..self.clone() }
    }

    /// Where states are kept.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Keeps others out of the directory, if it is ours and they may enter it; gives the permissions that it had then.
    ///
    /// Only for a directory that nobody uses for anything else, such as `~/.sealer`.
    ///
    /// # Errors
    ///
    /// When its permissions cannot be read or changed.
    pub fn close_to_others(&self) -> Result<Option<u32>, Error> {
        let failed = |act| move |source| Error::State { act, path: self.root.clone(), source };
        let metadata = match fs::metadata(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(failed("read"))?,
        };
        let mode = metadata.mode() & 0o7777;
        let is_ours = atomic_file::refuse_foreign(&self.root).is_ok();
        if !metadata.is_dir() || !is_ours || mode & 0o077 == 0 {
            return Ok(None);
        }
        fs::set_permissions(&self.root, fs::Permissions::from_mode(0o700)).map_err(failed("keep others out of"))?;
        Ok(Some(mode))
    }

    /// Names of all clusters that have a state here, sorted.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read, or belongs to another user.
    pub fn clusters(&self) -> Result<Vec<String>, Error> {
        refuse_foreign(&self.root)?;
        names_in(&self.root, |entry| entry.join("Clusterfile").is_file())
    }

    /// Takes the state of one cluster for writing; made when there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when another process holds it; [`Error::State`] when it cannot be made, or a directory of it belongs
    /// to another user.
    pub fn lock(&self, cluster: &str) -> Result<ClusterState, Error> {
        let path = self.directory(cluster)?;
        let is_new = !path.exists();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|source| Error::State {
            act: "make",
            path: path.clone(),
            source,
        })?;
        let file = path.join("lock");
        let lock =
            atomic_file::open_lock(&file).map_err(|source| Error::State { act: "open", path: file.clone(), source })?;
        match lock.try_lock() {
            // Whoever held it before may have forgotten the cluster, and the file that we opened is no longer there.
            Ok(()) if !is_at(&lock, &file) => Err(Error::Busy { cluster: cluster.to_owned() }),
            Ok(()) => Ok(ClusterState { path, lock, trace: !is_new || !self.is_only_looked_at }),
            Err(TryLockError::WouldBlock) => Err(Error::Busy { cluster: cluster.to_owned() }),
            Err(TryLockError::Error(source)) => Err(Error::State { act: "lock", path: file, source }),
        }
    }

    /// The Clusterfile of a cluster as it was last run; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read or parsed, or a directory of it belongs to another user.
    pub fn clusterfile(&self, cluster: &str) -> Result<Option<Clusterfile>, Error> {
        read_clusterfile(&self.directory(cluster)?.join("Clusterfile"))
    }

    /// Where the state of a cluster is. What is there is removed with the cluster, so it must not be anything else.
    fn directory(&self, cluster: &str) -> Result<PathBuf, Error> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        let is_name = cluster.starts_with(|first: char| first.is_ascii_alphanumeric())
            && cluster.len() <= 253
            && cluster.bytes().all(plain);
        if !is_name {
            return Err(Error::ClusterName { given: cluster.to_owned() });
        }
        let path = self.root.join(cluster);
        refuse_foreign(&self.root)?;
        refuse_foreign(&path)?;
        Ok(path)
    }
}

/// Whoever owns the directory, or may write to it, could put keys and hosts of their own into it.
fn refuse_foreign(path: &Path) -> Result<(), Error> {
    let refused = atomic_file::refuse_foreign(path).and_then(|()| atomic_file::refuse_changeable(path));
    refused.map_err(|source| Error::State { act: "use", path: path.to_owned(), source })
}

/// Whether an open file still is the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    file.metadata().map(id).is_ok_and(|own| fs::metadata(path).map(id).is_ok_and(|there| own == there))
}

/// The state of one cluster, held by this process until dropped.
#[derive(Debug)]
#[must_use]
pub struct ClusterState {
    path: PathBuf,
    lock: File,
    /// Whether the directory stays.
    trace: bool,
}

impl Drop for ClusterState {
    fn drop(&mut self) {
        // Closing alone would leave it held by a process that another thread has just forked, until that runs its program.
        let _ = self.lock.unlock();
        if !self.trace {
            // What cannot be removed has got a use meanwhile.
            let _ = fs::remove_file(self.file("lock"));
            let _ = fs::remove_dir(&self.path);
            let _ = self.path.parent().map(fs::remove_dir);
        }
    }
}

impl ClusterState {
    /// The directory of this cluster.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of this cluster.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Names of the files in one of its directories, sorted; none when there is no such directory.
    pub(crate) fn names_in(&self, directory: &str) -> Result<Vec<String>, Error> {
        names_in(&self.file(directory), |entry| entry.is_file() && !entry.is_symlink())
    }

    /// The path of one of its files.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The Clusterfile as it was last remembered.
    ///
    /// # Errors
    ///
    /// When it cannot be read or parsed.
    pub fn clusterfile(&self) -> Result<Option<Clusterfile>, Error> {
        read_clusterfile(&self.file("Clusterfile"))
    }

    /// Writes the Clusterfile, with all its documents.
    ///
    /// # Errors
    ///
    /// When it cannot be written; the old one is then unharmed.
    pub fn remember(&self, clusterfile: &Clusterfile) -> Result<(), Error> {
        self.write("Clusterfile", clusterfile.to_yaml().as_bytes())
    }

    /// Writes one file (0600): temporary file, fsync, rename, fsync of the directory.
    ///
    /// # Errors
    ///
    /// When it cannot be written; the old one is then unharmed.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        let path = self.file(name);
        atomic_file::write(&path, content, 0o600).map_err(|source| Error::State { act: "write", path, source })
    }

    /// Reads one small file of text; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read; a file that is no text counts as absent.
    pub fn read(&self, name: &str) -> Result<Option<Secret>, Error> {
        let path = self.file(name);
        match atomic_file::read_limited(&path, FILE_LIMIT) {
            Ok(bytes) => Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map(Secret::from)),
            Err(source) => Err(Error::State { act: "read", path, source }),
        }
    }

    /// Forgets the keys of hosts that left the cluster: another machine may get the address.
    pub(crate) fn forget_host_keys(&self, hosts: &[IpAddr]) -> Result<(), Error> {
        let Some(known) = self.read("known_hosts")? else { return Ok(()) };
        let is_of = |name: &str| {
            let name = name.strip_prefix('[').and_then(|name| name.split_once("]:")).map_or(name, |(host, _)| host);
            name.parse().is_ok_and(|address: IpAddr| hosts.contains(&address))
        };
        let stays = |line: &&str| !line.split_ascii_whitespace().next().is_some_and(is_of);
        let kept: String = known.expose().lines().filter(stays).flat_map(|line| [line, "\n"]).collect();
        if kept.len() == known.expose().len() { Ok(()) } else { self.write("known_hosts", kept.as_bytes()) }
    }

    /// Removes everything that is known of the cluster.
    ///
    /// # Errors
    ///
    /// When a file cannot be removed.
    pub fn forget(self) -> Result<(), Error> {
        // The Clusterfile goes last: as long as it is there, the same delete can be repeated.
        let failed = |path: &Path, source| Error::State { act: "remove", path: path.to_owned(), source };
        for entry in fs::read_dir(&self.path).map_err(|source| failed(&self.path, source))? {
            let path = entry.map_err(|source| failed(&self.path, source))?.path();
            if path.is_dir() {
                fs::remove_dir_all(&path).map_err(|source| failed(&path, source))?;
            } else if !path.ends_with("Clusterfile") && !path.ends_with("lock") {
                fs::remove_file(&path).map_err(|source| failed(&path, source))?;
            }
        }
        fs::remove_dir_all(&self.path).map_err(|source| failed(&self.path, source))
    }
}

/// The names in a directory whose entries are of a kind, sorted; none where there is no directory.
fn names_in(directory: &Path, is_of_kind: impl Fn(&Path) -> bool) -> Result<Vec<String>, Error> {
    let failed = |source| Error::State { act: "read", path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        names.extend(entry.file_name().into_string().ok().filter(|_| is_of_kind(&entry.path())));
    }
    names.sort();
    Ok(names)
}

fn read_clusterfile(path: &Path) -> Result<Option<Clusterfile>, Error> {
    let failed = |source| Error::State { act: "read", path: path.to_owned(), source };
    let bytes = match atomic_file::read_limited(path, FILE_LIMIT) {
        // Where a directory should be is a file: making the directory will say so.
        Err(source) if source.kind() == io::ErrorKind::NotADirectory => None,
        read => read.map_err(failed)?,
    };
    let Some(bytes) = bytes else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| failed(io::Error::from(io::ErrorKind::InvalidData)))?;
    let parsed = clusterfile::parse(&text);
    parsed.map(Some).map_err(|errors| Error::Remembered { path: path.to_owned(), errors })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A directory of this test alone.
    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("sealer-state-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_path_is_no_name_of_a_cluster() {
        let root = scratch("names");
        fs::write(root.join("Clusterfile"), "not ours").unwrap();
        let state = State::new(&root.join("state"));
        let outside = root.display().to_string();
        for name in ["", ".", "..", "../x", "a/b", "a/..", "-x", "a\nb", outside.as_str()] {
            assert!(matches!(state.clusterfile(name), Err(Error::ClusterName { .. })), "{name}");
            assert!(matches!(state.lock(name), Err(Error::ClusterName { .. })), "{name}");
        }
        assert!(state.clusterfile("my-cluster.1").unwrap().is_none());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_state_of_somebody_else_is_refused() {
        // Only root can make what belongs to somebody else.
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let root = scratch("owners");
        let state = State::new(&root);
        drop(state.lock("a").unwrap());
        let refused = |error: Error| error.to_string().contains("it belongs to user 65534, and this is user 0");
        for foreign in [root.join("a"), root.clone()] {
            std::os::unix::fs::chown(&foreign, Some(65_534), None).unwrap();
            assert!(refused(state.lock("a").unwrap_err()));
            assert!(refused(state.clusterfile("a").unwrap_err()));
        }
        assert!(refused(state.clusters().unwrap_err()));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn keys_of_hosts_that_left_are_forgotten() {
        let root = scratch("keys");
        let state = State::new(&root).lock("a").unwrap();
        state.forget_host_keys(&[[10, 0, 0, 1].into()]).unwrap();
        let lines = ["10.0.0.1 ssh-ed25519 A", "[10.0.0.1]:2222 ssh-rsa B", "10.0.0.11 ssh-rsa C", "fd00::1 ssh-rsa D"];
        state.write("known_hosts", format!("{}\n", lines.join("\n")).as_bytes()).unwrap();
        state.forget_host_keys(&[[10, 0, 0, 1].into(), "fd00::1".parse().unwrap()]).unwrap();
        assert_eq!(state.read("known_hosts").unwrap().unwrap().expose(), "10.0.0.11 ssh-rsa C\n");
        drop(state);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_cluster_is_held_once_and_can_be_forgotten() {
        let root = scratch("locks");
        let state = State::new(&root);
        let held = state.lock("a").unwrap();
        assert!(matches!(state.lock("a"), Err(Error::Busy { .. })));
        let opened = File::open(held.file("lock")).unwrap();
        assert!(is_at(&opened, &held.file("lock")));
        held.forget().unwrap();
        let again = state.lock("a").unwrap();
        assert!(!is_at(&opened, &again.file("lock")), "the lock of a forgotten cluster does not count");
        drop(again);
        fs::remove_dir_all(root).unwrap();
    }
}
