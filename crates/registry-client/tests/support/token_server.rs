//! A token server on loopback that signs tokens as docker-registry verifies them (RS256, by `openssl`).
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use super::basic;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// A request for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub method: String,
    pub scopes: Vec<String>,
    /// `password`, `token` or nothing.
    pub by: &'static str,
}

/// Gives tokens to `me` with the password `hunter2`, or for an identity token that it gave; to nobody else any rights.
pub struct TokenServer {
    pub host: String,
    pub certificate: PathBuf,
    asked: Arc<Mutex<Vec<Ask>>>,
    task: AbortHandle,
}

impl TokenServer {
    /// `expires_in` is what the server says of its tokens.
    pub async fn start(directory: &Path, expires_in: u64) -> Self {
        let (certificate, key) = certificate(directory, "token", "localhost", false);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked = Arc::<Mutex<Vec<Ask>>>::default();
        let signer = Arc::new(Signer { key, chain: der(&certificate) });
        let log = asked.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (signer, log) = (signer.clone(), log.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let (signer, log) = (signer.clone(), log.clone());
                        async move { Ok::<_, Infallible>(answer(request, &signer, &log, expires_in).await) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { host, certificate, asked, task: task.abort_handle() }
    }

    /// What a docker-registry is to say, so that it wants tokens of this server.
    pub fn auth(&self) -> String {
        format!(
            "auth: {{ token: {{ realm: \"http://{}/token\", service: tested, issuer: tester, rootcertbundle: {} }} }}\n",
            self.host,
            self.certificate.display()
        )
    }

    pub fn asked(&self) -> Vec<Ask> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Signer {
    key: PathBuf,
    chain: String,
}

async fn answer(
    request: Request<Incoming>,
    signer: &Signer,
    log: &Mutex<Vec<Ask>>,
    expires_in: u64,
) -> Response<Full<Bytes>> {
    let method = request.method().to_string();
    let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let fields = reqwest::Url::parse(&format!("http://x/?{query}&{}", std::str::from_utf8(&body).unwrap())).unwrap();
    let all = |wanted: &str| -> Vec<String> {
        let values = fields.query_pairs().filter(|(name, _)| name == wanted);
        values.flat_map(|(_, value)| value.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    let scopes: Vec<String> = all("scope").into_iter().filter(|scope| !scope.is_empty()).collect();
    let by = match &authorization {
        Some(value) if *value == basic("me", "hunter2") => "password",
        _ if all("refresh_token").iter().any(|token| token.starts_with("identity-")) => "token",
        None if all("refresh_token").is_empty() => "",
        _ => "wrong",
    };
    log.lock().unwrap().push(Ask { method, scopes: scopes.clone(), by });
    if by == "wrong" {
        let text = r#"{"details":"incorrect username or password"}"#;
        return Response::builder().status(401).body(Full::from(text)).unwrap();
    }
    let token = signer.token(if by.is_empty() { &[] } else { &scopes });
    let mut text = format!(r#"{{"token":"{token}","access_token":"{token}","expires_in":{expires_in}"#);
    if all("offline_token") == ["true"] || by == "token" {
        text.push_str(&format!(r#","refresh_token":"identity-{}""#, log.lock().unwrap().len()));
    }
    text.push('}');
    Response::builder().header("content-type", "application/json").body(Full::from(text)).unwrap()
}

impl Signer {
    fn token(&self, scopes: &[String]) -> String {
        let access: Vec<String> = scopes
            .iter()
            .map(|scope| {
                let parts: Vec<&str> = scope.splitn(3, ':').collect();
                let actions: Vec<String> = parts[2].split(',').map(|action| format!("\"{action}\"")).collect();
                format!(r#"{{"type":"{}","name":"{}","actions":[{}]}}"#, parts[0], parts[1], actions.join(","))
            })
            .collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let (start, end) = ((now - Duration::from_secs(60)).as_secs(), (now + Duration::from_secs(3600)).as_secs());
        let header = format!(r#"{{"typ":"JWT","alg":"RS256","x5c":["{}"]}}"#, self.chain);
        let claims = format!(
            r#"{{"iss":"tester","sub":"me","aud":"tested","exp":{end},"nbf":{start},"iat":{start},"jti":"x","access":[{}]}}"#,
            access.join(",")
        );
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let mut openssl = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign"])
            .arg(&self.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        openssl.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let signature = openssl.wait_with_output().unwrap().stdout;
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A certificate for `name` and loopback that signs itself, and its key. With `is_authority` it says that it may sign others.
pub fn certificate(directory: &Path, file: &str, name: &str, is_authority: bool) -> (PathBuf, PathBuf) {
    let (certificate, key) = (directory.join(format!("{file}.crt")), directory.join(format!("{file}.key")));
    let settings = directory.join(format!("{file}.cnf"));
    let text = format!(
        "[req]\ndistinguished_name = dn\nx509_extensions = ext\n[dn]\n[ext]\nbasicConstraints = critical,CA:{}\nsubjectAltName = DNS:{name},IP:127.0.0.1\n",
        if is_authority { "TRUE" } else { "FALSE" }
    );
    std::fs::write(&settings, text).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", &format!("/CN={name}")]);
    openssl.arg("-config").arg(&settings).arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    assert!(openssl.stderr(Stdio::null()).status().unwrap().success());
    (certificate, key)
}

fn der(certificate: &Path) -> String {
    std::fs::read_to_string(certificate).unwrap().lines().filter(|line| !line.starts_with("-----")).collect()
}
