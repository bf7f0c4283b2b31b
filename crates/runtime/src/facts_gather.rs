//! Gathers facts: one script on every host at once, then the API server asked through a master.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use remote::{Command, Remote};
use time::OffsetDateTime;

use crate::facts::{ApiFacts, Facts, HostFacts};
use crate::{Error, Requirements, facts_parse};

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
    requirements: &Requirements,
) -> Result<Facts, Error> {
    let kubeconfig = requirements.admin_kubeconfig.unwrap_or_default();
    let asked = remotes.values().map(|remote| gather_host(remote.as_ref(), cluster, kubeconfig));
    let hosts: BTreeMap<IpAddr, HostFacts> = join_all(asked).await.into_iter().collect::<Result<_, _>>()?;
    let mut api = None;
    for (address, host) in &hosts {
        // Somebody else's API server would say nothing about this cluster.
        let ours = host.cluster.as_deref() == Some(cluster);
        if let Some(remote) = remotes.get(address).filter(|_| ours && host.admin_kubeconfig) {
            api = ask_api(remote.as_ref(), kubeconfig).await?;
        }
        if let Some(api) = &mut api {
            api.through = Some(*address);
        }
        if api.is_some() {
            break;
        }
    }
    Ok(Facts { hosts, unreachable: BTreeMap::new(), api })
}

async fn gather_host(remote: &dyn Remote, cluster: &str, kubeconfig: &str) -> Result<(IpAddr, HostFacts), Error> {
    let command = asking(include_str!("facts_gather.sh"), kubeconfig).timeout(HOST_TIMEOUT);
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
    let millis = |time: OffsetDateTime| i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
    let (before, after) = (millis(before), millis(after));
    if at < before {
        at.saturating_sub(before)
    } else if at > after {
        at.saturating_sub(after)
    } else {
        0
    }
}

fn asking(script: &str, kubeconfig: &str) -> Command {
    let mut command = Command::new(script);
    command.env.insert("ADMIN_KUBECONFIG".to_owned(), kubeconfig.to_owned());
    command
}

async fn ask_api(remote: &dyn Remote, kubeconfig: &str) -> Result<Option<ApiFacts>, Error> {
    let command = asking(include_str!("facts_api.sh"), kubeconfig).timeout(API_TIMEOUT);
    let output = remote.run(&command).await?;
    if output.code != Some(0) {
        return Ok(None);
    }
    Ok(Some(facts_parse::api_facts(&output.stdout)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use remote::transcript::Transcript;

    #[test]
    fn a_clock_is_off_only_by_what_the_round_trip_does_not_explain() {
        let at = |millis: i64| OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(millis);
        assert_eq!(skew(1500, at(1000), at(2000)), 0);
        assert_eq!(skew(95_000, at(1000), at(2000)), 93_000);
        assert_eq!(skew(-4000, at(1000), at(2000)), -5000);
    }

    /// The very script, on the very machine that runs the tests.
    #[test]
    fn this_machine_describes_itself() {
        let script = include_str!("facts_gather.sh");
        let output = std::process::Command::new("sh").args(["-c", script]).output().unwrap();
        let (host, at) = facts_parse::host_facts(&output.stdout, "no-such-cluster").unwrap();
        assert_eq!(host.arch, std::env::consts::ARCH);
        assert!(!host.kernel.is_empty() && !host.hostname.is_empty() && !host.os.is_empty());
        assert!(host.memory > 0 && host.cpus > 0 && host.disk_free > 0);
        assert!(host.cgroups.iter().any(|word| word == "v1" || word == "v2"));
        assert!(host.cluster.is_none());
        let now = OffsetDateTime::now_utc();
        assert!(skew(at.unwrap(), now - Duration::from_secs(60), now) == 0);
    }

    /// On a machine that has both versions or only the first, the files of one that has the second.
    #[test]
    fn control_groups_of_version_2_are_told() {
        let root = tempfile::tempdir().unwrap();
        let told = || {
            let script = include_str!("facts_gather.sh").replace("/sys/fs/cgroup", root.path().to_str().unwrap());
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            facts_parse::host_facts(&output.stdout, "no-such-cluster").unwrap().0.cgroups
        };
        // Beside the groups of version 1 a second tree without controllers says nothing about the host.
        std::fs::create_dir(root.path().join("unified")).unwrap();
        std::fs::write(root.path().join("unified/cgroup.controllers"), "").unwrap();
        assert!(told().contains(&"v1".to_owned()));
        std::fs::write(root.path().join("cgroup.controllers"), "cpuset cpu io memory hugetlb pids rdma\n").unwrap();
        assert_eq!(told(), ["cpu", "cpuset", "hugetlb", "io", "memory", "pids", "rdma", "v2"]);
    }

    fn describing(number: u8, text: &str) -> (IpAddr, Arc<Transcript>) {
        let address = IpAddr::from([10, 0, 0, number]);
        let remote = Transcript::new(address).answering("section time", 0, &format!("{text}@end\n"), "");
        (address, Arc::new(remote))
    }

    async fn gathered(hosts: &[(IpAddr, Arc<Transcript>)]) -> Result<Facts, Error> {
        let remotes = hosts.iter().map(|(address, remote)| (*address, remote.clone() as Arc<dyn Remote>));
        let requirements = Requirements::default().with_admin_kubeconfig("/etc/kubernetes/admin.conf");
        gather(&remotes.collect(), "mine", &requirements).await
    }

    #[tokio::test]
    async fn the_api_is_asked_through_a_host_of_this_cluster_that_can() {
        let admin = "@present\n /etc/kubernetes/admin.conf\n";
        let mine = "@marker\n {\"cluster\": \"mine\"}\n";
        let foreign = describing(1, admin);
        let node = describing(2, mine);
        let (address, silent) = describing(3, &format!("{admin}{mine}"));
        let silent = Arc::into_inner(silent).unwrap().answering("kubectl", 1, "", "connection refused");
        let silent = (address, Arc::new(silent));
        let (address, master) = describing(4, &format!("{admin}{mine}"));
        let answer = "version {\"gitVersion\": \"v1.20.2\"}\nnode a v1.20.2 address=10.0.0.4 ready=True\n";
        let master = Arc::into_inner(master).unwrap().answering("kubectl", 0, answer, "");
        let master = (address, Arc::new(master));

        let facts = gathered(&[foreign.clone(), node.clone(), silent.clone(), master]).await.unwrap();
        let api = facts.api.unwrap();
        assert_eq!((api.version.as_str(), api.nodes.len()), ("v1.20.2", 1));
        assert!(!foreign.1.ran("kubectl") && !node.1.ran("kubectl") && silent.1.ran("kubectl"));
        assert!(gathered(&[silent]).await.unwrap().api.is_none());
    }

    #[tokio::test]
    async fn a_host_that_says_nothing_sensible_is_named_with_its_complaint() {
        let address = IpAddr::from([10, 0, 0, 1]);
        let remote = Transcript::new(address).answering("section time", 127, "@time\n 1\n", "sh: sed: not found\n");
        let error = gathered(&[(address, Arc::new(remote))]).await.unwrap_err().to_string();
        assert!(error.starts_with("10.0.0.1: ") && error.ends_with("breaks off: sh: sed: not found"), "{error}");
    }
}
