//! Downloads files that are named by a URL.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;

use super::extract;
use crate::error::{Error, Result};

/// A downloaded file.
#[derive(Debug, Clone)]
pub(super) struct Downloaded {
    /// Its name: the last part of the path of the URL as it was written, decoded; a redirect does not change it.
    pub(super) name: String,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its size in bytes.
    pub(super) size: u64,
}

/// Downloads `url` (Kubefile line `line`) into a file in `spool`; more than `limit` bytes are refused.
pub(super) async fn download(url: &str, line: usize, spool: &Path, limit: u64) -> Result<Downloaded> {
    let fault = |reason: String| Error::Download { line, url: url.to_owned(), reason };
    let of_client = |error: reqwest::Error| fault(error_report::one_line(&error));
    let client =
        reqwest::Client::builder().connect_timeout(Duration::from_secs(30)).read_timeout(Duration::from_secs(60));
    let client = client.user_agent(concat!("sealer/", env!("CARGO_PKG_VERSION"))).build().map_err(of_client)?;
    let response = client.get(url).send().await.map_err(of_client)?;
    if !response.status().is_success() {
        return Err(fault(format!("the server answered {}", response.status())));
    }
    let announced = response.content_length();
    if announced.is_some_and(|length| length > limit) {
        return Err(fault(format!("it is longer than {limit} bytes")));
    }
    let written = url.split_once("://").map_or(url, |(_, rest)| rest).split_once('/').map_or("", |(_, path)| path);
    let name = file_name(written)
        .or_else(|| file_name(response.url().path()))
        .ok_or_else(|| fault("it ends in no file name".to_owned()))?;
    let (mut file, path) = extract::spooled(spool)?;
    let mut size = 0;
    let mut stream = response.bytes_stream();
    while let Some(bytes) = stream.next().await {
        let bytes = bytes.map_err(of_client)?;
        size += bytes.len() as u64;
        if size > limit {
            return Err(fault(format!("it is longer than {limit} bytes")));
        }
        let written = tokio::task::spawn_blocking(move || file.write_all(&bytes).map(|()| file))
            .await
            .map_err(Error::TaskPanicked)?;
        file = written.map_err(Error::file("write", &path))?;
    }
    Ok(Downloaded { name, path, size })
}

fn file_name(path: &str) -> Option<String> {
    let name = decoded(path.split(['?', '#']).next()?.rsplit('/').next()?)?;
    (!name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])).then_some(name)
}

/// The text with `%2B` and the like replaced; `None` when that gives no text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| byte == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_and_never_lead_elsewhere() {
        let name = |path| file_name(path).unwrap_or_default();
        assert_eq!(name("rel/tool%2B1%20a.tgz?sig=/x#y"), "tool+1 a.tgz");
        assert_eq!((name("a/100%"), name("a/%zz"), name("a/%C3%A4")), ("100%".into(), "%zz".into(), "ä".into()));
        for path in ["", "a/", "a/%2e%2e", "a/..%2fb", "a/%00", "a/%ff"] {
            assert_eq!(file_name(path), None, "{path}");
        }
    }
}
