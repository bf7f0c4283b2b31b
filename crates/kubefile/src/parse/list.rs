//! Reads arguments that are words, here-documents or a JSON array.

use nom::{Err, Input as _};

use crate::parse::arguments::{Arguments, Sink};
use crate::parse::joined::{Input, Joined};
use crate::parse::json;
use crate::parse::word::{Parsed, blank_ended_word, blanks, decoded_word};
use crate::{Span, Word};

/// One argument.
#[derive(Debug)]
pub(crate) enum Item {
    Word(Word),
    /// Index and marker of a here-document.
    Heredoc(usize, Span),
}

/// The arguments as words or as a JSON array; `None` when an error was found.
pub(crate) fn list(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<Vec<Item>> {
    if json::looks_like_array(arguments.input) {
        let (_, texts) = sink.take(json::array(arguments.input))?;
        let source = arguments.input.extra.source();
        let words = texts.into_iter().map(|(text, span)| {
            let joined = Joined::decoded(source, span, text);
            sink.take(decoded_word(&joined, span).map_err(Err::Failure)).map(Item::Word)
        });
        return words.collect();
    }
    let mut items = Vec::new();
    let mut rest = arguments.input;
    while !rest.fragment().is_empty() {
        let item;
        let comment = !items.is_empty() && rest.fragment().starts_with('#');
        (rest, item) = sink.take(next(arguments, rest))?;
        if let Item::Word(word) = &item
            && comment
        {
            let expected = "a comment needs a line of its own; a name that begins with `#` is written `'#…'`";
            return sink.refuse(arguments.unexpected(word.span, expected));
        }
        items.push(item);
        (rest, _) = sink.take(blanks(rest))?;
    }
    Some(items)
}

/// The arguments of an instruction that takes no here-documents.
pub(crate) fn words(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<impl Iterator<Item = Word> + use<>> {
    let items = list(arguments, sink)?;
    Some(items.into_iter().filter_map(|item| match item {
        Item::Word(word) => Some(word),
        Item::Heredoc(..) => None,
    }))
}

fn next<'a>(arguments: &Arguments<'a>, input: Input<'a>) -> Parsed<'a, Item> {
    let here = input.location_offset();
    let here = input.extra.span(here..here + 1).start;
    let index = arguments.heredocs.binary_search_by_key(&here, |heredoc| heredoc.marker.start);
    if let Ok(index) = index
        && let Some(heredoc) = arguments.heredocs.get(index)
    {
        let marker = heredoc.marker;
        let length = input.fragment().find(char::is_whitespace).unwrap_or(input.fragment().len());
        return Ok((input.take_from(length), Item::Heredoc(index, marker)));
    }
    blank_ended_word(input).map(|(rest, word)| (rest, Item::Word(word)))
}
