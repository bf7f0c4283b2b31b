//! Keeps the cluster's cloud resources and unanswered calls on disk, before each call and after each response.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use clusterfile::Secret;
use serde::{Deserialize, Serialize};

use super::api::Parameters;
use super::settings::Role;
use crate::{Error, Result};

/// Name of the file in a cluster's state directory.
const FILE: &str = "ali-cloud.json";
/// The file of a cluster of a thousand machines has about 200 KiB.
const SIZE_LIMIT: u64 = 16 << 20;

/// Everything that is remembered, as it stands in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Resources {
    /// Random, made once for this cluster; part of every token.
    pub(super) uid: String,
    /// Where everything is.
    pub(super) region: String,
    /// Whether it was searched for what an earlier run may have made of which nothing is remembered.
    #[serde(alias = "looked")]
    pub(super) searched: bool,
    /// Calls whose answer is not known.
    pub(super) intents: BTreeMap<String, Intent>,
    /// How many calls were begun; makes every token different.
    pub(super) calls: u64,
    pub(super) vpc: Option<Resource>,
    /// The vSwitches by zone.
    pub(super) vswitches: BTreeMap<String, Resource>,
    pub(super) security_group: Option<Resource>,
    /// Whether the security group was opened, and for whom.
    pub(super) opened_for: Vec<String>,
    pub(super) key_pair: Option<Resource>,
    pub(super) eip: Option<Eip>,
    /// Machines that are to be changed or were, until their hosts have their pods back.
    pub(super) updating: BTreeSet<String>,
    /// The machines by id.
    pub(super) machines: BTreeMap<String, Machine>,
    /// Machines whose deletion was answered; for a while they are listed all the same.
    pub(super) leaving: BTreeSet<String>,
}

/// Something with an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Resource {
    pub(super) id: String,
    /// Whether it was made for this cluster: only then it is ever deleted.
    pub(super) own: bool,
}

/// The address of the first master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Eip {
    pub(super) id: String,
    pub(super) address: IpAddr,
    /// The machine it is bound to.
    pub(super) bound_to: Option<String>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) role: Role,
    /// Its number among the machines of its role; the first master has 0.
    pub(super) index: u32,
    /// Its address inside the VPC, once it is known.
    pub(super) address: Option<IpAddr>,
    /// Its type.
    pub(super) instance_type: String,
}

/// A call that was about to be made. Repeating it exactly gives the first answer again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    /// The action.
    pub(super) action: String,
    /// Its parameters, token included, secrets left out.
    pub(super) parameters: BTreeMap<String, String>,
}

impl Intent {
    /// How a secret shows among parameters.
    const HIDDEN: &str = "***";

    /// A call as it is written down: without secrets.
    pub(super) fn new(action: &str, parameters: &Parameters) -> Self {
        let parameters = parameters.shown().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { action: action.to_owned(), parameters }
    }

    /// The parameters as they were sent; what is hidden among them is the password.
    pub(super) fn restored(&self, password: Option<&Secret>) -> Parameters {
        self.parameters.iter().fold(Parameters::new(), |all, (name, value)| match password {
            Some(password) if value == Self::HIDDEN => all.secret(name, password),
            _ => all.text(name, value),
        })
    }
}

/// The record of one cluster. Every change is on disk before the call that made it returns.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    resources: Mutex<Resources>,
}

