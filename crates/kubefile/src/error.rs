//! Errors of a Kubefile: what is wrong, where, and what was expected.

use std::fmt;

use crate::span::SourceText;
use crate::{Keyword, Span};

/// Everything wrong with a Kubefile, in the order of the text; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors(Vec<Error>);

/// One thing wrong with a Kubefile.
///
/// `Display` gives one line, `LINE:COLUMN: message`, with the suggestion; the parts for a fuller rendering are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What to point at; empty when something is missing at a place.
    pub span: Span,
    /// What is wrong.
    pub kind: ErrorKind,
    /// The line of the file on which the span begins, without line ending (of a very long line the first 4096 bytes).
    pub line: String,
    /// An earlier place that explains the error, with its line number in [`Span::line`].
    pub related: Option<Span>,
}

/// The kinds of errors; their `Display` is the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message above each variant says it, its fields are the message's")]
pub enum ErrorKind {
    #[error("the Kubefile has {bytes} bytes, more than the {limit} allowed")]
    TooLarge { bytes: usize, limit: usize },
    #[error("the Kubefile has more than {limit} instructions")]
    TooManyInstructions { limit: usize },
    #[error("the Kubefile has more than {limit} errors, the rest is not shown")]
    TooManyErrors { limit: usize },
    #[error("the Kubefile is not a text file: it contains a NUL character")]
    NotText,
    #[error("another escape character is not supported")]
    EscapeDirective,
    #[error("the Kubefile contains no instruction")]
    Empty,
    #[error("unknown instruction `{name}`")]
    UnknownInstruction { name: String, suggestion: Option<Keyword> },
    #[error("`{name}` has no meaning in a Kubefile")]
    DockerfileInstruction { name: String, instead: &'static str },
    #[error("the Kubefile has no FROM")]
    MissingFrom,
    #[error("{instruction} before FROM")]
    BeforeFrom { instruction: Keyword },
    #[error("a second FROM: a Kubefile builds one image from one base")]
    SecondFrom,
    #[error("{instruction} needs {needs}")]
    MissingArgument { instruction: Keyword, needs: &'static str, expected: &'static str },
    #[error("{instruction} does not take this argument")]
    UnexpectedArgument { instruction: Keyword, expected: &'static str },
    #[error("unterminated {} quote", if *quote == '"' { "double" } else { "single" })]
    UnterminatedQuote { quote: char },
    #[error("unterminated `${{`")]
    UnterminatedVariable,
    #[error("bad variable reference")]
    BadVariable { expected: &'static str },
    #[error("variables are nested more than {limit} deep")]
    NestedTooDeep { limit: usize },
    #[error("unterminated here-document `{name}`")]
    UnterminatedHeredoc { name: String },
    #[error("a here-document cannot be {what}")]
    MisplacedHeredoc { what: &'static str, expected: &'static str },
    #[error("bad JSON array")]
    BadJson { expected: &'static str },
    #[error("{instruction} needs a JSON array of strings")]
    NeedsJson { instruction: Keyword, example: &'static str },
    #[error("unknown flag `--{flag}` of {instruction}")]
    UnknownFlag { instruction: Keyword, flag: String, suggestion: Option<&'static str>, expected: &'static str },
    #[error("`--{flag}` is not supported by {instruction} in a Kubefile")]
    UnsupportedFlag { instruction: Keyword, flag: String, reason: &'static str },
    #[error("flag `--{flag}` given twice")]
    RepeatedFlag { flag: String },
    #[error("flag `{text}` behind the arguments of {instruction}")]
    MisplacedFlag { instruction: Keyword, text: String },
    #[error("flag `--{flag}` needs a value")]
    FlagWithoutValue { flag: String, example: &'static str },
    #[error("bad mode `{value}`")]
    BadMode { value: String },
    #[error("bad checksum `{value}`")]
    BadChecksum { value: String },
    #[error("--checksum is for one source, a URL")]
    ChecksumOfFiles,
    #[error("bad owner `{value}`")]
    BadOwner { value: String },
    #[error("bad {instruction} pair `{text}`")]
    BadPair { instruction: Keyword, text: String, expected: &'static str },
    #[error("bad {what} `{name}`")]
    BadName { what: &'static str, name: String, expected: &'static str },
    #[error("bad source `{text}`")]
    BadSource { text: String, expected: &'static str, suggestion: Option<String> },
    #[error("no app is called `{name}`")]
    UnknownApp { name: String, suggestion: Option<String> },
    #[error("app `{name}` is declared twice")]
    RepeatedApp { name: String },
    #[error("{instruction} for app `{name}` is given twice")]
    RepeatedForApp { instruction: Keyword, name: String },
    #[error("{instruction} is given twice")]
    Repeated { instruction: Keyword },
    #[error("{instruction} conflicts with {earlier}")]
    Conflict { instruction: Keyword, earlier: Keyword },
    #[error("{what} is empty once its variables are replaced")]
    EmptyValue { what: &'static str },
    #[error("variable `{name}` is required: {message}")]
    RequiredVariable { name: String, message: String },
    #[error("more than {limit} bytes once variables are replaced")]
    ExpansionTooLong { limit: usize },
    #[error("all ARG and ENV values together have more than {limit} bytes")]
    EnvironmentTooLarge { limit: usize },
}

impl Error {
    pub(crate) fn new(source: &SourceText, span: Span, kind: ErrorKind) -> Self {
        let line = source.line(span.line, MAX_LINE).to_owned();
        Self { span, kind, line, related: None }
    }

    pub(crate) fn related_to(self, related: Span) -> Self {
        Self { related: Some(related), ..self }
    }

    /// What is wrong, in one sentence without place.
    #[must_use]
    pub fn message(&self) -> String {
        self.kind.to_string()
    }

    /// Text to stand at the caret: the suggestion, or what was expected.
    #[must_use]
    pub fn label(&self) -> String {
        if let Some(suggestion) = self.suggestion() {
            return format!("did you mean `{suggestion}`?");
        }
        self.kind.expectation()
    }

    /// A replacement for the text under the span that would probably be right.
    #[must_use]
    pub fn suggestion(&self) -> Option<String> {
        match &self.kind {
            ErrorKind::UnknownInstruction { suggestion, .. } => suggestion.map(|keyword| keyword.to_string()),
            ErrorKind::UnknownFlag { suggestion, .. } => suggestion.map(|flag| format!("--{flag}")),
            ErrorKind::BadSource { suggestion, .. } | ErrorKind::UnknownApp { suggestion, .. } => suggestion.clone(),
            _ => None,
        }
    }
}

const MAX_LINE: usize = 4096;

impl ErrorKind {
    fn expectation(&self) -> String {
        match self {
            Self::TooLarge { .. } => "move large texts into files and COPY them".to_owned(),
            Self::TooManyInstructions { .. } => "join instructions, or build in two images".to_owned(),
            Self::TooManyErrors { .. } => "fix the errors above first".to_owned(),
            Self::EscapeDirective => "lines continue with `\\`; take this line out".to_owned(),
            Self::NotText => "expected text".to_owned(),
            Self::Empty | Self::MissingFrom => "expected `FROM IMAGE` or `FROM scratch` first".to_owned(),
            Self::BeforeFrom { .. } => "only ARG may stand before FROM".to_owned(),
            Self::UnknownInstruction { .. } => "expected an instruction such as FROM, COPY, RUN or CMD".to_owned(),
            Self::DockerfileInstruction { instead, .. } => (*instead).to_owned(),
            Self::SecondFrom => {
                "a Kubefile has one base: build that image FROM the first one, and this one FROM the result".to_owned()
            }
            Self::MissingArgument { expected, .. }
            | Self::UnexpectedArgument { expected, .. }
            | Self::BadVariable { expected }
            | Self::MisplacedHeredoc { expected, .. }
            | Self::BadJson { expected }
            | Self::BadPair { expected, .. }
            | Self::BadName { expected, .. }
            | Self::BadSource { expected, .. }
            | Self::UnknownFlag { expected, .. } => (*expected).to_owned(),
            Self::UnterminatedQuote { quote } => format!("expected a closing `{quote}`"),
            Self::UnterminatedVariable => "expected a closing `}`".to_owned(),
            Self::NestedTooDeep { .. } => "split it with ARG".to_owned(),
            Self::UnterminatedHeredoc { name } => {
                format!("expected a later line that is exactly `{name}`")
            }
            Self::NeedsJson { example, .. } => format!("expected an array such as {example}"),
            Self::UnsupportedFlag { reason, .. } => (*reason).to_owned(),
            Self::MisplacedFlag { .. } => {
                "flags stand before the sources; a file of this name is written `./--…`".to_owned()
            }
            Self::RepeatedFlag { .. } => "remove one of them".to_owned(),
            Self::FlagWithoutValue { flag, example } => format!("expected `--{flag}={example}`"),
            Self::BadMode { .. } => "expected an octal mode such as 755 or 0644".to_owned(),
            Self::BadChecksum { .. } => "expected sha256: and 64 digits 0-9, a-f".to_owned(),
            Self::ChecksumOfFiles => "write an ADD of its own for each URL".to_owned(),
            Self::BadOwner { .. } => "expected USER, USER:GROUP or UID:GID".to_owned(),
            Self::UnknownApp { .. } => "expected the name of an APP, CNI or CSI".to_owned(),
            Self::RepeatedApp { .. } => "give the second one another name".to_owned(),
            Self::RepeatedForApp { instruction, .. } => format!("join both into one {instruction}"),
            Self::Repeated { instruction } => format!("expected only one {instruction}"),
            Self::Conflict { instruction, earlier } => format!("keep either {earlier} or {instruction}"),
            Self::EmptyValue { .. } => "set the variable, or give a default as in `${NAME:-default}`".to_owned(),
            Self::RequiredVariable { name, .. } => {
                format!("set it with `--build-arg {name}=VALUE`")
            }
            Self::ExpansionTooLong { .. } => "a variable is used here that is very long".to_owned(),
            Self::EnvironmentTooLarge { .. } => "expected shorter values".to_owned(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { span, kind, .. } = self;
        write!(formatter, "{}:{}: {kind}: {}", span.line, span.column, self.label())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.kind)
    }
}

impl Errors {
    /// Sorts by place; `None` when there is no error. Beyond `MAX_ERRORS` one error says that there are more.
    pub(crate) fn collect(mut errors: Vec<Error>) -> Option<Self> {
        errors.sort_by_key(|error| (error.span.start, error.span.end));
        if let Some(cut) = errors.get(MAX_ERRORS) {
            let kind = ErrorKind::TooManyErrors { limit: MAX_ERRORS };
            let last = Error { kind, related: None, ..cut.clone() };
            errors.truncate(MAX_ERRORS);
            errors.push(last);
        }
        (!errors.is_empty()).then_some(Self(errors))
    }

    /// The errors in the order of the text.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.0.iter()
    }

    /// How many there are; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Nobody reads more at once.
pub(crate) const MAX_ERRORS: usize = 100;

/// One error a line.
impl fmt::Display for Errors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

impl IntoIterator for Errors {
    type Item = Error;
    type IntoIter = std::vec::IntoIter<Error>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Errors {
    type Item = &'a Error;
    type IntoIter = std::slice::Iter<'a, Error>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
