//! Renders Go templates as Helm and `*.tmpl` files expect.
//!
//! A template comes with an image, made by others, so what it may use is bounded: [`MAX_OUTPUT`] of text, depth, steps. It
//! reads nothing: no environment, no files, no clock.
//!
//! ```
//! let data = serde_json::json!({"HostIP": "10.0.0.1", "Names": ["a", "b"]});
//! let text = go_template::render("a.tmpl", "{{ .HostIP }} {{ join `,` .Names | b64enc }}", &data)?;
//! assert_eq!(text, "10.0.0.1 YSxi");
//! let error = go_template::render("a.tmpl", "\n{{ .Missing }}", &data).expect_err("not defined");
//! assert_eq!((error.line, error.expression.as_str()), (2, "{{ .Missing }}"));
//! # Ok::<(), go_template::Error>(())
//! ```
//!
//! # Errors
//! [`Error`] names the file, the line and the expression. A value that is not defined is an error where it is printed;
//! `if`, `default` and `empty` may ask for it.
//!
//! The language is that of Go's `text/template`, the further functions are those of sprig: see [`FUNCTIONS`].

mod actions;
mod functions;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gotmpl::{Template, TemplateError, Value};

pub use functions::FUNCTIONS;

/// The most text that a template may make: 16 MiB.
pub const MAX_OUTPUT: usize = 16 << 20;
/// The largest template: 1 MiB.
pub const MAX_TEMPLATE: usize = 1 << 20;
/// How often loops may go round, in all.
const MAX_ROUNDS: u64 = 1_000_000;
/// What Go prints for a value that is not defined.
const NO_VALUE: &str = "<no value>";
const UNDEFINED: &str = "the value is not defined";

