//! Records which images were asked for and what they resolved to.

use crate::source::{DEFAULT_REGISTRY, Manifest, ManifestReference, Repository, Source, SourceBlob, SourceError};
use async_trait::async_trait;
use content_store::{Digest, Reference};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The most entries that are kept, and the most manifests of indexes that are waited for.
const LIMIT: usize = 100_000;

/// An image that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Recorded {
    /// The name that was asked for, whole: `docker.io/library/redis:6.2`, or with a digest.
    pub image: String,
    /// What it resolved to: the digest of an index or manifest.
    pub digest: Digest,
    /// The platform (`linux/amd64`), once a manifest of an index was asked for.
    pub platform: Option<String>,
    /// The upstream that it came from; none when it was here.
    pub upstream: Option<String>,
}

impl Recorded {
    /// The entry as one line of JSON, with its end of line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}

/// Is told every new entry; must return quickly.
pub type Recording = Arc<dyn Fn(&Recorded) + Send + Sync>;

/// Records what its sources are asked for, each image once for each digest and platform. Clones share what they recorded.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    recording: Recording,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: BTreeSet<Recorded>,
    /// What a name of the repository was resolved to before, which engines then ask for by its digest.
    resolved: BTreeSet<(String, Digest)>,
    /// By the digest of a manifest, the indexes that list it and its platform there.
    listed: HashMap<Digest, (Recorded, String)>,
}

/// The part of an index that says what is for which platform.
#[derive(Default, Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(formatter, "/{variant}"))
    }
}

impl Recorder {
    /// A recorder that has nothing yet.
    #[must_use]
    pub fn new(recording: Recording) -> Self {
        Self(Arc::new(Inner { recording, state: Mutex::default() }))
    }

    /// The source, recorded.
    #[must_use]
    pub fn wrap(&self, source: Arc<dyn Source>) -> Arc<dyn Source> {
        Arc::new(RecordedSource { recorder: self.clone(), source })
    }

    /// Everything that was recorded, sorted.
    #[must_use]
    pub fn entries(&self) -> Vec<Recorded> {
        self.state().entries.iter().cloned().collect()
    }

    fn record(&self, repository: &Repository, reference: &ManifestReference, manifest: &Manifest) {
        let registry = repository.registry.as_deref().unwrap_or(DEFAULT_REGISTRY);
        let text = match reference {
            ManifestReference::Tag(tag) => tag.clone(),
            ManifestReference::Digest(digest) => digest.to_string(),
        };
        let Ok(image) = Reference::new(registry, &repository.path, &text) else { return };
        let mut state = self.state();
        let target = (format!("{registry}/{}", image.repository()), manifest.digest);
        if image.digest().is_some() && state.resolved.contains(&target) {
            return;
        }
        let chosen = state.listed.get(&manifest.digest).filter(|_| matches!(reference, ManifestReference::Digest(_)));
        let entry = match chosen {
            Some((index, platform)) => Recorded { platform: Some(platform.clone()), ..index.clone() },
            None => Recorded {
                image: image.to_string(),
                digest: manifest.digest,
                platform: None,
                upstream: manifest.upstream.clone(),
            },
        };
        if chosen.is_none() {
            state.learn(&entry, manifest);
            if state.resolved.len() < LIMIT {
                state.resolved.insert(target);
            }
        }
        if state.entries.len() < LIMIT && state.entries.insert(entry.clone()) {
            // Under the lock, so that lines are in order.
            (self.0.recording)(&entry);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Remembers for which platform an index lists what.
    fn learn(&mut self, entry: &Recorded, manifest: &Manifest) {
        let index: Index = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
        for listed in index.manifests {
            let (Ok(digest), Some(platform)) = (listed.digest.parse(), listed.platform) else { continue };
            if self.listed.len() < LIMIT {
                self.listed.insert(digest, (entry.clone(), platform.to_string()));
            }
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Recorder").field("entries", &self.state().entries.len()).finish()
    }
}

#[derive(Debug)]
struct RecordedSource {
    recorder: Recorder,
    source: Arc<dyn Source>,
}

#[async_trait]
impl Source for RecordedSource {
    async fn manifest(
        &self,
        repository: &Repository,
        reference: &ManifestReference,
    ) -> Result<Option<Manifest>, SourceError> {
        let found = self.source.manifest(repository, reference).await?;
        if let Some(manifest) = &found {
            self.recorder.record(repository, reference, manifest);
        }
        Ok(found)
    }

    async fn blob(&self, repository: &Repository, digest: &Digest) -> Result<Option<Box<dyn SourceBlob>>, SourceError> {
        self.source.blob(repository, digest).await
    }

    async fn tags(&self, repository: &Repository) -> Result<Option<Vec<String>>, SourceError> {
        self.source.tags(repository).await
    }

    async fn repositories(&self) -> Result<Vec<String>, SourceError> {
        self.source.repositories().await
    }

    async fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Manifest>, SourceError> {
        self.source.referrers(repository, subject).await
    }

    fn is_upstream(&self) -> bool {
        self.source.is_upstream()
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::MemorySource;

    #[tokio::test]
    async fn what_was_asked_for_is_recorded_once_with_its_platform() {
        let memory = MemorySource::default();
        let repository = Repository::new(None, "library/redis");
        let manifest = memory.add_manifest(&repository, "unused", "m", "{\"config\":{},\"layers\":[]}");
        let index = format!(
            r#"{{"manifests":[{{"digest":"{manifest}","size":1,"platform":{{"os":"linux","architecture":"arm","variant":"v7"}}}}]}}"#
        );
        let index = memory.add_manifest(&repository, "6.2", "i", index);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = lines.clone();
        let recorder = Recorder::new(Arc::new(move |entry| written.lock().unwrap().push(entry.line())));
        let source = recorder.wrap(Arc::new(memory));
        let ask = |reference| {
            let (source, repository) = (source.clone(), repository.clone());
            async move { source.manifest(&repository, &reference).await.unwrap() }
        };
        for _ in 0..2 {
            ask(ManifestReference::Tag("6.2".to_owned())).await.unwrap();
            ask(ManifestReference::Digest(index)).await.unwrap();
            ask(ManifestReference::Digest(manifest)).await.unwrap();
            assert!(ask(ManifestReference::Tag("none".to_owned())).await.is_none());
        }
        let name = "docker.io/library/redis";
        let expected = [
            format!(r#"{{"image":"{name}:6.2","digest":"{index}","platform":null,"upstream":null}}"#),
            format!(r#"{{"image":"{name}:6.2","digest":"{index}","platform":"linux/arm/v7","upstream":null}}"#),
        ];
        assert_eq!(lines.lock().unwrap().concat(), expected.map(|line| line + "\n").concat());
        assert_eq!(recorder.entries().len(), 2);
    }
}
