//! Writes the systemd unit that starts a daemon, watches it, and takes away every right that it does not need.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A systemd service that runs `sealer lvscare care`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// What is balanced, for the description: `10.103.97.2:6443`.
    pub service: String,
    /// The program, an absolute path.
    pub program: PathBuf,
    /// All arguments of the program.
    pub arguments: Vec<String>,
    /// Files that the daemon reads: configuration, certificates.
    pub reads: Vec<PathBuf>,
    /// Files that the daemon writes outside `/run/sealer/lvscare`; their directories must exist.
    pub writes: Vec<PathBuf>,
    /// Kernel modules that are loaded first, where the kernel has them; the daemon itself may not.
    pub modules: Vec<String>,
    /// Units that need the virtual address and therefore start later, such as `kubelet.service`.
    pub before: Vec<String>,
}

impl Unit {
    /// The text of the unit file, for systemd 240 and later (`systemd.exec(5)`, `systemd.service(5)`).
    ///
    /// Once the main process ended by itself with a failure, as opposed to a crash, `ExecStopPost` waits before the next
    /// start: what was wrong will most likely be wrong again. `RestartSteps=` would do the same from systemd 254 on, but
    /// for every later crash as well.
    pub fn to_text(&self) -> String {
        let lines = |setting: &str, values: &mut dyn Iterator<Item = String>| -> String {
            values.map(|value| format!("{setting}{value}\n")).collect()
        };
        let path = |path: &Path| word(&path.display().to_string());
        let command = [path(&self.program)].into_iter().chain(self.arguments.iter().map(|argument| word(argument)));
        let directories: BTreeSet<&Path> = self.writes.iter().filter_map(|path| path.parent()).collect();
        format!(
            include_str!("unit.service"),
            service = specifiers(&self.service),
            before = lines("Before=", &mut self.before.iter().cloned()),
            modules = lines("ExecStartPre=-+/sbin/modprobe --quiet ", &mut self.modules.iter().map(|name| word(name))),
            command = command.collect::<Vec<_>>().join(" "),
            writable = lines("ReadWritePaths=", &mut directories.into_iter().map(path)),
            home = if self.needs(&["/home", "/root", "/run/user"]) { "read-only" } else { "yes" },
            private_tmp = if self.needs(&["/tmp", "/var/tmp"]) { "no" } else { "yes" },
        )
    }

    /// Whether a file that is used is in one of `directories`, which would be hidden otherwise.
    fn needs(&self, directories: &[&str]) -> bool {
        let used = self.reads.iter().chain(&self.writes).chain([&self.program]);
        used.into_iter().any(|path| directories.iter().any(|directory| path.starts_with(directory)))
    }
}

/// One word of a command line as systemd reads it: no specifier, no variable, no quote is left to expand.
fn word(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:=,@[]".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for letter in specifiers(text).chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '$' => quoted.push_str("$$"),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn unit() -> Unit {
        Unit {
            service: "10.103.97.2:6443".to_owned(),
            program: PathBuf::from("/usr/bin/sealer"),
            arguments: ["lvscare", "care", "--config", "/etc/sealer/lvscare.json"].map(str::to_owned).to_vec(),
            reads: vec![PathBuf::from("/etc/sealer/lvscare.json")],
            writes: Vec::new(),
            modules: vec!["ip_vs".to_owned()],
            before: vec!["kubelet.service".to_owned()],
        }
    }

    #[test]
    fn the_whole_unit() {
        let golden = "\
[Unit]
Description=Load-balancing rules for 10.103.97.2:6443
After=network-online.target
Wants=network-online.target
Before=kubelet.service
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStartPre=-+/sbin/modprobe --quiet ip_vs
ExecStart=/usr/bin/sealer lvscare care --config /etc/sealer/lvscare.json
ExecReload=/bin/kill -HUP $MAINPID
ExecStopPost=-/bin/sh -c 'if [ \"$$EXIT_CODE\" = exited ] && [ \"$$EXIT_STATUS\" != 0 ]; then sleep 9; fi'
Restart=always
RestartSec=1
WatchdogSec=10
TimeoutStartSec=60

# Rules, routes and the sysctls of its network are all that it may change.
CapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes
ProtectSystem=strict
RuntimeDirectory=sealer/lvscare
RuntimeDirectoryPreserve=yes
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectControlGroups=yes
ProtectKernelModules=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077

[Install]
WantedBy=multi-user.target
";
        assert_eq!(unit().to_text(), golden);
    }

    #[test]
    fn only_a_failure_that_was_told_is_followed_by_a_pause() {
        let text = unit().to_text();
        let pause = text.lines().find(|line| line.starts_with("ExecStopPost=")).unwrap();
        let script = pause.split('\'').nth(1).unwrap().replace("$$", "$").replace("sleep 9", "echo pause");
        for (code, status, pause) in [
            ("exited", "1", "pause\n"),
            ("exited", "203", "pause\n"),
            ("exited", "0", ""),
            ("killed", "KILL", ""),
            ("dumped", "ABRT", ""),
            ("", "", ""),
        ] {
            let mut shell = std::process::Command::new("/bin/sh");
            let told = shell.args(["-c", &script]).env("EXIT_CODE", code).env("EXIT_STATUS", status).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&told.stdout), pause, "{code} {status}");
        }
    }

    #[test]
    fn what_is_used_stays_in_reach() {
        let mut unit = unit();
        unit.reads.push(PathBuf::from("/root/ca.crt"));
        unit.writes = ["/tmp/a/metrics", "/tmp/a/other", "/srv/b c/socket"].map(PathBuf::from).to_vec();
        let text = unit.to_text();
        assert!(text.contains("ProtectHome=read-only\n") && text.contains("PrivateTmp=no\n"), "{text}");
        assert!(text.contains("ReadWritePaths=\"/srv/b c\"\nReadWritePaths=/tmp/a\n"), "{text}");
    }

    #[test]
    fn nothing_in_a_word_is_expanded() {
        assert_eq!(word("[fd00::1]:6443"), "[fd00::1]:6443");
        assert_eq!(word(""), "\"\"");
        assert_eq!(word("a b"), "\"a b\"");
        assert_eq!(word("$HOME 100% \"x\" \\"), "\"$$HOME 100%% \\\"x\\\" \\\\\"");
        assert_eq!(word("a\nExecStart=x"), "\"a\\u000aExecStart=x\"");
        assert_eq!(word(";"), "\";\"");
    }
}
