//! Matches COPY sources against the files of the context.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::ignore::glob;
use super::options::Context;
use crate::error::{Error, Result};

/// A file or directory of the context that a source names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Path relative to the context, as the source spells it.
    pub(super) relative: PathBuf,
    /// Where it is, links resolved.
    pub(super) path: PathBuf,
}

/// The files that `pattern` (Kubefile line `line`) names, sorted; at least one. Links named directly are followed, but
/// not out of the context.
pub(super) fn find(context: &Context, pattern: &str, line: usize) -> Result<Vec<Found>> {
    let names = names(pattern).ok_or_else(|| Error::SourceEscapes {
        line,
        pattern: pattern.to_owned(),
        target: context.directory().join(pattern),
    })?;
    let mut candidates = vec![PathBuf::new()];
    for name in &names {
        candidates = step(context, candidates, name, pattern, line)?;
    }
    let missing = || Error::MissingSource {
        line,
        pattern: pattern.to_owned(),
        context: context.directory().to_owned(),
        suggestion: suggest(context, &names),
    };
    let existing: Vec<PathBuf> =
        candidates.into_iter().filter(|path| context.directory().join(path).symlink_metadata().is_ok()).collect();
    if existing.is_empty() {
        return Err(missing());
    }
    let is_pattern = names.iter().any(|name| has_wildcard(name));
    let mut found = Vec::new();
    for relative in existing {
        // A directory may be left out and yet have children that are brought back.
        let whole = context.directory().join(&relative);
        if context.ignore.matches(&relative) && !(whole.is_dir() && context.ignore.enters(&relative)) {
            continue;
        }
        let path = whole.canonicalize().map_err(|source| match fs::read_link(&whole) {
            Ok(target) if source.kind() == std::io::ErrorKind::NotFound => {
                Error::DanglingLink { line, pattern: relative.display().to_string(), target }
            }
            _ => Error::File { act: "follow", path: whole.clone(), source },
        })?;
        if !path.starts_with(context.directory()) {
            return Err(Error::SourceEscapes { line, pattern: pattern.to_owned(), target: path });
        }
        found.push(Found { relative, path });
    }
    if found.is_empty() && !is_pattern {
        return Err(Error::IgnoredSource { line, pattern: pattern.to_owned() });
    }
    if found.is_empty() {
        return Err(missing());
    }
    found.sort_by(|one, other| one.relative.cmp(&other.relative));
    Ok(found)
}

