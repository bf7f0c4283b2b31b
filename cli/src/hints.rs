//! Hints: the next step after a failure, where its message does not name it.

use std::io::ErrorKind;

use sealer_core::infra_provider::ali_cloud::api::EndpointError;
use sealer_core::{
    ApplicationError, Error, cloudimage, content_store, infra_provider, lvscare, registry_client, registry_proxy,
    remote, runtime,
};

use crate::exit::Failure;

const RESUMES: &str = "what was finished is kept: the same command again resumes from there";

/// The next step; none where the message names it already.
pub(crate) fn hint(failure: &Failure) -> Option<String> {
    match failure {
        Failure::Core(error) => of_core(error),
        Failure::Input { path, source } => of_input(path, source),
        Failure::Output { source, .. } | Failure::Start(source) => of_io(source),
        Failure::LeftOut(_) => {
            Some("when they can be reached, the same command does the rest; or take them out of the cluster".to_owned())
        }
        Failure::Damaged(_) => Some(
            "`sealer pull` of these images, or `sealer load`, brings back what was removed; otherwise build them again"
                .to_owned(),
        ),
        Failure::Interrupted(_) => Some(RESUMES.to_owned()),
        Failure::Kubefile { .. } | Failure::Clusterfile { .. } | Failure::Usage(_) => None,
    }
}

fn of_core(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Image(error) => return of_image(error),
        Error::Content(error) => return of_content(error),
        Error::Provider(error) => return of_provider(error),
        Error::Runtime(error) => return of_runtime(error),
        Error::Registry(error) => return of_registry(error),
        Error::ShortName { .. } => {
            "`--default-registry HOST/NAMESPACE` or the variable SEALER_DEFAULT_REGISTRY says where to look; sealer 0.8 and older looked in registry.cn-qingdao.aliyuncs.com/sealer-io"
        }
        Error::Serve(error) => return of_registry_proxy(error),
        Error::Lvscare(error) => return of_lvscare(error),
        Error::BuildInterrupted => RESUMES,
        Error::Unfinished { source: runtime::Error::Cancelled { .. }, .. } => "the same command again resumes there",
        Error::Unfinished { .. } => "fix the cause and run the same command again: it resumes where it stopped",
        Error::Connect(failures) => return of_connections(failures),
        Error::NoCluster { state, .. } => {
            return Some(format!(
                "`ls {}` shows which clusters there are; what a cloud still has is found by `--provider ALI_CLOUD`",
                state.display()
            ));
        }
        Error::Busy { .. } => "wait until it has finished, or end it",
        Error::NoProvider { .. } => {
            "name hosts by their addresses with `--masters` and `--nodes`, or make them with `--provider CONTAINER`"
        }
        Error::NothingFound { .. } => "things are found in one region: see `--region`",
        Error::NoHosts { .. } => "`--masters ADDRESS --nodes ADDRESS,ADDRESS`, or `--provider CONTAINER --masters 1`",
        Error::ImageInUse { .. } => {
            "`--replace` moves the name; `sealer tag` keeps the image that is here under another one"
        }
        Error::ProviderOfImage { .. } => {
            "agree with `--yes`, or name a provider with `--provider`; `sealer inspect -c IMAGE` shows the file"
        }
        Error::NotSupported { .. } => "to make it differently, `sealer delete` the cluster and run it again",
        Error::Unsupported(_) => "take it out of the Clusterfile to continue without it",
        Error::NoRuntime { .. } => "use an image of Kubernetes made by kubeadm",
        Error::NoBinary { .. } => {
            "put the static binary of this version for that processor here, and name it in the variable SEALER_HOST_BINARIES (several are separated by colons)"
        }
        Error::DynamicBinary { .. } => "use the static binary: `cargo xtask dist --out DIR` makes it",
        Error::EmbeddedClusterfile { .. } => "fix etc/Clusterfile in the image's context and build it again",
        Error::Remembered { .. } => "fix the file by hand; it was valid when it was written",
        Error::State { act: "use", .. } => "run as that user, or name another directory with `--state`",
        Error::State { source, .. } => return of_io(source),
        Error::Aborted { .. } => "run the same command again",
        Error::Argument { .. } => "`sealer run --help` shows the forms of all arguments",
        Error::NoSource { .. } => "run the same command again: what arrived is kept",
        // The findings bring their fixes, the rest is about hosts or says it itself.
        error => return of_change(error),
    };
    Some(hint.to_owned())
}

