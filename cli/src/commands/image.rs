//! `sealer images | inspect | tag | rmi | save | load`: the cluster images of this machine.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use sealer_core::{Error, Sealer, cloudimage};

use crate::arguments::OutputFormat;
use crate::exit::Failure;
use crate::settings::Session;

/// List cluster images
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer images\n  sealer images -o json")]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) output: OutputFormat,
}

impl List {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        session.printer.images(&sealer.images().list().map_err(Error::from)?)
    }
}

/// Show what is inside a cluster image
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer inspect shop:1.4\n  sealer inspect -c shop:1.4 > Clusterfile")]
pub(crate) struct Inspect {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Print the Clusterfile by which the image is run when nothing else is said
    #[arg(short = 'c', long = "Clusterfile", visible_alias = "clusterfile")]
    clusterfile: bool,
    #[command(flatten)]
    pub(crate) output: OutputFormat,
}

impl Inspect {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        if self.clusterfile {
            return session.printer.clusterfile(&sealer.default_clusterfile(&self.image)?);
        }
        session.printer.inspection(&sealer.images().inspect(&self.image).map_err(Error::from)?)
    }
}

/// Give a cluster image another name
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer tag shop:1.4 shop:latest\n  sealer tag shop:1.4 registry.example.com/team/shop:1.4"
)]
pub(crate) struct Tag {
    /// The image
    #[arg(value_name = "IMAGE")]
    source: String,
    /// Its further name
    #[arg(value_name = "NAME")]
    target: String,
    #[command(flatten)]
    pub(crate) output: OutputFormat,
}

impl Tag {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        sealer.images().tag(&self.source, &self.target).map_err(Error::from)?;
        session.printer.done(&self.target, &serde_json::json!({ "source": self.source, "target": self.target }))
    }
}

/// Remove cluster images
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer rmi shop:1.3\n  sealer rmi -f shop:1.3 shop:1.2")]
pub(crate) struct Remove {
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// No error when an image is not there
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    pub(crate) output: OutputFormat,
}

impl Remove {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        let removed = sealer.images().remove(&self.images, self.force).map_err(Error::from)?;
        session.printer.removed(&removed)
    }
}

/// Save cluster images to an OCI archive
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer save -o shop.tar shop:1.4\n  sealer save -o both.tar shop:1.3 shop:1.4")]
pub(crate) struct Save {
    /// The archive to write: a file, a named pipe, or `-` for standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

impl Save {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        if self.output.as_os_str() == "-" {
            return save_to_stdout(&sealer, &self.images);
        }
        let bytes = sealer.images().save(&self.images, &self.output).map_err(Error::from)?;
        let file = self.output.display().to_string();
        session.printer.done(&file, &serde_json::json!({ "file": file, "images": self.images, "bytes": bytes }))
    }
}

/// Nothing but the archive goes there.
fn save_to_stdout(sealer: &Sealer, images: &[String]) -> Result<(), Failure> {
    let output = std::io::stdout();
    if output.is_terminal() {
        return Err(Failure::Usage("standard output is a terminal: redirect it, or name a file with -o".to_owned()));
    }
    sealer.images().save_to(images, &mut output.lock()).map_err(Error::from)?;
    Ok(())
}

/// Load cluster images from an OCI archive
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer load -i shop.tar\n  sealer load -i shop.tar -o json")]
pub(crate) struct Load {
    /// The archive to read: a file, a named pipe, `-` for standard input, or a directory that is an OCI layout
    #[arg(short, long, value_name = "FILE")]
    input: PathBuf,
    /// Also move names that clusters of this machine run to the images of the archive
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    pub(crate) output: OutputFormat,
}

impl Load {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        let tell = |event| {
            if let sealer_core::Event::Warning { message } = event {
                session.printer.warn(&message);
            }
        };
        let names = if self.input.as_os_str() == "-" {
            sealer_core::load(&sealer, std::io::stdin(), Path::new("standard input"), self.replace, &tell)?
        } else if self.input.is_dir() {
            sealer_core::load_layout(&sealer, &self.input, self.replace, &tell)?
        } else {
            let path = || self.input.clone();
            let failed = |source| Error::from(cloudimage::Error::File { act: "read", path: path(), source });
            let file = std::fs::File::open(&self.input).map_err(failed)?;
            sealer_core::load(&sealer, file, &self.input, self.replace, &tell)?
        };
        session.printer.loaded(&self.input, &names)
    }
}
