//! The names of instructions, and suggestions for unknown ones.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// An instruction's name.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "UPPERCASE", ascii_case_insensitive)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is the instruction of that name")]
pub enum Keyword {
    From,
    Copy,
    Add,
    Run,
    Cmd,
    Cmds,
    Arg,
    Env,
    Label,
    Maintainer,
    App,
    AppCmds,
    AppEnv,
    Launch,
    Cni,
    Csi,
    KubeVersion,
}

impl Keyword {
    /// Every name, in the order of the reference.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name in capital letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The keyword of this name in any letter case.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// The keyword that is closest to a name that is none, when it is close enough to be a typo.
    pub(crate) fn closest(name: &str) -> Option<Self> {
        closest(name, Self::ALL.iter().map(|keyword| keyword.as_str())).and_then(Self::find)
    }

    /// Whether here-document markers on its line mean here-documents.
    pub(crate) fn takes_heredocs(self) -> bool {
        matches!(self, Self::Copy | Self::Add | Self::Run | Self::Cmd)
    }

    /// Whether it declares an app.
    pub(crate) fn declares_app(self) -> bool {
        matches!(self, Self::App | Self::Cni | Self::Csi)
    }
}

/// What to use instead of a Dockerfile instruction that has no meaning in a cluster image.
pub(crate) fn dockerfile_only(name: &str) -> Option<&'static str> {
    const HINTS: [(&str, &str); 9] = [
        ("ENTRYPOINT", "use CMD for what runs once the cluster is up"),
        ("EXPOSE", "expose ports with a Kubernetes Service in a manifest"),
        ("HEALTHCHECK", "describe probes in the manifests of the application"),
        ("ONBUILD", "write the instructions into the image that is built FROM this one"),
        ("SHELL", "start another shell inside RUN, as in `RUN bash -c '…'`"),
        ("STOPSIGNAL", "describe termination in the manifests of the application"),
        ("USER", "use `--chown` with COPY to set the owner of files"),
        ("VOLUME", "describe volumes in the manifests of the application"),
        ("WORKDIR", "every RUN starts in the root of the image; use `cd` inside RUN"),
    ];
    HINTS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, hint)| hint)
}

/// The candidate closest to `name`, when it is close enough to be a typo. Letter case does not count.
pub(crate) fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_COMPARED {
        return None;
    }
    let (name, length) = (name.to_ascii_uppercase(), name.chars().count());
    let allowed = length.div_ceil(3).min(3);
    let near =
        |candidate: &&str| candidate.len() <= MAX_COMPARED && candidate.chars().count().abs_diff(length) <= allowed;
    candidates
        .into_iter()
        .filter(near)
        .map(|candidate| (strsim::osa_distance(&name, &candidate.to_ascii_uppercase()), candidate))
        .filter(|&(distance, candidate)| distance <= allowed && distance < candidate.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Longer names are not compared: the cost grows with the square.
const MAX_COMPARED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let names = || Keyword::ALL.iter().map(|keyword| keyword.as_str());
        assert_eq!(closest("COPPY", names()), Some("COPY"));
        assert_eq!(closest("form", names()), Some("FROM"));
        assert_eq!(closest("LUANCH", names()), Some("LAUNCH"));
        assert_eq!(closest("APPCMD", names()), Some("APPCMDS"));
        assert_eq!(closest("XYZ", names()), None);
        assert_eq!(closest("", names()), None);
        assert_eq!(closest(&"x".repeat(100_000), names()), None);
    }
}
