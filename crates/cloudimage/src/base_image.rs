//! Recipes of base images: build contexts of Kubernetes from official files, every one with its checksum.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Serialize;

use crate::durable;
use crate::error::{Error, Result};

const VERSIONS: &str = include_str!("../recipes/kubernetes/versions.txt");
const MINORS: &str = include_str!("../recipes/kubernetes/minors.txt");
const FILES: &str = include_str!("../recipes/kubernetes/files.txt");
/// Where the images of Kubernetes are since 2023, those of older versions too.
const REGISTRY: &str = "registry.k8s.io";
const RUNC: &str = "1.3.6";
const CNI_PLUGINS: &str = "1.7.1";
const FLANNEL: &str = include_str!("../recipes/kubernetes/flannel");
const CALICO: &str = include_str!("../recipes/kubernetes/calico");

macro_rules! recipe_files {
    ($($path:literal),*) => { [$(($path, include_str!(concat!("../recipes/kubernetes/", $path)))),*] };
}

/// The files of a context; the Kubefile is the last, so that a context that was not finished cannot be built.
const CONTEXT: [(&str, &str); 13] = recipe_files![
    "etc/10-kubeadm.conf",
    "etc/containerd-config.toml",
    "etc/containerd.service",
    "etc/kubeadm.yml",
    "etc/kubelet.service",
    "manifests/imageList",
    "scripts/clean-kube.sh",
    "scripts/containerd.sh",
    "scripts/init-kube.sh",
    "scripts/init-registry.sh",
    "scripts/kubelet-pre-start.sh",
    "scripts/uninstall-containerd.sh",
    "Kubefile"
];

/// What is wanted of a base image.
#[derive(Debug, Clone)]
pub struct BaseImageOptions {
    /// The version of Kubernetes, such as `v1.31.4`, or a minor such as `1.31` for its newest; the newest of all without.
    pub version: Option<String>,
    /// The processor: `amd64` or `arm64`.
    pub arch: String,
    /// The container engine: `containerd`, or one version of it such as `containerd:2.2.7`.
    pub engine: String,
    /// The network plugin: `flannel`, `calico` or `none`.
    pub cni: String,
    /// Who manages control groups: `systemd` or `cgroupfs`.
    pub cgroup_driver: String,
}

/// A minor version of Kubernetes that base images can be made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseImageVersions {
    /// The minor, such as `1.31`.
    pub minor: String,
    /// All its versions, the newest last.
    pub versions: Vec<String>,
    /// The processors.
    pub architectures: Vec<String>,
    /// The version of containerd that is taken.
    pub containerd: String,
    /// The version of flannel.
    pub flannel: String,
    /// The version of calico; `none` when none is known that fits.
    pub calico: String,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrittenBaseImage {
    /// The version of Kubernetes, such as `v1.31.4`.
    pub version: String,
    /// The version of containerd.
    pub containerd: String,
    /// The network plugin and its version.
    pub cni: String,
}

/// The versions of Kubernetes of which every checksum is known, the newest minor last.
#[must_use]
pub fn base_image_versions() -> Vec<BaseImageVersions> {
    let of_minor = |row: [&str; 7]| {
        let [minor, _, _, _, containerd, flannel, calico] = row.map(str::to_owned);
        let own = |row: &[&str; 9]| minor_of(row[0]) == minor;
        let mut versions: Vec<String> = rows(VERSIONS).filter(own).map(|row| row[0].to_owned()).collect();
        versions.dedup();
        let mut architectures: Vec<String> = rows(VERSIONS).filter(own).map(|row| row[1].to_owned()).collect();
        architectures.sort();
        architectures.dedup();
        BaseImageVersions { minor, versions, architectures, containerd, flannel, calico }
    };
    rows(MINORS).map(of_minor).collect()
}

