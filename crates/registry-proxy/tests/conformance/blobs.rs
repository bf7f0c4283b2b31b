//! Blobs: every way to push one, ranges, bad digests, deletion.

use crate::Report;
use crate::client::{Client, OCTETS, OTHER, REPOSITORY, Read, same};
use crate::data::unique;
use content_store::{Algorithm, Digest};
use reqwest::{Method, StatusCode};

type Done = Result<(), String>;
/// Enough for three chunks.
const SIZE: usize = 3000;

pub async fn all(client: &Client, report: &mut Report, is_sha512: bool) {
    let algorithm = if is_sha512 { Algorithm::Sha512 } else { Algorithm::Sha256 };
    let absent = algorithm.digest(&unique(9));
    report.check("blob get", "missing", client.get(&path(REPOSITORY, &absent)).await.is(StatusCode::NOT_FOUND));
    for way in WAYS {
        let bytes = unique(SIZE);
        let digest = algorithm.digest(&bytes);
        let pushed = push(client, *way, &bytes, &digest, StatusCode::CREATED).await;
        report.check("blob push", &format!("{way:?}"), pushed);
        read_and_delete(client, report, &format!("{way:?}"), &bytes, &digest).await;
        // The bytes of another digest.
        let pushed = push(client, *way, &bytes, &absent, StatusCode::BAD_REQUEST).await;
        report.check("bad digest", &format!("{way:?}"), pushed);
        report.check("bad digest", "not kept", client.get(&path(REPOSITORY, &absent)).await.is(StatusCode::NOT_FOUND));
    }
    for bytes in [Vec::new(), b"{}".to_vec()] {
        let digest = algorithm.digest(&bytes);
        let pushed = push(client, Way::PostOnly, &bytes, &digest, StatusCode::CREATED).await;
        report.check("blob push", "well-known content", pushed);
        read_and_delete(client, report, "well-known content", &bytes, &digest).await;
    }
    mounts(client, report, algorithm).await;
    sessions(client, report).await;
    ranges(client, report, algorithm).await;
}

/// How a blob is pushed.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    PostOnly,
    PostPut,
    Stream,
    Chunked { chunks: usize, last_with_put: bool, out_of_order: bool },
}

const WAYS: &[Way] = &[
    Way::PostOnly,
    Way::PostPut,
    Way::Stream,
    Way::Chunked { chunks: 1, last_with_put: false, out_of_order: false },
    Way::Chunked { chunks: 3, last_with_put: false, out_of_order: false },
    Way::Chunked { chunks: 3, last_with_put: true, out_of_order: false },
    Way::Chunked { chunks: 3, last_with_put: false, out_of_order: true },
    Way::Chunked { chunks: 3, last_with_put: true, out_of_order: true },
];

pub fn path(repository: &str, digest: &Digest) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

pub async fn push(client: &Client, way: Way, bytes: &[u8], digest: &Digest, expected: StatusCode) -> Done {
    let uploads = format!("/v2/{REPOSITORY}/blobs/uploads/");
    let answer = match way {
        Way::PostOnly => send(client, Method::POST, &format!("{uploads}?digest={digest}"), bytes, None).await,
        Way::PostPut => {
            let location = start(client, &uploads).await?;
            send(client, Method::PUT, &format!("{location}?digest={digest}"), bytes, None).await
        }
        Way::Stream => {
            let location = start(client, &uploads).await?;
            let answer = send(client, Method::PATCH, &location, bytes, None).await;
            answer.is(StatusCode::ACCEPTED)?;
            let location = answer.header("location");
            send(client, Method::PUT, &format!("{location}?digest={digest}"), &[], None).await
        }
        Way::Chunked { chunks, last_with_put, out_of_order } => {
            chunked(client, &uploads, bytes, digest, (chunks, last_with_put, out_of_order)).await?
        }
    };
    answer.is(expected)?;
    if expected != StatusCode::CREATED {
        return answer.has_code("DIGEST_INVALID");
    }
    answer.has("docker-content-digest", &digest.to_string())?;
    let there = client.get(answer.header("location")).await;
    there.is(StatusCode::OK).and_then(|()| same(&there.body.as_slice(), &bytes))
}

async fn start(client: &Client, uploads: &str) -> Result<String, String> {
    let started = send(client, Method::POST, uploads, &[], None).await;
    started.is(StatusCode::ACCEPTED)?;
    Ok(started.header("location").to_owned())
}

async fn send(client: &Client, method: Method, path: &str, bytes: &[u8], first: Option<usize>) -> Read {
    let mut request = client.request(method, path).header("content-type", OCTETS).body(bytes.to_vec());
    if let Some(first) = first {
        request = request.header("content-range", format!("{first}-{}", first + bytes.len() - 1));
    }
    Read::of(request.send().await.unwrap()).await
}

async fn chunked(
    client: &Client,
    uploads: &str,
    bytes: &[u8],
    digest: &Digest,
    (chunks, last_with_put, out_of_order): (usize, bool, bool),
) -> Result<Read, String> {
    let mut location = start(client, uploads).await?;
    let size = bytes.len().div_ceil(chunks);
    for (number, chunk) in bytes.chunks(size).enumerate() {
        let first = number * size;
        if out_of_order {
            // Ahead or back again.
            let wrong = if number + 1 < chunks { first + size } else { 0 };
            let end = (wrong + size).min(bytes.len());
            let (method, path) = match last_with_put && end == bytes.len() {
                true => (Method::PUT, format!("{location}?digest={digest}")),
                false => (Method::PATCH, location.clone()),
            };
            send(client, method, &path, &bytes[wrong..end], Some(wrong)).await.is(StatusCode::RANGE_NOT_SATISFIABLE)?;
            let session = client.get(&location).await;
            session.is(StatusCode::NO_CONTENT)?;
            session.has("range", &format!("0-{}", first.saturating_sub(1)))?;
            location = session.header("location").to_owned();
        }
        if last_with_put && number + 1 == chunks {
            return Ok(send(client, Method::PUT, &format!("{location}?digest={digest}"), chunk, Some(first)).await);
        }
        let answer = send(client, Method::PATCH, &location, chunk, Some(first)).await;
        answer.is(StatusCode::ACCEPTED)?;
        answer.has("range", &format!("0-{}", first + chunk.len() - 1))?;
        location = answer.header("location").to_owned();
    }
    Ok(send(client, Method::PUT, &format!("{location}?digest={digest}"), &[], None).await)
}

