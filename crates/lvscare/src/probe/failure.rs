//! Says what an error of a socket, of TLS or of HTTP means for the server.

use std::error::Error as StdError;
use std::io::{self, ErrorKind as Kind};

use super::{Unhealthy, UnhealthyKind, tls};

/// A failure to open a connection.
pub(super) fn connecting(error: &io::Error) -> Unhealthy {
    let refused = |reason| Unhealthy::new(UnhealthyKind::Refused, reason);
    match error.kind() {
        Kind::ConnectionRefused => refused("refuses connections"),
        Kind::ConnectionReset => refused("resets new connections"),
        Kind::HostUnreachable => refused("its host cannot be reached"),
        Kind::NetworkUnreachable | Kind::NetworkDown => refused("its network cannot be reached"),
        Kind::TimedOut => Unhealthy::new(UnhealthyKind::TimedOut, "does not answer attempts to connect"),
        // This host lacks files, ports or rights: that says little about the server, so it gets the benefit of doubt.
        _ => Unhealthy::new(UnhealthyKind::NotAsked, format!("cannot open a connection from here: {error}")),
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
    closed("closed the connection without an answer")
}

/// The kind of the error of the socket below this one.
pub(super) fn kind(error: &hyper::Error) -> Option<Kind> {
    cause(error).map(io::Error::kind)
}

/// The error of the socket below this one.
fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    std::iter::successors(Some(error), |error| (*error).source()).find_map(|error| error.downcast_ref())
}

/// A failure of a connection that stood.
pub(super) fn talking(error: &io::Error) -> Unhealthy {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls::failure(error);
    }
    match error.kind() {
        Kind::TimedOut => Unhealthy::new(UnhealthyKind::TimedOut, "stopped to acknowledge what it was sent"),
        Kind::UnexpectedEof => closed("closed the connection without an answer"),
        Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted => {
            closed("reset the connection before it answered")
        }
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => connecting(error),
        Kind::FileTooLarge => answer("sent more than an answer may have"),
        _ => closed(&format!("lost the connection: {error}")),
    }
}

/// The server closed the connection too early.
pub(super) fn closed(reason: &str) -> Unhealthy {
    Unhealthy::new(UnhealthyKind::Closed, reason)
}

/// The server answered something wrong.
pub(super) fn answer(reason: &str) -> Unhealthy {
    Unhealthy::new(UnhealthyKind::Answer, reason)
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
