//! Machines for BAREMETAL tests: systemd hosts with sshd, created by the harness.

use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::finish;

/// Label of everything that tests make in the container engine.
pub(crate) const LABEL: &str = "io.sealer.test";

/// The network of the machines, which the engine gives to nobody else.
const SUBNET: &str = "10.177.77.0/24";
/// The same for machines that are known by their IPv6 addresses.
const SUBNET_V6: &str = "fd00:177:77::/64";

/// Machines on a network of their own, without a way out of it; all gone when dropped. Only one set can be at a time.
#[derive(Debug)]
pub struct Machines {
    prefix: String,
    network: String,
    is_ipv6: bool,
    machines: Vec<Machine>,
}

/// One machine.
#[derive(Debug)]
pub struct Machine {
    /// Name of its container, also its host name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

impl Machines {
    /// Starts `count` machines from the node image and waits until systemd and sshd are up.
    ///
    /// # Panics
    ///
    /// When the engine refuses or a machine does not come up within a minute.
    #[must_use]
    pub fn start(prefix: &str, image: &str, count: usize) -> Self {
        Self::start_on(prefix, image, count, false)
    }

    /// The same with IPv6 addresses.
    ///
    /// # Panics
    ///
    /// As [`Machines::start`].
    #[must_use]
    pub fn start_ipv6(prefix: &str, image: &str, count: usize) -> Self {
        Self::start_on(prefix, image, count, true)
    }

    fn start_on(prefix: &str, image: &str, count: usize, is_ipv6: bool) -> Self {
        let network = format!("sealer-test-{prefix}");
        remove(&network);
        // An internal network would also drop what pods send each other; the way out is closed on the machines instead.
        // The engine gives addresses of IPv4 in any case.
        let more = if is_ipv6 { vec!["--ipv6", "--subnet", SUBNET_V6] } else { Vec::new() };
        let create = ["network", "create", "--label", LABEL, "--subnet", SUBNET];
        docker(&[&create[..], &more, &[&network]].concat());
        let mut machines = Self { prefix: prefix.to_owned(), network, is_ipv6, machines: Vec::new() };
        (0..count).for_each(|_| machines.boot(image));
        machines.machines.iter().for_each(Machine::wait);
        machines
    }

    /// Starts one more from an image, with a name and an address that none of them had before.
    ///
    /// # Panics
    ///
    /// As [`Machines::start`].
    pub fn add(&mut self, image: &str) -> &Machine {
        self.boot(image);
        let machine = &self.machines[self.machines.len() - 1];
        machine.wait();
        machine
    }

    fn boot(&mut self, image: &str) {
        let index = self.machines.len();
        // Chosen here: the engine would give away the address of one that was killed.
        let number = (index + 10).to_string();
        let (family, address) = if self.is_ipv6 {
            ("--ip6", SUBNET_V6.replace("/64", &number))
        } else {
            ("--ip", SUBNET.replace("0/24", &number))
        };
        let mut options = vec!["--network", &self.network, family, &address];
        if self.is_ipv6 {
            // The engine lets its own interfaces have such addresses, and no other.
            let settings =
                ["--sysctl", "net.ipv6.conf.all.disable_ipv6=0", "--sysctl", "net.ipv6.conf.default.disable_ipv6=0"];
            options.extend(settings);
        }
        self.machines.push(Machine::boot(&format!("{}-{index}", self.prefix), image, &options));
    }

    /// All of them, also those that were killed, in the order of their start.
    #[must_use]
    pub fn all(&self) -> &[Machine] {
        &self.machines
    }

    /// The machine with this index.
    #[must_use]
    pub fn get(&self, index: usize) -> &Machine {
        &self.machines[index]
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        self.machines.iter().for_each(Machine::remove);
        remove(&self.network);
    }
}

impl Machine {
    /// Starts a machine from the node image with further options for the engine, among them its network; one of this
    /// name that was there before is removed.
    ///
    /// # Panics
    ///
    /// When the engine refuses.
    #[must_use]
    pub fn boot(name: &str, image: &str, more: &[&str]) -> Self {
        let _ = finish(Command::new("docker").args(["rm", "-f", "-v", name]));
        let common = ["run", "--detach", "--name", name, "--hostname", name, "--label", LABEL];
        let options = [
            "--cgroupns=private",
            "--tmpfs",
            "/run:exec",
            "--tmpfs",
            "/tmp:exec",
            "--volume",
            "/var",
            "--device",
            "/dev/kmsg",
            "--env",
            "container=docker",
        ];
        let entry = ["--entrypoint", "/usr/local/bin/sealer-node-init", image];
        let privileged = if has_every_capability() {
            vec!["--privileged"]
        } else {
            vec![
                "--cap-add",
                "ALL",
                "--cap-drop",
                "SYS_RESOURCE",
                "--device-cgroup-rule",
                "a *:* rwm",
                "--security-opt",
                "seccomp=unconfined",
                "--security-opt",
                "apparmor=unconfined",
                "--security-opt",
                "systempaths=unconfined",
            ]
        };
        let arguments = [&common[..], more, &options, &privileged, &entry].concat();
        docker(&arguments);
        let field = if more.contains(&"--ip6") { "GlobalIPv6Address" } else { "IPAddress" };
        let format = &format!("{{{{range .NetworkSettings.Networks}}}}{{{{.{field}}}}}{{{{end}}}}");
        let address = docker(&["inspect", "--format", format, name]).trim().parse().unwrap();
        Self { name: name.to_owned(), address }
    }

