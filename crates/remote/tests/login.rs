//! Logins and host keys that are accepted, and the messages about those that are not.

mod machine;

use std::net::{IpAddr, TcpListener};
use std::time::Duration;

use machine::{Agent, LOOPBACK, Sshd, User, key_file, keygen, run, text, with};
use remote::{Auth, Error, HostKeyObserver, Remote, Ssh, SshOptions, StrictHostKey, SudoProblem};

fn on_port(port: u16) -> SshOptions {
    with(SshOptions::new(LOOPBACK), |options| options.port = port)
}

async fn refusal(options: SshOptions) -> Error {
    Ssh::connect(options).await.expect_err("this login must be refused")
}

#[tokio::test]
async fn keys_of_all_kinds_and_an_agent_are_accepted() {
    let sshd = Sshd::start();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = sshd.key("root", kind, "");
        Ssh::connect(sshd.options("root", vec![key_file(&key, None)])).await.unwrap();
    }
    let agent = Agent::start(sshd.directory.path());
    let by_agent = || sshd.options("root", vec![Auth::Agent { socket: agent.socket.clone() }]);
    let error = refusal(by_agent()).await;
    assert!(matches!(&error, Error::LoginRefused { tried, .. } if tried[0].contains("no key of use")), "{error}");
    let stranger = sshd.path("stranger");
    keygen(&stranger, "ed25519", "");
    agent.add(&stranger);
    agent.add(&sshd.path("root-rsa-0"));
    Ssh::connect(by_agent()).await.unwrap();
    let error = refusal(sshd.options("root", vec![Auth::Agent { socket: sshd.path("nowhere") }])).await;
    assert!(matches!(error, Error::Agent { .. }), "{error}");
    // Where there are other ways, an agent that is gone and a locked key are passed over.
    let locked = sshd.key("root", "ed25519", "open sesame");
    let good = sshd.path("root-ed25519-0");
    let gone = Auth::Agent { socket: sshd.path("nowhere") };
    let ways = vec![gone.clone(), key_file(&locked, None), key_file(&good, None)];
    Ssh::connect(sshd.options("root", ways)).await.unwrap();
    let error = refusal(sshd.options("root", vec![gone, key_file(&locked, None)])).await;
    assert!(matches!(&error, Error::LoginRefused { tried, .. } if tried.len() == 3), "{error}");
}

#[tokio::test]
async fn encrypted_keys_need_their_passphrase() {
    let sshd = Sshd::start();
    let key = sshd.key("root", "ed25519", "open sesame");
    Ssh::connect(sshd.options("root", vec![key_file(&key, Some("open sesame"))])).await.unwrap();
    let error = refusal(sshd.options("root", vec![key_file(&key, None)])).await;
    assert!(matches!(error, Error::KeyEncrypted { .. }), "{error}");
    let error = refusal(sshd.options("root", vec![key_file(&key, Some("wrong"))])).await;
    assert!(matches!(error, Error::KeyPassphrase { .. }), "{error}");
    let nonsense = Auth::Key { name: "x.pem".into(), pem: "nonsense".into(), passphrase: None };
    let error = refusal(sshd.options("root", vec![nonsense])).await;
    assert!(matches!(error, Error::KeyUnreadable { .. }), "{error}");
}

