//! Answers status and metrics of a running daemon on a socket.
//!
//! It answers `GET /status` (JSON) and `GET /metrics` (Prometheus text) as HTTP/1.1 on a Unix socket, so that
//! `curl --unix-socket` and scrapers can ask as well.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, client, header, server};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::overview::Daemon;
use crate::{Dataplane, Error, GuardHandle, Result, prometheus};

/// Where sockets of daemons are when nobody says otherwise.
pub const RUNTIME_DIRECTORY: &str = "/run/sealer/lvscare";
/// The state of the daemon as JSON.
pub(super) const STATUS: &str = "/status";
/// Its metrics as Prometheus text.
pub(super) const METRICS: &str = "/metrics";

/// The head of a request is never longer; the least that hyper allows.
const REQUEST_LIMIT: usize = 8192;
/// An answer is never longer: a thousand servers fit.
const ANSWER_LIMIT: usize = 1 << 20;
/// Who asks has this long, and so has who answers.
const TIMEOUT: Duration = Duration::from_secs(2);
/// So many may ask at the same time; others wait.
const CONCURRENCY: usize = 4;

/// The usual socket of the daemon of a virtual address, in a directory such as [`RUNTIME_DIRECTORY`].
pub fn socket_path(directory: &Path, vs: SocketAddr) -> PathBuf {
    directory.join(format!("{vs}.sock"))
}

/// The virtual addresses whose daemons have or had their sockets in `directory`.
pub(super) fn known_services(directory: &Path) -> Vec<SocketAddr> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut services: Vec<SocketAddr> =
        names.filter_map(|name| name.strip_suffix(".sock.lock").and_then(|name| name.parse().ok())).collect();
    services.sort_unstable();
    services
}

/// What a daemon says of itself when it is asked.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) handle: GuardHandle,
    pub(super) dataplane: Arc<dyn Dataplane>,
    pub(super) begun: Instant,
}

impl Pages {
    /// [`STATUS`].
    fn status(&self) -> String {
        let (pid, seconds) = (std::process::id(), self.begun.elapsed().as_secs_f64());
        let daemon = Daemon { pid, seconds, status: self.handle.status() };
        serde_json::to_string(&daemon).expect("a status is plain data")
    }

    /// [`METRICS`].
    pub(super) async fn metrics(&self) -> String {
        let status = self.handle.status();
        let traffic = self.dataplane.traffic(status.service).await.unwrap_or_default();
        prometheus(&status, &traffic)
    }

    async fn answer(&self, request: Request<Incoming>) -> http::Result<Response<Full<Bytes>>> {
        let (status, media_type, text) = match (request.method(), request.uri().path()) {
            (&Method::GET, STATUS) => (StatusCode::OK, "application/json", self.status()),
            (&Method::GET, METRICS) => (StatusCode::OK, "text/plain; version=0.0.4", self.metrics().await),
            _ => (StatusCode::NOT_FOUND, "text/plain", "there are GET /status and GET /metrics\n".to_owned()),
        };
        Response::builder().status(status).header(header::CONTENT_TYPE, media_type).body(Full::from(text))
    }
}

/// The socket of a daemon; there is never more than one daemon with the same.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Held as long as this daemon lives, so that a socket which was left behind can be told from one in use.
    _lock: Lock,
}

/// Nobody else is the daemon with a socket as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock beside the socket `path`.
    ///
    /// # Errors
    /// [`Error::Busy`] when a daemon has it.
    pub(super) fn take(path: &Path) -> Result<Self> {
        let failed = |source| Error::Io { act: format!("lock {}", path.display()), source };
        let lock = path.with_added_extension("lock");
        loop {
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&lock).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(Error::Busy { socket: path.to_owned() }),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            // Who cleaned up in between has taken this very file away.
            let ours = file.metadata().map_err(failed)?.ino();
            if fs::metadata(&lock).is_ok_and(|there| there.ino() == ours) {
                return Ok(Self { _file: file, path: lock });
            }
        }
    }

    /// Forgets that there ever was a daemon.
    pub(super) fn remove(self) {
        let _ = atomic_file::remove(&self.path);
    }
}

impl Socket {
    /// Listens at `path`; its directory is made when it is missing. Only root may ask.
    ///
    /// # Errors
    /// When another daemon has this socket, or it cannot be made.
    pub(super) fn bind(path: &Path) -> Result<Self> {
        let failed = |source| Error::Io { act: format!("listen on {}", path.display()), source };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let lock = Lock::take(path)?;
        // What a daemon left behind goes; anything else was named by mistake.
        match fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => return Err(failed(io::ErrorKind::AlreadyExists.into())),
            _ => atomic_file::remove(path).map_err(failed)?,
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), _lock: lock })
    }

    /// Answers until dropped.
    pub(super) async fn serve(&self, pages: Arc<Pages>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept(), if connections.len() < CONCURRENCY => match accepted {
                    Ok((stream, _)) => drop(connections.spawn(serve_one(stream, Arc::clone(&pages)))),
                    // Out of file descriptors, most likely: they come back.
                    Err(_) => sleep(Duration::from_millis(100)).await,
                }
            }
        }
    }
}

