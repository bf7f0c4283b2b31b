//! Counts what a server sends, whatever it is, and ends the connection on which that is too much.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, Join, ReadBuf, join};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Each read counts as at least so many bytes: what it costs does not depend on how few there are.
const LEAST: usize = 512;

/// So many bytes may still come.
pub(super) type Allowance = Arc<AtomicUsize>;
/// A connection from which no more is read than allowed.
pub(super) type Metered = Join<Counted, OwnedWriteHalf>;

/// Reads as long as there are bytes `left`; then it fails with [`ErrorKind::FileTooLarge`].
pub(super) struct Counted {
    stream: OwnedReadHalf,
    left: Allowance,
}

/// Allows as many bytes of `stream` as there are `left`.
pub(super) fn metered(stream: TcpStream, left: &Allowance) -> Metered {
    let (stream, writer) = stream.into_split();
    join(Counted { stream, left: Allowance::clone(left) }, writer)
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = self.left.load(Relaxed);
        if left == 0 {
            return Poll::Ready(Err(ErrorKind::FileTooLarge.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().len() - before;
        self.left.store(left.saturating_sub(read.max(LEAST)), Relaxed);
        Poll::Ready(Ok(()))
    }
}
