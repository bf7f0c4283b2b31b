//! The HTTPS client against registries that want a login, break off, lie, or are not there.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Response, StatusCode};
use registry_client::contract::Fixture;
use registry_client::{BlobStream, Digest, Error, Https, LoginFiles, Options, Reference, Registry};
use std::time::{Duration, Instant};
use support::{Body, Fake, basic, broken_after, empty, full, json};

fn https(mut options: Options) -> Https {
    options.connect_timeout = Duration::from_secs(2);
    options.idle_timeout = Duration::from_secs(2);
    Https::new(options).unwrap()
}

fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    change(&mut options);
    options
}

fn with_config(text: String) -> Https {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let (_, path) = file.keep().unwrap();
    https(options(|options| options.logins = LoginFiles::new(vec![path], false)))
}

async fn read(blob: BlobStream) -> Result<Bytes, Error> {
    let mut all = Vec::new();
    let mut stream = blob.stream;
    while let Some(bytes) = stream.next().await {
        all.extend_from_slice(&bytes?);
    }
    Ok(all.into())
}

/// The error with all its causes.
fn whole(error: &Error) -> String {
    error_report::one_line(error)
}

/// The image of the fixture on another host.
fn on(host: &str, fixture: &Fixture) -> Reference {
    Reference::new(host, fixture.image.repository(), "1.4").unwrap()
}

fn manifest_answer(fixture: &Fixture) -> Response<Body> {
    Response::builder().header("content-type", registry_client::ACCEPT[1]).body(full(fixture.manifest.clone())).unwrap()
}