async fn serve_one(stream: UnixStream, pages: Arc<Pages>) {
    let service = service_fn(|request| pages.answer(request));
    let mut http = server::conn::http1::Builder::new();
    let connection = http.keep_alive(false).max_buf_size(REQUEST_LIMIT).serve_connection(TokioIo::new(stream), service);
    // Who cannot ask or read in time gets no answer.
    let _ = timeout(TIMEOUT, connection).await;
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Its absence says that no daemon runs; the lock stays, as others may hold it open.
        let _ = atomic_file::remove(&self.path);
    }
}

/// Asks the daemon that listens at `path` for a page; `None` when none does.
///
/// # Errors
/// When it answers too late, too much or nonsense, or asking is not allowed.
pub(super) async fn ask(path: &Path, page: &str) -> Result<Option<Bytes>> {
    let failed = |source| Error::Io { act: format!("ask the daemon at {}", path.display()), source };
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    match timeout(TIMEOUT, get(stream, page)).await {
        Ok(answer) => answer.map(Some).map_err(|error| failed(io::Error::other(error))),
        Err(late) => Err(failed(late.into())),
    }
}

async fn get(stream: UnixStream, page: &str) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::get(page).header(header::HOST, "localhost").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("it answered {}", response.status()).into());
    }
    Ok(Limited::new(response.into_body(), ANSWER_LIMIT).collect().await?.to_bytes())
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{Desired, FakeDataplane, FakeProbe, Guard, HealthPolicy, Scheduler, Service};

    pub(in super::super) fn pages() -> Arc<Pages> {
        let service = Service { address: "10.103.97.2:6443".parse().unwrap(), scheduler: Scheduler::Rr };
        let servers = [("10.0.0.1:6443".parse().unwrap(), 1)].into();
        let desired = Desired { service, servers, health: HealthPolicy::default() };
        let dataplane = Arc::new(FakeDataplane::new());
        let guard = Guard::new(desired, dataplane.clone(), Arc::new(FakeProbe::new()));
        Arc::new(Pages { handle: guard.handle(), dataplane, begun: Instant::now() })
    }

    #[tokio::test]
    async fn both_pages_are_answered_and_others_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/daemon.sock");
        assert_eq!(ask(&path, STATUS).await.unwrap(), None);
        let socket = Socket::bind(&path).unwrap();
        let asking = async {
            let status: Daemon = serde_json::from_slice(&ask(&path, STATUS).await.unwrap().unwrap()).unwrap();
            assert_eq!((status.pid, status.status.servers.len()), (std::process::id(), 1));
            let metrics = ask(&path, METRICS).await.unwrap().unwrap();
            assert!(metrics.starts_with(b"# HELP lvscare_server_up "), "{metrics:?}");
            assert!(ask(&path, "/").await.is_err());
            let mut stream = UnixStream::connect(&path).await.unwrap();
            stream.write_all(b"POST /status HTTP/1.1\r\n\r\n").await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
        };
        tokio::select! {
            () = socket.serve(pages()) => unreachable!(),
            () = asking => {}
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(socket);
        assert_eq!(ask(&path, STATUS).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_second_daemon_is_refused_and_a_left_socket_is_not_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists() && ask(&path, STATUS).await.unwrap().is_none());
        let first = Socket::bind(&path).unwrap();
        assert!(matches!(Socket::bind(&path), Err(Error::Busy { .. })));
        drop(first);
        Socket::bind(&path).unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "mine").unwrap();
        assert!(Socket::bind(&file).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine", "only sockets are replaced");
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_does_not_keep_others_from_asking() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.sock");
        let socket = Socket::bind(&path).unwrap();
        let asking = async {
            let mut silent = Vec::new();
            for _ in 0..CONCURRENCY + 1 {
                silent.push(UnixStream::connect(&path).await.unwrap());
            }
            let mut flood = UnixStream::connect(&path).await.unwrap();
            let _ = flood.write_all(&[b'x'; 2 * REQUEST_LIMIT]).await;
            tokio::time::sleep(TIMEOUT * 4).await;
            assert!(ask(&path, STATUS).await.unwrap().is_some());
        };
        tokio::select! {
            () = socket.serve(pages()) => unreachable!(),
            () = asking => {}
        }
    }

    #[tokio::test]
    async fn daemons_are_known_by_their_files_also_when_they_ended() {
        let directory = tempfile::tempdir().unwrap();
        let services: [SocketAddr; 2] = ["10.103.97.2:6443".parse().unwrap(), "[fd00::2]:6443".parse().unwrap()];
        for service in services {
            drop(Socket::bind(&socket_path(directory.path(), service)).unwrap());
        }
        fs::write(directory.path().join("other.sock.lock"), "").unwrap();
        assert_eq!(known_services(directory.path()), services);
        assert!(known_services(&directory.path().join("none")).is_empty());
    }
}
