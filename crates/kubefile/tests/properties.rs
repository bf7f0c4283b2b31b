//! Holds for any text: the parser does not panic, places are right, and values survive quoting.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may fail by panic, and one measures time"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kubefile::{Error, Errors, Instruction, InstructionKind, Kubefile, Part, ResolvedKind, Span, Word};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// Fragments that a Kubefile is made of, so that random texts reach deep into the parser.
fn soup() -> impl Strategy<Value = String> {
    const WORDS: [&str; 66] = [
        "FROM k:1\n",
        "FROM scratch\n",
        "COPY ",
        "ADD ",
        "RUN ",
        "CMD ",
        "CMDS ",
        "ARG ",
        "ENV ",
        "LABEL ",
        "MAINTAINER ",
        "APP ",
        "APPCMDS ",
        "APPENV ",
        "LAUNCH ",
        "CNI ",
        "CSI ",
        "KUBEVERSION ",
        "COPPY ",
        "--chmod=644 ",
        "--chown=",
        "--from=x ",
        "--",
        "a",
        "b ",
        "é",
        "日本",
        "\u{feff}",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\r",
        "\\\n",
        "\\",
        "\\\r\n",
        "#",
        "# c\n",
        "'",
        "\"",
        "$",
        "${",
        "}",
        "${A:-",
        "$A",
        "${A:?",
        ":-",
        "=",
        "A=1",
        ",",
        "[",
        "]",
        "[\"",
        "\", \"",
        "\"]",
        "\\u00e9",
        "\\ud800",
        "<<",
        "<<E",
        "<<-E",
        "<<'E'",
        "E\n",
        "\tE\n",
        "local://x ",
        "http://",
        "\u{10ffff}",
    ];
    prop::collection::vec(prop::sample::select(&WORDS[..]), 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4 * ProptestConfig::default().cases, failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("proptest-regressions"))), ..ProptestConfig::default() })]

    #[test]
    fn places_are_true_for_soup(text in soup()) {
        check_places(&text)?;
    }

    #[test]
    fn places_are_true_behind_a_from(text in soup()) {
        check_places(&format!("FROM k:1\n{text}"))?;
    }

    #[test]
    fn places_are_true_for_any_text(text in any::<String>()) {
        check_places(&text)?;
    }

    #[test]
    fn values_survive_quoting(
        values in prop::collection::vec("[ -~äß日]{0,12}", 1..6),
        styles in prop::collection::vec(0..3usize, 6),
        breaks in prop::collection::vec(0..3usize, 6),
    ) {
        let mut text = String::from("FROM k:1\nENV");
        for (index, value) in values.iter().enumerate() {
            text.push_str([" ", " \\\n ", "  \\\r\n# between\n\n\t"][breaks[index]]);
            text.push_str(&format!("V{index}={}", quoted(value, styles[index])));
        }
        // A `\` with a blank at the end of a line would continue it.
        text.push_str(" LAST=");
        let kubefile = kubefile::parse(&text).map_err(|errors| TestCaseError::fail(format!("{errors}\n{text}")))?;
        let resolved = kubefile.expand(&BTreeMap::new(), &BTreeMap::new()).unwrap();
        let mut expected: Vec<(String, String)> =
            values.into_iter().enumerate().map(|(index, value)| (format!("V{index}"), value)).collect();
        expected.push(("LAST".to_owned(), String::new()));
        prop_assert_eq!(&resolved.instructions[1].kind, &ResolvedKind::Env(expected), "{}", text);
    }

    #[test]
    fn strings_survive_json(values in prop::collection::vec(any::<String>(), 1..5)) {
        let strings: Vec<String> = values.iter().map(|value| json(value)).collect();
        let text = format!("FROM k:1\nCMDS [{}]\n", strings.join(" , "));
        let kubefile = kubefile::parse(&text).map_err(|errors| TestCaseError::fail(format!("{errors}\n{text}")))?;
        prop_assert_eq!(&kubefile.instructions[1].kind, &InstructionKind::Cmds(values));
    }

    #[test]
    fn heredocs_survive(lines in prop::collection::vec("[ -~\t日]{0,20}", 0..6)) {
        prop_assume!(lines.iter().all(|line| line != "END"));
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let text = format!("FROM k:1\nCOPY <<'END' /x\n{body}END\nRUN y\n");
        let kubefile = kubefile::parse(&text).map_err(|errors| TestCaseError::fail(format!("{errors}\n{text}")))?;
        prop_assert_eq!(&kubefile.instructions[1].heredocs[0].content, &body);
        prop_assert_eq!(kubefile.instructions[1].heredocs[0].body.slice(&text), body.as_str());
        prop_assert_eq!(kubefile.instructions.len(), 3);
    }
}

