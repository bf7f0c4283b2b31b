//! `sealer save`: cluster images into an archive, a stream, parts or a directory.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use sealer_core::cloudimage::{ArchiveFormat, Compression, Platform};
use sealer_core::{Destination, Error, SaveRequest, save, save_to};

use super::size::parse_size;
use crate::exit::Failure;
use crate::settings::Session;

/// Save cluster images to an archive
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer save -o shop.tar shop:1.4\n  sealer save -o both.tar shop:1.3 shop:1.4\n  sealer save -o shop.tar --split 4GB shop:1.4\n  sealer save -o rootfs.tar --format docker-archive shop:1.4"
)]
pub(crate) struct Save {
    /// The archive to write: a file, a named pipe, `-` for standard output, or a directory for the form oci-dir
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// Form of the archive; a docker-archive holds the root file systems only
    #[arg(long, value_enum, default_value = "oci-archive")]
    format: Format,
    /// Compress the whole archive [default without this option: none; without a value: gzip]
    #[arg(long, value_enum, value_name = "KIND", num_args = 0..=1, require_equals = true, default_missing_value = "gzip")]
    compress: Option<Compress>,
    /// Only these platforms of the images
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    platform: Vec<String>,
    /// Write files of at most this size, such as 700MB or 4GB: FILE.001, FILE.002, …
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    split: Option<u64>,
    /// Taken for compatibility; nothing is written but the archive
    #[arg(long, value_name = "DIR", hide = true)]
    tmp_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A tar of an OCI image layout
    OciArchive,
    /// An OCI image layout as a directory
    OciDir,
    /// What `docker load` reads
    DockerArchive,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Compress {
    Gzip,
    Zstd,
}

impl Save {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let request = self.request()?;
        let sealer = session.open()?;
        let progress = session.printer.bytes_progress();
        let tell = |event| progress.event(&event);
        if self.output.as_os_str() == "-" {
            let output = std::io::stdout();
            if output.is_terminal() {
                let reason = "standard output is a terminal: redirect it, or name a file with -o";
                return Err(Failure::Usage(reason.to_owned()));
            }
            // Nothing but the archive goes there.
            return Ok(save_to(&sealer, &request, &mut output.lock(), &tell).map(drop)?);
        }
        let path = self.output.clone();
        let destination = match self.split {
            Some(size) => Destination::Parts { path, size },
            None => Destination::File(path),
        };
        let saved = save(&sealer, &request, &destination, &tell)?;
        drop(progress);
        session.printer.saved(&self.output, &self.images, &saved)
    }

    fn request(&self) -> Result<SaveRequest, Failure> {
        let usage = |reason: &str| Err(Failure::Usage(reason.to_owned()));
        let is_stream = self.output.as_os_str() == "-";
        match (self.format, is_stream) {
            (Format::OciDir, true) => return usage("a directory cannot go to standard output: name one with -o"),
            (Format::OciDir, false) if self.split.is_some() || self.compress.is_some() => {
                return usage("--split and --compress are for archives; an oci-dir is a directory");
            }
            (_, true) if self.split.is_some() => return usage("--split writes files: name them with -o"),
            _ => {}
        }
        let mut request = SaveRequest::new(self.images.clone());
        request.options.format = match self.format {
            Format::OciArchive => ArchiveFormat::OciArchive,
            Format::OciDir => ArchiveFormat::OciDir,
            Format::DockerArchive => ArchiveFormat::DockerArchive,
        };
        request.options.compression = self.compress.map(|kind| match kind {
            Compress::Gzip => Compression::Gzip,
            Compress::Zstd => Compression::Zstd,
        });
        let platforms = self.platform.iter().map(|platform| platform.parse::<Platform>());
        request.options.platforms = platforms.collect::<Result<_, _>>().map_err(Error::from)?;
        Ok(request)
    }
}
