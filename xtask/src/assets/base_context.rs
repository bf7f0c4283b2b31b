//! The build context of the base image.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::kubernetes::kubernetes;
use super::packages::{COMPANIONS, ENGINE, Packages};
use super::{KUBERNETES, copy, in_xtask, make_directory};
use crate::archive::{self, Format, Image};
use crate::cache::{Cache, Key};
use crate::error::{Error, Result};
use crate::machine::{self, Release};
use crate::output;
use crate::program::{program, run_quietly};

/// Tag of the carried etcd; `etc/kubeadm.yml` names the same.
const ETCD_TAG: &str = "3.4.23-0";
/// The text files of the context as they lie in this repository.
const SOURCES: &[&str] = &["Metadata", "etc", "manifests"];
/// What the context shares with the recipes that sealer writes.
const RECIPE: &str = "../crates/cloudimage/recipes/kubernetes";
const SHARED: &[&str] = &["etc/10-kubeadm.conf", "etc/containerd.service", "etc/kubelet.service", "scripts"];
/// How the line of the Kubefile begins that tells the version of the engine.
const ENGINE_VERSION: &str = "LABEL cluster.alpha.sealer.io/container-runtime-version=";
const CNI_PLUGINS: &[&str] = &["bridge", "host-local", "loopback", "portmap", "ptp"];
const IPTABLES: &str = "usr/sbin/xtables-nft-multi";
/// The names under which the network programs of Kubernetes call the one binary of iptables.
const IPTABLES_NAMES: &[&str] =
    &["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"];
/// What the agent of the network add-on calls.
const BUSYBOX_NAMES: &[&str] = &["awk", "cat", "cmp", "cp", "grep", "mv", "rm", "sh", "sleep"];

/// The build context of the base image of Kubernetes [`KUBERNETES`] with the container engine of a release; made on
/// first use. The engine is linked to its release's C library: an older host cannot run it.
pub(crate) fn base_context(cache: &Cache, engine: Release) -> Result<PathBuf> {
    let (kubernetes, kubernetes_key) = kubernetes(cache, KUBERNETES)?;
    let packages = Packages::unpacked(cache, Release::Bookworm, COMPANIONS)?;
    let engine = Packages::unpacked(cache, engine, ENGINE)?;
    let inputs = [&kubernetes_key, packages.key(), engine.key()].map(Key::short);
    let key = Key::new("3").tree(&in_xtask("base-image"))?.tree(&in_xtask(RECIPE))?.text(&inputs.join(" "));
    cache.entry("base-context", &key, |target| {
        machine::ensure_programs(&[("gcc", "gcc"), ("zstd", "zstd"), ("tar", "tar")])?;
        machine::ensure_packages(&["libc6-dev"])?;
        output::step("assembling the base image context");
        for source in SOURCES {
            copy(&in_xtask("base-image").join(source), &target.join(source))?;
        }
        for shared in SHARED {
            copy(&in_xtask(RECIPE).join(shared), &target.join(shared))?;
        }
        kubefile(&engine.version("containerd")?, &target.join("Kubefile"))?;
        for program in ["kubeadm", "kubelet", "kubectl"] {
            copy(&kubernetes.join(program), &target.join("bin").join(program))?;
        }
        for plugin in CNI_PLUGINS {
            copy(&packages.path("usr/lib/cni").join(plugin), &target.join("cni").join(plugin))?;
        }
        engine_bundle(&engine, cache.root(), &target.join("cri/containerd.tar.gz"))?;
        let scratch = tempfile::tempdir_in(cache.root()).map_err(Error::file("create a directory in", cache.root()))?;
        let images = Images {
            kubernetes: &kubernetes,
            packages: &packages,
            scratch: scratch.path(),
            target: &target.join("images"),
        };
        images.write_all()
    })
}

/// The Kubefile, telling the version of the engine that is carried.
fn kubefile(engine: &str, target: &Path) -> Result<()> {
    let source = in_xtask("base-image/Kubefile");
    let text = fs::read_to_string(&source).map_err(Error::file("read", &source))?;
    let text = with_engine_version(&text, engine)
        .ok_or_else(|| Error::Shape {
            what: source.display().to_string(), found: format!("no `{ENGINE_VERSION}…`")
        })?;
    fs::write(target, text).map_err(Error::file("write", target))
}

/// A Kubefile with another version of the engine in its label; `None` when it has no such label.
fn with_engine_version(kubefile: &str, engine: &str) -> Option<String> {
    let (before, rest) = kubefile.split_once(ENGINE_VERSION)?;
    let (_, after) = rest.split_once('\n')?;
    Some(format!("{before}{ENGINE_VERSION}\"{engine}\"\n{after}"))
}

/// containerd and what it starts, as a tar that is unpacked at `/` of a host.
fn engine_bundle(engine: &Packages, scratch: &Path, target: &Path) -> Result<()> {
    let stage = tempfile::tempdir_in(scratch).map_err(Error::file("create a directory in", scratch))?;
    let root = stage.path();
    for name in ["containerd", "containerd-shim-runc-v2", "ctr"] {
        copy(&engine.path("usr/bin").join(name), &root.join("usr/bin").join(name))?;
    }
    copy(&engine.path("usr/sbin/runc"), &root.join("usr/bin/runc"))?;
    // Small systems lack it; containerd.service names this directory.
    let library = root.join("usr/lib/sealer/libseccomp.so.2");
    make_directory(&root.join("usr/lib/sealer"))?;
    fs::copy(engine.path("usr/lib/x86_64-linux-gnu/libseccomp.so.2"), &library)
        .map_err(Error::file("write", &library))?;
    make_directory(target.parent().unwrap_or(target))?;
    run_quietly(
        program("tar")
            .env("GZIP", "-n")
            .args([
                "--create",
                "--gzip",
                "--sort=name",
                "--mtime=@0",
                "--owner=0",
                "--group=0",
                "--numeric-owner",
                "--file",
            ])
            .arg(target)
            .arg("--directory")
            .arg(root)
            .arg("usr"),
    )
}

