//! Login files on disk: found in order, written whole or not at all.

use super::Login;
use super::credential_program::Helper;
use super::document::{Document, Kept, program_of};
use crate::error::{Error, Result};
use atomic_file::TemporaryFile;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The largest login file that is read, in bytes.
const LIMIT: u64 = 1 << 20;
/// How the temporary files of this module are called. One that a killed process left has a login in it.
const TEMPORARY_PREFIX: &str = ".new-login-";

/// The files that keep logins. They need not be there, and are read only when a login is needed.
#[derive(Clone, Debug, Default)]
pub struct LoginFiles {
    paths: Vec<PathBuf>,
    run_helpers: bool,
}

/// Where a login is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginPlace {
    /// In this file, where it can be read: base64 is not encryption.
    File(PathBuf),
    /// By this program.
    Helper(String),
}

/// What was forgotten about a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Erased {
    /// Where a login was.
    pub places: Vec<LoginPlace>,
    /// Files further down the list that have one, too; they were not touched.
    pub left: Vec<PathBuf>,
}

/// What is known about a registry.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    Login(Login),
    /// This program has it and must not be run.
    Refused(String),
}

impl LoginFiles {
    /// Logins are looked for in all of these files (docker's `config.json` or podman's `auth.json`) in turn, and written to the first.
    /// `run_helpers` says whether programs that they name (`docker-credential-…`) may be run.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>, run_helpers: bool) -> Self {
        Self { paths, run_helpers }
    }

    /// The login for a repository of a registry, or for the registry as a whole.
    pub(crate) async fn find(&self, host: &str, repository: Option<&str>) -> Result<Found> {
        for path in &self.paths {
            let document = read(path).await?;
            match document.find(host, repository).map_err(|reason| unreadable(path, reason))? {
                Kept::Nothing => {}
                Kept::Here(login) => return Ok(Found::Login(login)),
                Kept::Helper { program, .. } if !self.run_helpers => return Ok(Found::Refused(program_of(&program))),
                Kept::Helper { program, key } => {
                    if let Some(login) = Helper::new(&program)?.get(&key).await? {
                        return Ok(Found::Login(login));
                    }
                }
            }
        }
        Ok(Found::Nothing)
    }

    /// Keeps a login for a registry, in the place of one that is there: in the program that the first file names, else in that file.
    ///
    /// # Errors
    ///
    /// [`Error::CredentialHelper`], [`Error::DockerConfig`] for a file that cannot be understood, and [`Error::LoginFile`].
    pub async fn store(&self, host: &str, login: &Login) -> Result<LoginPlace> {
        let path = self.first()?;
        let document = read(path).await?;
        let Some((program, key)) = document.helper(host) else {
            let login = login.clone();
            rewrite(path, host, move |document, host| Some(document.with(host, Some(&login)))).await?;
            return Ok(LoginPlace::File(path.to_owned()));
        };
        let helper = self.allowed(program)?;
        helper.store(&key, login).await?;
        // As docker does it: the entry tells who looks into the file that there is a login, and what it had is gone.
        rewrite(path, host, |document, host| Some(document.with(host, None))).await?;
        Ok(LoginPlace::Helper(helper.program().to_owned()))
    }

    /// Forgets the login for a registry: in the program that the first file names, and in that file.
    ///
    /// # Errors
    ///
    /// As [`LoginFiles::store`].
    pub async fn erase(&self, host: &str) -> Result<Erased> {
        let path = self.first()?;
        let mut erased = Erased::default();
        let document = read(path).await?;
        if let Some((program, key)) = document.helper(host) {
            let helper = self.allowed(program)?;
            if helper.erase(&key).await? {
                erased.places.push(LoginPlace::Helper(helper.program().to_owned()));
            }
        }
        if document.mentions(host) {
            let had =
                |document: &Document| !matches!(document.find(host, None), Ok(Kept::Nothing | Kept::Helper { .. }));
            if had(&document) {
                erased.places.push(LoginPlace::File(path.to_owned()));
            }
            rewrite(path, host, |document, host| document.mentions(host).then(|| document.without(host))).await?;
        }
        for other in self.paths.iter().skip(1).filter(|other| *other != path) {
            if read(other).await?.mentions(host) {
                erased.left.push(other.clone());
            }
        }
        Ok(erased)
    }

    fn first(&self) -> Result<&Path> {
        let missing =
            || Error::InvalidOption { option: "login_files", reason: "there is no file to keep logins in".to_owned() };
        self.paths.first().map(PathBuf::as_path).ok_or_else(missing)
    }

    fn allowed(&self, name: &str) -> Result<Helper> {
        let helper = Helper::new(name)?;
        if self.run_helpers {
            return Ok(helper);
        }
        let reason = "credential helpers are not allowed here".to_owned();
        Err(Error::CredentialHelper { program: helper.program().to_owned(), act: "run", reason })
    }
}

