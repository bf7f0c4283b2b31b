//! Reads, matches and extends `known_hosts` files (sshd(8)): is a host's key the one we know.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Certificate, HashAlg, PublicKey};
use sha1::Sha1;

use crate::{Error, Host, HostKeyObserver, StrictHostKey};

/// A `known_hosts` file is never larger than this.
const FILE_LIMIT: u64 = 16 << 20;

/// Which files say what keys hosts have, and what becomes of a first contact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownHostsPolicy {
    /// The operator's files; only read.
    pub files: Vec<PathBuf>,
    /// The cluster's file: read too, and keys of hosts met for the first time are added to it.
    /// When the path is empty nothing is recorded.
    pub record: PathBuf,
    /// What happens with keys that the files do not know.
    pub strict: StrictHostKey,
    /// Who is told of them.
    pub observer: HostKeyObserver,
}

/// What the files say about one host.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownHost {
    entries: Vec<Entry>,
}

/// One line that concerns the host.
#[derive(Debug, Clone)]
struct Entry {
    file: PathBuf,
    line: usize,
    marker: Marker,
    key: PublicKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    Plain,
    Authority,
    Revoked,
}

/// What to think of a key that a host shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the one we know.
    Known,
    /// The host was never met.
    New,
    /// We know another one.
    Changed { known: String, file: PathBuf, line: usize },
    /// The host was never met, and is to prove itself by a certificate of this authority, which it did not.
    Uncertified { file: PathBuf, line: usize },
    /// It must never be accepted.
    Revoked { file: PathBuf, line: usize },
}

impl KnownHost {
    /// Collects what all files say about a host.
    pub(crate) fn load(policy: &KnownHostsPolicy, host: &Host, port: u16) -> Result<Self, Error> {
        let mut entries = Vec::new();
        let record = Some(&policy.record).filter(|path| !path.as_os_str().is_empty());
        for path in policy.files.iter().chain(record) {
            let text = read(path).map_err(|source| Error::KnownHosts { act: "read", path: path.clone(), source })?;
            entries.extend(parse(&text, path, host, port));
        }
        Ok(Self { entries })
    }

    /// Whether the host could prove itself by a certificate.
    pub(crate) fn has_authority(&self) -> bool {
        self.entries.iter().any(|entry| entry.marker == Marker::Authority)
    }

    /// Whether a plain key of the same kind is known, so that the host should be asked for that kind first.
    pub(crate) fn knows_kind(&self, same: impl Fn(&PublicKey) -> bool) -> bool {
        self.entries.iter().any(|entry| entry.marker == Marker::Plain && same(&entry.key))
    }

    /// What to think of a plain key.
    pub(crate) fn check(&self, shown: &PublicKey) -> Verdict {
        if let Some(entry) = self.revoked(shown) {
            return Verdict::Revoked { file: entry.file.clone(), line: entry.line };
        }
        let mut plain = self.entries.iter().filter(|entry| entry.marker == Marker::Plain).peekable();
        let Some(first) = plain.peek().copied() else {
            return match self.entries.iter().find(|entry| entry.marker == Marker::Authority) {
                Some(entry) => Verdict::Uncertified { file: entry.file.clone(), line: entry.line },
                None => Verdict::New,
            };
        };
        let mut other = first;
        for entry in plain {
            if entry.key.key_data() == shown.key_data() {
                return Verdict::Known;
            }
            if entry.key.algorithm() == shown.algorithm() && other.key.algorithm() != shown.algorithm() {
                other = entry;
            }
        }
        Verdict::Changed { known: describe(&other.key), file: other.file.clone(), line: other.line }
    }

    /// What to think of a host certificate; one that no known authority signed counts as the key in it.
    pub(crate) fn check_certificate(&self, shown: &Certificate, host: &Host) -> Verdict {
        let authority = PublicKey::from(shown.signature_key().clone());
        if let Some(entry) = self.revoked(&authority) {
            return Verdict::Revoked { file: entry.file.clone(), line: entry.line };
        }
        let key = PublicKey::from(shown.public_key().clone());
        let trusted = self.entries.iter().filter(|entry| entry.marker == Marker::Authority);
        let trusted: Vec<_> = trusted.map(|entry| entry.key.fingerprint(HashAlg::Sha256)).collect();
        let name = host.to_string();
        let names = shown.valid_principals();
        let named = names.is_empty() || names.iter().any(|pattern| wildcard(pattern.as_bytes(), name.as_bytes()));
        let certified = shown.cert_type() == CertType::Host
            && named
            && shown.critical_options().iter().next().is_none()
            && shown.validate(&trusted).is_ok();
        match self.check(&key) {
            Verdict::Changed { .. } | Verdict::Uncertified { .. } if certified => Verdict::Known,
            verdict => verdict,
        }
    }

    fn revoked(&self, key: &PublicKey) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.marker == Marker::Revoked && entry.key.key_data() == key.key_data())
    }
}

/// Kind and fingerprint of a key, as ssh shows them.
pub(crate) fn describe(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
}

