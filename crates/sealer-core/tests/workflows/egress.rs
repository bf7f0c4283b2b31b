//! How much leaves the operator's machine when many hosts get an image: it crosses that way once.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use sealer_core::clusterfile::Host;
use sealer_core::content_store::Digest;
use sealer_core::host::{PullRequest, pull_over_stdio};
use sealer_core::registry_proxy::{Config, Event};
use sealer_core::remote::{Command, Error, KnownHostsPolicy, Output, Remote, Session};
use sealer_core::serve::{ServeRequest, serve};
use sealer_core::{ApplyOptions, Connections, Connector, apply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::simulated::{Image, Place, listed};

/// Simulated hosts that pull content as real ones do: from the registry of a master, else from the operator.
#[derive(Debug, Clone)]
struct Pulling {
    place: Arc<Place>,
    /// What went from the operator to hosts, in bytes.
    sent: Arc<AtomicU64>,
}

#[async_trait]
impl Connector for Pulling {
    async fn connect(&self, hosts: &[Host], policy: &KnownHostsPolicy) -> Result<Connections, sealer_core::Error> {
        let mut connections = self.place.world.connect(hosts, policy).await?;
        for (address, remote) in &mut connections.remotes {
            *remote = Arc::new(Puller { address: *address, host: Arc::clone(remote), all: self.clone() });
        }
        Ok(connections)
    }
}

#[derive(Debug)]
struct Puller {
    address: IpAddr,
    host: Arc<dyn Remote>,
    all: Pulling,
}

impl Puller {
    /// What is `/var/lib/sealer/data/shop` of a host.
    fn root(&self, host: IpAddr) -> PathBuf {
        self.all.place.directory.path().join(format!("hosts/{host}/data/shop"))
    }

    /// Serves the content of a master as its registry does; gives where.
    async fn registry(&self, master: SocketAddr) -> String {
        let (ready, bound) = tokio::sync::oneshot::channel();
        let ready = std::sync::Mutex::new(Some(ready));
        let events = move |event: Event| {
            if let Event::Serving { address } = &event
                && let Some(ready) = ready.lock().unwrap().take()
            {
                ready.send(*address).unwrap();
            }
        };
        let mut config = Config::default();
        config.listen = ([127, 0, 0, 1], 0).into();
        let request = ServeRequest { root: self.root(master.ip()), config, events: Arc::new(events) };
        tokio::spawn(async move { serve(&request, std::future::pending()).await.unwrap() });
        format!("http://{}", bound.await.unwrap())
    }

    async fn request(&self, words: &[&str]) -> PullRequest {
        let values = |name: &str| {
            let named = words.windows(2).filter(|two| two[0] == name).map(|two| two[1].to_owned());
            named.collect::<Vec<_>>()
        };
        let mut from = Vec::new();
        for source in values("--from") {
            from.push(self.registry(source.trim_start_matches("https://").parse().unwrap()).await);
        }
        PullRequest {
            root: self.root(self.address),
            image: values("--image")[0].parse::<Digest>().unwrap(),
            rootfs: self.root(self.address).join("rootfs"),
            cluster: "shop".to_owned(),
            carried_images: words.contains(&"--carried-images"),
            platform: Some("linux/amd64".parse().unwrap()),
            platforms: Vec::new(),
            from,
            ca: None,
            login: None,
        }
    }
}

#[async_trait]
impl Remote for Puller {
    fn address(&self) -> IpAddr {
        self.address
    }

    async fn run(&self, command: &Command) -> Result<Output, Error> {
        self.host.run(command).await
    }

    async fn stream(&self, command: &Command) -> Result<Session, Error> {
        if !command.script.contains(" host pull ") {
            return self.host.stream(command).await;
        }
        let words: Vec<&str> = command.script.split_whitespace().collect();
        let (request, sent) = (self.request(&words).await, Arc::clone(&self.all.sent));
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let (at_host, on_the_way) = tokio::io::duplex(64 << 10);
        tokio::spawn(async move {
            let (mut from_operator, mut to_operator) = tokio::io::split(theirs);
            let (mut from_host, mut to_host) = tokio::io::split(on_the_way);
            let up = async {
                let _ = tokio::io::copy(&mut from_host, &mut to_operator).await;
                let _ = to_operator.shutdown().await;
            };
            let down = async {
                let mut buffer = vec![0; 16 << 10];
                while let Ok(read @ 1..) = from_operator.read(&mut buffer).await {
                    sent.fetch_add(read as u64, Ordering::Relaxed);
                    if to_host.write_all(&buffer[..read]).await.is_err() {
                        break;
                    }
                }
            };
            tokio::join!(up, down)
        });
        let end = tokio::spawn(async move {
            Ok(match pull_over_stdio(&request, at_host).await {
                Ok(()) => Output::exited(0, "", ""),
                Err(error) => Output::exited(1, "", error_report::one_line(&error)),
            })
        });
        Ok(Session::new(ours, end))
    }

    async fn write(&self, path: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
        self.host.write(path, mode, content).await
    }

    async fn upload(
        &self,
        local: &std::path::Path,
        remote: &str,
        mode: u32,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Error> {
        self.host.upload(local, remote, mode, progress).await
    }

    async fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        self.host.read(path, limit).await
    }
}

/// 8 MB that cannot be compressed: numbers of a linear congruential generator.
fn noise() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..8_000_000).map(|_| next()).collect()
}

#[tokio::test]
async fn an_image_crosses_the_operators_connection_once_for_eight_hosts() {
    let image = tokio::task::spawn_blocking(|| Image::with("bin/large", &noise())).await.unwrap();
    let place = tokio::task::spawn_blocking(move || (Place::new(&image, None), image)).await.unwrap();
    let (place, _image) = (Arc::new(place.0), place.1);
    let pulling = Pulling { place: Arc::clone(&place), sent: Arc::default() };
    let sealer = place.again(Arc::new(pulling.clone()));
    let wanted = listed(&[1], &[2, 3, 4, 5, 6, 7, 8]);
    let tell = |event| place.world.hear(&event);
    apply(&sealer, wanted, &ApplyOptions::default(), &tell).await.unwrap();
    let bytes = sealer.images().get("shop:1").unwrap().rootfs_bytes();
    let sent = pulling.sent.load(Ordering::Relaxed);
    println!("8 hosts, image of {bytes} bytes, sent {sent}: {:.3} x", sent as f64 / bytes as f64);
    assert!(bytes > 8_000_000 && sent >= bytes && sent * 10 <= bytes * 12, "{sent} of {bytes}");
}
