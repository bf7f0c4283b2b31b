//! Builds the shell script of a command with its here-documents.

use crate::{Heredoc, ShellOrExec};

/// The command with its here-documents written out, so that a shell needs nothing else.
///
/// A here-document alone is the script itself; when it begins with `#!`, the interpreter named there reads it.
pub(crate) fn whole(command: &ShellOrExec, heredocs: &[Heredoc]) -> ShellOrExec {
    let ShellOrExec::Shell(text) = command else {
        return command.clone();
    };
    let [only] = heredocs else {
        return with_documents(text, heredocs);
    };
    let marker = if only.strip_tabs { "<<-" } else { "<<" };
    let bare = text.strip_prefix(marker).map(|rest| rest.replace(['"', '\'', '\\'], "")) == Some(only.name.clone());
    if !bare {
        return with_documents(text, heredocs);
    }
    match interpreter(&only.content) {
        Some(interpreter) => {
            ShellOrExec::Shell(format!("{interpreter} /dev/stdin <<'{}'\n{}{0}\n", only.name, only.content))
        }
        None => ShellOrExec::Shell(only.content.clone()),
    }
}

fn with_documents(text: &str, heredocs: &[Heredoc]) -> ShellOrExec {
    let mut whole = text.to_owned();
    for heredoc in heredocs {
        whole.push_str(if whole.ends_with('\n') { "" } else { "\n" });
        whole.push_str(&heredoc.content);
        whole.push_str(&heredoc.name);
        whole.push('\n');
    }
    ShellOrExec::Shell(whole)
}

fn interpreter(script: &str) -> Option<&str> {
    let line = script.strip_prefix("#!")?.lines().next()?.trim();
    (!line.is_empty()).then_some(line)
}
