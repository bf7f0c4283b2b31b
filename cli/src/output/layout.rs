//! Lays out lines in columns.

use std::borrow::Cow;

use console::measure_text_width;

/// Lines are never wider than this, also on wide terminals and in files.
pub(super) const WIDEST: usize = 100;
/// Times, rates and words such as `cached` stand in this column at the right end.
pub(super) const RIGHT: usize = 8;

/// Three columns: what it is, what came of it, and how long it took. Without a middle, the left may use its place.
pub(super) fn columns(width: usize, left: &str, middle: &str, right: &str) -> String {
    let middle_width = if middle.is_empty() { 0 } else { (width / 3).max(measure_text_width(middle)) };
    let room = width.saturating_sub(middle_width + RIGHT + 2);
    let left = pad(&shorten(left, room), room);
    format!("{left}  {}{right:>RIGHT$}", pad(middle, middle_width)).trim_end().to_owned()
}

/// A text cut in its middle, so that beginning and end can be read.
pub(super) fn shorten(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let end = kept / 2;
    let start = text.chars().take(kept - end);
    start.chain(['…']).chain(text.chars().skip(length - end)).collect()
}

/// The end of a list that fits, `…` in place of what does not.
pub(super) fn last_parts(parts: &[String], width: usize) -> String {
    let whole = parts.join(" · ");
    if measure_text_width(&whole) <= width || parts.len() < 2 {
        return shorten(&whole, width);
    }
    let mut shown = parts.last().cloned().unwrap_or_default();
    for part in parts.iter().rev().skip(1) {
        let longer = format!("{part} · {shown}");
        if measure_text_width(&longer) + 4 > width {
            break;
        }
        shown = longer;
    }
    shorten(&format!("… · {shown}"), width)
}

/// A bar of so many cells, filled as far as the work is done.
pub(super) fn bar(done: u64, total: u64, cells: u64) -> String {
    let filled = done.min(total).saturating_mul(cells).checked_div(total).unwrap_or(0).min(cells);
    (0..cells).map(|cell| if cell < filled { '█' } else { '░' }).collect()
}

/// Lines in which everything that a terminal would obey is written out, as JSON does: `\u001b`. Text of images, hosts
/// and registries could otherwise hide or change what stands beside it.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    let steers = |letter: char| {
        let reorders = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        reorders || (letter.is_control() && !matches!(letter, '\n' | '\t'))
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let write = |mut shown: String, letter| {
        if steers(letter) {
            shown.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            shown.push(letter);
        }
        shown
    };
    Cow::Owned(text.chars().fold(String::with_capacity(text.len() + 8), write))
}

/// One line without anything that a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    // What follows a carriage return was meant to replace what stands before it.
    let text = console::strip_ansi_codes(text.trim_end());
    let last = text.rsplit('\r').next().unwrap_or_default();
    last.replace('\t', "    ").chars().filter(|letter| !letter.is_control()).collect()
}

/// Fills up with blanks to a width.
pub(super) fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(measure_text_width(text));
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_end_at_the_same_place() {
        let lines = [
            columns(80, "[1/2] COPY  a b", "3 files, 14 kB", "0.0s"),
            columns(80, &format!("[2/2] RUN   wget https://{}/x.yaml", "a".repeat(90)), "1 file, 9 kB", "cached"),
            columns(80, "[2/2] CMD   kubectl apply -f recommended.yaml and a lot more of it", "", "recorded"),
        ];
        for line in &lines {
            assert_eq!(measure_text_width(line), 80, "{line}");
        }
        assert!(lines[1].contains('…') && lines[1].contains("/x.yaml "), "{}", lines[1]);
        assert!(!lines[2].contains('…'), "{}", lines[2]);
        assert_eq!(columns(80, "[1/2] FROM  scratch", "", ""), "[1/2] FROM  scratch");
    }

    #[test]
    fn texts_are_cut_in_the_middle() {
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdef", 5), "ab…ef");
        assert_eq!(shorten("äöüßé", 3), "ä…é");
        assert_eq!(shorten("abc", 0), "…");
        let parts = ["names", "content 412 MB", "kubeadm init …"].map(str::to_owned);
        assert_eq!(last_parts(&parts, 60), "names · content 412 MB · kubeadm init …");
        assert_eq!(last_parts(&parts, 35), "… · content 412 MB · kubeadm init …");
        assert_eq!(last_parts(&parts, 20), "… · kubeadm init …");
    }

    #[test]
    fn bars_fill_up() {
        assert_eq!(bar(0, 0, 4), "░░░░");
        assert_eq!(bar(1, 2, 4), "██░░");
        assert_eq!(bar(u64::MAX, 2, 4), "████");
        assert_eq!(bar(9, 10, 4), "███░");
    }

    #[test]
    fn output_of_others_cannot_steer_the_terminal() {
        assert_eq!(printable("\u{1b}[31mred\u{1b}[0m\tx\u{7}\r\n"), "red    x");
        assert_eq!(printable("10%\r50%\r100%"), "100%");
        assert_eq!(visible("a\tb\n"), "a\tb\n");
        assert_eq!(visible("rm -rf /\u{1b}[2K\rls \u{9b}8m\u{202e}"), r"rm -rf /\u001b[2K\u000dls \u009b8m\u202e");
    }
}
