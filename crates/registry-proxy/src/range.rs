//! Parses ranges and conditions of a blob request. Text in, value out.

use http::HeaderMap;
use http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};

/// The part to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything, with status 200.
    Whole,
    /// The bytes from `start` up to, not including, `end`, with status 206.
    Range { start: u64, end: u64 },
    /// Nothing: the range lies past the end, status 416.
    Unsatisfiable,
}

/// The part of `size` bytes that the headers ask for. Several ranges, other units and what is not understood mean everything, as HTTP allows.
pub(crate) fn part(headers: &HeaderMap, etag: &str, size: u64) -> Part {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    if headers.contains_key(IF_RANGE) && text(IF_RANGE) != Some(etag) {
        return Part::Whole;
    }
    text(RANGE).and_then(|range| parse(range, size)).unwrap_or(Part::Whole)
}

/// Whether the client names the etag as one that it has.
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(',')).any(
        |known| {
            let known = known.trim();
            known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag
        },
    )
}

fn parse(range: &str, size: u64) -> Option<Part> {
    let (first, last) = range.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let (first, last) = (first.trim(), last.trim());
    let (start, end) = match (number(first), number(last)) {
        // One that ends before it starts holds nothing: 416, as the distribution specification's own tests want it.
        (Some(start), Some(last)) => (start, last.saturating_add(1).min(size)),
        (Some(start), None) if last.is_empty() => (start, size),
        (None, Some(count)) if first.is_empty() => (size.saturating_sub(count), size),
        _ => return None,
    };
    Some(if start < end { Part::Range { start, end } } else { Part::Unsatisfiable })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn single_ranges_are_cut_to_the_size() {
        let range = |start, end| Part::Range { start, end };
        for (text, expected) in [
            ("bytes=0-", range(0, 10)),
            ("bytes=0-0", range(0, 1)),
            ("bytes=3-5", range(3, 6)),
            ("bytes=3-500", range(3, 10)),
            ("bytes=9-", range(9, 10)),
            ("bytes=-3", range(7, 10)),
            ("bytes=-300", range(0, 10)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=5-3", Part::Unsatisfiable),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=+1-", Part::Whole),
            ("lines=0-", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(part(&headers(&[("range", text)]), "\"e\"", 10), expected, "{text}");
        }
        assert_eq!(part(&HeaderMap::new(), "\"e\"", 10), Part::Whole);
        assert_eq!(part(&headers(&[("range", "bytes=0-")]), "\"e\"", 0), Part::Unsatisfiable);
    }

    #[test]
    fn a_range_of_another_version_means_everything() {
        let wanted = |etag| headers(&[("range", "bytes=3-"), ("if-range", etag)]);
        assert_eq!(part(&wanted("\"e\""), "\"e\"", 10), Part::Range { start: 3, end: 10 });
        assert_eq!(part(&wanted("\"other\""), "\"e\"", 10), Part::Whole);
    }

    #[test]
    fn known_etags_are_found_in_lists() {
        for (text, expected) in
            [("\"e\"", true), ("W/\"e\"", true), ("\"a\", \"e\"", true), ("*", true), ("\"a\"", false), ("e", false)]
        {
            assert_eq!(is_known(&headers(&[("if-none-match", text)]), "\"e\""), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_blob(text in "bytes=[0-9,-]{0,30}|\\PC{0,20}", size: u64) {
            if let Some(Part::Range { start, end }) = parse(&text, size) {
                prop_assert!(start < end && end <= size);
            }
        }
    }
}
