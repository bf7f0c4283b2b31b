//! Reads the configuration file of Alibaba Cloud's own command-line tool.

use serde::Deserialize;

use super::AccessKey;

/// A profile of that file (`~/.aliyun/config.json`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// The region it prefers.
    pub region: Option<String>,
    /// How it logs in.
    pub login: Login,
}

/// How a profile logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Login {
    /// With this key (modes `AK` and `StsToken`).
    Key(AccessKey),
    /// With the role of the instance it runs on (mode `EcsRamRole`); no name means the role that the instance has.
    InstanceRole {
        /// Name of the role.
        role: Option<String>,
    },
}

/// The file is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// It is far too long.
    #[error("it is longer than {limit} bytes")]
    TooLong {
        /// How long it may be.
        limit: usize,
    },
    /// It is not the JSON that the tool writes.
    #[error("it is not a configuration of the `aliyun` command (line {line}, column {column})")]
    Syntax {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
    },
    /// There is no such profile.
    #[error("it has no profile `{name}`; it has: {}", known.join(", "))]
    Unknown {
        /// The name that was looked for.
        name: String,
        /// The names it has.
        known: Vec<String>,
    },
    /// A profile lacks a part of its key.
    #[error("profile `{name}` of mode {mode} has no {field}: run `aliyun configure`")]
    Incomplete {
        /// The profile.
        name: String,
        /// Its mode.
        mode: String,
        /// What is missing.
        field: &'static str,
    },
    /// A way to log in that is not supported.
    #[error("profile `{name}` logs in by {mode}, which is not supported: use one of mode AK, StsToken or EcsRamRole")]
    Mode {
        /// The profile.
        name: String,
        /// Its mode.
        mode: String,
    },
}

const LIMIT: usize = 1 << 20;

/// Reads the profile `name`, or the current one, from the text of the file.
///
/// # Errors
/// The text cannot be read, or the profile cannot be used; no error quotes what the file says about keys.
pub fn parse(text: &str, name: Option<&str>) -> Result<Profile, ProfileError> {
    if text.len() > LIMIT {
        return Err(ProfileError::TooLong { limit: LIMIT });
    }
    let file: File = serde_json::from_str(atomic_file::without_byte_order_mark(text))
        .map_err(|error| ProfileError::Syntax { line: error.line(), column: error.column() })?;
    let wanted = name.or(file.current.as_deref().filter(|name| !name.is_empty())).unwrap_or("default");
    let entry = file.profiles.iter().find(|entry| entry.name == wanted).ok_or_else(|| ProfileError::Unknown {
        name: wanted.to_owned(),
        known: file.profiles.iter().map(|entry| entry.name.clone()).collect(),
    })?;
    Ok(Profile { name: entry.name.clone(), region: given(&entry.region_id), login: login(entry)? })
}

#[derive(Deserialize)]
struct File {
    current: Option<String>,
    #[serde(default)]
    profiles: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    mode: Option<String>,
    access_key_id: Option<String>,
    access_key_secret: Option<String>,
    sts_token: Option<String>,
    ram_role_name: Option<String>,
    region_id: Option<String>,
}

fn login(entry: &Entry) -> Result<Login, ProfileError> {
    let mode = given(&entry.mode).unwrap_or_else(|| "AK".to_owned());
    let need = |field: &'static str, value: &Option<String>| {
        given(value).ok_or_else(|| ProfileError::Incomplete { name: entry.name.clone(), mode: mode.clone(), field })
    };
    let key = || -> Result<AccessKey, ProfileError> {
        let id = need("access_key_id", &entry.access_key_id)?;
        Ok(AccessKey::new(id, need("access_key_secret", &entry.access_key_secret)?))
    };
    match mode.as_str() {
        "AK" => Ok(Login::Key(key()?)),
        "StsToken" => Ok(Login::Key(key()?.with_token(need("sts_token", &entry.sts_token)?))),
        "EcsRamRole" => Ok(Login::InstanceRole { role: given(&entry.ram_role_name) }),
        _ => Err(ProfileError::Mode { name: entry.name.clone(), mode: mode.clone() }),
    }
}

fn given(value: &Option<String>) -> Option<String> {
    value.as_deref().map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const FILE: &str = r#"{
        "current": "work",
        "profiles": [
            {"name": "default", "mode": "AK", "access_key_id": "", "access_key_secret": "", "region_id": ""},
            {"name": "work", "mode": "AK", "access_key_id": "id-1", "access_key_secret": "hush-1",
             "sts_token": "", "region_id": "cn-hangzhou", "output_format": "json", "retry_count": 0},
            {"name": "guest", "mode": "StsToken", "access_key_id": "id-2", "access_key_secret": "hush-2",
             "sts_token": "hush-3"},
            {"name": "box", "mode": "EcsRamRole", "ram_role_name": "builder"},
            {"name": "sso", "mode": "CloudSSO"}
        ],
        "meta_path": ""
    }"#;

    #[test]
    fn profiles_of_three_modes_are_read() {
        let work = parse(FILE, None).unwrap();
        assert_eq!((work.name.as_str(), work.region.as_deref()), ("work", Some("cn-hangzhou")));
        assert_eq!(work.login, Login::Key(AccessKey::new("id-1", "hush-1")));
        let guest = parse(FILE, Some("guest")).unwrap();
        assert_eq!(guest.login, Login::Key(AccessKey::new("id-2", "hush-2").with_token("hush-3")));
        assert_eq!(guest.region, None);
        assert_eq!(parse(FILE, Some("box")).unwrap().login, Login::InstanceRole { role: Some("builder".to_owned()) });
    }

    #[test]
    fn what_cannot_be_used_is_said_and_no_secret_with_it() {
        let message = |text: &str, name| parse(text, name).unwrap_err().to_string();
        assert!(message(FILE, Some("sso")).contains("CloudSSO, which is not supported"));
        assert!(message(FILE, Some("default")).contains("has no access_key_id"));
        assert!(message(FILE, Some("nobody")).contains("it has: default, work, guest, box, sso"));
        assert!(message("{\n \"profiles\": \"hush\"}", None).contains("line 2"));
        assert!(!message("{\n \"profiles\": \"hush\"}", None).contains("hush"));
        assert!(message(&" ".repeat(LIMIT + 1), None).contains("longer"));
        assert!(!format!("{:?}", parse(FILE, Some("guest"))).contains("hush"));
    }
}
