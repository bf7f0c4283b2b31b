//! Which kind of failure is this error of a socket, and how is it said?

use std::io::{self, ErrorKind};

use super::{Unhealthy, UnhealthyKind};

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

/// A failure of a connection that stood.
pub(super) fn talking(error: &io::Error) -> Unhealthy {
    match error.kind() {
        ErrorKind::TimedOut => {
            Unhealthy { kind: UnhealthyKind::TimedOut, reason: "stopped to acknowledge what it was sent".to_owned() }
        }
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
