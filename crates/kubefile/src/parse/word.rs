//! Parses quotes, escapes and variables of one word.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{anychar, char, one_of};
use nom::combinator::{opt, value};
use nom::error::{ErrorKind as NomKind, ParseError};
use nom::{Err, IResult, Input as _, Parser};

use crate::parse::joined::{Input, Joined};
use crate::word::{push_literal, push_quoted};
use crate::{Error, ErrorKind, Heredoc, Modifier, ModifierKind, Part, Span, Variable, Word};

/// Why a parser stopped: an error to show, or nothing when another parser may try.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) Option<Box<Error>>);

pub(crate) type Parsed<'a, T> = IResult<Input<'a>, T, Fault>;

impl<I> ParseError<I> for Fault {
    fn from_error_kind(_: I, _: NomKind) -> Self {
        Self(None)
    }

    fn append(_: I, _: NomKind, other: Self) -> Self {
        other
    }
}

/// The failure `kind` from `start` to `end`.
pub(crate) fn failure<'a, T>(start: Input<'a>, end: Input<'a>, kind: ErrorKind) -> Parsed<'a, T> {
    let error = Error::new(start.extra.source(), between(start, end), kind);
    Err(Err::Failure(Fault(Some(Box::new(error)))))
}

/// The place from the beginning of `start` to the beginning of `end`.
pub(crate) fn between(start: Input<'_>, end: Input<'_>) -> Span {
    start.extra.span(start.location_offset()..end.location_offset())
}

/// The empty rest at the end of `input`.
pub(crate) fn end_of(input: Input<'_>) -> Input<'_> {
    input.take_from(input.fragment().len())
}

pub(crate) fn blanks(input: Input<'_>) -> Parsed<'_, Input<'_>> {
    take_while(char::is_whitespace).parse(input)
}

/// Variables may be nested in the defaults of variables this deep.
const MAX_DEPTH: usize = 16;

/// Reads a word until `stop` says so of what is left, or until the end.
pub(crate) fn word<'a>(input: Input<'a>, stop: &dyn Fn(&str) -> bool) -> Parsed<'a, Word> {
    let (rest, parts) = parts(input, stop, 0)?;
    Ok((rest, Word { span: between(input, rest), parts }))
}

/// Reads a word until the next blank outside of quotes.
pub(crate) fn blank_ended_word(input: Input<'_>) -> Parsed<'_, Word> {
    word(input, &|rest| rest.starts_with(char::is_whitespace))
}

/// All of a text in which quotes mean nothing: only variables, `\$` and `\\` do, as in a here-document of the shell.
pub(crate) fn decoded_word<'a>(joined: &'a Joined<'a>, span: Span) -> Result<Word, Fault> {
    let mut parts = Vec::new();
    let mut input = joined.input();
    while !input.fragment().is_empty() {
        let plain = take_while1(|letter: char| letter != '\\' && letter != '$');
        let escaped = alt((value("$", tag("\\$")), value("\\", tag("\\\\")), value("\\", tag("\\"))));
        let literal = alt((plain.map(|text: Input<'a>| *text.fragment()), escaped));
        input = one_part(input, literal, &mut parts, 0)?;
    }
    Ok(Word { span, parts })
}

/// The content of a here-document as a word, its variables found.
pub(crate) fn heredoc_template(body: &Joined<'_>, heredoc: &Heredoc) -> Result<Word, Fault> {
    decoded_word(body, heredoc.body)
}

fn parts<'a>(mut input: Input<'a>, stop: &dyn Fn(&str) -> bool, depth: usize) -> Parsed<'a, Vec<Part>> {
    let mut parts = Vec::new();
    while !input.fragment().is_empty() && !stop(input.fragment()) {
        let rest = match input.fragment().chars().next() {
            Some('\'') => single_quoted(input, &mut parts)?,
            Some('\\') => escaped(input, &mut parts)?,
            Some('"') => double_quoted(input, &mut parts, depth)?,
            _ => one_part(input, unquoted, &mut parts, depth).map_err(Err::Failure)?,
        };
        input = rest;
    }
    Ok((input, parts))
}

/// A character that means nothing.
fn unquoted(input: Input<'_>) -> Parsed<'_, &str> {
    let (rest, _) = nom::character::complete::none_of("$").parse(input)?;
    Ok((rest, &input.fragment()[..rest.location_offset() - input.location_offset()]))
}

fn single_quoted<'a>(input: Input<'a>, parts: &mut Vec<Part>) -> Result<Input<'a>, Err<Fault>> {
    let (rest, _) = char('\'').parse(input)?;
    let (rest, text) = take_while(|letter| letter != '\'').parse(rest)?;
    let Ok((rest, _)) = char::<_, Fault>('\'').parse(rest) else {
        return failure(input, rest, ErrorKind::UnterminatedQuote { quote: '\'' }).map(|(rest, ())| rest);
    };
    push_quoted(parts, text.fragment());
    Ok(rest)
}

