//! The functions beside Go's own: those of sprig that templates of images and charts use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gotmpl::{Result, Template, TemplateError, Value};
use sha2::{Digest as _, Sha256};

use crate::{MAX_OUTPUT, UNDEFINED};

/// The most text and list entries that all functions of one template may take and make together.
const MAX_WORK: usize = 4 * MAX_OUTPUT;

/// How deep lists and maps may stand in each other.
const MAX_DEPTH: usize = 200;

/// The names of the functions beside Go's own, separated by blanks.
pub const FUNCTIONS: &str = "add atoi b64dec b64enc coalesce compact concat contains default dict div empty fail first float64 \
    fromJson get has hasKey hasPrefix hasSuffix indent initial int int64 join keys kindIs last list \
    lower max merge min mod mul nindent nospace quote repeat replace required rest reverse sha256sum \
    sortAlpha split splitList squote sub substr ternary title toJson toString toStrings trim trimAll \
    trimPrefix trimSuffix trunc typeOf uniq until untilStep untitle upper values without";

/// Go's own functions that make text of any length.
const OWN: [&str; 6] = ["html", "js", "print", "printf", "println", "urlquery"];

/// The template with all functions, whose work is bounded together.
pub(crate) fn with_functions(mut template: Template) -> Template {
    let work = Arc::new(AtomicUsize::new(0));
    for name in FUNCTIONS.split_whitespace().chain(OWN) {
        let work = work.clone();
        template = template.func(name, move |arguments| {
            charge(&work, arguments.iter().map(size).fold(16, usize::saturating_add))?;
            let value = if OWN.contains(&name) { own(name, arguments)? } else { call(name, arguments)? };
            charge(&work, size(&value))?;
            Ok(value)
        });
    }
    template
}

fn charge(work: &AtomicUsize, more: usize) -> Result<()> {
    let before = work.fetch_add(more.min(MAX_WORK), Ordering::Relaxed);
    if before.saturating_add(more) > MAX_WORK { fail("the template works on too much text") } else { Ok(()) }
}

/// How much a value is, as far as it is worth counting.
fn size(value: &Value) -> usize {
    fn add(value: &Value, depth: usize, sum: &mut usize) {
        if depth > MAX_DEPTH {
            *sum = usize::MAX;
        }
        *sum = sum.saturating_add(match value {
            Value::String(text) => text.len() + 16,
            _ => 16,
        });
        if *sum > MAX_WORK {
            return;
        }
        match value {
            Value::List(items) => items.iter().for_each(|item| add(item, depth + 1, sum)),
            Value::Map(entries) => entries.values().for_each(|item| add(item, depth + 1, sum)),
            _ => {}
        }
    }
    let mut sum = 0;
    add(value, 0, &mut sum);
    sum
}

/// One of Go's own, called through a template of its own.
fn own(name: &str, arguments: &[Value]) -> Result<Value> {
    if arguments.iter().any(|value| matches!(value, Value::Nil)) {
        return fail(UNDEFINED);
    }
    let names: Vec<Arc<str>> = (0..arguments.len()).map(|number| Arc::from(format!("a{number}"))).collect();
    let text: String = names.iter().map(|argument| format!(" .{argument}")).collect();
    let data: BTreeMap<Arc<str>, Value> = names.into_iter().zip(arguments.iter().cloned()).collect();
    let template = Template::new("").parse(&format!("{{{{{name}{text}}}}}"))?;
    template.execute_to_string(&Value::Map(Arc::new(data))).map(Value::from)
}

fn fail<T>(reason: impl Into<String>) -> Result<T> {
    Err(TemplateError::Exec(reason.into()))
}

/// The arguments of one call.
struct Call<'a> {
    name: &'a str,
    arguments: &'a [Value],
}

