//! Compression of layers, and its media types.

use std::io::{self, BufReader, Read, Write};

use crate::error::{Error, Result};
use crate::format;

/// How the layers that a build makes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Zstandard at level 1 on all cores: fast, and about as small as gzip.
    #[default]
    Zstd,
    /// Gzip at level 6, for consumers that know nothing newer.
    Gzip,
    /// A plain tar.
    None,
}

impl std::str::FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "zstd" => Ok(Self::Zstd),
            "gzip" => Ok(Self::Gzip),
            "none" => Ok(Self::None),
            other => {
                Err(Error::Option { option: "compression", value: other.to_owned(), expected: "zstd, gzip or none" })
            }
        }
    }
}

impl Compression {
    /// The word of the command line: `zstd`, `gzip` or `none`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::None => "none",
        }
    }

    /// Media type of a layer compressed this way.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Zstd => format::LAYER_ZSTD,
            Self::Gzip => format::LAYER_GZIP,
            Self::None => format::LAYER_TAR,
        }
    }

    /// The name of a compression that is not read, by the first six bytes of a stream.
    pub(crate) fn unsupported(start: &[u8]) -> Option<&'static str> {
        match start {
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz"),
            [b'B', b'Z', b'h', ..] => Some("bzip2"),
            _ => None,
        }
    }

    /// Recognises the compression of a stream by its first bytes.
    pub(crate) fn of_magic(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// The compression that a layer's media type names (OCI and Docker types); `None` for an unknown type.
    pub(crate) fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            format::LAYER_ZSTD | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Some(Self::Zstd),
            format::LAYER_GZIP | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Some(Self::Gzip),
            format::LAYER_TAR | "application/vnd.docker.image.rootfs.diff.tar" => Some(Self::None),
            _ => None,
        }
    }

    /// Wraps a writer; [`Encoder::finish`] must be called.
    pub(crate) fn encoder<W: Write>(self, output: W) -> io::Result<Encoder<W>> {
        Ok(match self {
            Self::Zstd => {
                let mut encoder = zstd::Encoder::new(output, 1)?;
                let workers = std::thread::available_parallelism().map_or(1, |count| count.get().min(16));
                encoder.multithread(workers as u32)?;
                encoder.include_checksum(true)?;
                Encoder::Zstd(encoder)
            }
            Self::Gzip => Encoder::Gzip(flate2::write::GzEncoder::new(output, flate2::Compression::new(6))),
            Self::None => Encoder::Plain(output),
        })
    }

    /// Wraps a reader with the matching decoder; gzip and zstd streams of several members are read to the end.
    pub(crate) fn decoder<'a, R: Read + Send + 'a>(self, input: R) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::Zstd => {
                let mut decoder = zstd::Decoder::new(input)?;
                // 128 MiB: what `zstd -d` accepts too; more would let a hostile frame take the memory.
                decoder.window_log_max(27)?;
                Box::new(decoder)
            }
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(256 << 10, input))),
            Self::None => Box::new(input),
        })
    }
}

/// A compressing writer over `W`.
pub(crate) enum Encoder<W: Write> {
    Zstd(zstd::Encoder<'static, W>),
    Gzip(flate2::write::GzEncoder<W>),
    Plain(W),
}

impl<W: Write> Encoder<W> {
    /// Writes what is pending and gives the inner writer back.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Plain(output) => Ok(output),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(encoder) => encoder.write(data),
            Self::Gzip(encoder) => encoder.write(data),
            Self::Plain(output) => output.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Plain(output) => output.flush(),
        }
    }
}
