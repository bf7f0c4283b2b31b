//! Finds the here-documents that a line announces, and their ends.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{anychar, char, digit0};
use nom::combinator::opt;
use nom::multi::many1;
use nom::sequence::{delimited, preceded};
use nom::{Err, Parser};

use crate::parse::arguments::Sink;
use crate::parse::joined::{Input, Joined};
use crate::parse::lines::Lines;
use crate::parse::word::{Fault, Parsed, between, heredoc_template};
use crate::{Error, ErrorKind, Heredoc, Keyword, Part, Span, Word};

struct Marker {
    name: String,
    span: Span,
    strip_tabs: bool,
    quoted: bool,
}

/// Reads the here-documents announced by the arguments of an instruction from the lines below it. Gives them and the
/// offset where the last one ends.
pub(crate) fn read(
    keyword: Keyword,
    arguments: Input<'_>,
    lines: &mut Lines<'_>,
    sink: &mut Sink,
) -> (Vec<Heredoc>, Option<usize>) {
    let mut heredocs = Vec::new();
    let mut end = None;
    if !keyword.takes_heredocs() {
        return (heredocs, end);
    }
    for marker in markers(arguments, matches!(keyword, Keyword::Run | Keyword::Cmd)) {
        let Some((body, body_end, delimiter_end)) = body(&marker, lines) else {
            let kind = ErrorKind::UnterminatedHeredoc { name: marker.name };
            sink.push(Error::new(lines.source(), marker.span, kind));
            return (heredocs, Some(lines.source().text().len()));
        };
        end = Some(delimiter_end);
        heredocs.push(heredoc(keyword, marker, &body, body_end, sink));
    }
    (heredocs, end)
}

fn heredoc(keyword: Keyword, marker: Marker, body: &Joined<'_>, span: Span, sink: &mut Sink) -> Heredoc {
    let content = body.text().to_owned();
    let literal = if content.is_empty() { Vec::new() } else { vec![Part::Literal(content.clone())] };
    let Marker { name, span: marker, strip_tabs, quoted } = marker;
    let template = Word { span, parts: literal };
    let mut heredoc = Heredoc { name, marker, body: span, content, template, strip_tabs, quoted };
    // What RUN and CMD read is replaced by their shell.
    let replaced = matches!(keyword, Keyword::Copy | Keyword::Add) && !quoted;
    if replaced {
        match heredoc_template(body, &heredoc) {
            Ok(template) => heredoc.template = template,
            Err(fault) => sink.fault(fault),
        }
    }
    heredoc
}

/// The lines up to the delimiter, their place, and the offset where the delimiter ends.
fn body<'s>(marker: &Marker, lines: &mut Lines<'s>) -> Option<(Joined<'s>, Span, usize)> {
    let mut joined = Joined::new(lines.source());
    let mut start = None;
    loop {
        let mut line = lines.next_physical()?;
        let begin = line.start;
        if marker.strip_tabs {
            let text = lines.source().text().get(line.clone()).unwrap_or_default();
            line.start += text.len() - text.trim_start_matches('\t').len();
        }
        let start = *start.get_or_insert(begin);
        if lines.source().text().get(line.clone()) == Some(marker.name.as_str()) {
            return Some((joined, lines.source().span(start..begin), line.end));
        }
        joined.push(line.clone());
        joined.push_line_feed(line.end);
    }
}

/// Finds `<<NAME`, `<<-NAME` and their quoted forms where a word begins, outside of quotes. In shell text words also begin
/// behind operators.
fn markers(mut input: Input<'_>, shell: bool) -> Vec<Marker> {
    let mut markers = Vec::new();
    let mut word_begins = true;
    while !input.fragment().is_empty() {
        if word_begins && let Ok((rest, found)) = marker(input) {
            markers.push(found);
            input = rest;
            word_begins = false;
            continue;
        }
        let Ok((rest, letter)) = anychar::<_, Fault>(input) else {
            break;
        };
        input = match letter {
            '\'' => skip_quoted(rest, '\''),
            '"' => skip_quoted(rest, '"'),
            '\\' => anychar::<_, Fault>(rest).map_or(rest, |(rest, _)| rest),
            _ => rest,
        };
        word_begins = letter.is_whitespace() || (shell && matches!(letter, ';' | '|' | '&'));
    }
    markers
}

fn skip_quoted(mut input: Input<'_>, quote: char) -> Input<'_> {
    while let Ok((rest, letter)) = anychar::<_, Fault>(input) {
        input = rest;
        if letter == quote {
            break;
        }
        if letter == '\\' && quote == '"' {
            input = anychar::<_, Fault>(input).map_or(input, |(rest, _)| rest);
        }
    }
    input
}

fn marker(input: Input<'_>) -> Parsed<'_, Marker> {
    let (start, _) = digit0(input)?;
    let (rest, (_, dash)) = (tag("<<"), opt(char('-'))).parse(start)?;
    let (end, parts) = many1(delimiter_part).parse(rest)?;
    let name: String = parts.iter().map(|(letters, _)| *letters.fragment()).collect();
    if !name.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic()) {
        return Err(Err::Error(Fault(None)));
    }
    let quoted = parts.iter().any(|(_, quoted)| *quoted);
    Ok((end, Marker { name, span: between(input, end), strip_tabs: dash.is_some(), quoted }))
}

/// A piece of the delimiter, and whether it is quoted: as in a shell, one quoted letter quotes the whole.
fn delimiter_part(input: Input<'_>) -> Parsed<'_, (Input<'_>, bool)> {
    let quoted = |quote| delimited(char(quote), letters, char(quote)).map(|letters| (letters, true));
    let escaped = preceded(char('\\'), letters).map(|letters| (letters, true));
    alt((letters.map(|letters| (letters, false)), quoted('"'), quoted('\''), escaped)).parse(input)
}

fn letters(input: Input<'_>) -> Parsed<'_, Input<'_>> {
    take_while1(|letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter)).parse(input)
}
