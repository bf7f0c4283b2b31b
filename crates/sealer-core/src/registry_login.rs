//! Logs in to a registry, and out again.

use registry_client::{Https, Login, LoginPlace, registry_host};

use crate::{Error, Event, Events, Sealer};

/// A login that was checked and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedIn {
    /// The registry, without scheme and path.
    pub registry: String,
    /// The user; empty for an identity token without one.
    pub user: String,
    /// Where the login is kept.
    pub place: LoginPlace,
    /// Whether an identity token is kept instead of the password.
    pub is_token: bool,
}

/// What [`log_out`] forgot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedOut {
    /// The registry, without scheme and path.
    pub registry: String,
    /// Where a login was; none when there was none.
    pub places: Vec<LoginPlace>,
}

/// Asks the registry whether it accepts the login, then keeps it where [`crate::Settings::registry`] says that logins are. Anything
/// that was kept for the registry is replaced. Nothing is kept when the registry refuses it or cannot be asked.
///
/// # Errors
///
/// [`Error::Registry`] with what the registry says, or why the login cannot be kept.
pub async fn log_in(sealer: &Sealer, registry: &str, login: &Login, events: Events<'_>) -> Result<LoggedIn, Error> {
    let registry = registry_host(registry)?;
    let options = &sealer.settings().registry;
    let checked = Https::new(options.clone())?.check_login(&registry, login).await?;
    if !checked.was_asked_for {
        let message = format!("{registry} asks for no login, so nobody knows whether this one is right");
        events(Event::Warning { message });
    }
    let place = options.logins.store(&registry, &checked.login).await?;
    if let LoginPlace::File(path) = &place {
        let path = path.display();
        let message = format!(
            "the login is kept in {path}, where base64 hides it from nobody who can read the file; a credential helper, named there as credsStore, keeps it safely"
        );
        events(Event::Warning { message });
    }
    let is_token = matches!(checked.login, Login::IdentityToken { .. });
    Ok(LoggedIn { registry, user: checked.login.user().to_owned(), place, is_token })
}

/// Forgets the login for a registry, both in the credential helper and in the file. It needs no network.
///
/// # Errors
///
/// [`Error::Registry`] when the file cannot be written or the helper fails.
pub async fn log_out(sealer: &Sealer, registry: &str, events: Events<'_>) -> Result<LoggedOut, Error> {
    let registry = registry_host(registry)?;
    let erased = sealer.settings().registry.logins.erase(&registry).await?;
    for path in erased.left {
        let path = path.display();
        let message = format!("{path} still has a login for {registry}; `--authfile {path}` takes that one out");
        events(Event::Warning { message });
    }
    Ok(LoggedOut { registry, places: erased.places })
}