/// The host's name in `known_hosts` files.
pub(crate) fn name(host: &Host, port: u16) -> String {
    if port == 22 { host.to_string() } else { format!("[{host}]:{port}") }
}

/// Adds the key of a host met for the first time; on disk when this returns.
pub(crate) fn learn(policy: &KnownHostsPolicy, host: &Host, port: u16, key: &PublicKey) -> Result<(), Error> {
    let path = &policy.record;
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let failed = |source| Error::KnownHosts { act: "extend", path: path.clone(), source };
    let key =
        PublicKey::from(key.key_data().clone()).to_openssh().map_err(|error| failed(std::io::Error::other(error)))?;
    append(path, &format!("{} {key}\n", name(host, port))).map_err(failed)
}

fn append(path: &Path, line: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;

    let mut file = std::fs::OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(-1)).is_ok() {
        file.read_exact(&mut last)?;
    }
    // One write: several hosts may be met at once.
    let line = if last == [b'\n'] { line.to_owned() } else { format!("\n{line}") };
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

fn read(path: &Path) -> std::io::Result<String> {
    // As ssh does, a line in another encoding counts as one that cannot be understood.
    let bytes = atomic_file::read_limited(path, FILE_LIMIT)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Ok(atomic_file::without_byte_order_mark(&text).to_owned())
}

/// The lines that concern the host; lines that cannot be understood are passed over, as ssh does.
fn parse(text: &str, file: &Path, host: &Host, port: u16) -> Vec<Entry> {
    let name = name(host, port);
    let mut entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut fields = line.split_ascii_whitespace();
        let Some(mut hosts) = fields.next().filter(|field| !field.starts_with('#')) else {
            continue;
        };
        let marker = match hosts {
            "@cert-authority" => Marker::Authority,
            "@revoked" => Marker::Revoked,
            other if other.starts_with('@') => continue,
            _ => Marker::Plain,
        };
        if marker != Marker::Plain {
            let Some(next) = fields.next() else { continue };
            hosts = next;
        }
        let (Some(kind), Some(key)) = (fields.next(), fields.next()) else {
            continue;
        };
        if !matches(hosts, &name) {
            continue;
        }
        if let Ok(key) = PublicKey::from_openssh(&format!("{kind} {key}")) {
            entries.push(Entry { file: file.to_owned(), line: index + 1, marker, key });
        }
    }
    entries
}

/// Whether a list of patterns names the host: hashed names, wildcards, and `!` that excludes.
fn matches(patterns: &str, name: &str) -> bool {
    let mut matched = false;
    for pattern in patterns.split(',') {
        let (negated, pattern) = pattern.strip_prefix('!').map_or((false, pattern), |rest| (true, rest));
        let hit = match pattern.strip_prefix("|1|") {
            Some(hashed) => hashed_match(hashed, name),
            None => wildcard(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()),
        };
        if hit && negated {
            return false;
        }
        matched |= hit;
    }
    matched
}

fn hashed_match(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else {
        return false;
    };
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else {
        return false;
    };
    let Ok(hmac) = Hmac::<Sha1>::new_from_slice(&salt) else {
        return false;
    };
    hmac.chain_update(name.as_bytes()).verify_slice(&hash).is_ok()
}

