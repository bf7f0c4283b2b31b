//! One simulated host: files are real, scripts change the model.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sealer_core::remote::{Command, Error, Output, Remote, Session, SmallFile};
use tokio::io::AsyncReadExt;

use super::{Fault, Kind, World};

#[derive(Debug)]
pub(super) struct Simulated {
    address: IpAddr,
    files: Arc<dyn Remote>,
    world: World,
}

pub(super) fn lost(host: IpAddr) -> Error {
    Error::ConnectionLost { host: host.into(), detail: "it is simulated".to_owned() }
}

const FULL: &str = "No space left on device";

impl Simulated {
    pub(super) fn new(address: IpAddr, files: Arc<dyn Remote>, world: World) -> Self {
        Self { address, files, world }
    }

    /// Makes a call, or what goes wrong instead; `full` is what comes of it when the disk is full.
    async fn call<T>(
        &self,
        label: &str,
        kind: Kind,
        full: impl FnOnce() -> Result<T, Error>,
        effect: impl AsyncFnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let fault = self.world.fault_at(label, kind, Some(self.address));
        if self.is_down() {
            return Err(lost(self.address));
        }
        match fault {
            Some(Fault::KilledBefore) => return self.world.die().await,
            Some(Fault::Full) => return full(),
            _ => {}
        }
        // As a real call does, so that others come in between.
        tokio::task::yield_now().await;
        let result = effect().await;
        match fault {
            Some(Fault::KilledAfter) => self.world.die().await,
            Some(Fault::Lost) => Err(lost(self.address)),
            // It died while this was under way.
            _ if self.is_down() => Err(lost(self.address)),
            _ => result,
        }
    }

    fn is_down(&self) -> bool {
        self.world.state().model.down.contains(&self.address)
    }

    /// What the host is doing, without its own address.
    fn step(&self) -> String {
        let state = self.world.state();
        let id = state.model.current.get(&self.address).map_or("", String::as_str);
        id.split('@').next().unwrap_or_default().to_owned()
    }

    fn effect(&self) -> Output {
        let host = self.address;
        self.world.state().model.perform(host);
        Output::exited(0, "", "")
    }

    fn full_file<T>(&self, path: &str) -> Result<T, Error> {
        Err(Error::File { host: self.address, act: "write", path: path.to_owned(), detail: FULL.to_owned() })
    }

    /// The facts of a healthy machine, with a kubeconfig on masters.
    async fn facts(&self, command: &Command) -> Result<Output, Error> {
        let mut output = self.files.run(command).await?;
        let mut more = "@tools\n bash\n ip\n iptables\n mount\n tar\n".to_owned();
        if self.world.state().model.members.contains(&self.address) {
            more.push_str("@present\n /etc/kubernetes/admin.conf\n");
        }
        let text = String::from_utf8(output.stdout).unwrap();
        output.stdout = text.replace("@end\n", &format!("{more}@end\n")).into_bytes();
        Ok(output)
    }

    async fn kubectl(&self, command: &Command) -> Result<Output, Error> {
        let api = self.world.state().model.api_of(self.address);
        let Some(api) = api else { return Ok(Output::exited(69, "", "there is no API server here\n")) };
        let object: serde_json::Value =
            command.stdin.as_deref().map_or_else(Default::default, |text| serde_json::from_slice(text).unwrap());
        let verb = ["create", "replace", "delete"]
            .into_iter()
            .find(|verb| command.script.contains(&format!("-n kube-system {verb} ")));
        let kind = object["kind"].as_str().unwrap_or("Secret");
        let label = verb.map_or("api: get".to_owned(), |verb| format!("api: {verb} {kind}"));
        let kind = if verb.is_some() { Kind::Change } else { Kind::Read };
        let alarm = "Error from server: etcdserver: mvcc: database space exceeded\n";
        let full = || Ok(Output::exited(1, "", alarm));
        self.call(&label, kind, full, async || Ok(api.answer(self.address, command).unwrap())).await
    }
}

#[async_trait]
impl Remote for Simulated {
    fn address(&self) -> IpAddr {
        self.address
    }

    async fn run(&self, command: &Command) -> Result<Output, Error> {
        let nothing = || Ok(Output::default());
        if command.script.contains("section machine-id") {
            return self.call("facts", Kind::Read, nothing, async || self.facts(command).await).await;
        }
        if command.script.contains("get --raw /version") {
            let nodes = async || Ok(self.world.state().model.nodes_text(self.address));
            return self.call("facts: nodes", Kind::Read, nothing, nodes).await;
        }
        if command.script.contains("-n kube-system ") {
            return self.kubectl(command).await;
        }
        let is_step = command.script.contains("/run/sealer-step") || command.script.starts_with("text=");
        if !is_step {
            return self.call("other", Kind::Read, nothing, nothing_else).await;
        }
        let full = || {
            self.world.state().model.perform_half(self.address);
            Ok(Output::exited(1, "", format!("{FULL}\n")))
        };
        self.call(&self.step(), Kind::Change, full, async || Ok(self.effect())).await
    }

    async fn stream(&self, command: &Command) -> Result<Session, Error> {
        let step = self.step();
        let (ours, mut theirs) = tokio::io::duplex(64 << 10);
        let full = || {
            let end = tokio::spawn(async { Ok(Output::exited(1, "", FULL)) });
            Ok(Session::new(tokio::io::duplex(1).0, end))
        };
        if command.script.contains(" host pull ") {
            return self.call(&step, Kind::Change, full, async || self.files.stream(command).await).await;
        }
        self.call(&step, Kind::Change, full, async || {
            let output = self.effect();
            let end = tokio::spawn(async move {
                theirs.read_to_end(&mut Vec::new()).await.unwrap();
                Ok(output)
            });
            Ok(Session::new(ours, end))
        })
        .await
    }

    async fn write(&self, path: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
        self.write_all(&[SmallFile { path, mode, content }]).await
    }

    async fn write_all(&self, files: &[SmallFile<'_>]) -> Result<(), Error> {
        let full = || self.full_file(files[0].path);
        self.call(&self.step(), Kind::Change, full, async || self.files.write_all(files).await).await
    }

    async fn upload(
        &self,
        local: &Path,
        remote: &str,
        mode: u32,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Error> {
        let sent = async || self.files.upload(local, remote, mode, progress).await;
        self.call(&self.step(), Kind::Change, || self.full_file(remote), sent).await
    }

    async fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        self.call("read", Kind::Read, || Ok(None), async || self.files.read(path, limit).await).await
    }
}

async fn nothing_else() -> Result<Output, Error> {
    Ok(Output::exited(0, "", ""))
}
