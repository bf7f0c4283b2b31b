//! Parses JSON arrays of strings, and reports where one stops being valid.

use nom::bytes::complete::{take_while, take_while_m_n, take_while1};
use nom::character::complete::{anychar, char};
use nom::{Input as _, Parser};

use crate::parse::joined::Input;
use crate::parse::word::{Fault, Parsed, between, blanks, end_of, failure};
use crate::{ErrorKind, Span};

/// A string of the array and its place, quotes included.
pub(crate) type Text = (String, Span);

/// Whether text that begins with `[` is meant as JSON: `["a", …`, and not a wildcard `[a-z]*` or a shell test `[ "$a" = b ]`.
///
/// Broken arrays are still recognised as such when no other reading makes sense.
pub(crate) fn looks_like_array(input: Input<'_>) -> bool {
    let Some(inner) = input.fragment().strip_prefix('[') else {
        return false;
    };
    if inner.starts_with(['"', '\'', ']']) {
        return true;
    }
    // A blank follows: only a comma behind the first string, or a complete array, tells JSON from a shell test.
    if !inner.trim_start().starts_with('"') && !inner.trim_start().starts_with(']') {
        return false;
    }
    if array(input).is_ok() {
        return true;
    }
    let first = char('[').and(blanks).and(string).and(blanks).parse(input);
    first.is_ok_and(|(rest, _)| rest.fragment().starts_with(','))
}

/// All of `input` as an array of at least one string.
pub(crate) fn array(input: Input<'_>) -> Parsed<'_, Vec<Text>> {
    let (mut rest, _) = expect(input, '[', "expected `[`")?;
    let mut texts = Vec::new();
    loop {
        (rest, _) = blanks(rest)?;
        let text;
        (rest, text) = string(rest)?;
        texts.push(text);
        (rest, _) = blanks(rest)?;
        let Ok((next, _)) = char::<_, Fault>(',').parse(rest) else {
            break;
        };
        rest = next;
    }
    let (rest, _) = expect(rest, ']', "expected `,` or `]`")?;
    let (rest, _) = blanks(rest)?;
    if !rest.fragment().is_empty() {
        return failure(rest, end_of(rest), ErrorKind::BadJson { expected: "expected nothing after the array" });
    }
    Ok((rest, texts))
}

fn string(input: Input<'_>) -> Parsed<'_, Text> {
    let (mut rest, _) = expect(input, '"', "expected a string in double quotes")?;
    let mut text = String::new();
    loop {
        let plain;
        (rest, plain) = take_while(|letter| !matches!(letter, '"' | '\\')).parse(rest)?;
        text.push_str(plain.fragment());
        if let Ok((rest, _)) = char::<_, Fault>('"').parse(rest) {
            return Ok((rest, (text, between(input, rest))));
        }
        if rest.fragment().is_empty() {
            return failure(input, rest, ErrorKind::UnterminatedQuote { quote: '"' });
        }
        let letter;
        (rest, letter) = escape(rest)?;
        text.push(letter);
    }
}

fn escape(input: Input<'_>) -> Parsed<'_, char> {
    const EXPECTED: &str = "expected one of the escapes \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX";
    let (rest, _) = char('\\').parse(input)?;
    let letter = anychar::<_, Fault>(rest);
    let Ok((rest, letter)) = letter else {
        return failure(input, rest, ErrorKind::BadJson { expected: EXPECTED });
    };
    let plain = match letter {
        '"' | '\\' | '/' => letter,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return unicode(input, rest),
        _ => return failure(input, rest, ErrorKind::BadJson { expected: EXPECTED }),
    };
    Ok((rest, plain))
}

/// Four hexadecimal digits, or two such groups that make a surrogate pair.
fn unicode<'a>(start: Input<'a>, input: Input<'a>) -> Parsed<'a, char> {
    let bad =
        |end| failure(start, end, ErrorKind::BadJson { expected: "expected four hexadecimal digits of a character" });
    let Ok((rest, high)) = code_unit(input) else {
        return bad(input);
    };
    if let Some(letter) = char::from_u32(high) {
        return Ok((rest, letter));
    }
    let Ok((end, low)) = nom::bytes::complete::tag("\\u").and(code_unit).parse(rest).map(|(end, (_, low))| (end, low))
    else {
        return bad(rest);
    };
    match char::decode_utf16([high as u16, low as u16]).next() {
        Some(Ok(letter)) => Ok((end, letter)),
        _ => bad(end),
    }
}

fn code_unit(input: Input<'_>) -> Parsed<'_, u32> {
    let (rest, digits) = take_while_m_n(4, 4, |letter: char| letter.is_ascii_hexdigit()).parse(input)?;
    Ok((rest, u32::from_str_radix(digits.fragment(), 16).unwrap_or_default()))
}

/// One character, or an error at what stands there instead.
fn expect<'a>(input: Input<'a>, wanted: char, expected: &'static str) -> Parsed<'a, char> {
    if let Ok(parsed) = char::<_, Fault>(wanted).parse(input) {
        return Ok(parsed);
    }
    let end = match take_while1::<_, _, Fault>(|letter: char| !letter.is_whitespace() && !matches!(letter, ',' | ']'))
        .parse(input)
    {
        Ok((rest, _)) => rest,
        Err(_) => input.take_from(input.fragment().chars().next().map_or(0, char::len_utf8)),
    };
    failure(input, end, ErrorKind::BadJson { expected })
}
