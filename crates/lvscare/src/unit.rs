//! Writes the systemd unit that starts a daemon, watches it, and takes away every right that it does not need.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Where daemons keep their sockets, below `/run`; made and kept by the unit.
const RUNTIME_DIRECTORY: &str = "sealer/lvscare";
/// Directories that `ProtectHome=yes` hides.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
/// Directories that `PrivateTmp=yes` replaces.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// Once the main process ended by itself with a failure, as opposed to a crash, so long passes until the next start: what
/// was wrong will most likely be wrong again, and each start is some lines in the journal. `RestartSteps=` would do the
/// same from systemd 254 on, but for every later crash as well. (`$EXIT_CODE`: `systemd.exec(5)`.)
const PAUSE: &str =
    r#"ExecStopPost=-/bin/sh -c 'if [ "$$EXIT_CODE" = exited ] && [ "$$EXIT_STATUS" != 0 ]; then sleep 9; fi'"#;

/// A systemd service that runs `sealer lvscare care`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// What is cared for, for the description: `10.103.97.2:6443`.
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
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[Unit]\nDescription=Load-balancing rules for {}", specifiers(&self.service));
        text.push_str("After=network-online.target\nWants=network-online.target\n");
        if !self.before.is_empty() {
            let _ = writeln!(text, "Before={}", self.before.join(" "));
        }
        // However often it fails, the next start may be the one that works.
        text.push_str("StartLimitIntervalSec=0\n\n[Service]\nType=notify\nNotifyAccess=main\n");
        for module in &self.modules {
            let _ = writeln!(text, "ExecStartPre=-+/sbin/modprobe --quiet {}", word(module));
        }
        let words = std::iter::once(word(&self.program.display().to_string()));
        let words: Vec<String> = words.chain(self.arguments.iter().map(|argument| word(argument))).collect();
        let _ = writeln!(text, "ExecStart={}\nExecReload=/bin/kill -HUP $MAINPID", words.join(" "));
        let _ = writeln!(text, "{PAUSE}");
        text.push_str("Restart=always\nRestartSec=1\nWatchdogSec=10\nTimeoutStartSec=60\n\n");
        self.harden(&mut text);
        text.push_str("\n[Install]\nWantedBy=multi-user.target\n");
        text
    }

    fn harden(&self, text: &mut String) {
        text.push_str("# Rules, routes and the sysctls of its network are all that it may change.\n");
        // Raw sockets tell clients of connections that are gone, where the kernel cannot.
        text.push_str("CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW\nNoNewPrivileges=yes\nProtectSystem=strict\n");
        let _ = writeln!(text, "RuntimeDirectory={RUNTIME_DIRECTORY}\nRuntimeDirectoryPreserve=yes");
        let mut directories: Vec<&Path> = self.writes.iter().filter_map(|path| path.parent()).collect();
        directories.sort_unstable();
        directories.dedup();
        for directory in directories {
            let _ = writeln!(text, "ReadWritePaths={}", word(&directory.display().to_string()));
        }
        let home = if self.needs(&HOMES) { "read-only" } else { "yes" };
        let _ = writeln!(text, "ProtectHome={home}");
        if !self.needs(&TEMPORARY) {
            text.push_str("PrivateTmp=yes\n");
        }
        text.push_str(
            "PrivateDevices=yes\nProtectControlGroups=yes\nProtectKernelModules=yes\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n\
             RestrictNamespaces=yes\nRestrictRealtime=yes\nRestrictSUIDSGID=yes\nLockPersonality=yes\nMemoryDenyWriteExecute=yes\n\
             SystemCallArchitectures=native\nSystemCallFilter=@system-service\nUMask=0077\n",
        );
    }

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
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW
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
        let script = PAUSE.split('\'').nth(1).unwrap().replace("$$", "$").replace("sleep 9", "echo pause");
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
        assert!(text.contains("ProtectHome=read-only\n") && !text.contains("PrivateTmp"), "{text}");
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
