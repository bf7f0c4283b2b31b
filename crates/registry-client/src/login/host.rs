//! Which keys of a login file mean which registry.

use crate::error::{Error, Result, shorten};

/// Docker Hub's name in image names.
pub(crate) const HUB_HOST: &str = "docker.io";
/// Docker Hub's key in login files, as docker writes it.
pub(super) const HUB_KEY: &str = "https://index.docker.io/v1/";
/// The names of Docker Hub's hosts.
const HUB_HOSTS: [&str; 3] = [HUB_HOST, "index.docker.io", "registry-1.docker.io"];

/// The registry that a user means with `text`: host and optional port, also written as a URL.
///
/// # Errors
///
/// [`Error::InvalidOption`] when it is no host with an optional port.
pub fn registry_host(text: &str) -> Result<String> {
    let (host, _, _) = split(text.trim());
    if is_hub(host) {
        return Ok(HUB_HOST.to_owned());
    }
    if is_host(host) { Ok(host.to_owned()) } else { Err(not_a_host("registry", text)) }
}

/// The error for an option that should name a host.
pub(crate) fn not_a_host(option: &'static str, text: &str) -> Error {
    Error::InvalidOption { option, reason: format!("`{}` is not a host with an optional port", shorten(text, 120)) }
}

/// Whether the text is a host name or address with an optional port and nothing else.
pub(crate) fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => match bracketed.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("ip", port),
            _ => return false,
        },
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.parse::<u16>().is_ok() && !digits.starts_with('+'));
    text.len() <= 255 && is_port && host.split('.').all(is_label)
}

/// The key under which a new login for a registry is kept.
pub(super) fn key_of(host: &str) -> &str {
    if is_hub(host) { HUB_KEY } else { host }
}

/// The one of `keys` that says most about a repository of a registry: `quay.io/team` before `quay.io`, and that before
/// `https://quay.io/v1/`. Without a repository, keys with a namespace are not meant.
pub(super) fn best<'a>(
    keys: impl Iterator<Item = &'a String>,
    host: &str,
    repository: Option<&str>,
) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for key in keys {
        let rank = rank(key, host, repository);
        if rank > best.map_or(0, |(rank, _)| rank) {
            best = Some((rank, key));
        }
    }
    best.map(|(_, key)| key)
}

/// Whether the key means the registry, and no namespace of it.
pub(super) fn is_key_of(key: &str, host: &str) -> bool {
    rank(key, host, None) > 0
}

/// How much a key says about the repository; 0 is nothing.
fn rank(key: &str, host: &str, repository: Option<&str>) -> usize {
    let (key_host, path, is_url) = split(key);
    if key_host != host && !(is_hub(key_host) && is_hub(host)) {
        return 0;
    }
    if is_url || path == "v1" || path == "v2" {
        return 1;
    }
    if path.is_empty() {
        return 2;
    }
    // Namespaces are podman's.
    let below = repository.and_then(|repository| repository.strip_prefix(path));
    if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) { 2 + path.len() } else { 0 }
}

/// Host, path without slashes around it, and whether a scheme was written.
fn split(key: &str) -> (&str, &str, bool) {
    let (rest, is_url) = key.split_once("://").map_or((key, false), |(_, rest)| (rest, true));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    (host, path.trim_matches('/'), is_url)
}

fn is_hub(host: &str) -> bool {
    HUB_HOSTS.contains(&host)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_most_specific_key_wins_and_other_namespaces_do_not_count() {
        let keys = ["quay.io", "quay.io/team", "https://quay.io/v1/", "quay.io/team/shop"].map(str::to_owned);
        for (repository, expected) in [
            (Some("team/shop"), "quay.io/team/shop"),
            (Some("team/other"), "quay.io/team"),
            (Some("teamster/shop"), "quay.io"),
            (None, "quay.io"),
        ] {
            assert_eq!(best(keys.iter(), "quay.io", repository), Some(expected), "{repository:?}");
            assert_eq!(best(keys.iter().rev(), "quay.io", repository), Some(expected), "{repository:?}");
        }
        assert_eq!(best(keys[2..3].iter(), "quay.io", Some("a")), Some("https://quay.io/v1/"));
        assert_eq!(best(keys[1..2].iter(), "quay.io", Some("a")), None);
        assert_eq!(best(keys.iter(), "quay.io:443", None), None);
    }

    #[test]
    fn the_hub_has_many_names() {
        let keys = [HUB_KEY.to_owned()];
        for host in HUB_HOSTS {
            assert_eq!(best(keys.iter(), host, Some("library/nginx")), Some(HUB_KEY));
            assert_eq!(key_of(host), HUB_KEY);
            assert_eq!(registry_host(host).unwrap(), "docker.io");
        }
        assert_eq!(registry_host(HUB_KEY).unwrap(), "docker.io");
    }

    #[test]
    fn registries_are_hosts_however_they_are_written() {
        for (text, host) in [
            ("reg:5000", "reg:5000"),
            ("https://reg.example/v2/", "reg.example"),
            ("reg.example/team", "reg.example"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(registry_host(text).unwrap(), host);
        }
        for text in ["", "a b", "user@host", "https://", "reg:port", "[::1"] {
            assert!(registry_host(text).unwrap_err().to_string().contains("host with an optional port"), "{text}");
        }
    }
}
