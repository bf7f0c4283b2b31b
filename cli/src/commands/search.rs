//! `sealer search`: the tags of repositories.

use clap::Args;
use sealer_core::{SearchRequest, search};

use crate::exit::Failure;
use crate::settings::{RegistryArguments, Session};

/// List the tags of images in their registry
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer search kubernetes\n  sealer search registry.example.com/team/shop --limit 10 -o json"
)]
pub(crate) struct Search {
    /// The images, without tags; names without a registry are looked for in the default one
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// The most tags to print of each image
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    #[command(flatten)]
    registry: RegistryArguments,
}

impl Search {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let sealer = session.open_with_registries(&self.registry, &names)?;
        let mut found = Vec::new();
        for name in names {
            let mut request = SearchRequest::new(name);
            request.limit = self.limit.map(|limit| limit as usize);
            found.push(search(&sealer, &request).await?);
        }
        session.printer.found(&found)
    }
}
