//! A Kubefile after all variables are replaced.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Keyword, ShellOrExec, Span};

/// A Kubefile with all variables replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// One for each instruction of the file, in its order.
    pub instructions: Vec<ResolvedInstruction>,
    /// Values of all ARG declared after FROM, at the end of the file: defaults for the arguments of CMD.
    pub arguments: BTreeMap<String, String>,
    /// Values of all ENV at the end of the file.
    pub environment: BTreeMap<String, String>,
    /// What is probably a mistake, though nothing fails.
    pub warnings: Vec<Warning>,
}

/// An instruction with all variables replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedInstruction {
    /// Its place in the file.
    pub span: Span,
    /// Name and arguments on one line as written, see [`Instruction::title`](crate::Instruction::title).
    pub title: String,
    /// Its content.
    pub kind: ResolvedKind,
}

/// An instruction's meaning with all variables replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResolvedKind {
    /// What the image starts from.
    From {
        /// The base.
        base: Base,
        /// `--platform`, such as `linux/arm64`.
        platform: Option<String>,
    },
    /// Files to copy in.
    Copy(ResolvedTransfer),
    /// Files to copy in.
    Add(ResolvedTransfer),
    /// A command to run now.
    Run {
        /// The command; here-documents are part of the shell text, whole.
        command: ShellOrExec,
        /// ARG, ENV and predefined variables in force here.
        environment: Arc<BTreeMap<String, String>>,
    },
    /// A command to record; here-documents are part of the shell text, whole.
    Cmd(ShellOrExec),
    /// Commands to record.
    Cmds(Vec<String>),
    /// Declared build arguments and their values; `None` when one has no value.
    Arg(Vec<(String, Option<String>)>),
    /// Variables for RUN and for the running image.
    Env(Vec<(String, String)>),
    /// Labels.
    Label(Vec<(String, String)>),
    /// Who maintains the image.
    Maintainer(String),
    /// An app of the kind named by the keyword: APP, CNI or CSI.
    App {
        /// [`Keyword::App`], [`Keyword::Cni`] or [`Keyword::Csi`].
        declared_by: Keyword,
        /// Its name.
        name: String,
        /// Its files: paths in the build context (`local://` is gone) and URLs.
        sources: Vec<ResolvedSource>,
    },
    /// Launch commands of an app.
    AppCmds {
        /// The app.
        name: String,
        /// The commands.
        commands: Vec<String>,
    },
    /// Variables of an app.
    AppEnv {
        /// The app.
        name: String,
        /// The variables.
        values: Vec<(String, String)>,
    },
    /// Apps to launch, in this order.
    Launch(Vec<String>),
    /// Supported Kubernetes versions, such as `>= 1.20, < 1.24`.
    KubeVersion(String),
}

/// What an image starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// The image of this name.
    Image(String),
}

/// COPY or ADD with all variables replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedTransfer {
    /// At least one.
    pub sources: Vec<ResolvedSource>,
    /// A path in the rootfs, as written.
    pub destination: String,
    /// Owner of the copied files.
    pub chown: Option<Owner>,
    /// Mode of the copied files, at most `0o7777`.
    pub chmod: Option<u32>,
    /// The SHA-256 that the only source, a URL, must have, in hexadecimal digits.
    pub checksum: Option<String>,
}

/// Where a file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedSource {
    /// A path in the build context; may contain wildcards.
    Path(String),
    /// An `http://` or `https://` URL.
    Url(String),
    /// A file written in the Kubefile itself.
    Heredoc {
        /// Its name, when the destination is a directory.
        name: String,
        /// Its content.
        content: String,
    },
}

/// An owner as given by `--chown`, names or numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User; empty never.
    pub user: String,
    /// Group, when given.
    pub group: Option<String>,
}

/// Something that is probably a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A build argument that no ARG declares.
    UnusedBuildArg {
        /// Its name.
        name: String,
        /// A declared name that is close to it.
        suggestion: Option<String>,
    },
    /// A CMD whose list is taken as one command and its arguments.
    OneCommand {
        /// Where it stands.
        span: Span,
    },
    /// A variable that nothing sets; it was replaced by nothing.
    UndefinedVariable {
        /// Its name.
        name: String,
        /// Where it is used.
        span: Span,
        /// A set name that is close to it.
        suggestion: Option<String>,
    },
}

impl std::fmt::Display for Warning {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let suggestion = match self {
            Self::UnusedBuildArg { name, suggestion } => {
                write!(formatter, "no ARG declares the build argument `{name}`")?;
                suggestion
            }
            Self::OneCommand { span } => {
                let rule = "one command and its arguments, since its first text has no blank; CMDS lists commands";
                write!(formatter, "{}:{}: the list of CMD is taken as {rule}", span.line, span.column)?;
                &None
            }
            Self::UndefinedVariable { name, span, suggestion } => {
                write!(formatter, "{}:{}: nothing sets the variable `{name}`", span.line, span.column)?;
                suggestion
            }
        };
        suggestion.iter().try_for_each(|name| write!(formatter, ", did you mean `{name}`?"))
    }
}
