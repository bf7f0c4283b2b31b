//! How registries are reached: options of the command line, environment, and files of docker and podman.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use sealer_core::Settings;
use sealer_core::content_store::DefaultRegistry;
use sealer_core::registry_client::{LoginFiles, Options};

use super::{expand_home, home, proxy, variable, variable_path};
use crate::exit::Failure;

/// A file of certificates is never larger than this.
const CERTIFICATES_LIMIT: u64 = 1 << 20;

/// How registries are reached, as the command line says it.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RegistryArguments {
    /// Ask this mirror first for images of a registry
    #[arg(long = "registry-mirror", value_name = "HOST=URL")]
    pub(crate) mirrors: Vec<String>,
    /// Registry that is spoken to without verified TLS, or by plain HTTP
    #[arg(long = "insecure-registry", value_name = "HOST")]
    pub(crate) insecure: Vec<String>,
    /// Trust these CA certificates (PEM) for one registry, besides those of the system and of certs.d
    #[arg(long = "registry-ca", value_name = "HOST=FILE")]
    pub(crate) authorities: Vec<String>,
    /// Directory with certificates for the registry of the command's own image: `*.crt` to trust, `NAME.cert` and `NAME.key` to show
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// File of logins instead of docker's and podman's [default: $REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// Treat the registry of the command's own image as an insecure one
    #[arg(long)]
    pub(crate) skip_tls_verify: bool,
    /// What `--skip-tls-verify` was called in the original sealer 0.9.0 to 0.9.2.
    #[arg(
        long,
        hide = true,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        action = ArgAction::Set
    )]
    pub(crate) tls_verify: Option<bool>,
    /// Where image names without a registry are looked for when they are not on this machine [default: $SEALER_DEFAULT_REGISTRY, else docker.io/library]
    #[arg(long, value_name = "HOST/NAMESPACE")]
    pub(crate) default_registry: Option<String>,
}

impl RegistryArguments {
    /// Whether the registry of the command's own image is an insecure one.
    pub(crate) fn skips_verification(&self) -> bool {
        self.skip_tls_verify || self.tls_verify == Some(false)
    }

    /// Changes the settings; `images` are those that the command itself names.
    pub(super) fn apply(&self, settings: &mut Settings, images: &[&str]) -> Result<(), Failure> {
        if let Some(text) = &self.default_registry {
            settings.default_registry = parsed("--default-registry", text)?;
        }
        let options = &mut settings.registry;
        usual(options);
        for mirror in &self.mirrors {
            let (host, url) = pair("--registry-mirror", mirror, "HOST=URL", "docker.io=http://127.0.0.1:5000")?;
            options.mirrors.entry(host.to_owned()).or_default().push(url.to_owned());
        }
        options.insecure.extend(self.insecure.iter().cloned());
        for authority in &self.authorities {
            let (host, file) = pair("--registry-ca", authority, "HOST=FILE", "registry.example.com:5000=ca.crt")?;
            let failed = |source| Failure::Input { path: file.to_owned(), source };
            let text = atomic_file::read_text(&expand_home(file.as_ref()), CERTIFICATES_LIMIT).map_err(failed)?;
            let text = text.ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
            options.host_ca.entry(host.to_owned()).or_default().push(text);
        }
        let named = self.authfile.as_deref().map(expand_home);
        if let Some(file) = &named {
            options.logins = LoginFiles::new(vec![file.clone()], true);
        }
        // The usual files are at home, which is hidden as a whole.
        settings.hidden_from_run.extend(named.or_else(|| variable_path("REGISTRY_AUTH_FILE")));
        let default = &settings.default_registry;
        let named = images.iter().filter_map(|image| default.complete(image).ok());
        let hosts = named.map(|image| image.registry().to_owned());
        if let Some(directory) = self.cert_dir.as_deref().map(expand_home) {
            // Where nothing is, nothing would be trusted, without a word.
            let failed = |source| Failure::Input { path: directory.display().to_string(), source };
            std::fs::read_dir(&directory).map_err(failed)?;
            options.host_certificates.extend(hosts.clone().map(|host| (host, directory.clone())));
        }
        if self.skips_verification() {
            options.insecure.extend(hosts);
        }
        Ok(())
    }
}

/// What the environment says about names without a registry; every command looks for images by name.
pub(super) fn default_registry() -> Result<DefaultRegistry, Failure> {
    variable("SEALER_DEFAULT_REGISTRY")
        .map_or_else(|| Ok(DefaultRegistry::default()), |text| parsed("SEALER_DEFAULT_REGISTRY", &text))
}

/// What the environment and the home directory say about registries.
fn usual(options: &mut Options) {
    // Credential helpers are the user's own programs, named in the user's own file.
    options.logins = LoginFiles::new(login_files(), true);
    options.certificate_directories = certificate_directories();
    options.https_proxy = proxy("HTTPS_PROXY");
    options.http_proxy = proxy("HTTP_PROXY");
    options.no_proxy = variable("NO_PROXY");
}

/// Docker's file first, which is written to; then those of podman, skopeo and buildah.
fn login_files() -> Vec<PathBuf> {
    if let Some(file) = variable_path("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let docker = variable_path("DOCKER_CONFIG").or_else(|| home().map(|home| home.join(".docker")));
    let config = variable_path("XDG_CONFIG_HOME").or_else(|| home().map(|home| home.join(".config")));
    let podman = [variable_path("XDG_RUNTIME_DIR"), config];
    let podman = podman.into_iter().flatten().map(|directory| directory.join("containers/auth.json"));
    docker.map(|docker| docker.join("config.json")).into_iter().chain(podman).collect()
}

/// Where docker, podman and containerd's tools keep certificates for single hosts.
fn certificate_directories() -> Vec<PathBuf> {
    let system = ["/etc/docker/certs.d", "/etc/containers/certs.d"].map(PathBuf::from);
    let config = variable_path("XDG_CONFIG_HOME").or_else(|| home().map(|home| home.join(".config")));
    let own = config.map(|config| config.join("containers/certs.d"));
    system.into_iter().chain(own).collect()
}

fn parsed(source: &str, text: &str) -> Result<DefaultRegistry, Failure> {
    text.parse().map_err(|error| Failure::Usage(format!("{source}: {error}")))
}

fn pair<'a>(option: &str, text: &'a str, form: &str, example: &str) -> Result<(&'a str, &'a str), Failure> {
    let parts = text.split_once('=').filter(|(host, value)| !host.is_empty() && !value.is_empty());
    parts.ok_or_else(|| Failure::Usage(format!("{option} {text}: expected {form}, for example {example}")))
}
