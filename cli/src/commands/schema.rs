//! `sealer schema`: the JSON Schema of a Clusterfile, for editors and validators.

use clap::Args;
use sealer_core::clusterfile;

use crate::exit::Failure;
use crate::settings::Session;

/// Print the JSON Schema of the documents of a Clusterfile
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealer schema > clusterfile.schema.json\n  sealer apply -f Clusterfile --check")]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        session.printer.raw(format!("{:#}\n", clusterfile::schema()).as_bytes())
    }
}