/// The names of a path below the context; `None` when it climbs out.
fn names(pattern: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for component in Path::new(pattern).components() {
        match component {
            Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => drop(names.pop()?),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Some(names)
}

fn has_wildcard(name: &str) -> bool {
    name.contains(['*', '?', '[', '\\', '{'])
}

/// Appends one name or pattern to each candidate. A name that exists as written is no pattern.
fn step(context: &Context, candidates: Vec<PathBuf>, name: &str, pattern: &str, line: usize) -> Result<Vec<PathBuf>> {
    if !has_wildcard(name) {
        return Ok(candidates.into_iter().map(|path| path.join(name)).collect());
    }
    let fault =
        |error: globset::Error| Error::Pattern { line, pattern: pattern.to_owned(), reason: error.kind().to_string() };
    let matcher = glob(name).map_err(fault)?;
    let mut matching = Vec::new();
    for candidate in candidates {
        let directory = context.directory().join(&candidate);
        let inside = directory.canonicalize().is_ok_and(|path| path.starts_with(context.directory()));
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        if !inside {
            continue;
        }
        for entry in entries {
            let file_name = entry.map_err(Error::file("read the directory", &directory))?.file_name();
            if matcher.is_match(&file_name) || file_name.to_str() == Some(name) {
                matching.push(candidate.join(file_name));
            }
        }
    }
    Ok(matching)
}

/// A path in the context that differs little from the missing one: in its last existing directory, or by its file name.
fn suggest(context: &Context, names: &[String]) -> Option<String> {
    let mut directory = PathBuf::new();
    for name in names {
        if context.directory().join(&directory).join(name).exists() {
            directory.push(name);
            continue;
        }
        let entries = fs::read_dir(context.directory().join(&directory)).ok()?;
        let near = entries.flatten().take(10_000).filter_map(|entry| entry.file_name().into_string().ok());
        let wanted = folded(name);
        let near =
            near.map(|entry| (strsim::levenshtein(&wanted, &folded(&entry)), entry)).filter(|(distance, entry)| {
                let shorter = entry.len().min(name.len());
                entry != name && *distance <= 1 + shorter / 4 && *distance < shorter
            });
        let (_, nearest) = near.min()?;
        return Some(directory.join(nearest).display().to_string());
    }
    None
}

/// A name as it is compared: letter case does not count, and no file name is longer.
fn folded(name: &str) -> String {
    name.to_lowercase().chars().take(256).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn context(files: &[&str]) -> (tempfile::TempDir, Context) {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        let context = Context::open(directory.path()).unwrap();
        (directory, context)
    }

    fn found(context: &Context, pattern: &str) -> Vec<String> {
        find(context, pattern, 3).unwrap().iter().map(|found| found.relative.display().to_string()).collect()
    }

    #[test]
    fn names_wildcards_and_directories_are_found_sorted() {
        let (_directory, context) = context(&["b.yaml", "a.yaml", "d/c.yaml", "d/e/f.yaml", "[x]"]);
        assert_eq!(found(&context, "*.yaml"), ["a.yaml", "b.yaml"]);
        assert_eq!(found(&context, "/./d/../a.yaml"), ["a.yaml"]);
        assert_eq!(found(&context, "*/c.y?ml"), ["d/c.yaml"]);
        assert_eq!(found(&context, "."), [""]);
        assert_eq!(found(&context, "[x]"), ["[x]"]);
    }

    #[test]
    fn a_missing_source_is_named_with_what_is_near() {
        let (_directory, context) = context(&["manifests/redis.yaml"]);
        let message = |pattern: &str| find(&context, pattern, 3).unwrap_err().to_string();
        assert!(
            message("manifest").contains("line 3: there is no manifest in the build context"),
            "{}",
            message("manifest")
        );
        assert!(message("manifest").ends_with("did you mean manifests?"));
        assert!(message("manifests/Redis.yml").ends_with("did you mean manifests/redis.yaml?"));
        assert!(!message("something-else").contains("did you mean"));
        assert!(message("*.txt").contains("*.txt"));
    }

    #[test]
    fn short_names_are_no_typos_of_each_other_and_dangling_links_are_named() {
        let (directory, context) = context(&["a"]);
        std::os::unix::fs::symlink("gone", directory.path().join("dang")).unwrap();
        let message = |pattern: &str| find(&context, pattern, 3).unwrap_err().to_string();
        assert!(!message("b").contains("did you mean"), "{}", message("b"));
        assert_eq!(message("dang"), "line 3: dang is a link to gone, which is not there");
        assert_eq!(message("dan*"), "line 3: dang is a link to gone, which is not there");
        assert!(message("dung").ends_with("did you mean dang?"));
    }

    #[test]
    fn nothing_outside_the_context_is_found() {
        let (directory, context) = context(&["sub/x"]);
        for pattern in ["../x", "sub/../../x", ".."] {
            assert!(matches!(find(&context, pattern, 1), Err(Error::SourceEscapes { .. })), "{pattern}");
        }
        std::os::unix::fs::symlink("/etc/passwd", directory.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/etc", directory.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("sub/x", directory.path().join("inside")).unwrap();
        for pattern in ["link", "etc/passwd", "lin*", "etc"] {
            assert!(matches!(find(&context, pattern, 1), Err(Error::SourceEscapes { .. })), "{pattern}");
        }
        assert!(matches!(find(&context, "etc/pass*", 1), Err(Error::MissingSource { .. })));
        assert_eq!(found(&context, "inside"), ["inside"]);
    }
}
