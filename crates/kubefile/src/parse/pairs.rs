//! Reads the names and values of ARG, ENV, LABEL and APPENV.

use nom::character::complete::char;
use nom::{Input as _, Parser};

use crate::parse::arguments::{Arguments, Sink};
use crate::parse::joined::Input;
use crate::parse::transfer::shorten;
use crate::parse::word::{Fault, Parsed, blank_ended_word, blanks, end_of, word};
use crate::{ArgDefault, Assignment, ErrorKind, InstructionKind, Label, Name, Span, Word};

const PAIR: &str = "expected NAME=VALUE without blanks around `=`";
const COMMENT: &str = "a comment needs a line of its own";
const ARG: &str = "expected NAME or NAME=DEFAULT";
const NAME: &str = "expected letters, digits and `_`, not beginning with a digit";

pub(crate) fn env(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    assignments(arguments, true, sink).map(InstructionKind::Env)
}

pub(crate) fn label(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    let pairs = pairs(arguments, true, sink)?;
    let before = sink.len();
    for (key, _) in &pairs {
        if key.parts.is_empty() {
            let what = "label key";
            let expected = "expected a key that is not empty";
            sink.push(arguments.error(key.span, ErrorKind::BadName { what, name: String::new(), expected }));
        }
    }
    let labels = pairs.into_iter().map(|(key, value)| Label { key, value }).collect();
    (sink.len() == before).then_some(InstructionKind::Label(labels))
}

/// Pairs whose keys are names of variables.
pub(crate) fn assignments(arguments: &Arguments<'_>, blank_form: bool, sink: &mut Sink) -> Option<Vec<Assignment>> {
    let pairs = pairs(arguments, blank_form, sink)?;
    let named = pairs.into_iter().map(|(key, value)| {
        let name = name(arguments, &key, is_variable_name, sink)?;
        Some(Assignment { name, value })
    });
    // Every bad name is reported, so no short cut at the first.
    let named: Vec<Option<Assignment>> = named.collect();
    named.into_iter().collect()
}

/// `KEY=VALUE …`, or `KEY the rest of the line` where that is allowed.
fn pairs(arguments: &Arguments<'_>, blank_form: bool, sink: &mut Sink) -> Option<Vec<(Word, Word)>> {
    arguments.need("a name and a value", "expected NAME=VALUE here", sink)?;
    let mut pairs = Vec::new();
    let mut failed = false;
    let mut rest = arguments.input;
    while !rest.fragment().is_empty() {
        let start = rest;
        let (after_key, key) = sink.take(word(rest, &|rest| rest.starts_with(['=']) || starts_blank(rest)))?;
        if let Ok((value, _)) = char::<_, Fault>('=').parse(after_key) {
            let (end, value) = sink.take(blank_ended_word(value))?;
            pairs.push((key, value));
            rest = end;
        } else {
            let (value, _) = sink.take(blanks(after_key))?;
            let alone = pairs.is_empty() && !failed && blank_form;
            if alone && !value.fragment().is_empty() && !value.fragment().starts_with('=') {
                let (_, value) = sink.take(word(value, &|_| false))?;
                return Some(vec![(key, value)]);
            }
            failed = true;
            if !alone && start.fragment().starts_with('#') {
                // As in Docker, a comment behind pairs is none; its words are one mistake.
                sink.push(bad_pair(arguments, start, key.span, COMMENT));
                break;
            }
            sink.push(bad_pair(arguments, start, key.span, PAIR));
            // `NAME = VALUE` is one mistake, not three.
            rest = if value.fragment().starts_with('=') { end_of(value) } else { after_key };
        }
        (rest, _) = sink.take(blanks(rest))?;
    }
    (!failed).then_some(pairs)
}

pub(crate) fn arg(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    arguments.need("a name", "expected NAME or NAME=DEFAULT here", sink)?;
    let mut args = Vec::new();
    let mut failed = false;
    let mut rest = arguments.input;
    while !rest.fragment().is_empty() {
        if (failed || !args.is_empty()) && rest.fragment().starts_with('#') {
            // Docker accepts a comment here, too: there its words become arguments that nobody uses.
            break;
        }
        let start = rest;
        let (end, (key, default)) = sink.take(argument(rest))?;
        if end.location_offset() == start.location_offset() || (key.parts.is_empty()) {
            sink.push(bad_pair(arguments, start, key.span, ARG));
            failed = true;
            rest = skip_word(end);
        } else {
            match name(arguments, &key, is_argument_name, sink) {
                Some(name) => args.push(ArgDefault { name, default }),
                None => failed = true,
            }
            rest = end;
        }
        (rest, _) = sink.take(blanks(rest))?;
        if let Ok((next, _)) = char::<_, Fault>(',').parse(rest)
            && !next.fragment().is_empty()
        {
            rest = next;
        }
    }
    (!failed).then_some(InstructionKind::Arg(args))
}

/// `NAME[=DEFAULT]` up to a blank, or to a comma behind which another `NAME=` or the end of a list of names follows.
fn argument(input: Input<'_>) -> Parsed<'_, (Word, Option<Word>)> {
    let (rest, key) = word(input, &|rest| rest.starts_with(['=', ',']) || starts_blank(rest))?;
    let Ok((rest, _)) = char::<_, Fault>('=').parse(rest) else {
        return Ok((rest, (key, None)));
    };
    let (rest, value) = word(rest, &|rest| starts_blank(rest) || starts_next_argument(rest))?;
    Ok((rest, (key, Some(value))))
}

fn starts_blank(rest: &str) -> bool {
    rest.starts_with(char::is_whitespace)
}

/// Whether `rest` is `,NAME=…`: the comma form of ARG.
fn starts_next_argument(rest: &str) -> bool {
    let Some(next) = rest.strip_prefix(',') else {
        return false;
    };
    let length = next.bytes().take(MAX_NAME).take_while(|&byte| byte == b'_' || byte.is_ascii_alphanumeric()).count();
    next[length..].starts_with('=') && is_argument_name(&next[..length])
}

const MAX_NAME: usize = 256;

fn skip_word(input: Input<'_>) -> Input<'_> {
    let fragment = input.fragment();
    input.take_from(fragment.find(char::is_whitespace).unwrap_or(fragment.len()))
}

fn bad_pair(arguments: &Arguments<'_>, start: Input<'_>, key: Span, expected: &'static str) -> crate::Error {
    let length = start.fragment().find(char::is_whitespace).unwrap_or(start.fragment().len());
    let text = shorten(&start.fragment()[..length]);
    let from = start.location_offset();
    let span = if key.start == key.end { start.extra.span(from..from + length) } else { key };
    arguments.error(span, ErrorKind::BadPair { instruction: arguments.keyword, text, expected })
}

fn name(arguments: &Arguments<'_>, key: &Word, fine: fn(&str) -> bool, sink: &mut Sink) -> Option<Name> {
    let text = key.to_string();
    if key.literal().is_some_and(fine) {
        return Some(Name { text, span: key.span });
    }
    let kind = ErrorKind::BadName { what: "variable name", name: shorten(&text), expected: NAME };
    sink.refuse(arguments.error(key.span, kind))
}

/// What a `$NAME` can refer to.
fn is_argument_name(text: &str) -> bool {
    is_variable_name(text) && !text.contains(['.', '-'])
}

/// What an environment can carry; some programs want dots and dashes.
fn is_variable_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|letter| letter == '_' || letter.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter))
        && text.len() <= MAX_NAME
}