/// Writes the build context of a base image into a directory that is empty or not there yet.
///
/// # Errors
/// [`Error::BaseImage`] says why such an image cannot be had; [`Error::File`] when it cannot be written.
pub fn write_base_image(options: &BaseImageOptions, directory: &Path) -> Result<WrittenBaseImage> {
    let (values, written) = values(options)?;
    fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
    let mut entries = fs::read_dir(directory).map_err(Error::file("list", directory))?;
    // What was begun and not finished has no Kubefile, and is written again.
    if directory.join("Kubefile").exists() || entries.any(|entry| entry.is_ok_and(|entry| !is_own(&entry.file_name())))
    {
        return Err(refused(format!("{} is not empty; name another directory", directory.display())));
    }
    for (name, template) in CONTEXT {
        let path = directory.join(name);
        let parent = path.parent().unwrap_or(directory);
        fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
        durable::write(&path, filled(template, &values).as_bytes())?;
        // Whoever builds may be another than who writes.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).map_err(Error::file("open up", &path))?;
    }
    Ok(written)
}

fn is_own(name: &std::ffi::OsStr) -> bool {
    ["etc", "manifests", "scripts"].iter().any(|own| name == *own)
}

/// What stands for the words in the templates.
fn values(options: &BaseImageOptions) -> Result<(BTreeMap<&'static str, String>, WrittenBaseImage)> {
    let [version, arch, pause, etcd, coredns, kubeadm, kubelet, kubectl, _] = version_row(options)?;
    let minor = minor_of(version);
    let missing = || refused(format!("nothing is known of what goes with Kubernetes {minor}"));
    let [_, crictl, oldest, newest, containerd, flannel, calico] =
        rows(MINORS).find(|row| row[0] == minor).ok_or_else(missing)?;
    let containerd = engine(&options.engine, version, [oldest, newest, containerd])?;
    let (cni, cni_version, lines) = match options.cni.as_str() {
        "none" => ("none", "", ""),
        "flannel" => ("flannel", flannel, FLANNEL),
        "calico" if calico == "none" => {
            return Err(refused(format!(
                "no calico is known whose manifest fits Kubernetes {minor}; take flannel, or none and bring your own"
            )));
        }
        "calico" => ("calico", calico, CALICO),
        other => return Err(unknown("network plugin", other, "flannel, calico and none")),
    };
    let driver = options.cgroup_driver.as_str();
    if !["systemd", "cgroupfs"].contains(&driver) {
        return Err(unknown("cgroup driver", driver, "systemd and cgroupfs"));
    }
    let sum = |name, version| sum(name, version, arch);
    let cni_sum = if cni == "none" { String::new() } else { sum(cni, cni_version)? };
    let mut values = BTreeMap::from([
        ("VERSION", version.to_owned()),
        ("ARCH", arch.to_owned()),
        ("REGISTRY", REGISTRY.to_owned()),
        ("PAUSE", pause.to_owned()),
        ("ETCD", etcd.to_owned()),
        ("COREDNS", coredns.to_owned()),
        ("CONTAINERD", containerd.to_owned()),
        ("RUNC", RUNC.to_owned()),
        ("CRICTL", crictl.to_owned()),
        ("CNI_PLUGINS", CNI_PLUGINS.to_owned()),
        ("SUM_KUBEADM", kubeadm.to_owned()),
        ("SUM_KUBELET", kubelet.to_owned()),
        ("SUM_KUBECTL", kubectl.to_owned()),
        ("SUM_CONTAINERD", sum("containerd", containerd)?),
        ("SUM_RUNC", sum("runc", RUNC)?),
        ("SUM_CRICTL", sum("crictl", crictl)?),
        ("SUM_CNI_PLUGINS", sum("cni-plugins", CNI_PLUGINS)?),
        ("SUM_CNI", cni_sum),
        ("CNI_VERSION", cni_version.to_owned()),
        ("CNI_NAME", if cni == "none" { "no network plugin".to_owned() } else { format!("{cni} {cni_version}") }),
        ("CGROUP_DRIVER", driver.to_owned()),
        ("SYSTEMD_CGROUP", (driver == "systemd").to_string()),
    ]);
    values.insert("CNI", filled(lines, &values));
    let written = WrittenBaseImage {
        version: format!("v{version}"),
        containerd: containerd.to_owned(),
        cni: values["CNI_NAME"].clone(),
    };
    Ok((values, written))
}

