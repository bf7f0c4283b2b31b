//! Fills templates such as `{{.digest}} {{json .labels}}` with fields of a JSON result.

use sealer_core::go_template;
use serde_json::Value;

/// The template with every field in its place; names of fields are read without regard to case. What has more than fields in
/// it is a Go template, for which labels are asked with `index`.
///
/// # Errors
///
/// What is wrong with the template, in words.
pub(super) fn fill(template: &str, value: &Value) -> Result<String, String> {
    if template.split("{{").skip(1).any(|action| !is_field(action)) {
        let filled = go_template::render("TEMPLATE", &template.replace("{{json ", "{{toJson "), value);
        return filled.map(|text| text + "\n").map_err(|error| error.to_string());
    }
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, action)) = rest.split_once("{{") {
        text.push_str(before);
        let (action, after) = action.split_once("}}").ok_or("`{{` is not closed by `}}`")?;
        let action = action.trim();
        let (is_json, path) = match action.strip_prefix("json ") {
            Some(path) => (true, path.trim()),
            None => (false, action),
        };
        let found = field(path, value)?;
        match found {
            Value::String(found) if !is_json => text.push_str(found),
            found => text.push_str(&found.to_string()),
        }
        rest = after;
    }
    text.push_str(rest);
    text.push('\n');
    Ok(text)
}

/// Whether an action, and what follows it, is a field or `json` of one; what is not closed is told as one.
fn is_field(action: &str) -> bool {
    let Some((action, _)) = action.split_once("}}") else { return true };
    let action = action.trim();
    let path = action.strip_prefix("json ").unwrap_or(action).trim();
    path.starts_with('.') && !path.contains([' ', '|', '(', '-'])
}

/// The field at a path such as `.sizes.total`; `.` is everything.
fn field<'a>(path: &str, value: &'a Value) -> Result<&'a Value, String> {
    let names = path.strip_prefix('.').ok_or_else(|| {
        format!(
            "`{{{{{path}}}}}` is not understood; expected a field such as `{{{{.digest}}}}`, or `{{{{json .labels}}}}`"
        )
    })?;
    let mut found = value;
    // Labels have dots in their names: as much as there is a field for belongs to one name.
    let mut rest = names;
    while !rest.is_empty() {
        let Value::Object(fields) = found else { return Err(format!("`{rest}` is asked of what has no fields")) };
        let fits = |name: &&String| {
            let begins = rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
            begins && matches!(rest.as_bytes().get(name.len()), None | Some(b'.'))
        };
        let name = fields.keys().filter(fits).max_by_key(|name| name.len());
        let Some(name) = name else {
            let known: Vec<&str> = fields.keys().map(String::as_str).collect();
            return Err(format!("there is no field `{rest}`; there are {}", known.join(", ")));
        };
        found = &fields[name];
        rest = rest[name.len()..].trim_start_matches('.');
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_put_in_their_places() {
        let value = serde_json::json!({ "name": "shop", "sizes": { "total": 3 }, "labels": { "io.x": "y" } });
        for (template, expected) in [
            ("{{.name}}", "shop\n"),
            ("{{ .Name }}: {{.sizes.Total}} B", "shop: 3 B\n"),
            ("{{json .name}} {{.labels.io.x}}", "\"shop\" y\n"),
            ("plain", "plain\n"),
            ("{{json .sizes}}", "{\"total\":3}\n"),
            ("{{range $k, $v := .labels}}{{$k}}={{$v}}{{end}} {{ .name | upper }}", "io.x=y SHOP\n"),
        ] {
            assert_eq!(fill(template, &value).as_deref(), Ok(expected), "{template}");
        }
        for (template, reason) in [
            ("{{.name", "is not closed"),
            ("{{.size}}", "there are name, sizes, labels"),
            ("{{range .labels}}", "TEMPLATE:1: "),
            ("{{.name.x}}", "what has no fields"),
        ] {
            let said = fill(template, &value);
            assert!(said.as_ref().is_err_and(|said| said.contains(reason)), "{template}: {said:?}");
        }
    }
}
