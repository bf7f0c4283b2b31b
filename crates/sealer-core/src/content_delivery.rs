//! Delivers content to hosts: the distribution API over one SSH channel, or from a host that already has it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use content_store::Store;
use remote::{Command, Duplex, Remote, Secret};
use runtime::{Content, Facts, Progress};
use tokio_util::io::InspectWriter;

use crate::binary::Binaries;
use crate::{Error, Sealer};

/// Where our static binary lives on a host.
pub(crate) const HOST_BINARY: &str = "/var/lib/sealer/bin/sealer";

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// How long a host may take to remove a login after a failure.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(30);

/// Brings content from this machine's store to hosts.
#[derive(Debug)]
pub(crate) struct ContentDelivery {
    content: Store,
    binaries: Binaries,
    facts: Facts,
    cluster: String,
}

impl ContentDelivery {
    pub(crate) fn new(sealer: &Sealer, cluster: &str, facts: &Facts) -> Result<Self, Error> {
        let content = sealer.images().content().clone();
        let binaries = Binaries::of(sealer)?;
        Ok(Self { content, binaries, facts: facts.clone(), cluster: cluster.to_owned() })
    }

    /// Performs the content step of a plan on the host behind `remote`.
    pub(crate) async fn deliver(
        &self,
        content: &Content,
        remote: Arc<dyn Remote>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), runtime::Error> {
        let delivered = self.send(content, remote.as_ref(), progress).await;
        if delivered.is_err() && docker_config(content).is_some() {
            // The host does it itself, but not when its command never started or was killed. Failing here hides nothing.
            let remove = Command::new(format!("rm -f {}", login_file(&self.cluster)));
            let _ = remote.run(&remove.timeout(CLEANUP_TIMEOUT)).await;
        }
        delivered
    }

    async fn send(
        &self,
        content: &Content,
        remote: &dyn Remote,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), runtime::Error> {
        let Content { bytes, .. } = content;
        let host = remote.address();
        let binary = self.binaries.for_host(&self.facts, host).map_err(|error| runtime::Error::Step {
            host,
            step: "content".to_owned(),
            status: "no program for it".to_owned(),
            detail: error_report::one_line(&error),
        })?;
        remote.upload(binary, HOST_BINARY, 0o755, &|_| {}).await?;
        if let Some(config) = docker_config(content) {
            remote.write(&login_file(&self.cluster), 0o600, config.expose().as_bytes()).await?;
        }

        let script = script(content, &self.cluster);
        let command = Command::new(script).timeout(Duration::from_secs(3600));
        let session = remote.stream(&command).await?;
        let served = serve(self.content.clone(), session.io, *bytes, progress).await;
        let failed = |detail: String, status: String| runtime::Error::Step {
            host: remote.address(),
            step: "content".to_owned(),
            status,
            detail,
        };
        let output = session.end.await.map_err(|error| failed(error.to_string(), "no answer".to_owned()))??;
        if output.code == Some(0) {
            return Ok(());
        }
        // What the host says explains more than what the broken stream says.
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let detail = match (said.is_empty(), served) {
            (true, Err(error)) => error.to_string(),
            _ => said,
        };
        Err(failed(detail, output.status()))
    }
}

/// The command by which a host pulls content: from its sources, and what these lack from here.
fn script(content: &Content, cluster: &str) -> String {
    let Content { image, carried_images, platforms, rootfs, sources, .. } = content;
    let root = runtime::paths::data(cluster);
    let mut script =
        format!("exec {HOST_BINARY} host pull --root {root} --cluster {cluster} --image {image} --rootfs {rootfs}");
    if *carried_images {
        script.push_str(" --carried-images");
    }
    for platform in platforms {
        script.push_str(&format!(" --platform {platform}"));
    }
    let scheme = if content.plain_http { "http" } else { "https" };
    for source in sources {
        script.push_str(&format!(" --from {scheme}://{source}"));
    }
    if !sources.is_empty() && !content.plain_http {
        script.push_str(&format!(" --ca {root}/certs/ca.crt"));
    }
    if docker_config(content).is_some() {
        script.push_str(&format!(" --login {}", login_file(cluster)));
    }
    script
}

/// Where the login for the sources is as long as a host pulls: everybody could read it among arguments.
fn login_file(cluster: &str) -> String {
    format!("{}/login.json", runtime::paths::data(cluster))
}

