//! Has the kernel send files: a body hands out a filler of the same length, in whose place the connection sends the file.
//!
//! An HTTP/1 connection writes what bodies hand out as it is, so it is told from other bytes by where it lies in memory.

use super::progress;
use crate::source::FilePart;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use rustix::fs::{Advice, fadvise, sendfile};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// What is handed out at once.
const PIECE: usize = 512 << 10;
/// Nobody reads or writes it, so it takes no memory.
static FILLER: LazyLock<Vec<u8>> = LazyLock::new(|| vec![0; PIECE]);

/// The parts of files that a connection is to send, in the order of their fillers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files(Arc<Mutex<VecDeque<FilePart>>>);

impl Files {
    /// A body that is this part of a file, for an answer of this connection.
    pub(crate) fn body(&self, part: FilePart) -> Body {
        Body::new(FileBody { files: self.clone(), part })
    }

    /// Works on the part that is sent now, and forgets it when all of it is sent.
    fn front(&self, work: impl FnOnce(&mut FilePart) -> io::Result<usize>) -> io::Result<usize> {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let part = parts.front_mut().ok_or_else(|| io::Error::other("there is no file for this answer"))?;
        let sent = work(part);
        if part.length == 0 {
            parts.pop_front();
        }
        sent
    }
}

/// Whether these bytes stand for those of a file.
pub(super) fn is_filler(bytes: &[u8]) -> bool {
    !bytes.is_empty() && FILLER.as_ptr_range().contains(&bytes.as_ptr())
}

struct FileBody {
    files: Files,
    /// What was not handed out.
    part: FilePart,
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let length = usize::try_from(self.part.length).unwrap_or(usize::MAX).min(PIECE);
        if length == 0 {
            return Poll::Ready(None);
        }
        let piece = self.part.split_to(length as u64);
        // What comes after it is read from the disk meanwhile; where that cannot be asked for, it is read later.
        let next = NonZeroU64::new(PIECE as u64);
        let _ = fadvise(&*self.part.file, self.part.offset, next, Advice::WillNeed);
        self.files.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(piece);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&FILLER[..length])))))
    }

    // It never says that a piece is its last: hyper would drop it, and with it the limits of the request, before that
    // piece is sent.

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.part.length)
    }
}

/// A connection that sends files in the place of fillers.
pub(super) struct FileStream {
    pub(super) stream: TcpStream,
    pub(super) files: Files,
}

impl FileStream {
    fn poll_send(&self, context: &mut Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                self.files.front(|part| {
                    let length = length.min(usize::try_from(part.length).unwrap_or(usize::MAX));
                    let mut offset = part.offset;
                    let sent = sendfile(&self.stream, &*part.file, Some(&mut offset), length)?;
                    part.split_to(sent as u64);
                    // Somebody made the file shorter.
                    if sent == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(sent) }
                })
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => {
                    progress::taken();
                    return Poll::Ready(sent);
                }
            }
        }
    }
}

impl AsyncRead for FileStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for FileStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match is_filler(bytes) {
            true => self.poll_send(context, bytes.len()),
            false => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices.iter().position(|slice| is_filler(slice)) {
            Some(place) if slices[..place].iter().all(|slice| slice.is_empty()) => {
                self.poll_send(context, slices[place].len())
            }
            place => {
                let before = &slices[..place.unwrap_or(slices.len())];
                Pin::new(&mut self.stream).poll_write_vectored(context, before)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs::File;
    use std::task::Waker;

    /// hyper drops a body that says that it has ended, and what it holds of the client's limits.
    #[test]
    fn a_body_has_not_ended_with_its_last_piece() {
        let files = Files::default();
        let part = FilePart::new(Arc::new(File::open("/dev/null").unwrap()), 7, PIECE as u64 + 1);
        let mut body = FileBody { files: files.clone(), part };
        let context = &mut Context::from_waker(Waker::noop());
        for length in [PIECE, 1] {
            let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(context) else { panic!("a piece") };
            assert_eq!(frame.data_ref().unwrap().len(), length);
            assert!(!body.is_end_stream());
        }
        assert!(matches!(Pin::new(&mut body).poll_frame(context), Poll::Ready(None)));
        let queued: Vec<_> = files.0.lock().unwrap().iter().map(|part| (part.offset, part.length)).collect();
        assert_eq!(queued, [(7, PIECE as u64), (7 + PIECE as u64, 1)]);
    }
}
