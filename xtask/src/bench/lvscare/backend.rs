//! The servers of the measurement.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use super::process::Process;
use super::world::World;
use crate::error::{Error, Result};
use crate::program::{program, run_quietly};

/// One small server on each host: nginx as a single process, which answers with its place.
pub(super) struct Backends {
    directory: PathBuf,
    identity: Option<Identity>,
    processes: Vec<Process>,
}

/// Certificate files of the servers.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// The authority that signs the certificates of the servers.
    pub(super) authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Backends {
    /// Starts all servers; with certificates they speak HTTPS.
    pub(super) fn start(world: &World, directory: &Path, identity: Option<Identity>) -> Result<Backends> {
        let mut backends = Backends { directory: directory.to_path_buf(), identity, processes: Vec::new() };
        for place in world.places() {
            let process = backends.launch(world, place)?;
            backends.processes.push(process);
        }
        Ok(backends)
    }

    /// Starts one again that was killed.
    pub(super) fn again(&mut self, world: &World, place: u8) -> Result<()> {
        let process = self.launch(world, place)?;
        self.processes[usize::from(place) - 1] = process;
        Ok(())
    }

    /// Kills one.
    pub(super) fn kill(&mut self, place: u8) {
        self.processes[usize::from(place) - 1].kill();
    }

    /// Sends one a signal.
    pub(super) fn signal(&self, place: u8, signal: Signal) {
        self.processes[usize::from(place) - 1].signal(signal);
    }

    fn launch(&self, world: &World, place: u8) -> Result<Process> {
        let path = |end: &str| self.directory.join(format!("server-{place}{end}"));
        let (config, log) = (path(".conf"), path(".log"));
        let text = self.config(world, place);
        fs::write(&config, text).map_err(Error::file("write", &config))?;
        let words = ["nginx", "-e", &log.display().to_string(), "-c", &config.display().to_string()];
        Process::start(&world.server(place), &words, &path(".out"))
    }

    fn config(&self, world: &World, place: u8) -> String {
        let directory = self.directory.display();
        let address = world.address(place);
        let tls = self.identity.as_ref().map_or(String::new(), |identity| {
            let (certificate, key) = (identity.certificate.display(), identity.key.display());
            format!("ssl_certificate {certificate}; ssl_certificate_key {key};")
        });
        let ssl = if tls.is_empty() { "" } else { " ssl" };
        let spools = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let spools: String = spools.iter().map(|name| format!("{name}_temp_path {directory}/spool;")).collect();
        format!(
            "daemon off; master_process off; worker_processes 1; user root; pid {directory}/server-{place}.pid;\n\
             error_log {directory}/server-{place}.log;\n\
             events {{ worker_connections 8192; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; {spools}\n\
             server {{ listen {address}{ssl} backlog=4096; {tls}\n\
             location / {{ default_type text/plain; return 200 s{place}; }} }} }}\n"
        )
    }
}

/// Makes an authority and a certificate for all servers of a world.
pub(super) fn identity(world: &World, directory: &Path) -> Result<Identity> {
    let path = |name: &str| directory.join(name);
    let names: Vec<String> = world.places().map(|place| format!("IP:{}", world.address(place).ip())).collect();
    let extensions = path("extensions");
    fs::write(&extensions, format!("subjectAltName={}\n", names.join(",")))
        .map_err(Error::file("write", &extensions))?;
    let request = |key: &str| {
        let mut command = program("openssl");
        command.current_dir(directory).args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        command.args(["-keyout", key]);
        command
    };
    run_quietly(request("ca.key").args(["-x509", "-subj", "/CN=authority", "-days", "2", "-out", "ca.crt"]))?;
    run_quietly(request("server.key").args(["-subj", "/CN=server", "-out", "server.csr"]))?;
    let sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
    run_quietly(program("openssl").current_dir(directory).args(sign).args([
        "-days",
        "2",
        "-extfile",
        "extensions",
        "-out",
        "server.crt",
    ]))?;
    Ok(Identity { authority: path("ca.crt"), certificate: path("server.crt"), key: path("server.key") })
}
