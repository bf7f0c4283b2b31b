//! A server that a test started.

use std::cell::{Cell, RefCell};
use std::fs;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::{JoinSet, LocalSet};
use tokio_rustls::TlsAcceptor;

/// What the test can change while the server runs.
struct Mood {
    status: Cell<u16>,
    identity: RefCell<Option<TlsAcceptor>>,
}

/// Answers each HTTP request with its name, over TLS when it has a certificate and a key. Lines of its input change it:
/// `status NUMBER`, `identity CERTIFICATE KEY`, `close` (refuse and drop connections), `open`. Ends with its input.
pub async fn serve(address: &str, name: &str, identity: &[&str]) {
    let address: SocketAddr = address.parse().expect("an address");
    let mood = Rc::new(Mood { status: Cell::new(200), identity: RefCell::new(acceptor(identity)) });
    let name: Rc<str> = name.into();
    LocalSet::new().run_until(play(address, &mood, &name)).await;
}

async fn play(address: SocketAddr, mood: &Rc<Mood>, name: &Rc<str>) {
    let mut words = BufReader::new(stdin()).lines();
    let mut listener = Some(listen(address).await);
    let mut connections = JoinSet::new();
    println!("serving");
    loop {
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accepted => {
                let (stream, _) = accepted.expect("accept");
                stream.set_nodelay(true).expect("send at once");
                let (mood, name) = (Rc::clone(mood), Rc::clone(name));
                connections.spawn_local(async move {
                    let identity = mood.identity.borrow().clone();
                    let _ = match identity {
                        None => answer(stream, &mood, &name).await,
                        Some(identity) => match identity.accept(stream).await {
                            Ok(stream) => answer(stream, &mood, &name).await,
                            Err(error) => Err(error),
                        },
                    };
                });
            }
            line = words.next_line() => {
                let Ok(Some(line)) = line else { return };
                match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                    ["status", status] => mood.status.set(status.parse().expect("a status")),
                    ["identity", identity @ ..] => drop(mood.identity.replace(acceptor(identity))),
                    ["close"] => {
                        listener = None;
                        connections.abort_all();
                    }
                    ["open"] => listener = Some(listen(address).await),
                    other => panic!("no order is called {other:?}"),
                }
                println!("done");
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers request after request until the other side has enough.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, mood: &Mood, name: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    loop {
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            if stream.read_buf(&mut request).await? == 0 || request.len() > 16_384 {
                return Ok(());
            }
        }
        request.clear();
        let status = mood.status.get();
        let length = name.len();
        let head =
            format!("HTTP/1.1 {status} Told\r\nContent-Length: {length}\r\nContent-Type: text/plain\r\n\r\n{name}");
        stream.write_all(head.as_bytes()).await?;
        stream.flush().await?;
    }
}

async fn listen(address: SocketAddr) -> TcpListener {
    TcpListener::bind(address).await.expect("listen")
}

fn acceptor(identity: &[&str]) -> Option<TlsAcceptor> {
    let [certificate, key] = identity else { return None };
    let certificates = CertificateDer::pem_slice_iter(&fs::read(certificate).expect("read the certificate"))
        .collect::<Result<Vec<_>, _>>()
        .expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(&fs::read(key).expect("read the key")).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .expect("a certificate for the key");
    Some(TlsAcceptor::from(Arc::new(config)))
}

/// The input by way of a thread that only reads: tokio's own would keep the process alive.
fn stdin() -> impl AsyncRead + Unpin {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let handle = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let line = line.unwrap_or_default() + "\n";
            if handle.block_on(theirs.write_all(line.as_bytes())).is_err() {
                return;
            }
        }
    });
    ours
}
