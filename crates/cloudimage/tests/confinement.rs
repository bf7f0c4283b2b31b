//! What the commands of RUN cannot do, with this machine's tools and in an entered rootfs. Needs root and overlayfs.
//!
//! `docs/security.md` has one row for each of these tests.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;

use std::fs::{self, File};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bench::{Bench, copy_program};
use cloudimage::{BuildOptions, Error, LinuxSandbox};
use nix::libc;
use rustix::thread::{CapabilitySet, CapabilitySets};

/// What an entered rootfs of these tests has.
const PROGRAMS: [&str; 6] = ["/bin/sh", "/bin/ls", "/bin/cat", "/usr/bin/head", "/usr/bin/wc", "/usr/bin/perl"];
/// Where files are that a command with this machine's tools could see; not in a directory that is always hidden.
const VISIBLE: &str = "/var/lib";

/// The Kubefile's beginnings of the two modes: this machine's tools, and a rootfs that is an operating system.
const MODES: [&str; 2] = ["FROM scratch\n", "FROM scratch\nCOPY . .\n"];

fn bench(mode: &str) -> Bench {
    // Not on tmpfs: overlayfs wants a file system with extended attributes for its upper directory.
    let bench = Bench::below(Path::new("/var/tmp"));
    if mode == MODES[1] {
        PROGRAMS.iter().for_each(|program| copy_program(&bench.context(), Path::new(program)));
    }
    bench
}

/// A directory that everybody may enter, in a place that is not hidden.
fn visible() -> tempfile::TempDir {
    let place = tempfile::tempdir_in(VISIBLE).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    place
}

/// Runs the commands in one build; the lines that they printed.
async fn lines_in(mode: &str, commands: &[&str], options: &BuildOptions, sandbox: &LinuxSandbox) -> Vec<String> {
    let bench = bench(mode);
    let runs: String = commands.iter().map(|command| format!("RUN {command}\n")).collect();
    bench.build_in(&format!("{mode}{runs}"), options, sandbox).await.unwrap();
    bench.output()
}

fn options_with(change: impl FnOnce(&mut BuildOptions)) -> BuildOptions {
    let mut options = BuildOptions::default();
    change(&mut options);
    options
}

/// Checks in both modes that a command prints one line.
async fn check(command: &str, expected: &str) {
    for mode in MODES {
        let lines = lines_in(mode, &[command], &BuildOptions::default(), &LinuxSandbox::default()).await;
        assert_eq!(lines, [expected], "{mode}");
    }
}