/// Why a template could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {expression}: {reason}")]
#[non_exhaustive]
pub struct Error {
    /// The name that the template was given.
    pub file: String,
    /// The line of the expression, from 1.
    pub line: usize,
    /// The expression with its braces, or the line where there is none.
    pub expression: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Renders a template with data; `file` is what errors call it.
///
/// # Errors
/// When it is no template, prints what is not defined, or exceeds a limit.
pub fn render(file: &str, text: &str, data: &serde_json::Value) -> Result<String, Error> {
    let failed =
        |line: usize, expression: String, reason: String| Error { file: file.to_owned(), line, expression, reason };
    if text.len() > MAX_TEMPLATE {
        return Err(failed(1, String::new(), format!("the template is larger than {MAX_TEMPLATE} bytes")));
    }
    if let Some((line, expression)) = actions::unclosed(text).map(|number| actions::at(text, number)) {
        return Err(failed(line, expression, "there is no {{ end }} for it".to_owned()));
    }
    let data = gotmpl::to_value(data).map_err(|error| failed(1, String::new(), error.to_string()))?;
    let error = match execute(text, &data, None) {
        Ok(rendered) => return Ok(rendered),
        Err(error) => error,
    };
    match &error {
        TemplateError::Parse { line, message, .. } | TemplateError::Lex { line, message, .. } => {
            let shown = text.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim().to_owned();
            Err(failed(*line, shown, message.clone()))
        }
        _ => {
            // Once more, noting which action is under way: the engine itself does not tell.
            let last = Arc::new(AtomicUsize::new(0));
            drop(execute(&actions::marked(text), &data, Some(last.clone())));
            let (line, expression) = actions::at(text, last.load(Ordering::Relaxed));
            Err(failed(line, expression, error.to_string().trim_start_matches("execution error: ").to_owned()))
        }
    }
}

fn execute(text: &str, data: &Value, last: Option<Arc<AtomicUsize>>) -> Result<String, TemplateError> {
    let mut template = functions::with_functions(Template::new("")).max_range_iters(MAX_ROUNDS);
    if let Some(last) = last {
        template = template.func(actions::MARK, move |arguments| {
            let number = arguments.first().and_then(Value::as_int).and_then(|number| usize::try_from(number).ok());
            last.store(number.unwrap_or_default(), Ordering::Relaxed);
            Ok(Value::from(""))
        });
    }
    let mut output = Bounded::default();
    match template.parse(text)?.execute_fmt(&mut output, data) {
        Err(TemplateError::Write) if output.is_full => {
            Err(TemplateError::Exec(format!("the output is larger than {MAX_OUTPUT} bytes")))
        }
        Err(TemplateError::Write) => Err(TemplateError::Exec(UNDEFINED.to_owned())),
        done => done.map(|()| output.text),
    }
}

/// Text that refuses to grow beyond the limit, and values that are not defined.
#[derive(Default)]
struct Bounded {
    text: String,
    is_full: bool,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.is_full |= self.text.len() + text.len() > MAX_OUTPUT;
        if self.is_full || text == NO_VALUE {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn rendered(text: &str) -> String {
        let data = json!({
            "A": "x", "N": 3, "L": ["b", "a", "b"], "M": {"k": "v"}, "E": "", "Multi": "one\ntwo",
        });
        render("t", text, &data).unwrap_or_else(|error| format!("error: {error}"))
    }

    #[test]
    fn what_is_common_in_templates() {
        for (template, expected) in [
            ("{{ if .Nope }}a{{ else }}b{{ end }}", "b"),
            ("{{ .Nope | default \"d\" }}{{ default \"e\" .E }}{{ .A | default \"f\" }}", "dex"),
            ("{{ range $i, $x := .L }}{{ $i }}{{ $x }} {{ end }}", "0b 1a 2b "),
            ("{{- $v := printf \"%s-%d\" .A .N -}} {{ $v | upper | quote }}", "\"X-3\""),
            ("{{ join \",\" (uniq .L | sortAlpha) }}", "a,b"),
            ("{{ .Multi | nindent 2 }}", "\n  one\n  two"),
            ("{{ .A | b64enc }} {{ \"eA==\" | b64dec }} {{ sha256sum \"\" | trunc 4 }}", "eA== x e3b0"),
            ("{{ add 1 2 .N }} {{ sub 5 2 }} {{ mul 2 3 }} {{ div 7 2 }} {{ mod 7 4 }} {{ max 1 9 2 }}", "6 3 6 3 3 9"),
            (
                "{{ toJson .M }} {{ (fromJson \"{\\\"a\\\":1}\").a }} {{ get .M \"k\" }} {{ hasKey .M \"z\" }}",
                "{\"k\":\"v\"} 1 v false",
            ),
            (
                "{{ trimSuffix \"/\" \"a/\" }}{{ replace \"a\" \"b\" \"aa\" }}{{ splitList \";\" \"1;2\" | last }}",
                "abb2",
            ),
            (
                "{{ (split \":\" \"h:80\")._1 }} {{ ternary \"y\" \"n\" (contains \"x\" .A) }} {{ until 3 }}",
                "80 y [0 1 2]",
            ),
            ("{{ define \"t\" }}<{{ . }}>{{ end }}{{ template \"t\" .A }}{{ dict \"a\" 1 | toJson }}", "<x>{\"a\":1}"),
        ] {
            assert_eq!(rendered(template), expected, "{template}");
        }
    }

    #[test]
    fn errors_name_line_and_expression() {
        for (template, expected) in [
            ("a\n{{ .Nope }}", "error: t:2: {{ .Nope }}: the value is not defined"),
            ("a\n{{ if .A }}\n{{- fail \"no\" -}}\n{{ end }}", "error: t:3: {{- fail \"no\" -}}: no"),
            ("{{ \"}}\" }}\n{{ index .L 9 }}", "error: t:2: {{ index .L 9 }}: index out of range: 9"),
            ("x\n{{ if }}{{ end }}", "error: t:2: {{ if }}{{ end }}: "),
            ("x\n{{ range .L }}", "error: t:2: {{ range .L }}: there is no {{ end }} for it"),
            ("x\n{{ nosuch .A }}", "error: t:2: {{ nosuch .A }}: undefined function: nosuch"),
            ("{{ .Nope | b64enc }}", "error: t:1: {{ .Nope | b64enc }}: the value is not defined"),
            ("{{ printf \"%s\" .Nope }}", "error: t:1: {{ printf \"%s\" .Nope }}: the value is not defined"),
            ("{{ required \"give X\" .X }}", "error: t:1: {{ required \"give X\" .X }}: give X"),
        ] {
            let found = rendered(template);
            assert!(found.starts_with(expected), "{template:?} gives {found:?}");
        }
    }

    #[test]
    fn nothing_grows_without_bounds() {
        for template in [
            "{{ define \"t\" }}{{ template \"t\" . }}{{ end }}{{ template \"t\" . }}",
            "{{ $x := \"aaaaaaaaaaaaaaaa\" }}{{ range until 100 }}{{ $x = print $x $x }}{{ end }}",
            "{{ repeat 99999999 \"aaaaaaaaaa\" }}",
            "{{ range until 10000 }}{{ range until 10000 }}{{ end }}{{ end }}",
            "{{ range until 10000 }}{{ printf \"%60000d\" 1 }}{{ end }}",
            "{{ until 999999999 }}",
            "{{ $l := list 1 }}{{ range until 100000 }}{{ $l = list $l }}{{ end }}{{ $l }}",
            "{{ $l := list 1 }}{{ range until 100 }}{{ $l = list $l $l }}{{ end }}{{ toJson $l }}",
        ] {
            assert!(rendered(template).starts_with("error: t:1: "), "{template}");
        }
        assert!(render("t", &"{{ if true }}".repeat(5000), &json!({})).is_err());
    }
}
