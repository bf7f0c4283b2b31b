//! Runs commands and writes files on several SSH servers of this machine, and prints the seconds that each took.
//!
//! Started by `cargo xtask bench apply`: `bench-hosts KEY KNOWN_HOSTS DIRECTORY COMMANDS FILES PORT...`. Hosts are worked
//! on side by side, the commands of one host one after another; its files are those of one step of a plan.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use futures_util::future::join_all;
use remote::{Auth, Command, Remote, SmallFile, Ssh, SshOptions};

/// Bytes of a file: as many as a systemd unit has.
const SIZE: usize = 1_000;

async fn connect(port: u16, key: &Path, known_hosts: &Path) -> Ssh {
    let mut options = SshOptions::new(IpAddr::V4(Ipv4Addr::LOCALHOST));
    options.port = port;
    let pem = std::fs::read_to_string(key).unwrap().into();
    options.auth = vec![Auth::Key { name: key.display().to_string(), pem, passphrase: None }];
    options.known_hosts.record = known_hosts.to_owned();
    Ssh::connect(options).await.unwrap()
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut path = || PathBuf::from(arguments.next().unwrap());
    let (key, known_hosts, directory) = (path(), path(), path());
    let mut number = || arguments.next().unwrap().parse::<usize>().unwrap();
    let (commands, files) = (number(), number());
    let ports: Vec<u16> = arguments.map(|port| port.parse().unwrap()).collect();

    let started = Instant::now();
    let hosts = join_all(ports.iter().map(|port| connect(*port, &key, &known_hosts))).await;
    let connected = started.elapsed();
    join_all(hosts.iter().map(async |host| {
        for _ in 0..commands {
            let output = host.run(&Command::new("test -d /etc")).await.unwrap();
            assert_eq!(output.code, Some(0));
        }
    }))
    .await;
    let ran = started.elapsed();
    join_all(hosts.iter().zip(&ports).map(async |(host, port)| {
        let paths: Vec<String> = (0..files).map(|number| format!("{}/{port}-{number}", directory.display())).collect();
        let files = paths.iter().map(|path| SmallFile { path, mode: 0o644, content: &[b'x'; SIZE] });
        host.write_all(&files.collect::<Vec<_>>()).await.unwrap();
    }))
    .await;
    let written = started.elapsed();
    for span in [connected, ran - connected, written - ran, written] {
        println!("{:.2}", span.as_secs_f64());
    }
}