impl Record {
    /// Opens the record below `state_dir`; an empty one when there is none.
    pub(super) fn open(state_dir: &Path, uid: impl FnOnce() -> Result<String>) -> Result<Self> {
        let path = state_dir.join(FILE);
        let failed = |source| Error::File { act: "read", path: path.clone(), source };
        let resources = match atomic_file::read_limited(&path, SIZE_LIMIT).map_err(failed)? {
            Some(text) => serde_json::from_slice(&text).map_err(|error| failed(error.into()))?,
            None => Resources::default(),
        };
        let resources = if resources.uid.is_empty() { Resources { uid: uid()?, ..resources } } else { resources };
        Ok(Self { path, resources: Mutex::new(resources) })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is remembered right now.
    pub(super) fn resources(&self) -> Resources {
        self.lock().clone()
    }

    /// Looks at what is remembered.
    pub(super) fn with<T>(&self, look: impl FnOnce(&Resources) -> T) -> T {
        look(&self.lock())
    }

    /// Changes what is remembered; on disk when this returns.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Resources) -> T) -> Result<T> {
        let mut resources = self.lock();
        let before = resources.clone();
        let result = change(&mut resources);
        if *resources != before {
            let text = serde_json::to_string_pretty(&*resources).map_err(|error| self.failed("write", error.into()))?;
            let directory = self.path.parent().unwrap_or(&self.path);
            atomic_file::create_dir(directory, 0o700)
                .and_then(|()| atomic_file::write(&self.path, text.as_bytes(), 0o600))
                .map_err(|source| self.failed("write", source))?;
        }
        Ok(result)
    }

    /// A token that no other call of any cluster has; 40 characters at most, the cloud takes 64.
    pub(super) fn token(&self) -> Result<String> {
        self.change(|resources| {
            resources.calls += 1;
            format!("{}-{}", resources.uid, resources.calls)
        })
    }

    /// Forgets everything, on disk too.
    pub(super) fn forget(&self) -> Result<()> {
        *self.lock() = Resources::default();
        match std::fs::remove_file(&self.path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(self.failed("remove", source)),
            _ => Ok(()),
        }
    }

    fn failed(&self, act: &'static str, source: std::io::Error) -> Error {
        Error::File { act, path: self.path.clone(), source }
    }

    fn lock(&self) -> MutexGuard<'_, Resources> {
        self.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resources {
    /// Keeps who the cluster is and forgets what it has, so that it is searched for anew.
    pub(super) fn clear_resources(&mut self) {
        let Self { uid, region, calls, leaving, .. } = std::mem::take(self);
        *self = Self { uid, region, calls, leaving, ..Self::default() };
    }

    /// Whether nothing exists, and nothing was begun of which that is not known.
    pub(super) fn is_empty(&self) -> bool {
        !self.any_exist() && self.intents.is_empty()
    }

    /// Begins anew in another region, as the same cluster.
    pub(super) fn move_to(&mut self, region: &str) {
        let Self { uid, calls, .. } = std::mem::take(self);
        *self = Self { uid, calls, region: region.to_owned(), ..Self::default() };
    }

    /// Whether anything exists.
    pub(super) fn any_exist(&self) -> bool {
        let network = self.vpc.is_some() || !self.vswitches.is_empty() || self.security_group.is_some();
        network || self.key_pair.is_some() || self.eip.is_some() || !self.machines.is_empty()
    }

    /// The machines of a role, by number.
    pub(super) fn of_role(&self, role: Role) -> Vec<(&String, &Machine)> {
        let mut machines: Vec<_> = self.machines.iter().filter(|(_, machine)| machine.role == role).collect();
        machines.sort_by_key(|(_, machine)| machine.index);
        machines
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn open(state: &Path) -> Record {
        Record::open(state, || Ok("u1".to_owned())).unwrap()
    }

    #[test]
    fn every_change_is_on_disk_and_private() {
        let state = tempfile::tempdir().unwrap();
        let record = open(state.path());
        let first = record.token().unwrap();
        record.change(|resources| resources.vpc = Some(Resource { id: "vpc-1".to_owned(), own: true })).unwrap();
        let again = open(state.path());
        assert_eq!(again.resources(), record.resources());
        assert_ne!(again.token().unwrap(), first);
        let mode = std::fs::metadata(state.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        again.forget().unwrap();
        again.forget().unwrap();
        assert_eq!(open(state.path()).resources(), Resources { uid: "u1".to_owned(), ..Resources::default() });
    }

    #[test]
    fn a_record_that_makes_no_sense_is_kept_and_named() {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(state.path().join(FILE), "{").unwrap();
        let error = Record::open(state.path(), || Ok(String::new())).unwrap_err().to_string();
        assert!(error.contains(FILE), "{error}");
        assert!(state.path().join(FILE).exists());
    }
}
