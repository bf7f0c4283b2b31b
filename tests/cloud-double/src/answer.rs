//! Writes responses as they look on the wire.

use std::time::SystemTime;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::clock::http_date;
use crate::failure::Failure;

/// What every answer has.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) request_id: String,
    pub(crate) host: String,
    pub(crate) json: bool,
    pub(crate) wall: SystemTime,
}

/// The answer of an action that was done.
pub(crate) fn done(frame: &Frame, mut value: Value) -> Response<Bytes> {
    value["RequestId"] = json!(frame.request_id);
    response(frame, StatusCode::OK, &value)
}

/// A refusal.
pub(crate) fn refused(frame: &Frame, failure: &Failure) -> Response<Bytes> {
    let value = json!({
        "RequestId": frame.request_id,
        "HostId": frame.host,
        "Code": failure.code,
        "Message": failure.message,
    });
    let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = response(frame, status, &value);
    if let Some(wait) = failure.retry_after
        && let Ok(value) = wait.as_millis().to_string().parse()
    {
        response.headers_mut().insert("x-acs-retry-after", value);
    }
    response
}

fn response(frame: &Frame, status: StatusCode, value: &Value) -> Response<Bytes> {
    let (kind, body) = if frame.json {
        ("application/json;charset=utf-8", value.to_string())
    } else {
        ("text/xml;charset=utf-8", format!("<?xml version='1.0' encoding='UTF-8'?><Response>{}</Response>", xml(value)))
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = [
        ("content-type", kind.to_string()),
        ("date", http_date(frame.wall)),
        ("x-acs-request-id", frame.request_id.clone()),
    ];
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// What clients of the first interface get that forget to ask for JSON.
fn xml(value: &Value) -> String {
    let inside = |name: &str, value: &Value| match value {
        Value::Array(items) => items.iter().map(|item| format!("<{name}>{}</{name}>", xml(item))).collect(),
        other => format!("<{name}>{}</{name}>", xml(other)),
    };
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| inside(name, value)).collect(),
        Value::String(text) => text.replace('&', "&amp;").replace('<', "&lt;"),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
