//! Reads COPY and ADD.

use crate::parse::arguments::{Arguments, Flag, Known, Sink};
use crate::parse::list::{Item, list};
use crate::{ErrorKind, InstructionKind, Keyword, Owner, Source, Transfer, Word};

const UNSUPPORTED: [(&str, &str); 6] = [
    ("from", "a Kubefile has one stage; take files of other images in with FROM"),
    ("link", "layers are independent of each other anyway; leave it out"),
    ("parents", "name the destination directory instead"),
    ("exclude", "list what to leave out in .sealerignore"),
    ("keep-git-dir", "sources in git are not supported"),
    ("checksum", "ADD has it"),
];

const COPY: Known = Known {
    supported: &[("chown", "USER:GROUP"), ("chmod", "644")],
    unsupported: &UNSUPPORTED,
    expected: "expected --chown or --chmod",
};

const ADD: Known = Known {
    supported: &[("chown", "USER:GROUP"), ("chmod", "644"), ("checksum", "sha256:24454f830c…")],
    unsupported: UNSUPPORTED.split_at(5).0,
    expected: "expected --chown, --chmod or --checksum",
};

pub(crate) fn read(mut arguments: Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    let known = if arguments.keyword == Keyword::Add { &ADD } else { &COPY };
    let mut flags = arguments.flags(known, sink);
    let items = list(&arguments, sink)?;
    let chown = Flag::take(&mut flags, "chown").filter(|word| checked(word, owner_problem, &arguments, sink));
    let chmod = Flag::take(&mut flags, "chmod").filter(|word| checked(word, mode_problem, &arguments, sink));
    let checksum = Flag::take(&mut flags, "checksum").filter(|word| checked(word, checksum_problem, &arguments, sink));
    let (sources, destination) = split(items, &arguments, sink)?;
    let transfer = Transfer { sources, destination, chown, chmod, checksum };
    Some(if arguments.keyword == Keyword::Add {
        InstructionKind::Add(transfer)
    } else {
        InstructionKind::Copy(transfer)
    })
}

fn split(mut items: Vec<Item>, arguments: &Arguments<'_>, sink: &mut Sink) -> Option<(Vec<Source>, Word)> {
    const NEEDS: &str = "a source and a destination";
    let last = items.pop();
    if items.is_empty() {
        let expected =
            if last.is_some() { "expected a destination here" } else { "expected a source and a destination here" };
        return sink.refuse(arguments.missing(NEEDS, expected));
    }
    for item in &items {
        if let Item::Word(word) = item
            && !misplaced_flag(word, arguments, sink)
        {
            checked(word, source_problem, arguments, sink);
        }
    }
    let sources = items.into_iter().map(|item| match item {
        Item::Word(word) => Source::Text(word),
        Item::Heredoc(index, _) => Source::Heredoc(index),
    });
    match last? {
        Item::Word(destination) if misplaced_flag(&destination, arguments, sink) => None,
        Item::Word(destination) => Some((sources.collect(), destination)),
        Item::Heredoc(_, span) => {
            let what = "the destination";
            sink.refuse(arguments.error(span, ErrorKind::MisplacedHeredoc { what, expected: "expected a path here" }))
        }
    }
}

/// Reports an argument that looks like a flag; in quotes or behind `./` it is a path.
fn misplaced_flag(word: &Word, arguments: &Arguments<'_>, sink: &mut Sink) -> bool {
    let text = word.span.slice(arguments.input.extra.source().text());
    let flag = text.starts_with("--");
    if flag {
        let text = shorten(&word.to_string());
        let instruction = arguments.keyword;
        sink.push(arguments.error(word.span, ErrorKind::MisplacedFlag { instruction, text }));
    }
    flag
}

/// Checks a word that has no variables; one that has is checked when they are replaced.
fn checked(word: &Word, problem: fn(&str) -> Option<ErrorKind>, arguments: &Arguments<'_>, sink: &mut Sink) -> bool {
    let problem = word.literal().and_then(problem);
    let fine = problem.is_none();
    if let Some(kind) = problem {
        sink.push(arguments.error(word.span, kind));
    }
    fine
}

/// Why this cannot be a source of COPY, if so.
pub(crate) fn source_problem(text: &str) -> Option<ErrorKind> {
    let bad = |expected, suggestion| Some(ErrorKind::BadSource { text: shorten(text), expected, suggestion });
    if let Some(path) = text.strip_prefix("local://") {
        return bad("expected a path without `local://`, which is for APP", Some(path.to_owned()));
    }
    let remote = text.starts_with("http://") || text.starts_with("https://");
    if is_git(text) {
        return bad(NO_GIT, None);
    }
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if scheme.is_some_and(|scheme| !remote && scheme.chars().all(|letter| letter.is_ascii_alphanumeric())) {
        return bad("expected a path in the build context, or an http(s) URL", None);
    }
    if text.is_empty() {
        return bad("expected a path or a URL; `.` is the whole build context", None);
    }
    None
}

pub(crate) const NO_GIT: &str = "sources in git are not supported; clone it in a RUN, or into the build context";

/// Whether this names a repository: by its scheme, or by a path that ends in `.git`, whatever revision follows it.
pub(crate) fn is_git(text: &str) -> bool {
    let remote = text.starts_with("http://") || text.starts_with("https://");
    let path = text.split(['#', '?']).next().unwrap_or_default().trim_end_matches('/');
    let schemes = ["git://", "git@", "ssh://", "git+"];
    schemes.iter().any(|scheme| text.starts_with(scheme)) || (remote && path.ends_with(".git"))
}

/// The mode in `--chmod`.
pub(crate) fn permissions(text: &str) -> Result<u32, ErrorKind> {
    let octal = (3..=5).contains(&text.len()) && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    let mode = octal.then(|| u32::from_str_radix(text, 8).ok()).flatten().filter(|&mode| mode <= 0o7777);
    mode.ok_or_else(|| ErrorKind::BadMode { value: shorten(text) })
}

/// The owner in `--chown`.
pub(crate) fn owner(text: &str) -> Result<Owner, ErrorKind> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let fine = |name: &str| {
        !name.is_empty() && !name.starts_with('-') && !name.contains([':', '/']) && !name.contains(char::is_whitespace)
    };
    if !fine(user) || group.is_some_and(|group| !fine(group)) {
        return Err(ErrorKind::BadOwner { value: shorten(text) });
    }
    Ok(Owner { user: user.to_owned(), group: group.map(str::to_owned) })
}

/// The sum in `--checksum`, in hexadecimal digits.
pub(crate) fn checksum(text: &str) -> Result<String, ErrorKind> {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    let good = digits.len() == 64 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if good { Ok(digits.to_owned()) } else { Err(ErrorKind::BadChecksum { value: shorten(text) }) }
}

fn checksum_problem(text: &str) -> Option<ErrorKind> {
    checksum(text).err()
}

fn mode_problem(text: &str) -> Option<ErrorKind> {
    permissions(text).err()
}

fn owner_problem(text: &str) -> Option<ErrorKind> {
    owner(text).err()
}

/// At most what fits into a message.
pub(crate) fn shorten(text: &str) -> String {
    const LIMIT: usize = 80;
    if text.len() <= LIMIT {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(LIMIT)])
}