fn check_places(text: &str) -> Result<(), TestCaseError> {
    match kubefile::parse(text) {
        Ok(kubefile) => {
            prop_assert_eq!(kubefile.text(), text);
            let mut end = 0;
            for instruction in &kubefile.instructions {
                prop_assert!(instruction.span.start >= end, "instructions overlap");
                end = instruction.span.end;
                check_instruction(instruction, text)?;
            }
            if let Err(errors) = kubefile.expand(&BTreeMap::new(), &BTreeMap::new()) {
                check_errors(&errors, text)?;
            }
            again_alone(&kubefile)
        }
        Err(errors) => check_errors(&errors, text),
    }
}

/// Each instruction's own text, parsed alone, says the same.
fn again_alone(kubefile: &Kubefile) -> Result<(), TestCaseError> {
    for instruction in &kubefile.instructions {
        let from = matches!(instruction.kind, InstructionKind::From { .. });
        let text = if from { instruction.original.clone() } else { format!("FROM other\n{}", instruction.original) };
        let again = kubefile::parse(&text).map_err(|errors| TestCaseError::fail(format!("{errors}\n{text:?}")))?;
        let last = again.instructions.last().unwrap();
        prop_assert_eq!(&last.arguments, &instruction.arguments);
        prop_assert_eq!(last.kind.keyword(), instruction.kind.keyword());
        prop_assert_eq!(last.heredocs.len(), instruction.heredocs.len());
    }
    Ok(())
}

fn check_instruction(instruction: &Instruction, text: &str) -> Result<(), TestCaseError> {
    check_span(instruction.span, text)?;
    check_span(instruction.name, text)?;
    prop_assert_eq!(instruction.span.slice(text), &instruction.original);
    prop_assert_eq!(instruction.name.start, instruction.span.start);
    let name = instruction.name.slice(text).replace("\\\r\n", "").replace("\\\n", "");
    prop_assert!(name.eq_ignore_ascii_case(instruction.kind.keyword().as_str()) || name.contains(['\\', '#']));
    for heredoc in &instruction.heredocs {
        check_span(heredoc.marker, text)?;
        check_span(heredoc.body, text)?;
        prop_assert!(heredoc.marker.slice(text).contains("<<") || heredoc.marker.slice(text).contains('\\'));
    }
    match &instruction.kind {
        InstructionKind::Env(values) => values.iter().try_for_each(|assignment| check_word(&assignment.value, text)),
        InstructionKind::Copy(transfer) => check_word(&transfer.destination, text),
        InstructionKind::From { image, .. } => check_word(image, text),
        InstructionKind::KubeVersion(word) => check_word(word, text),
        _ => Ok(()),
    }
}

fn check_word(word: &Word, text: &str) -> Result<(), TestCaseError> {
    check_span(word.span, text)?;
    for part in &word.parts {
        if let Part::Variable(variable) = part {
            check_span(variable.span, text)?;
            prop_assert!(variable.span.slice(text).contains('$'));
            prop_assert!(word.span.start <= variable.span.start && variable.span.end <= word.span.end);
        }
    }
    Ok(())
}

fn check_errors(errors: &Errors, text: &str) -> Result<(), TestCaseError> {
    prop_assert!(errors.len() > 0);
    let mut last = 0;
    for error in errors {
        let Error { span, line, related, .. } = error;
        check_span(*span, text)?;
        prop_assert!(span.start >= last, "errors are not in the order of the text");
        last = span.start;
        prop_assert!(!error.message().is_empty() && !error.label().is_empty());
        let whole = text.strip_prefix('\u{feff}').unwrap_or(text).split('\n').nth(span.line - 1).unwrap();
        prop_assert_eq!(whole.strip_suffix('\r').unwrap_or(whole), line);
        if let Some(related) = related {
            check_span(*related, text)?;
        }
    }
    Ok(())
}

fn check_span(span: Span, text: &str) -> Result<(), TestCaseError> {
    prop_assert!(span.start <= span.end);
    prop_assert!(text.get(span.range()).is_some(), "{span:?} does not slice {text:?}");
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let before = &bare[..span.start.saturating_sub(text.len() - bare.len())];
    let line = before.rsplit('\n').next().unwrap();
    prop_assert_eq!(span.line, before.matches('\n').count() + 1);
    prop_assert_eq!(span.column, line.chars().count() + 1);
    Ok(())
}

fn quoted(value: &str, style: usize) -> String {
    let escape = |special: &dyn Fn(char) -> bool| -> String {
        value.chars().flat_map(|letter| special(letter).then_some('\\').into_iter().chain([letter])).collect()
    };
    match style {
        0 => format!("'{}'", value.replace('\'', "'\"'\"'")),
        1 => format!("\"{}\"", escape(&|letter| "\"\\$".contains(letter))),
        _ => escape(&|letter| letter.is_ascii() && !letter.is_ascii_alphanumeric()),
    }
}

