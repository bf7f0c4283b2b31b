//! Hosts behind jump hosts are reached like others, and each trouble on the way has its name.
#![expect(clippy::unwrap_used, reason = "tests")]

mod machine;

use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use machine::{LOOPBACK, Sshd, User, key_file, keygen, run, text, with};
use remote::{Auth, Command, Error, Hop, Host, Jumps, Remote, Ssh, SshOptions, contract};
use tokio::task::JoinSet;

fn hop(sshd: &Sshd) -> Hop {
    let SshOptions { address, port, user, auth, .. } = sshd.root();
    Hop::new(address, port, user, auth)
}

/// The target behind these jump hosts; what is learned goes to the target's file.
fn behind(target: &Sshd, jump: Vec<Hop>) -> SshOptions {
    with(target.root(), |options| options.jump = jump)
}

fn script(script: &str) -> Command {
    Command::new(script)
}

async fn refusal(options: SshOptions) -> Error {
    Ssh::connect(options).await.expect_err("this way must be refused")
}

fn at_the_jump_host(error: &Error) -> &Error {
    assert!(matches!(error, Error::JumpHost { .. }), "{error}");
    error.root()
}

fn free_port() -> u16 {
    TcpListener::bind((LOOPBACK, 0)).unwrap().local_addr().unwrap().port()
}

/// Something that passes bytes on to a server and counts the connections.
struct Counted {
    port: u16,
    count: Arc<AtomicUsize>,
    connections: tokio::sync::mpsc::UnboundedSender<()>,
}

impl Counted {
    async fn before(port: u16) -> Self {
        let listener = tokio::net::TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let count = Arc::new(AtomicUsize::new(0));
        let (connections, mut cut) = tokio::sync::mpsc::unbounded_channel();
        let counted = count.clone();
        tokio::spawn(async move {
            let mut streams = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (mut from, _) = accepted.unwrap();
                        counted.fetch_add(1, Ordering::SeqCst);
                        streams.spawn(async move {
                            let mut to = tokio::net::TcpStream::connect((LOOPBACK, port)).await.unwrap();
                            let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                        });
                    }
                    cut = cut.recv() => match cut {
                        Some(()) => streams.abort_all(),
                        None => return,
                    },
                }
            }
        });
        Self { port: own, count, connections }
    }

    fn connections(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Breaks all connections.
    fn cut(&self) {
        self.connections.send(()).unwrap();
    }
}

#[tokio::test]
async fn a_host_behind_a_jump_host_keeps_the_contract() {
    let (jump, target) = (Sshd::start(), Sshd::start());
    let ssh = Ssh::connect(behind(&target, vec![hop(&jump)])).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    contract::files(&ssh, &format!("{}/remote", directory.path().display()), &directory.path().join("local")).await;
    contract::commands(&ssh).await;
}

#[tokio::test]
async fn large_files_to_several_hosts_at_once_share_a_jump_host() {
    const SIZE: u64 = 64 << 20;
    let (jump, target) = (Sshd::start(), Sshd::start());
    let counted = Counted::before(jump.port).await;
    let jumps = Jumps::default();
    let to = || behind(&target, vec![with(hop(&jump), |hop| hop.port = counted.port)]);
    let hosts = join_all((0..4).map(async |_| Ssh::connect_through(to(), &jumps).await.unwrap())).await;
    let local = target.path("large");
    std::fs::write(&local, vec![7; usize::try_from(SIZE).unwrap()]).unwrap();
    let started = SystemTime::now();
    let busy = join_all(hosts[1..].iter().enumerate().map(async |(index, ssh)| {
        let path = target.path(&format!("copy-{index}"));
        ssh.upload(&local, path.to_str().unwrap(), 0o600, &|_| {}).await.unwrap()
    }));
    let beside = async {
        for _ in 0..10 {
            assert_eq!(hosts[0].run(&script("exit 5")).await.unwrap().code, Some(5));
        }
        started.elapsed().unwrap()
    };
    let (sent, beside) = tokio::join!(busy, beside);
    let took = started.elapsed().unwrap();
    assert_eq!((sent, counted.connections()), (vec![SIZE; 3], 1));
    assert!(took < Duration::from_secs(120), "{took:?}");
    assert!(beside < Duration::from_secs(60), "others go on beside it: {beside:?} of {took:?}");
}

