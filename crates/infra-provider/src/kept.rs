//! How is a small file of the state directory kept so that a crash never leaves half of it?

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Reads a text of at most `limit` bytes; `None` when there is no such file.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(limit + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")));
    }
    Ok(Some(text))
}

/// Writes a file so that after a crash it is there whole or not at all; makes its directory (mode 0700).
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_written_is_read_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/file");
        assert_eq!(read(&path, 9).unwrap(), None);
        write(&path, b"123456789", 0o600).unwrap();
        assert_eq!(read(&path, 9).unwrap().as_deref(), Some("123456789"));
        assert_eq!(read(&path, 8).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(path.with_extension("new"), "left by a crash").unwrap();
        write(&path, b"again", 0o600).unwrap();
        assert_eq!(read(&path, 9).unwrap().as_deref(), Some("again"));
    }
}