#[tokio::test]
async fn a_refused_login_says_what_was_tried_and_what_is_offered() {
    let sshd = Sshd::start();
    let user = User::new("right", None);
    let stranger = sshd.path("stranger");
    keygen(&stranger, "ed25519", "");
    let auth = vec![key_file(&stranger, None), Auth::Password("wrong".into())];
    let error = refusal(sshd.options(&user.name, auth)).await;
    let message = error.to_string();
    assert!(matches!(error, Error::LoginRefused { .. }), "{message}");
    for part in [&user.name, text(&stranger), "password", "offers: publickey, password"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(!message.contains("wrong"), "no secret in {message}");
    let error = refusal(sshd.options(&user.name, Vec::new())).await;
    assert!(error.to_string().contains("nothing that it offers"), "{error}");
}

#[tokio::test]
async fn a_server_may_want_a_key_and_a_password() {
    let sshd = Sshd::start_with("AuthenticationMethods publickey,password");
    let user = User::new("right", Some("ALL=(ALL) ALL"));
    let key = sshd.key(&user.name, "ed25519", "");
    let auth = vec![Auth::Password("right".into()), key_file(&key, None)];
    let ssh = Ssh::connect(sshd.options(&user.name, auth)).await.unwrap();
    assert!(format!("{ssh:?}").contains("***") && !format!("{ssh:?}").contains("right"));
}

#[tokio::test]
async fn a_password_is_also_given_where_it_is_asked_for_interactively() {
    let settings = "UsePAM yes\nPasswordAuthentication no\nKbdInteractiveAuthentication yes";
    let sshd = Sshd::start_with(settings);
    let user = User::new("right", Some("ALL=(ALL) ALL"));
    Ssh::connect(sshd.options(&user.name, vec![Auth::Password("right".into())])).await.unwrap();
    let error = refusal(sshd.options(&user.name, vec![Auth::Password("wrong".into())])).await;
    assert!(error.to_string().contains("keyboard-interactive"), "{error}");
}

#[tokio::test]
async fn each_trouble_with_sudo_has_its_name() {
    let sshd = Sshd::start();
    let problem = |error: Error| match error {
        Error::Sudo { problem, .. } => problem,
        other => panic!("{other}"),
    };
    let user = User::new("right", Some("ALL=(ALL) ALL"));
    let key = sshd.key(&user.name, "ed25519", "");
    let error = refusal(sshd.options(&user.name, vec![key_file(&key, None)])).await;
    assert_eq!(problem(error), SudoProblem::PasswordNeeded);
    let auth = vec![key_file(&key, None), Auth::Password("wrong".into())];
    assert_eq!(problem(refusal(sshd.options(&user.name, auth)).await), SudoProblem::PasswordRefused);
    let outsider = User::new("right", None);
    let error = refusal(sshd.options(&outsider.name, vec![Auth::Password("right".into())])).await;
    assert_eq!(problem(error), SudoProblem::NotAllowed);
}

#[tokio::test]
async fn shells_that_talk_or_do_nothing_are_told() {
    let sshd = Sshd::start();
    let user = User::new("right", Some("ALL=(ALL) NOPASSWD: ALL"));
    run("usermod", &["-s", "/bin/bash", &user.name]);
    std::fs::write(user.home().join(".bashrc"), "echo Welcome to this machine\n").unwrap();
    let options = || sshd.options(&user.name, vec![Auth::Password("right".into())]);
    let error = refusal(options()).await;
    assert!(matches!(&error, Error::NoisyLogin { noise, .. } if noise == "Welcome to this machine"), "{error}");
    run("usermod", &["-s", "/bin/false", &user.name]);
    let error = refusal(options()).await;
    assert!(matches!(error, Error::NoShell { .. }), "{error}");
}

#[tokio::test]
async fn a_changed_host_key_is_refused_until_the_old_one_is_forgotten() {
    let sshd = Sshd::start();
    Ssh::connect(sshd.root()).await.unwrap();
    Ssh::connect(sshd.root()).await.unwrap();
    let record = sshd.path("known_hosts");
    let learned = std::fs::read_to_string(&record).unwrap();
    assert_eq!(learned.lines().count(), 1, "learned once: {learned}");
    assert!(learned.starts_with(&format!("[127.0.0.1]:{} ssh-ed25519 ", sshd.port)));
    let shown = machine::output("ssh-keygen", &["-l", "-f", text(&sshd.path("host.pub"))]);
    let old = shown.split(' ').nth(1).unwrap().to_owned();

    for kind in ["ed25519", "ecdsa"] {
        let sshd = Sshd::start_with("").with_new_key(kind);
        let mut options = sshd.root();
        let line = learned.replace(&learned[..learned.find(' ').unwrap()], &format!("[127.0.0.1]:{}", sshd.port));
        std::fs::write(&options.known_hosts.record, format!("# a comment\n{line}")).unwrap();
        let error = refusal(options.clone()).await;
        let Error::HostKeyChanged { known, line, file, accept, .. } = &error else { panic!("{error}") };
        assert_eq!((known, *line, file), (&format!("ssh-ed25519 {old}"), 2, &options.known_hosts.record));
        machine::run("sh", &["-c", &format!("{accept} 2>/dev/null")]);
        Ssh::connect(options.clone()).await.unwrap();
        // Names may be hashed, and the operator's file counts as ours does.
        run("ssh-keygen", &["-q", "-H", "-f", text(&options.known_hosts.record)]);
        options.known_hosts.files = vec![std::mem::replace(&mut options.known_hosts.record, sshd.path("second"))];
        Ssh::connect(options.clone()).await.unwrap();
        assert!(!options.known_hosts.record.exists(), "what the operator knows is not learned again");
    }
}

#[tokio::test]
async fn revoked_keys_and_authorities_are_minded() {
    let sshd = Sshd::start();
    let mut options = sshd.root();
    let key = std::fs::read_to_string(sshd.path("host.pub")).unwrap();
    options.known_hosts.files = vec![sshd.path("operator")];
    std::fs::write(sshd.path("operator"), format!("@revoked * {key}")).unwrap();
    let error = refusal(options.clone()).await;
    assert!(matches!(error, Error::HostKeyRevoked { line: 1, .. }), "{error}");
    assert!(!options.known_hosts.record.exists());

    let authority = sshd.path("authority");
    keygen(&authority, "ed25519", "");
    let sign = |names: &str| {
        let host = sshd.path("host.pub");
        run("ssh-keygen", &["-q", "-s", text(&authority), "-I", "host", "-h", "-n", names, "-V", "+1h", text(&host)]);
        std::fs::copy(sshd.path("host-cert.pub"), sshd.path(&format!("cert-{names}"))).unwrap();
    };
    sign("127.0.0.1");
    sign("10.0.0.1");
    let authority = std::fs::read_to_string(authority.with_extension("pub")).unwrap();
    for (names, certified) in [("127.0.0.1", true), ("10.0.0.1", false)] {
        let settings = format!("HostCertificate {}", sshd.path(&format!("cert-{names}")).display());
        let other = Sshd::start_with(&settings);
        for file in ["host", "host.pub"] {
            std::fs::copy(sshd.path(file), other.path(file)).unwrap();
        }
        let other = other.restart();
        let mut options = other.root();
        options.known_hosts.files = vec![other.path("operator")];
        std::fs::write(other.path("operator"), format!("@cert-authority [127.0.0.1]:{} {authority}", other.port))
            .unwrap();
        let connected = Ssh::connect(options.clone()).await;
        assert_eq!(connected.is_ok(), certified, "a certificate for {names}");
        if let Err(error) = connected {
            assert!(matches!(error, Error::HostKeyUncertified { line: 1, .. }), "{error}");
        }
        assert!(!options.known_hosts.record.exists(), "neither is learned");
    }
}

#[tokio::test]
async fn strict_host_key_is_what_openssh_says_and_first_contact_is_told() {
    let sshd = Sshd::start();
    let user = User::new("right", Some("ALL=(ALL) ALL"));
    let (sender, told) = std::sync::mpsc::channel();
    let mut options = with(sshd.root(), |options| options.known_hosts.strict = StrictHostKey::Yes);
    options.known_hosts.observer = HostKeyObserver::new(move |key| sender.send(key).unwrap());
    let error = refusal(options.clone()).await;
    assert!(matches!(error, Error::HostKeyUnknown { .. }), "{error}");
    assert!(told.try_recv().is_err() && !options.known_hosts.record.exists());

    options.known_hosts.strict = StrictHostKey::AcceptNew;
    Ssh::connect(options.clone()).await.unwrap();
    let met = told.try_recv().unwrap();
    let shown = machine::output("ssh-keygen", &["-l", "-f", text(&sshd.path("host.pub"))]);
    assert_eq!(shown.split(' ').nth(1), Some(met.fingerprint.as_str()));
    assert_eq!((met.recorded.as_deref(), met.contradicts), (Some(options.known_hosts.record.as_path()), false));
    options.known_hosts.strict = StrictHostKey::Yes;
    Ssh::connect(options.clone()).await.unwrap();
    assert!(told.try_recv().is_err(), "a known key is not told");

    let record = options.known_hosts.record.clone();
    let sshd = sshd.with_new_key("ed25519");
    for strict in [StrictHostKey::Yes, StrictHostKey::AcceptNew] {
        let error = refusal(with(options.clone(), |options| options.known_hosts.strict = strict)).await;
        assert!(matches!(error, Error::HostKeyChanged { .. }), "{error}");
    }
    options.known_hosts.strict = StrictHostKey::No;
    let before = std::fs::read(&record).unwrap();
    Ssh::connect(options.clone()).await.unwrap();
    assert!(told.try_recv().unwrap().contradicts);
    assert_eq!(std::fs::read(&record).unwrap(), before, "the known key stays");
    // A host that may be another gets no password: neither to log in nor for sudo.
    options.user.clone_from(&user.name);
    options.auth = vec![Auth::Password("right".into())];
    let error = refusal(options.clone()).await;
    assert!(error.to_string().contains("nothing that it offers"), "{error}");
    options.auth.push(key_file(&sshd.key(&user.name, "ed25519", ""), None));
    let error = refusal(options).await;
    assert!(matches!(&error, Error::Sudo { problem: SudoProblem::PasswordNeeded, .. }), "{error}");
}

#[tokio::test]
async fn hosts_out_of_reach_are_told_in_time() {
    let nobody = TcpListener::bind((LOOPBACK, 0)).unwrap().local_addr().unwrap().port();
    let error = refusal(on_port(nobody)).await;
    assert!(matches!(&error, Error::Unreachable { detail, .. } if detail.contains("refused")), "{error}");
    let silent = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let error = refusal(with(on_port(port), |options| options.timeout = Duration::from_secs(1))).await;
    assert!(matches!(&error, Error::Unreachable { detail, .. } if detail.contains("no answer within 1 s")), "{error}");
    let web = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let port = web.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = web.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let error = refusal(on_port(port)).await;
    assert!(matches!(error, Error::Handshake { .. }), "{error}");
}

#[tokio::test]
async fn the_address_is_the_one_given() {
    let sshd = Sshd::start();
    let ssh = Ssh::connect(sshd.root()).await.unwrap();
    assert_eq!(ssh.address(), IpAddr::from([127, 0, 0, 1]));
}
