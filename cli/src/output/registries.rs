//! Prints what registries say: logins and tags.

use sealer_core::content_store::Reference;
use sealer_core::registry_client::LoginPlace;
use sealer_core::{FoundTags, LoggedIn, LoggedOut};
use serde_json::{Value, json};

use super::images::{table, write_table};
use super::{Printer, write_out};
use crate::exit::Failure;

impl Printer {
    /// A login that is kept.
    pub(crate) fn logged_in(&self, done: &LoggedIn) -> Result<(), Failure> {
        let LoggedIn { registry, user, .. } = done;
        let value =
            json!({ "registry": registry, "user": user, "keptIn": place(&done.place), "identityToken": done.is_token });
        self.done(&format!("logged in to {registry} as {user}"), &value)
    }

    /// A login that is forgotten.
    pub(crate) fn logged_out(&self, done: &LoggedOut) -> Result<(), Failure> {
        let registry = &done.registry;
        let places: Vec<Value> = done.places.iter().map(place).collect();
        let line = if places.is_empty() {
            format!("there was no login for {registry}")
        } else {
            format!("logged out of {registry}")
        };
        self.done(&line, &json!({ "registry": registry, "removedFrom": places }))
    }

    /// The tags of repositories.
    pub(crate) fn found(&self, found: &[FoundTags]) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(&found);
        }
        let tags = || found.iter().flat_map(|found| found.tags.iter().map(move |tag| (&found.repository, tag)));
        if self.quiet {
            return write_out(&tags().map(|(repository, tag)| format!("{repository}:{tag}\n")).collect::<String>());
        }
        let mut table = table(&["NAME", "TAG"]);
        for (repository, tag) in tags() {
            let whole = format!("{repository}:{tag}").parse::<Reference>();
            let familiar =
                whole.ok().and_then(|whole| Some(whole.familiar().strip_suffix(&format!(":{tag}"))?.to_owned()));
            table.add_row([familiar.as_ref().unwrap_or(repository), tag]);
        }
        write_table(&table)?;
        for found in found.iter().filter(|found| found.omitted > 0) {
            self.note(&format!("{} has {} more", found.repository, found.omitted));
        }
        Ok(())
    }
}

fn place(place: &LoginPlace) -> Value {
    match place {
        LoginPlace::File(path) => json!({ "file": path }),
        LoginPlace::Helper(program) => json!({ "helper": program }),
        other => json!(format!("{other:?}")),
    }
}