/// The row of the version that is wanted, for its processor.
fn version_row(options: &BaseImageOptions) -> Result<[&'static str; 9]> {
    let newest = rows::<9>(VERSIONS).last().map_or("", |row| row[0]);
    let wanted = options.version.as_deref().unwrap_or(newest).trim_start_matches('v');
    let of_version = |row: &[&str; 9]| row[0] == wanted || minor_of(row[0]) == wanted;
    let Some(last) = rows::<9>(VERSIONS).filter(of_version).last() else {
        let near = rows::<9>(VERSIONS).filter(|row| minor_of(row[0]) == minor_of(wanted)).last();
        let known = near.map_or_else(
            || format!("1.20 to {} are known", minor_of(newest)),
            |row| format!("the newest {} of which all checksums are known is v{}", minor_of(wanted), row[0]),
        );
        return Err(refused(format!("no checksums are known of Kubernetes {wanted}; {known}")));
    };
    let arch = &options.arch;
    rows(VERSIONS).find(|row: &[&str; 9]| row[0] == last[0] && row[1] == arch).ok_or_else(|| {
        refused(format!("no files of Kubernetes {} are known for {arch}; there are some for amd64 and arm64", last[0]))
    })
}

/// The version of containerd; one that the kubelet cannot use is refused with the rule.
fn engine(wanted: &str, version: &str, [oldest, newest, default]: [&'static str; 3]) -> Result<&'static str> {
    let (name, asked) = wanted.split_once(':').unwrap_or((wanted, default));
    if name == "docker" {
        let rule = "kubelets have none of docker since 1.24 removed dockershim, and no recipe carries it";
        return Err(refused(format!("docker cannot be the engine: {rule}; take containerd")));
    }
    if name != "containerd" {
        return Err(unknown("container engine", name, "containerd"));
    }
    let own = |row: &[&str; 5]| row[0] == "containerd" && row[1] == asked.trim_start_matches('v');
    let Some([_, found, ..]) = rows(FILES).find(own) else {
        let known: Vec<&str> = rows::<5>(FILES).filter(|row| row[0] == "containerd").map(|row| row[1]).collect();
        let mut known = known;
        known.dedup();
        return Err(refused(format!(
            "no checksums are known of containerd {asked}; those of {} are",
            known.join(", ")
        )));
    };
    if numbers(found) < numbers(oldest) {
        let rule = "kubelets since 1.36 ask the engine for its cgroup driver, which containerd 1 cannot tell";
        return Err(refused(format!("Kubernetes {version} needs containerd {oldest} or later, not {found}: {rule}")));
    }
    if numbers(&minor_of(found)) > numbers(newest) {
        let rule = "kubelets before 1.23 speak CRI v1alpha2, which containerd 2.0 dropped";
        return Err(refused(format!("Kubernetes {version} cannot use containerd {found}: {rule}")));
    }
    Ok(found)
}

fn sum(name: &str, version: &str, arch: &str) -> Result<String> {
    let fits = |row: &[&str; 5]| row[0] == name && row[1] == version && (row[2] == arch || row[2] == "any");
    let row = rows(FILES).find(fits);
    row.map(|row| row[3].to_owned())
        .ok_or_else(|| refused(format!("no checksum is known of {name} {version} for {arch}")))
}

/// The rows of a table that have this many words.
fn rows<const WORDS: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; WORDS]> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().collect::<Vec<_>>().try_into().ok())
}

fn minor_of(version: &str) -> String {
    version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|number| number.parse().unwrap_or(0)).collect()
}

fn filled(template: &str, values: &BTreeMap<&'static str, String>) -> String {
    let fill = |text: String, (word, value): (&&str, &String)| text.replace(&format!("@{word}@"), value);
    values.iter().fold(template.to_owned(), fill)
}

fn refused(reason: String) -> Error {
    Error::BaseImage { reason }
}

