//! Suggests the known word that is closest to an unknown one.

/// The candidate closest to `given`, if it is close enough to be a typo: letter case and separators do not count.
#[must_use]
pub fn closest<'c>(given: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if given.len() > 64 {
        return None;
    }
    let limit = match given.chars().count() {
        0 | 1 => return None,
        2..=3 => 1,
        4..=7 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 64 && *candidate != given)
        .map(|candidate| (strsim::osa_distance(&fold(given), &fold(candidate)), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Whether two words differ only by letter case and separators.
pub(crate) fn is_same(left: &str, right: &str) -> bool {
    fold(left) == fold(right)
}

/// Letter case and separators are the most common typos, so they do not count.
fn fold(word: &str) -> String {
    word.chars().filter(|letter| !"-_ ".contains(*letter)).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let fields = ["ipList", "image", "podCIDR", "svcCIDR", "certSANS", "cmd"];
        assert_eq!(closest("iplist", fields), Some("ipList"));
        assert_eq!(closest("ip_list", fields), Some("ipList"));
        assert_eq!(closest("imgae", fields), Some("image"));
        assert_eq!(closest("certSANs", fields), Some("certSANS"));
        assert_eq!(closest("cm", fields), Some("cmd"));
        assert_eq!(closest("replicas", fields), None);
        assert_eq!(closest("", fields), None);
        assert_eq!(closest(&"x".repeat(100_000), fields), None);
    }
}
