//! Remembers things for a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The most entries; then those that are over are forgotten, else all.
const LIMIT: usize = 65_536;

/// Entries that hold for a while. What is forgotten early is only asked for once more.
#[derive(Debug)]
pub(super) struct Expiring<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K, V> Default for Expiring<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Expiring<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let entries = self.lock();
        entries.get(key).filter(|(until, _)| *until > Instant::now()).map(|(_, value)| value.clone())
    }

    pub(super) fn insert(&self, key: K, value: V, time: Duration) {
        let mut entries = self.lock();
        if entries.len() >= LIMIT {
            let now = Instant::now();
            entries.retain(|_, (until, _)| *until > now);
            if entries.len() >= LIMIT {
                entries.clear();
            }
        }
        entries.insert(key, (Instant::now() + time, value));
    }

    pub(super) fn remove(&self, key: &K) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (Instant, V)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn entries_hold_for_their_time() {
        let entries = Expiring::default();
        entries.insert(1, "one", Duration::from_secs(5));
        assert_eq!(entries.get(&1), Some("one"));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(entries.get(&1), None);
        for key in 0..=LIMIT {
            entries.insert(key, "more", Duration::from_secs(5));
        }
        assert!(entries.lock().len() <= LIMIT);
    }
}
