//! The container engine of a cluster: its socket, its storage, and the files by which it finds images.

use std::net::SocketAddr;

use clusterfile::RegistrySettings;

use crate::{Error, File, ImageContents};

/// The label by which an image names its container engine.
const LABEL: &str = "cluster.alpha.sealer.io/container-runtime-type";

/// A container engine that images can bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContainerEngine {
    /// containerd.
    Containerd,
}

impl ContainerEngine {
    /// All engines that are supported.
    pub const ALL: [Self; 1] = [Self::Containerd];

    /// The engine of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == name)
    }

    /// The engine that an image brings: by its label, else by its scripts.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for an engine that is not supported yet, [`Error::Payload`] when the image brings none.
    pub fn of_image(image: &ImageContents) -> Result<Self, Error> {
        let by_script = || ["containerd", "docker"].into_iter().find(|name| image.has(&format!("scripts/{name}.sh")));
        let name = image.labels.get(LABEL).map(String::as_str).or_else(by_script);
        let name = name.ok_or_else(|| Error::Payload {
            image: image.name.clone(),
            missing: "scripts/containerd.sh (is it a cluster image?)".to_owned(),
        })?;
        Self::named(name).ok_or(Error::Unsupported { what: "an image with a container engine other than containerd" })
    }

    /// Its name, which is also that of its systemd service and of the image's script that installs it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
        }
    }

    /// Where it listens for the kubelet.
    #[must_use]
    pub fn socket(self) -> &'static str {
        match self {
            Self::Containerd => "/run/containerd/containerd.sock",
        }
    }

    /// Where it keeps its images and containers.
    #[must_use]
    pub fn storage(self) -> &'static str {
        match self {
            Self::Containerd => "/var/lib/containerd",
        }
    }

    /// The script of an image that installs it.
    pub(crate) fn install_script(self) -> String {
        format!("scripts/{}.sh", self.name())
    }

    /// The files by which it finds every image under its original name at the cluster's registries first.
    ///
    /// `authority` is the path of the certificate authority that signed the registries' certificates.
    pub(crate) fn image_files(
        self,
        registry: &RegistrySettings,
        registries: impl Iterator<Item = SocketAddr>,
        authority: &str,
    ) -> Vec<File> {
        match self {
            Self::Containerd => containerd(registry, registries, authority),
        }
    }
}

fn containerd(registry: &RegistrySettings, registries: impl Iterator<Item = SocketAddr>, authority: &str) -> Vec<File> {
    const DIRECTORY: &str = "/etc/containerd/certs.d";
    let (domain, port) = (&registry.domain, registry.port);
    let host =
        |url: &str| format!("[host.\"{url}\"]\n  capabilities = [\"pull\", \"resolve\"]\n  ca = \"{authority}\"\n");
    let own = format!("https://{domain}:{port}");
    let any: Vec<String> = registries.map(|registry| host(&format!("https://{registry}"))).collect();
    vec![
        File::public(format!("{DIRECTORY}/_default/hosts.toml"), format!("# written by sealer\n{}", any.join("\n"))),
        File::public(
            format!("{DIRECTORY}/{domain}:{port}/hosts.toml"),
            format!("# written by sealer\nserver = \"{own}\"\n\n{}", host(&own)),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_registry_is_listed() {
        let registries = [1, 2].map(|last| SocketAddr::from(([10, 0, 0, last], 5000)));
        let files = ContainerEngine::Containerd.image_files(
            &RegistrySettings::default(),
            registries.into_iter(),
            "/certs/ca.crt",
        );
        let any = String::from_utf8_lossy(&files[0].content);
        assert_eq!(any.matches("[host.").count(), 2, "{any}");
        assert!(any.contains("https://10.0.0.1:5000") && any.contains("https://10.0.0.2:5000"), "{any}");
    }
}
