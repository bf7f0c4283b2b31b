//! Rules for the texts of single fields.

use std::net::IpAddr;

use crate::{ErrorKind, ProviderName, suggest};

/// What a text must look like.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    what: &'static str,
    rule: &'static str,
    allows: fn(&str) -> bool,
}

impl Rule {
    /// Nothing when the text follows the rule.
    pub(crate) fn check(self, text: &str) -> Result<(), ErrorKind> {
        if (self.allows)(text) {
            return Ok(());
        }
        Err(self.refusal(text))
    }

    /// What to say of a text that does not follow the rule.
    pub(crate) fn refusal(self, text: &str) -> ErrorKind {
        ErrorKind::Invalid { what: self.what, value: shortened(text), rule: self.rule }
    }
}

pub(crate) const CLUSTER_NAME: Rule = Rule {
    what: "name of a cluster",
    rule: "at most 63 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends",
    allows: |text| text.len() <= 63 && is_dns_name(text) && !text.bytes().any(|byte| byte.is_ascii_uppercase()),
};

pub(crate) const IMAGE: Rule = Rule {
    what: "image name",
    rule: "a name such as registry.example.com/group/image:tag",
    allows: |text| {
        text.len() <= 512
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "._:/@-".contains(letter))
    },
};

pub(crate) const DNS_NAME: Rule = Rule { what: "host name", rule: "a DNS name", allows: is_dns_name };

/// A name whose last part is a number would be a mistyped address.
pub(crate) const JUMP_HOST: Rule = Rule {
    what: "jump host",
    rule: "an IP address or a DNS name",
    allows: |text| {
        is_dns_name(text) && text.rsplit('.').next().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()))
    },
};

pub(crate) const JUMP: Rule = Rule {
    what: "jump host",
    rule: "[user@]host[:port], the host being an IP address or a DNS name; several make a list",
    allows: |_| false,
};

pub(crate) const CERTIFICATE_NAME: Rule = Rule {
    what: "name for a certificate",
    rule: "an IP address or a DNS name in lower case",
    allows: is_certificate_name,
};

/// Whether kubeadm takes a text as a name for a certificate: an IP address, or a DNS name in lower case whose first
/// part may be `*`.
#[must_use]
pub fn is_certificate_name(text: &str) -> bool {
    let is_name = is_dns_name(text.strip_prefix("*.").unwrap_or(text));
    text.parse::<IpAddr>().is_ok() || (is_name && !text.bytes().any(|byte| byte.is_ascii_uppercase()))
}

pub(crate) const USER: Rule = Rule {
    what: "login name",
    rule: "a name without blanks and colons that does not start with `-`",
    allows: |text| text.len() <= 128 && !text.starts_with('-') && is_one_word(text) && !text.contains(':'),
};

pub(crate) const KEY_PATH: Rule = Rule {
    what: "path of a private key",
    rule: "the path of a file, not the key itself",
    allows: |text| text.len() <= 4096 && !text.contains(char::is_control) && !text.starts_with("-----"),
};

pub(crate) const INTERFACE: Rule = Rule {
    what: "network interface",
    rule: "the name of an interface, or a pattern of names",
    allows: |text| text.len() <= 128 && is_one_word(text) && !text.contains('/'),
};

pub(crate) const CERTIFICATE: Rule = Rule {
    what: "certificate",
    rule: "a certificate as PEM, from -----BEGIN CERTIFICATE----- to its end",
    allows: |text| {
        let pem = text.trim();
        text.len() <= 65536
            && pem.starts_with("-----BEGIN CERTIFICATE-----")
            && pem.ends_with("-----END CERTIFICATE-----")
            && !pem.contains("PRIVATE KEY")
    },
};

pub(crate) const WORD: Rule = Rule {
    what: "name",
    rule: "letters, digits, `-`, `_` and `.`, with a letter or digit in front",
    allows: |text| {
        text.len() <= 253
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
    },
};

/// A name that differs from a known one only by case and separators is a typo, not a vendor's name.
pub(crate) const PROVIDER: Rule = Rule {
    what: "provider",
    rule: "BAREMETAL, ALI_CLOUD, CONTAINER or the name of a vendor's provider (letters, digits, `-`, `_` and `.`)",
    allows: |text| {
        let is_typo = |known: &ProviderName| text != known.as_str() && suggest::is_same(text, known.as_str());
        is_label_word(text) && !ProviderName::KNOWN.iter().any(is_typo)
    },
};

pub(crate) const RUNTIME: Rule = Rule {
    what: "cluster runtime",
    rule: "at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
    allows: is_label_word,
};

