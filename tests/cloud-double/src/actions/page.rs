//! Cuts lists into pages.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::call::ApiCall;
use crate::failure::{Failure, Outcome};

/// A part of a list, and what goes around it.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// `TotalCount`, and `PageNumber` with `PageSize` or `NextToken`.
    pub(super) frame: Map<String, Value>,
}

/// Cuts the page that `PageNumber` and `PageSize` ask for; ten unless told otherwise.
pub(super) fn by_number<T>(items: Vec<T>, call: &ApiCall<'_>, largest: usize) -> Outcome<Page<T>> {
    let size = call.parameters.number("PageSize", 1, largest)?.unwrap_or(10);
    let number = call.parameters.number("PageNumber", 1, 1_000_000)?.unwrap_or(1);
    let mut frame = Map::new();
    frame.insert("TotalCount".to_string(), json!(items.len()));
    frame.insert("PageNumber".to_string(), json!(number));
    frame.insert("PageSize".to_string(), json!(size));
    Ok(Page { items: items.into_iter().skip((number - 1) * size).take(size).collect(), frame })
}

/// Cuts the page that `MaxResults` (10 to 100, what is outside is moved inside) and `NextToken` ask for.
pub(super) fn by_token<T>(items: Vec<T>, call: &ApiCall<'_>) -> Outcome<Page<T>> {
    let size = call.parameters.number("MaxResults", 0, 1_000_000)?.unwrap_or(10).clamp(10, 100);
    let start = match call.parameters.get("NextToken") {
        Some(token) => read_token(token).ok_or_else(|| Failure::invalid("NextToken", "it was not given by us"))?,
        None => 0,
    };
    let total = items.len();
    let mut frame = Map::new();
    frame.insert("TotalCount".to_string(), json!(total));
    let next = if start + size < total { write_token(start + size) } else { String::new() };
    frame.insert("NextToken".to_string(), json!(next));
    Ok(Page { items: items.into_iter().skip(start).take(size).collect(), frame })
}

/// By token, unless the older way is used.
pub(super) fn either<T>(items: Vec<T>, call: &ApiCall<'_>) -> Outcome<Page<T>> {
    let by_page = ["PageNumber", "PageSize"].iter().any(|name| call.parameters.get(name).is_some());
    if by_page && call.parameters.get("NextToken").is_none() && call.parameters.get("MaxResults").is_none() {
        return by_number(items, call, 100);
    }
    by_token(items, call)
}

/// Nobody outside shall read or make one: the place is hidden and checked.
fn write_token(start: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("sealed:{}:{start}", start.wrapping_mul(7919) % 99_991))
}

fn read_token(token: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let start = text.rsplit(':').next()?.parse().ok()?;
    (write_token(start) == token).then_some(start)
}
