//! Writes, sends and reads files on a host with nothing but a POSIX shell and coreutils.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::launch::{Launch, Privilege};
use super::process::{self, Transport};
use super::{Command, Output, SmallFile};
use crate::Error;
use crate::text::{last_lines, quote};

/// How long the host may take for a small file.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The most files in one script, which has limits of its own, the most bytes of their paths, and of their contents.
const MOST_FILES: usize = 50;
const MOST_NAMES: usize = 4_000;
const MOST_BYTES: usize = 4 << 20;
/// Bytes sent at once.
const CHUNK: usize = 256 << 10;
/// The exit code by which a script says that there is no such file.
const ABSENT: i32 = 66;

/// Writes small files, each atomically, as many at once as one script and one input hold.
pub(super) async fn write(
    transport: &dyn Transport,
    privilege: &Privilege,
    files: &[SmallFile<'_>],
) -> Result<(), Error> {
    let mut rest = files;
    while !rest.is_empty() {
        let (part, later) = rest.split_at(part(rest));
        let content = part.iter().map(|file| file.content).collect::<Vec<_>>().concat();
        let sum = hex::encode(Sha256::digest(&content));
        let arriving: Vec<Arriving<'_>> = part.iter().map(Arriving::from).collect();
        let script = receive(&arriving, &sum)?;
        let command = Command { script, stdin: Some(content), timeout: Some(TIMEOUT), ..Command::default() };
        let output = process::run(transport, privilege, &command, None).await?;
        let shown = match part {
            [file] => file.path.to_owned(),
            [file, others @ ..] => format!("{} or one of {} files after it", file.path, others.len()),
            [] => String::new(),
        };
        accepted(transport, "write", &shown, &output)?;
        rest = later;
    }
    Ok(())
}

/// How many of the files fit into one script and one input, at least one.
fn part(files: &[SmallFile<'_>]) -> usize {
    let (mut names, mut bytes) = (0, 0);
    let fits = |file: &&SmallFile<'_>| {
        names += file.path.len();
        bytes += file.content.len();
        names <= MOST_NAMES && bytes <= MOST_BYTES
    };
    files.iter().take(MOST_FILES).take_while(fits).count().max(1)
}

/// Sends a local file unless the host has it; returns its bytes, which are fewer on the way to a host that has gzip.
pub(super) async fn upload(
    transport: &dyn Transport,
    privilege: &Privilege,
    local: &Path,
    path: &str,
    mode: u32,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<u64, Error> {
    let host = transport.address();
    let sum = hash(local).await?;
    let said = look_at(transport, privilege, path).await?;
    if said.starts_with(&format!("{sum}\n{mode:o}\n")) {
        return Ok(0);
    }

    let failed = |source| Error::LocalFile { path: local.to_owned(), source };
    let extent = if said.trim_end().ends_with("gzip") { Extent::Compressed } else { Extent::ToEnd };
    let mut chunks = chunks(std::fs::File::open(local).map_err(failed)?, extent);
    let command = Command::new(receive(&[Arriving { path, mode, extent }], &sum)?);
    let launch = Launch::of(host, &command, privilege, true)?;
    let mut running = transport.start(&launch.line).await?;
    let mut stdin = running.stdin();
    let mut sent = 0u64;
    let mut broken = None;
    let feed = async {
        let fed = async {
            if !launch.preamble.is_empty() && stdin.write_all(&launch.preamble).await.is_err() {
                return Ok(());
            }
            while let Some(chunk) = chunks.recv().await {
                let (read, bytes) = chunk?;
                // A host that stops reading tells why by its exit code and standard error.
                if stdin.write_all(&bytes).await.is_err() {
                    break;
                }
                sent += read as u64;
                progress(sent);
            }
            Ok(())
        };
        broken = fed.await.err();
        let _ = stdin.shutdown().await;
    };
    let output = process::finish(host, running.as_mut(), &command, 4096, feed).await?;
    if let Some(source) = broken {
        return Err(failed(source));
    }
    accepted(transport, "upload", path, &output)?;
    Ok(sent)
}

/// What a host has at a path, hash and mode, a line each; then whether it has gzip.
async fn look_at(transport: &dyn Transport, privilege: &Privilege, path: &str) -> Result<String, Error> {
    let found = Command {
        script: format!(
            "p={}\nif [ -f \"$p\" ] && [ ! -L \"$p\" ]; then sha256sum < \"$p\" | cut -c1-64; stat -c %a \"$p\"; fi\n\
             if command -v gzip >/dev/null; then echo gzip; fi",
            quote(absolute(path)?)
        ),
        timeout: Some(TIMEOUT),
        ..Command::default()
    };
    let output = process::run(transport, privilege, &found, None).await?;
    accepted(transport, "look at", path, &output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A file in pieces: how many bytes each is of it, and what is sent for them.
fn chunks(mut file: std::fs::File, extent: Extent) -> mpsc::Receiver<io::Result<(usize, Vec<u8>)>> {
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let mut buffer = vec![0; CHUNK];
        let mut next = || {
            let read = file.read(&mut buffer)?;
            let piece = match (extent, read) {
                (Extent::Compressed, 0) => encoder.try_finish().map(|()| encoder.get_mut())?,
                (Extent::Compressed, _) => encoder.write_all(&buffer[..read]).map(|()| encoder.get_mut())?,
                _ => return Ok((read, buffer[..read].to_vec())),
            };
            Ok((read, std::mem::take(piece)))
        };
        loop {
            let piece = next();
            let is_last = piece.as_ref().map_or(true, |(read, _)| *read == 0);
            // Nobody reads on when the host has stopped to.
            if sender.blocking_send(piece).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

/// Reads a file of at most `limit` bytes.
pub(super) async fn read(
    transport: &dyn Transport,
    privilege: &Privilege,
    path: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>, Error> {
    let most = limit.saturating_add(1);
    let command = Command {
        script: format!("p={}\n[ -e \"$p\" ] || exit {ABSENT}\nexec head -c {most} < \"$p\"", quote(absolute(path)?)),
        timeout: Some(TIMEOUT),
        ..Command::default()
    };
    let keep = usize::try_from(most).unwrap_or(usize::MAX);
    let output = process::run(transport, privilege, &command, Some(keep)).await?;
    if output.code == Some(ABSENT) {
        return Ok(None);
    }
    accepted(transport, "read", path, &output)?;
    if output.stdout.len() as u64 > limit {
        return Err(Error::FileTooLarge { host: transport.address(), path: path.to_owned(), limit });
    }
    Ok(Some(output.stdout))
}

/// How a file comes by standard input.
#[derive(Debug, Clone, Copy)]
enum Extent {
    /// So many bytes.
    Bytes(usize),
    /// All that comes.
    ToEnd,
    /// All that comes, to be unpacked by gzip.
    Compressed,
}

/// A file that comes by standard input.
struct Arriving<'a> {
    path: &'a str,
    mode: u32,
    extent: Extent,
}

impl<'a> From<&SmallFile<'a>> for Arriving<'a> {
    fn from(file: &SmallFile<'a>) -> Self {
        Self { path: file.path, mode: file.mode, extent: Extent::Bytes(file.content.len()) }
    }
}

/// A script that takes files from standard input, one behind the other: each beside its place, all checked by the hash of
/// the whole input, synced, renamed. Input that ends too early never gets to a place.
fn receive(files: &[Arriving<'_>], sum: &str) -> Result<String, Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|source| Error::Random { source })?;
    let random = hex::encode(random);
    let (mut parents, mut takes, mut moves) = Default::default();
    let (mut temporaries, mut directories) = (Vec::new(), BTreeSet::new());
    let mut modes = BTreeMap::<u32, String>::new();
    for (number, file) in files.iter().enumerate() {
        let path = absolute(file.path)?;
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name = name.get(..name.floor_char_boundary(100)).unwrap_or_default();
        let temporary = quote(&format!("{directory}/.{name}.{random}{number}"));
        let directory = quote(if directory.is_empty() { "/" } else { directory });
        let take = match file.extent {
            Extent::Bytes(size) => format!("head -c {size} > {temporary}"),
            Extent::ToEnd => format!("cat > {temporary}"),
            // What arrived incomplete is told by its hash; a full disk by gzip.
            Extent::Compressed => format!("gzip -dc > {temporary} || :"),
        };
        push(&mut parents, &format!("prepare {} {directory}", quote(path)));
        push(&mut takes, &take);
        let mode = file.mode & 0o7777;
        modes.entry(mode).or_insert_with(|| format!("chmod {mode:o}")).extend([" ", &temporary]);
        push(&mut moves, &format!("mv -f {temporary} {}", quote(path)));
        temporaries.push(temporary);
        directories.insert(directory);
    }
    let directories: Vec<String> = directories.into_iter().collect();
    let modes: Vec<String> = modes.into_values().collect();
    Ok(format!(
        r#"set -euC
umask 022
prepare() {{
  [ ! -d "$1" ] || {{ echo "$1: it is a directory" >&2; exit 73; }}
  [ -d "$2" ] || mkdir -p "$2"
}}
{parents}set -- {temporaries}
trap 'rm -f "$@"' EXIT
trap 'exit 1' HUP INT PIPE TERM
umask 077
{takes}sum=$(cat "$@" | sha256sum | cut -c1-64)
[ "$sum" = {sum} ] || {{ echo "the content arrived corrupt or incomplete" >&2; exit 74; }}
{modes}
sync "$@"
{moves}sync {directories}
"#,
        temporaries = temporaries.join(" "),
        modes = modes.join("\n"),
        directories = directories.join(" "),
    ))
}

fn push(lines: &mut String, line: &str) {
    lines.push_str(line);
    lines.push('\n');
}

fn absolute(path: &str) -> Result<&str, Error> {
    let good = path.starts_with('/') && !path.ends_with('/') && !path.contains(['\n', '\0']);
    if good { Ok(path) } else { Err(Error::RemotePath { path: path.to_owned() }) }
}

fn accepted(transport: &dyn Transport, act: &'static str, path: &str, output: &Output) -> Result<(), Error> {
    if output.code == Some(0) {
        return Ok(());
    }
    let mut detail = last_lines(&output.stderr, 3);
    if detail.is_empty() {
        detail = output.status();
    }
    Err(Error::File { host: transport.address(), act, path: path.to_owned(), detail })
}

async fn hash(local: &Path) -> Result<String, Error> {
    let path: PathBuf = local.to_owned();
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hasher = Sha256::new();
        let mut file = std::fs::File::open(&path)?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                return Ok(hex::encode(hasher.finalize()));
            }
            hasher.update(&buffer[..read]);
        }
    });
    let hashed = hashed.await.map_err(std::io::Error::other).and_then(|hashed| hashed);
    hashed.map_err(|source| Error::LocalFile { path: local.to_owned(), source })
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn only_absolute_file_paths_are_taken() {
        for bad in ["", "etc/x", "/etc/", "/a\nb", "/"] {
            assert!(matches!(absolute(bad), Err(Error::RemotePath { .. })), "{bad:?}");
        }
        assert_eq!(absolute("/x").unwrap(), "/x");
    }

    #[test]
    fn names_with_quotes_and_long_names_make_a_sound_script() {
        let path = format!("/it's/{}", "é".repeat(100));
        let script = receive(&[Arriving { path: &path, mode: 0o640, extent: Extent::ToEnd }], "00").unwrap();
        assert!(script.contains(r"prepare '/it'\''s/é") && script.contains("chmod 640"));
    }

    /// What a host says to a file in pieces, of which so many bytes arrive.
    async fn receives(place: &Path, local: &Path, extent: Extent, most: usize) -> (Option<i32>, String, usize) {
        let mut chunks = chunks(std::fs::File::open(local).unwrap(), extent);
        let (mut input, mut told) = (Vec::new(), 0);
        while let Some(chunk) = chunks.recv().await {
            let (read, bytes) = chunk.unwrap();
            input.extend(bytes);
            told += read;
        }
        assert_eq!(told as u64, std::fs::metadata(local).unwrap().len());
        input.truncate(most);
        let sum = hash(local).await.unwrap();
        let script = receive(&[Arriving { path: place.to_str().unwrap(), mode: 0o755, extent }], &sum).unwrap();
        let mut shell = std::process::Command::new("sh");
        let shell =
            shell.args(["-c", &script]).stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = shell.spawn().unwrap();
        // A script that has refused reads no more.
        let _ = child.stdin.take().unwrap().write_all(&input);
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap(), input.len())
    }

    #[tokio::test]
    async fn a_file_is_smaller_on_the_way_and_the_same_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let (local, place) = (directory.path().join("local"), directory.path().join("there"));
        let text: String = (0..300_000).map(|number| format!("{number}\n")).collect();
        std::fs::write(&local, &text).unwrap();
        for (extent, most) in [(Extent::ToEnd, text.len()), (Extent::Compressed, text.len() * 2 / 3)] {
            let (code, said, sent) = receives(&place, &local, extent, usize::MAX).await;
            assert_eq!((code, said.as_str()), (Some(0), ""));
            assert!(sent <= most, "{sent}");
            assert_eq!(std::fs::read_to_string(&place).unwrap(), text);
            std::fs::remove_file(&place).unwrap();
            let (code, said, _) = receives(&place, &local, extent, sent / 2).await;
            assert_eq!(code, Some(74));
            assert!(said.ends_with("the content arrived corrupt or incomplete\n"), "{said}");
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left");
        }
    }
}
