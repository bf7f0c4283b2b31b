//! Ranges of Kubernetes versions, as KUBEVERSION writes them.

use std::fmt;
use std::str::FromStr;

/// A range is never longer than this, in bytes.
const LIMIT: usize = 256;

/// The versions of Kubernetes that an application supports.
///
/// Comparisons (`>=1.20`, `!=1.21.3`, `~1.20`, `^1.20`, `1.20.x`, `1.19 - 1.21`) are joined by blanks or commas when all
/// of them must hold, and by `||` where one is enough. A version without an operator is that version, with all that
/// follows it when parts are left out. What follows the third number of a version, such as `-aliyun.1`, does not count.
///
/// ```
/// let range: cloudimage::KubeRange = ">=1.20, <1.24 || 1.26".parse()?;
/// assert!(range.contains("v1.20.2") && range.contains("1.26.3") && !range.contains("v1.24.0"));
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeRange {
    text: String,
    /// One of them must hold, each a list of intervals that all hold.
    alternatives: Vec<Vec<Interval>>,
}

type Version = [u64; 3];

/// Versions from the first (included) to the second (excluded), or all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interval {
    from: Version,
    to: Version,
    outside: bool,
}

const END: Version = [u64::MAX; 3];

impl KubeRange {
    /// Whether a version such as `v1.20.2` is in the range; what is no version is not.
    #[must_use]
    pub fn contains(&self, version: &str) -> bool {
        let Some((numbers, _)) = numbers(version) else { return false };
        let version = lowest(&numbers);
        let holds = |interval: &Interval| (interval.from <= version && version < interval.to) != interval.outside;
        self.alternatives.iter().any(|all| all.iter().all(holds))
    }
}

impl fmt::Display for KubeRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for KubeRange {
    /// What is wrong with it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > LIMIT {
            return Err(format!("it is longer than {LIMIT} bytes"));
        }
        let alternatives = text.split("||").map(comparisons).collect::<Result<_, _>>()?;
        Ok(Self { text: text.trim().to_owned(), alternatives })
    }
}

fn comparisons(text: &str) -> Result<Vec<Interval>, String> {
    if let Some((first, last)) = text.split_once(" - ") {
        let (first, last) = (interval("", first.trim())?, interval("", last.trim())?);
        return Ok(vec![Interval { from: first.from, to: last.to, outside: false }]);
    }
    let is_operator = |character: char| "<>=!~^".contains(character);
    let words: Vec<&str> = text.split([' ', ',', '\t']).filter(|word| !word.is_empty()).collect();
    let (mut found, mut before) = (Vec::new(), "");
    for word in words {
        let version = word.trim_start_matches(is_operator);
        let operator = &word[..word.len() - version.len()];
        match (before, version) {
            ("", "") => before = operator,
            ("", _) => found.push(interval(operator, version)?),
            (operator, _) => {
                found.push(interval(std::mem::take(&mut before), word).map_err(|_| operator.to_owned() + word)?)
            }
        }
    }
    if found.is_empty() || !before.is_empty() { Err("a version is missing".to_owned()) } else { Ok(found) }
}

fn interval(operator: &str, text: &str) -> Result<Interval, String> {
    let (numbers, _) = numbers(text).ok_or_else(|| format!("`{text}` is no version such as 1.20 or 1.20.x"))?;
    let (from, after) = (lowest(&numbers), after(&numbers));
    let between = |from, to| Ok(Interval { from, to, outside: false });
    match operator {
        "" | "=" | "==" => between(from, after),
        "!=" => Ok(Interval { from, to: after, outside: true }),
        ">" => between(after, END),
        ">=" | "=>" => between(from, END),
        "<" => between([0; 3], from),
        "<=" | "=<" => between([0; 3], after),
        // Of a whole version the last number may grow.
        "~" | "~>" => between(from, self::after(&numbers[..numbers.len().min(2)])),
        "^" => between(from, self::after(&numbers[..numbers.len().min(1)])),
        other => Err(format!("`{other}` is no comparison: use =, !=, >, >=, <, <=, ~ or ^")),
    }
}

/// One to three numbers of a version (none for `*`), and what follows them.
fn numbers(text: &str) -> Option<(Vec<u64>, &str)> {
    let text = text.trim();
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (version, rest) = text.split_at(end);
    let mut numbers = Vec::new();
    for (index, part) in version.split('.').enumerate() {
        if index >= 3 {
            return None;
        }
        if matches!(part, "x" | "X" | "*") {
            return Some((numbers, rest));
        }
        numbers.push(part.parse().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()))?);
    }
    Some((numbers, rest))
}

fn lowest(numbers: &[u64]) -> Version {
    std::array::from_fn(|index| numbers.get(index).copied().unwrap_or(0))
}

/// The lowest version after all that begin with these numbers.
fn after(numbers: &[u64]) -> Version {
    let Some(last) = numbers.len().checked_sub(1) else { return END };
    let mut version = lowest(numbers);
    version[last] = version[last].saturating_add(1);
    version
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn contains(range: &str, version: &str) -> bool {
        range.parse::<KubeRange>().unwrap().contains(version)
    }

    #[test]
    fn versions_are_compared_by_number() {
        for (range, inside, outside) in [
            (">=1.20", "v1.100.0", "v1.19.16"),
            (">1.20", "1.21.0", "1.20.9"),
            ("> 1.19.1, < 1.24", "1.23.17", "1.24.0"),
            ("<=1.22", "v1.22.9", "v1.23.0"),
            ("1.20", "1.20.15", "1.21.0"),
            ("=1.20.2", "v1.20.2-aliyun.1", "v1.20.3"),
            ("1.20.x", "1.20.0", "1.2.0"),
            ("!=1.21", "1.22.0", "1.21.4"),
            ("~1.20.3", "1.20.9", "1.21.0"),
            ("~1.20", "1.20.0", "1.21.0"),
            ("^1.20", "1.99.1", "2.0.0"),
            ("1.18 - 1.20", "1.20.7", "1.21.0"),
            ("<1.18 || >=1.20 !=1.20.3", "1.20.4", "1.20.3"),
            ("*", "1.0.0", "next"),
        ] {
            assert!(contains(range, inside), "{range} {inside}");
            assert!(!contains(range, outside), "{range} {outside}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", ">=", "1.20,,>", "one", "1.2.3.4", "=!1.2", "1.+2", "1.20 ||", "-1", "1..2"] {
            assert!(text.parse::<KubeRange>().is_err(), "{text}");
        }
        assert!("1.20 ".repeat(100).parse::<KubeRange>().is_err());
    }
}
