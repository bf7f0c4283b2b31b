//! The instructions of a Kubefile as data.

use crate::{Keyword, Span, Word};

/// One instruction with the place it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// From the first character of the name to the last of the instruction, here-documents included.
    pub span: Span,
    /// The name alone, as written.
    pub name: Span,
    /// Its content.
    pub kind: InstructionKind,
    /// Its here-documents in the order of their markers.
    pub heredocs: Vec<Heredoc>,
    /// The text under [`span`](Self::span), verbatim.
    pub original: String,
    /// The arguments as one line: continuations joined, comments dropped, here-documents left out.
    pub arguments: String,
}

impl Instruction {
    /// Name and arguments on one line, for progress displays and histories: `COPY manifests manifests`.
    #[must_use]
    pub fn title(&self) -> String {
        let words: Vec<&str> = self.arguments.split_whitespace().collect();
        format!("{} {}", self.kind.keyword(), words.join(" ")).trim_end().to_owned()
    }
}

/// The instructions a Kubefile knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstructionKind {
    /// `FROM [--platform=P] IMAGE [AS NAME]`
    From {
        /// The image; `scratch` means nothing below.
        image: Word,
        /// The platform to take from a multi-platform image.
        platform: Option<Word>,
        /// The stage name; accepted for Dockerfile habits, nothing can refer to it.
        stage: Option<Name>,
    },
    /// `COPY [--chown=U[:G]] [--chmod=M] SOURCE… DESTINATION`
    Copy(Transfer),
    /// `ADD`, with the flags of COPY and `--checksum=sha256:SUM`.
    Add(Transfer),
    /// `RUN`: performed while building.
    Run(ShellOrExec),
    /// `CMD`: performed on the first master when the image is run.
    Cmd(ShellOrExec),
    /// `CMDS ["command", …]`: several commands as of CMD.
    Cmds(Vec<String>),
    /// `ARG NAME[=DEFAULT] …`, also separated by commas.
    Arg(Vec<ArgDefault>),
    /// `ENV NAME=VALUE …` or `ENV NAME VALUE`
    Env(Vec<Assignment>),
    /// `LABEL KEY=VALUE …` or `LABEL KEY VALUE`
    Label(Vec<Label>),
    /// `MAINTAINER TEXT`
    Maintainer(String),
    /// `APP NAME SOURCE…`
    App(App),
    /// `APPCMDS NAME ["command", …]`: how to launch an app.
    AppCmds {
        /// The app.
        name: Name,
        /// Its launch commands.
        commands: Vec<String>,
    },
    /// `APPENV NAME KEY=VALUE …`: variables of an app.
    AppEnv {
        /// The app.
        name: Name,
        /// Its variables.
        values: Vec<Assignment>,
    },
    /// `LAUNCH ["app", …]`: the apps to launch and their order.
    Launch(Vec<Name>),
    /// `CNI NAME SOURCE…`: an app that is a network plugin.
    Cni(App),
    /// `CSI NAME SOURCE…`: an app that is a storage plugin.
    Csi(App),
    /// `KUBEVERSION RANGE`: the Kubernetes versions an app image supports.
    KubeVersion(Word),
}

impl InstructionKind {
    /// The instruction's name.
    #[must_use]
    pub fn keyword(&self) -> Keyword {
        match self {
            Self::From { .. } => Keyword::From,
            Self::Copy(_) => Keyword::Copy,
            Self::Add(_) => Keyword::Add,
            Self::Run(_) => Keyword::Run,
            Self::Cmd(_) => Keyword::Cmd,
            Self::Cmds(_) => Keyword::Cmds,
            Self::Arg(_) => Keyword::Arg,
            Self::Env(_) => Keyword::Env,
            Self::Label(_) => Keyword::Label,
            Self::Maintainer(_) => Keyword::Maintainer,
            Self::App(_) => Keyword::App,
            Self::AppCmds { .. } => Keyword::AppCmds,
            Self::AppEnv { .. } => Keyword::AppEnv,
            Self::Launch(_) => Keyword::Launch,
            Self::Cni(_) => Keyword::Cni,
            Self::Csi(_) => Keyword::Csi,
            Self::KubeVersion(_) => Keyword::KubeVersion,
        }
    }
}

/// A command line for the shell, or an argument vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShellOrExec {
    /// Text for `sh -c`. Variables are the shell's business.
    Shell(String),
    /// Program and arguments, taken literally; never empty.
    Exec(Vec<String>),
}

/// A bare name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Its place in the file.
    pub span: Span,
}

/// What COPY and ADD move, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// At least one.
    pub sources: Vec<Source>,
    /// A path in the rootfs.
    pub destination: Word,
    /// `--chown`
    pub chown: Option<Word>,
    /// `--chmod`
    pub chmod: Option<Word>,
    /// `--checksum` of ADD
    pub checksum: Option<Word>,
}

/// One source of a [`Transfer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path in the build context (perhaps with wildcards) or an `http(s)` URL: decided when variables are known.
    Text(Word),
    /// The here-document with this index in [`Instruction::heredocs`].
    Heredoc(usize),
}

/// One name of an ARG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDefault {
    /// The name.
    pub name: Name,
    /// The default, when one is given.
    pub default: Option<Word>,
}

/// A variable and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The variable's name.
    pub name: Name,
    /// Its value.
    pub value: Word,
}

/// A label; its key may contain variables too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The key.
    pub key: Word,
    /// The value.
    pub value: Word,
}

/// An application that travels in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Its name.
    pub name: Name,
    /// Where its files come from, `local://PATH` or an `http(s)` URL; at least one.
    pub sources: Vec<Word>,
}

/// A here-document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter, which also names the file that COPY makes from it.
    pub name: String,
    /// The marker (`<<EOF`) on the instruction's line.
    pub marker: Span,
    /// The lines between marker line and delimiter line.
    pub body: Span,
    /// The text: tabs stripped as `<<-` asks, `\r\n` turned to `\n`, every line ended by `\n`.
    pub content: String,
    /// `content` with its variables found; one literal when the delimiter was quoted.
    pub template: Word,
    /// Written as `<<-`.
    pub strip_tabs: bool,
    /// The delimiter was quoted: nothing is replaced inside.
    pub quoted: bool,
}
