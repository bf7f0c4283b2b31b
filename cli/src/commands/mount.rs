//! `sealer mount | umount`: looks into the rootfs of cluster images.

use std::path::PathBuf;

use clap::Args;
use sealer_core::Error;
use sealer_core::cloudimage::Platform;

use crate::exit::Failure;
use crate::settings::Session;

/// Mount the rootfs of a cluster image read-only, or list what is mounted
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer mount shop:1.4\n  sealer mount shop:1.4 /mnt\n  sealer mount")]
pub(crate) struct Mount {
    /// The image; without it, mounted images are listed
    #[arg(value_name = "IMAGE")]
    image: Option<String>,
    /// The directory to mount it on [default: one below the root directory]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    /// The platform to mount [default: this machine's]
    #[arg(long, value_name = "OS/ARCH", requires = "image")]
    platform: Option<String>,
}

impl Mount {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let platform = self.platform.as_ref().map(|platform| platform.parse::<Platform>()).transpose();
        let platform = platform.map_err(Error::from)?;
        let sealer = session.open()?;
        let Some(image) = &self.image else {
            return session.printer.mounts(&sealer.images().mounted().map_err(Error::from)?);
        };
        let mounted = sealer.images().mount(image, platform.as_ref(), self.directory.as_deref());
        let mounted = mounted.map_err(Error::from)?;
        session.printer.done(&mounted.path.display().to_string(), &mounted)
    }
}

/// Unmount cluster images
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer umount shop:1.4\n  sealer umount --all")]
pub(crate) struct Unmount {
    /// Where it is mounted, or the image
    #[arg(value_name = "DIR|IMAGE", required_unless_present = "all")]
    what: Vec<String>,
    /// All mounted images
    #[arg(short, long, conflicts_with = "what")]
    all: bool,
}

impl Unmount {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        let mut unmounted = Vec::new();
        if self.all {
            unmounted = sealer.images().unmount(None).map_err(Error::from)?;
        }
        for what in &self.what {
            unmounted.extend(sealer.images().unmount(Some(what)).map_err(Error::from)?);
        }
        let paths: Vec<String> = unmounted.iter().map(|mounted| mounted.path.display().to_string()).collect();
        session.printer.done(&paths.join("\n"), &unmounted)
    }
}
