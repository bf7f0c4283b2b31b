//! Finds the lines of a source file that are code, and where each function begins and ends.

/// A function with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// One-based line of the word `fn`.
    pub(super) line: usize,
    /// Lines from the word `fn` to the closing brace.
    pub(super) length: usize,
}

/// The text with the content of comments, strings and character literals blanked; line ends stay.
pub(super) fn code_only(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut index = 0;
    while index < characters.len() {
        let end = literal_end(&characters, index);
        if end == index {
            code.push(characters[index]);
            index += 1;
        } else {
            code.extend(characters[index..end].iter().map(|&character| if character == '\n' { '\n' } else { ' ' }));
            index = end;
        }
    }
    code
}

/// The lines of a file before its inline tests.
pub(super) fn body_lines(text: &str) -> usize {
    let code = code_only(text);
    let lines: Vec<&str> = code.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod tests {"));
    tests.unwrap_or(lines.len())
}

/// Every function with a body, in order.
pub(super) fn functions(text: &str) -> Vec<Function> {
    let code: Vec<char> = code_only(text).chars().collect();
    let mut found = Vec::new();
    let mut line = 1;
    for index in 0..code.len() {
        if code[index] == '\n' {
            line += 1;
        }
        let Some(name) = function_name(&code, index) else { continue };
        if let Some(length) = body_length(&code[index..]) {
            found.push(Function { name, line, length });
        }
    }
    found
}

/// One past the end of the comment or literal that starts at `start`; `start` itself when none does.
fn literal_end(text: &[char], start: usize) -> usize {
    let starts_with =
        |at: usize, word: &str| word.chars().enumerate().all(|(offset, c)| text.get(at + offset) == Some(&c));
    let find = |from: usize, word: &str| (from..text.len()).find(|&at| starts_with(at, word)).map(|at| at + word.len());
    if starts_with(start, "//") {
        return (start..text.len()).find(|&at| text[at] == '\n').unwrap_or(text.len());
    }
    if starts_with(start, "/*") {
        return find(start + 2, "*/").unwrap_or(text.len());
    }
    let inside_word = start > 0 && is_word(text[start - 1]);
    if text[start] == 'r' && !inside_word || text[start] == 'r' && start > 0 && text[start - 1] == 'b' {
        let hashes = text[start + 1..].iter().take_while(|&&c| c == '#').count();
        if text.get(start + 1 + hashes) == Some(&'"') {
            let closing = format!("\"{}", "#".repeat(hashes));
            return find(start + 2 + hashes, &closing).unwrap_or(text.len());
        }
    }
    if text[start] == '"' {
        return quoted_end(text, start, '"');
    }
    // A quote that starts a character and not a lifetime: 'x' or '\…'.
    if text[start] == '\'' && (text.get(start + 1) == Some(&'\\') || text.get(start + 2) == Some(&'\'')) {
        return quoted_end(text, start, '\'');
    }
    start
}

fn quoted_end(text: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// The name, when the word `fn` and then a name stand at `index`.
fn function_name(code: &[char], index: usize) -> Option<String> {
    let word = code.get(index..index + 3)?;
    if word != ['f', 'n', ' '] || index > 0 && is_word(code[index - 1]) {
        return None;
    }
    let name: String = code[index + 3..].iter().skip_while(|c| **c == ' ').take_while(|c| is_word(**c)).collect();
    (!name.is_empty()).then_some(name)
}

/// Lines up to the brace that closes the body; nothing for a declaration without one.
fn body_length(code: &[char]) -> Option<usize> {
    let (mut lines, mut depth, mut nested) = (1, 0_usize, 0_usize);
    for &character in code {
        match character {
            '\n' => lines += 1,
            '(' | '[' => nested += 1,
            ')' | ']' => nested = nested.saturating_sub(1),
            // `[u8; 32]` in a signature ends nothing.
            ';' if depth == 0 && nested == 0 => return None,
            '{' => depth += 1,
            '}' if depth <= 1 => return Some(lines),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_and_declarations_are_not() {
        let text = "trait T {\n    fn declared(&self, bytes: [u8; 4]);\n}\nfn one() { body() }\nfn three<'a>(x: &'a str) {\n    let c = '}';\n}\n";
        let found: Vec<_> = functions(text).into_iter().map(|f| (f.name, f.line, f.length)).collect();
        assert_eq!(found, [("one".into(), 4, 1), ("three".into(), 5, 3)]);
    }

    #[test]
    fn braces_in_text_do_not_count() {
        let text = "fn f() {\n    // }\n    let s = \"} \\\" }\";\n    let r = r#\"fn no() { \" \"#;\n    /* } */\n}\n";
        let found: Vec<_> = functions(text).into_iter().map(|f| (f.name, f.length)).collect();
        assert_eq!(found, [("f".into(), 6)]);
    }

    #[test]
    fn inline_tests_are_no_body() {
        assert_eq!(body_lines("//! Doc\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n"), 3);
        assert_eq!(body_lines("//! Doc\nfn f() {}\n"), 2);
    }
}