/// The container images that the base image carries.
struct Images<'a> {
    kubernetes: &'a Path,
    packages: &'a Packages,
    scratch: &'a Path,
    target: &'a Path,
}

impl Images<'_> {
    fn write_all(&self) -> Result<()> {
        make_directory(self.target)?;
        for name in ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            let tree = self.kubernetes_layer(name)?;
            self.write(name, &format!("k8s.gcr.io/{name}:{KUBERNETES}"), &[tree], &[])?;
        }
        let tools = self.network_tools()?;
        let proxy = self.kubernetes_layer("kube-proxy")?;
        self.write("kube-proxy", &format!("k8s.gcr.io/kube-proxy:{KUBERNETES}"), &[tools.clone(), proxy], &[])?;
        self.write(
            "network",
            "docker.io/sealerio/network:1.0",
            &[tools, self.network_agent()?],
            &["/usr/local/bin/sealer-network"],
        )?;
        self.write("etcd", &format!("k8s.gcr.io/etcd:{ETCD_TAG}"), &[self.etcd()?], &[])?;
        self.write("pause", "k8s.gcr.io/pause:3.2", &[self.pause()?], &["/pause"])
    }

    fn write(&self, file: &str, name: &str, layers: &[PathBuf], entrypoint: &[&str]) -> Result<()> {
        let image = Image { name, layers, entrypoint };
        archive::write(&image, Format::Oci, self.scratch, &self.target.join(format!("{file}.tar")))
    }

    fn kubernetes_layer(&self, name: &str) -> Result<PathBuf> {
        let root = self.scratch.join(name);
        copy(&self.kubernetes.join(name), &root.join("usr/local/bin").join(name))?;
        with_scratch_directory(root)
    }

    /// iptables, conntrack and ip: the layer that kube-proxy and the network add-on share.
    fn network_tools(&self) -> Result<PathBuf> {
        let root = self.scratch.join("network-tools");
        self.packages.install(IPTABLES, &root, IPTABLES, &["usr/lib/x86_64-linux-gnu/xtables"])?;
        for name in IPTABLES_NAMES {
            link("xtables-nft-multi", &root.join("usr/sbin").join(name))?;
        }
        self.packages.install("usr/sbin/conntrack", &root, "usr/sbin/conntrack", &[])?;
        self.packages.install("bin/ip", &root, "usr/sbin/ip", &[])?;
        with_scratch_directory(root)
    }

    fn network_agent(&self) -> Result<PathBuf> {
        let root = self.scratch.join("network-agent");
        copy(&self.packages.path("bin/busybox"), &root.join("bin/busybox"))?;
        for name in BUSYBOX_NAMES {
            link("busybox", &root.join("bin").join(name))?;
        }
        copy(&self.kubernetes.join("kubectl"), &root.join("usr/local/bin/kubectl"))?;
        let agent = root.join("usr/local/bin/sealer-network");
        copy(&in_xtask("base-image/network/sealer-network"), &agent)?;
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755))
            .map_err(Error::file("make executable", &agent))?;
        Ok(root)
    }

    fn etcd(&self) -> Result<PathBuf> {
        let root = self.scratch.join("etcd");
        self.packages.install("usr/bin/etcd", &root, "usr/local/bin/etcd", &[])?;
        // As the official image: members are taken out with it.
        self.packages.install("usr/bin/etcdctl", &root, "usr/local/bin/etcdctl", &[])?;
        with_scratch_directory(root)
    }

    fn pause(&self) -> Result<PathBuf> {
        let root = self.scratch.join("pause");
        make_directory(&root)?;
        run_quietly(
            program("gcc")
                .args(["-static", "-Os", "-s", "-Wl,--build-id=none", "-o"])
                .arg(root.join("pause"))
                .arg(in_xtask("base-image/pause.c")),
        )?;
        Ok(root)
    }
}

/// Adds the `/tmp` that programs expect, writable for all.
fn with_scratch_directory(root: PathBuf) -> Result<PathBuf> {
    let directory = root.join("tmp");
    make_directory(&directory)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777)).map_err(Error::file("open up", &directory))?;
    Ok(root)
}

fn link(to: &str, place: &Path) -> Result<()> {
    symlink(to, place).map_err(Error::file("link", place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubefile_tells_the_engine_that_is_carried() {
        let text = format!("FROM scratch\n{ENGINE_VERSION}\"1.6.20\"\nCOPY bin bin\n");
        let changed = format!("FROM scratch\n{ENGINE_VERSION}\"1.7.24\"\nCOPY bin bin\n");
        assert_eq!(with_engine_version(&text, "1.7.24"), Some(changed));
        assert_eq!(with_engine_version("FROM scratch\n", "1.7.24"), None);
    }
}
