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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> (Result<bool, Malformed>, Response) {
        let mut response = Response::new();
        response.expect(false, true);
        let complete = response.feed(bytes);
        (complete, response)
    }

    #[track_caller]
    fn complete(text: &str, status: u16, body: &str, reusable: bool) {
        let (complete, response) = read(text.as_bytes());
        assert_eq!(complete, Ok(true), "{text:?}");
        assert_eq!((response.status(), response.reusable()), (status, reusable), "{text:?}");
        assert_eq!(response.body(), Some(body.as_bytes()), "{text:?}");
    }

    #[test]
    fn ends_are_found() {
        complete("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true);
        complete("HTTP/1.1 200\r\ncontent-length:2\r\ncontent-length: 2\r\n\r\nok", 200, "ok", true);
        complete("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true);
        complete("HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n", 304, "", true);
        complete("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", true);
        complete("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "ok", true);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        complete(&format!("{chunked}0\r\n\r\n"), 200, "", true);
        complete(
            &format!("{chunked}2 ;a=b\r\nok\r\n00A\r\n0123456789\r\n0\r\nA: b\r\nC: d\r\n\r\n"),
            200,
            "ok0123456789",
            true,
        );
    }

    #[test]
    fn connections_that_end_are_not_used_again() {
        complete("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n", 200, "", false);
        complete("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", false);
        complete("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", 200, "", true);
        complete("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 500", 200, "", false);
        complete("HTTP/1.1 101 Switching\r\n\r\n", 101, "", false);
        complete("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 200, "", false);

        let (complete, mut response) = read(b"HTTP/1.1 200 OK\r\n\r\nok");
        assert_eq!((complete, response.close(), response.reusable()), (Ok(false), true, false));
        assert_eq!(response.body(), Some(&b"ok"[..]));
        let (complete, mut response) = read(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok");
        assert_eq!((complete, response.close()), (Ok(false), false));
    }

    #[test]
    fn nonsense_is_refused() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for text in [
            "HTTP/2 200\r\n",
            "http/1.1 200 OK\r\n\r\n",
            "\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            &format!("{chunked}\r\n"),
            &format!("{chunked}-1\r\n"),
            &format!("{chunked}1g\r\n"),
            &format!("{chunked}{}\r\n", "1".repeat(17)),
            &format!("{chunked}1\r\nab"),
            &format!("{chunked}1;{}", "x".repeat(2000)),
            &format!("{chunked}0\r\n{}", "x".repeat(9000)),
            &format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1)),
            &"HTTP/1.1 100 C\r\n\r\n".repeat(1000),
        ] {
            assert!(read(text.as_bytes()).0.is_err(), "{text:?}");
        }
    }

    #[test]
    fn large_bodies_are_not_kept() {
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n{}", "x".repeat(MAX_BODY + 1));
        let (complete, response) = read(text.as_bytes());
        assert_eq!((complete, response.reusable(), response.body()), (Ok(true), false, None));
        assert!(response.body.capacity() <= 2 * MAX_BODY);
    }

    #[test]
    fn one_reader_reads_many_answers() {
        let mut response = Response::new();
        for (head_only, text) in [
            (true, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
            (false, "HTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\nx"),
            (false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n0\r\n\r\n"),
        ] {
            response.expect(head_only, true);
            assert!(response.is_silent());
            assert_eq!(response.feed(text.as_bytes()), Ok(true));
            assert!(response.reusable());
        }
        assert_eq!((response.status(), response.body()), (200, Some(&b"y"[..])));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            pieces in proptest::collection::vec(prop_oneof![
                Just("HTTP/1.1 200 OK\r\n"), Just("HTTP/1.1 100 C\r\n\r\n"), Just("Content-Length: 4\r\n"), Just("\r\n"),
                Just("Transfer-Encoding: chunked\r\n"), Just("3\r\nabc\r\n"), Just("0\r\n"), Just("x"), Just("Connection: close\r\n"),
            ], 0..9),
            start in any::<bool>(), cut in 1usize..7,
        ) {
            let text = format!("{}{}", if start { "HTTP/1.1 200 OK\r\n" } else { "" }, pieces.concat());
            let (whole, response) = read(text.as_bytes());
            let mut other = Response::new();
            other.expect(false, true);
            let mut parts = Ok(false);
            for part in text.as_bytes().chunks(cut) {
                parts = other.feed(part);
                if parts.is_err() { break }
            }
            prop_assert_eq!(whole, parts);
            if whole == Ok(true) {
                prop_assert_eq!(response.status(), other.status());
                prop_assert_eq!(response.body(), other.body());
                prop_assert_eq!(response.reusable(), other.reusable());
            }
        }

        #[test]
        fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512), chunked in any::<bool>()) {
            let head: &[u8] = if chunked { b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" } else { b"HTTP/1.1 2" };
            let _ = read(&[head, &bytes].concat());
            let _ = read(&bytes);
        }
    }
}
