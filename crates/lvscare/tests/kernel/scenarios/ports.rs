//! Scenarios of a client whose port is also that of a connection straight to a server.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::harness::{Plane, Stage, ask, connect_from, text_in, within};

/// Direct connections to all servers from some port, open ones and closed ones; then calls from the same port.
pub fn shared(plane: Plane, six: bool) {
    let stage = Stage::new(plane, six);
    let _daemon = stage.care(&[1, 2, 3]);
    let service = stage.service();
    let servers = [1, 2, 3].map(|place| stage.server(place));
    within(&stage.world.host(), async || {
        for (port, open) in [(40_001, true), (40_003, false)] {
            let mut direct = Vec::new();
            for server in servers {
                let mut stream = called_from(port, server).await;
                ask(&mut stream).await.expect("an answer of the server");
                direct.push(stream);
            }
            if !open {
                direct.clear();
            }
            let mut through = called_from(port, service).await;
            let answer = tokio::time::timeout(Duration::from_secs(3), ask(&mut through)).await;
            assert!(matches!(answer, Ok(Ok(_))), "through the service from port {port}: {answer:?}");
            for stream in &mut direct {
                ask(stream).await.expect("another answer of the server");
            }
        }
    });
}

/// Checks come from ports that clients never get: IPVS leaves a client's port as it is.
pub fn of_checks(plane: Plane, six: bool) {
    let stage = Stage::new(plane, six);
    let _daemon = stage.care(&[1, 2, 3]);
    let host = stage.world.host();
    let clients = text_in(&host, &["cat", "/proc/sys/net/ipv4/ip_local_port_range"]);
    let ends: Vec<u16> = clients.split_whitespace().map(|end| end.parse().expect("a port")).collect();
    let open = text_in(&host, &["ss", "-Htn", "state", "established", "dport", "=", "6443"]);
    let ports: Vec<u16> =
        open.lines().filter_map(|line| line.split_whitespace().nth(2)?.rsplit_once(':')?.1.parse().ok()).collect();
    assert!(ports.len() >= 3, "checks keep their connections: {open}");
    assert!(ports.iter().all(|port| !(ends[0]..=ends[1]).contains(port)), "{ports:?} are among {ends:?}");
}

async fn called_from(port: u16, to: SocketAddr) -> TcpStream {
    let connected = tokio::time::timeout(Duration::from_secs(5), connect_from(port, to)).await.expect("in time");
    connected.unwrap_or_else(|error| panic!("connect from {port} to {to}: {error}"))
}
