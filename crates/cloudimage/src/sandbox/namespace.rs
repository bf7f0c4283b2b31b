//! Sets up the namespaces, mounts and limits of a command in the sandbox.
//!
//! Everything here runs in one thread that has left the others' namespaces and ends after the command.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kubefile::ShellOrExec;
use nix::sched::CloneFlags;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::CapabilitySet;

use super::linux::fault;
use super::overlay::{attach, mount_layers};
use super::{Ended, SandboxRun};
use crate::error::{Error, Result};

/// Where the rootfs is mounted over this machine's tree, the first that exists; scripts that write down their directory
/// then write the same on every machine.
const MOUNT_POINTS: [&str; 3] = ["/mnt", "/media", "/srv"];
/// Where tools are looked for, behind the rootfs' own `bin`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Mount points that an entered rootfs needs, and files that are lent to it.
const DIRECTORIES: [&str; 7] = ["proc", "dev", "sys", "tmp", "root", "run", "etc"];
const LENT_FILES: [&str; 2] = ["etc/resolv.conf", "etc/hosts"];
/// Devices of an entered rootfs.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Runs the command to its end in new namespaces of this thread, which must be used for nothing else afterwards.
pub(super) fn run(run: &SandboxRun, stdout: OwnedFd, stderr: OwnedFd, started: &dyn Fn(OwnedFd)) -> Result<Ended> {
    let enters = run.lower.iter().any(|layer| {
        layer.join("bin/sh").symlink_metadata().is_ok() || layer.join("usr/bin/sh").symlink_metadata().is_ok()
    });
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_FS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    nix::sched::unshare(flags).map_err(std::io::Error::from).map_err(fault("make namespaces"))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(io).map_err(fault("separate its mounts"))?;
    let world = if enters { enter(run)? } else { overlook(run)? };
    let first = FirstProcess::start(&world.proc)?;
    started(first.pidfd()?);
    protect(&world.proc)?;
    world.step_in()?;
    drop_capabilities()?;
    let mut command = command(run, &world.rootfs);
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let mut child = command.spawn().map_err(fault(format!("start {}", command.get_program().to_string_lossy())))?;
    // The command holds the ends of the pipes now; ours must close when it does.
    drop(command);
    let status = child.wait().map_err(fault("wait for the command"))?;
    drop(first);
    Ok(status.code().map_or_else(|| Ended::Killed(status.signal().unwrap_or_default()), Ended::Exited))
}

/// Makes the kernel's switches under `proc` read-only: they are this machine's, not the namespace's.
fn protect(proc: &Path) -> Result<()> {
    for name in ["sys", "sysrq-trigger", "irq", "bus", "fs"] {
        let path = proc.join(name);
        if path.exists() {
            let flags =
                MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            let protected = mount_bind(&path, &path).and_then(|()| mount_remount(&path, flags, ""));
            protected.map_err(io).map_err(fault(format!("protect {}", path.display())))?;
        }
    }
    Ok(())
}

/// What the command will see.
struct World {
    /// The rootfs, as a path for the command.
    rootfs: PathBuf,
    /// Where processes are to be shown, as a path for this thread.
    proc: PathBuf,
    /// The directory that becomes the root of the tree, when the rootfs is entered.
    root: Option<PathBuf>,
}

impl World {
    /// Makes the command's root and working directory this thread's.
    fn step_in(&self) -> Result<()> {
        if let Some(root) = &self.root {
            std::env::set_current_dir(root).map_err(fault("enter the rootfs"))?;
            rustix::process::pivot_root(".", ".").map_err(io).map_err(fault("enter the rootfs"))?;
            unmount(".", UnmountFlags::DETACH).map_err(io).map_err(fault("leave the old root"))?;
        }
        std::env::set_current_dir(&self.rootfs).map_err(fault("enter the rootfs"))
    }
}

/// The first process of the new process namespace. When it ends, the kernel ends all others there; and it ends when its
/// input closes, so also when this process is killed.
struct FirstProcess(Child);

