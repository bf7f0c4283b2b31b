//! Parses a Kubefile into instructions with their line and column.
//!
//! A Kubefile describes a cluster image as a Dockerfile describes a container image. This crate is for programs that
//! build, check or generate one. It is pure: it reads no files, environment or network, and no input can make it panic,
//! take more than linear time or grow memory without bound.
//!
//! # Steps
//! 1. [`parse`] returns a [`Kubefile`] or all of its [`Errors`].
//! 2. [`Kubefile::check_apps`] checks the names of apps that the base image must contain, once that image is known.
//! 3. [`Kubefile::expand`] replaces the variables and returns [`Resolved`] instructions, ready to be executed.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! let text = r#"
//! ARG VERSION=v1.20.2
//! FROM kubernetes:${VERSION}
//! COPY --chmod=755 scripts/*.sh scripts/
//! RUN wget https://example.com/${ARCH}/recommended.yaml
//! CMD kubectl apply -f recommended.yaml
//! "#;
//! let kubefile = kubefile::parse(text)?;
//! let predefined = BTreeMap::from([("ARCH".to_owned(), "amd64".to_owned())]);
//! let resolved = kubefile.expand(&BTreeMap::new(), &predefined)?;
//! for instruction in &resolved.instructions {
//!     match &instruction.kind {
//!         kubefile::ResolvedKind::From { base: kubefile::Base::Image(image), .. } => {
//!             assert_eq!(image, "kubernetes:v1.20.2");
//!         }
//!         kubefile::ResolvedKind::Copy(transfer) => assert_eq!(transfer.chmod, Some(0o755)),
//!         _ => {}
//!     }
//! }
//!
//! let errors = kubefile::parse("FROM scratch\nCOPPY a b\nCOPY a\n").expect_err("two mistakes");
//! assert_eq!(
//!     errors.to_string(),
//!     "2:1: unknown instruction `COPPY`: did you mean `COPY`?\n\
//!      3:7: COPY needs a source and a destination: expected a destination here"
//! );
//! # Ok::<(), kubefile::Errors>(())
//! ```
//!
//! # Features
//! The crate has no cargo features.
//!
//! # Errors
//! Up to 100 errors of a file are reported together, each with its [`Span`], line and column, a message, what was expected
//! and, where one is close, the word that was probably meant. [`Kubefile::expand`] reports variables that have no value.
//!
//! # The language
//! A line is `NAME arguments`, the name in any letter case. `\` at the end continues a line (blanks may follow it);
//! lines that begin with `#` are comments, also between continued lines, where empty lines are skipped too. `\r\n` and a
//! byte order mark are fine. Behind the arguments of an instruction a comment is an error, as in Docker, or part of a command
//! or of the one value of `ENV NAME the rest`; only behind those of ARG it is skipped. Words are quoted as in a shell: nothing means anything in `'…'`; in `"…"` variables do, and
//! `\` before `"`, `$` and `\`; outside quotes `\` takes any character literally.
//!
//! `$X`, `${X}`, `${X:-default}`, `${X:+alternative}` and `${X:?message}` (each also without the colon, where an empty value
//! counts as set) are replaced in all arguments but those of RUN, CMD, CMDS and APPCMDS, which a shell will read: RUN gets
//! the variables as its environment. ENV wins over ARG, ARG over predefined variables. An ARG before FROM counts for the
//! FROM, and later once it is named again.
//!
//! COPY, ADD, RUN, CMD, LAUNCH, APP, CNI and CSI accept a JSON array of strings; CMDS and APPCMDS need one. A `[` that cannot
//! be meant as an array, as in `RUN [ -f x ]` or `COPY [a-z]* d/`, is plain text.
//!
//! COPY, ADD, RUN and CMD take here-documents, several on a line: `<<EOF`, `<<-EOF` (leading tabs are stripped), and quoted
//! delimiters, for which COPY and ADD replace no variables. `RUN <<EOF` alone runs the document as a script.
//!
//! # Differences from upstream sealer
//! - **CMD is one command.** Version 0.8 split its text at commas, which breaks `kubectl get -l a=b,c=d`; later versions did
//!   not. CMDS is for several commands.
//! - `ARG a=1,b=2` declares two names only where a comma is followed by `NAME=`; quotes keep a value whole.
//! - Several CMD are kept in order. LAUNCH beside CMD or CMDS is an error, as upstream has it; LAUNCH need not be last.
//! - Unknown instructions are errors, not warnings; so are flags that would have no effect.
//! - COPY takes several sources, `--chown` and `--chmod`. Sources in git are refused.
//! - One FROM: a Kubefile has no stages, so `AS name` is accepted and ignored, and `--from` is refused.
//! - `# escape=` and other parser directives are comments.
//!
//! # Limits
//! [`MAX_BYTES`] and [`MAX_INSTRUCTIONS`] a file, 100 errors, 16 nested variables, 128 KiB of ARG and ENV values, 16 MiB of
//! text once variables are replaced.

mod error;
mod expand;
mod instruction;
mod keyword;
mod kubefile;
mod parse;
mod resolved;
mod span;
mod word;

pub use error::{Error, ErrorKind, Errors};
pub use instruction::{
    App, ArgDefault, Assignment, Heredoc, Instruction, InstructionKind, Label, Name, ShellOrExec, Source, Transfer,
};
pub use keyword::Keyword;
pub use kubefile::Kubefile;
pub use parse::{MAX_BYTES, MAX_INSTRUCTIONS, parse};
pub use resolved::{
    Base, Owner, Resolved, ResolvedInstruction, ResolvedKind, ResolvedSource, ResolvedTransfer, Warning,
};
pub use span::Span;
pub use word::{Modifier, ModifierKind, Part, Variable, Word};
