//! Turns the options of `care` and `unit` into requests.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sealer_core::Error;
use sealer_core::lvscare::daemon::{
    CareConfig, CareRequest, CleanRequest, ConfigSource, RUNTIME_DIRECTORY, socket_path,
};
use sealer_core::lvscare::{AddressingMode, DataplaneKind, HealthConfig, duration_text};

use super::arguments::{CareArguments, Health, Mode, Place};
use crate::exit::Failure;

impl CareArguments {
    /// What a daemon is to do.
    pub(super) fn care_request(&self) -> Result<CareRequest, Failure> {
        let config = match &self.config {
            Some(path) => ConfigSource::File(path.clone()),
            None => ConfigSource::Fixed(Box::new(self.config()?)),
        };
        let vs = config.read().map_err(Error::from)?.vs;
        Ok(CareRequest {
            config,
            dataplane: self.place.dataplane,
            addressing: self.place.addressing(),
            socket: self.place.socket(vs),
            metrics_file: self.metrics_file.clone(),
            clean: false,
            once: false,
        })
    }

    /// What the options say instead of a file.
    fn config(&self) -> Result<CareConfig, Failure> {
        let vs = self.vs.ok_or_else(|| Failure::Usage("--vs or --config is needed".to_owned()))?;
        let usual = CareConfig::new(vs, self.servers.clone());
        Ok(CareConfig {
            scheduler: self.scheduler.unwrap_or(usual.scheduler),
            interval: self.interval.unwrap_or(usual.interval),
            rise: self.rise.unwrap_or(usual.rise),
            fall: self.fall.unwrap_or(usual.fall),
            health: self.health.config()?,
            ..usual
        })
    }

    /// Remarks about options that do nothing.
    pub(super) fn notes(&self) -> impl Iterator<Item = &'static str> {
        let ignored = self.masqueradebit.is_some();
        ignored.then_some("--masqueradebit does nothing here: packets are not marked").into_iter()
    }

    /// The same for a program that starts in another directory.
    pub(super) fn with_absolute_paths(mut self) -> Result<Self, Failure> {
        let paths = [&mut self.config, &mut self.health.ca, &mut self.metrics_file, &mut self.place.socket];
        for path in paths.into_iter().flatten() {
            *path = std::path::absolute(&*path)?;
        }
        Ok(self)
    }

    /// The arguments of a program that does the same.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = vec!["lvscare".to_owned(), "care".to_owned()];
        let mut say = |name: &str, value: Option<String>| {
            words.extend(value.map(|value| format!("--{name}={value}")));
        };
        let path = |path: &Option<PathBuf>| path.as_deref().map(|path| path.display().to_string());
        say("config", path(&self.config));
        say("vs", self.vs.map(|vs| vs.to_string()));
        for server in &self.servers {
            say("rs", Some(server.to_string()));
        }
        say("scheduler", self.scheduler.map(|scheduler| scheduler.to_string()));
        say("interval", self.interval.map(duration_text));
        say("rise", self.rise.map(|count| count.to_string()));
        say("fall", self.fall.map(|count| count.to_string()));
        let health = &self.health;
        say("health-schem", health.scheme.map(|scheme| scheme.to_string()));
        say("health-path", health.path.clone());
        for status in &health.status {
            say("health-status", Some(status.to_string()));
        }
        say("health-timeout", health.timeout.map(duration_text));
        say("health-req-method", health.method.clone());
        say("health-req-body", health.body.clone());
        for header in &health.headers {
            say("health-req-headers", Some(header.clone()));
        }
        say("health-ca", path(&health.ca));
        say("health-server-name", health.server_name.clone());
        say("health-insecure-skip-verify", health.insecure_skip_verify.map(|skip| skip.to_string()));
        say("dataplane", Some(self.place.dataplane.to_string()));
        match self.place.mode {
            Mode::Route => say("ip", self.place.ip.map(|ip| ip.to_string())),
            Mode::Link => {
                say("mode", Some("link".to_owned()));
                say("iface", Some(self.place.iface.clone()));
            }
        }
        say("metrics-file", path(&self.metrics_file));
        say("socket", path(&self.place.socket));
        words
    }

    /// Files that a daemon reads.
    pub(super) fn reads(&self) -> Vec<PathBuf> {
        [&self.config, &self.health.ca].into_iter().flatten().cloned().collect()
    }

    /// Files that a daemon writes outside its own directory.
    pub(super) fn writes(&self) -> Vec<PathBuf> {
        let socket = self.place.socket.clone().filter(|socket| !socket.starts_with(RUNTIME_DIRECTORY));
        socket.into_iter().chain(self.metrics_file.clone()).collect()
    }
}

impl Health {
    fn config(&self) -> Result<HealthConfig, Failure> {
        let usual = HealthConfig::default();
        let header = |header: &String| {
            let parts = header.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
            parts.ok_or_else(|| Failure::Usage(format!("--health-req-headers {header}: expected NAME=VALUE")))
        };
        Ok(HealthConfig {
            scheme: self.scheme.unwrap_or(usual.scheme),
            path: self.path.clone().unwrap_or(usual.path),
            status: self.status.iter().copied().collect(),
            timeout: self.timeout.unwrap_or(usual.timeout),
            method: self.method.clone().unwrap_or(usual.method),
            body: self.body.clone().unwrap_or(usual.body),
            headers: self.headers.iter().map(header).collect::<Result<_, _>>()?,
            ca: self.ca.clone(),
            server_name: self.server_name.clone(),
            insecure_skip_verify: self.insecure_skip_verify.unwrap_or(usual.insecure_skip_verify),
        })
    }
}

impl Place {
    /// What to take away.
    pub(super) fn clean_request(&self, vs: SocketAddr) -> CleanRequest {
        CleanRequest { vs, dataplane: self.dataplane, addressing: self.addressing(), socket: self.socket(vs) }
    }

    /// Modules that a kernel which does not load them by itself has to be given.
    pub(super) fn modules(&self) -> Vec<String> {
        let ipvs = matches!(self.dataplane, DataplaneKind::Auto | DataplaneKind::Ipvs);
        if ipvs { vec!["ip_vs".to_owned()] } else { Vec::new() }
    }

    fn socket(&self, vs: SocketAddr) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| socket_path(Path::new(RUNTIME_DIRECTORY), vs))
    }

    fn addressing(&self) -> AddressingMode {
        match self.mode {
            Mode::Route => AddressingMode::Route { source: self.ip },
            Mode::Link => AddressingMode::Link { name: self.iface.clone() },
        }
    }
}
