//! Applies `.sealerignore` to the files of the context.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

use crate::error::{Error, Result};

/// Name of the file, in the root of the context.
const FILE: &str = ".sealerignore";
/// Largest `.sealerignore`, in bytes.
const LIMIT: u64 = 1 << 20;

/// The patterns of a `.sealerignore`: one a line, `#` comments, `!` brings back, the last match counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ignore {
    rules: Arc<[Rule]>,
}

#[derive(Debug)]
struct Rule {
    matcher: GlobMatcher,
    brings_back: bool,
}

impl Ignore {
    /// Reads the file in `context`; without one, nothing is left out but the file itself.
    pub(crate) fn read(context: &Path) -> Result<Self> {
        let path = context.join(FILE);
        match path.metadata() {
            Ok(metadata) if metadata.len() > LIMIT => Err(Error::Pattern {
                line: 1,
                pattern: FILE.to_owned(),
                reason: format!("it is longer than {LIMIT} bytes"),
            }),
            Ok(_) => Self::parse(&std::fs::read_to_string(&path).map_err(Error::file("read", &path))?),
            Err(_) => Ok(Self::default()),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let mut rules = vec![Rule { matcher: matcher(FILE, 0)?, brings_back: false }];
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (pattern, brings_back) = line.strip_prefix('!').map_or((line, false), |rest| (rest.trim(), true));
            let pattern = clean(pattern);
            if !pattern.is_empty() {
                rules.push(Rule { matcher: matcher(&pattern, at + 1)?, brings_back });
            }
        }
        Ok(Self { rules: rules.into() })
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
    fn a_malformed_pattern_is_named() {
        let error = Ignore::parse("ok\n[a").unwrap_err();
        assert!(error.to_string().contains("line 2") && error.to_string().contains("[a"), "{error}");
    }
}
