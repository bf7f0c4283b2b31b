//! Checks rules that span several instructions.

use std::collections::{BTreeMap, BTreeSet};

use crate::parse::arguments::Sink;
use crate::{Error, ErrorKind, InstructionKind, Keyword, Kubefile, Name, Span};

/// A line that was recognised as an instruction, whether or not its arguments could be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) keyword: Keyword,
    pub(crate) name: Span,
    /// The arguments could be read.
    pub(crate) read: bool,
}

/// What the lines of a file were.
#[derive(Debug, Default)]
pub(crate) struct Overview {
    pub(crate) seen: Vec<Seen>,
    /// A misspelt FROM is there, so that FROM is not missing too.
    pub(crate) misspelt_from: bool,
    /// There are lines that are no instruction.
    pub(crate) unknown: bool,
}

pub(crate) fn check(kubefile: &Kubefile, overview: &Overview, sink: &mut Sink) {
    let source = &kubefile.source;
    let mut report = |span, kind, earlier: Option<Span>| {
        let error = Error::new(source, span, kind);
        sink.push(match earlier {
            Some(earlier) => error.related_to(earlier),
            None => error,
        });
    };
    if overview.seen.is_empty() && !overview.unknown {
        report(source.span(0..0), ErrorKind::Empty, None);
    }
    from(overview, &mut report);
    launch(overview, &mut report);
    repeated_apps(kubefile, &mut report);
    unknown_apps(kubefile, overview, sink);
}

type Report<'a> = dyn FnMut(Span, ErrorKind, Option<Span>) + 'a;

fn from(overview: &Overview, report: &mut Report<'_>) {
    let mut froms = overview.seen.iter().filter(|seen| seen.keyword == Keyword::From);
    let first = froms.next();
    for second in froms {
        report(second.name, ErrorKind::SecondFrom, first.map(|first| first.name));
    }
    if overview.misspelt_from {
        return;
    }
    let early =
        overview.seen.iter().find(|seen| seen.keyword != Keyword::Arg).filter(|seen| seen.keyword != Keyword::From);
    match (first, early.or(overview.seen.first())) {
        (None, Some(seen)) => report(seen.name, ErrorKind::MissingFrom, None),
        (Some(_), Some(_)) => {
            if let Some(early) = early {
                report(early.name, ErrorKind::BeforeFrom { instruction: early.keyword }, None);
            }
        }
        (_, None) => {}
    }
}

/// LAUNCH and CMDS may be given once, and LAUNCH not beside CMDS or CMD.
fn launch(overview: &Overview, report: &mut Report<'_>) {
    let mut first: BTreeMap<Keyword, Span> = BTreeMap::new();
    for seen in &overview.seen {
        let rivals: &[Keyword] = match seen.keyword {
            Keyword::Launch => &[Keyword::Cmds, Keyword::Cmd],
            Keyword::Cmds | Keyword::Cmd => &[Keyword::Launch],
            _ => continue,
        };
        if seen.keyword == Keyword::Cmd && first.contains_key(&Keyword::Cmd) {
            continue;
        }
        let rival = rivals.iter().find_map(|rival| first.get(rival).map(|span| (*rival, *span)));
        if let Some(&span) = first.get(&seen.keyword) {
            report(seen.name, ErrorKind::Repeated { instruction: seen.keyword }, Some(span));
        } else if let Some((earlier, span)) = rival {
            report(seen.name, ErrorKind::Conflict { instruction: seen.keyword, earlier }, Some(span));
        }
        first.entry(seen.keyword).or_insert(seen.name);
    }
}

fn repeated_apps(kubefile: &Kubefile, report: &mut Report<'_>) {
    let mut declared: BTreeMap<&str, Span> = BTreeMap::new();
    for Name { text, span } in kubefile.apps().map(|app| &app.name) {
        match declared.get(text.as_str()) {
            Some(first) => report(*span, ErrorKind::RepeatedApp { name: text.clone() }, Some(*first)),
            None => drop(declared.insert(text, *span)),
        }
    }
    let mut commands: BTreeMap<&str, Span> = BTreeMap::new();
    for instruction in &kubefile.instructions {
        let InstructionKind::AppCmds { name, .. } = &instruction.kind else {
            continue;
        };
        let Some(first) = commands.insert(&name.text, name.span) else {
            continue;
        };
        let kind = ErrorKind::RepeatedForApp { instruction: Keyword::AppCmds, name: name.text.clone() };
        report(name.span, kind, Some(first));
    }
}

/// An image built FROM scratch has no other apps than those of this file; what another base has, is known only later.
fn unknown_apps(kubefile: &Kubefile, overview: &Overview, sink: &mut Sink) {
    let scratch = kubefile.instructions.iter().any(|instruction| match &instruction.kind {
        InstructionKind::From { image, .. } => image.literal() == Some("scratch"),
        _ => false,
    });
    let complete = overview.seen.iter().all(|seen| seen.read || !seen.keyword.declares_app());
    if scratch
        && complete
        && let Err(errors) = kubefile.check_apps(&BTreeSet::new())
    {
        errors.into_iter().for_each(|error| sink.push(error));
    }
}
