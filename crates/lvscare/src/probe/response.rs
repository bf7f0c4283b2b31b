//! What did the server answer, and where does its answer end?

use super::body::{Body, Chunk, Step};

/// The largest head of an answer, interim answers (1xx) included.
pub(super) const MAX_HEAD: usize = 8 * 1024;

/// The largest body that is looked at.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// The most header fields of an answer.
const MAX_FIELDS: usize = 96;

/// Reads one HTTP/1 answer after the other from bytes as they come; does no I/O.
#[derive(Debug)]
pub(super) struct Response {
    head_only: bool,
    keep_body: bool,
    state: State,
    head: Vec<u8>,
    interim: usize,
    blank_line: bool,
    status: u16,
    body: Vec<u8>,
    body_size: usize,
    reusable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Body(Body),
    Done,
}

/// Why bytes are not an answer, in words that follow the name of the server.
pub(super) type Malformed = &'static str;

impl Response {
    /// Waits for an answer; its body is kept only when asked for.
    pub(super) fn new() -> Self {
        Self {
            head_only: false,
            keep_body: false,
            state: State::Head,
            head: Vec::new(),
            interim: 0,
            blank_line: false,
            status: 0,
            body: Vec::new(),
            body_size: 0,
            reusable: false,
        }
    }

    /// Waits for the next answer. `head_only`: it has no body whatever it says (HEAD). `keep_body`: [`Self::body`] is
    /// wanted.
    pub(super) fn expect(&mut self, head_only: bool, keep_body: bool) {
        self.head.clear();
        self.body.clear();
        *self = Self {
            head_only,
            keep_body,
            head: std::mem::take(&mut self.head),
            body: std::mem::take(&mut self.body),
            ..Self::new()
        };
    }

    /// The status code, once [`Self::feed`] said that the answer is complete.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// The body, if it was wanted and is not longer than [`MAX_BODY`].
    pub(super) fn body(&self) -> Option<&[u8]> {
        (self.keep_body && self.body_size <= MAX_BODY).then_some(&self.body[..])
    }

    /// Whether the connection can carry another request.
    pub(super) fn reusable(&self) -> bool {
        self.reusable && self.state == State::Done
    }

    /// The connection must not carry another request.
    pub(super) fn spoil(&mut self) {
        self.reusable = false;
    }

    /// Takes the next bytes; true when the answer is complete.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<bool, Malformed> {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Head => self.feed_head(bytes)?,
                State::Body(body) => self.feed_body(body, bytes)?,
                State::Done => {
                    // More than was asked for: whatever it is, the next answer could not be told from it.
                    self.reusable = false;
                    break;
                }
            };
        }
        Ok(self.state == State::Done)
    }

    /// The server closed the connection; false when the answer was not complete yet.
    pub(super) fn close(&mut self) -> bool {
        self.reusable = false;
        if self.state == State::Body(Body::UntilClose) {
            self.state = State::Done;
        }
        self.state == State::Done
    }

    /// Whether nothing at all was answered.
    pub(super) fn is_silent(&self) -> bool {
        self.state == State::Head && self.head.is_empty() && self.interim == 0
    }

    fn feed_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Malformed> {
        const START: &[u8] = b"HTTP/1.";
        for (index, &byte) in bytes.iter().enumerate() {
            if START.get(self.head.len()).is_some_and(|wanted| *wanted != byte) {
                return Err("answered something that is not HTTP/1");
            }
            if self.interim + self.head.len() >= MAX_HEAD {
                return Err("answered with more than 8 KiB of headers");
            }
            self.head.push(byte);
            match byte {
                b'\n' if self.blank_line => {
                    self.end_head()?;
                    return Ok(&bytes[index + 1..]);
                }
                b'\n' => self.blank_line = true,
                b'\r' => {}
                _ => self.blank_line = false,
            }
        }
        Ok(&[])
    }

    fn end_head(&mut self) -> Result<(), Malformed> {
        let head = read_head(&self.head)?;
        self.blank_line = false;
        if (100..200).contains(&head.status) && head.status != 101 {
            // An interim answer: the real one follows.
            self.interim += self.head.len();
            self.head.clear();
            return Ok(());
        }
        self.status = head.status;
        let bodiless = self.head_only || matches!(head.status, 101 | 204 | 304);
        self.reusable = head.persistent && head.status != 101 && (bodiless || head.body != Body::UntilClose);
        self.state = if bodiless || head.body == Body::Length(0) { State::Done } else { State::Body(head.body) };
        Ok(())
    }

    fn feed_body<'a>(&mut self, mut body: Body, bytes: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let used = match body.step(bytes)? {
            Step::Content(content) => {
                self.take_content(content);
                content.len()
            }
            Step::Framing(used) => used,
            Step::End(used) => {
                self.state = State::Done;
                return Ok(&bytes[used..]);
            }
        };
        self.state = if body == Body::Length(0) { State::Done } else { State::Body(body) };
        if self.body_size > MAX_BODY {
            // Enough was seen; the rest would only cost time.
            self.state = State::Done;
            self.reusable = false;
        }
        Ok(&bytes[used..])
    }

    fn take_content(&mut self, content: &[u8]) {
        self.body_size += content.len();
        if self.keep_body && self.body_size <= MAX_BODY {
            self.body.extend_from_slice(content);
        }
    }
}

struct Head {
    status: u16,
    persistent: bool,
    body: Body,
}

fn read_head(bytes: &[u8]) -> Result<Head, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err("answered with half a header"),
        Err(httparse::Error::TooManyHeaders) => return Err("answered with too many headers"),
        Err(_) => return Err("answered something that is not HTTP/1"),
    }
    let (Some(status), Some(version)) = (response.code, response.version) else {
        return Err("answered something that is not HTTP/1");
    };
    let mut head = Head { status, persistent: version == 1, body: Body::UntilClose };
    let mut length = None;
    let mut chunked = false;
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let given = field.value.trim_ascii();
            if length.is_some_and(|other| other != given) {
                return Err("answered with two lengths");
            }
            length = Some(given);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            if !field.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err("answered in an encoding that was not asked for");
            }
            chunked = true;
        } else if field.name.eq_ignore_ascii_case("connection") {
            for option in field.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if option.eq_ignore_ascii_case(b"close") {
                    head.persistent = false;
                } else if option.eq_ignore_ascii_case(b"keep-alive") && version == 0 {
                    head.persistent = true;
                }
            }
        }
    }
    match (chunked, length) {
        (true, length) => {
            head.body = Body::Chunked(Chunk::FIRST);
            // Both at once is how answers are smuggled (RFC 9112 section 6.1).
            head.persistent &= length.is_none();
        }
        (false, Some(length)) => head.body = Body::Length(decimal(length)?),
        (false, None) => {}
    }
    Ok(head)
}

fn decimal(text: &[u8]) -> Result<u64, Malformed> {
    const WRONG: Malformed = "answered with a length that is no number";
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(WRONG);
    }
    let text = std::str::from_utf8(text).map_err(|_| WRONG)?;
    text.parse().map_err(|_| WRONG)
}
