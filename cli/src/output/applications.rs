//! Prints what runs on a cluster.

use sealer_core::{Applied, InstallState, InstalledImage};

use super::images::{familiar, short, table, write_table};
use super::layout::{printable, shorten};
use super::{Printer, write_out};
use crate::exit::Failure;

/// Commands are cut at this many characters; JSON has them whole.
const COMMAND_WIDTH: usize = 60;

impl Printer {
    /// One line for each application, and for the commands of an image that are of none.
    pub(crate) fn applications(&self, images: &[InstalledImage]) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(&images);
        }
        let applications = || images.iter().flat_map(|image| image.applications.iter().map(move |one| (image, one)));
        if self.quiet {
            let name = |(image, one): (&InstalledImage, &sealer_core::InstalledApplication)| {
                if one.name.is_empty() { image.image.clone() } else { one.name.clone() }
            };
            return write_out(&applications().map(name).map(|name| name + "\n").collect::<String>());
        }
        let mut table = table(&["APPLICATION", "VERSION", "KIND", "STATE", "IMAGE", "DIGEST"]);
        for (image, one) in applications() {
            let commands = || shorten(&printable(&one.commands.join("; ")), COMMAND_WIDTH);
            let is_of_cluster = if image.is_cluster_image { " (cluster)" } else { "" };
            table.add_row([
                if one.name.is_empty() { commands() } else { one.name.clone() },
                one.version.clone(),
                if one.name.is_empty() { "commands".to_owned() } else { one.kind.clone() },
                match image.state {
                    InstallState::Launching => "launching",
                    InstallState::Launched => "launched",
                    InstallState::Removing => "removing",
                }
                .to_owned(),
                format!("{}{is_of_cluster}", familiar(&image.image)),
                short(&image.digest),
            ]);
        }
        write_table(&table)
    }

    /// Tells that an application was removed.
    pub(crate) fn removed_application(&self, name: &str, applied: &Applied) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(applied);
        }
        self.done(
            &if self.quiet { name.to_owned() } else { format!("{name} is gone from cluster {}", applied.name) },
            applied,
        )
    }
}