impl Found {
    /// What to do when the host refuses although this is all there is.
    pub(crate) fn advice(&self, host: &str) -> String {
        match self {
            Self::Nothing => {
                format!("there is no login for it; `sealer login {host}` or `docker login {host}` makes one")
            }
            Self::Login(Login::Password { user, .. }) => {
                format!("it was asked as user {}", crate::error::shorten(user, 60))
            }
            Self::Login(Login::IdentityToken { .. }) => {
                format!("it was asked with an identity token; `sealer login {host}` makes a new login")
            }
            Self::Refused(program) => {
                format!("its login is kept in {program}, which was not run because credential helpers are not allowed")
            }
        }
    }
}

async fn read(path: &Path) -> Result<Document> {
    let path = path.to_owned();
    blocking(move || read_now(&path)).await
}

/// Replaces the file with what `change` makes of it, while nobody else of this program does. `None` leaves it as it is.
async fn rewrite(
    path: &Path,
    host: &str,
    change: impl FnOnce(&Document, &str) -> Option<String> + Send + 'static,
) -> Result<()> {
    let (path, host) = (path.to_owned(), host.to_owned());
    blocking(move || {
        let failed = |source| Error::LoginFile { act: "write", path: path.clone(), source };
        let target = atomic_file::target(&path).map_err(failed)?;
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        atomic_file::create_dir(directory, 0o700).map_err(failed)?;
        let lock = File::open(directory).map_err(failed)?;
        // Where a directory cannot be locked, two logins at once may lose one of them, but never the file.
        if lock.lock().is_ok() {
            remove_leftovers(directory);
        }
        let document = read_now(&path)?;
        let Some(text) = change(&document, &host).map(Zeroizing::new) else { return Ok(()) };
        if text.as_str() == document.text() {
            return Ok(());
        }
        write(directory, &text).and_then(|file| file.persist(&target)).map_err(failed)?;
        atomic_file::sync_dir(directory).map_err(failed)
    })
    .await
}

/// The new text under a temporary name, for its owner alone.
fn write(directory: &Path, text: &str) -> std::io::Result<TemporaryFile> {
    let mut file = TemporaryFile::create(directory, TEMPORARY_PREFIX, 0o600)?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// Removes what a killed process wrote and did not rename. Must be called while the directory is locked, so that nobody is writing.
fn remove_leftovers(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX)) {
        // It is in nobody's way.
        let _ = fs::remove_file(entry.path());
    }
}

fn read_now(path: &Path) -> Result<Document> {
    let mut text = Zeroizing::new(String::new());
    match File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_string(&mut text)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(path, error.to_string())),
        Ok(_) if text.len() as u64 > LIMIT => {
            return Err(unreadable(path, format!("it has more than {LIMIT} bytes")));
        }
        Ok(_) => {}
    }
    Document::parse(&text).map_err(|reason| unreadable(path, reason))
}

