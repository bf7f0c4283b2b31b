//! The names of instructions, and suggestions for unknown ones.

use std::fmt;

/// An instruction's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    pub const ALL: [Self; 17] = [
        Self::From,
        Self::Copy,
        Self::Add,
        Self::Run,
        Self::Cmd,
        Self::Cmds,
        Self::Arg,
        Self::Env,
        Self::Label,
        Self::Maintainer,
        Self::App,
        Self::AppCmds,
        Self::AppEnv,
        Self::Launch,
        Self::Cni,
        Self::Csi,
        Self::KubeVersion,
    ];

    /// The name in capital letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::From => "FROM",
            Self::Copy => "COPY",
            Self::Add => "ADD",
            Self::Run => "RUN",
            Self::Cmd => "CMD",
            Self::Cmds => "CMDS",
            Self::Arg => "ARG",
            Self::Env => "ENV",
            Self::Label => "LABEL",
            Self::Maintainer => "MAINTAINER",
            Self::App => "APP",
            Self::AppCmds => "APPCMDS",
            Self::AppEnv => "APPENV",
            Self::Launch => "LAUNCH",
            Self::Cni => "CNI",
            Self::Csi => "CSI",
            Self::KubeVersion => "KUBEVERSION",
        }
    }

    /// The keyword of this name in any letter case.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|keyword| keyword.as_str().eq_ignore_ascii_case(name))
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

impl fmt::Display for Keyword {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
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
    let name: Vec<char> = name.chars().take(MAX_COMPARED + 1).map(|letter| letter.to_ascii_uppercase()).collect();
    if name.len() > MAX_COMPARED {
        return None;
    }
    let allowed = name.len().div_ceil(3).min(3);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let letters: Vec<char> =
                candidate.chars().take(MAX_COMPARED + 1).map(|letter| letter.to_ascii_uppercase()).collect();
            let near = letters.len().abs_diff(name.len()) <= allowed && letters.len() <= MAX_COMPARED;
            near.then(|| (edit_distance(&name, &letters), candidate))
        })
        .filter(|&(distance, candidate)| distance <= allowed && distance < candidate.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Longer names are not compared: the cost grows with the square.
const MAX_COMPARED: usize = 64;

/// Insertions, deletions, replacements and swaps of neighbours that turn one into the other.
fn edit_distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.iter().enumerate() {
        let mut current = vec![i + 1];
        for (j, r) in right.iter().enumerate() {
            let mut cost = (previous[j] + usize::from(l != r)).min(previous[j + 1] + 1).min(current[j] + 1);
            if i > 0 && j > 0 && *l == right[j - 1] && left[i - 1] == *r {
                cost = cost.min(before[j - 1] + 1);
            }
            current.push(cost);
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let names = || Keyword::ALL.into_iter().map(Keyword::as_str);
        assert_eq!(closest("COPPY", names()), Some("COPY"));
        assert_eq!(closest("form", names()), Some("FROM"));
        assert_eq!(closest("LUANCH", names()), Some("LAUNCH"));
        assert_eq!(closest("APPCMD", names()), Some("APPCMDS"));
        assert_eq!(closest("XYZ", names()), None);
        assert_eq!(closest("", names()), None);
        assert_eq!(closest(&"x".repeat(100_000), names()), None);
    }

    #[test]
    fn distance_counts_a_swap_once() {
        let letters = |text: &str| text.chars().collect::<Vec<char>>();
        assert_eq!(edit_distance(&letters("FORM"), &letters("FROM")), 1);
        assert_eq!(edit_distance(&letters("kitten"), &letters("sitting")), 3);
        assert_eq!(edit_distance(&letters(""), &letters("abc")), 3);
    }
}
