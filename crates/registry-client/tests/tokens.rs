//! What goes to whom: tokens, redirects of token servers, registries that ask late, proxies.
#![allow(clippy::unwrap_used)]

mod support;

use http::Response;
use registry_client::contract::Fixture;
use registry_client::{Error, Https, Login, LoginFiles, Options, Reference, Registry};
use std::path::Path;
use std::time::Duration;
use support::{Body, Fake, basic, empty, full, json};

async fn client(directory: &Path, host: &str) -> Https {
    let files = LoginFiles::new(vec![directory.join("config.json")], false);
    files.store(host, &Login::password("me", "hunter2")).await.unwrap();
    let mut options = Options::default();
    options.logins = files;
    options.idle_timeout = Duration::from_secs(2);
    Https::new(options).unwrap()
}

fn challenge(value: &str) -> Response<Body> {
    Response::builder().status(401).header("www-authenticate", value).body(empty()).unwrap()
}

fn manifest(fixture: &Fixture) -> Response<Body> {
    Response::builder().header("content-type", registry_client::ACCEPT[1]).body(full(fixture.manifest.clone())).unwrap()
}

fn image(fake: &Fake) -> Reference {
    Reference::new(&fake.host, "contract/shop", "1.4").unwrap()
}

#[tokio::test]
async fn a_login_does_not_follow_its_token_server_to_another_host() {
    let directory = tempfile::tempdir().unwrap();
    let other = Fake::start(|_, _| json(r#"{"token":"stolen"}"#)).await;
    let target = format!("http://{}/token", other.host);
    let fake = Fake::start(move |request, server| match request.uri().path() {
        "/token" => Response::builder().status(307).header("location", &target).body(empty()).unwrap(),
        _ => challenge(&format!(r#"Bearer realm="http://{}/token""#, server.host)),
    })
    .await;
    let error = client(directory.path(), &fake.host).await.manifest(&image(&fake), &[]).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorised { .. }) && error.to_string().contains("redirects"), "{error}");
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test]
async fn what_is_no_token_server_is_refused_by_name() {
    for realm in ["ftp://a/token", "http://user@a/token", "token", "file:///etc/passwd", "http://"] {
        let directory = tempfile::tempdir().unwrap();
        let fake = Fake::start(move |_, _| challenge(&format!(r#"Bearer realm="{realm}""#))).await;
        let error = client(directory.path(), &fake.host).await.manifest(&image(&fake), &[]).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Unauthorised { .. }) && text.contains("no usable token server"), "{text}");
        assert!(text.contains(realm), "{text}");
    }
}

#[tokio::test]
async fn huge_answers_of_a_token_server_are_cut_off() {
    for status in [200, 401] {
        let directory = tempfile::tempdir().unwrap();
        let fake = Fake::start(move |request, server| match request.uri().path() {
            "/token" => Response::builder().status(status).body(support::endless()).unwrap(),
            _ => challenge(&format!(r#"Bearer realm="http://{}/token""#, server.host)),
        })
        .await;
        let error = client(directory.path(), &fake.host).await.manifest(&image(&fake), &[]).await.unwrap_err();
        assert!(matches!(error, Error::Unauthorised { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_token_server_does_not_show_the_secret_by_sending_it_back() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::start(move |request, server| match request.uri().path() {
        "/token" => Response::builder().status(403).body(full("no: hunter2")).unwrap(),
        _ => challenge(&format!(r#"Bearer realm="http://{}/token""#, server.host)),
    })
    .await;
    let error = client(directory.path(), &fake.host).await.manifest(&image(&fake), &[]).await.unwrap_err();
    assert!(error.to_string().contains("no: ***") && !format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn a_token_that_runs_out_at_once_is_not_used_twice() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::new("unused.example");
    let fake = Fake::start(move |request, server| {
        let number = server.count("/token");
        let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap());
        match request.uri().path() {
            "/token" => json(&format!(r#"{{"token":"t{number}","expires_in":1}}"#)),
            _ if authorization == Some(&format!("Bearer t{number}")) => manifest(&fixture),
            _ => challenge(&format!(r#"Bearer realm="http://{}/token""#, server.host)),
        }
    })
    .await;
    let registry = client(directory.path(), &fake.host).await;
    for _ in 0..3 {
        registry.manifest(&image(&fake), &[]).await.unwrap();
    }
    assert_eq!((fake.count("/token"), fake.count("/manifests/")), (3, 3), "no request was refused");
}

#[tokio::test]
async fn a_registry_that_asks_only_at_the_image_gets_its_login() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::new("unused.example");
    let fake = Fake::start(move |request, _| match request.headers().get("authorization") {
        _ if request.uri().path() == "/v2/" => json("{}"),
        Some(value) if *value == basic("me", "hunter2") => manifest(&fixture),
        _ => challenge(r#"Basic realm="fake""#),
    })
    .await;
    let registry = client(directory.path(), &fake.host).await;
    for _ in 0..2 {
        registry.manifest(&image(&fake), &[]).await.unwrap();
    }
    assert_eq!(fake.count("/manifests/"), 3, "it is asked without a login once");
}

#[tokio::test]
async fn many_refusals_at_once_get_one_new_token() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::new("unused.example");
    let fake = Fake::start(move |request, server| {
        let number = server.count("/token");
        let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap());
        match request.uri().path() {
            "/token" => json(&format!(r#"{{"token":"t{number}","expires_in":300}}"#)),
            // The first token is withdrawn at once.
            _ if authorization == Some("Bearer t2") => manifest(&fixture),
            _ => challenge(&format!(r#"Bearer realm="http://{}/token""#, server.host)),
        }
    })
    .await;
    let registry = client(directory.path(), &fake.host).await;
    let name = image(&fake);
    let asked = (0..8).map(|_| registry.manifest(&name, &[]));
    assert!(futures_util::future::join_all(asked).await.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(fake.count("/token"), 2);
}

#[tokio::test]
async fn proxies_are_used_but_for_the_exceptions() {
    let fixture = Fixture::new("unused.example");
    let answer = fixture.clone();
    let proxy = Fake::start(move |_, _| manifest(&answer)).await;
    let registry = |exceptions: &str| {
        let mut options = Options::default();
        options.plain_http = ["registry.invalid".to_owned()].into();
        options.http_proxy = Some(format!("http://{}", proxy.host));
        options.no_proxy = Some(exceptions.to_owned());
        options.connect_timeout = Duration::from_secs(2);
        Https::new(options).unwrap()
    };
    let name = Reference::new("registry.invalid", "contract/shop", "1.4").unwrap();
    assert_eq!(registry("other.invalid").manifest(&name, &[]).await.unwrap().bytes, fixture.manifest);
    assert_eq!(proxy.count("/v2/contract/shop/manifests/1.4"), 1);
    let error = registry("other.invalid,.invalid").manifest(&name, &[]).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(proxy.count("/manifests/"), 1);
}
