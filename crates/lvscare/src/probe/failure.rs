//! Says what an error of a socket, of TLS or of HTTP means for the server.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};

use super::{Unhealthy, UnhealthyKind, tls};

/// A failure to open a connection.
pub(super) fn connecting(error: &io::Error) -> Unhealthy {
    use ErrorKind as Kind;
    let (kind, reason) = match error.kind() {
        Kind::ConnectionRefused => (UnhealthyKind::Refused, "refuses connections".to_owned()),
        Kind::ConnectionReset => (UnhealthyKind::Refused, "resets new connections".to_owned()),
        Kind::HostUnreachable => (UnhealthyKind::Refused, "its host cannot be reached".to_owned()),
        Kind::NetworkUnreachable | Kind::NetworkDown => {
            (UnhealthyKind::Refused, "its network cannot be reached".to_owned())
        }
        Kind::TimedOut => (UnhealthyKind::TimedOut, "does not answer attempts to connect".to_owned()),
        // This host lacks files, ports or rights: that says little about the server, so it gets the benefit of doubt.
        _ => (UnhealthyKind::NotAsked, format!("cannot open a connection from here: {error}")),
    };
    Unhealthy { kind, reason }
}

/// A failure of a TLS handshake.
pub(super) fn handshake(error: &io::Error) -> Unhealthy {
    match error.kind() {
        ErrorKind::UnexpectedEof => closed("closed the connection during the TLS handshake"),
        _ => talking(error),
    }
}

/// A failure of an HTTP request.
pub(super) fn http(error: &hyper::Error) -> Unhealthy {
    if let Some(error) = cause(error) {
        return talking(error);
    }
    if error.is_parse_too_large() {
        return answer("answered with too large headers");
    }
    if error.is_parse() {
        return answer("answered something that is not HTTP/1");
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return closed("closed the connection without an answer");
    }
    closed(format!("lost the connection: {error}"))
}

/// Whether what was read makes no sense, such as chunks without a length.
pub(super) fn is_malformed(error: &hyper::Error) -> bool {
    let kind = cause(error).map(io::Error::kind);
    error.is_parse() || matches!(kind, Some(ErrorKind::InvalidInput | ErrorKind::InvalidData))
}

/// The error of the socket below this one.
pub(super) fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// A failure of a connection that stood.
pub(super) fn talking(error: &io::Error) -> Unhealthy {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls::failure(error);
    }
    match error.kind() {
        ErrorKind::TimedOut => {
            Unhealthy { kind: UnhealthyKind::TimedOut, reason: "stopped to acknowledge what it was sent".to_owned() }
        }
        ErrorKind::UnexpectedEof => closed("closed the connection without an answer"),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
            closed("reset the connection before it answered")
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => connecting(error),
        _ => closed(format!("lost the connection: {error}")),
    }
}

/// The server closed the connection too early.
pub(super) fn closed(reason: impl Into<String>) -> Unhealthy {
    Unhealthy { kind: UnhealthyKind::Closed, reason: reason.into() }
}

/// The server answered something wrong.
pub(super) fn answer(reason: impl Into<String>) -> Unhealthy {
    Unhealthy { kind: UnhealthyKind::Answer, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_host_lacks_is_not_the_servers_silence() {
        // EPERM, EMFILE, EADDRNOTAVAIL, ENOBUFS; ECONNREFUSED, EHOSTUNREACH; ETIMEDOUT.
        for (errno, kind) in [(1, "NotAsked"), (24, "NotAsked"), (99, "NotAsked"), (105, "NotAsked")]
            .into_iter()
            .chain([(111, "Refused"), (113, "Refused"), (110, "TimedOut")])
        {
            let unhealthy = connecting(&io::Error::from_raw_os_error(errno));
            assert_eq!(format!("{:?}", unhealthy.kind), kind, "{unhealthy}");
        }
    }
}
