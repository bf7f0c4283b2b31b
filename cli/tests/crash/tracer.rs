//! Runs a program under ptrace and interferes with the n-th system call that changes a file.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::libc::{self, c_long, user_regs_struct};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::stage::spawn;

/// What is done when the call comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interference {
    /// All threads end before the call.
    Kill,
    /// The call, and every later one that changes a file, fails with this error. A full disk still removes and reads.
    Fail(i32),
    /// This call alone fails.
    FailOnce(i32),
}

/// How the run ended.
#[derive(Debug)]
pub(crate) struct Traced {
    /// The exit code; none after a signal.
    pub(crate) code: Option<i32>,
    /// The calls that change a file, in their order.
    pub(crate) calls: Vec<String>,
    pub(crate) stderr: String,
}

/// Runs a command whose calls below `place` count; interferes with the call of number `at`, from 0.
#[expect(clippy::zombie_processes, reason = "the tracer waits for it, and for all its threads")]
pub(crate) fn run(command: &Command, place: &Path, interference: Option<(usize, Interference)>) -> Traced {
    let told = place.with_extension("stderr");
    // The shell waits until it is traced, then becomes the program.
    let mut waiting = Command::new("/bin/sh");
    waiting.args(["-c", r#"read -r go && exec "$0" "$@" </dev/null"#]).arg(command.get_program());
    waiting
        .args(command.get_args())
        .env_clear()
        .envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    waiting.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::piped()).stdout(Stdio::null());
    waiting.stderr(fs::File::create(&told).unwrap());
    let mut child = spawn(&mut waiting);
    let main = Pid::from_raw(child.id().cast_signed());
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(main, options).unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut tracer =
        Tracer { main, place: place.to_owned(), interference, calls: Vec::new(), failing: BTreeMap::new() };
    let code = tracer.follow();
    Traced { code, calls: tracer.calls, stderr: fs::read_to_string(&told).unwrap() }
}

struct Tracer {
    main: Pid,
    place: PathBuf,
    interference: Option<(usize, Interference)>,
    calls: Vec<String>,
    /// Threads in a call that is to fail, with the error.
    failing: BTreeMap<Pid, i32>,
}

impl Tracer {
    /// Until the program ended, whose first thread ends last; gives the exit code.
    fn follow(&mut self) -> Option<i32> {
        let mut traced = false;
        loop {
            // Only what this thread traces: other tests have children, too.
            let flags = WaitPidFlag::__WALL | WaitPidFlag::from_bits_retain(libc::__WNOTHREAD);
            let (thread, signal) = match waitpid(None, Some(flags)) {
                Err(error) => panic!("{error}"),
                Ok(WaitStatus::Exited(thread, status)) if thread == self.main => return Some(status),
                Ok(WaitStatus::Signaled(thread, ..)) if thread == self.main => return None,
                Ok(WaitStatus::PtraceSyscall(thread)) => {
                    self.call(thread);
                    (thread, None)
                }
                Ok(WaitStatus::PtraceEvent(thread, _, event)) => {
                    traced |= event == libc::PTRACE_EVENT_EXEC;
                    (thread, None)
                }
                Ok(WaitStatus::Stopped(thread, signal)) => {
                    (thread, Some(signal).filter(|signal| *signal != Signal::SIGTRAP))
                }
                Ok(_) => continue,
            };
            // A thread that was killed meanwhile is gone.
            let _ = if traced { ptrace::syscall(thread, signal) } else { ptrace::cont(thread, signal) };
        }
    }

    /// At the start or the end of a call.
    fn call(&mut self, thread: Pid) {
        let Ok(info) = ptrace::syscall_info(thread) else { return };
        let Ok(mut registers) = ptrace::getregs(thread) else { return };
        if info.op == libc::PTRACE_SYSCALL_INFO_EXIT {
            if let Some(error) = self.failing.remove(&thread) {
                registers.rax = (-i64::from(error)).cast_unsigned();
                let _ = ptrace::setregs(thread, registers);
            }
            return;
        }
        let Some(name) = self.change(thread, &registers) else { return };
        let number = self.calls.len();
        self.calls.push(name.to_owned());
        let is_cleanup = matches!(name, "unlink" | "unlinkat" | "rmdir");
        let error = match self.interference {
            Some((at, Interference::Kill)) if at == number => {
                let _ = kill(self.main, Signal::SIGKILL);
                return;
            }
            Some((at, Interference::Fail(libc::ENOSPC))) if number >= at && is_cleanup => return,
            Some((at, Interference::Fail(error))) if number >= at => error,
            Some((at, Interference::FailOnce(error))) if number == at => error,
            _ => return,
        };
        // There is no call of this number, so nothing happens; the result is written at its end.
        registers.orig_rax = u64::MAX;
        let _ = ptrace::setregs(thread, registers);
        self.failing.insert(thread, error);
    }

    /// The name of a call that changes a file of the place.
    fn change(&self, thread: Pid, registers: &user_regs_struct) -> Option<&'static str> {
        let (first, second, third) = (registers.rdi, registers.rsi, registers.rdx);
        let is_ours = |descriptor: u64| {
            fs::read_link(format!("/proc/{thread}/fd/{descriptor}")).is_ok_and(|path| path.starts_with(&self.place))
        };
        let opens = |flags: u64| flags & (libc::O_CREAT | libc::O_TRUNC) as u64 != 0;
        Some(match c_long::try_from(registers.orig_rax).ok()? {
            libc::SYS_write if is_ours(first) => "write",
            libc::SYS_pwrite64 if is_ours(first) => "pwrite64",
            libc::SYS_writev if is_ours(first) => "writev",
            libc::SYS_sendfile if is_ours(first) => "sendfile",
            libc::SYS_copy_file_range if is_ours(third) => "copy_file_range",
            libc::SYS_ftruncate if is_ours(first) => "ftruncate",
            libc::SYS_fsync if is_ours(first) => "fsync",
            libc::SYS_fdatasync if is_ours(first) => "fdatasync",
            libc::SYS_fchmod if is_ours(first) => "fchmod",
            libc::SYS_open if opens(second) => "open",
            libc::SYS_openat if opens(third) => "openat",
            libc::SYS_rename => "rename",
            libc::SYS_renameat => "renameat",
            libc::SYS_renameat2 => "renameat2",
            libc::SYS_unlink => "unlink",
            libc::SYS_unlinkat => "unlinkat",
            libc::SYS_rmdir => "rmdir",
            libc::SYS_mkdir => "mkdir",
            libc::SYS_mkdirat => "mkdirat",
            libc::SYS_link => "link",
            libc::SYS_linkat => "linkat",
            libc::SYS_symlink => "symlink",
            libc::SYS_symlinkat => "symlinkat",
            libc::SYS_chmod => "chmod",
            libc::SYS_fchmodat => "fchmodat",
            libc::SYS_utimensat => "utimensat",
            _ => return None,
        })
    }
}
