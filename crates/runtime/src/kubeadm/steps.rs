//! How are steps written down: names, scripts with what they share, time-outs?

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::environment::exports;
use crate::{Action, File, Step};

/// What every script begins with.
const BEGIN: &str = include_str!("scripts/begin.sh");

/// A step that runs one of our scripts on one host.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) host: IpAddr,
    pub(crate) body: &'a str,
    pub(crate) why: Option<&'a str>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) timeout_seconds: u64,
    pub(crate) show_output: bool,
}

impl Script<'_> {
    pub(crate) fn step(self) -> Step {
        // It travels as an argument, which everybody on the host can read; variables of users stay out of it.
        let ours = self.env.iter().filter(|(key, _)| key.starts_with("SEALER_"));
        let ours = ours.map(|(key, value)| (key.clone(), value.clone())).collect();
        let diagnose = self.why.map(|why| complete(why, &ours));
        let action = Action::Run {
            script: format!("{BEGIN}{}", self.body),
            env: self.env,
            timeout_seconds: self.timeout_seconds,
            show_output: self.show_output,
            diagnose,
        };
        Step { id: self.id, title: self.title, hosts: vec![self.host], after: Vec::new(), action }
    }
}

/// A script that brings its environment along.
pub(crate) fn complete(body: &str, env: &BTreeMap<String, String>) -> String {
    format!("{}{BEGIN}{body}", exports(env))
}

/// A step that writes files on one host.
pub(crate) fn write(id: String, title: &str, host: IpAddr, files: Vec<File>) -> Step {
    Step { id, title: title.to_owned(), hosts: vec![host], after: Vec::new(), action: Action::Write { files } }
}

/// A step's name when it exists once per host.
pub(crate) fn on(what: &str, host: IpAddr) -> String {
    format!("{what}@{host}")
}
