//! This machine itself, through the same trait as a distant host.

use std::io;
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::OnceCell;

use super::launch::Privilege;
use super::process::{self, Chunk, Running, Transport};
use super::{Command, Output, Remote, Session, SmallFile, files, privilege};
use crate::Error;

/// This machine: commands run as root, directly or by a `sudo` that asks for nothing.
#[derive(Debug)]
pub struct Local {
    shell: Shell,
    privilege: OnceCell<Privilege>,
}

impl Local {
    /// This machine, under the address by which the cluster knows it. How to become root is asked at first use.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self { shell: Shell { address }, privilege: OnceCell::new() }
    }

    async fn privilege(&self) -> Result<&Privilege, Error> {
        self.privilege.get_or_try_init(|| privilege::probe(&self.shell, "this user", None)).await
    }
}

#[async_trait]
impl Remote for Local {
    fn address(&self) -> IpAddr {
        self.shell.address
    }

    async fn run(&self, command: &Command) -> Result<Output, Error> {
        process::run(&self.shell, self.privilege().await?, command, None).await
    }

    async fn stream(&self, command: &Command) -> Result<Session, Error> {
        process::stream(&self.shell, self.privilege().await?, command).await
    }

    async fn write(&self, path: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
        self.write_all(&[SmallFile { path, mode, content }]).await
    }

    async fn write_all(&self, files: &[SmallFile<'_>]) -> Result<(), Error> {
        files::write(&self.shell, self.privilege().await?, files).await
    }

    async fn upload(
        &self,
        local: &Path,
        remote: &str,
        mode: u32,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Error> {
        files::upload(&self.shell, self.privilege().await?, local, remote, mode, progress).await
    }

    async fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        files::read(&self.shell, self.privilege().await?, path, limit).await
    }
}

#[derive(Debug)]
struct Shell {
    address: IpAddr,
}

#[async_trait]
impl Transport for Shell {
    fn address(&self) -> IpAddr {
        self.address
    }

    async fn start(&self, line: &str) -> Result<Box<dyn Running>, Error> {
        let failed = |source| Error::Start { host: self.address, source };
        let mut child = tokio::process::Command::new("/bin/sh")
            .args(["-c", line])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok(Box::new(LocalProcess { child, stdout, stderr, ended: false }))
    }
}

struct LocalProcess {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    ended: bool,
}

#[async_trait]
impl Running for LocalProcess {
    fn stdin(&mut self) -> Box<dyn AsyncWrite + Send + Unpin> {
        Box::new(Stdin(self.child.stdin.take()))
    }

    async fn next(&mut self) -> Chunk {
        loop {
            if self.ended && self.stdout.is_none() && self.stderr.is_none() {
                return Chunk::End;
            }
            tokio::select! {
                biased;
                bytes = some(&mut self.stdout), if self.stdout.is_some() => if let Some(bytes) = bytes {
                    return Chunk::Stdout(bytes);
                },
                bytes = some(&mut self.stderr), if self.stderr.is_some() => if let Some(bytes) = bytes {
                    return Chunk::Stderr(bytes);
                },
                status = self.child.wait(), if !self.ended => {
                    self.ended = true;
                    return match status {
                        Ok(status) => match status.code() {
                            Some(code) => Chunk::Exit(code),
                            None => Chunk::Signal(signal_name(status.signal().unwrap_or_default())),
                        },
                        Err(error) => Chunk::Lost(error.to_string()),
                    };
                }
            }
        }
    }

    async fn kill(&mut self) {
        if let Some(pid) = self.child.id().filter(|_| !self.ended) {
            // The whole group: the shell's children too.
            let kill = tokio::process::Command::new("/bin/sh")
                .args(["-c", &format!("kill -KILL -{pid}")])
                .stderr(Stdio::null())
                .status();
            let _ = kill.await;
        }
        let _ = self.child.start_kill();
    }
}

/// Standard input that ends when it is shut down; a pipe alone ends only when dropped.
struct Stdin(Option<ChildStdin>);

impl Stdin {
    fn pipe(&mut self) -> io::Result<Pin<&mut ChildStdin>> {
        let pipe = self.0.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Pin::new(pipe))
    }
}

impl AsyncWrite for Stdin {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.pipe()?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = std::task::ready!(self.pipe()?.poll_flush(context));
        self.0 = None;
        Poll::Ready(flushed)
    }
}

/// The next bytes; at its end the pipe is forgotten.
async fn some<R: AsyncRead + Unpin>(pipe: &mut Option<R>) -> Option<Bytes> {
    let mut bytes = BytesMut::with_capacity(64 << 10);
    if let Some(reader) = pipe
        && reader.read_buf(&mut bytes).await.is_ok_and(|read| read > 0)
    {
        return Some(bytes.freeze());
    }
    *pipe = None;
    None
}

/// The name of a Linux signal, without `SIG`.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        6 => "ABRT",
        7 => "BUS",
        8 => "FPE",
        9 => "KILL",
        11 => "SEGV",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        _ => return signal.to_string(),
    };
    name.to_owned()
}
