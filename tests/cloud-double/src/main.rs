//! Serves one fake on loopback until it is told to stop.

use std::io::{self, Write};
use std::net::SocketAddr;

use cloud_double::{Double, Key, Options, Timing, serve};
use tokio::net::TcpListener;

const USAGE: &str =
    "cloud-double [--listen 127.0.0.1:0] [--profile A|B] [--scale 1.0] [--key ID:SECRET] [--ram-role NAME]";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (listen, options) = arguments(std::env::args().skip(1))?;
    let listener = TcpListener::bind(listen).await?;
    let server = serve(&Double::new(options), listener)?;
    let mut output = io::stdout();
    writeln!(output, "listening on {}", server.address())?;
    output.flush()?;
    tokio::select! {
        () = server.stopped() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<(SocketAddr, Options), String> {
    let mut listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut options = Options::default();
    let mut scale = 1.0;
    while let Some(name) = given.next() {
        let value = given.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
        let bad = || format!("{name} cannot be {value}\n{USAGE}");
        match name.as_str() {
            "--listen" => listen = value.parse().map_err(|_| bad())?,
            "--profile" => {
                options.timing = match value.as_str() {
                    "A" => Timing::A,
                    "B" => Timing::B,
                    _ => return Err(bad()),
                }
            }
            "--scale" => scale = value.parse().map_err(|_| bad())?,
            "--key" => {
                let (id, secret) = value.split_once(':').ok_or_else(bad)?;
                options.keys = vec![Key::new(id, secret)];
            }
            "--ram-role" => options.ram_role = Some(value),
            _ => return Err(format!("{name} is not known\n{USAGE}")),
        }
    }
    if !listen.ip().is_loopback() {
        return Err(format!("{listen} is not on loopback: the double is for tests on this machine\n{USAGE}"));
    }
    options.timing = options.timing.scaled(scale);
    Ok((listen, options))
}