/// A character behind `\` outside of quotes.
fn escaped<'a>(input: Input<'a>, parts: &mut Vec<Part>) -> Result<Input<'a>, Err<Fault>> {
    let (rest, _) = char('\\').parse(input)?;
    let Ok((after, _)) = anychar::<_, Fault>(rest) else {
        push_literal(parts, "\\");
        return Ok(rest);
    };
    push_quoted(parts, &rest.fragment()[..after.location_offset() - rest.location_offset()]);
    Ok(after)
}

fn double_quoted<'a>(input: Input<'a>, parts: &mut Vec<Part>, depth: usize) -> Result<Input<'a>, Err<Fault>> {
    let (mut rest, _) = char('"').parse(input)?;
    loop {
        if let Ok((rest, _)) = char::<_, Fault>('"').parse(rest) {
            return Ok(rest);
        }
        if rest.fragment().is_empty() {
            return failure(input, rest, ErrorKind::UnterminatedQuote { quote: '"' }).map(|(rest, ())| rest);
        }
        let plain = take_while1(|letter: char| !matches!(letter, '"' | '\\' | '$'));
        let escape =
            alt((value("\"", tag("\\\"")), value("\\", tag("\\\\")), value("$", tag("\\$")), value("\\", tag("\\"))));
        let literal = alt((plain.map(|text: Input<'a>| *text.fragment()), escape));
        rest = one_part(rest, literal, parts, depth).map_err(Err::Failure)?;
    }
}

/// Reads what `literal` accepts, else a variable, else a `$` that stands for itself.
fn one_part<'a>(
    input: Input<'a>,
    mut literal: impl Parser<Input<'a>, Output = &'a str, Error = Fault>,
    parts: &mut Vec<Part>,
    depth: usize,
) -> Result<Input<'a>, Fault> {
    if let Ok((rest, text)) = literal.parse(input) {
        push_literal(parts, text);
        return Ok(rest);
    }
    match variable(input, depth) {
        Ok((rest, variable)) => {
            parts.push(Part::Variable(variable));
            Ok(rest)
        }
        Err(Err::Failure(fault)) => Err(fault),
        Err(_) => {
            push_literal(parts, "$");
            Ok(input.take_from('$'.len_utf8().min(input.fragment().len())))
        }
    }
}

fn variable(input: Input<'_>, depth: usize) -> Parsed<'_, Variable> {
    let (rest, _) = char('$').parse(input)?;
    let (rest, brace) = opt(char('{')).parse(rest)?;
    if brace.is_none() {
        let (rest, name) = variable_name(rest)?;
        return Ok((rest, Variable { span: between(input, rest), name: name.to_string(), modifier: None }));
    }
    let Ok((after_name, name)) = variable_name(rest) else {
        if rest.fragment().is_empty() {
            return failure(input, rest, ErrorKind::UnterminatedVariable);
        }
        let (bad, _) = opt(anychar).parse(rest)?;
        return failure(input, bad, ErrorKind::BadVariable { expected: "expected a name after `${`" });
    };
    let (rest, modifier) = opt(|input| modifier(input, depth)).parse(after_name)?;
    let Ok((rest, _)) = char::<_, Fault>('}').parse(rest) else {
        if rest.fragment().is_empty() {
            return failure(input, rest, ErrorKind::UnterminatedVariable);
        }
        let (bad, _) = opt(anychar).parse(rest)?;
        return failure(
            input,
            bad,
            ErrorKind::BadVariable { expected: "expected `}`, `:-`, `:+` or `:?` after the name" },
        );
    };
    Ok((rest, Variable { span: between(input, rest), name: name.to_string(), modifier }))
}

fn modifier(input: Input<'_>, depth: usize) -> Parsed<'_, Modifier> {
    let (rest, (colon, sign)) = (opt(char(':')), one_of("-+?")).parse(input)?;
    let kind = match sign {
        '-' => ModifierKind::Default,
        '+' => ModifierKind::Alternative,
        _ => ModifierKind::Required,
    };
    if depth == MAX_DEPTH {
        return failure(input, rest, ErrorKind::NestedTooDeep { limit: MAX_DEPTH });
    }
    let (rest, word) = parts(rest, &|rest| rest.starts_with('}'), depth + 1)?;
    Ok((rest, Modifier { kind, empty_is_unset: colon.is_some(), word }))
}

fn variable_name(input: Input<'_>) -> Parsed<'_, Input<'_>> {
    nom::combinator::recognize((
        nom::character::complete::satisfy(|letter| letter == '_' || letter.is_ascii_alphabetic()),
        take_while(|letter: char| letter == '_' || letter.is_ascii_alphanumeric()),
    ))
    .parse(input)
}
