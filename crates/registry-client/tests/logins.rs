//! Logins at Debian's `docker-registry`: passwords, tokens, identity tokens, certificates.
#![allow(clippy::unwrap_used)]

mod support;
#[path = "support/token_server.rs"]
mod token_server;

use registry_client::contract::{Fixture, contract};
use registry_client::{
    ACCEPT, Digest, Error, Https, Login, LoginFiles, Mount, Options, Reference, Registry, Result, Upload,
};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::basic;
use token_server::{Ask, TokenServer, certificate};

/// `me` with the password `hunter2`.
const HTPASSWD: &str = "me:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";

/// A `docker-registry` on loopback with other settings; it ends with the value.
struct Secured {
    host: String,
    child: Child,
}

impl Secured {
    async fn start(directory: &Path, auth: &str, tls: &str) -> Self {
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: \"{host}\"{tls} }}\n{auth}",
            directory.join("data").display()
        );
        let file = directory.join("config.yml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self { host, child: command.spawn().unwrap() };
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(&registry.host).await.is_ok() {
                return registry;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("docker-registry does not answer");
    }

    async fn with_passwords(directory: &Path) -> Self {
        let file = directory.join("htpasswd");
        std::fs::write(&file, HTPASSWD).unwrap();
        Self::start(directory, &format!("auth: {{ htpasswd: {{ realm: tested, path: {} }} }}\n", file.display()), "")
            .await
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    change(&mut options);
    options
}

/// A client with this login in a file of its own.
async fn with_login(directory: &Path, host: &str, login: &Login) -> Https {
    let files = LoginFiles::new(vec![directory.join("client/config.json")], false);
    files.store(host, login).await.unwrap();
    Https::new(options(|options| options.logins = files)).unwrap()
}

async fn fill(registry: &Https, host: &str) -> Result<Fixture> {
    let fixture = Fixture::new(host);
    let image = Reference::new(host, fixture.image.repository(), "1.4").unwrap();
    for blob in &fixture.blobs {
        let Upload::Session(session) = registry.start_upload(&image, None).await? else { panic!("mounted") };
        registry.finish_upload(&image, &session, &Digest::of(blob), blob.clone().into()).await?;
    }
    registry.put_manifest(&image, ACCEPT[1], fixture.manifest.clone()).await?;
    registry.put_manifest(&image.with_tag("index").unwrap(), ACCEPT[0], fixture.index_bytes.clone()).await?;
    Ok(fixture)
}

fn me(password: &str) -> Login {
    Login::password("me", password)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_checked_before_it_is_kept_and_opens_the_registry() {
    let directory = tempfile::tempdir().unwrap();
    let server = Secured::with_passwords(directory.path()).await;
    let anonymous = Https::new(Options::default()).unwrap();
    let checked = anonymous.check_login(&server.host, &me("hunter2")).await.unwrap();
    assert_eq!((checked.login, checked.was_asked_for), (me("hunter2"), true));
    let error = anonymous.check_login(&server.host, &me("wrong-pass")).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorised { .. }) && error.to_string().contains("the login of me"), "{error}");
    assert!(!format!("{error} {error:?}").contains("wrong-pass"), "{error:?}");
    let token = Login::identity_token("me", "x");
    let error = anonymous.check_login(&server.host, &token).await.unwrap_err();
    assert!(error.to_string().contains("no identity token"), "{error}");

    let refused = fill(&anonymous, &server.host).await.unwrap_err();
    assert!(matches!(refused, Error::Unauthorised { .. }) && refused.to_string().contains("sealer login"), "{refused}");
    let client = with_login(directory.path(), &server.host, &me("hunter2")).await;
    contract(&client, &fill(&client, &server.host).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_asks_for_nothing_takes_any_login_and_something_else_takes_none() {
    let directory = tempfile::tempdir().unwrap();
    let open = Secured::start(directory.path(), "", "").await;
    let client = Https::new(Options::default()).unwrap();
    assert!(!client.check_login(&open.host, &me("any")).await.unwrap().was_asked_for);
    let other =
        support::Fake::start(|_, _| http::Response::builder().status(404).body(support::empty()).unwrap()).await;
    let error = client.check_login(&other.host, &me("any")).await.unwrap_err();
    assert!(error.to_string().contains("no registry"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_server_gives_an_identity_token_that_opens_everything_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = TokenServer::start(directory.path(), 300).await;
    let server = Secured::start(directory.path(), &tokens.auth(), "").await;
    let anonymous = Https::new(Options::default()).unwrap();
    let error = anonymous.check_login(&server.host, &me("wrong-pass")).await.unwrap_err();
    assert!(error.to_string().contains("incorrect username") && !error.to_string().contains("wrong-pass"), "{error}");
    let checked = anonymous.check_login(&server.host, &me("hunter2")).await.unwrap();
    let Login::IdentityToken { user, token } = &checked.login else { panic!("{checked:?}") };
    assert!(user == "me" && token.expose().starts_with("identity-"), "the password need not be kept");

    let before = tokens.asked().len();
    let client = with_login(directory.path(), &server.host, &checked.login).await;
    let file = std::fs::read_to_string(directory.path().join("client/config.json")).unwrap();
    assert!(!file.contains("hunter2") && !file.contains(basic("me", "hunter2").trim_start_matches("Basic ")), "{file}");
    let fixture = fill(&client, &server.host).await.unwrap();
    contract(&client, &fixture).await;
    let asked = tokens.asked().split_off(before);
    assert!(asked.iter().all(|ask| ask.method == "POST" && ask.by == "token"), "{asked:?}");
    let scope = |text: &str| vec![format!("repository:{}:{text}", fixture.image.repository())];
    // One token to write and one to read; the contract asks for another repository besides.
    assert_eq!(asked.iter().filter(|ask| ask.scopes == scope("pull,push")).count(), 1, "{asked:?}");
    assert_eq!(asked.iter().filter(|ask| ask.scopes == scope("pull")).count(), 1, "{asked:?}");
    let wrong = with_login(directory.path(), &server.host, &Login::identity_token("me", "st0len-token")).await;
    let error = wrong.manifest(&fixture.image, &[]).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorised { .. }) && !format!("{error:?}").contains("st0len"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_asks_for_the_other_repository_too() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = TokenServer::start(directory.path(), 300).await;
    let server = Secured::start(directory.path(), &tokens.auth(), "").await;
    let client = with_login(directory.path(), &server.host, &me("hunter2")).await;
    let fixture = fill(&client, &server.host).await.unwrap();
    let digest = Digest::of(&fixture.blobs[2]);
    let other = Reference::new(&server.host, "other/place", "1").unwrap();
    let mount = Mount::new(&digest, fixture.image.repository());
    assert_eq!(client.start_upload(&other, Some(mount)).await.unwrap(), Upload::Mounted);
    let from = format!("repository:{}:pull", fixture.image.repository());
    let expected = Ask {
        method: "GET".to_owned(),
        scopes: vec!["repository:other/place:pull,push".to_owned(), from],
        by: "password",
    };
    assert_eq!(tokens.asked().last(), Some(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_before_it_runs_out_in_the_middle_of_an_upload() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = TokenServer::start(directory.path(), 3).await;
    let server = Secured::start(directory.path(), &tokens.auth(), "").await;
    let client = with_login(directory.path(), &server.host, &me("hunter2")).await;
    let image = Reference::new(&server.host, "a/b", "1").unwrap();
    let Upload::Session(session) = client.start_upload(&image, None).await.unwrap() else { panic!("mounted") };
    let count = tokens.asked().len();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    // A body that can be sent only once must not meet a token that is refused.
    let session = client.upload(&image, &session, bytes::Bytes::from_static(b"hel").into()).await.unwrap();
    let digest = Digest::of(b"hello");
    client.finish_upload(&image, &session, &digest, bytes::Bytes::from_static(b"lo").into()).await.unwrap();
    assert_eq!(tokens.asked().len(), count + 1, "once for both");
    assert_eq!(client.blob_exists(&image, &digest).await.unwrap(), Some(5));
}

/// A registry with a certificate of its own, and its authority.
async fn with_tls(directory: &Path, more: &str) -> (Secured, PathBuf) {
    let (authority, key) = certificate(directory, "server", "localhost", true);
    let tls = format!(", tls: {{ certificate: {}, key: {}{more} }}", authority.display(), key.display());
    (Secured::start(directory, "", &tls).await, authority)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_trusted_for_its_host_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (server, authority) = with_tls(directory.path(), "").await;
    let pem = std::fs::read_to_string(&authority).unwrap();
    let client = |change: &dyn Fn(&mut Options)| Https::new(options(|options| change(options))).unwrap();
    let check = |client: Https| {
        let host = server.host.clone();
        async move { client.check_login(&host, &me("any")).await }
    };
    let with_ca = |host: String| {
        let pem = pem.clone();
        client(&move |options| options.host_ca = [(host.clone(), vec![pem.clone()])].into())
    };
    assert!(matches!(check(client(&|_| {})).await, Err(Error::Tls { .. })));
    assert!(matches!(check(with_ca("other.example".to_owned())).await, Err(Error::Tls { .. })));
    check(with_ca(server.host.clone())).await.unwrap();
    check(client(&|options| options.insecure = [server.host.clone()].into())).await.unwrap();
    assert!(matches!(
        check(client(&|options| options.insecure = ["127.0.0.1:1".to_owned()].into())).await,
        Err(Error::Tls { .. })
    ));

    // The right certificate for another name is none.
    let (named, key) = certificate(directory.path(), "other", "other.example", true);
    let elsewhere = tempfile::tempdir().unwrap();
    let tls = format!(", tls: {{ certificate: {}, key: {} }}", named.display(), key.display());
    let stranger = Secured::start(elsewhere.path(), "", &tls).await;
    let localhost = stranger.host.replace("127.0.0.1", "localhost");
    let stranger_ca = std::fs::read_to_string(&named).unwrap();
    let trusting = |host: &str| {
        let entry = (host.to_owned(), vec![stranger_ca.clone()]);
        Https::new(options(|options| options.host_ca = [entry].into())).unwrap()
    };
    trusting(&stranger.host).check_login(&stranger.host, &me("any")).await.unwrap();
    let error = trusting(&localhost).check_login(&localhost, &me("any")).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}: the certificate is for other.example and 127.0.0.1");

    let certs = directory.path().join("certs.d");
    let own = certs.join(&server.host);
    std::fs::create_dir_all(&own).unwrap();
    let in_directory = || client(&|options| options.certificate_directories = vec!["/none".into(), certs.clone()]);
    std::fs::copy(&authority, own.join("ca.crt")).unwrap();
    check(in_directory()).await.unwrap();
    let named = (server.host.clone(), own.clone());
    check(client(&|options| options.host_certificates = [named.clone()].into())).await.unwrap();
    let other = ("other.example".to_owned(), own.clone());
    check(client(&|options| options.host_certificates = [other.clone()].into())).await.unwrap_err();
    std::fs::write(own.join("ca.crt"), "nonsense").unwrap();
    let error = check(in_directory()).await.unwrap_err().to_string();
    assert!(error.contains("ca.crt") && error.contains("no certificate"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_shown_to_its_host() {
    let directory = tempfile::tempdir().unwrap();
    let (user, key) = certificate(directory.path(), "user", "user", false);
    let (server, authority) = with_tls(directory.path(), &format!(", clientcas: [{}]", user.display())).await;
    let own = directory.path().join("certs.d").join(&server.host);
    std::fs::create_dir_all(&own).unwrap();
    std::fs::copy(&authority, own.join("ca.crt")).unwrap();
    let check = || {
        let directories = vec![directory.path().join("certs.d")];
        let client = Https::new(options(|options| options.certificate_directories = directories)).unwrap();
        let host = server.host.clone();
        async move { client.check_login(&host, &me("any")).await }
    };
    check().await.unwrap_err();
    std::fs::copy(&user, own.join("user.cert")).unwrap();
    let error = check().await.unwrap_err().to_string();
    assert!(error.contains("user.key"), "{error}");
    std::fs::copy(&key, own.join("user.key")).unwrap();
    check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_not_sent_in_the_clear_where_the_registry_itself_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, key) = certificate(directory.path(), "server", "localhost", false);
    let auth = format!(
        "auth: {{ token: {{ realm: \"http://tokens.invalid/token\", service: s, issuer: i, rootcertbundle: {} }} }}\n",
        authority.display()
    );
    let tls = format!(", tls: {{ certificate: {}, key: {} }}", authority.display(), key.display());
    let server = Secured::start(directory.path(), &auth, &tls).await;
    let pem = std::fs::read_to_string(&authority).unwrap();
    let client = |insecure: &[&str]| {
        let insecure = insecure.iter().map(|host| (*host).to_owned()).collect();
        let host_ca = [(server.host.clone(), vec![pem.clone()])].into();
        Https::new(options(|options| (options.host_ca, options.insecure) = (host_ca, insecure))).unwrap()
    };
    let error = client(&[]).check_login(&server.host, &me("hunter2")).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorised { .. }), "{error:?}");
    assert!(error.to_string().contains("tokens.invalid speaks plain HTTP"), "{error}");
    // Named as insecure, it is asked, and is not there.
    let error = client(&["tokens.invalid"]).check_login(&server.host, &me("hunter2")).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    // Without a login there is nothing to protect.
    let image = Reference::new(&server.host, "a", "1").unwrap();
    let error = client(&[]).manifest(&image, &[]).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}