impl FirstProcess {
    /// Starts it; it mounts the view of its namespace's processes on `proc`, which only a member can do.
    fn start(proc: &Path) -> Result<Self> {
        const SCRIPT: &str = "mount -t proc -o nosuid,nodev,noexec proc \"$1\" && echo ready && read -r line";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "sh"]).arg(proc).env_clear().env("PATH", PATH);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(fault("start /bin/sh"))?;
        let mut answer = [0; 6];
        let ready =
            child.stdout.as_mut().is_some_and(|stdout| stdout.read_exact(&mut answer).is_ok()) && &answer == b"ready\n";
        let process = Self(child);
        if ready { Ok(process) } else { Err(process.explain(proc)) }
    }

    fn explain(mut self, proc: &Path) -> Error {
        drop(self.0.stdin.take());
        let mut text = String::new();
        if let Some(stderr) = self.0.stderr.take() {
            // Whatever it said; nothing is an answer too.
            let _ = stderr.take(4096).read_to_string(&mut text);
        }
        fault(format!("mount {}", proc.display()))(std::io::Error::other(text.trim().to_owned()))
    }

    fn pidfd(&self) -> Result<OwnedFd> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| fault("watch its processes")(std::io::ErrorKind::InvalidData.into()))?;
        pidfd_open(pid, PidfdFlags::empty()).map_err(io).map_err(fault("watch its processes"))
    }
}

impl Drop for FirstProcess {
    fn drop(&mut self) {
        // It may have been killed; then there is nothing left to do but to collect it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This machine's tree, read-only, with the rootfs mounted somewhere in it.
fn overlook(run: &SandboxRun) -> Result<World> {
    let overlay = mount_layers(run, None)?;
    let target = MOUNT_POINTS.iter().map(Path::new).find(|path| path.is_dir());
    let target = target.ok_or_else(|| {
        fault("find a mount point (none of /mnt, /media, /srv is a directory)")(std::io::ErrorKind::NotFound.into())
    })?;
    let devices = run.work.join("devices");
    std::fs::create_dir_all(&devices).map_err(fault("make mount points"))?;
    mount_devices(&devices)?;
    let resolver = Path::new("/etc/resolv.conf").canonicalize().ok();
    let resolver = resolver.and_then(|path| std::fs::read(&path).ok().map(|text| (path, text)));
    make_read_only(&devices)?;
    mount_bind_recursive(&devices, "/dev").map_err(io).map_err(fault("mount /dev"))?;
    attach(&overlay, target)?;
    for (directory, options) in
        [("/tmp", "mode=1777"), ("/var/tmp", "mode=1777"), ("/root", "mode=0700"), ("/run", "mode=0755")]
    {
        if Path::new(directory).is_dir() {
            mount_tmpfs(Path::new(directory), options)?;
        }
    }
    // The sockets in /run must not be reached, but names must be resolved.
    if let Some((path, text)) = resolver.filter(|(path, _)| path.starts_with("/run")) {
        let parent = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        parent.and_then(|()| std::fs::write(&path, text)).map_err(fault("lend /etc/resolv.conf"))?;
    }
    Ok(World { rootfs: target.to_owned(), proc: PathBuf::from("/proc"), root: None })
}

/// The rootfs as the whole tree.
fn enter(run: &SandboxRun) -> Result<World> {
    // Mount points stand in a layer below all others, so that making them changes nothing.
    let base = run.work.join("mount-points");
    for directory in DIRECTORIES {
        std::fs::create_dir_all(base.join(directory)).map_err(fault("make mount points"))?;
    }
    for file in LENT_FILES {
        std::fs::write(base.join(file), "").map_err(fault("make mount points"))?;
    }
    let root = run.work.join("root");
    std::fs::create_dir_all(&root).map_err(fault("make mount points"))?;
    attach(&mount_layers(run, Some(&base))?, &root)?;
    mount_devices(&root.join("dev"))?;
    for (directory, options) in [("tmp", "mode=1777"), ("root", "mode=0700")] {
        mount_tmpfs(&root.join(directory), options)?;
    }
    for file in LENT_FILES {
        let (from, to) = (Path::new("/").join(file), root.join(file));
        let is_file = to.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        if from.is_file() && is_file {
            lend(&from, &to)?;
        }
    }
    Ok(World { rootfs: PathBuf::from("/"), proc: root.join("proc"), root: Some(root) })
}

/// Makes every mount of this namespace read-only but those of devices and processes.
fn make_read_only(devices: &Path) -> Result<()> {
    let table = std::fs::read_to_string("/proc/thread-self/mountinfo").map_err(fault("read the list of mounts"))?;
    for line in table.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let (Some(point), Some(options)) = (fields.get(4), fields.get(5)) else { continue };
        let point = unescape(point);
        if [Path::new("/proc"), Path::new("/dev"), devices].iter().any(|kept| point.starts_with(kept)) {
            continue;
        }
        let mut flags = MountFlags::BIND | MountFlags::RDONLY;
        for option in options.split(',') {
            flags |= match option {
                "nosuid" => MountFlags::NOSUID,
                "nodev" => MountFlags::NODEV,
                "noexec" => MountFlags::NOEXEC,
                "noatime" => MountFlags::NOATIME,
                "nodiratime" => MountFlags::NODIRATIME,
                "relatime" => MountFlags::RELATIME,
                _ => MountFlags::empty(),
            };
        }
        match mount_remount(&point, flags, "") {
            Ok(()) => {}
            // Hidden under another mount, or gone: nobody can reach it.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) if point != Path::new("/") => {}
            Err(error) => return Err(fault(format!("make {} read-only", point.display()))(error.into())),
        }
    }
    Ok(())
}

/// Undoes the octal escapes of the mount table.
fn unescape(field: &str) -> PathBuf {
    let mut path = field.to_owned();
    for (escape, letter) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        path = path.replace(escape, letter);
    }
    PathBuf::from(path)
}

