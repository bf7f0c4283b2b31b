//! Hides the passwords in the text of a Clusterfile, so that messages can quote it.

const SECRET_KEYS: [&str; 2] = ["passwd", "password"];

/// The text with what follows the keys of passwords replaced by `*`, byte for byte, so that every [`crate::Span`] stays valid.
///
/// It works line by line and also on text that is not YAML; it rather hides too much than too little.
#[must_use]
pub fn redacted(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut hidden_below: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        let indent = content.len() - content.trim_start().len();
        let continues = hidden_below.is_some_and(|outer| content.trim().is_empty() || indent > outer);
        let start = if continues { Some(indent) } else { value_start(content) };
        if !continues {
            // The value may be a block below its key.
            hidden_below = start.filter(|start| opens_block(&content[*start..])).map(|_| indent);
        }
        let start = start.unwrap_or(content.len());
        push_without_logins(&mut result, &content[..start]);
        result.extend(content[start..].bytes().map(|byte| if byte == b' ' { ' ' } else { '*' }));
        result.push_str(&line[content.len()..]);
    }
    result
}

/// Passwords also stand between `:` and `@` of what is meant as `user:password@host`.
fn push_without_logins(result: &mut String, text: &str) {
    for word in text.split_inclusive(' ') {
        let login = word.rfind('@').and_then(|at| Some(word[..at].find(':')? + 1..at));
        match login.filter(|login| !word[login.clone()].contains('/')) {
            Some(login) => {
                result.push_str(&word[..login.start]);
                result.extend(std::iter::repeat_n('*', login.len()));
                result.push_str(&word[login.end..]);
            }
            None => result.push_str(word),
        }
    }
}

/// Where the value of the first secret key of a line starts.
fn value_start(line: &str) -> Option<usize> {
    // Lower-casing ASCII keeps every byte in its place.
    let lower = line.to_ascii_lowercase();
    let ends = SECRET_KEYS.iter().flat_map(|key| lower.match_indices(key).map(|(at, key)| at + key.len()));
    let colons = ends.filter_map(|end| {
        let rest = line[end..].trim_start_matches(['"', '\'']).trim_start();
        rest.starts_with(':').then(|| line.len() - rest.len() + 1)
    });
    colons.min()
}

/// Whether the value goes on in the lines below.
fn opens_block(value: &str) -> bool {
    let value = value.trim();
    value.is_empty() || value.starts_with(['|', '>', '"', '\'', '[', '{', '&', '!', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_passwords_are_hidden_and_places_kept() {
        for (text, expected) in [
            ("  passwd: a b\n  user: root\n", "  passwd: * *\n  user: root\n"),
            ("ssh: {\"pkPasswd\" : é, port: 1}\r\n", "ssh: {\"pkPasswd\" : *** ***** **\r\n"),
            ("passwd:\n  secret\nuser: a", "passwd:\n  ******\nuser: a"),
            ("  password: |\n    a\n\n    b\n  user: a\n", "  password: *\n    *\n\n    *\n  user: a\n"),
            ("passwd:\nuser: a\n", "passwd:\nuser: a\n"),
            ("the passwd of: a", "the passwd of: a"),
            ("jump: [a@b, root:é@c@8.8.8.8:22]\n", "jump: [a@b, root:****@8.8.8.8:22]\n"),
            ("image: hub:5000/a@sha256:0", "image: hub:5000/a@sha256:0"),
        ] {
            assert_eq!(redacted(text), expected);
            assert_eq!(redacted(text).len(), text.len());
        }
    }
}
