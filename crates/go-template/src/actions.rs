//! Finds the actions of a template, so that an error can name the one it came from.

/// The function that notes the number of the action that follows.
pub(crate) const MARK: &str = "__action";

/// The template with a note of its number in front of each action that can fail.
pub(crate) fn marked(text: &str) -> String {
    let mut marked = String::with_capacity(text.len() * 2);
    let mut written = 0;
    for (number, (start, end)) in actions(text).into_iter().enumerate() {
        let action = &text[start..end];
        let (word, is_comment) = first_word(action);
        marked.push_str(&text[written..start]);
        if !["else", "end", "define", "block", "break", "continue"].contains(&word) && !is_comment {
            let left = if action.starts_with("{{-") { "{{- " } else { "{{ " };
            marked.push_str(&format!("{left}{MARK} {number} }}}}"));
        }
        marked.push_str(action);
        written = end;
    }
    marked.push_str(&text[written..]);
    marked
}

/// The word with which an action begins, and whether it is a comment.
fn first_word(action: &str) -> (&str, bool) {
    let inner = action.trim_start_matches("{{-").trim_start_matches("{{").trim_start();
    let word = inner.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    (word, inner.starts_with("/*"))
}

/// The number of an action that nothing ends, which the engine takes to end with the text.
pub(crate) fn unclosed(text: &str) -> Option<usize> {
    let mut open = Vec::new();
    for (number, (start, end)) in actions(text).into_iter().enumerate() {
        match first_word(&text[start..end]).0 {
            "if" | "range" | "with" | "define" | "block" => open.push(number),
            "end" => drop(open.pop()),
            _ => {}
        }
    }
    open.pop()
}

/// The line and the text of an action.
pub(crate) fn at(text: &str, number: usize) -> (usize, String) {
    let Some(&(start, end)) = actions(text).get(number) else { return (1, String::new()) };
    let expression: String = text[start..end].chars().take(120).collect();
    (text[..start].matches('\n').count() + 1, expression)
}

/// Where each action begins and ends.
fn actions(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("{{").map(|at| from + at) {
        let Some(end) = end_of(&text[start..]).map(|length| start + length) else { break };
        found.push((start, end));
        from = end;
    }
    found
}

/// The length of the action at the start of a text; braces in quotes and comments do not end it.
fn end_of(text: &str) -> Option<usize> {
    let inner = text.trim_start_matches("{{").trim_start_matches('-').trim_start();
    if inner.starts_with("/*") {
        let comment = text.find("*/")?;
        return text[comment..].find("}}").map(|at| comment + at + 2);
    }
    let mut quote = None;
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            _ if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(letter),
            (None, '}') if text[at..].starts_with("}}") => return Some(at + 2),
            (None, _) => {}
        }
    }
    None
}
