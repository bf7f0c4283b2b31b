//! Decides what is in stock, and where.

/// A size of machine.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceType {
    /// Such as `ecs.g6.large`.
    pub id: String,
    /// Virtual processors.
    pub cpus: u32,
    /// GiB.
    pub memory: f64,
    /// `X86` or `ARM`.
    pub architecture: String,
    /// Disk categories that its family takes.
    pub disk_categories: Vec<String>,
}

/// How much of something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stock {
    /// `WithStock`.
    Plenty,
    /// `ClosedWithStock`: it can still be bought.
    Scarce,
    /// `WithStock`, and so many can be bought.
    Left(u32),
    /// `WithoutStock`; buying is `OperationDenied.NoStock`.
    Gone,
    /// `ClosedWithoutStock`; buying is `OperationDenied.NoStock`.
    ClosedGone,
    /// Listed `WithStock`, and still buying is `OperationDenied.NoStock`.
    Phantom,
    /// Not listed; buying is `Zone.NotOnSale`.
    NotOnSale,
}

impl Stock {
    /// `Status` and `StatusCategory`; nothing when it is not listed.
    pub(crate) fn shown(self) -> Option<(&'static str, &'static str)> {
        match self {
            Stock::Plenty | Stock::Left(_) | Stock::Phantom => Some(("Available", "WithStock")),
            Stock::Scarce => Some(("Available", "ClosedWithStock")),
            Stock::Gone => Some(("SoldOut", "WithoutStock")),
            Stock::ClosedGone => Some(("SoldOut", "ClosedWithoutStock")),
            Stock::NotOnSale => None,
        }
    }

    /// How many can be bought when `sold` are already.
    pub(crate) fn left(self, sold: usize) -> u32 {
        match self {
            Stock::Plenty | Stock::Scarce => u32::MAX,
            Stock::Left(count) => count.saturating_sub(u32::try_from(sold).unwrap_or(u32::MAX)),
            Stock::Gone | Stock::ClosedGone | Stock::Phantom | Stock::NotOnSale => 0,
        }
    }
}

/// The stock of some types in some zones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockRule {
    /// The zone, such as `cn-chengdu-a`; [`None`] means every zone.
    pub zone: Option<String>,
    /// The type, such as `ecs.g6.large`; [`None`] means every type.
    pub instance_type: Option<String>,
    /// What is there.
    pub stock: Stock,
}

/// What the last of `rules` that fits says.
pub(crate) fn stock_of(rules: &[StockRule], zone: &str, instance_type: &str) -> Stock {
    let fits = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    let rule = rules.iter().rev().find(|rule| fits(&rule.zone, zone) && fits(&rule.instance_type, instance_type));
    rule.map_or(Stock::Plenty, |rule| rule.stock)
}

/// An image that machines start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Such as `debian_12_x64_20G_alibase_20260101.vhd`.
    pub id: String,
    /// Such as `acs:debian_12_x64`.
    pub family: String,
    /// Such as `Debian  12.8 64 bit`.
    pub os_name: String,
    /// Such as `Debian`.
    pub platform: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// GiB; a system disk may not be smaller.
    pub size: u32,
    /// Such as `2026-01-01T00:00:00Z`.
    pub created: String,
}

/// The types that exist unless a test says otherwise: old families take old disks, new ones do not.
pub(crate) fn instance_types() -> Vec<InstanceType> {
    const OLD: &[&str] = &["cloud_efficiency", "cloud_ssd", "cloud_essd"];
    const NEW: &[&str] = &["cloud_auto", "cloud_essd"];
    let of = |id: &str, cpus, memory, architecture: &str, disks: &[&str]| InstanceType {
        id: id.to_string(),
        cpus,
        memory,
        architecture: architecture.to_string(),
        disk_categories: disks.iter().map(ToString::to_string).collect(),
    };
    vec![
        of("ecs.t5-lc1m2.small", 1, 2.0, "X86", OLD),
        of("ecs.c6.large", 2, 4.0, "X86", OLD),
        of("ecs.c6.xlarge", 4, 8.0, "X86", OLD),
        of("ecs.g6.large", 2, 8.0, "X86", OLD),
        of("ecs.g6.xlarge", 4, 16.0, "X86", OLD),
        of("ecs.c7.large", 2, 4.0, "X86", NEW),
        of("ecs.c7.xlarge", 4, 8.0, "X86", NEW),
        of("ecs.g7.large", 2, 8.0, "X86", NEW),
        of("ecs.g8y.large", 2, 8.0, "ARM", NEW),
        of("ecs.c8i.xlarge", 4, 8.0, "X86", NEW),
    ]
}

/// The images that exist unless a test says otherwise.
pub(crate) fn images() -> Vec<Image> {
    let of = |id: &str, family: &str, os_name: &str, platform: &str, architecture: &str, created: &str| Image {
        id: id.to_string(),
        family: family.to_string(),
        os_name: os_name.to_string(),
        platform: platform.to_string(),
        architecture: architecture.to_string(),
        size: 20,
        created: created.to_string(),
    };
    let (debian, ubuntu) = ("acs:debian_12_x64", "acs:ubuntu_24_04_x64");
    vec![
        of(
            "debian_12_x64_20G_alibase_20250801.vhd",
            debian,
            "Debian  12.10 64 bit",
            "Debian",
            "x86_64",
            "2025-08-02T02:00:00Z",
        ),
        of(
            "debian_12_x64_20G_alibase_20260101.vhd",
            debian,
            "Debian  12.12 64 bit",
            "Debian",
            "x86_64",
            "2026-01-05T02:00:00Z",
        ),
        of(
            "debian_12_arm64_20G_alibase_20260101.vhd",
            "acs:debian_12_arm64",
            "Debian  12.12 64 bit ARM",
            "Debian",
            "arm64",
            "2026-01-05T03:00:00Z",
        ),
        of(
            "ubuntu_24_04_x64_20G_alibase_20260101.vhd",
            ubuntu,
            "Ubuntu  24.04 64 bit",
            "Ubuntu",
            "x86_64",
            "2026-01-06T02:00:00Z",
        ),
        of(
            "centos_7_9_x64_20G_alibase_20210927.vhd",
            "acs:centos_7_9_x64",
            "CentOS  7.9 64 bit",
            "CentOS",
            "x86_64",
            "2021-09-28T02:00:00Z",
        ),
    ]
}
