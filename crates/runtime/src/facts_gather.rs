//! How are facts gathered: one script on every host at once, then the API server asked through a master.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use time::OffsetDateTime;

use crate::facts::{ApiFacts, Facts, HostFacts};
use crate::{Command, Error, Remote, facts_parse};

/// How long a host may take to describe itself.
const HOST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the API server may take.
const API_TIMEOUT: Duration = Duration::from_secs(30);

/// Asks every host at once, and the first master of `cluster` that has an API server, what there is.
///
/// Nothing is changed on any host. An API server that does not answer is no error: [`Facts::api`] is then `None`.
///
/// # Errors
///
/// When a host cannot be reached, does not answer in time, or says something that cannot be understood.
pub async fn gather(
    remotes: &BTreeMap<IpAddr, Arc<dyn Remote>>,
    cluster: &str,
) -> Result<Facts, Error> {
    let asked = remotes
        .values()
        .map(|remote| gather_host(remote.as_ref(), cluster));
    let hosts: BTreeMap<IpAddr, HostFacts> =
        join_all(asked).await.into_iter().collect::<Result<_, _>>()?;
    let mut api = None;
    for (address, host) in &hosts {
        // Somebody else's API server would say nothing about this cluster.
        let ours = host.cluster.as_deref() == Some(cluster);
        if let Some(remote) = remotes.get(address).filter(|_| ours && host.admin_kubeconfig) {
            api = ask_api(remote.as_ref()).await?;
        }
        if api.is_some() {
            break;
        }
    }
    Ok(Facts { hosts, api })
}

async fn gather_host(remote: &dyn Remote, cluster: &str) -> Result<(IpAddr, HostFacts), Error> {
    let command = Command {
        script: include_str!("facts_gather.sh").to_owned(),
        timeout: Some(HOST_TIMEOUT),
        ..Command::default()
    };
    let before = OffsetDateTime::now_utc();
    let output = remote.run(&command).await?;
    let host = remote.address();
    let parsed = facts_parse::host_facts(&output.stdout, cluster);
    let (mut facts, at) = parsed.map_err(|reason| {
        let stderr = facts_parse::last_line(&output.stderr);
        let reason = if stderr.is_empty() { reason } else { format!("{reason}: {stderr}") };
        Error::Facts { host, reason }
    })?;
    // The script reads the clock first thing, so the time that matters is the one shortly after the start.
    facts.clock_skew_ms = at.map_or(0, |at| skew(at, before, OffsetDateTime::now_utc()));
    Ok((host, facts))
}

/// How far a clock that read `at` some time between `before` and `after` is off; 0 when it may be right.
fn skew(at: i64, before: OffsetDateTime, after: OffsetDateTime) -> i64 {
    let millis = |time: OffsetDateTime| {
        i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
    };
    let (before, after) = (millis(before), millis(after));
    if at < before {
        at.saturating_sub(before)
    } else if at > after {
        at.saturating_sub(after)
    } else {
        0
    }
}

async fn ask_api(remote: &dyn Remote) -> Result<Option<ApiFacts>, Error> {
    let command = Command {
        script: include_str!("facts_api.sh").to_owned(),
        timeout: Some(API_TIMEOUT),
        ..Command::default()
    };
    let output = remote.run(&command).await?;
    if output.code != Some(0) {
        return Ok(None);
    }
    Ok(Some(facts_parse::api_facts(&output.stdout)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_only_by_what_the_round_trip_does_not_explain() {
        let at = |millis: i64| OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(millis);
        assert_eq!(skew(1500, at(1000), at(2000)), 0);
        assert_eq!(skew(95_000, at(1000), at(2000)), 93_000);
        assert_eq!(skew(-4000, at(1000), at(2000)), -5000);
    }
}