fn unreadable(path: &Path, reason: String) -> Error {
    Error::DockerConfig { path: path.to_owned(), reason }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let failed =
        |error: tokio::task::JoinError| Error::InvalidOption { option: "login_files", reason: error.to_string() };
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn login(password: &str) -> Login {
        Login::password("me", password)
    }

    async fn found(files: &LoginFiles, host: &str) -> Option<Login> {
        match files.find(host, None).await.unwrap() {
            Found::Login(login) => Some(login),
            _ => None,
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_login_is_written_for_its_owner_alone_and_taken_away_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/config.json");
        let files = LoginFiles::new(vec![path.clone()], false);
        assert_eq!(files.store("reg", &login("one")).await.unwrap(), LoginPlace::File(path.clone()));
        assert_eq!(found(&files, "reg").await, Some(login("one")));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        files.store("reg", &login("two")).await.unwrap();
        assert_eq!((found(&files, "reg").await, mode(&path)), (Some(login("two")), 0o600));
        let erased = files.erase("reg").await.unwrap();
        assert_eq!((erased.places, erased.left), (vec![LoginPlace::File(path.clone())], Vec::new()));
        assert_eq!(found(&files, "reg").await, None);
        assert_eq!(files.erase("reg").await.unwrap(), Erased::default());
        assert_eq!(names(path.parent().unwrap()), ["config.json"]);
    }

    #[tokio::test]
    async fn a_process_that_is_killed_before_the_rename_leaves_the_old_file_and_no_secret_for_long() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        let files = LoginFiles::new(vec![path.clone()], false);
        files.store("reg", &login("old")).await.unwrap();
        let before = fs::read(&path).unwrap();
        // As far as `rewrite` comes before the rename; a killed process runs no destructor.
        std::mem::forget(write(directory.path(), "{\"auths\": {\"reg\": ").unwrap());
        assert_eq!(names(directory.path()).len(), 2);
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(found(&files, "reg").await, Some(login("old")));
        files.store("other", &login("new")).await.unwrap();
        assert_eq!(names(directory.path()), ["config.json"]);
        assert_eq!(found(&files, "reg").await, Some(login("old")));
        assert_eq!(found(&files, "other").await, Some(login("new")));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn logins_at_the_same_time_do_not_lose_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let files = LoginFiles::new(vec![directory.path().join("config.json")], false);
        let store = |number: usize| {
            let files = files.clone();
            async move { files.store(&format!("reg{number}"), &login("x")).await.unwrap() }
        };
        futures_util::future::join_all((0..20).map(store)).await;
        for number in 0..20 {
            assert_eq!(found(&files, &format!("reg{number}")).await, Some(login("x")), "reg{number}");
        }
    }

    #[tokio::test]
    async fn the_first_file_that_has_a_login_counts_and_only_the_first_is_changed() {
        let directory = tempfile::tempdir().unwrap();
        let [first, second] = ["a.json", "b.json"].map(|name| directory.path().join(name));
        let both = LoginFiles::new(vec![first.clone(), second.clone()], false);
        LoginFiles::new(vec![second.clone()], false).store("reg", &login("two")).await.unwrap();
        assert_eq!(found(&both, "reg").await, Some(login("two")));
        both.store("reg", &login("one")).await.unwrap();
        assert_eq!(found(&both, "reg").await, Some(login("one")));
        let erased = both.erase("reg").await.unwrap();
        assert_eq!((erased.places, erased.left), (vec![LoginPlace::File(first)], vec![second]));
        assert_eq!(found(&both, "reg").await, Some(login("two")));
    }

    #[tokio::test]
    async fn links_are_followed_and_errors_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real.json"), directory.path().join("config.json"));
        symlink(&real, &link).unwrap();
        let files = LoginFiles::new(vec![link.clone()], false);
        files.store("reg", &login("x")).await.unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink() && real.is_file());
        for text in ["", " \n", "{}", "\u{feff}", "\u{feff}{\"auths\":{}}"] {
            fs::write(&real, text).unwrap();
            assert_eq!(found(&files, "reg").await, None, "{text:?}");
        }
        fs::write(&real, "{").unwrap();
        let error = files.find("reg", None).await.unwrap_err().to_string();
        assert!(error.contains(link.to_str().unwrap()) && error.contains("line 1, column 1"), "{error}");
        assert!(files.store("reg", &login("x")).await.is_err());
        assert_eq!(fs::read_to_string(&real).unwrap(), "{", "what is not understood is not written over");
        fs::write(&real, " ".repeat(1 + usize::try_from(LIMIT).unwrap())).unwrap();
        assert!(files.find("reg", None).await.unwrap_err().to_string().contains("more than"));
        let nowhere = LoginFiles::new(vec![real.join("below")], false);
        assert!(matches!(
            nowhere.store("reg", &login("x")).await,
            Err(Error::DockerConfig { .. } | Error::LoginFile { .. })
        ));
        assert!(LoginFiles::default().store("reg", &login("x")).await.is_err());
    }

    #[tokio::test]
    async fn helpers_are_not_run_where_they_are_not_allowed_or_are_no_programs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        fs::write(&path, r#"{"credsStore":"desktop","credHelpers":{"bad":"../../bin/sh"}}"#).unwrap();
        let files = LoginFiles::new(vec![path.clone()], false);
        let found = files.find("reg", None).await.unwrap();
        assert!(matches!(&found, Found::Refused(name) if name == "docker-credential-desktop"), "{found:?}");
        assert!(found.advice("reg").contains("docker-credential-desktop"));
        assert!(files.store("reg", &login("x")).await.unwrap_err().to_string().contains("not allowed"));
        let allowed = LoginFiles::new(vec![path], true);
        let error = allowed.find("bad", None).await.unwrap_err().to_string();
        assert!(error.contains("not the name of a program"), "{error}");
    }
}
