//! Reads a whole file, instruction by instruction.

use nom::Input as _;
use nom::Parser;
use nom::bytes::complete::take_till;

use crate::keyword::dockerfile_only;
use crate::parse::arguments::{Arguments, Sink};
use crate::parse::check::{Overview, Seen, check};
use crate::parse::joined::Input;
use crate::parse::lines::{Lines, Logical};
use crate::parse::transfer::shorten;
use crate::parse::word::{Parsed, between, blanks, end_of};
use crate::parse::{app, command, heredoc, pairs, transfer};
use crate::span::SourceText;
use crate::{Error, ErrorKind, Errors, Instruction, InstructionKind, Keyword, Kubefile};

/// The largest Kubefile that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// The most instructions that are read.
pub const MAX_INSTRUCTIONS: usize = 1000;

/// Reads the text of a Kubefile.
///
/// # Errors
/// Everything that is wrong with it, in one pass. Apps that a base image could bring are not checked here, see
/// [`Kubefile::check_apps`].
pub fn parse(text: &str) -> Result<Kubefile, Errors> {
    let source = readable(text)?;
    let mut sink = Sink::default();
    escape_directive(&source, &mut sink);
    let mut instructions = Vec::new();
    let mut overview = Overview::default();
    let mut lines = Lines::new(&source);
    while let Some(line) = lines.next_logical() {
        if overview.seen.len() == MAX_INSTRUCTIONS {
            let kind = ErrorKind::TooManyInstructions { limit: MAX_INSTRUCTIONS };
            sink.push(Error::new(&source, line.span_to(line.end), kind));
            break;
        }
        instructions.extend(instruction(&line, &mut lines, &mut overview, &mut sink));
        if sink.is_full() {
            break;
        }
    }
    let kubefile = Kubefile { instructions, source };
    if !sink.is_full() {
        check(&kubefile, &overview, &mut sink);
    }
    Errors::collect(sink.into_errors()).map_or(Ok(kubefile), Err)
}

/// The text, when it is one and not too large.
fn readable(text: &str) -> Result<SourceText, Errors> {
    let large = text.len() > MAX_BYTES;
    let source = SourceText::new(if large { "" } else { text });
    let (at, kind) = match text.find('\0') {
        _ if large => (0, ErrorKind::TooLarge { bytes: text.len(), limit: MAX_BYTES }),
        Some(at) => (at, ErrorKind::NotText),
        None => return Ok(source),
    };
    let error = Error::new(&source, source.span(at..at), kind);
    Errors::collect(vec![error]).map_or(Ok(source), Err)
}

/// Reports a `# escape=` among the first lines that asks for another character than `\\`.
fn escape_directive(source: &SourceText, sink: &mut Sink) {
    let mut at = source.first();
    for line in source.text()[at..].split_inclusive('\n') {
        let directive = line.trim_start().strip_prefix('#').and_then(|comment| comment.split_once('='));
        // As in a Dockerfile, the first line that is no directive ends them.
        let Some((name, value)) = directive.filter(|(name, _)| name.trim().chars().all(char::is_alphanumeric)) else {
            return;
        };
        if name.trim().eq_ignore_ascii_case("escape") && value.trim() != "\\" {
            let span = source.span(at..at + line.trim_end().len());
            sink.push(Error::new(source, span, ErrorKind::EscapeDirective));
        }
        at += line.len();
    }
}

fn instruction(
    line: &Logical<'_>,
    lines: &mut Lines<'_>,
    overview: &mut Overview,
    sink: &mut Sink,
) -> Option<Instruction> {
    let (input, name) = sink.take(split_name(line.joined.input()))?;
    let name_span = between(name, end_of(name));
    let Some(keyword) = Keyword::find(name.fragment()) else {
        sink.push(Error::new(lines.source(), name_span, unknown(name.fragment(), overview)));
        // The here-documents of a misspelt instruction are not instructions.
        if let Some(keyword) = Keyword::closest(name.fragment()) {
            heredoc::read(keyword, input, lines, sink);
        }
        return None;
    };
    let (heredocs, heredocs_end) = heredoc::read(keyword, input, lines, sink);
    let kind = read(Arguments { keyword, input, heredocs: &heredocs }, sink);
    overview.seen.push(Seen { keyword, name: name_span, read: kind.is_some() });
    let span = line.span_to(heredocs_end.unwrap_or(line.end));
    let original = span.slice(lines.source().text()).to_owned();
    let arguments = (*input.fragment()).to_owned();
    Some(Instruction { span, name: name_span, kind: kind?, heredocs, original, arguments })
}

/// The instruction's name, and its arguments without the blanks around them.
fn split_name(input: Input<'_>) -> Parsed<'_, Input<'_>> {
    let input = input.take(input.fragment().trim_end().len());
    let (input, _) = blanks(input)?;
    let (rest, name) = take_till(char::is_whitespace).parse(input)?;
    let (rest, _) = blanks(rest)?;
    Ok((rest, name))
}

fn unknown(name: &str, overview: &mut Overview) -> ErrorKind {
    overview.unknown = true;
    if let Some(instead) = dockerfile_only(name) {
        return ErrorKind::DockerfileInstruction { name: name.to_ascii_uppercase(), instead };
    }
    let suggestion = Keyword::closest(name);
    overview.misspelt_from |= suggestion == Some(Keyword::From);
    ErrorKind::UnknownInstruction { name: shorten(name), suggestion }
}

fn read(arguments: Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    match arguments.keyword {
        Keyword::From => command::from(arguments, sink),
        Keyword::Copy | Keyword::Add => transfer::read(arguments, sink),
        Keyword::Run => command::run(arguments, sink),
        Keyword::Cmd => command::cmd(&arguments, sink),
        Keyword::Cmds => command::cmds(&arguments, sink),
        Keyword::Arg => pairs::arg(&arguments, sink),
        Keyword::Env => pairs::env(&arguments, sink),
        Keyword::Label => pairs::label(&arguments, sink),
        Keyword::Maintainer => command::maintainer(&arguments, sink),
        Keyword::App | Keyword::Cni | Keyword::Csi => app::app(&arguments, sink),
        Keyword::AppCmds => app::app_cmds(&arguments, sink),
        Keyword::AppEnv => app::app_env(&arguments, sink),
        Keyword::Launch => app::launch(&arguments, sink),
        Keyword::KubeVersion => command::kube_version(&arguments, sink),
    }
}
