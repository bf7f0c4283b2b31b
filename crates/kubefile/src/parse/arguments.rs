//! The arguments of one instruction, as every reader takes them, and the place where errors are collected.

use nom::bytes::complete::{take_while, take_while1};
use nom::character::complete::char;
use nom::{Err, Parser};

use crate::keyword::closest;
use crate::parse::joined::Input;
use crate::parse::word::{Fault, Parsed, between, blank_ended_word, blanks, end_of};
use crate::{Error, ErrorKind, Heredoc, Keyword, Name, Span, Word};

/// The arguments of one instruction.
#[derive(Debug)]
pub(crate) struct Arguments<'a> {
    pub(crate) keyword: Keyword,
    /// From the first argument on, without trailing blanks.
    pub(crate) input: Input<'a>,
    pub(crate) heredocs: &'a [Heredoc],
}

/// Collects errors, up to a number nobody reads to the end.
#[derive(Debug, Default)]
pub(crate) struct Sink(Vec<Error>);

const MAX_KEPT: usize = 1000;

impl Sink {
    pub(crate) fn push(&mut self, error: Error) {
        if !self.is_full() {
            self.0.push(error);
        }
    }

    /// Keeps an error that leaves nothing to return.
    pub(crate) fn refuse<T>(&mut self, error: Error) -> Option<T> {
        self.push(error);
        None
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        if let Some(error) = fault.0 {
            self.push(*error);
        }
    }

    /// The value, unless there was an error to keep.
    pub(crate) fn take<T>(&mut self, result: Result<T, Err<Fault>>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(Err::Error(fault) | Err::Failure(fault)) => {
                self.fault(fault);
                None
            }
            Err(Err::Incomplete(_)) => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Nothing more is kept, and nobody would read it.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= MAX_KEPT
    }

    pub(crate) fn into_errors(self) -> Vec<Error> {
        self.0
    }
}

impl<'a> Arguments<'a> {
    /// The place of all arguments.
    pub(crate) fn all(&self) -> Span {
        between(self.input, end_of(self.input))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.input.fragment().is_empty()
    }

    /// Refuses an instruction without arguments.
    pub(crate) fn need(&self, needs: &'static str, expected: &'static str, sink: &mut Sink) -> Option<()> {
        if self.is_empty() { sink.refuse(self.missing(needs, expected)) } else { Some(()) }
    }

    pub(crate) fn error(&self, span: Span, kind: ErrorKind) -> Error {
        Error::new(self.input.extra.source(), span, kind)
    }

    /// The error that something is missing where the arguments end.
    pub(crate) fn missing(&self, needs: &'static str, expected: &'static str) -> Error {
        let end = end_of(self.input);
        self.error(between(end, end), ErrorKind::MissingArgument { instruction: self.keyword, needs, expected })
    }

    /// The error that `span` is one argument too many.
    pub(crate) fn unexpected(&self, span: Span, expected: &'static str) -> Error {
        self.error(span, ErrorKind::UnexpectedArgument { instruction: self.keyword, expected })
    }

    /// Takes `--name[=value]` from the front and checks it against what the instruction knows.
    pub(crate) fn flags(&mut self, known: &Known, sink: &mut Sink) -> Vec<Flag> {
        let mut flags: Vec<Flag> = Vec::new();
        while self.input.fragment().starts_with("--") {
            let Some((rest, flag)) = sink.take(flag(self.input)) else {
                self.input = end_of(self.input);
                return flags;
            };
            self.input = rest;
            match self.flag_problem(known, &flag, &flags) {
                Some(kind) => sink.push(self.error(flag.name.span, kind)),
                None => flags.push(flag),
            }
        }
        flags
    }

    fn flag_problem(&self, known: &Known, flag: &Flag, before: &[Flag]) -> Option<ErrorKind> {
        let instruction = self.keyword;
        let name = flag.name.text.clone();
        if let Some(&(_, reason)) = known.unsupported.iter().find(|(unsupported, _)| *unsupported == name) {
            return Some(ErrorKind::UnsupportedFlag { instruction, flag: name, reason });
        }
        let Some(&(_, example)) = known.supported.iter().find(|(supported, _)| *supported == name) else {
            let suggestion = closest(&name, known.supported.iter().map(|(supported, _)| *supported));
            return Some(ErrorKind::UnknownFlag { instruction, flag: name, suggestion, expected: known.expected });
        };
        if before.iter().any(|earlier| earlier.name.text == name) {
            return Some(ErrorKind::RepeatedFlag { flag: name });
        }
        let valued = flag.value.as_ref().is_some_and(|value| !value.parts.is_empty());
        (!valued).then_some(ErrorKind::FlagWithoutValue { flag: name, example })
    }
}

/// The flags of an instruction.
#[derive(Debug)]
pub(crate) struct Known {
    /// Name and an example of a value.
    pub(crate) supported: &'static [(&'static str, &'static str)],
    /// Name and why not.
    pub(crate) unsupported: &'static [(&'static str, &'static str)],
    pub(crate) expected: &'static str,
}

/// A flag as written; the span of its name has the dashes.
#[derive(Debug)]
pub(crate) struct Flag {
    pub(crate) name: Name,
    pub(crate) value: Option<Word>,
}

impl Flag {
    pub(crate) fn take(flags: &mut Vec<Self>, name: &str) -> Option<Word> {
        let index = flags.iter().position(|flag| flag.name.text == name)?;
        flags.swap_remove(index).value
    }
}

fn flag(input: Input<'_>) -> Parsed<'_, Flag> {
    let (rest, _) = take_while(|letter| letter == '-').parse(input)?;
    let name = take_while1::<_, _, Fault>(|letter: char| letter != '=' && !letter.is_whitespace()).parse(rest);
    let (rest, text) = name.map_or((rest, String::new()), |(rest, name)| (rest, name.to_string()));
    let name = Name { text, span: between(input, rest) };
    let (rest, value) = match char::<_, Fault>('=').parse(rest) {
        Ok((rest, _)) => blank_ended_word(rest).map(|(rest, value)| (rest, Some(value)))?,
        Err(_) => (rest, None),
    };
    let (rest, _) = blanks(rest)?;
    Ok((rest, Flag { name, value }))
}