/// `*` matches any characters, `?` one.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {

    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const HOST: Host = Host::Address(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const TWO: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";
    const OTHER_KIND: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=";

    fn key(text: &str) -> PublicKey {
        PublicKey::from_openssh(text).unwrap()
    }

    #[test]
    fn the_first_line_of_a_file_counts_behind_a_byte_order_mark() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("known_hosts");
        std::fs::write(&path, format!("\u{feff}10.0.0.1 {ONE}\n")).unwrap();
        let policy = KnownHostsPolicy { files: vec![path.clone()], record: path, ..KnownHostsPolicy::default() };
        let known = KnownHost::load(&policy, &HOST, 22).unwrap();
        assert!(matches!(known.check(&key(ONE)), Verdict::Known) && is_changed(&known.check(&key(TWO)), 1));
    }

    fn verdict(text: &str, shown: &str) -> Verdict {
        KnownHost { entries: parse(text, Path::new("f"), &HOST, 22) }.check(&key(shown))
    }

    fn is_changed(verdict: &Verdict, at: usize) -> bool {
        matches!(verdict, Verdict::Changed { line, .. } if *line == at)
    }

    #[test]
    fn names_and_patterns_are_matched() {
        for (patterns, host, port, expected) in [
            ("10.0.0.1", "10.0.0.1", 22, true),
            ("10.0.0.1", "10.0.0.1", 2222, false),
            ("[10.0.0.1]:2222", "10.0.0.1", 2222, true),
            ("a.example,10.0.0.1", "10.0.0.1", 22, true),
            ("10.0.0.10", "10.0.0.1", 22, false),
            ("10.0.0.?", "10.0.0.1", 22, true),
            ("10.*", "10.0.0.1", 22, true),
            ("10.*,!10.0.0.1", "10.0.0.1", 22, false),
            ("!10.0.0.2,10.*", "10.0.0.1", 22, true),
            ("!10.0.0.2", "10.0.0.1", 22, false),
            ("FD00::1", "fd00::1", 22, true),
            ("*.Example.com", "GW.example.com", 22, true),
            ("[gw.example.com]:2222", "gw.example.com", 2222, true),
            ("gw.example.com", "gw2.example.com", 22, false),
            ("[fd00::1]:2222", "fd00::1", 2222, true),
            ("*", "10.0.0.1", 2222, true),
            ("|1|nonsense|x", "10.0.0.1", 22, false),
            ("|1|", "10.0.0.1", 22, false),
        ] {
            let named = host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Address);
            assert_eq!(matches(patterns, &name(&named, port)), expected, "{patterns} {host} {port}");
        }
    }

    #[test]
    fn hashed_names_are_matched() {
        let salt = [1u8; 20];
        let hash = Hmac::<Sha1>::new_from_slice(&salt).unwrap().chain_update(b"10.0.0.1").finalize().into_bytes();
        let line = format!("|1|{}|{} {ONE}", STANDARD.encode(salt), STANDARD.encode(hash));
        assert_eq!(verdict(&line, ONE), Verdict::Known);
        assert!(is_changed(&verdict(&line, TWO), 1));
    }

    #[test]
    fn a_key_is_known_new_changed_or_revoked() {
        assert_eq!(verdict("", ONE), Verdict::New);
        assert_eq!(verdict(&format!("10.0.0.2 {ONE}"), TWO), Verdict::New);
        assert_eq!(verdict(&format!("# c\n\n10.0.0.1 {ONE} comment\n"), ONE), Verdict::Known);
        assert!(is_changed(&verdict(&format!("# c\n\n10.0.0.1\t{ONE}\n"), TWO), 3));
        assert_eq!(verdict(&format!("10.0.0.1 {ONE}\n10.0.0.1 {TWO}"), TWO), Verdict::Known, "several keys");
        assert!(
            is_changed(&verdict(&format!("10.0.0.1 {OTHER_KIND}"), ONE), 1),
            "a kind that was never seen is another key"
        );
        assert!(
            is_changed(&verdict(&format!("10.0.0.1 {OTHER_KIND}\n10.0.0.1 {ONE}"), TWO), 2),
            "the line of the same kind"
        );
        let revoked = format!("10.0.0.1 {ONE}\n@revoked * {ONE}");
        assert!(matches!(verdict(&revoked, ONE), Verdict::Revoked { line: 2, .. }), "revoked wins");
        let authority = format!("@cert-authority * {ONE}");
        let uncertified = Verdict::Uncertified { file: "f".into(), line: 1 };
        assert_eq!(verdict(&authority, TWO), uncertified, "who has an authority must show its certificate");
        assert_eq!(verdict(&authority, ONE), uncertified, "an authority's key is no host's");
        assert_eq!(verdict(&format!("{authority}\n10.0.0.1 {TWO}"), TWO), Verdict::Known, "its own key is known");
        assert_eq!(verdict(&format!("@cert-authority 10.0.0.2 {ONE}"), TWO), Verdict::New, "another host's authority");
        assert_eq!(verdict(&format!("@other * {ONE}\n10.0.0.1 ssh-new AAAA\n10.0.0.1"), ONE), Verdict::New);
    }

    #[test]
    fn what_is_learned_is_known_and_broken_files_are_fixed() {
        let directory = tempfile::tempdir().unwrap();
        let policy = KnownHostsPolicy {
            files: vec![directory.path().join("absent")],
            record: directory.path().join("record"),
            ..KnownHostsPolicy::default()
        };
        std::fs::write(&policy.record, "torn line").unwrap();
        learn(&policy, &HOST, 2222, &key(&format!("{ONE} secret comment"))).unwrap();
        learn(&policy, &HOST, 22, &key(TWO)).unwrap();
        let text = std::fs::read_to_string(&policy.record).unwrap();
        assert_eq!(text, format!("torn line\n[10.0.0.1]:2222 {ONE}\n10.0.0.1 {TWO}\n"));
        assert_eq!(KnownHost::load(&policy, &HOST, 2222).unwrap().check(&key(ONE)), Verdict::Known);
        assert!(is_changed(&KnownHost::load(&policy, &HOST, 22).unwrap().check(&key(ONE)), 3));
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let pattern = "*a".repeat(200);
        assert!(!wildcard(pattern.as_bytes(), "a".repeat(150).as_bytes()));
    }

    proptest::proptest! {
        /// A file that anybody may have written neither causes a panic nor makes a key known that it does not hold.
        #[test]
        fn no_text_makes_another_key_known(
            lines in proptest::collection::vec("(@cert-authority |@revoked |# )?[|*?!\\[\\]0-9a-z.,:= \\PC]{0,40}( ssh-ed25519 [A-Za-z0-9+/=]{0,80})?", 0..8),
        ) {
            let text = lines.join("\n");
            let found = verdict(&text, ONE);
            proptest::prop_assert_ne!(found, Verdict::Known);
        }
    }
}