fn json(value: &str) -> String {
    let mut text = String::from("\"");
    for unit in value.encode_utf16() {
        text.push_str(&format!("\\u{unit:04x}"));
    }
    text + "\""
}

#[test]
fn files_too_large_or_not_text_are_refused() {
    let large = "# x\n".repeat(kubefile::MAX_BYTES / 4 + 1);
    assert!(kubefile::parse(&large).unwrap_err().to_string().contains("more than the 1048576 allowed"));
    let many = format!("FROM k:1\n{}", "RUN x\n".repeat(kubefile::MAX_INSTRUCTIONS));
    let errors = kubefile::parse(&many).unwrap_err().to_string();
    assert!(errors.starts_with("1001:1: the Kubefile has more than 1000 instructions"), "{errors}");
    assert!(kubefile::parse("FROM a\nRUN \0").unwrap_err().to_string().starts_with("2:5: the Kubefile is not a text"));
}

/// Text that would take minutes or gigabytes if anything in the parser were worse than linear.
#[test]
fn hostile_files_are_read_in_bounded_time() {
    let fill = |head: &str, unit: &str, tail: &str| {
        let room = kubefile::MAX_BYTES / 4 - head.len() - tail.len();
        format!("{head}{}{tail}", unit.repeat(room / unit.len()))
    };
    let from = "FROM scratch\n";
    let files = [
        fill("", "a\n", ""),
        fill("", "\\\n", ""),
        fill("FROM k:1\nCOPY", " a", ""),
        fill("FROM k:1\nCOPY", " 'a' \\\n", " b"),
        fill("FROM k:1\nCOPY", " <<A", " /x\n"),
        format!("FROM k:1\nCOPY{} /x\n{}", " <<A".repeat(42_000), "A\n".repeat(42_000)),
        fill("FROM k:1\nRUN", " <<A", ""),
        fill("FROM k:1\nENV", " a=1", ""),
        fill("FROM k:1\nENV", " a", ""),
        fill("FROM k:1\nARG a=", ",", ""),
        fill("FROM k:1\nARG a=", ",b=", ""),
        fill("FROM k:1\nENV a=", "${b:-", ""),
        fill("FROM k:1\nENV a=", "$a$", ""),
        fill("FROM k:1\nENV a=", "\\", ""),
        fill("FROM k:1\nENV a=", "''\"\"", ""),
        fill("FROM k:1\nCMDS [\"a\"", ",\"a\"", "]"),
        fill("FROM k:1\nRUN [", " ", ""),
        fill("FROM k:1\nCOPY a", " --x", ""),
        fill("FROM k:1\nCOPY", " --x", ""),
        fill(&format!("{from}APP a local://b\nLAUNCH"), " b", ""),
        fill(&format!("{from}{}LAUNCH", "APP abcdefghij local://b\n".repeat(900)), " abcdefghi", ""),
        fill("FROM k:1\nCOPY <<A /x\n", "$a${a}\n", "A\n"),
        fill("FROM k:1\nRUN <<A\n", "\t\n", "A\n"),
        fill("FROM k:1\nLABEL a=", "日", ""),
    ];
    for text in &files {
        let start = Instant::now();
        let count = match kubefile::parse(text) {
            Ok(kubefile) => kubefile.expand(&BTreeMap::new(), &BTreeMap::new()).map_or(0, |all| all.instructions.len()),
            Err(errors) => errors.len(),
        };
        let spent = start.elapsed();
        let head: String = text.chars().take(60).collect();
        assert!(count <= 1001 && spent < Duration::from_secs(15), "{count} in {spent:?}: {head:?}");
    }
}

#[test]
fn values_cannot_grow_without_bound() {
    let mut text = String::from("FROM k:1\nENV V=xxxxxxxx\n");
    for _ in 0..100 {
        text.push_str("ENV V=$V$V\n");
    }
    let errors = kubefile::parse(&text).unwrap().expand(&BTreeMap::new(), &BTreeMap::new()).unwrap_err();
    assert!(errors.to_string().contains("all ARG and ENV values together have more than"), "{errors}");

    let long = format!("FROM k:1\nENV V={}\nCOPY {} /x\n", "x".repeat(100_000), "$V".repeat(200));
    let errors = kubefile::parse(&long).unwrap().expand(&BTreeMap::new(), &BTreeMap::new()).unwrap_err();
    assert!(errors.to_string().contains("once variables are replaced"), "{errors}");
}
