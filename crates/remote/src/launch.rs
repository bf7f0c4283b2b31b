//! Builds the line that starts a script as root, whatever the login shell, and what its standard input gets first.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secret::Secret;
use zeroize::Zeroizing;

use super::Command;
use crate::Error;
use crate::text::quote;

/// Scripts up to this size travel inside the line; one argument of a process holds at most 128 KiB.
const LINE_LIMIT: usize = 64 << 10;

/// Scripts of any kind are not larger than this.
const SCRIPT_LIMIT: usize = 16 << 20;

/// What a command needs to run as root.
#[derive(Debug, Clone)]
pub(super) enum Privilege {
    /// The login is root's.
    Root,
    /// `sudo` asks for nothing.
    Sudo,
    /// `sudo` asks for this password.
    SudoPassword(Secret),
}

/// How a command is started.
pub(super) struct Launch {
    /// For the login shell: plain words and one single-quoted argument without newlines,
    /// backslashes or exclamation marks, so that every shell reads it alike.
    pub(super) line: String,
    /// Bytes for standard input ahead of the command's own.
    pub(super) preamble: Zeroizing<Vec<u8>>,
}

impl Launch {
    /// The launch of `command`; `stdin_in_use` tells that its standard input is wanted for data.
    ///
    /// # Errors
    ///
    /// When a name in the environment is not one, or the script is too large.
    pub(super) fn of(
        host: IpAddr,
        command: &Command,
        privilege: &Privilege,
        stdin_in_use: bool,
    ) -> Result<Self, Error> {
        let body = body(host, command)?;
        let too_large = || Error::ScriptTooLarge { host, bytes: body.len() };
        if body.len() > SCRIPT_LIMIT {
            return Err(too_large());
        }
        let limit = command.timeout.map(|timeout| timeout.as_secs_f64().ceil().max(1.0));
        let mut preamble = Zeroizing::new(Vec::new());
        if let Privilege::SudoPassword(password) = privilege {
            preamble.extend_from_slice(password.expose().as_bytes());
            preamble.push(b'\n');
        }
        let mut outer = bounded(&body, limit);
        if outer.len() > LINE_LIMIT {
            if stdin_in_use {
                return Err(too_large());
            }
            preamble.extend_from_slice(body.as_bytes());
            outer = bounded("script=$(cat); exec </dev/null; eval \"$script\"", limit);
        }
        let sudo = match privilege {
            Privilege::Root => "",
            // A password that sudo remembers from before would leave ours to the command: -k forgets it.
            Privilege::Sudo => "sudo -k -n ",
            Privilege::SudoPassword(_) => "sudo -k -S -p '' ",
        };
        let encoded = STANDARD.encode(outer);
        Ok(Self { line: format!("exec {sudo}/bin/sh -c 'eval \"$(echo {encoded} | base64 -d)\"'"), preamble })
    }
}

/// The script with its environment, and a path on which administrators' programs are found.
fn body(host: IpAddr, command: &Command) -> Result<String, Error> {
    let mut body =
        String::from("PATH=${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH\n");
    for (name, value) in &command.env {
        let starts_well = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
        if !starts_well || !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
            return Err(Error::VariableName { host, name: name.clone() });
        }
        body.push_str(&format!("export {name}={}\n", quote(value)));
    }
    body.push_str(&command.script);
    Ok(body)
}

/// The same script, ended by the host itself when time is up, so that it also ends when we are gone.
fn bounded(body: &str, limit: Option<f64>) -> String {
    match limit {
        None => body.to_owned(),
        Some(seconds) => format!("exec timeout -k 5 {seconds} /bin/sh -c {}", quote(body)),
    }
}

#[cfg(test)]
mod tests {

    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn decoded(line: &str) -> String {
        let encoded = line.split("echo ").nth(1).unwrap().split(' ').next().unwrap();
        String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
    }

    #[test]
    fn the_line_is_tame_for_any_login_shell() {
        let command = Command::new("echo 'it''s' !! \\ \"$x\"\necho two\n");
        let launch = Launch::of(HOST, &command, &Privilege::Sudo, false).unwrap();
        assert!(!launch.line.contains(['\n', '\\', '!']), "{}", launch.line);
        assert_eq!(launch.line.matches('\'').count(), 2);
        assert!(launch.line.starts_with("exec sudo -k -n /bin/sh -c '"));
        assert!(decoded(&launch.line).ends_with(&command.script));
    }

    #[test]
    fn values_are_quoted_and_names_are_checked() {
        let mut command = Command::new("true");
        command.env.insert("A".into(), "it's; rm -rf $HOME".into());
        let launch = Launch::of(HOST, &command, &Privilege::Root, false).unwrap();
        assert!(decoded(&launch.line).contains(r"export A='it'\''s; rm -rf $HOME'"));
        command.env.insert("A B".into(), String::new());
        assert!(
            matches!(Launch::of(HOST, &command, &Privilege::Root, false), Err(Error::VariableName { name, .. }) if name == "A B")
        );
    }

    #[test]
    fn the_password_is_only_on_standard_input() {
        let command = Command::new("true");
        let launch = Launch::of(HOST, &command, &Privilege::SudoPassword("hunter2".into()), false).unwrap();
        assert!(!launch.line.contains("hunter2") && !decoded(&launch.line).contains("hunter2"));
        assert_eq!(&launch.preamble[..], b"hunter2\n");
    }

    #[test]
    fn a_large_script_moves_to_standard_input_when_that_is_free() {
        let command = Command::new("# filler\n".repeat(20_000));
        let launch = Launch::of(HOST, &command, &Privilege::Root, false).unwrap();
        assert!(launch.line.len() < 1_000 && launch.preamble.ends_with(command.script.as_bytes()));
        assert!(matches!(Launch::of(HOST, &command, &Privilege::Root, true), Err(Error::ScriptTooLarge { .. })));
    }

    #[test]
    fn a_limit_is_kept_by_the_host_in_whole_seconds() {
        let command =
            Command { script: "sleep 9".into(), timeout: Some(Duration::from_millis(1500)), ..Command::default() };
        let launch = Launch::of(HOST, &command, &Privilege::Root, false).unwrap();
        assert!(decoded(&launch.line).starts_with("exec timeout -k 5 2 /bin/sh -c '"), "{}", decoded(&launch.line));
    }
}
