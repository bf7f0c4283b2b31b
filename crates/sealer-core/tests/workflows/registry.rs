//! A registry outside the cluster is asked for the carried images before anything is changed.

use std::sync::Arc;

use registry_client::contract::Fixture;
use sealer_core::clusterfile::{Clusterfile, ExternalRegistry};
use sealer_core::content_store::{Descriptor, MediaType, NameKind, Store};
use sealer_core::registry_proxy::{ContentSource, Htpasswd, Options, serve_plain, service};
use sealer_core::{Class, Error, Event, Outcome};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::lab::{Bench, listed};

/// Of the password `U*U`.
const HASH: &str = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

/// Serves a store on loopback to one user, by plain HTTP.
async fn outside(store: &Store) -> u16 {
    let mut options = Options::default();
    options.htpasswd = Some(Htpasswd::parse(&format!("cluster:{HASH}\n")).unwrap());
    let router = service(vec![Arc::new(ContentSource::new(store.clone(), &options))], options);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(serve_plain(listener, router, std::future::pending()));
    port
}

fn put(store: &Store, fixture: &Fixture, manifest: &[u8]) {
    let blob = store.put(manifest).unwrap();
    let descriptor = Descriptor::new(MediaType::ImageManifest, blob.size, blob.digest);
    store.set_name(NameKind::CarriedImage, &fixture.image.to_string(), &descriptor).unwrap();
}

fn wanted(port: u16, password: &str) -> Clusterfile {
    let mut file = listed();
    let mut external = ExternalRegistry::new("127.0.0.1");
    (external.port, external.insecure) = (Some(port), true);
    (external.username, external.password) = (Some("cluster".to_owned()), Some(password.into()));
    file.cluster.registry.external = Some(external);
    file
}

fn warnings(bench: &Bench) -> Vec<String> {
    let events = std::mem::take(&mut *bench.events.lock().unwrap());
    let warning = |event| if let Event::Warning { message } = event { Some(message) } else { None };
    events.into_iter().filter_map(warning).collect()
}

#[tokio::test]
async fn what_a_registry_outside_lacks_is_named_before_anything_is_changed() {
    let fixture = Fixture::new("registry.example");
    let (bench, directory) = (Bench::carrying(&fixture).await, tempfile::tempdir().unwrap());
    let store = Store::open(directory.path()).unwrap();
    let port = outside(&store).await;
    let place = format!("127.0.0.1:{port}/contract/shop:1.4");

    let refused = bench.apply(&wanted(port, "U*U")).await.unwrap_err();
    assert_eq!(refused.class(), Class::Preflight);
    assert!(
        matches!(&refused, Error::ImagesMissing { missing, total: 1, .. } if missing[0].place == place),
        "{refused}"
    );
    assert!(refused.to_string().contains(&format!("registry.example/contract/shop:1.4 as {place}")), "{refused}");
    assert!(warnings(&bench)[0].contains("does not take images from here"));
    let planned = bench.plan(&wanted(port, "U*U")).await.unwrap();
    let note =
        format!("127.0.0.1:{port} lacks 1 of the 1 container images of the cluster; they are pushed there first");
    assert!(planned.plan.notes.contains(&note), "{:?}", planned.plan.notes);
    let refused = bench.apply(&wanted(port, "hunter2")).await.unwrap_err();
    assert!(matches!(&refused, Error::RegistryLogin { .. }), "{refused}");
    assert!(!refused.to_string().contains("hunter2"));
    assert_eq!((bench.hosts.ran(""), bench.remembered()), (0, None), "nothing was changed");

    put(&store, &fixture, &fixture.manifest);
    assert_eq!(bench.apply(&wanted(port, "U*U")).await.unwrap().outcome, Outcome::Changed);
    assert_eq!(warnings(&bench), [""; 0]);
    // A cluster that works is not held up by what became of the registry.
    std::fs::remove_dir_all(directory.path()).unwrap();
    assert_eq!(bench.apply(&wanted(port, "U*U")).await.unwrap().outcome, Outcome::Unchanged);
}

#[tokio::test]
async fn another_image_of_the_name_and_a_registry_that_cannot_be_reached_are_told() {
    let fixture = Fixture::new("registry.example");
    let (bench, directory) = (Bench::carrying(&fixture).await, tempfile::tempdir().unwrap());
    let store = Store::open(directory.path()).unwrap();
    let port = outside(&store).await;
    let other = String::from_utf8(fixture.manifest.to_vec()).unwrap().replace("kept", "changed");
    put(&store, &fixture, other.as_bytes());
    bench.apply(&wanted(port, "U*U")).await.unwrap();
    let told = warnings(&bench);
    assert!(
        told.iter().any(|told| told.contains("has other images") && told.contains("contract/shop:1.4")),
        "{told:?}"
    );

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    bench.apply(&wanted(nobody, "U*U")).await.unwrap();
    let told = warnings(&bench);
    assert!(told.iter().any(|told| told.contains("cannot be seen from here")), "{told:?}");
}

/// A registry that lets nobody in without a token, whatever login comes with a request.
async fn with_tokens_only() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let challenge = format!("Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"hub\"");
            let answer = format!(
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

#[tokio::test]
async fn a_registry_that_takes_tokens_only_is_refused_with_a_login() {
    let bench = Bench::carrying(&Fixture::new("registry.example")).await;
    let port = with_tokens_only().await;
    let refused = bench.apply(&wanted(port, "U*U")).await.unwrap_err();
    assert!(matches!(&refused, Error::RegistryLogin { host, .. } if *host == format!("127.0.0.1:{port}")), "{refused}");
    assert!(refused.to_string().contains("by HTTP Basic authentication"), "{refused}");
    assert_eq!((bench.hosts.ran(""), bench.remembered()), (0, None), "before anything is changed");
}