/// A command that makes system calls and prints the number of each one's error, 0 when it was done.
fn calls(calls: &[String]) -> String {
    let list: String = calls.iter().map(|call| format!("[{call}],")).collect();
    format!("perl -e 'print join(\" \", map {{ my ($n, @a) = @$_; syscall($n, @a) < 0 ? $!+0 : 0 }} {list}), \"\\n\"'")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_its_own_session_and_no_terminal() {
    let own = "read -r pid name state parent group session terminal rest < /proc/self/stat; \
        [ $group = $$ ] && [ $session = $$ ] && [ $terminal = 0 ] && [ ! -e /dev/tty ] && echo own || echo shared";
    check(own, "own").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_descriptor_of_the_caller_is_inherited() {
    let directory = File::open("/").unwrap();
    rustix::io::fcntl_setfd(&directory, rustix::io::FdFlags::empty()).unwrap();
    check("ls -m /proc/$$/fd", "0, 1, 2").await;
    check("ls -m /proc/1/fd", "0, 1, 2").await;
    check("ls /proc/1/root/ /proc/1/cwd/ 2>/dev/null | wc -l", "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn capabilities_are_those_of_a_container_in_every_set() {
    // As a service manager or `capsh` may have started this program.
    let sets = rustix::thread::capabilities(None).unwrap();
    let inheritable = CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_MODULE;
    rustix::thread::set_capabilities(None, CapabilitySets { inheritable, ..sets }).unwrap();
    rustix::thread::configure_capability_in_ambient_set(CapabilitySet::SYS_ADMIN, true).unwrap();
    let show =
        "while read -r name value; do case $name in Cap*) echo -n \"$value \";; esac; done < /proc/self/status; echo";
    let (none, kept) = ("0000000000000000", "00000000880405fb");
    check(show, &format!("{none} {kept} {kept} {kept} {none} ")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_uid_program_gives_no_rights() {
    let command = "cat /usr/bin/perl > copy; \
        perl -e 'chmod 04755, \"copy\"; $( = $) = \"7 7\"; $< = $> = 7; exec \"./copy\", \"-e\", \"print \\\"$>\\n\\\"\"'";
    check(command, "7").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dangerous_system_calls_are_refused() {
    let refused = [
        format!("{}, 0x10000000", libc::SYS_unshare),
        format!("{}, 0x00020000", libc::SYS_unshare),
        format!("{}, 0x10000011, 0, 0, 0, 0", libc::SYS_clone),
        format!("{}, 0, -3, 0", libc::SYS_keyctl),
        format!("{}, \"user\", \"a\", \"b\", 1, -3", libc::SYS_add_key),
        format!("{}, \"none\", \"/tmp\", \"tmpfs\", 0, 0", libc::SYS_mount),
        format!("{}, \"tmpfs\", 0", libc::SYS_fsopen),
        format!("{}, -100, \"/\", 0", libc::SYS_open_tree),
        format!("{}, 0, 0, 0", libc::SYS_bpf),
        format!("{}, 0, 0, 0, -1, 0", libc::SYS_perf_event_open),
        format!("{}, 1", libc::SYS_userfaultfd),
        format!("{}, 1, 0", libc::SYS_io_uring_setup),
        format!("{}, 3, 0, 0", libc::SYS_syslog),
        // Typing into a terminal; on what is no terminal the answer would be another one.
        format!("{}, 0, {}, \"x\"", libc::SYS_ioctl, libc::TIOCSTI),
        format!("{}, 0, {} + (1 << 32), \"x\"", libc::SYS_ioctl, libc::TIOCSTI),
    ];
    check(&calls(&refused), &vec![libc::EPERM.to_string(); refused.len()].join(" ")).await;
    check(&calls(&[format!("{}, 0, 88", libc::SYS_clone3)]), &libc::ENOSYS.to_string()).await;
}

/// Raw IPv4, raw IPv6, packets, as arguments of `socket`.
const RAW: [&str; 3] = ["2, 0x80003, 1", "10, 3, 58", "17, 3, 0"];

#[tokio::test(flavor = "multi_thread")]
async fn only_ordinary_sockets_can_be_made() {
    let socket = |arguments: &str| format!("{}, {arguments}", libc::SYS_socket);
    let allowed = ["1, 1, 0", "2, 1, 0", "2, 2, 17", "10, 1, 0", "16, 3, 0"].map(socket);
    check(&calls(&allowed), "0 0 0 0 0").await;
    // nftables, audit, the kernel's cryptography, virtual machines.
    let refused = ["16, 3, 12", "16, 3, 9", "38, 5, 0", "40, 1, 0"].map(socket);
    check(&calls(&[refused.to_vec(), RAW.map(socket).to_vec()].concat()), "97 97 97 97 97 97 97").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_packets_need_a_flag() {
    let options = options_with(|options| options.raw_packets = true);
    let command = calls(&RAW.map(|arguments| format!("{}, {arguments}", libc::SYS_socket)));
    for mode in MODES {
        let lines = lines_in(mode, &[&command], &options, &LinuxSandbox::default()).await;
        assert_eq!(lines, ["0 0 0"], "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kernel_shows_little_and_takes_nothing() {
    let names = "acpi asound interrupts kcore keys latency_stats sched_debug scsi timer_list timer_stats";
    check(&format!("cd /proc; (cat {names}; ls -d acpi/* asound/* scsi/*) 2>/dev/null | head -c 1 | wc -c"), "0").await;
    let write = "for file in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/mm/ksm/run /sys/x; \
        do (echo 0 > $file) 2>/dev/null && echo $file; done; echo end";
    let tools = lines_in(MODES[0], &[write], &BuildOptions::default(), &LinuxSandbox::default()).await;
    assert_eq!(tools, ["end"]);
    let hidden = "ls /sys/firmware /sys/kernel/debug /sys/kernel/tracing /sys/kernel/security /sys/fs/bpf 2>/dev/null | grep -v : | grep -c . || true";
    let tools = lines_in(MODES[0], &[hidden], &BuildOptions::default(), &LinuxSandbox::default()).await;
    assert_eq!(tools, ["0"]);
    let entered = lines_in(MODES[1], &["ls /sys | wc -l"], &BuildOptions::default(), &LinuxSandbox::default()).await;
    assert_eq!(entered, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn private_directories_are_empty_wherever_they_are() {
    let place = visible();
    let secret = place.path().join("home/secret");
    fs::create_dir(place.path().join("home")).unwrap();
    fs::write(&secret, "secret").unwrap();
    let link = place.path().join("link");
    std::os::unix::fs::symlink("home", &link).unwrap();
    let command = format!(
        "cat {} {}/secret 2>/dev/null; ls -A /home /root | grep -v : | grep -c . || true",
        secret.display(),
        link.display()
    );
    let elsewhere = place.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let mount = |arguments: &[&str]| Command::new(arguments[0]).args(&arguments[1..]).arg(&elsewhere).status().unwrap();
    assert!(mount(&["mount", "--bind", place.path().join("home").to_str().unwrap()]).success());
    let command = format!("cat {}/secret 2>/dev/null; {command}", elsewhere.display());
    let sandbox = LinuxSandbox::hiding([link, "/".into(), "/none".into()]);
    let lines = lines_in(MODES[0], &[&command], &BuildOptions::default(), &sandbox).await;
    assert!(mount(&["umount"]).success());
    assert_eq!(lines, ["0"]);
    let entered = lines_in(MODES[1], &[&command.replace("grep", "wc")], &BuildOptions::default(), &sandbox).await;
    assert!(!entered.concat().contains("secret"), "{entered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_not_everybody_may_read_is_hidden() {
    let place = visible();
    let (open, closed, below) = (place.path().join("open"), place.path().join("closed"), place.path().join("closed/x"));
    fs::write(&open, "open ").unwrap();
    fs::create_dir(&closed).unwrap();
    fs::write(&below, "secret").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o711)).unwrap();
    let key = tempfile::Builder::new().prefix("sealer-test-").tempfile_in("/etc").unwrap();
    fs::write(key.path(), "secret").unwrap();
    let files = format!("/etc/shadow /etc/gshadow {} {}", key.path().display(), below.display());
    let command = format!(
        "cat {} 2>/dev/null; cat {files} 2>/dev/null | wc -c; ls -A /var/log 2>/dev/null | wc -l",
        open.display()
    );
    let lines = lines_in(MODES[0], &[&command], &BuildOptions::default(), &LinuxSandbox::default()).await;
    assert_eq!(lines, ["open 0", "0"], "what everybody may read is seen, nothing else");
    let bench = bench(MODES[1]);
    bench.write("etc/shadow", "of the rootfs");
    let kubefile = format!("{}RUN {command}\n", MODES[1]);
    bench.build_in(&kubefile, &BuildOptions::default(), &LinuxSandbox::default()).await.unwrap();
    assert_eq!(bench.output(), ["13", "0"], "only its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_this_machine_cannot_be_reached() {
    let place = visible();
    let path = place.path().join("a socket");
    let _file = UnixListener::bind(&path).unwrap();
    let name = format!("sealer-test-{}", std::process::id());
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let connect = |address: &str| {
        format!(
            "perl -e 'socket(S, 1, 1, 0); print connect(S, pack(\"Sa*\", 1, \"{address}\")) ? \"reached\" : \"refused\", \"\\n\"'"
        )
    };
    check(&connect(&path.display().to_string()), "refused").await;
    check(&connect(&format!("\\0{name}")), "refused").await;
    let own = "perl -e 'socket(L, 1, 1, 0); bind(L, pack(\"Sa*\", 1, \"\\0own\")); listen(L, 1); socket(S, 1, 1, 0); print connect(S, pack(\"Sa*\", 1, \"\\0own\")) ? \"reached\" : \"refused $!\", \"\\n\"'";
    check(own, "reached").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_other_than_its_own_do_not_open() {
    let place = visible();
    let zero = place.path().join("zero");
    assert!(Command::new("mknod").arg(&zero).args(["c", "1", "5"]).status().unwrap().success());
    let command = format!("head -c 1 {} 2>/dev/null | wc -c", zero.display());
    let lines = lines_in(MODES[0], &[&command], &BuildOptions::default(), &LinuxSandbox::default()).await;
    assert_eq!(lines, ["0"]);
    let made = format!(
        "perl -e 'my $name = \"zero\"; syscall({}, -100, $name, 020666, 0x105)'; head -c 1 zero 2>/dev/null | wc -c",
        libc::SYS_mknodat
    );
    check(&made, "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_processes_is_limited() {
    let command = "perl -e 'while (defined(my $p = fork)) { $p or do { sleep 600; exit }; last if ++$n == 5000 } \
        print $n < 4096 ? \"limited\" : \"$n\", \"\\n\"'";
    check(command, "limited").await;
    let left =
        |directory: &str| Command::new("find").args([directory, "-name", "sealer-run-*"]).output().unwrap().stdout;
    let ours = format!("sealer-run-{}-", std::process::id());
    let left = String::from_utf8(left("/sys/fs/cgroup")).unwrap();
    // Other tests of this program may run.
    assert!(left.matches(&ours).count() <= 16, "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_takes_too_long_is_killed() {
    let limit = Duration::from_secs(2);
    let options = options_with(|options| options.run_timeout = Some(limit));
    for mode in MODES {
        let bench = bench(mode);
        let started = Instant::now();
        let kubefile = format!("{mode}RUN echo begun; while :; do perl -e 'sleep 600'; done\n");
        let error = bench.build_in(&kubefile, &options, &LinuxSandbox::default()).await.unwrap_err();
        let Error::RunTimeout { limit: said, last_lines, .. } = &error else { panic!("{error}") };
        assert_eq!((*said, last_lines.as_slice()), (limit, &["begun".to_owned()][..]));
        assert!(started.elapsed() < Duration::from_secs(60));
        nothing_is_left(&bench);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_is_too_deep_is_refused_and_removed() {
    for mode in MODES {
        let bench = bench(mode);
        let kubefile = format!("{mode}RUN perl -e 'for (1..1000) {{ mkdir \"deeper\" or die; chdir \"deeper\" }}'\n");
        let error = bench.build_in(&kubefile, &BuildOptions::default(), &LinuxSandbox::default()).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("nested deeper than 256"), "{error}: {cause}");
        nothing_is_left(&bench);
    }
}

#[tokio::test]
async fn what_killed_builds_left_is_removed() {
    let bench = bench(MODES[0]);
    // One with the files of a RUN, one that was killed before it was locked.
    for left in ["at-work-1/run-1/upper/deep/deep", "at-work-2"] {
        fs::create_dir_all(bench.path("root/cache/build").join(left)).unwrap();
    }
    fs::write(bench.path("root/cache/build/at-work-1/run-1/upper/deep/file"), "x").unwrap();
    let other = File::open(bench.path("root/cache/build")).unwrap();
    bench.build("FROM scratch\n").await.unwrap();
    drop(other);
    nothing_is_left(&bench);
}

/// No directory of a build at work.
fn nothing_is_left(bench: &Bench) {
    let left: Vec<_> = fs::read_dir(bench.path("root/cache/build")).unwrap().flatten().collect();
    assert!(left.iter().all(|entry| entry.path().is_file()), "{left:?}");
}

#[test]
fn every_row_of_the_documentation_names_a_test() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/security.md")).unwrap();
    let sources = [
        include_str!("confinement.rs"),
        include_str!("sandbox.rs"),
        include_str!("build.rs"),
        include_str!("../../../cli/tests/sandbox.rs"),
        include_str!("../src/layer/scan.rs"),
    ];
    let (_, table) = page.split_once("## What RUN can and cannot do").unwrap();
    let rows =
        table.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
    let mut number = 0;
    for row in rows {
        number += 1;
        let tests = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            assert!(sources.iter().any(|source| source.contains(&format!("fn {name}()"))), "{name} is no test");
        }
    }
    assert!(number >= 15, "{number} rows");
}
