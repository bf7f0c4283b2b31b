//! Platforms: operating system, architecture and variant of an image.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Operating system, architecture and variant in the words of the OCI image specification.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// For example `linux`.
    pub os: String,
    /// For example `amd64`.
    pub architecture: String,
    /// For example `v8` of `arm64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// The platform this program was built for.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// The platform of a Linux machine by what `uname -m` says there.
    #[must_use]
    pub fn of_machine(machine: &str) -> Self {
        let (architecture, variant) = match machine {
            "armv5l" | "armv5tel" => ("arm", "v5"),
            "armv6l" => ("arm", "v6"),
            "armv7l" | "armv8l" => ("arm", "v7"),
            "i486" | "i586" | "i686" => ("386", ""),
            other => (other, ""),
        };
        Self::normal("linux", architecture, variant)
    }

    /// The platforms of a list such as `linux/amd64,linux/arm64`, each once and sorted.
    ///
    /// # Errors
    /// [`Error::Option`] for what is no platform.
    pub fn parse_list(text: &str) -> Result<Vec<Self>> {
        let platforms: BTreeSet<Self> = text.split(',').map(|one| one.trim().parse()).collect::<Result<_>>()?;
        Ok(platforms.into_iter().collect())
    }

    /// Whether programs for it run on the machine that this program was built for, without another program's help.
    #[must_use]
    pub fn is_native(&self) -> bool {
        self.serves(&Self::host())
    }

    /// The names that images use, whatever others are written: as containerd's package `platforms` normalises them.
    pub(crate) fn normal(os: &str, architecture: &str, variant: &str) -> Self {
        let [os, architecture, variant] = [os, architecture, variant].map(str::to_ascii_lowercase);
        let os = if os == "macos" { "darwin".to_owned() } else { os };
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
            ("aarch64" | "arm64", variant) => ("arm64", variant),
            ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
            ("armel", _) | ("arm", "6") => ("arm", "v6"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "8") => ("arm", "v8"),
            other => other,
        };
        let variant = (!variant.is_empty()).then(|| variant.to_owned());
        Self { os, architecture: architecture.to_owned(), variant }
    }

    /// Whether an image for `self` serves where `wanted` is asked for: a variant counts only when both have one.
    #[must_use]
    pub fn serves(&self, wanted: &Self) -> bool {
        let variant = |platform: &Self| match (platform.architecture.as_str(), &platform.variant) {
            ("arm64", Some(variant)) if variant == "v8" => None,
            (_, variant) => variant.clone(),
        };
        let variants = (variant(self), variant(wanted));
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && !matches!(&variants, (Some(one), Some(other)) if one != other)
    }

    /// Whether the index entry is for no platform: an artifact.
    pub(crate) fn is_unknown(&self) -> bool {
        self.os == "unknown"
    }

    pub(crate) fn unknown() -> Self {
        Self { os: "unknown".to_owned(), architecture: "unknown".to_owned(), variant: None }
    }
}

impl Default for Platform {
    fn default() -> Self {
        Self::host()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(formatter, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_word = |part: &&str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        let fault = || Error::Option {
            option: "platform",
            value: text.to_owned(),
            expected: "OS/ARCHITECTURE[/VARIANT], such as linux/amd64",
        };
        if !parts.iter().all(is_word) {
            return Err(fault());
        }
        match parts.as_slice() {
            [os, architecture] => Ok(Self::normal(os, architecture, "")),
            [os, architecture, variant] => Ok(Self::normal(os, architecture, variant)),
            _ => Err(fault()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_have_one_name_each() {
        for (written, meant) in [
            ("linux/x86_64", "linux/amd64"),
            ("Linux/AMD64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/x86-64/v2", "linux/amd64/v2"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/i386", "linux/386"),
            ("linux/riscv64", "linux/riscv64"),
            ("macos/arm64", "darwin/arm64"),
        ] {
            assert_eq!(written.parse::<Platform>().unwrap().to_string(), meant);
        }
        for (machine, meant) in [("x86_64", "linux/amd64"), ("aarch64", "linux/arm64"), ("armv7l", "linux/arm/v7")] {
            assert_eq!(Platform::of_machine(machine).to_string(), meant);
        }
        assert_eq!(Platform::of_machine(std::env::consts::ARCH), Platform::host());
        assert!(Platform::host().is_native() && !Platform::of_machine("s390x").is_native());
        assert!("linux".parse::<Platform>().is_err() && "linux/".parse::<Platform>().is_err());
    }
    #[test]
    fn a_list_has_each_platform_once_in_one_order() {
        let list = |text| Platform::parse_list(text).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(list("linux/arm64, linux/amd64,linux/aarch64").unwrap(), ["linux/amd64", "linux/arm64"]);
        assert_eq!(list("linux/s390x").unwrap(), ["linux/s390x"]);
        for wrong in ["", "linux/amd64,", "linux/amd64,arm64"] {
            assert!(list(wrong).is_err(), "{wrong}");
        }
    }
}