/// Hosts that come and go.
fn of_change(error: &Error) -> Option<String> {
    let hint = match error {
        Error::HostsNotNamed { cluster, .. } => {
            return Some(format!(
                "name them too, or take them out first: `sealer delete -c {cluster} --nodes ADDRESS`"
            ));
        }
        Error::NotConfirmed { .. } | Error::Application(ApplicationError::NotConfirmed { .. }) => {
            "`--yes` agrees to it"
        }
        Error::Application(ApplicationError::NoRemoval { .. }) => "`--cmds COMMAND` says how",
        Error::ClusterExists { cluster, .. } => {
            return Some(format!(
                "`--cluster-name` names another cluster; `sealer scale-up -c {cluster}` adds hosts to this one"
            ));
        }
        Error::OtherRole { cluster, host, role, .. } => {
            return Some(format!("take it out first: `sealer delete -c {cluster} --{role}s {host}`"));
        }
        Error::WhichCluster { known, .. } if !known.is_empty() => "`-c NAME`",
        Error::WhichCluster { .. } => {
            "`sealer run` of an image of Kubernetes makes one; application images run on clusters that are there"
        }
        Error::ImagesMissing { missing, .. } => {
            let image = missing.first()?;
            return Some(format!(
                "let its login push, or copy them there, for example: skopeo copy --all docker://{} docker://{}; then run the same command again",
                image.name, image.place
            ));
        }
        Error::RegistryLogin { .. } => {
            "check user name and password; a registry that takes tokens only cannot serve hosts with a login"
        }
        Error::NotGivenBack { .. } => "the same command again gives them back",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn of_image(error: &cloudimage::Error) -> Option<String> {
    use cloudimage::Error as Image;
    let hint = match error {
        Image::Store(error) => return of_content(error),
        Image::Registry(error) | Image::NotPulled { source: error, .. } => return of_registry(error),
        Image::Reference(_) => NAME_HINT,
        Image::File { source, .. } | Image::Sandbox { source, .. } => return of_io(source),
        Image::Context { .. } => "the last argument of `sealer build` is the directory that COPY reads from",
        Image::MissingSource { suggestion: None, context, .. } => {
            return Some(format!("paths of COPY are below the context: `ls {}`", context.display()));
        }
        Image::IgnoredSource { .. } => "take the pattern out of .sealerignore, or the source out of the Kubefile",
        Image::Checksum { .. } => {
            "the file or the sum is not the right one: look where the sum comes from, and do not use the file until then"
        }
        Image::Download { .. } | Image::Downloads(_) => {
            "check the address, or download it into the context and COPY it from there"
        }
        Image::RunTimeout { .. } => "`--run-timeout` gives it more time; `-v` shows everything that the command prints",
        Image::Run { .. } => "`-v` shows everything that the command prints",
        Image::NoPlatform { .. } => "choose one of them with `--platform`",
        Image::NotAnImage { .. } | Image::LayerType { .. } | Image::Document { .. } => {
            "cluster images are made by `sealer build` and brought by `sealer pull` and `sealer load`"
        }
        Image::Decompress { .. } => "it is corrupt where it came from: build or load the image again",
        Image::Archive { .. } => "archives are written by `sealer save`, or by `skopeo copy … oci-archive:FILE:NAME`",
        Image::Unfetchable(_) => {
            "log in with `sealer login` where that is needed; see `--registry-mirror`, `--insecure-registry` and the variable HTTPS_PROXY"
        }
        Image::ImageName { .. } => {
            "expected one name a line, such as docker.io/library/redis:6.2; `#` begins a comment"
        }
        Image::Pattern { .. } => "`*`, `?` and `[a-z]` are patterns, `**` is any number of directories",
        Image::Owner { .. } => "give numbers, such as --chown=0:0",
        Image::Application { .. } => {
            "APP NAME declares an application; see `sealer inspect` for those of the base image"
        }
        Image::TaskPanicked(_) => "run the same command again",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// How a name is written.
const NAME_HINT: &str = "a name looks like shop:1.4 or registry.example.com/team/shop:1.4";

fn of_content(error: &content_store::Error) -> Option<String> {
    use content_store::Error as Content;
    let hint = match error {
        Content::File { source, .. } => return of_io(source),
        Content::Missing { .. } => "build, pull or load its image again",
        Content::Mismatch { .. } => "run the same command again; if that fails too, the source is corrupt",
        Content::Layout { .. } => "move that directory away, or use another with `--root`",
        Content::Reference(_) => NAME_HINT,
        _ => return None,
    };
    Some(hint.to_owned())
}

fn of_registry(error: &registry_client::Error) -> Option<String> {
    use registry_client::Error as Registry;
    match error {
        Registry::Tls { host, .. } => Some(format!(
            "`--registry-ca {host}=FILE` trusts its CA certificate, `--insecure-registry {host}` speaks to it without verifying"
        )),
        Registry::Unauthorised { object, .. } if object.starts_with("the login of") => Some(
            "check user and password; many registries want an access token in the place of the password".to_owned(),
        ),
        Registry::Unauthorised { host, .. } => Some(format!("`sealer login {host}` keeps a login")),
        Registry::Unreachable { host, .. } => {
            Some(format!("`--registry-mirror {host}=URL` names a mirror, the variable HTTPS_PROXY a proxy"))
        }
        Registry::Answer { host, .. } | Registry::WrongContent { host, .. } => {
            Some(format!("try again, or ask another with `--registry-mirror {host}=URL`"))
        }
        Registry::Everywhere { source, .. } => of_registry(source),
        Registry::DockerConfig { .. } => Some("fix or remove the file; `sealer login` writes it anew".to_owned()),
        Registry::InvalidOption { .. } => Some(
            "see `--registry-mirror`, `--insecure-registry`, `--registry-ca`, HTTPS_PROXY and the directories certs.d"
                .to_owned(),
        ),
        Registry::LoginFile { source, .. } => of_io(source),
        _ => None,
    }
}

fn of_registry_proxy(error: &registry_proxy::Error) -> Option<String> {
    match error {
        registry_proxy::Error::Tls { .. } => Some("see `--cert` and `--key`; both are PEM files".to_owned()),
        registry_proxy::Error::Listen { source, .. } if source.kind() == ErrorKind::AddrInUse => {
            Some("choose another port with `--listen`, or stop what listens there (`ss -ltnp`)".to_owned())
        }
        registry_proxy::Error::Listen { .. } => Some("choose another address with `--listen`".to_owned()),
        registry_proxy::Error::File { source, .. } => of_io(source),
        _ => None,
    }
}

fn of_lvscare(error: &lvscare::Error) -> Option<String> {
    use lvscare::Error as Care;
    let hint = match error {
        Care::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied => "run it as root",
        Care::Io { source, .. } => return of_io(source),
        Care::Refused { .. } => "rules of the kernel are changed by root, or with CAP_NET_ADMIN",
        Care::NoDataplane { .. } => {
            "one of them is enough: `modprobe ip_vs`, or `modprobe nf_tables` on a kernel of 5.2 or later"
        }
        Care::Busy { .. } => "`sealer lvscare status` shows it; stop it first, or give this one another `--socket`",
        Care::Invalid { reason, .. } | Care::Config { reason, .. } if reason.contains("authority") => {
            "name its certificate with `--health-ca` (`ca` in a file), or skip the verification: `--health-insecure-skip-verify`"
        }
        Care::Config { .. } => "the guide lvscare.md shows a whole file",
        Care::Check { .. } => "see the options `--health-…` in `sealer lvscare care --help`",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn of_provider(error: &infra_provider::Error) -> Option<String> {
    use infra_provider::Error as Provider;
    let hint = match error {
        Provider::Endpoint(EndpointError::Insecure { .. }) => "see `--insecure-cloud-endpoint`",
        Provider::NoMasters { .. } => "add `--masters 1`",
        Provider::HostTwice { .. } => "name each host once",
        Provider::NoEngine { .. } => "the variable DOCKER_HOST names another socket, as in unix:///run/docker.sock",
        Provider::NodeImageMissing { .. } => "the variable SEALER_NODE_IMAGE names another image",
        Provider::Engine { .. } => "see `journalctl -u docker`; the same command again resumes",
        Provider::HostStopped { host, .. } | Provider::NotReady { host, .. } => {
            return Some(format!("see `docker logs {host}`; the same command again resumes"));
        }
        Provider::File { source, .. } => return of_io(source),
        Provider::Unusable { source } => return of_provider(source),
        Provider::NoCredentials => "to make hosts in containers of this machine, `--provider CONTAINER`",
        Provider::Profile { .. } => {
            "the variable ALIBABA_CLOUD_PROFILE chooses another profile; ACCESSKEYID and ACCESSKEYSECRET come first"
        }
        Provider::NotFreed { .. } | Provider::OutOfTime { .. } => "the same command again resumes from there",
        Provider::StatePath { .. } => "see `--state`",
        Provider::SubnetFull { .. } => "delete the cluster and make it again with the wanted number of hosts",
        Provider::KeyMaking { .. } | Provider::Interrupted { .. } => "run the same command again",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// One hint for all hosts that cannot be reached: what most of them lack.
fn of_connections(failures: &[(std::net::IpAddr, remote::Error)]) -> Option<String> {
    failures.iter().find_map(|(_, error)| of_remote(error))
}

fn of_remote(error: &remote::Error) -> Option<String> {
    use remote::Error as Remote;
    if let (Remote::JumpHost { .. }, Remote::LoginRefused { .. }) = (error, error.root()) {
        let hint = "see `spec.ssh.jump` of the Clusterfile; what it does not say is taken from the host behind it";
        return Some(hint.to_owned());
    }
    let hint = match error.root() {
        Remote::Unreachable { through: Some(_), .. } => {
            "check the address, that sshd runs there, and that the jump host reaches it: `ssh -J JUMP HOST` tells more"
        }
        Remote::ForwardingRefused { .. } => {
            "allow it in the jump host's sshd_config: AllowTcpForwarding yes or local, no DisableForwarding, no other PermitOpen"
        }
        Remote::Unreachable { .. } | Remote::Handshake { .. } => {
            "check the address, that sshd runs there, firewalls, and `--port`"
        }
        Remote::LoginRefused { .. } => "see `--user`, `--passwd` and `--pk`, or `spec.ssh` of the Clusterfile",
        Remote::KeyEncrypted { .. } => "`--pk-passwd` asks for the passphrase",
        Remote::KeyPassphrase { .. } => "see `--pk-passwd`",
        Remote::KeyUnreadable { .. } => "`--pk` takes a private key in OpenSSH or PEM form, not its .pub file",
        Remote::Agent { .. } => "start the agent, or unset SSH_AUTH_SOCK and name a key with `--pk`",
        Remote::HostKeyUnknown { .. } | Remote::HostKeyUncertified { .. } => {
            "`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host shows its fingerprint; see `--strict-host-key`"
        }
        Remote::HostKeyRevoked { .. } => "do not use this host, or take the line out of the file if it is wrong",
        Remote::NoShell { .. } => "give the user a login shell (`chsh -s /bin/sh`), or log in as another with `--user`",
        Remote::ChannelRefused { .. } => "raise MaxSessions in the host's sshd_config to 10 or more",
        Remote::Sudo { .. } => "see `--passwd`, or log in as root with `--user root`",
        Remote::ConnectionLost { .. } | Remote::TimedOut { .. } | Remote::Task { .. } => AGAIN,
        Remote::File { .. } | Remote::FileTooLarge { .. } => LOOK,
        Remote::KnownHosts { source, .. } | Remote::LocalFile { source, .. } => return of_io(source),
        Remote::VariableName { .. } => "names of variables are letters, digits and `_`",
        _ => return None,
    };
    Some(hint.to_owned())
}

const AGAIN: &str = "run the same command again: it resumes where it stopped";
const LOOK: &str = "look at the host: a full or read-only disk and an unusual shell are common causes";

fn of_runtime(error: &runtime::Error) -> Option<String> {
    use runtime::Error as Runtime;
    let hint = match error {
        Runtime::Remote(error) => return of_remote(error),
        Runtime::Content { .. } | Runtime::TaskPanicked { .. } => AGAIN,
        Runtime::Facts { .. } => LOOK,
        Runtime::SecretFile { source, .. } | Runtime::Journal { source, .. } => return of_io(source),
        Runtime::Network { .. } => {
            "choose others with `--podcidr` and `--svccidr`, or in the Clusterfile (spec.network, ClusterConfiguration)"
        }
        Runtime::Document { .. } => "fix it; kubeadm reads it as it is",
        Runtime::RootfsFile { reason, .. } if reason.contains("not defined") => {
            "`-e NAME=VALUE` and `spec.env` define variables; ENV of the Kubefile, or `default` in the template, says the usual value"
        }
        Runtime::Payload { .. } => "build the image FROM a Kubernetes image of kubeadm",
        Runtime::ApplicationImage { .. } => "build it `FROM` a Kubernetes image, then it brings its cluster along",
        Runtime::Unsupported { .. } => "change the Clusterfile or the flags to continue without it",
        Runtime::Plan { .. } => "run the same command again; if that fails too, `sealer delete` the cluster first",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn of_input(path: &str, source: &std::io::Error) -> Option<String> {
    match source.kind() {
        ErrorKind::NotFound if path.ends_with("Kubefile") => {
            Some("`-f` names the Kubefile, the last argument the directory that it copies from".to_owned())
        }
        ErrorKind::NotFound if path.ends_with("Clusterfile") => Some("`-f` names the Clusterfile".to_owned()),
        ErrorKind::IsADirectory => Some("expected a file".to_owned()),
        ErrorKind::InvalidData => Some("expected a text in UTF-8".to_owned()),
        _ => of_io(source),
    }
}

fn of_io(source: &std::io::Error) -> Option<String> {
    let hint = match source.kind() {
        ErrorKind::PermissionDenied => "run it as root, or use other places: see `--root`",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space there",
        ErrorKind::ReadOnlyFilesystem => "it is mounted read-only: choose another place",
        ErrorKind::NotFound => "check the path: its directory must exist",
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_does_not_repeat_the_message() {
        let name = Failure::Core(Error::from(cloudimage::Error::UnknownImage { name: "shop:1.4".to_owned() }));
        assert!(name.to_string().contains("sealer build") && hint(&name).is_none());
        let cluster = Failure::Core(Error::NoProvider { kind: "ALI_CLOUD".to_owned() });
        assert!(hint(&cluster).is_some_and(|hint| hint.contains("--provider CONTAINER")));
    }

    #[test]
    fn what_fails_at_a_jump_host_has_its_hint() {
        let host = std::net::IpAddr::from([172, 16, 0, 5]);
        let gate = std::net::IpAddr::from([192, 0, 2, 1]);
        let failed = |source| {
            let error = remote::Error::JumpHost { host: host.into(), source: std::sync::Arc::new(source) };
            hint(&Failure::Core(Error::Connect(vec![(host, error)])))
        };
        let refused = remote::Error::LoginRefused {
            host: gate.into(),
            user: "root".to_owned(),
            tried: Vec::new(),
            offered: Vec::new(),
        };
        assert!(failed(refused).is_some_and(|hint| hint.contains("spec.ssh.jump")));
        let agent = remote::Error::KeyEncrypted { name: "key".to_owned() };
        assert!(failed(agent).is_some_and(|hint| hint.contains("--pk-passwd")));
        let forbidden = remote::Error::ForwardingRefused { host: host.into(), port: 22, jump: gate.into() };
        assert!(of_remote(&forbidden).is_some_and(|hint| hint.contains("AllowTcpForwarding")));
    }

    #[test]
    fn permissions_lead_to_another_root() {
        let denied = std::io::Error::from(ErrorKind::PermissionDenied);
        let failure = Failure::Core(Error::State { act: "make", path: "/x".into(), source: denied });
        assert!(hint(&failure).is_some_and(|hint| hint.contains("--root")));
    }
}
