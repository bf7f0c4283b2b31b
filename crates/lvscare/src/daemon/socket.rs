//! Answers status and metrics of a running daemon on a socket.
//!
//! It answers `GET /status` (JSON) and `GET /metrics` (Prometheus text) as HTTP/1.1 on a Unix socket, so that
//! `curl --unix-socket` and scrapers can ask as well.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{Error, Result};

/// A request is never longer.
const REQUEST_LIMIT: usize = 4096;
/// An answer is never longer: a thousand servers fit.
const ANSWER_LIMIT: u64 = 1 << 20;
/// Who asks has this long, and so has who answers.
const TIMEOUT: Duration = Duration::from_secs(2);
/// So many may ask at the same time; others wait.
const CONCURRENCY: usize = 4;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// The state of the daemon as JSON.
    Status,
    /// Its metrics as Prometheus text.
    Metrics,
}

/// What a page says at this moment.
pub(super) type Answer = Arc<dyn Fn(Page) -> BoxedText + Send + Sync>;
/// A text that is being put together.
pub(super) type BoxedText = Pin<Box<dyn Future<Output = String> + Send>>;

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
        let lock = lock_of(path);
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock);
            let file = file.map_err(failed)?;
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
        let _ = remove(&self.path);
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
            _ => remove(path).map_err(failed)?,
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), _lock: lock })
    }

    /// Answers until dropped.
    pub(super) async fn serve(&self, answer: &Answer) {
        let mut asking = JoinSet::new();
        loop {
            while asking.len() >= CONCURRENCY {
                asking.join_next().await;
            }
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let answer = Arc::clone(answer);
                    // Who cannot ask or read gets no answer.
                    asking.spawn(async move { timeout(TIMEOUT, reply(stream, &answer)).await.is_ok() });
                }
                // Out of file descriptors, most likely: they come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
            while asking.try_join_next().is_some() {}
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Its absence says that no daemon runs; the lock stays, as others may hold it open.
        let _ = remove(&self.path);
    }
}

/// Asks the daemon that listens at `path`; `None` when none does.
///
/// # Errors
/// When it answers too late, too much or nonsense, or asking is not allowed.
pub(super) async fn ask(path: &Path, page: Page) -> Result<Option<Vec<u8>>> {
    let failed = |source| Error::Io { act: format!("ask the daemon at {}", path.display()), source };
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let asked = async {
        let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", page.path());
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        (&mut stream).take(ANSWER_LIMIT).read_to_end(&mut answer).await?;
        Ok(answer)
    };
    let answer = timeout(TIMEOUT, asked).await.unwrap_or_else(|late| Err(late.into())).map_err(failed)?;
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").map(|end| answer[end + 4..].to_vec());
    let strange = || failed(io::Error::new(io::ErrorKind::InvalidData, "the answer is none of a daemon"));
    body.filter(|_| answer.starts_with(b"HTTP/1.1 200 ")).map(Some).ok_or_else(strange)
}

impl Page {
    fn path(self) -> &'static str {
        match self {
            Self::Status => "/status",
            Self::Metrics => "/metrics",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Status => "application/json",
            Self::Metrics => "text/plain; version=0.0.4",
        }
    }
}

async fn reply(mut stream: UnixStream, answer: &Answer) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut part = [0; 512];
        let length = stream.read(&mut part).await?;
        request.extend_from_slice(&part[..length]);
        if length == 0 || request.len() > REQUEST_LIMIT {
            return Ok(());
        }
    }
    let (status, media_type, body) = match asked_for(&request) {
        Some(page) => ("200 OK", page.media_type(), answer(page).await),
        None => ("404 Not Found", "text/plain", "there are GET /status and GET /metrics\n".to_owned()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

fn asked_for(request: &[u8]) -> Option<Page> {
    let line = request.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    [Page::Status, Page::Metrics].into_iter().find(|page| method == "GET" && target == page.path())
}

fn lock_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        Arc::new(|page| Box::pin(async move { format!("{page:?}") }))
    }

    #[tokio::test]
    async fn both_pages_are_answered_and_others_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/daemon.sock");
        assert_eq!(ask(&path, Page::Status).await.unwrap(), None);
        let socket = Socket::bind(&path).unwrap();
        let (answer, asking) = (answer(), async {
            assert_eq!(ask(&path, Page::Status).await.unwrap().unwrap(), b"Status");
            assert_eq!(ask(&path, Page::Metrics).await.unwrap().unwrap(), b"Metrics");
            let mut stream = UnixStream::connect(&path).await.unwrap();
            stream.write_all(b"POST /status HTTP/1.1\r\n\r\n").await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
        });
        tokio::select! {
            () = socket.serve(&answer) => unreachable!(),
            () = asking => {}
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(socket);
        assert_eq!(ask(&path, Page::Status).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_second_daemon_is_refused_and_a_left_socket_is_not_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists() && ask(&path, Page::Status).await.unwrap().is_none());
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
        let answer = answer();
        let asking = async {
            let mut silent = Vec::new();
            for _ in 0..CONCURRENCY + 1 {
                silent.push(UnixStream::connect(&path).await.unwrap());
            }
            let mut flood = UnixStream::connect(&path).await.unwrap();
            let _ = flood.write_all(&[b'x'; 2 * REQUEST_LIMIT]).await;
            tokio::time::sleep(TIMEOUT * 4).await;
            assert!(ask(&path, Page::Status).await.unwrap().is_some());
        };
        tokio::select! {
            () = socket.serve(&answer) => unreachable!(),
            () = asking => {}
        }
    }
}
