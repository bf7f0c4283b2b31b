//! Records what APP, APPCMDS, APPENV, LAUNCH, CMD and their like declare.

use std::path::Path;

use kubefile::{Keyword, ResolvedSource, ResolvedTransfer};

use super::draft::Draft;
use crate::error::{Error, Result};
use crate::extension::{APPLICATIONS, Application, ImageKind};
use crate::format;
use crate::kube_range::KubeRange;
use crate::layer::listing::{Listed, Merged};

/// The COPY that brings an application's files into the rootfs.
pub(super) fn transfer(name: &str, sources: &[ResolvedSource], line: usize) -> Result<ResolvedTransfer> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(Error::Application {
            line,
            reason: format!("`{name}` cannot be the name of an application: it names a directory"),
        });
    }
    Ok(ResolvedTransfer {
        sources: sources.to_vec(),
        destination: format!("{APPLICATIONS}/{name}/"),
        chown: None,
        chmod: None,
        checksum: None,
    })
}

/// Records an application whose files are in the rootfs; its kind is told from them, as upstream does.
pub(super) fn declare(draft: &mut Draft, declared_by: Keyword, name: &str, line: usize) -> Result<()> {
    let differs_in_case = |known: &&Application| known.name != name && known.name.eq_ignore_ascii_case(name);
    if let Some(known) = draft.extension.applications.iter().find(differs_in_case) {
        let reason = format!("the applications {} and {name} differ only in upper and lower case", known.name);
        return Err(Error::Application { line, reason });
    }
    let (kind, files) = kind_of(&draft.rootfs.merged, name);
    let mut application = draft.extension.application(name).cloned().unwrap_or_default();
    name.clone_into(&mut application.name);
    kind.clone_into(&mut application.kind);
    application.files = files;
    "v1".clone_into(&mut application.version);
    draft.extension.put(application);
    let prefix = match declared_by {
        Keyword::Cni => format::CNI_LABEL_PREFIX,
        Keyword::Csi => format::CSI_LABEL_PREFIX,
        _ => return Ok(()),
    };
    draft.labels.insert(format!("{prefix}{name}"), "true".to_owned());
    Ok(())
}

/// `helm` for a chart, `kube` for nothing but YAML, `shell` for nothing but scripts, else empty; and the files to launch.
fn kind_of(merged: &Merged, name: &str) -> (&'static str, Vec<String>) {
    let directory = Path::new(APPLICATIONS).join(name);
    let below = merged.iter().filter_map(|(path, listed)| Some((path.strip_prefix(&directory).ok()?, listed)));
    let files: Vec<String> =
        below.filter(|(_, listed)| **listed == Listed::File).map(|(path, _)| path.display().to_string()).collect();
    let all = |endings: &[&str]| {
        !files.is_empty() && files.iter().all(|file| endings.iter().any(|ending| file.ends_with(ending)))
    };
    if files.iter().any(|file| file == "Chart.yaml") {
        ("helm", Vec::new())
    } else if all(&[".yaml", ".yml"]) {
        ("kube", files)
    } else if all(&[".sh"]) {
        ("shell", files)
    } else {
        ("", Vec::new())
    }
}

/// Changes an application that is declared here or in the base.
pub(super) fn change(draft: &mut Draft, name: &str, line: usize, change: impl FnOnce(&mut Application)) -> Result<()> {
    let unknown = || Error::Application {
        line,
        reason: format!("there is no application {name}, neither here nor in the base image; declare it with APP"),
    };
    let mut application = draft.extension.application(name).cloned().ok_or_else(unknown)?;
    change(&mut application);
    draft.extension.put(application);
    Ok(())
}

/// Records which applications are launched, after those of the base.
pub(super) fn launch(draft: &mut Draft, names: &[String], line: usize) -> Result<()> {
    draft.launch_line = line;
    for name in names {
        change(draft, name, line, |_| {})?;
        let launched = &mut draft.extension.launch.app_names;
        launched.retain(|known| known != name);
        launched.push(name.clone());
    }
    Ok(())
}

/// Records which versions of Kubernetes the applications support.
pub(super) fn kube_version(draft: &mut Draft, range: &str, line: usize) -> Result<()> {
    let refused = |reason| Error::Application { line, reason: format!("KUBEVERSION {range}: {reason}") };
    let range: KubeRange = range.parse().map_err(refused)?;
    draft.labels.insert(format::KUBE_VERSION_LABEL.to_owned(), range.to_string());
    Ok(())
}

/// What can be checked only when all instructions are done: every launched application can be launched.
pub(super) fn check(draft: &Draft) -> Result<()> {
    for name in &draft.extension.launch.app_names {
        if draft.extension.application(name).is_some_and(|application| application.commands().is_empty()) {
            let reason = format!(
                "nothing says how the application {name} is launched: it is no chart, not only YAML and not only scripts; give its commands with APPCMDS"
            );
            return Err(Error::Application { line: draft.launch_line, reason });
        }
    }
    Ok(())
}

/// Files by which an image brings a cluster.
const BINARIES: [&str; 4] = ["bin/kubeadm", "bin/kubelet", "bin/k0s", "bin/k3s"];

/// Whether the image brings a cluster: it has Kubernetes binaries in its rootfs. What the caller takes it to be must be so.
pub(super) fn kind(draft: &Draft, asked: Option<ImageKind>) -> Result<ImageKind> {
    let binary = BINARIES.iter().find(|path| draft.rootfs.merged.get(Path::new(path)).is_some());
    let kind = if binary.is_some() { ImageKind::KubeInstaller } else { ImageKind::AppInstaller };
    match (asked, binary) {
        (Some(asked), _) if asked == kind => Ok(kind),
        (Some(_), Some(path)) => Err(Error::ImageKind {
            asked: "app-installer",
            reason: format!("its rootfs has {path}: leave out --type, or build it FROM scratch without Kubernetes"),
        }),
        (Some(_), None) => Err(Error::ImageKind {
            asked: "kube-installer",
            reason: format!(
                "its rootfs has none of {}: build it FROM an image that brings a cluster",
                BINARIES.join(", ")
            ),
        }),
        (None, _) => Ok(kind),
    }
}