#[tokio::test]
async fn a_host_that_hangs_does_not_hold_up_the_others() {
    let (jump, stuck, target) = (Sshd::start(), Sshd::start(), Sshd::start());
    let jumps = Jumps::default();
    let to = async |target| Ssh::connect_through(behind(target, vec![hop(&jump)]), &jumps).await.unwrap();
    let (hanging, other) = (to(&stuck).await, to(&target).await);
    let serving = child_of(&stuck);
    let local = stuck.path("large");
    std::fs::File::create(&local).unwrap().set_len(200 << 20).unwrap();
    let told = std::sync::atomic::AtomicBool::new(false);
    let stop = |_| {
        if !told.swap(true, Ordering::Relaxed) {
            run("kill", &["-STOP", &serving]);
        }
    };
    let never = stuck.path("never");
    let upload = hanging.upload(&local, never.to_str().unwrap(), 0o600, &stop);
    let work = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(told.load(Ordering::Relaxed), "the upload is under way");
        for _ in 0..10 {
            assert_eq!(other.run(&script("exit 5")).await.unwrap().code, Some(5));
        }
        other.upload(&local, target.path("copy").to_str().unwrap(), 0o600, &|_| {}).await.unwrap()
    };
    let sent = tokio::time::timeout(Duration::from_secs(30), async {
        tokio::select! {
            sent = work => sent,
            ended = upload => panic!("it should hang: {ended:?}"),
        }
    });
    let sent = sent.await;
    run("kill", &["-KILL", &serving]);
    assert_eq!(sent.expect("the other host waits"), 200 << 20);
}

#[tokio::test]
async fn ways_go_over_several_jump_hosts_each_with_its_own_login() {
    let jumps = [Sshd::start(), Sshd::start_with("AllowTcpForwarding local")];
    let target = Sshd::start();
    let user = User::new("gate", None);
    run("usermod", &["-s", "/usr/sbin/nologin", &user.name]);
    let first = Hop::new(LOOPBACK, jumps[0].port, &user.name, vec![Auth::Password("gate".into())]);
    let second = with(hop(&jumps[1]), |hop| hop.host = Host::Name("localhost".to_owned()));
    let ssh = Ssh::connect(behind(&target, vec![first, second])).await.unwrap();
    assert_eq!(ssh.address(), LOOPBACK);
    assert_eq!(ssh.run(&script("echo here")).await.unwrap().stdout, b"here\n", "no shell is needed on the way");
    let learned = std::fs::read_to_string(target.path("known_hosts")).unwrap();
    let names: Vec<&str> = learned.lines().map(|line| line.split(' ').next().unwrap()).collect();
    let [first, second] = jumps.each_ref().map(|jump| jump.port);
    let expected =
        [format!("[127.0.0.1]:{first}"), format!("[localhost]:{second}"), format!("[127.0.0.1]:{}", target.port)];
    assert_eq!(names, expected, "every host key on the way is kept, in the order of the way");
}

#[tokio::test]
async fn host_keys_are_checked_on_the_way() {
    let (jump, target) = (Sshd::start(), Sshd::start());
    let options = behind(&target, vec![hop(&jump)]);
    Ssh::connect(options.clone()).await.unwrap();
    let jump = jump.with_new_key("ed25519");
    let record = target.path("known_hosts");
    let before = std::fs::read_to_string(&record).unwrap();
    let error = refusal(options.clone()).await;
    let root = at_the_jump_host(&error);
    assert!(matches!(root, Error::HostKeyChanged { line: 1, .. }), "{error}");
    assert!(
        error.to_string().starts_with("127.0.0.1: its jump host cannot be used: 127.0.0.1: the host key"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&record).unwrap(), before);
    let Error::HostKeyChanged { accept, .. } = root else { unreachable!() };
    run("sh", &["-c", &format!("{accept} 2>/dev/null")]);
    Ssh::connect(options.clone()).await.unwrap();
    drop(jump);

    let jump = Sshd::start();
    let _target = target.with_new_key("ed25519");
    let error = refusal(with(options, |options| options.jump = vec![hop(&jump)])).await;
    assert!(matches!(error, Error::HostKeyChanged { .. }), "that of the host behind: {error}");
}

