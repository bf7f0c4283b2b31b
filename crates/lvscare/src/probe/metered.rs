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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// How many bytes can be read in pieces of at most `piece`, of as many as there are.
    async fn readable(allowed: usize, piece: usize) -> (usize, ErrorKind) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let sending = tokio::spawn(async move { while server.write_all(&[0; 4096]).await.is_ok() {} });
        let allowance = Allowance::new(allowed.into());
        let mut metered = metered(stream, &allowance);
        let (mut all, mut buffer) = (0, vec![0; piece]);
        let end = loop {
            match metered.read(&mut buffer).await {
                Ok(read) => all += read,
                Err(error) => break error.kind(),
            }
        };
        allowance.store(1, Relaxed);
        assert!(metered.read(&mut buffer).await.unwrap() > 0, "more is allowed again");
        drop(metered);
        sending.await.unwrap();
        (all, end)
    }

    #[tokio::test]
    async fn no_more_is_read_than_allowed_but_for_one_piece() {
        let (all, end) = readable(100_000, 1000).await;
        assert!((100_000..=101_000).contains(&all) && end == ErrorKind::FileTooLarge, "{all}, {end}");
        assert_eq!(readable(100_000, 1).await, (196, ErrorKind::FileTooLarge), "each read costs something");
    }
}