impl Call<'_> {
    fn value(&self, index: usize) -> Result<&Value> {
        let missing =
            || TemplateError::ArgCount { name: self.name.to_owned(), expected: index + 1, got: self.arguments.len() };
        self.arguments.get(index).ok_or_else(missing)
    }

    fn text(&self, index: usize) -> Result<String> {
        match self.value(index)? {
            Value::Nil => fail(UNDEFINED),
            value => Ok(text(value)),
        }
    }

    fn number(&self, index: usize) -> Result<i64> {
        let value = self.value(index)?;
        let parsed = || text(value).trim().parse::<f64>().ok().map(|number| number as i64);
        number(value).or_else(parsed).map_or_else(|| fail(format!("`{}` is no number", text(value))), Ok)
    }

    fn numbers(&self) -> Result<Vec<i64>> {
        (0..self.arguments.len().max(1)).map(|index| self.number(index)).collect()
    }

    fn list(&self, index: usize) -> Result<Vec<Value>> {
        match self.value(index)? {
            Value::List(items) => Ok(items.to_vec()),
            Value::Nil => Ok(Vec::new()),
            other => fail(format!("{} needs a list, not a {}", self.name, other.type_name())),
        }
    }

    fn map(&self, index: usize) -> Result<&BTreeMap<Arc<str>, Value>> {
        match self.value(index)? {
            Value::Map(entries) => Ok(entries),
            other => fail(format!("{} needs a map, not a {}", self.name, other.type_name())),
        }
    }

    fn length(&self, index: usize) -> Result<usize> {
        let number = usize::try_from(self.number(index)?).unwrap_or_default();
        if number > MAX_OUTPUT { fail(format!("{} of {number} is too much", self.name)) } else { Ok(number) }
    }
}

fn text(value: &Value) -> String {
    if matches!(value, Value::Nil) { String::new() } else { value.to_string() }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Uint(number) => i64::try_from(*number).ok(),
        Value::Float(number) => Some(*number as i64),
        Value::Bool(yes) => Some((*yes).into()),
        _ => None,
    }
}

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::List(items.into_iter().collect::<Vec<_>>().into())
}

fn texts(items: &[Value]) -> Vec<String> {
    items.iter().map(text).collect()
}

fn call(name: &str, arguments: &[Value]) -> Result<Value> {
    let call = Call { name, arguments };
    if let Some(value) = of_texts(&call)? {
        return Ok(value);
    }
    match of_numbers(&call)? {
        Some(value) => Ok(value),
        None => of_values(&call),
    }
}