    /// Removes it, with everything that it wrote.
    pub fn remove(&self) {
        let _ = finish(Command::new("docker").args(["rm", "-f", "-v", &self.name]));
    }

    /// Kills it, as a power cut would.
    ///
    /// # Panics
    ///
    /// When the engine refuses.
    pub fn kill(&self) {
        docker(&["kill", &self.name]);
    }

    /// Runs a shell script on it as root and expects success; returns standard output.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn shell(&self, script: &str) -> String {
        docker(&["exec", &self.name, "sh", "-c", script])
    }

    /// Whether a shell script succeeds on it.
    #[must_use]
    pub fn test(&self, script: &str) -> bool {
        finish(Command::new("docker").args(["exec", &self.name, "sh", "-c", script])).code == 0
    }

    /// Sets a user's password (the user is made when it is not there).
    ///
    /// # Panics
    ///
    /// When the machine refuses.
    pub fn set_password(&self, user: &str, password: &str) {
        self.shell(&format!("id {user} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {user}"));
        self.feed("chpasswd", &format!("{user}:{password}\n"));
    }

    /// Lets a key log in as a user.
    ///
    /// # Panics
    ///
    /// When the machine refuses.
    pub fn authorize(&self, user: &str, public_key: &str) {
        self.shell(&format!("id {user} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {user}"));
        self.feed(&format!("install -d -m 700 -o {user} ~{user}/.ssh && cat > ~{user}/.ssh/authorized_keys && chown {user} ~{user}/.ssh/authorized_keys"), public_key);
    }

    /// Runs a script with something on its standard input.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn feed(&self, script: &str, input: &str) {
        let mut child = Command::new("docker")
            .args(["exec", "--interactive", &self.name, "sh", "-c", script])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{}: `{script}` failed", self.name);
    }

    /// Starts it again after [`Machine::kill`]: disk and address are as they were.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn power_on(&self) {
        docker(&["start", &self.name]);
        self.wait();
    }

    /// Waits until it is up, then keeps it from reaching anything outside of its network.
    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.test("systemctl is-active --quiet ssh && systemctl is-system-running | grep -qE 'running|degraded'")
        {
            assert!(
                Instant::now() < deadline,
                "{} does not come up: {}",
                self.name,
                self.shell("systemctl --failed; systemctl status ssh | tail -n 20")
            );
            std::thread::sleep(Duration::from_millis(300));
        }
        self.close_the_way_out();
    }

    /// Nobody is at the gateway: what leaves the network of the test gets lost, so nothing can be pulled from outside.
    fn close_the_way_out(&self) {
        self.shell(
            "gateway=$(ip route show default | awk '{ print $3 }'); ip route replace default via ${gateway%.*}.254
             gateway=$(ip -6 route show default | awk '{ print $3 }'); [ -z \"$gateway\" ] || ip -6 route replace default via ${gateway%:*}:254 dev eth0",
        );
    }
}

/// Calls the container engine and expects success; returns standard output.
///
/// # Panics
///
/// When it fails.
#[track_caller]
pub fn docker(arguments: &[&str]) -> String {
    let outcome = finish(Command::new("docker").args(arguments));
    assert!(outcome.code == 0, "docker {arguments:?} failed: {}", outcome.stderr);
    outcome.stdout
}

/// Removes a network, if it is there.
pub(crate) fn remove(network: &str) {
    let _ = finish(Command::new("docker").args(["network", "rm", network]));
}

/// Whether `--privileged` can work: the engine was started with every capability, as this process was.
fn has_every_capability() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).map(str::trim).unwrap_or_default();
    u64::from_str_radix(bounding, 16).is_ok_and(|bits| bits & (1 << 24) != 0)
}