#[tokio::test]
async fn a_login_refused_by_the_jump_host_is_tried_once_for_all() {
    let (jump, target) = (Sshd::start(), Sshd::start());
    let counted = Counted::before(jump.port).await;
    let wrong = Hop::new(LOOPBACK, counted.port, "root", vec![Auth::Password("wrong word".into())]);
    let options = behind(&target, vec![wrong]);
    let jumps = Jumps::default();
    let failed =
        join_all((0..20).map(async |_| Ssh::connect_through(options.clone(), &jumps).await.unwrap_err())).await;
    for error in &failed {
        let root = at_the_jump_host(error);
        assert!(matches!(root, Error::LoginRefused { tried, .. } if tried == &["password"]), "{error}");
        assert!(!error.to_string().contains("wrong word"));
    }
    assert_eq!(counted.connections(), 1);
    // Later it is tried anew.
    let error = Ssh::connect_through(options, &jumps).await.unwrap_err();
    assert!(matches!(at_the_jump_host(&error), Error::LoginRefused { .. }), "{error}");
    assert_eq!(counted.connections(), 2);
}

#[tokio::test]
async fn hosts_that_a_jump_host_does_not_reach_are_told() {
    let jump = Sshd::start();
    let port = free_port();
    let error = refusal(with(behind(&jump, vec![hop(&jump)]), |options| options.port = port)).await;
    let through = format!("[127.0.0.1]:{}", jump.port);
    assert!(matches!(&error, Error::Unreachable { through: Some(hops), .. } if *hops == through), "{error}");
    let expected = format!("127.0.0.1: cannot reach port {port} through {through}: the jump host cannot connect there");
    assert!(error.to_string().starts_with(&expected), "{error}");

    let silent = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let options = with(behind(&jump, vec![hop(&jump)]), |options| {
        options.port = port;
        options.timeout = Duration::from_secs(1);
    });
    let error = refusal(options).await;
    assert!(matches!(&error, Error::Unreachable { detail, .. } if detail.contains("no answer within 1 s")), "{error}");

    let gone = with(hop(&jump), |hop| hop.port = free_port());
    let error = refusal(behind(&jump, vec![hop(&jump), gone.clone()])).await;
    assert!(matches!(at_the_jump_host(&error), Error::Unreachable { through: Some(_), .. }), "{error}");
    let error = refusal(behind(&jump, vec![gone.clone(), hop(&jump)])).await;
    assert!(
        matches!(at_the_jump_host(&error), Error::Unreachable { through: None, port, .. } if *port == gone.port),
        "{error}"
    );
    let nameless = with(hop(&jump), |hop| hop.host = Host::Name("no-such-host.invalid".to_owned()));
    let error = refusal(behind(&jump, vec![hop(&jump), nameless])).await;
    assert!(matches!(at_the_jump_host(&error), Error::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn jump_hosts_that_forbid_it_are_told_apart() {
    let target = Sshd::start();
    for settings in ["AllowTcpForwarding no", "DisableForwarding yes", "PermitOpen 127.0.0.1:1"] {
        let jump = Sshd::start_with(settings);
        let error = refusal(behind(&target, vec![hop(&jump)])).await;
        assert!(
            matches!(&error, Error::ForwardingRefused { jump, .. } if *jump == LOOPBACK.into()),
            "{settings}: {error}"
        );
        let expected = format!("the jump host 127.0.0.1 does not allow connections to port {}", target.port);
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

#[tokio::test]
async fn many_hosts_share_one_connection_to_the_jump_host() {
    let addresses: Vec<IpAddr> = (11..21).map(|last| IpAddr::from([127, 0, 0, last])).collect();
    let listen: String = addresses.iter().map(|address| format!("ListenAddress {address}\n")).collect();
    // Commands are counted by a server, what is passed on is not.
    let (jump, target) = (Sshd::start_with("MaxSessions 0\nMaxStartups 2"), Sshd::start_with(&listen));
    let counted = Counted::before(jump.port).await;
    let jumps = Jumps::default();
    let started = SystemTime::now();
    let to = |address| {
        let jump = with(hop(&jump), |hop| hop.port = counted.port);
        with(behind(&target, vec![jump]), |options| options.address = address)
    };
    let hosts = join_all(
        addresses
            .iter()
            .cycle()
            .take(20)
            .map(async |address| Ssh::connect_through(to(*address), &jumps).await.unwrap()),
    );
    let hosts = hosts.await;
    let connected = started.elapsed().unwrap();
    assert_eq!(counted.connections(), 1);
    let outputs = join_all(hosts.iter().map(async |ssh| {
        let output = ssh.run(&script("sleep 1; set -- $SSH_CONNECTION; echo $3")).await.unwrap();
        (ssh.address(), String::from_utf8(output.stdout).unwrap())
    }));
    for (address, output) in outputs.await {
        assert_eq!(output.trim(), address.to_string());
    }
    let took = started.elapsed().unwrap();
    assert!(took < Duration::from_secs(15), "side by side: {connected:?}, {took:?}");

    // More than one connection carries well: another is made.
    let more = join_all((0..20).map(async |_| Ssh::connect_through(to(addresses[0]), &jumps).await.unwrap())).await;
    assert_eq!(counted.connections(), 2);
    drop((hosts, more));
    let again = Ssh::connect_through(to(addresses[0]), &jumps).await.unwrap();
    assert_eq!(counted.connections(), 2, "places are given back");
    drop(again);
}

#[tokio::test]
async fn a_broken_jump_connection_is_told_and_made_anew() {
    let (jump, target) = (Sshd::start(), Sshd::start());
    let counted = Counted::before(jump.port).await;
    let jumps = Jumps::default();
    let options = behind(&target, vec![with(hop(&jump), |hop| hop.port = counted.port)]);
    let hosts = [
        Ssh::connect_through(options.clone(), &jumps).await.unwrap(),
        Ssh::connect_through(options.clone(), &jumps).await.unwrap(),
    ];
    let running = script("sleep 30");
    let (error, ()) = tokio::join!(hosts[0].run(&running), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        counted.cut();
    });
    let error = error.unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error}");
    let outputs = join_all(hosts.iter().map(async |ssh| ssh.run(&script("echo back")).await.unwrap().stdout));
    assert_eq!(outputs.await, vec![b"back\n".to_vec(); 2]);
    let third = Ssh::connect_through(options, &jumps).await.unwrap();
    assert_eq!(third.run(&script("echo back")).await.unwrap().stdout, b"back\n");
    assert_eq!(counted.connections(), 2, "one for all of them");
}

#[tokio::test]
async fn a_jump_host_that_falls_silent_is_given_up() {
    let (jump, target) = (Sshd::start(), Sshd::start());
    let keepalive = Duration::from_secs(1);
    let options = with(behind(&target, vec![hop(&jump)]), |options| options.keepalive = keepalive);
    let ssh = Ssh::connect(options).await.unwrap();
    let serving = child_of(&jump);
    run("kill", &["-STOP", &serving]);
    let started = SystemTime::now();
    let output = ssh.run(&script("echo hello")).await.map(|output| output.stdout);
    let took = started.elapsed().unwrap();
    run("kill", &["-KILL", &serving]);
    assert!(matches!(&output, Ok(stdout) if stdout == b"hello\n"), "by a new connection: {output:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[tokio::test]
async fn a_jump_connection_ends_with_its_last_user() {
    let (jump, target) = (Sshd::start(), Sshd::start());
    let jumps = Jumps::default();
    let ssh = Ssh::connect_through(behind(&target, vec![hop(&jump)]), &jumps).await.unwrap();
    let process = PathBuf::from(format!("/proc/{}", child_of(&jump)));
    drop(jumps);
    let session = ssh.stream(&script("cat")).await.unwrap();
    drop(ssh);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(process.exists(), "the stream still needs it");
    drop(session.io);
    session.end.await.unwrap().unwrap();
    for _ in 0..100 {
        if !process.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the connection to the jump host stays open");
}

#[tokio::test]
async fn logins_that_differ_do_not_share() {
    let (jump, target) = (Sshd::start(), Sshd::start());
    let stranger = target.path("stranger");
    keygen(&stranger, "ed25519", "");
    assert!(text(&stranger).ends_with("stranger"));
    let jumps = Jumps::default();
    Ssh::connect_through(behind(&target, vec![hop(&jump)]), &jumps).await.unwrap();
    let other = with(hop(&jump), |hop| hop.auth = vec![key_file(&stranger, None)]);
    let error = Ssh::connect_through(behind(&target, vec![other]), &jumps).await.unwrap_err();
    assert!(matches!(at_the_jump_host(&error), Error::LoginRefused { .. }), "{error}");
}

/// The server's process of its only connection, once those that only logged in are gone.
fn child_of(sshd: &Sshd) -> String {
    for _ in 0..50 {
        let children = machine::output("pgrep", &["-P", &sshd.pid().to_string()]);
        if children.lines().count() == 1 {
            return children.trim().to_owned();
        }
        machine::pause();
    }
    panic!("no single connection");
}
