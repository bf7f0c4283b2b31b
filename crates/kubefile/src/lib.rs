//! Parses a Kubefile into instructions that remember where they stood.

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
    App, ArgDefault, Assignment, Heredoc, Instruction, InstructionKind, Label, Name, ShellOrExec,
    Source, Transfer,
};
pub use keyword::Keyword;
pub use kubefile::Kubefile;
pub use parse::{MAX_BYTES, MAX_INSTRUCTIONS, parse};
pub use resolved::{
    Base, Owner, Resolved, ResolvedInstruction, ResolvedKind, ResolvedSource, ResolvedTransfer,
    Warning,
};
pub use span::Span;
pub use word::{Modifier, ModifierKind, Part, Variable, Word};