pub(crate) const DATA_ROOT: Rule = Rule {
    what: "directory for data",
    rule: "an absolute path without `..`, and not `/` itself",
    allows: |text| {
        let parts = || text.split('/').filter(|part| !part.is_empty());
        text.starts_with('/')
            && text.len() <= 4096
            && parts().next().is_some()
            && !parts().any(|part| part == "..")
            && !text.contains(char::is_control)
    },
};

pub(crate) const INNER_PATH: Rule = Rule {
    what: "path in the image",
    rule: "a path without `..`, below the root of the image",
    allows: |text| {
        let parts = || text.split('/').filter(|part| !part.is_empty() && *part != ".");
        text.len() <= 4096
            && parts().next().is_some()
            && !parts().any(|part| part == "..")
            && !text.contains(char::is_control)
    },
};

pub(crate) const LABEL_KEY: Rule = Rule {
    what: "label key",
    rule: "a name of at most 63 letters, digits, `-`, `_`, `.`, perhaps after a DNS name and `/`",
    allows: is_qualified_name,
};

pub(crate) const LABEL_VALUE: Rule = Rule {
    what: "label value",
    rule: "at most 63 letters, digits, `-`, `_`, `.`, with a letter or digit at both ends, or nothing",
    allows: |text| text.is_empty() || is_label_word(text),
};

pub(crate) const TAINT: Rule = Rule {
    what: "taint",
    rule: "key=value:Effect or key:Effect, the effect being NoSchedule, PreferNoSchedule or NoExecute; with `-` at the end to remove it",
    allows: |text| {
        let (taint, removed) = text.strip_suffix('-').map_or((text, false), |taint| (taint, true));
        let Some((left, effect)) = taint.rsplit_once(':') else {
            return removed && is_qualified_name(taint);
        };
        let (key, value) = left.split_once('=').unwrap_or((left, ""));
        let effect = ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect);
        effect && is_qualified_name(key) && (value.is_empty() || is_label_word(value))
    },
};

fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        label.len() <= 63
            && !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_label_word(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
}

fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns_name(prefix) && is_label_word(name),
        None => is_label_word(text),
    }
}

fn is_one_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|letter: char| letter.is_whitespace() || letter.is_control())
}

/// The text as a message can show it: one line of reasonable length.
fn shortened(text: &str) -> String {
    let line: String = text.chars().take(80).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if line.len() < text.len() { format!("{line}…") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follows(rule: Rule, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(rule.check(text), Ok(()), "{text}");
        }
        for text in bad {
            assert!(rule.check(text).is_err(), "{text:?} passes as {}", rule.what);
        }
    }

    #[test]
    fn names() {
        follows(
            CLUSTER_NAME,
            &["my-cluster", "a", "prod.eu-1"],
            &["", "My", "a_b", "-a", "a-", "..", ".", "a..b", "a/b", &"x".repeat(64)],
        );
        follows(
            CERTIFICATE_NAME,
            &["aliyun-inc.com", "10.0.0.2", "*.example.com", "fd00::1"],
            &["", "a b", "*", "a.*", "-x"],
        );
        follows(IMAGE, &["kubernetes:v1.19.9", "sea.hub:5000/a/b@sha256:00"], &["", "-x", "a b", "a;b", "$(x)"]);
        follows(USER, &["root", "DOMAIN\\ops", "ops@example.com"], &["-oProxyCommand=x", "a b", "a:b", "a\n"]);
        follows(KEY_PATH, &["~/.ssh/id_rsa", "xxx"], &["-----BEGIN OPENSSH PRIVATE KEY-----", "a\0b"]);
    }

    #[test]
    fn providers() {
        follows(
            PROVIDER,
            &["BAREMETAL", "CONTAINER", "ALI_CLOUD", "ACME_METAL", "rack.v2"],
            &["", "ALICLOUD", "bare-metal", "container", "a b", "$(x)", "_x", &"x".repeat(64)],
        );
    }

    #[test]
    fn paths() {
        follows(DATA_ROOT, &["/var/lib/sealer/data"], &["", "/", "//", "var", "/var/../etc", "/a\nb"]);
        follows(INNER_PATH, &["etc/mysql.yaml", "/etc/x", "./a", "..data/x"], &["", "/", ".", "../x", "a/../../x"]);
    }

    #[test]
    fn labels_and_taints() {
        follows(LABEL_KEY, &["disk", "node.kubernetes.io/disk"], &["", "/x", "a/b/c", "a b", "x-"]);
        follows(LABEL_VALUE, &["", "ssd", "a.b_c-d"], &["-a", "a b", &"x".repeat(64)]);
        follows(
            TAINT,
            &["k=v:NoSchedule", "k:NoExecute", "k=:NoSchedule", "a.b/k=v:PreferNoSchedule-", "k-"],
            &["", "k", "k=v", "k=v:noSchedule", ":NoSchedule", "-", "k=a b:NoExecute"],
        );
    }
}
