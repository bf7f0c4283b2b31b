//! Errors of a Clusterfile, each with its place in the text.

use std::{fmt, net::IpAddr};

use crate::{Cidr, ProviderName, Role, addresses::MAX_HOSTS, ssh::MAX_JUMPS};

/// A place in the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
    /// The line of the first byte in the whole file, from 1.
    pub line: usize,
    /// The column of the first byte in characters, from 1.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Error {
    /// Where.
    pub span: Span,
    /// What.
    pub kind: ErrorKind,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl Error {
    /// What is wrong, in one sentence without a place and without what [`Error::label`] says.
    #[must_use]
    pub fn message(&self) -> String {
        match &self.kind {
            ErrorKind::Invalid { what, value, .. } => format!("`{value}` is no valid {what}"),
            ErrorKind::MisplacedField { field, place, .. } => format!("`{field}` does not belong in {place}"),
            kind => kind.to_string(),
        }
    }

    /// What to write at the caret under the line; may be empty.
    #[must_use]
    pub fn label(&self) -> String {
        if let Some(suggestion) = &self.suggestion {
            return format!("did you mean `{suggestion}`?");
        }
        match &self.kind {
            ErrorKind::Expected { expected, .. } => format!("expected {expected}"),
            ErrorKind::Invalid { rule, .. } => format!("expected {rule}"),
            ErrorKind::UnknownField { .. } => "unknown field".to_owned(),
            ErrorKind::MisplacedField { instead, .. } => (*instead).to_owned(),
            ErrorKind::MissingField { field, .. } => format!("`{field}` belongs here"),
            ErrorKind::EmptyField { .. } => "expected a value".to_owned(),
            ErrorKind::UnknownKind(_) => {
                "expected Cluster, Config, Plugin, Application or a kind of kubeadm's".to_owned()
            }
            ErrorKind::DuplicateKey { first_line, .. }
            | ErrorKind::SecondCluster { first_line }
            | ErrorKind::SecondDocument { first_line, .. } => {
                format!("the first one is in line {first_line}")
            }
            ErrorKind::Address(_) => "expected an IPv4 or IPv6 address".to_owned(),
            ErrorKind::RangeBackwards(_) | ErrorKind::RangeFamilies(_) => {
                "expected a range like 10.0.0.3-10.0.0.5".to_owned()
            }
            ErrorKind::Cidr(_) => "expected an address block like 10.96.0.0/22".to_owned(),
            ErrorKind::CidrHostBits { meant, .. } => format!("expected {meant}"),
            ErrorKind::NoMaster => "expected a host with the role master, or masters with a count".to_owned(),
            ErrorKind::TooManyErrors { .. } => "fix the errors above first".to_owned(),
            ErrorKind::EnvWithoutEquals(_) | ErrorKind::EnvKey(_) => "expected KEY=value".to_owned(),
            _ => String::new(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.span.line, self.span.column, self.kind)?;
        match &self.suggestion {
            Some(suggestion) => write!(formatter, "; did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.kind)
    }
}

/// Nobody reads more at once.
const MAX_ERRORS: usize = 100;

/// Everything that is wrong with a file, in the order of the file, at most a hundred and one that says there are more.
/// Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(Vec<Error>);

impl Errors {
    pub(crate) fn new(mut errors: Vec<Error>) -> Self {
        debug_assert!(!errors.is_empty(), "errors without an error");
        errors.sort_by_key(|error| error.span);
        if let Some(cut) = errors.get(MAX_ERRORS) {
            let last = Error { kind: ErrorKind::TooManyErrors { limit: MAX_ERRORS }, suggestion: None, ..cut.clone() };
            errors.truncate(MAX_ERRORS);
            errors.push(last);
        }
        Self(errors)
    }

    /// The errors in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> IntoIterator for &'a Errors {
    type Item = &'a Error;
    type IntoIter = std::slice::Iter<'a, Error>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There are more errors than are listed.
    #[error("the Clusterfile has more than {limit} errors, the rest is not shown")]
    TooManyErrors {
        /// How many are listed.
        limit: usize,
    },
    /// The file is bigger than [`crate::MAX_BYTES`].
    #[error("the Clusterfile is larger than {limit} bytes")]
    TooLarge {
        /// The most bytes allowed.
        limit: usize,
    },
    /// The text is not YAML.
    #[error("malformed YAML: {0}")]
    Syntax(String),
    /// The YAML is deeper, longer or more repetitive than any real file.
    #[error("the YAML has {0}")]
    TooComplex(&'static str),
    /// An alias is part of the value that it repeats.
    #[error("the alias stands inside the value it repeats")]
    AliasInsideItself,
    /// A key appears twice in a mapping.
    #[error("`{key}` is given twice, first in line {first_line}")]
    DuplicateKey {
        /// The key.
        key: String,
        /// The line where it appears first.
        first_line: usize,
    },
    /// A key that is no plain text.
    #[error("a key must be a plain text")]
    KeyNotText,
    /// A field that the format does not have.
    #[error("unknown field `{field}` in {place}")]
    UnknownField {
        /// The field as written.
        field: String,
        /// The mapping that contains it.
        place: &'static str,
    },
    /// A field of another version of the format.
    #[error("`{field}` does not belong in {place}: {instead}")]
    MisplacedField {
        /// The field as written.
        field: String,
        /// The mapping that contains it.
        place: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// A required field is missing.
    #[error("{place} has no `{field}`")]
    MissingField {
        /// The field.
        field: &'static str,
        /// The mapping it belongs in.
        place: &'static str,
    },
    /// A required field is empty.
    #[error("`{field}` in {place} is empty")]
    EmptyField {
        /// The field.
        field: &'static str,
        /// The mapping that contains it.
        place: &'static str,
    },
    /// A value of the wrong shape.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What should be there.
        expected: &'static str,
        /// The shape of what is there; never its content.
        found: &'static str,
    },
    /// A text that does not follow the rule for its place.
    #[error("`{value}` is no valid {what}: expected {rule}")]
    Invalid {
        /// What the text should be.
        what: &'static str,
        /// The text as written.
        value: String,
        /// The rule.
        rule: &'static str,
    },
    /// A document of a kind that does not belong in a Clusterfile.
    #[error("unknown kind `{0}`")]
    UnknownKind(String),
    /// A document whose version is not known for its kind.
    #[error("unknown apiVersion `{api_version}` for {kind}; known: {known}")]
    UnknownApiVersion {
        /// The version as written.
        api_version: String,
        /// The kind of the document.
        kind: String,
        /// The versions that are known, joined by commas.
        known: String,
    },
    /// No document is a Cluster.
    #[error("there is no document of kind Cluster")]
    NoCluster,
    /// More than one document is a Cluster.
    #[error("a second Cluster; a Clusterfile describes exactly one (first in line {first_line})")]
    SecondCluster {
        /// Where the first one starts.
        first_line: usize,
    },
    /// A document for kubeadm of which there can be only one.
    #[error("a second {kind}; kubeadm takes one (first in line {first_line})")]
    SecondDocument {
        /// Its kind.
        kind: &'static str,
        /// Where the first one starts.
        first_line: usize,
    },
    /// A text that should be an IP address.
    #[error("`{0}` is no IP address")]
    Address(String),
    /// An address that no single host can have.
    #[error("{0} cannot be the address of a host")]
    NotAHostAddress(IpAddr),
    /// A range that ends before it begins.
    #[error("the range `{0}` ends before it begins")]
    RangeBackwards(String),
    /// A range from IPv4 to IPv6 or the reverse.
    #[error("the range `{0}` mixes IPv4 and IPv6")]
    RangeFamilies(String),
    /// An address that is listed twice.
    #[error("{0} is listed twice")]
    DuplicateAddress(IpAddr),
    /// More hosts than Kubernetes supports.
    #[error("more than {MAX_HOSTS} hosts")]
    TooManyHosts,
    /// More jump hosts than are allowed.
    #[error("more than {MAX_JUMPS} jump hosts in a row")]
    TooManyJumps,
    /// A text that should be an address block.
    #[error("`{0}` is no address block")]
    Cidr(String),
    /// An address block written by an address in its middle.
    #[error("`{given}` is not the start of its block, which is {meant}")]
    CidrHostBits {
        /// The block as written.
        given: String,
        /// The block that contains it.
        meant: String,
    },
    /// Two blocks of one address family.
    #[error("`{0}` lists two blocks of one address family")]
    CidrFamily(String),
    /// Pods and services share addresses.
    #[error("the pod network {pod} and the service network {service} overlap")]
    CidrOverlap {
        /// The pods' block.
        pod: Cidr,
        /// The services' block.
        service: Cidr,
    },
    /// A host whose address belongs to pods or services.
    #[error("the host {address} lies in the {network} network {block}")]
    HostInCidr {
        /// The host.
        address: IpAddr,
        /// `pod` or `service`.
        network: &'static str,
        /// The block it lies in.
        block: Cidr,
    },
    /// There are hosts or machines, or must be, and none is a master.
    #[error("the cluster has no master")]
    NoMaster,
    /// Machines are wanted from a provider that creates none.
    #[error(
        "BAREMETAL makes no machines: list the addresses of the hosts, or choose the provider ALI_CLOUD or CONTAINER"
    )]
    MachinesWithoutProvider,
    /// Addresses for a provider that makes its hosts itself.
    #[error("{0} makes its hosts itself: give a count instead of addresses, or choose the provider BAREMETAL")]
    AddressesWithoutMachines(ProviderName),
    /// One role by addresses, the other by a count: whoever makes hosts makes all of them.
    #[error(
        "counts and addresses do not mix: {listed}s are given by address, {counted}s by count; give both roles the same way"
    )]
    CountsAndAddresses {
        /// The role that has addresses.
        listed: Role,
        /// The role that has a count.
        counted: Role,
    },
    /// A host that is both a master and a node.
    #[error("a host is a master or a node, not both")]
    MasterAndNode,
    /// A `K=V` entry without `=`.
    #[error("`{0}` has no `=`: variables are written `KEY=value`")]
    EnvWithoutEquals(String),
    /// The key of a `K=V` entry that no shell or template could use.
    #[error("`{0}` is no name for a variable")]
    EnvKey(String),
    /// A variable that is a setting, and something that says another value.
    #[error("{variable} contradicts {other}")]
    Contradiction {
        /// The variable and its value.
        variable: String,
        /// What else is said.
        other: String,
    },
    /// A variable of one host that is a setting of the whole cluster.
    #[error("`{0}` is a setting of the whole cluster: it belongs in spec.env, not in the variables of one host")]
    ClusterVariable(String),
    /// Two documents that write the same file.
    #[error("a second Config overwrites {path}; the first one is called `{first}`")]
    SecondConfig {
        /// The file.
        path: String,
        /// The name of the first one.
        first: String,
    },
    /// Two documents of a kind whose names differ only by upper and lower case.
    #[error("{kind} `{name}` and `{other}` differ only by upper and lower case")]
    NameCase {
        /// The kind.
        kind: String,
        /// The name of the second one.
        name: String,
        /// The name of the first one.
        other: String,
    },
    /// Passwords encrypted by the original sealer.
    #[error(
        "`encrypted: true` is not supported: that cipher's key is public, so it protects nothing; write the passwords in plain (mode 0600), or leave them out and give them when asked"
    )]
    Encrypted,
}
