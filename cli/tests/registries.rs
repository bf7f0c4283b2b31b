//! `sealer login | logout | search` against Debian's `docker-registry`, beside skopeo and buildah that use the same logins.

#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "a test waits for what another process does")]

#[path = "program/support.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::{Outcome, Program, finish};

/// `me` with the password `hunter2`.
const HTPASSWD: &str = "me:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";
/// `me:hunter2` in base64.
const AUTH: &str = "bWU6aHVudGVyMg==";
/// A credential helper that keeps its logins in the file `kept`, one for each key.
const HELPER: &str = r#"#!/bin/sh
cd "$(dirname "$0")" && echo "$1" >> calls
case "$1" in
store) cat > kept ;;
get) key=$(cat); grep -q "\"ServerURL\":\"$key\"" kept 2>/dev/null && cat kept || { echo "credentials not found in native keychain"; exit 1; } ;;
erase) key=$(cat); grep -q "\"ServerURL\":\"$key\"" kept 2>/dev/null && rm kept || { echo "credentials not found in native keychain"; exit 1; } ;;
esac
"#;

/// A `docker-registry` on loopback that knows `me`; it ends with the value.
struct Registry {
    host: String,
    child: Child,
}

impl Registry {
    fn start(program: &Program) -> Self {
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let passwords = program.write("htpasswd", HTPASSWD);
        let config = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: \"{host}\" }}\nauth: {{ htpasswd: {{ realm: tested, path: {passwords} }} }}\n",
            program.text("data"),
        );
        let file = program.write("config.yml", config);
        let mut command = Command::new("docker-registry");
        command.args(["serve", &file]).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self { host, child: command.spawn().unwrap() };
        for _ in 0..200 {
            if TcpStream::connect(&registry.host).is_ok() {
                return registry;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not answer");
    }

    fn login(&self, program: &Program, more: &[&str]) -> Outcome {
        let password = program.write("password", "hunter2\n");
        let usual = ["login", &self.host, "-u", "me", "--passwd-file", &password];
        program.call(&[&usual, more].concat())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Another program with the same home.
fn other(program: &Program, line: &[&str]) -> Outcome {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("HOME", program.path("home")).env("XDG_RUNTIME_DIR", program.path("run")).stdin(Stdio::null());
    finish(&mut command)
}

fn config(program: &Program) -> Value {
    serde_json::from_slice(&fs::read(program.path("home/.docker/config.json")).unwrap()).unwrap()
}

#[test]
fn a_login_is_checked_kept_and_used_by_others() {
    let program = Program::new();
    let registry = Registry::start(&program);
    let host = &registry.host;
    program.write("wrong", "wrong-pass");
    let refused = program.call(&["login", host, "-u", "me", "--passwd-file", &program.text("wrong")]);
    refused.fails(1, &["refuses the login of me", "hint: check user and password"]);
    assert!(!refused.stderr.contains("wrong-pass") && !program.path("home/.docker").exists());

    program
        .write("home/.docker/config.json", "{\n\t\"detachKeys\": \"ctrl-e,e\",\n\t\"big\": 12345678901234567890123\n}");
    let done = registry.login(&program, &[]);
    done.code(0).says(&["warning: the login is kept in", "config.json", "credsStore"]);
    assert_eq!(done.stdout, format!("logged in to {host} as me\n"));
    let path = program.path("home/.docker/config.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"detachKeys\": \"ctrl-e,e\"") && text.contains("12345678901234567890123"), "{text}");
    assert_eq!(config(&program)["auths"][host]["auth"], AUTH);

    // Skopeo finds what sealer keeps, and pushes with it.
    program.build("shop:1.4");
    program.call(&["save", "-o", &program.text("shop.tar"), "shop:1.4"]).code(0);
    for tag in ["v1.10", "v1.9", "latest"] {
        let (from, to) =
            (format!("oci-archive:{}", program.text("shop.tar")), format!("docker://{host}/team/shop:{tag}"));
        let args = ["skopeo", "copy", "--all", "--preserve-digests", "--dest-tls-verify=false", from.as_str(), &to];
        other(&program, &args).code(0);
    }
    let name = format!("{host}/team/shop");
    let found = program.call(&["search", &name]);
    let lines: Vec<Vec<&str>> = found.code(0).stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines, [["NAME", "TAG"], [&name, "latest"], [&name, "v1.9"], [&name, "v1.10"]]);
    let limited = program.json(&["search", &name, "--limit", "2", "-o", "json"]);
    assert_eq!(limited, serde_json::json!([{ "repository": name, "tags": ["latest", "v1.9"], "omitted": 1 }]));
    assert_eq!(program.call(&["search", "-q", &name, "--limit", "1"]).stdout, format!("{name}:latest\n"));
    let short = program.call(&["search", "team/shop", "--default-registry", host, "-q"]);
    assert_eq!(short.code(0).stdout.lines().last(), Some(format!("{name}:v1.10").as_str()));
    program.call(&["search", "team/none", "--default-registry", host]).fails(
        1,
        &[
            "`team/none` names no registry, so",
            "team/none was looked for",
            "hint: `--default-registry",
            "SEALER_DEFAULT_REGISTRY",
        ],
    );
    program.call(&["search", &format!("{name}:v1.9")]).fails(2, &["leave out its tag"]);

    assert_eq!(program.call(&["logout", host]).code(0).stdout, format!("logged out of {host}\n"));
    assert_eq!(config(&program)["auths"], serde_json::json!({}));
    assert_eq!(program.call(&["logout", host]).code(0).stdout, format!("there was no login for {host}\n"));
    program.call(&["search", &name]).fails(1, &["refuses the tags", "sealer login"]);
}

#[test]
fn logins_of_podman_skopeo_and_buildah_are_used_and_a_file_can_be_named() {
    let program = Program::new();
    let registry = Registry::start(&program);
    let host = &registry.host;
    fs::create_dir(program.path("run")).unwrap();
    let name = format!("{host}/team/shop");
    // A repository that is not there is an answer that only a login gets.
    let is_in = |outcome: &Outcome| outcome.code == Some(1) && outcome.stderr.contains("is not on");
    let search = |more: &[&str]| {
        let mut command = program.command(&[&["search", &name], more].concat());
        finish(command.env("XDG_RUNTIME_DIR", program.path("run")))
    };
    for tool in ["skopeo", "buildah"] {
        assert!(!is_in(&search(&[])), "not yet");
        other(&program, &[tool, "login", "--tls-verify=false", "-u", "me", "-p", "hunter2", host]).code(0);
        assert!(program.path("run/containers/auth.json").exists());
        let outcome = search(&[]);
        assert!(is_in(&outcome), "{tool}: {outcome:?}");
        let left = finish(program.command(&["logout", host]).env("XDG_RUNTIME_DIR", program.path("run")));
        left.code(0).says(&["run/containers/auth.json still has a login"]);
        other(&program, &[tool, "logout", host]).code(0);
    }
    let file = program.text("auth/auth.json");
    registry.login(&program, &["--authfile", &file]).code(0);
    assert!(is_in(&search(&["--authfile", &file])) && !is_in(&search(&[])));
    let image = format!("docker://{name}:1");
    let outcome = other(&program, &["skopeo", "inspect", "--tls-verify=false", "--authfile", &file, &image]);
    assert!(outcome.stderr.contains("manifest unknown"), "the login is good: {outcome:?}");
    let mut command = program.command(&["search", &name]);
    assert!(is_in(&finish(command.env("REGISTRY_AUTH_FILE", &file))));
    program.call(&["logout", "--authfile", &file, host]).code(0);
    assert!(!is_in(&search(&["--authfile", &file])));
}

#[test]
fn a_credential_helper_keeps_the_login_and_the_file_does_not() {
    let program = Program::new();
    let registry = Registry::start(&program);
    let host = &registry.host;
    let helper = program.write("bin/docker-credential-scripted", HELPER);
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", program.text("bin"));
    let call = |arguments: &[&str]| finish(program.command(arguments).env("PATH", &path));
    let password = program.write("password", "hunter2");
    let login = ["login", host, "-u", "me", "--passwd-file", &password, "-o", "json"];
    for settings in [r#"{"credsStore":"scripted"}"#.to_owned(), format!(r#"{{"credHelpers":{{"{host}":"scripted"}}}}"#)]
    {
        // What was kept in the file before goes away.
        let settings = settings.replacen('{', &format!(r#"{{"auths":{{"{host}":{{"auth":"b2xkOm9sZA=="}}}},"#), 1);
        program.write("home/.docker/config.json", &settings);
        let outcome = call(&login);
        let answer: Value = serde_json::from_str(&outcome.code(0).stdout).unwrap();
        assert_eq!(answer["keptIn"]["helper"], "docker-credential-scripted");
        assert_eq!(config(&program)["auths"][host], serde_json::json!({}));
        let kept = fs::read_to_string(program.path("bin/kept")).unwrap();
        assert_eq!(kept, format!(r#"{{"ServerURL":"{host}","Username":"me","Secret":"hunter2"}}"#));
        call(&["search", &format!("{host}/team/none")]).fails(1, &["is not on"]);
        assert_eq!(call(&["logout", host]).code(0).stdout, format!("logged out of {host}\n"));
        assert!(!program.path("bin/kept").exists() && config(&program)["auths"] == serde_json::json!({}));
        assert_eq!(call(&["logout", host]).code(0).stdout, format!("there was no login for {host}\n"));
        call(&["search", &format!("{host}/team/none")]).fails(1, &["there is no login for it"]);
    }
    let broken = "#!/bin/sh\ncat >/dev/null; echo 'hunter2: the keyring is locked' >&2; exit 3\n";
    fs::write(&helper, broken).unwrap();
    let outcome = call(&login);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    outcome.says(&["docker-credential-scripted cannot keep the login", "the keyring is locked"]);
    assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
    program.write("home/.docker/config.json", r#"{"credsStore":"absent"}"#);
    call(&login).code(1).says(&["docker-credential-absent cannot run"]);
}

#[test]
fn a_process_that_is_killed_at_the_rename_leaves_the_old_logins() {
    let program = Program::new();
    let registry = Registry::start(&program);
    program.write("home/.docker/config.json", r#"{"auths":{"other":{"auth":"dTpw"}}}"#);
    let password = program.write("password", "hunter2");
    let mut command = Command::new("strace");
    // Opening the store renames files, too.
    command.args(["-f", "-qq", "-o", "/dev/null", "-P"]).arg(program.path("home/.docker/config.json"));
    command.args(["-e", "trace=rename,renameat,renameat2"]);
    command.args(["-e", "inject=rename,renameat,renameat2:signal=KILL:when=1", env!("CARGO_BIN_EXE_sealer")]);
    command.args(["login", &registry.host, "-u", "me", "--passwd-file", &password]);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", program.path("home"));
    let killed = finish(command.env("SEALER_ROOT", program.path("root")).stdin(Stdio::null()));
    assert_eq!((killed.code, killed.stdout.as_str()), (None, ""), "{killed:?}");
    let names = || fs::read_dir(program.path("home/.docker")).unwrap().count();
    assert_eq!(names(), 2, "the new file is there under another name");
    assert_eq!(config(&program), serde_json::json!({ "auths": { "other": { "auth": "dTpw" } } }));
    registry.login(&program, &[]).code(0);
    assert_eq!(names(), 1, "and is gone with the next login");
    assert_eq!(config(&program)["auths"]["other"]["auth"], "dTpw");
    assert_eq!(config(&program)["auths"][&registry.host]["auth"], AUTH);
}

#[test]
fn passwords_come_from_everywhere_and_arguments_are_warned_of() {
    let program = Program::new();
    let registry = Registry::start(&program);
    let host = &registry.host;
    let given = program.call(&["login", host, "-u", "me", "-p", "hunter2"]);
    given.code(0).says(&["warning: other users of this machine can see", "--password-stdin"]);
    let url = format!("http://{host}/v2/");
    program.call(&["login", &url, "--username", "me", "--passwd", "hunter2", "--skip-tls-verify"]).code(0);
    program.call(&["login", host, "-u", "me", "-p", "hunter2", "--tls-verify=false"]).code(0);
    let mut command = program.command(&["login", host, "-u", "me", "--password-stdin"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hunter2\r\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && !String::from_utf8_lossy(&output.stderr).contains("other users"));
    program.call(&["login", host, "-u", "me"]).fails(2, &["cannot ask for the password", "--password-stdin"]);
    program.call(&["login", host]).fails(2, &["cannot ask for the user", "--username"]);
    program.call(&["login", host, "-u", "me", "--password-stdin"]).fails(2, &["the password is empty"]);
    program.call(&["login", "a b", "-u", "me"]).code(1).says(&["`a b` is not a host"]);
    program.call(&["login", host, "-p", "x", "--password-stdin"]).fails(2, &["cannot be used with"]);
}