fn unknown(what: &str, name: &str, known: &str) -> Error {
    refused(format!("`{name}` is no {what} that a base image can have; there are {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(version: &str) -> BaseImageOptions {
        BaseImageOptions {
            version: Some(version.to_owned()),
            arch: "amd64".to_owned(),
            engine: "containerd".to_owned(),
            cni: "flannel".to_owned(),
            cgroup_driver: "systemd".to_owned(),
        }
    }

    #[test]
    fn tables_are_whole() {
        for (table, words) in [(VERSIONS, 9), (MINORS, 7), (FILES, 5)] {
            let lines = table.lines().filter(|line| !line.starts_with('#'));
            assert!(lines.clone().count() > 10);
            for line in lines {
                assert_eq!(line.split_whitespace().count(), words, "{line}");
                let sums = line.split_whitespace().filter(|word| word.len() == 64);
                assert!(sums.clone().all(|sum| sum.bytes().all(|digit| digit.is_ascii_hexdigit())), "{line}");
                assert_eq!(sums.count(), [3, 0, 1][[9, 7, 5].iter().position(|one| *one == words).unwrap()], "{line}");
            }
        }
    }

    #[test]
    fn every_minor_gives_a_kubefile_without_gaps() {
        let all = base_image_versions();
        assert_eq!((all.len(), all[0].minor.as_str(), all[16].minor.as_str()), (17, "1.20", "1.36"));
        for minor in &all {
            assert_eq!(minor.architectures, ["amd64", "arm64"]);
            for version in minor.versions.iter().skip(minor.versions.len() - 1) {
                for arch in ["amd64", "arm64"] {
                    for cni in ["flannel", "calico", "none"] {
                        let options =
                            BaseImageOptions { arch: arch.to_owned(), cni: cni.to_owned(), ..options(version) };
                        if cni == "calico" && minor.calico == "none" {
                            assert!(values(&options).is_err());
                            continue;
                        }
                        let (values, _) = values(&options).unwrap();
                        for (name, template) in CONTEXT.iter().filter(|(name, _)| !name.starts_with("scripts")) {
                            let text = filled(template, &values);
                            let gap = text.split('@').nth(1).filter(|word| word.len() < 20 && !word.contains(' '));
                            assert!(gap.is_none() || *name == "etc/containerd-config.toml", "{name}: {gap:?}");
                        }
                        kubefile::parse(&filled(CONTEXT[12].1, &values)).unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_had_is_refused_with_the_rule() {
        let refusal = |options: BaseImageOptions| values(&options).unwrap_err().to_string();
        let of = |version: &str, engine: &str| BaseImageOptions { engine: engine.to_owned(), ..options(version) };
        let cases = [
            (options("v1.20.99"), "no checksums are known of Kubernetes 1.20.99; the newest 1.20"),
            (options("1.19.3"), "1.20 to 1.36 are known"),
            (options("../../etc"), "1.20 to 1.36 are known"),
            (BaseImageOptions { arch: "riscv64".into(), ..options("1.31") }, "for riscv64; there are some for amd64"),
            (of("1.24", "docker"), "removed dockershim"),
            (of("1.22", "containerd:2.2.7"), "speak CRI v1alpha2"),
            (of("1.36", "containerd:1.7.34"), "needs containerd 2.0 or later"),
            (of("1.31", "containerd:1.7.1"), "no checksums are known of containerd 1.7.1; those of 1.7.34, 2.1.9"),
            (of("1.31", "crio"), "`crio` is no container engine"),
            (BaseImageOptions { cni: "calico".into(), ..options("1.21") }, "take flannel"),
            (BaseImageOptions { cni: "weave".into(), ..options("1.31") }, "`weave` is no network plugin"),
            (BaseImageOptions { cgroup_driver: "v2".into(), ..options("1.31") }, "`v2` is no cgroup driver"),
        ];
        for (options, expected) in cases {
            let message = refusal(options);
            assert!(message.contains(expected), "{message}");
        }
        assert_eq!(values(&options("1.31")).unwrap().1.version, "v1.31.14");
        assert_eq!(values(&of("1.31", "containerd:1.7.34")).unwrap().1.containerd, "1.7.34");
    }
}
