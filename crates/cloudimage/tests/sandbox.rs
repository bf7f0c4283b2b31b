//! RUN sees this machine's tools, changes only the rootfs, and ends completely. Needs root and overlayfs.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bench::{Bench, copy_program};
use cloudimage::sandbox::contract;
use cloudimage::{Built, Error, LinuxSandbox, Platform, unpack};

/// Not on tmpfs: overlayfs wants a file system with extended attributes for its upper directory.
fn bench() -> Bench {
    Bench::below(Path::new("/var/tmp"))
}

async fn build(bench: &Bench, kubefile: &str) -> Result<Built, Error> {
    bench.build_in(kubefile, &bench.options(), &LinuxSandbox::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_sandbox_keeps_the_contract() {
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    contract::check(&LinuxSandbox::default(), directory.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stand_in_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    contract::check(&contract::scripted(), directory.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn run_sees_what_hosts_will_see_through_links() {
    let bench = bench();
    bench.write("base/usr/bin/old", "old");
    std::os::unix::fs::symlink("usr/bin", bench.context().join("base/bin")).unwrap();
    bench.write("top/bin/tool", "tool");
    build(&bench, "FROM scratch\nCOPY base .\nCOPY top .\nRUN readlink bin; ls bin\n").await.unwrap();
    assert_eq!(bench.output(), ["usr/bin", "old", "tool"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rootfs_for_another_processor_is_filled_with_this_machines_tools() {
    let bench = bench();
    // No program of this machine: were it first on the path, nothing would run.
    bench.write("bin/cat", "\u{7f}ELF for another processor");
    bench.write("bin/own", "#!/bin/sh\necho a script runs anywhere\n");
    for file in ["bin/cat", "bin/own"] {
        Command::new("chmod").arg("755").arg(bench.context().join(file)).status().unwrap();
    }
    let foreign = if Platform::host().architecture == "s390x" { "linux/arm64" } else { "linux/s390x" };
    let options = bench.options_with(|options| options.platforms = vec![foreign.parse().unwrap()]);
    let kubefile = "FROM scratch\nCOPY bin bin\nRUN own; echo $TARGETPLATFORM | cat > made\n";
    bench.build_in(kubefile, &options, &LinuxSandbox::default()).await.unwrap();
    assert_eq!(bench.output(), ["a script runs anywhere"]);
    let image = bench.images().get("shop:1.4").unwrap();
    assert_eq!(image.read_files(&["made"], 100).unwrap()["made"], format!("{foreign}\n").into_bytes());

    bench.write("os/bin/sh", "a shell for another processor");
    let entered = bench.build_in("FROM scratch\nCOPY os .\nRUN true\n", &options, &LinuxSandbox::default()).await;
    let message = entered.unwrap_err().to_string();
    let expected = format!("line 3: RUN enters the rootfs, an operating system for {foreign}, which this machine");
    assert!(message.starts_with(&expected) && message.contains("binfmt_misc"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_rootfs_is_writable() {
    let bench = bench();
    bench.write("bin/tool", "#!/bin/sh\necho tool of the rootfs\n");
    Command::new("chmod").arg("755").arg(bench.context().join("bin/tool")).status().unwrap();
    let marker = PathBuf::from("/etc/sealer-test-marker");
    let kubefile = format!(
        "FROM scratch\nCOPY bin bin\nRUN tool; (echo x > {0}) 2>/dev/null && echo leaked || echo safe\n\
         RUN (mount -t tmpfs none /opt || echo 1 > /proc/sys/vm/drop_caches || find /dev -type b | grep .) 2>/dev/null && echo done || echo refused; ls -A /tmp /root | tr '\\n' ' '; echo; echo $HOME; pwd; ls /proc | grep -c '^[0-9]'\n\
         RUN echo x > /tmp/file && test -e /tmp/file && echo private\nRUN test -e /tmp/file || echo gone\n",
        marker.display()
    );
    build(&bench, &kubefile).await.unwrap();
    let lines = bench.output();
    assert_eq!(lines[..3], ["tool of the rootfs", "safe", "refused"], "{lines:?}");
    assert_eq!(lines[3].replace("/tmp:", "").replace("/root:", "").trim(), "", "{lines:?}");
    assert_eq!(lines[4..6], ["/root", "/mnt"]);
    let processes: usize = lines[6].parse().unwrap();
    assert!(processes <= 4, "other processes are seen: {processes}");
    assert_eq!(lines[7..], ["private", "gone"]);
    assert!(!marker.exists());
    assert_eq!(
        bench.images().get("shop:1.4").unwrap().list_files().unwrap(),
        ["bin/tool"],
        "nothing but the rootfs is in the image"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_replacements_and_attributes_reach_the_unpacked_rootfs() {
    let bench = bench();
    for file in ["keep/a", "gone/b", "replaced/c", "replaced/d", "file"] {
        bench.write(file, file);
    }
    let kubefile = "FROM scratch\nCOPY . .\nRUN rm -r gone file && rm -r replaced && mkdir replaced && echo new > replaced/e\n\
        RUN <<END\nmkfifo pipe\nln keep/a keep/hard\nln -s a keep/soft\nchown 12:34 keep/a\nchmod 4711 keep/a\nEND\nRUN mv keep moved\n";
    build(&bench, kubefile).await.unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    assert_eq!(image.list_files().unwrap(), ["moved/a", "moved/hard", "moved/soft", "pipe", "replaced/e"]);
    let rootfs = bench.path("rootfs");
    unpack(bench.images().content(), image.layers(), &rootfs, &mut |_| {}).unwrap();
    assert!(!rootfs.join("gone").exists() && !rootfs.join("file").exists() && !rootfs.join("keep").exists());
    assert_eq!(fs::read_to_string(rootfs.join("replaced/e")).unwrap(), "new\n");
    assert!(!rootfs.join("replaced/c").exists(), "a replaced directory hides what was below");
    assert!(rootfs.join("pipe").symlink_metadata().unwrap().file_type().is_fifo());
    let file = rootfs.join("moved/a").metadata().unwrap();
    assert_eq!((file.mode() & 0o7777, file.uid(), file.gid(), file.nlink()), (0o4711, 12, 34, 2));
    // Unpacking over an existing tree replaces it as a whole.
    fs::write(rootfs.join("stray"), "x").unwrap();
    unpack(bench.images().content(), image.layers(), &rootfs, &mut |_| {}).unwrap();
    assert!(!rootfs.join("stray").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_and_capabilities_of_files_are_kept() {
    let bench = bench();
    bench.write("etc/passwd", "root:x:0:0\nalice:x:1000:1001\n");
    bench.write("etc/group", "staff:x:50:\n");
    bench.write("file", "x");
    // cap_net_raw=ep, as `setcap` writes it.
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(bench.context().join("file"), "security.capability", &capability, flags).unwrap();
    let kubefile = "FROM scratch\nCOPY etc etc\nCOPY file plain\nCOPY --chown=alice file own/\nCOPY --chown=alice:staff file named\nCOPY --chown=7 file number\nCOPY --chown=7:8 file both\n";
    build(&bench, kubefile).await.unwrap();
    let rootfs = bench.path("rootfs");
    let image = bench.images().get("shop:1.4").unwrap();
    unpack(bench.images().content(), image.layers(), &rootfs, &mut |_| {}).unwrap();
    let expected = [("plain", 0, 0), ("own/file", 1000, 1001), ("named", 1000, 50), ("number", 7, 7), ("both", 7, 8)];
    for (path, uid, gid) in expected {
        let metadata = rootfs.join(path).metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (uid, gid), "{path}");
        let mut value = [0; 64];
        let length = rustix::fs::getxattr(rootfs.join(path), "security.capability", &mut value[..]).unwrap();
        assert_eq!(value[..length], capability, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_command_shows_its_last_lines_and_leaves_nothing() {
    let bench = bench();
    let error =
        build(&bench, "FROM scratch\nRUN for n in $(seq 1 50); do echo line $n; done; echo half > half; exit 3\n")
            .await
            .unwrap_err();
    let Error::Run { line: 2, outcome, last_lines, .. } = &error else { panic!("{error}") };
    assert_eq!(
        (outcome.as_str(), last_lines.len(), last_lines[19].as_str()),
        ("failed with exit code 3", 20, "line 50")
    );
    assert!(bench.images().list().unwrap().is_empty());
    assert!(bench.images().content().blobs().unwrap().is_empty(), "no half layer");
    let error = build(&bench, "FROM scratch\nRUN kill -9 $$; sleep 5\nRUN true\n").await;
    assert!(error.is_ok() || error.unwrap_err().to_string().contains("signal"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operating_system_is_entered() {
    let bench = bench();
    for program in ["/bin/sh", "/bin/ls", "/bin/cat"] {
        copy_program(&bench.context(), Path::new(program));
    }
    build(&bench, "FROM scratch\nCOPY . .\nRUN echo here > /etc-file; cat /proc/self/status > /dev/null && ls / && echo x > /dev/null\n").await.unwrap();
    let lines = bench.output();
    assert!(lines.contains(&"etc-file".to_owned()) && !lines.contains(&"var".to_owned()), "{lines:?}");
    let files = bench.images().get("shop:1.4").unwrap().list_files().unwrap();
    assert!(files.contains(&"etc-file".to_owned()));
    assert!(
        !files.iter().any(|file| file.starts_with("dev/") || file.starts_with("proc/") || file == "etc/resolv.conf"),
        "{files:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_build_kills_the_whole_process_tree() {
    let bench = bench();
    let number = std::process::id() + 900_000;
    let kubefile =
        format!("FROM scratch\nRUN (sleep {number} &) ; (setsid sleep {number} &) ; echo ready; sleep {number}\n");
    let building = build(&bench, &kubefile);
    assert!(tokio::time::timeout(Duration::from_secs(3), building).await.is_err());
    assert_eq!(bench.output(), ["ready"]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while sleepers(number) > 0 {
        assert!(Instant::now() < deadline, "processes of the RUN are left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(bench.images().list().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_leaves_no_name() {
    let disk = SmallDisk::new("12m");
    let bench = Bench::below(&disk.0);
    let noise: Vec<u8> = (0..6_000_000_u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .take(9_000_000)
        .collect();
    fs::write(bench.context().join("noise"), noise).unwrap();
    let options = bench.options_with(|options| options.compression = cloudimage::Compression::None);
    let error = bench.build_with("FROM scratch\nCOPY noise noise\n", &options).await.unwrap_err();
    let mut message = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    assert!(message.contains("space"), "{message}");
    assert!(bench.images().list().unwrap().is_empty() && bench.images().content().blobs().unwrap().is_empty());
    fs::remove_file(bench.context().join("noise")).unwrap();
    bench.write("noise", "small");
    bench.build_with("FROM scratch\nCOPY noise noise\n", &options).await.unwrap();
}

struct SmallDisk(PathBuf, #[expect(dead_code, reason = "removed when dropped")] tempfile::TempDir);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(directory.path())
            .status()
            .unwrap();
        assert!(mounted.success());
        Self(directory.path().to_owned(), directory)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn sleepers(number: u32) -> usize {
    let wanted = format!("sleep\0{number}\0");
    let is_ours =
        |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == wanted.as_bytes());
    fs::read_dir("/proc").unwrap().flatten().map(is_ours).filter(|&ours| ours).count()
}
