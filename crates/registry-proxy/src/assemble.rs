//! Makes the sources that a configuration names beside the store, and what listens beside the registry.

use crate::error::{Error, Result};
use crate::record::{Recorded, Recorder};
use crate::{Config, Event, ObjectSource, Options, ReadOnlySource, Source, UpstreamSource};
use content_store::Store;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Sources in the order in which they are asked: `first`, the read-only stores, `more`, and the upstreams, which cache in `store`. All are recorded when that is
/// wanted.
pub(crate) fn sources(
    config: &Config,
    store: Option<&Store>,
    first: Option<Arc<dyn Source>>,
    more: Vec<Arc<dyn Source>>,
    options: &Options,
) -> Result<Vec<Arc<dyn Source>>> {
    let mut sources: Vec<Arc<dyn Source>> = first.into_iter().collect();
    for path in &config.stores {
        sources.push(ReadOnlySource::open(path, options)?);
    }
    sources.extend(more);
    if let Some(config) = &config.object_store {
        sources.push(Arc::new(ObjectSource::new(config.open()?)));
    }
    if !config.upstreams.is_empty() {
        let missing = || Error::Config { reason: "`upstreams` need a store to cache in".to_owned() };
        let store = store.ok_or_else(missing)?.clone();
        sources.push(Arc::new(UpstreamSource::new(store, config.upstreams.clone(), options)?));
    }
    if let Some(path) = &config.record {
        let recorder = recorder(path, options)?;
        sources = sources.into_iter().map(|source| recorder.wrap(source)).collect();
    }
    Ok(sources)
}

/// A recorder that appends to a file.
fn recorder(path: &Path, options: &Options) -> Result<Recorder> {
    let file = OpenOptions::new().create(true).append(true).open(path).map_err(Error::file("write", path))?;
    let (file, reporter, path) = (Mutex::new(file), options.reporter(), path.to_owned());
    Ok(Recorder::new(Arc::new(move |entry: &Recorded| {
        let mut file: std::sync::MutexGuard<'_, File> = file.lock().unwrap_or_else(PoisonError::into_inner);
        // One write, so that lines of several processes do not mix.
        if let Err(error) = file.write_all(entry.line().as_bytes()) {
            let request = format!("recording in {}", path.display());
            reporter.tell(Event::Failed { request, reason: error_report::one_line(&error) });
        }
    })))
}
