//! Prepares what hosts print for terminals and messages, and texts of ours for shells.

/// The last lines of a command's output that say something, without control characters.
#[must_use]
pub fn last_lines(bytes: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<String> =
        text.lines().rev().map(printable).filter(|line| !line.is_empty()).take(count).collect();
    lines.reverse();
    lines.join("\n")
}

/// A line as it may be shown on a terminal: no escape sequences, not endless.
#[must_use]
pub fn printable(line: &str) -> String {
    let mut shown = String::new();
    let mut characters = line.trim_end().chars();
    while let Some(character) = characters.next() {
        match character {
            // ESC [ parameters letter
            '\u{1b}' => drop(characters.by_ref().skip_while(|c| *c == '[').find(|c| c.is_ascii_alphabetic())),
            '\t' => shown.push_str("    "),
            character if character.is_control() => {}
            character => shown.push(character),
        }
        if shown.len() > 2_000 {
            shown.push('…');
            break;
        }
    }
    shown
}

/// Puts `text` into single quotes for a POSIX shell.
#[must_use]
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_shown_are_the_last_ones_without_control_characters() {
        let output = b"one\ntwo\r\n\n\x1b[1;31mthree\x1b[0m\x07\n\xff\n   \n";
        assert_eq!(last_lines(output, 2), "three\n\u{fffd}");
        assert_eq!(last_lines(output, 9), "one\ntwo\nthree\n\u{fffd}");
        assert!(printable(&"x".repeat(9_000)).len() < 3_000);
    }
}
