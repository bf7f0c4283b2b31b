//! Where does the body of an HTTP/1 answer end?

/// The longest line that begins a chunk, extensions included.
const MAX_CHUNK_LINE: usize = 1024;

/// The most bytes of trailer fields behind the last chunk.
const MAX_TRAILER: usize = 8 * 1024;

/// How the end of a body is found (RFC 9112 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked(Chunk),
    /// When the server closes the connection.
    UntilClose,
}

/// Where in a chunked body the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the line that says how long the chunk is.
    Size { size: u64, digits: u8, line: usize, behind_digits: bool },
    /// In its data, with so many bytes to come.
    Data(u64),
    /// In the line break behind its data.
    DataEnd,
    /// In the fields behind the last chunk; `blank` when the line has nothing in it yet.
    Trailer { total: usize, blank: bool },
}

/// What a step found.
pub(super) enum Step<'a> {
    /// This is content; as many bytes of the input are done with.
    Content(&'a [u8]),
    /// So many bytes of the input are done with; they were not content.
    Framing(usize),
    /// The body ended after so many bytes of the input.
    End(usize),
}

impl Chunk {
    pub(super) const FIRST: Self = Self::Size { size: 0, digits: 0, line: 0, behind_digits: false };
}

impl Body {
    /// Takes the beginning of `bytes`, which are not empty.
    pub(super) fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<Step<'a>, &'static str> {
        match self {
            Self::UntilClose => Ok(Step::Content(bytes)),
            Self::Length(0) => Ok(Step::End(0)),
            Self::Length(left) => Ok(Step::Content(portion(left, bytes))),
            Self::Chunked(Chunk::Data(left)) => {
                let data = portion(left, bytes);
                if *left == 0 {
                    *self = Self::Chunked(Chunk::DataEnd);
                }
                Ok(Step::Content(data))
            }
            Self::Chunked(chunk) => {
                let end = chunk.take(bytes[0])?;
                Ok(if end { Step::End(1) } else { Step::Framing(1) })
            }
        }
    }
}

impl Chunk {
    /// Takes one byte that is not data; true when it was the last of the body.
    fn take(&mut self, byte: u8) -> Result<bool, &'static str> {
        *self = match *self {
            Self::Size { size, digits, line, behind_digits } => match (byte, char::from(byte).to_digit(16)) {
                _ if line >= MAX_CHUNK_LINE => return Err("a chunk of its body begins with too long a line"),
                (_, Some(digit)) if !behind_digits => {
                    if digits >= 15 {
                        return Err("a chunk of its body has an impossible length");
                    }
                    let size = size << 4 | u64::from(digit);
                    Self::Size { size, digits: digits + 1, line: line + 1, behind_digits }
                }
                _ if digits == 0 => return Err("a chunk of its body has no length"),
                (b'\n', _) if size == 0 => Self::Trailer { total: 0, blank: true },
                (b'\n', _) => Self::Data(size),
                (b'\r' | b';' | b' ' | b'\t', _) => Self::Size { size, digits, line: line + 1, behind_digits: true },
                _ if behind_digits => Self::Size { size, digits, line: line + 1, behind_digits },
                _ => return Err("a chunk of its body has a length that is no number"),
            },
            Self::DataEnd => match byte {
                b'\r' => Self::DataEnd,
                b'\n' => Self::FIRST,
                _ => return Err("a chunk of its body is longer than it said"),
            },
            Self::Trailer { blank: true, .. } if byte == b'\n' => return Ok(true),
            Self::Trailer { total, .. } if total >= MAX_TRAILER => return Err("too much follows its body"),
            Self::Trailer { total, blank } => {
                Self::Trailer { total: total + 1, blank: byte == b'\n' || blank && byte == b'\r' }
            }
            Self::Data(_) => return Err("a chunk of its body was not read to its end"),
        };
        Ok(false)
    }
}

/// The part of `bytes` that belongs to the `left` bytes, which it is taken from.
fn portion<'a>(left: &mut u64, bytes: &'a [u8]) -> &'a [u8] {
    let count = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    *left -= count as u64;
    &bytes[..count]
}
