//! `sealer load`: cluster images from an archive, a stream, parts or a directory.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use sealer_core::{load, load_files};

use crate::exit::Failure;
use crate::settings::Session;

/// Load cluster images from an archive
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer load -i shop.tar\n  sealer load -i shop.tar -o json\n  sealer load -i shop.tar.002 shop.tar.001 shop.tar.003"
)]
pub(crate) struct Load {
    /// The archive to read: a file, a named pipe, `-` for standard input, a directory that is an OCI layout, or the parts
    /// of an archive in any order
    #[arg(short, long, value_name = "FILE", num_args = 1.., required = true)]
    input: Vec<PathBuf>,
    /// Also move names that clusters of this machine run to the images of the archive
    #[arg(long)]
    replace: bool,
    /// Taken for compatibility; blobs go straight into the store
    #[arg(long, value_name = "DIR", hide = true)]
    tmp_dir: Option<PathBuf>,
}

impl Load {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let progress = session.printer.bytes_progress();
        let tell = |event| progress.event(&event);
        let is_stream = |path: &PathBuf| path.as_os_str() == "-";
        let names = match self.input.as_slice() {
            [path] if is_stream(path) => {
                let input = std::io::stdin();
                if input.is_terminal() {
                    let reason = "standard input is a terminal: redirect it, or name a file with -i";
                    return Err(Failure::Usage(reason.to_owned()));
                }
                load(&session.open()?, input, Path::new("standard input"), self.replace, &tell)?
            }
            paths if paths.iter().any(is_stream) => {
                let reason = "standard input is read alone: `cat` the parts in their order, or name all of them";
                return Err(Failure::Usage(reason.to_owned()));
            }
            paths => load_files(&session.open()?, paths, self.replace, &tell)?,
        };
        drop(progress);
        session.printer.loaded(&self.input, &names)
    }
}
