//! Tells the service manager: ready, alive, reloading, stopping.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::{Error, Result};

/// A status is never longer: systemd leaves out messages of more than 4096 bytes, and what they say besides.
const STATUS_LIMIT: usize = 1024;

/// The manager's end of `sd_notify(3)`; tells nothing when there is none.
#[derive(Debug, Default)]
pub struct Supervisor {
    channel: Option<(UnixDatagram, SocketAddr)>,
    /// Within what time the manager wants to hear `WATCHDOG=1` again and again; `None` when it does not.
    pub(crate) watchdog: Option<Duration>,
}

impl Supervisor {
    /// From what the manager wrote into the environment: `NOTIFY_SOCKET` (a path, or `@name` of an abstract socket) and
    /// `WATCHDOG_USEC` (microseconds within which it wants to hear of us).
    ///
    /// # Errors
    /// When the socket's address is none, or no socket can be made.
    pub fn new(notify_socket: Option<&OsStr>, watchdog_usec: Option<&OsStr>) -> Result<Self> {
        let Some(name) = notify_socket.filter(|name| !name.is_empty()) else { return Ok(Self::default()) };
        let failed = |source| Error::Io { act: format!("use the service manager's socket {}", name.display()), source };
        let address = match name.as_bytes() {
            [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name),
            path => SocketAddr::from_pathname(OsStr::from_bytes(path)),
        };
        let address = address.map_err(failed)?;
        let socket = UnixDatagram::unbound().map_err(failed)?;
        // A manager that does not read must not stop us.
        socket.set_nonblocking(true).map_err(failed)?;
        let usec = watchdog_usec.and_then(OsStr::to_str).and_then(|text| text.parse().ok());
        let watchdog = usec.filter(|usec| *usec > 0).map(Duration::from_micros);
        Ok(Self { channel: Some((socket, address)), watchdog })
    }

    /// Tells a state such as `READY=1`, and a line that `systemctl status` shows; what is empty is left out. What cannot
    /// be delivered is dropped: the manager notices by itself when it hears nothing.
    pub fn tell(&self, state: &str, status: &str) {
        let Some((socket, address)) = &self.channel else { return };
        let end = status.floor_char_boundary(STATUS_LIMIT);
        let more = if end < status.len() { "…" } else { "" };
        let status = status[..end].replace(char::is_control, " ");
        let text = if status.is_empty() { state.to_owned() } else { format!("STATUS={status}{more}\n{state}") };
        let _ = socket.send_to_addr(text.as_bytes(), address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(manager: &UnixDatagram) -> String {
        let mut buffer = [0; 8192];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_socket_in_the_file_system_hears_everything() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor::new(Some(path.as_os_str()), Some(OsStr::new("10000000"))).unwrap();
        assert_eq!(supervisor.watchdog, Some(Duration::from_secs(10)));
        supervisor.tell("", "0 of 3");
        assert_eq!(heard(&manager), "STATUS=0 of 3\n");
        supervisor.tell("READY=1", "3 of 3\nservers");
        assert_eq!(heard(&manager), "STATUS=3 of 3 servers\nREADY=1");
        supervisor.tell("READY=1", &"é".repeat(9000));
        let long = heard(&manager);
        assert!(long.starts_with("STATUS=é") && long.ends_with("é…\nREADY=1") && long.len() < 2048, "{long}");
        supervisor.tell("WATCHDOG=1", "");
        assert_eq!(heard(&manager), "WATCHDOG=1");
    }

    #[test]
    fn an_abstract_socket_hears_as_well() {
        let name = format!("sealer-lvscare-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let supervisor = Supervisor::new(Some(OsStr::new(&format!("@{name}"))), None).unwrap();
        supervisor.tell("WATCHDOG=1", "");
        assert_eq!(heard(&manager), "WATCHDOG=1");
        assert_eq!(supervisor.watchdog, None);
    }

    #[test]
    fn without_a_manager_nothing_happens_and_a_gone_one_does_no_harm() {
        Supervisor::new(None, Some(OsStr::new("1"))).unwrap().tell("READY=1", "alone");
        Supervisor::new(Some(OsStr::new("/nowhere/notify")), Some(OsStr::new("no number")))
            .unwrap()
            .tell("WATCHDOG=1", "");
        assert!(Supervisor::new(Some(OsStr::new(&"x".repeat(200))), None).is_err());
    }
}