/// The login for the sources, as docker keeps logins; none when there is nobody to show it to.
fn docker_config(content: &Content) -> Option<Secret> {
    let login = content.authorization.as_ref()?.expose().strip_prefix("Basic ")?;
    let entry = |source: &SocketAddr| (source.to_string(), serde_json::json!({ "auth": login }));
    let auths: serde_json::Map<_, _> = content.sources.iter().map(entry).collect();
    (!auths.is_empty()).then(|| serde_json::json!({ "auths": auths }).to_string().into())
}

/// Serves until the host has hung up, telling how many bytes it took.
async fn serve(
    content: Store,
    io: Box<dyn Duplex>,
    total: u64,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(), registry_proxy::Error> {
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let counted = InspectWriter::new(io, move |bytes| {
        count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    });
    // The host verifies what it takes, so reading every blob twice here would show nothing.
    let mut options = registry_proxy::Options::default();
    options.clients_verify = true;
    let source = registry_proxy::ContentSource::new(content, &options);
    let service = registry_proxy::service(vec![Arc::new(source)], options);
    let mut serving = std::pin::pin!(registry_proxy::serve_http2_stream(counted, service));
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    loop {
        tokio::select! {
            served = &mut serving => return served,
            _ = ticks.tick() => progress(Progress { done: sent.load(Ordering::Relaxed).min(total), total }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::Settings;
    use crate::connector::Connector;
    use crate::testing::Directories;

    use super::*;

    #[tokio::test]
    async fn a_login_does_not_stay_on_a_host_whose_pull_never_started() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("binary"), "#!/bin/sh\n").unwrap();
        let sealer = Sealer::open(Settings::new(path("root"), path("state"))).unwrap().with_binary(path("binary"));
        let hosts = Directories::new(path("hosts"));
        hosts.fail("host pull");
        let host = clusterfile::Host::new([10, 0, 0, 1].into(), clusterfile::Role::Node);
        let connected = hosts.connect(std::slice::from_ref(&host), &remote::KnownHostsPolicy::default()).await.unwrap();
        let mut content = Content::new("sha256:0", "/var/lib/sealer/data/shop/rootfs", 1);
        content.authorization = Some(runtime::Variable::hidden("Basic YTpi"));
        content.plain_http = true;
        let content = content.from_sources([SocketAddr::from(([10, 0, 0, 9], 5000))]);
        let delivery = ContentDelivery::new(&sealer, "shop", &Facts::default()).unwrap();
        let remote = Arc::clone(&connected.remotes[&host.address]);
        delivery.deliver(&content, remote, &|_| ()).await.unwrap_err();
        let left: Vec<_> = std::fs::read_dir(hosts.of(host.address).join("data/shop")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn several_sources_have_one_authority() {
        let sources = [1, 2].map(|last| std::net::SocketAddr::from(([10, 0, 0, last], 5000)));
        let content = Content::new("sha256:0", "/var/lib/sealer/data/shop/rootfs", 1)
            .with_carried_images()
            .with_platforms(["linux/arm64"]);
        let content = content.from_sources(sources);
        assert_eq!(
            script(&content, "shop"),
            "exec /var/lib/sealer/bin/sealer host pull --root /var/lib/sealer/data/shop --cluster shop --image sha256:0 \
             --rootfs /var/lib/sealer/data/shop/rootfs --carried-images --platform linux/arm64 --from https://10.0.0.1:5000 --from https://10.0.0.2:5000 \
             --ca /var/lib/sealer/data/shop/certs/ca.crt"
        );
    }

    #[test]
    fn a_login_is_in_a_file_and_not_among_arguments() {
        let source = SocketAddr::from(([10, 0, 0, 1], 5000));
        let mut content = Content::new("sha256:0", "/var/lib/sealer/data/shop/rootfs", 1);
        content.authorization = Some(runtime::Variable::hidden("Basic YTpi"));
        content.plain_http = true;
        assert_eq!(docker_config(&content), None, "there is nobody to show it to");
        let content = content.from_sources([source]);
        let config = docker_config(&content).unwrap();
        assert_eq!(config.expose(), r#"{"auths":{"10.0.0.1:5000":{"auth":"YTpi"}}}"#);
        let script = script(&content, "shop");
        assert!(
            script.ends_with("--from http://10.0.0.1:5000 --login /var/lib/sealer/data/shop/login.json"),
            "{script}"
        );
        let plan = serde_json::to_string(&content).unwrap();
        assert!(!format!("{script}{plan}{content:?}").contains("YTpi"), "{plan}");
    }
}
