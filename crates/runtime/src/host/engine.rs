//! The container engine of a cluster: its socket, its storage, and the files by which it finds images.

use super::registry::RegistryAccess;
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
    pub(super) fn image_files(self, registry: &RegistryAccess) -> Vec<File> {
        match self {
            Self::Containerd => containerd(registry),
        }
    }
}

fn containerd(registry: &RegistryAccess) -> Vec<File> {
    const DIRECTORY: &str = "/etc/containerd/certs.d";
    let own = format!("{}://{}", registry.scheme, registry.name);
    let any: Vec<String> = registry
        .mirrors
        .iter()
        .map(|mirror| mirror_text(registry, &format!("{}://{mirror}", registry.scheme)))
        .collect();
    let file = |name: &str, text: String| {
        let path = format!("{DIRECTORY}/{name}/hosts.toml");
        if registry.authorization.is_some() { File::secret(path, text) } else { File::public(path, text) }
    };
    vec![
        file("_default", format!("# written by sealer\n{}", any.join("\n"))),
        file(&registry.name, format!("# written by sealer\nserver = \"{own}\"\n\n{}", mirror_text(registry, &own))),
    ]
}

/// What containerd knows of one server. It sends the login with the first request, so nothing is refused first.
fn mirror_text(registry: &RegistryAccess, url: &str) -> String {
    let mut text = format!("[host.\"{url}\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
    if let Some(authority) = &registry.authority {
        text.push_str(&format!("  ca = \"{authority}\"\n"));
    }
    if let Some(authorization) = &registry.authorization {
        text.push_str(&format!("  [host.\"{url}\".header]\n    Authorization = \"{}\"\n", authorization.expose()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_registry_is_listed() {
        let mut registry = RegistryAccess {
            name: "sea.hub:5000".to_owned(),
            scheme: "https",
            mirrors: vec!["10.0.0.1:5000".to_owned(), "10.0.0.2:5000".to_owned()],
            authority: Some("/certs/ca.crt".to_owned()),
            authorization: None,
        };
        let files = ContainerEngine::Containerd.image_files(&registry);
        let any = String::from_utf8_lossy(&files[0].content);
        assert_eq!(any.matches("[host.").count(), 2, "{any}");
        assert!(any.contains("https://10.0.0.1:5000") && any.contains("https://10.0.0.2:5000"), "{any}");
        registry.authorization = Some("Basic YTpi".into());
        for file in ContainerEngine::Containerd.image_files(&registry) {
            assert!(file.secret && file.mode == 0o600, "{}", file.path);
        }
    }
}
