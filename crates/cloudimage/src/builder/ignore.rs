//! Applies `.sealerignore` to the files of the context.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

use crate::error::{Error, Result};
use crate::layer::scan::Filter;

/// Name of the file, in the root of the context.
const FILE: &str = ".sealerignore";
/// The name that upstream gives to a list of images with logins: what holds passwords is never part of an image.
const IMAGE_LOGINS: &str = "imageListWithAuth.yaml";
/// Largest `.sealerignore`, in bytes.
const LIMIT: u64 = 1 << 20;

/// The patterns of a `.sealerignore`: one a line, `#` comments, `!` brings back, the last match counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ignore {
    rules: Arc<[Rule]>,
}

#[derive(Debug)]
struct Rule {
    pattern: String,
    matcher: GlobMatcher,
    brings_back: bool,
}

impl Ignore {
    /// Reads the file in `context`; without one, nothing is left out but the file itself.
    pub(crate) fn read(context: &Path) -> Result<Self> {
        let path = context.join(FILE);
        Self::parse(&atomic_file::read_text(&path, LIMIT).map_err(Error::file("read", &path))?.unwrap_or_default())
    }

    fn parse(text: &str) -> Result<Self> {
        let mut rules = vec![Rule { pattern: FILE.to_owned(), matcher: matcher(FILE, 0)?, brings_back: false }];
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (pattern, brings_back) = line.strip_prefix('!').map_or((line, false), |rest| (rest.trim(), true));
            let pattern = clean(pattern);
            if !pattern.is_empty() {
                let matcher = matcher(&pattern, at + 1)?;
                rules.push(Rule { pattern, matcher, brings_back });
            }
        }
        // Last, so that no pattern brings it back.
        let pattern = IMAGE_LOGINS.to_owned();
        rules.push(Rule { matcher: matcher(&pattern, 0)?, pattern, brings_back: false });
        Ok(Self { rules: rules.into() })
    }

    /// The same that also leaves out this path of the context, whatever else is said of it.
    pub(crate) fn without(&self, path: &Path) -> Result<Self> {
        let pattern = globset::escape(&path.to_string_lossy());
        let hidden = Rule { matcher: matcher(&pattern, 0)?, pattern, brings_back: false };
        let kept = self.rules.iter().map(|rule| Rule {
            pattern: rule.pattern.clone(),
            matcher: rule.matcher.clone(),
            brings_back: rule.brings_back,
        });
        Ok(Self { rules: kept.chain([hidden]).collect() })
    }

    /// Whether a path, relative to the context, is left out: by its own name or by that of a directory above it.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        let mut ignored = false;
        for rule in self.rules.iter() {
            let matches = || path.ancestors().any(|path| !path.as_os_str().is_empty() && rule.matcher.is_match(path));
            if rule.brings_back == ignored && matches() {
                ignored = !ignored;
            }
        }
        ignored
    }

    /// Whether anything below a directory may be wanted; if not, it is not even opened.
    pub(crate) fn enters(&self, directory: &Path) -> bool {
        // A name that nobody gives stands for all names.
        !self.matches(&directory.join("\u{1}"))
            || self.rules.iter().any(|rule| rule.brings_back && rule.may_match_below(directory))
    }
}

impl Filter for Ignore {
    fn leaves_out(&self, path: &Path) -> bool {
        self.matches(path)
    }

    fn enters(&self, directory: &Path) -> bool {
        Self::enters(self, directory)
    }
}

impl Rule {
    /// Whether the pattern may match something below a directory; a pattern that is hard to tell may.
    fn may_match_below(&self, directory: &Path) -> bool {
        let mut parts = self.pattern.split('/');
        if self.pattern.contains(['{', '[', '\\']) {
            return true;
        }
        for name in directory {
            match parts.next() {
                Some(part) if part.contains("**") => return true,
                Some(part) if glob(part).is_ok_and(|glob| glob.is_match(name)) => {}
                _ => return false,
            }
        }
        parts.next().is_some()
    }
}

fn matcher(pattern: &str, line: usize) -> Result<GlobMatcher> {
    glob(pattern).map_err(|error| Error::Pattern {
        line,
        pattern: format!("{FILE}: {pattern}"),
        reason: error.kind().to_string(),
    })
}

/// A pattern in which `*` and `?` stop at `/` and `**` does not.
pub(super) fn glob(pattern: &str) -> std::result::Result<GlobMatcher, globset::Error> {
    Ok(GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build()?.compile_matcher())
}

/// The pattern without `./`, `/` at its ends, and `..`.
fn clean(pattern: &str) -> String {
    let mut clean = PathBuf::new();
    for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            clean.pop();
        } else {
            clean.push(part);
        }
    }
    clean.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_last_matching_pattern_counts() {
        let ignore = Ignore::parse("# comment\n\n*.md\n!README.md\n/target/\nsub/*/tmp\n**/*.log\n").unwrap();
        let ignored = |path: &str| ignore.matches(Path::new(path));
        for path in
            ["NOTES.md", "target", "target/debug/x", "sub/a/tmp", "sub/a/tmp/x", "a/b/c.log", "x.log", ".sealerignore"]
        {
            assert!(ignored(path), "{path}");
        }
        for path in ["README.md", "doc/NOTES.md", "sub/tmp", "sub/a/b/tmp", "targets", "a/target"] {
            assert!(!ignored(path), "{path}");
        }
    }

    #[test]
    fn an_exception_brings_back_what_is_below_an_ignored_directory() {
        let ignore = Ignore::parse("docs\n!docs/keep").unwrap();
        assert!(ignore.matches(Path::new("docs/other")));
        assert!(!ignore.matches(Path::new("docs/keep/this")));
    }

    #[test]
    fn what_is_left_out_as_a_whole_is_not_entered() {
        let enters = |rules: &str, path: &str| Ignore::parse(rules).unwrap().enters(Path::new(path));
        for rules in ["locked", "*\n!ok", "locked/**", "locked/*", "*\n!other/locked/x", "**\n!l/x", "locked\n!*.md"] {
            assert!(!enters(rules, "locked"), "{rules}");
        }
        for rules in ["", "other", "locked\n!locked/x", "*\n!**/x", "locked\n!*/x/y", "locked/*.md", "*\n!locked"] {
            assert!(enters(rules, "locked"), "{rules}");
        }
        assert!(!enters("a\n!a/b", "a/c") && enters("a\n!a/b", "a/b"));
    }

    #[test]
    fn a_mark_at_the_beginning_belongs_to_no_pattern() {
        let context = tempfile::tempdir().unwrap();
        std::fs::write(context.path().join(FILE), "\u{feff}secret\n").unwrap();
        assert!(Ignore::read(context.path()).unwrap().matches(Path::new("secret")));
    }

    #[test]
    fn a_malformed_pattern_is_named() {
        let error = Ignore::parse("ok\n[a").unwrap_err();
        assert!(error.to_string().contains("line 2") && error.to_string().contains("[a"), "{error}");
    }
}