fn of_texts(call: &Call<'_>) -> Result<Option<Value>> {
    let last = call.arguments.len().saturating_sub(1);
    let one = || call.text(0);
    let text = match call.name {
        "b64enc" => BASE64_STANDARD.encode(one()?),
        "b64dec" => {
            let decoded = BASE64_STANDARD.decode(one()?.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            decoded.map_or_else(|| fail("it is no base64 of a text"), Ok)?
        }
        "upper" => one()?.to_uppercase(),
        "lower" => one()?.to_lowercase(),
        "title" | "untitle" => {
            let first = |word: &str| match word.chars().next() {
                Some(first) if call.name == "title" => first.to_uppercase().chain(word.chars().skip(1)).collect(),
                Some(first) => first.to_lowercase().chain(word.chars().skip(1)).collect(),
                None => String::new(),
            };
            one()?.split(' ').map(first).collect::<Vec<_>>().join(" ")
        }
        "trim" => one()?.trim().to_owned(),
        "trimAll" => {
            let cut: Vec<char> = one()?.chars().collect();
            call.text(1)?.trim_matches(cut.as_slice()).to_owned()
        }
        "trimPrefix" => call.text(1)?.strip_prefix(&*one()?).map_or(call.text(1)?, str::to_owned),
        "trimSuffix" => call.text(1)?.strip_suffix(&*one()?).map_or(call.text(1)?, str::to_owned),
        "nospace" => one()?.split_whitespace().collect(),
        "quote" | "squote" => {
            let quoted = |value: &Value| match call.name {
                "quote" => serde_json::Value::from(self::text(value)).to_string(),
                _ => format!("'{}'", self::text(value)),
            };
            if call.arguments.iter().any(|value| matches!(value, Value::Nil)) {
                return fail(UNDEFINED);
            }
            call.arguments.iter().map(quoted).collect::<Vec<_>>().join(" ")
        }
        "trunc" => {
            let (count, text) = (call.number(0)?, call.text(1)?);
            let all = text.chars().count();
            let length = usize::try_from(count.unsigned_abs()).unwrap_or(all).min(all);
            text.chars().skip(if count < 0 { all - length } else { 0 }).take(length).collect()
        }
        "substr" => {
            let (start, end, text) = (call.length(0)?, call.number(1)?, call.text(2)?);
            let end = usize::try_from(end).unwrap_or(usize::MAX);
            text.chars().skip(start).take(end.saturating_sub(start)).collect()
        }
        "sha256sum" => hex::encode(Sha256::digest(one()?)),
        "toString" => one()?,
        "toJson" => json(call.value(0)?).to_string(),
        "typeOf" => call.value(0)?.type_name().to_owned(),
        "contains" | "hasPrefix" | "hasSuffix" => {
            let (part, text) = (one()?, call.text(1)?);
            return Ok(Some(Value::Bool(match call.name {
                "contains" => text.contains(&part),
                "hasPrefix" => text.starts_with(&part),
                _ => text.ends_with(&part),
            })));
        }
        "fail" => return fail(one()?),
        "required" => {
            let value = call.value(last)?;
            return if text(value).is_empty() { fail(one()?) } else { Ok(Some(value.clone())) };
        }
        _ => return of_long_texts(call),
    };
    Ok(Some(Value::from(text)))
}

/// Those whose text is longer than what they are given.
fn of_long_texts(call: &Call<'_>) -> Result<Option<Value>> {
    let text = match call.name {
        "replace" => {
            let (from, to, text) = (call.text(0)?, call.text(1)?, call.text(2)?);
            if text.matches(&from).count().saturating_mul(to.len()) > MAX_OUTPUT {
                return fail("the replaced text is too long");
            }
            text.replace(&from, &to)
        }
        "repeat" => {
            let (times, text) = (call.length(0)?, call.text(1)?);
            if times.saturating_mul(text.len()) > MAX_OUTPUT {
                return fail("the repeated text is too long");
            }
            text.repeat(times)
        }
        "indent" | "nindent" => {
            let (width, text) = (call.length(0)?, call.text(1)?);
            if width.saturating_mul(text.matches('\n').count() + 1) > MAX_OUTPUT {
                return fail("the indented text is too long");
            }
            let blanks = " ".repeat(width);
            let start = if call.name == "nindent" { "\n" } else { "" };
            format!("{start}{blanks}{}", text.replace('\n', &format!("\n{blanks}")))
        }
        "join" => texts(&call.list(1)?).join(&call.text(0)?),
        _ => return Ok(None),
    };
    Ok(Some(Value::from(text)))
}

fn of_numbers(call: &Call<'_>) -> Result<Option<Value>> {
    let overflow = || TemplateError::Exec("the number is too large".to_owned());
    let fold = |step: fn(i64, i64) -> Option<i64>| {
        let numbers = call.numbers()?;
        numbers[1..].iter().try_fold(numbers[0], |sum, number| step(sum, *number)).ok_or_else(overflow)
    };
    let number = match call.name {
        "add" => fold(i64::checked_add)?,
        "sub" => fold(i64::checked_sub)?,
        "mul" => fold(i64::checked_mul)?,
        "div" | "mod" if call.number(1)? == 0 => return fail("division by zero"),
        "div" => fold(i64::checked_div)?,
        "mod" => fold(i64::checked_rem)?,
        "max" => fold(|left, right| Some(left.max(right)))?,
        "min" => fold(|left, right| Some(left.min(right)))?,
        "int" | "int64" | "atoi" => call.number(0).unwrap_or_default(),
        "float64" => return Ok(Some(Value::Float(call.text(0)?.trim().parse().unwrap_or_default()))),
        "until" | "untilStep" => {
            let (from, to, step) = match call.name {
                "until" => (0, call.number(0)?, 1),
                _ => (call.number(0)?, call.number(1)?, call.number(2)?),
            };
            let size = usize::try_from(step).ok().filter(|step| *step > 0);
            let Some(size) = size.filter(|_| to.saturating_sub(from) / step <= 1_000_000) else {
                return fail("the list is too long, or its step is not above zero");
            };
            return Ok(Some(list((from..to).step_by(size).map(Value::Int))));
        }
        _ => return Ok(None),
    };
    Ok(Some(Value::Int(number)))
}

fn of_values(call: &Call<'_>) -> Result<Value> {
    let value = |index| call.value(index).cloned();
    Ok(match call.name {
        "default" if call.arguments.get(1).is_some_and(Value::is_truthy) => value(1)?,
        "default" => value(0)?,
        "empty" => Value::Bool(!call.value(0)?.is_truthy()),
        "coalesce" => call.arguments.iter().find(|value| value.is_truthy()).cloned().unwrap_or(Value::Nil),
        "ternary" => value(if call.value(2)?.is_truthy() { 0 } else { 1 })?,
        "kindIs" => Value::Bool(call.text(0)?.starts_with(call.value(1)?.type_name())),
        "fromJson" => {
            let parsed = serde_json::from_str::<serde_json::Value>(&call.text(0)?);
            gotmpl::to_value(&parsed.map_err(|error| TemplateError::Exec(error.to_string()))?)?
        }
        "dict" => {
            let pairs = call.arguments.chunks(2);
            let entries =
                pairs.map(|pair| (Arc::from(text(&pair[0])), pair.get(1).cloned().unwrap_or_else(|| "".into())));
            Value::Map(Arc::new(entries.collect()))
        }
        "merge" => {
            let maps = (0..call.arguments.len()).rev().map(|index| call.map(index));
            let entries = maps.collect::<Result<Vec<_>>>()?.into_iter().flatten();
            Value::Map(Arc::new(entries.map(|(key, value)| (key.clone(), value.clone())).collect()))
        }
        "get" => call.map(0)?.get(&*call.text(1)?).cloned().unwrap_or_else(|| "".into()),
        "hasKey" => Value::Bool(call.map(0)?.contains_key(&*call.text(1)?)),
        "keys" => list(call.map(0)?.keys().map(|key| Value::String(key.clone()))),
        "values" => list(call.map(0)?.values().cloned()),
        "split" => {
            let (by, whole) = (call.text(0)?, call.text(1)?);
            let parts = whole.split(&by).enumerate().map(|(index, part)| (Arc::from(format!("_{index}")), part.into()));
            Value::Map(Arc::new(parts.collect()))
        }
        "splitList" => list(call.text(1)?.split(&call.text(0)?).map(Value::from)),
        _ => of_lists(call)?,
    })
}

fn of_lists(call: &Call<'_>) -> Result<Value> {
    let items = |index| call.list(index);
    Ok(match call.name {
        "list" => list(call.arguments.iter().cloned()),
        "concat" => list((0..call.arguments.len()).map(items).collect::<Result<Vec<_>>>()?.into_iter().flatten()),
        "first" => items(0)?.into_iter().next().unwrap_or(Value::Nil),
        "last" => items(0)?.into_iter().next_back().unwrap_or(Value::Nil),
        "rest" => list(items(0)?.into_iter().skip(1)),
        "initial" => {
            let items = items(0)?;
            let count = items.len().saturating_sub(1);
            list(items.into_iter().take(count))
        }
        "reverse" => list(items(0)?.into_iter().rev()),
        "compact" => list(items(0)?.into_iter().filter(Value::is_truthy)),
        "toStrings" => list(texts(&items(0)?).into_iter().map(Value::from)),
        "sortAlpha" => {
            let mut texts = texts(&items(0)?);
            texts.sort();
            list(texts.into_iter().map(Value::from))
        }
        "has" => Value::Bool(items(1)?.iter().any(|item| json(item) == json(&call.arguments[0]))),
        "without" => {
            let gone: Vec<_> = call.arguments.iter().skip(1).map(json).collect();
            list(items(0)?.into_iter().filter(|item| !gone.contains(&json(item))))
        }
        "uniq" => {
            let mut seen = std::collections::BTreeSet::new();
            list(items(0)?.into_iter().filter(|item| seen.insert(json(item).to_string())))
        }
        other => return Err(TemplateError::UndefinedFunction(other.to_owned())),
    })
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(yes) => (*yes).into(),
        Value::Int(number) => (*number).into(),
        Value::Uint(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::String(text) => text.to_string().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|(key, value)| (key.to_string(), json(value))).collect(),
        _ => serde_json::Value::Null,
    }
}