fn challenge(server: &str) -> Response<Body> {
    let value = format!(r#"Bearer realm="http://{server}/token",service="fake""#);
    Response::builder().status(401).header("www-authenticate", value).body(empty()).unwrap()
}

/// A registry that wants a token for `user:secret`; tokens are used up after `uses` requests.
async fn token_registry(uses: usize, user: &'static str) -> (Fake, Fixture) {
    let fixture = Fixture::new("unused.example");
    let answer = fixture.clone();
    let fake = Fake::start(move |request, server| {
        let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        if request.uri().path() == "/token" {
            let allowed =
                if user.is_empty() { authorization.is_none() } else { authorization == Some(basic(user, "hunter2")) };
            let scope = request.uri().query().unwrap().contains("scope=repository%3Acontract%2Fshop%3Apull");
            if !allowed || !scope {
                return Response::builder()
                    .status(401)
                    .body(full(r#"{"details":"incorrect username or password"}"#))
                    .unwrap();
            }
            let number = server.count("/token");
            return json(&format!(r#"{{"token":"t{number}","expires_in":300}}"#));
        }
        let number = server.count("/token");
        let fresh = server.count("/v2/contract/shop/manifests") <= uses * number;
        match authorization {
            Some(token) if token == format!("Bearer t{number}") && fresh => manifest_answer(&answer),
            _ => challenge(&server.host),
        }
    })
    .await;
    let fixture = Fixture { image: on(&fake.host, &fixture), ..fixture };
    (fake, fixture)
}

fn config(host: &str, auth: &str) -> String {
    format!(r#"{{"auths":{{"{host}":{{"auth":"{}"}}}}}}"#, auth.strip_prefix("Basic ").unwrap())
}

#[tokio::test]
async fn a_token_is_fetched_once_and_renewed_when_it_is_refused() {
    for user in ["", "me"] {
        let (fake, fixture) = token_registry(2, user).await;
        let registry = if user.is_empty() {
            https(Options::default())
        } else {
            with_config(config(&fake.host, &basic("me", "hunter2")))
        };
        for _ in 0..2 {
            assert_eq!(registry.manifest(&fixture.image, &[]).await.unwrap().bytes, fixture.manifest);
        }
        assert_eq!(fake.count("/token"), 1);
        assert_eq!(registry.manifest(&fixture.image, &[]).await.unwrap().bytes, fixture.manifest, "the second token");
        assert_eq!(fake.count("/token"), 2);
    }
}

#[tokio::test]
async fn many_requests_at_once_share_one_token() {
    let (fake, fixture) = token_registry(100, "").await;
    let registry = https(Options::default());
    let asked = (0..8).map(|_| registry.manifest(&fixture.image, &[]));
    assert!(futures_util::future::join_all(asked).await.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(fake.count("/token"), 1);
}

#[tokio::test]
async fn a_refused_login_is_explained_without_the_password() {
    let (fake, fixture) = token_registry(2, "me").await;
    let registry = with_config(config(&fake.host, &basic("me", "wrong-pass")));
    let error = registry.manifest(&fixture.image, &[]).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorised { .. }), "{error:?}");
    let text = format!("{} {error:?} {registry:?}", whole(&error));
    assert!(text.contains(&fake.host) && text.contains("as user me") && text.contains("incorrect username"), "{text}");
    assert!(
        !text.contains("wrong-pass") && !text.contains(basic("me", "wrong-pass").trim_start_matches("Basic ")),
        "{text}"
    );
}

#[tokio::test]
async fn basic_logins_work_and_their_absence_is_explained() {
    let fixture = Fixture::new("unused.example");
    let answer = fixture.clone();
    let fake = Fake::start(move |request, _| match request.headers().get("authorization") {
        Some(value) if *value == basic("me", "hunter2") && request.uri().path() != "/v2/" => manifest_answer(&answer),
        _ => Response::builder().status(401).header("www-authenticate", r#"Basic realm="fake""#).body(empty()).unwrap(),
    })
    .await;
    let image = on(&fake.host, &fixture);
    let registry = with_config(config(&fake.host, &basic("me", "hunter2")));
    assert_eq!(registry.manifest(&image, &[]).await.unwrap().bytes, fixture.manifest);

    for (text, advice) in [
        (None, "docker login"),
        (Some(r#"{"credsStore":"desktop"}"#.to_owned()), "docker-credential-desktop"),
        (Some(format!(r#"{{"auths":{{"{}":{{"identitytoken":"s3cret"}}}}}}"#, fake.host)), "identity token"),
    ] {
        let registry = text.map_or_else(|| https(Options::default()), with_config);
        let error = registry.manifest(&image, &[]).await.unwrap_err();
        assert!(matches!(error, Error::Unauthorised { .. }), "{error:?}");
        assert!(error.to_string().contains(advice) && !format!("{error:?} {registry:?}").contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn a_login_does_not_follow_a_redirect_to_another_host() {
    let fixture = Fixture::new("unused.example");
    let blob = fixture.blobs[1].clone();
    let storage = Fake::start({
        let blob = blob.clone();
        move |_, _| Response::new(full(blob.clone()))
    })
    .await;
    let target = format!("http://{}/storage?signature=s3cret", storage.host.replace("127.0.0.1", "localhost"));
    let fake = Fake::start(move |request, _| match request.uri().path() {
        "/v2/" => {
            Response::builder().status(401).header("www-authenticate", r#"Basic realm="fake""#).body(empty()).unwrap()
        }
        _ => Response::builder().status(307).header("location", &target).body(empty()).unwrap(),
    })
    .await;
    let image = on(&fake.host, &fixture);
    let registry = with_config(config(&fake.host, &basic("me", "hunter2")));
    let digest = Digest::of(&blob);
    assert_eq!(read(registry.blob(&image, &digest, 0).await.unwrap()).await.unwrap(), blob);
    assert!(fake.requests().iter().any(|request| request.authorization.is_some()));
    assert!(storage.requests().iter().all(|request| request.authorization.is_none()));
}

#[tokio::test]
async fn a_broken_transfer_goes_on_where_it_stopped() {
    for knows_ranges in [true, false] {
        let fixture = Fixture::new("unused.example");
        let blob = fixture.blobs[2].clone();
        let fake = Fake::start({
            let blob = blob.clone();
            move |request, server| {
                let start: usize = match request.headers().get("range") {
                    Some(range) if knows_ranges => {
                        range.to_str().unwrap().trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap()
                    }
                    _ => 0,
                };
                let rest = blob.slice(start..);
                let body =
                    if server.count("/blobs/") < 3 { broken_after(&rest, 1_000_000) } else { full(rest.clone()) };
                let response = Response::builder().header("content-length", rest.len());
                if start > 0 {
                    let range = format!("bytes {start}-{}/{}", blob.len() - 1, blob.len());
                    return response.status(206).header("content-range", range).body(body).unwrap();
                }
                response.body(body).unwrap()
            }
        })
        .await;
        let image = on(&fake.host, &fixture);
        let digest = Digest::of(&blob);
        let stream = https(Options::default()).blob(&image, &digest, 0).await.unwrap();
        assert_eq!(stream.size, Some(blob.len() as u64));
        assert_eq!(read(stream).await.unwrap(), blob, "ranges known: {knows_ranges}");
        let ranges: Vec<_> = fake
            .requests()
            .into_iter()
            .filter(|request| request.path.contains("/blobs/"))
            .map(|request| request.range)
            .collect();
        assert_eq!(ranges.len(), 3);
        assert!(ranges[0].is_none() && ranges[1].is_some() && ranges[2].is_some(), "{ranges:?}");
    }
}

#[tokio::test]
async fn passing_failures_are_tried_again_and_lasting_ones_are_not() {
    let fixture = Fixture::new("unused.example");
    let answer = fixture.clone();
    let fake = Fake::start(move |request, server| match (request.uri().path(), server.count("/manifests/flaky")) {
        ("/v2/contract/shop/manifests/flaky", 1) => Response::builder().status(503).body(full("busy")).unwrap(),
        ("/v2/contract/shop/manifests/flaky", 2) => {
            Response::builder().status(429).header("retry-after", "1").body(empty()).unwrap()
        }
        ("/v2/contract/shop/manifests/flaky", 3) => {
            Response::builder().body(broken_after(&answer.manifest, 10)).unwrap()
        }
        ("/v2/contract/shop/manifests/flaky", _) => manifest_answer(&answer),
        ("/v2/contract/shop/manifests/down", _) => Response::builder().status(500).body(full("out of order")).unwrap(),
        ("/v2/contract/shop/manifests/busy", _) => {
            Response::builder().status(429).header("retry-after", "0").body(empty()).unwrap()
        }
        ("/v2/contract/shop/manifests/teapot", _) => {
            Response::builder().status(418).body(full("short and stout")).unwrap()
        }
        ("/v2/", _) => json("{}"),
        _ => Response::builder().status(404).body(empty()).unwrap(),
    })
    .await;
    let name = |tag: &str| Reference::new(&fake.host, "contract/shop", tag).unwrap();
    let registry = https(Options::default());
    let start = Instant::now();
    assert_eq!(registry.manifest(&name("flaky"), &[]).await.unwrap().bytes, fixture.manifest);
    assert!(start.elapsed() >= Duration::from_secs(1), "the registry asked for a second");

    let error = registry.manifest(&name("none"), &[]).await.unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(fake.count("/manifests/none"), 1, "what is not there is not asked for again");
    let error = registry.manifest(&name("teapot"), &[]).await.unwrap_err();
    assert!(error.to_string().contains("418") && error.to_string().contains("short and stout"), "{error}");
    assert_eq!(fake.count("/manifests/teapot"), 1);
    let error = registry.manifest(&name("down"), &[]).await.unwrap_err();
    assert!(error.to_string().contains("out of order"), "{error}");
    assert_eq!(fake.count("/manifests/down"), 5);
    assert!(matches!(registry.manifest(&name("busy"), &[]).await, Err(Error::TooManyRequests { .. })));
}

#[tokio::test]
async fn lies_and_floods_are_refused() {
    let fixture = Fixture::new("unused.example");
    let answer = fixture.clone();
    let fake = Fake::start(move |request, _| match request.uri().path() {
        "/v2/" => json("{}"),
        "/v2/a/manifests/flood" => Response::new(support::endless()),
        "/v2/a/manifests/error-flood" => Response::builder().status(400).body(support::endless()).unwrap(),
        "/v2/a/manifests/lie" => Response::builder()
            .header("docker-content-digest", Digest::of(b"x").to_string())
            .body(full(answer.manifest.clone()))
            .unwrap(),
        path if path.contains("/blobs/") => Response::builder().header("content-length", 3).body(full("abc")).unwrap(),
        _ => Response::new(full("not what was asked for")),
    })
    .await;
    let name = |reference: &str| Reference::new(&fake.host, "a", reference).unwrap();
    let registry = https(Options::default());
    assert!(matches!(registry.manifest(&name("flood"), &[]).await, Err(Error::TooLarge { .. })));
    assert!(matches!(registry.manifest(&name("error-flood"), &[]).await, Err(Error::Answer { .. })));
    for reference in ["lie", &Digest::of(b"y").to_string()] {
        let error = registry.manifest(&name(reference), &[]).await.unwrap_err();
        assert!(matches!(error, Error::WrongContent { .. }) && error.to_string().contains(&fake.host), "{error}");
    }
}

#[tokio::test]
async fn mirrors_are_asked_first_and_told_the_registry() {
    let fixture = Fixture::new("origin.invalid");
    let (empty_mirror, answer) = (Fake::start(|request, _| not_here(request.uri().path())).await, fixture.clone());
    let mirror = Fake::start(move |request, _| match request.uri().path() {
        path if path.ends_with("/manifests/1.4") => manifest_answer(&answer),
        path => not_here(path),
    })
    .await;
    let dead = support::dead_host().await;
    let mirrors = vec![format!("http://{dead}"), empty_mirror.host.clone(), format!("http://{}", mirror.host)];
    let registry = https(options(|options| options.mirrors = [("*".to_owned(), mirrors)].into()));
    assert_eq!(registry.manifest(&fixture.image, &[]).await.unwrap().bytes, fixture.manifest);
    assert!(
        mirror.requests().iter().any(|request| request.path == "/v2/contract/shop/manifests/1.4?ns=origin.invalid")
    );
    assert_eq!(empty_mirror.count("/manifests/1.4"), 1);

    let error = registry.manifest(&fixture.image.with_tag("2").unwrap(), &[]).await.unwrap_err();
    let text = whole(&error);
    assert!(matches!(error, Error::Everywhere { .. }), "{error:?}");
    for part in ["origin.invalid", dead.as_str(), &empty_mirror.host, &mirror.host, "contract/shop:2"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

fn not_here(path: &str) -> Response<Body> {
    if path == "/v2/" { json("{}") } else { Response::builder().status(StatusCode::NOT_FOUND).body(empty()).unwrap() }
}

#[tokio::test]
async fn an_unreachable_host_is_named_quickly() {
    let dead = support::dead_host().await;
    let image = Reference::new(&dead, "a", "b").unwrap();
    let start = Instant::now();
    for options in [Options::default(), options(|options| options.plain_http = [dead.clone()].into())] {
        let error = https(options).manifest(&image, &[]).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains(&dead) && whole(&error).contains("refused"), "{}", whole(&error));
    }
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_silent_host_does_not_hold_forever() {
    let fake = Fake::start(|request, _| match request.uri().path() {
        "/v2/" => json("{}"),
        _ => Response::builder().header("content-length", 10).body(support::silent()).unwrap(),
    })
    .await;
    let registry = Https::new(options(|options| options.idle_timeout = Duration::from_millis(100))).unwrap();
    let image = Reference::new(&fake.host, "a", "b").unwrap();
    let error = registry.manifest(&image, &[]).await.unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error:?}");
    let digest = Digest::of(b"x");
    let error = read(registry.blob(&image, &digest, 0).await.unwrap()).await.unwrap_err();
    assert!(error.to_string().contains(&digest.to_string()) && error.to_string().contains(&fake.host), "{error}");
}

#[test]
fn wrong_options_are_refused_by_name() {
    let refused = |options: Options| Https::new(options).unwrap_err().to_string();
    let with_ca = |text: &str| options(|options| options.extra_ca = vec![text.to_owned()]);
    assert!(refused(with_ca("no certificate")).contains("extra_ca"));
    assert!(refused(with_ca("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")).contains("extra_ca"));
    assert!(refused(options(|options| options.insecure = ["http://x".to_owned()].into())).contains("insecure"));
    assert!(refused(options(|options| options.https_proxy = Some("::".to_owned()))).contains("https_proxy"));
}
