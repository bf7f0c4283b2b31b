//! The configuration of a virtual address, as a file or on a command line.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Desired, Error, HealthConfig, HealthPolicy, Result, Scheduler, Service, duration};

/// A virtual address, its servers, and how they are checked. As a file it is JSON with these names in
/// `camelCase`; all but `vs` and `rs` may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CareConfig {
    /// The virtual address and port.
    pub vs: SocketAddr,
    /// The servers.
    pub rs: Vec<SocketAddr>,
    /// Weights of servers that get more or fewer connections than others; 1 where none is given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<SocketAddr, u16>,
    /// How a server is chosen.
    #[serde(default)]
    pub scheduler: Scheduler,
    /// From one check of a server to the next.
    #[serde(default = "interval", with = "duration")]
    pub interval: Duration,
    /// Intervals differ by up to so many per cent.
    #[serde(default = "jitter_percent")]
    pub jitter_percent: u8,
    /// So many good checks in a row bring a server back.
    #[serde(default = "rise")]
    pub rise: u32,
    /// So many failed checks in a row take a server out.
    #[serde(default = "fall")]
    pub fall: u32,
    /// How a server is checked.
    #[serde(default)]
    pub health: HealthConfig,
}

impl CareConfig {
    /// A configuration with the usual checks.
    pub fn new(vs: SocketAddr, rs: Vec<SocketAddr>) -> Self {
        Self {
            vs,
            rs,
            weights: BTreeMap::new(),
            scheduler: Scheduler::default(),
            interval: interval(),
            jitter_percent: jitter_percent(),
            rise: rise(),
            fall: fall(),
            health: HealthConfig::default(),
        }
    }

    /// Reads a configuration; `path` is where it is.
    ///
    /// # Errors
    /// [`Error::Config`] with the place of the first mistake.
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self> {
        let wrong = |reason: String| Error::Config { path: path.to_owned(), reason };
        let config: Self = serde_json::from_slice(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text))
            .map_err(|error| wrong(error.to_string()))?;
        config.check().map_err(|error| match error {
            Error::Invalid { service, reason } => wrong(format!("virtual service {service}: {reason}")),
            error => error,
        })?;
        Ok(config)
    }

    /// Checks that it makes sense, without looking at files or the kernel.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the first thing that does not.
    pub fn check(&self) -> Result<()> {
        let invalid = |reason: String| Err(Error::Invalid { service: self.vs, reason });
        let mut known = BTreeSet::new();
        if let Some(twice) = self.rs.iter().find(|server| !known.insert(**server)) {
            return invalid(format!("server {twice} is listed twice"));
        }
        if let Some(unknown) = self.weights.keys().find(|server| !known.contains(server)) {
            return invalid(format!("there is a weight of {unknown}, which is none of its servers"));
        }
        if self.health.is_verified() && self.health.ca.is_none() {
            return invalid("nothing says which authority signs for its servers".to_owned());
        }
        self.desired().validate()
    }

    /// What the guard is to want.
    pub fn desired(&self) -> Desired {
        let weight = |server: &SocketAddr| self.weights.get(server).copied().unwrap_or(1);
        Desired {
            service: Service { address: self.vs, scheduler: self.scheduler },
            servers: self.rs.iter().map(|server| (*server, weight(server))).collect(),
            health: HealthPolicy {
                interval: self.interval,
                jitter_percent: self.jitter_percent,
                timeout: self.health.timeout,
                rise: self.rise,
                fall: self.fall,
            },
        }
    }

    /// The configuration as a file.
    pub fn to_text(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("a configuration is plain data");
        format!("{text}\n")
    }
}

fn interval() -> Duration {
    HealthPolicy::default().interval
}

fn jitter_percent() -> u8 {
    HealthPolicy::default().jitter_percent
}

fn rise() -> u32 {
    HealthPolicy::default().rise
}

fn fall() -> u32 {
    HealthPolicy::default().fall
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn parse(text: &str) -> Result<CareConfig, String> {
        CareConfig::parse(Path::new("/etc/x.json"), text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_short_file_means_the_usual_checks() {
        let config =
            parse(r#"{"vs": "10.103.97.2:6443", "rs": ["10.0.0.1:6443"], "health": {"ca": "/ca.crt"}}"#).unwrap();
        let mut expected = CareConfig::new("10.103.97.2:6443".parse().unwrap(), vec!["10.0.0.1:6443".parse().unwrap()]);
        expected.health.ca = Some(PathBuf::from("/ca.crt"));
        assert_eq!(config, expected);
        assert_eq!(config.desired().health, HealthPolicy::default());
        assert_eq!(parse(&config.to_text()), Ok(config));
    }

    #[test]
    fn everything_can_be_said() {
        let config = parse(
            r#"{"vs": "[fd00::2]:6443", "rs": ["[fd00::11]:6443", "[fd00::12]:6443"], "weights": {"[fd00::12]:6443": 3},
                "scheduler": "wrr", "interval": "5s", "jitterPercent": 0, "rise": 3, "fall": 4,
                "health": {"scheme": "http", "path": "/live", "status": [401, 403], "timeout": "1.5s", "method": "HEAD",
                "body": "x", "headers": {"Host": "a"}, "serverName": "b", "insecureSkipVerify": true}}"#,
        )
        .unwrap();
        let desired = config.desired();
        assert_eq!(desired.servers.values().copied().collect::<Vec<_>>(), [1, 3]);
        assert_eq!((desired.health.rise, desired.health.fall, desired.health.jitter_percent), (3, 4, 0));
        assert_eq!(desired.health.timeout, Duration::from_millis(1500));
        assert_eq!(parse(&config.to_text()), Ok(config));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let with = |more: &str| {
            let text = format!(r#"{{"vs": "10.1.1.1:1", "rs": ["10.0.0.1:1"], "health": {{"scheme": "tcp"}}{more}}}"#);
            parse(&text).map(|_| ()).unwrap_err()
        };
        assert!(
            with(r#", "rss": []"#).starts_with("the configuration /etc/x.json cannot be used: unknown field `rss`")
        );
        assert!(
            with(r#", "interval": "soon""#).contains("`soon` is no span of time"),
            "{}",
            with(r#", "interval": "soon""#)
        );
        assert!(with(r#", "interval": "1us""#).contains("10.1.1.1:1: the interval of 1µs"));
        assert!(with(r#", "weights": {"10.0.0.9:1": 2}"#).contains("weight of 10.0.0.9:1, which is none"));
        assert!(with(r#", "scheduler": "best""#).contains("unknown variant `best`"));
        let twice = r#"{"vs": "10.1.1.1:1", "rs": ["10.0.0.1:1", "10.0.0.1:1"]}"#;
        assert!(parse(twice).unwrap_err().contains("server 10.0.0.1:1 is listed twice"));
        let nobody = r#"{"vs": "10.1.1.1:1", "rs": ["10.0.0.1:1"]}"#;
        assert!(parse(nobody).unwrap_err().contains("which authority signs"));
        assert!(parse("").unwrap_err().contains("EOF"));
    }
}
