//! Debian's `docker-registry` on loopback.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A registry whose data are below a directory; it ends with the value.
pub struct DockerRegistry {
    pub host: String,
    directory: PathBuf,
    child: Child,
}

impl DockerRegistry {
    pub async fn start(directory: &Path) -> Self {
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let root = directory.join("data");
        let config = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: \"{host}\" }}\n",
            root.display()
        );
        let file = directory.join("config.yml");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { host, directory: root, child };
        for _ in 0..200 {
            if reqwest::get(format!("http://{}/v2/", registry.host)).await.is_ok() {
                return registry;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("docker-registry does not answer");
    }

    /// Forgets all uploads under way.
    pub fn forget_uploads(&self) {
        let repositories = self.directory.join("docker/registry/v2/repositories");
        let found = Command::new("find").arg(repositories).args(["-name", "_uploads", "-prune"]).output().unwrap();
        for uploads in String::from_utf8(found.stdout).unwrap().lines() {
            std::fs::remove_dir_all(uploads).unwrap();
        }
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
