//! Reads a layer blob as a tar while its digest is checked.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use content_store::Store;

use super::compression::Compression;
use crate::error::{Error, Result};
use crate::image::Layer;

const CHUNK: usize = 1 << 20;

/// Gives `read` the uncompressed tar of `layer`; the blob is read and decompressed in a second thread.
///
/// The whole blob is read and verified unless `read` returns [`Done::Enough`].
pub(crate) fn with_tar<T>(
    store: &Store,
    layer: &Layer,
    read: impl FnOnce(&mut TarStream) -> Result<Done<T>>,
) -> Result<T> {
    let compression = Compression::of_media_type(&layer.media_type)
        .ok_or_else(|| Error::LayerType { digest: layer.digest, media_type: layer.media_type.clone() })?;
    let blob = store.verified_reader(&layer.digest)?;
    let label = layer.digest.to_string();
    let fault = |source: io::Error| match source.downcast::<content_store::Error>() {
        Ok(error) => Error::Store(error),
        Err(source) => Error::Decompress { digest: layer.digest, source },
    };
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(4);
        let producer = scope.spawn(move || decompress(blob, compression, &sender));
        let mut stream = TarStream { label, receiver, chunk: Vec::new(), at: 0 };
        let outcome = read(&mut stream);
        if !matches!(outcome, Ok(Done::Enough(_))) {
            // What follows is read too, so that the digest is checked: corruption explains a reader's error.
            for _ in &stream.receiver {}
        }
        drop(stream);
        let produced = producer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (outcome, produced) {
            (Ok(Done::Enough(value)), _) => Ok(value),
            (_, Err(error)) => Err(fault(error)),
            (Ok(Done::All(value)), Ok(())) => Ok(value),
            (Err(error), Ok(())) => Err(error),
        }
    })
}

/// Whether a reader needed everything.
pub(crate) enum Done<T> {
    /// It read to the end; the digest of the blob is checked.
    All(T),
    /// It found what it looked for; the rest is not read.
    Enough(T),
}

/// The uncompressed bytes of a layer.
pub(crate) struct TarStream {
    /// The layer, for messages.
    pub(crate) label: String,
    receiver: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for TarStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            // A closed channel is the end; whether it is a good end, the producer's result says.
            self.chunk = self.receiver.recv().unwrap_or_default();
            self.at = 0;
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn decompress(mut blob: impl Read + Send, compression: Compression, sender: &SyncSender<Vec<u8>>) -> io::Result<()> {
    let decoded = decode(&mut blob, compression, sender);
    // Bytes behind the compressed stream, and behind an error in it, belong to the digest too.
    if !matches!(&decoded, Err(error) if error.kind() == io::ErrorKind::BrokenPipe) {
        io::copy(&mut blob, &mut io::sink())?;
    }
    decoded
}

fn decode(blob: &mut (impl Read + Send), compression: Compression, sender: &SyncSender<Vec<u8>>) -> io::Result<()> {
    let mut decoder = compression.decoder(blob)?;
    loop {
        let mut chunk = vec![0; CHUNK];
        let filled = fill(&mut decoder, &mut chunk)?;
        if filled == 0 {
            return Ok(());
        }
        chunk.truncate(filled);
        sender.send(chunk).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
    }
}

fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