async fn read_and_delete(client: &Client, report: &mut Report, case: &str, bytes: &[u8], digest: &Digest) {
    let path = path(REPOSITORY, digest);
    let head = client.head(&path).await;
    let length = bytes.len().to_string();
    let right = head.is(StatusCode::OK).and_then(|()| head.has("content-length", &length));
    report.check("blob head", case, right.and_then(|()| head.has("docker-content-digest", &digest.to_string())));
    let get = client.get(&path).await;
    let right = get.is(StatusCode::OK).and_then(|()| same(&get.body.as_slice(), &bytes));
    report.check("blob get", case, right.and_then(|()| get.has("content-length", &length)));
    report.check("blob delete", case, client.delete(&path).await.is(StatusCode::ACCEPTED));
    report.check("blob delete", &format!("{case}: gone"), client.head(&path).await.is(StatusCode::NOT_FOUND));
    report.check("blob delete", &format!("{case}: again"), client.delete(&path).await.is(StatusCode::NOT_FOUND));
}

async fn mounts(client: &Client, report: &mut Report, algorithm: Algorithm) {
    for from in [format!("&from={OTHER}"), String::new()] {
        let bytes = unique(SIZE);
        let digest = algorithm.digest(&bytes);
        let mount = format!("/v2/{REPOSITORY}/blobs/uploads/?mount={digest}{from}");
        let missing = send(client, Method::POST, &mount, &[], None).await;
        report.check("blob mount", "missing starts an upload", missing.is(StatusCode::ACCEPTED));
        let put = format!("{}?digest={digest}", missing.header("location"));
        let pushed = send(client, Method::PUT, &put, &bytes, None).await;
        report.check("blob mount", "missing is pushed", pushed.is(StatusCode::CREATED));
        let other = format!("/v2/{OTHER}/blobs/uploads/?digest={digest}");
        report.check(
            "blob push",
            "elsewhere",
            send(client, Method::POST, &other, &bytes, None).await.is(StatusCode::CREATED),
        );
        let mounted = send(client, Method::POST, &mount, &[], None).await;
        let right =
            mounted.is(StatusCode::CREATED).and_then(|()| mounted.has("docker-content-digest", &digest.to_string()));
        report.check("blob mount", if from.is_empty() { "anywhere" } else { "from" }, right);
        let there = client.get(mounted.header("location")).await;
        report.check("blob mount", "location", same(&there.body, &bytes));
        read_and_delete(client, report, "mounted", &bytes, &digest).await;
    }
}

/// An upload is cancelled; nobody knows it then.
async fn sessions(client: &Client, report: &mut Report) {
    let location = start(client, &format!("/v2/{REPOSITORY}/blobs/uploads/")).await.unwrap();
    report.check("upload session", "cancel", client.delete(&location).await.is(StatusCode::NO_CONTENT));
    let gone = client.get(&location).await;
    let right = gone.is(StatusCode::NOT_FOUND).and_then(|()| gone.has_code("BLOB_UPLOAD_UNKNOWN"));
    report.check("upload session", "cancelled", right);
    let patched = send(client, Method::PATCH, &location, b"x", None).await;
    report.check("upload session", "cancelled is not continued", patched.is(StatusCode::NOT_FOUND));
    let location = start(client, &format!("/v2/{REPOSITORY}/blobs/uploads/")).await.unwrap();
    let without = send(client, Method::PUT, &location, b"x", None).await;
    report.check("upload session", "end without a digest", without.is(StatusCode::BAD_REQUEST));
    let wrong = send(client, Method::PUT, &format!("{location}?digest=sha256:bad"), b"x", None).await;
    report.check("upload session", "end with no digest", wrong.is(StatusCode::BAD_REQUEST));
}

async fn ranges(client: &Client, report: &mut Report, algorithm: Algorithm) {
    let bytes = unique(2048);
    let digest = algorithm.digest(&bytes);
    report.check("blob push", "ranges", push(client, Way::PostPut, &bytes, &digest, StatusCode::CREATED).await);
    let ask = async |range: &str| {
        let request = client.request(Method::GET, &path(REPOSITORY, &digest)).header("range", format!("bytes={range}"));
        Read::of(request.send().await.unwrap()).await
    };
    for (range, start, end) in
        [("500-1499", 500, 1500), ("500-", 500, 2048), ("-500", 1548, 2048), ("2000-5000", 2000, 2048)]
    {
        let answer = ask(range).await;
        let right = answer
            .is(StatusCode::PARTIAL_CONTENT)
            .and_then(|()| same(&answer.body.as_slice(), &&bytes[start..end]))
            .and_then(|()| answer.has("content-range", &format!("bytes {start}-{}/2048", end - 1)))
            .and_then(|()| answer.has("content-length", &(end - start).to_string()));
        report.check("blob range", range, right);
    }
    for range in ["500-0", "5000-10000"] {
        report.check("blob range", range, ask(range).await.is(StatusCode::RANGE_NOT_SATISFIABLE));
    }
    read_and_delete(client, report, "ranges", &bytes, &digest).await;
}
