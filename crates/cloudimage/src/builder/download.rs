//! Downloads files that are named by a URL.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use content_store::{Algorithm, Hasher};
use futures_util::{StreamExt, stream};
use kubefile::{ResolvedInstruction, ResolvedKind, ResolvedSource};

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

/// How many servers or files are asked at a time whether they are there.
const ASKED_AT_ONCE: usize = 8;

/// Downloads `url` (Kubefile line `line`) into a file in `spool`; more than `limit` bytes are refused, and another
/// SHA-256 than `checksum`.
pub(super) async fn download(
    url: &str,
    line: usize,
    spool: &Path,
    limit: u64,
    checksum: Option<&str>,
) -> Result<Downloaded> {
    let fault = |reason: String| Error::Download { line, url: url.to_owned(), reason };
    let of_client = |error: reqwest::Error| fault(error_report::one_line(&error));
    let response = client().map_err(of_client)?.get(url).send().await.map_err(of_client)?;
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
    let (mut size, mut hasher) = (0, Hasher::new(Algorithm::Sha256));
    let mut stream = response.bytes_stream();
    while let Some(bytes) = stream.next().await {
        let bytes = bytes.map_err(of_client)?;
        size += bytes.len() as u64;
        if size > limit {
            return Err(fault(format!("it is longer than {limit} bytes")));
        }
        let written = tokio::task::spawn_blocking(move || {
            hasher.update(&bytes);
            file.write_all(&bytes).map(|()| (file, hasher))
        });
        (file, hasher) = written.await.map_err(Error::TaskPanicked)?.map_err(Error::file("write", &path))?;
    }
    let found = hasher.finish();
    if let Some(wanted) = checksum.filter(|wanted| *wanted != found.hex()) {
        let (wanted, found) = (wanted.to_owned(), found.hex().to_owned());
        return Err(Error::Checksum { line, url: url.to_owned(), wanted, found });
    }
    Ok(Downloaded { name, path, size })
}

fn client() -> reqwest::Result<reqwest::Client> {
    let client =
        reqwest::Client::builder().connect_timeout(Duration::from_secs(30)).read_timeout(Duration::from_secs(60));
    client.user_agent(concat!("sealer/", env!("CARGO_PKG_VERSION"))).build()
}

/// A download that failed, and all files of the `rest` of the Kubefile that are not there either: whoever fills a mirror
/// wants to know them at once. Servers that cannot be asked without a download are left out.
pub(super) async fn with_missing(error: Error, rest: &[ResolvedInstruction]) -> Error {
    let (Error::Download { url: failed, .. }, Ok(client)) = (&error, client()) else { return error };
    // Not lazily: futures of borrowing closures could not move between threads.
    let asked: Vec<_> = rest.iter().flat_map(urls).filter(|(_, url)| url != failed).collect();
    let asked = asked.into_iter().map(|(line, url)| {
        let request = client.head(&url).send();
        async move {
            let status = request.await.ok()?.status();
            let gone = [reqwest::StatusCode::NOT_FOUND, reqwest::StatusCode::GONE].contains(&status);
            gone.then(|| Error::Download { line, url, reason: format!("the server answered {status}") })
        }
    });
    let missing: Vec<Option<Error>> = stream::iter(asked).buffered(ASKED_AT_ONCE).collect().await;
    let mut missing: Vec<Error> = missing.into_iter().flatten().collect();
    if missing.is_empty() {
        return error;
    }
    missing.insert(0, error);
    Error::Downloads(missing)
}

/// What an instruction downloads, each with its line.
fn urls(instruction: &ResolvedInstruction) -> Vec<(usize, String)> {
    let sources = match &instruction.kind {
        ResolvedKind::Copy(transfer) | ResolvedKind::Add(transfer) => transfer.sources.as_slice(),
        ResolvedKind::App { sources, .. } => sources,
        _ => &[],
    };
    let url = |source: &ResolvedSource| match source {
        ResolvedSource::Url(url) => Some((instruction.span.line, url.clone())),
        _ => None,
    };
    sources.iter().filter_map(url).collect()
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
