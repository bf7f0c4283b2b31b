//! Reads APP, CNI, CSI, APPCMDS, APPENV and LAUNCH.

use crate::parse::arguments::{Arguments, Sink};
use crate::parse::command::commands;
use crate::parse::list::words;
use crate::parse::pairs::assignments;
use crate::parse::transfer::{NO_GIT, is_git, shorten};
use crate::parse::word::{blank_ended_word, blanks};
use crate::{App, ErrorKind, InstructionKind, Keyword, Name, Word};

pub(crate) fn app(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    let mut words = words(arguments, sink)?;
    let name = words
        .next()
        .or_else(|| sink.refuse(arguments.missing("a name and a source", "expected a name and a source here")))?;
    let name = name_of(arguments, &name, sink);
    let sources: Vec<Word> = words.collect();
    if sources.is_empty() {
        return sink.refuse(arguments.missing("a source", "expected `local://PATH` or an http(s) URL here"));
    }
    let before = sink.len();
    for source in &sources {
        if let Some(kind) = app_source_problem(&source.to_string()).filter(|_| !source_is_open(source)) {
            sink.push(arguments.error(source.span, kind));
        }
    }
    let app = App { name: name?, sources };
    (sink.len() == before).then_some(match arguments.keyword {
        Keyword::Cni => InstructionKind::Cni(app),
        Keyword::Csi => InstructionKind::Csi(app),
        _ => InstructionKind::App(app),
    })
}

/// Whether variables decide what kind of source it is.
fn source_is_open(source: &Word) -> bool {
    source.literal().is_none() && !source.literal_prefix().contains("://")
}

/// Why this cannot be a source of APP, if so.
pub(crate) fn app_source_problem(text: &str) -> Option<ErrorKind> {
    if is_git(text) {
        return Some(ErrorKind::BadSource { text: shorten(text), expected: NO_GIT, suggestion: None });
    }
    let path = text.strip_prefix("local://").or(text.strip_prefix("http://")).or(text.strip_prefix("https://"));
    if path.is_some_and(|path| !path.is_empty()) {
        return None;
    }
    let suggestion = (!text.contains("://") && !text.is_empty()).then(|| format!("local://{}", shorten(text)));
    Some(ErrorKind::BadSource {
        text: shorten(text),
        expected: "expected `local://PATH` in the build context, or an http(s) URL",
        suggestion,
    })
}

pub(crate) fn app_cmds(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    let (name, arguments) = named(arguments, sink)?;
    let commands = commands(&arguments, sink)?;
    Some(InstructionKind::AppCmds { name, commands })
}

pub(crate) fn app_env(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    let (name, arguments) = named(arguments, sink)?;
    let values = assignments(&arguments, false, sink)?;
    Some(InstructionKind::AppEnv { name, values })
}

/// Takes the app's name from the front.
fn named<'a>(arguments: &Arguments<'a>, sink: &mut Sink) -> Option<(Name, Arguments<'a>)> {
    arguments.need("the name of an app", "expected the name of an app here", sink)?;
    let (rest, name) = sink.take(blank_ended_word(arguments.input))?;
    let (input, _) = sink.take(blanks(rest))?;
    let name = name_of(arguments, &name, sink)?;
    Some((name, Arguments { input, ..*arguments }))
}

pub(crate) fn launch(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    let words: Vec<Word> = words(arguments, sink)?.collect();
    if words.is_empty() {
        return sink.refuse(arguments.missing("the names of apps", "expected an array such as [\"app\"] here"));
    }
    let names: Vec<Option<Name>> = words.iter().map(|word| name_of(arguments, word, sink)).collect();
    names.into_iter().collect::<Option<Vec<Name>>>().map(InstructionKind::Launch)
}

/// An app's name becomes a directory in the image, so it must be a plain one.
fn name_of(arguments: &Arguments<'_>, word: &Word, sink: &mut Sink) -> Option<Name> {
    let text = word.to_string();
    let plain = |text: &str| {
        text.starts_with(|letter: char| letter.is_ascii_alphanumeric())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
            && text.len() <= 128
    };
    if word.literal().is_some_and(plain) {
        return Some(Name { text, span: word.span });
    }
    let expected = "expected letters, digits, `.`, `_` and `-`, at most 128";
    let kind = ErrorKind::BadName { what: "app name", name: shorten(&text), expected };
    sink.refuse(arguments.error(word.span, kind))
}