fn mount_tmpfs(target: &Path, options: &str) -> Result<()> {
    let options =
        std::ffi::CString::new(options).map_err(|_| fault("mount a tmpfs")(std::io::ErrorKind::InvalidInput.into()))?;
    let mounted = mount("tmpfs", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str());
    mounted.map_err(io).map_err(fault(format!("mount a tmpfs on {}", target.display())))
}

/// A few harmless devices of this machine.
fn mount_devices(target: &Path) -> Result<()> {
    mount_tmpfs(target, "mode=0755")?;
    for device in DEVICES {
        let (from, to) = (Path::new("/dev").join(device), target.join(device));
        if from.exists() {
            std::fs::write(&to, "").map_err(fault(format!("make {}", to.display())))?;
            mount_bind(&from, &to).map_err(io).map_err(fault(format!("mount {}", to.display())))?;
        }
    }
    let shared = target.join("shm");
    std::fs::create_dir(&shared).map_err(fault("make shm"))?;
    mount_tmpfs(&shared, "mode=1777")?;
    for (name, link) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        std::os::unix::fs::symlink(link, target.join(name)).map_err(fault(format!("make {name}")))?;
    }
    Ok(())
}

/// Shows a file of this machine in the rootfs, read-only.
fn lend(from: &Path, to: &Path) -> Result<()> {
    let lent =
        mount_bind_recursive(from, to).and_then(|()| mount_remount(to, MountFlags::BIND | MountFlags::RDONLY, ""));
    lent.map_err(io).map_err(fault(format!("lend {}", from.display())))
}

/// Leaves what an ordinary container may do. The bounding set is what counts: the command is started as a new program.
fn drop_capabilities() -> Result<()> {
    let kept = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FSETID
        | CapabilitySet::FOWNER
        | CapabilitySet::MKNOD
        | CapabilitySet::NET_RAW
        | CapabilitySet::SETGID
        | CapabilitySet::SETUID
        | CapabilitySet::SETFCAP
        | CapabilitySet::SETPCAP
        | CapabilitySet::NET_BIND_SERVICE
        | CapabilitySet::SYS_CHROOT
        | CapabilitySet::KILL
        | CapabilitySet::AUDIT_WRITE;
    for capability in CapabilitySet::all().iter() {
        let bounded = rustix::thread::capability_is_in_bounding_set(capability);
        if !kept.contains(capability) && bounded.unwrap_or(false) {
            rustix::thread::remove_capability_from_bounding_set(capability)
                .map_err(io)
                .map_err(fault("drop capabilities"))?;
        }
    }
    Ok(())
}

fn command(run: &SandboxRun, rootfs: &Path) -> Command {
    let mut command = match &run.command {
        ShellOrExec::Shell(text) => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(text);
            command
        }
        ShellOrExec::Exec(words) => {
            let mut command = Command::new(words.first().map_or("", String::as_str));
            command.args(words.iter().skip(1));
            command
        }
    };
    let path = if rootfs == Path::new("/") { PATH.to_owned() } else { format!("{}/bin:{PATH}", rootfs.display()) };
    let mut environment = BTreeMap::from([("PATH", path.as_str()), ("HOME", "/root")]);
    environment.extend(run.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    command.env_clear().envs(environment).current_dir(rootfs);
    command
}

pub(super) fn io(error: rustix::io::Errno) -> std::io::Error {
    error.into()
}
