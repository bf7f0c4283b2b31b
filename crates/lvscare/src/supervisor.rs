//! Tells the service manager: ready, alive, reloading, stopping.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::{Error, Result};

/// A status is never longer: systemd leaves out messages of more than 4096 bytes, and what they say besides.
const STATUS_LIMIT: usize = 1024;

/// The manager's end of `sd_notify(3)`; tells nothing when there is none.
#[derive(Debug, Default)]
pub struct Supervisor {
    channel: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
    /// Whether it was told that the service works.
    is_ready: AtomicBool,
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
        Ok(Self { channel: Some((socket, address)), watchdog, is_ready: AtomicBool::new(false) })
    }

    /// How often [`Self::alive`] should be said: half of what the manager asked for. `None` when it does not ask.
    #[must_use]
    pub fn heartbeat(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / 2)
    }

    /// The service works from now on.
    pub fn ready(&self, status: &str) {
        self.is_ready.store(true, Ordering::Relaxed);
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// The configuration is read again; [`Self::reloaded`] must follow.
    pub fn reloading(&self) {
        if self.is_ready.load(Ordering::Relaxed) {
            self.tell("RELOADING=1");
        }
    }

    /// The configuration was read again. A service that was not ready before is not made so by that.
    pub fn reloaded(&self, status: &str) {
        if self.is_ready.load(Ordering::Relaxed) { self.ready(status) } else { self.status(status) }
    }

    /// A line that `systemctl status` shows.
    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", one_line(status)));
    }

    /// The service still works.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// The service begins to stop.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// What cannot be delivered is dropped: the manager notices by itself when it hears nothing.
    fn tell(&self, text: &str) {
        if let Some((socket, address)) = &self.channel {
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

fn one_line(text: &str) -> String {
    let end = text.floor_char_boundary(STATUS_LIMIT);
    let more = if end < text.len() { "…" } else { "" };
    format!("{}{more}", text[..end].replace(|letter: char| letter.is_control(), " "))
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
        assert_eq!(supervisor.heartbeat(), Some(Duration::from_secs(5)));
        supervisor.reloading();
        supervisor.reloaded("0 of 3");
        assert_eq!(heard(&manager), "STATUS=0 of 3", "a new configuration does not make it ready");
        supervisor.ready("3 of 3\nservers");
        assert_eq!(heard(&manager), "READY=1\nSTATUS=3 of 3 servers");
        supervisor.reloading();
        assert_eq!(heard(&manager), "RELOADING=1");
        supervisor.reloaded(&"é".repeat(9000));
        let long = heard(&manager);
        assert!(long.starts_with("READY=1\nSTATUS=é") && long.ends_with("é…") && long.len() < 2048, "{long}");
        supervisor.status("2 of 3");
        assert_eq!(heard(&manager), "STATUS=2 of 3");
        supervisor.alive();
        assert_eq!(heard(&manager), "WATCHDOG=1");
        supervisor.stopping();
        assert_eq!(heard(&manager), "STOPPING=1");
    }

    #[test]
    fn an_abstract_socket_hears_as_well() {
        let name = format!("sealer-lvscare-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let supervisor = Supervisor::new(Some(OsStr::new(&format!("@{name}"))), None).unwrap();
        supervisor.alive();
        assert_eq!(heard(&manager), "WATCHDOG=1");
        assert_eq!(supervisor.heartbeat(), None);
    }

    #[test]
    fn without_a_manager_nothing_happens_and_a_gone_one_does_no_harm() {
        Supervisor::new(None, Some(OsStr::new("1"))).unwrap().ready("alone");
        Supervisor::new(Some(OsStr::new("/nowhere/notify")), Some(OsStr::new("no number"))).unwrap().alive();
        assert!(Supervisor::new(Some(OsStr::new(&"x".repeat(200))), None).is_err());
    }
}
