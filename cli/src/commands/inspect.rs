//! `sealer inspect`: what is inside a cluster image.

use clap::Args;
use sealer_core::Error;
use sealer_core::cloudimage::Platform;

use crate::exit::Failure;
use crate::settings::Session;

/// Show what is inside a cluster image
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer inspect shop:1.4\n  sealer inspect -c shop:1.4 > Clusterfile\n  sealer inspect --format {{.digest}} shop:1.4"
)]
pub(crate) struct Inspect {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Print the Clusterfile by which the image is run when nothing else is said
    #[arg(short = 'c', long = "Clusterfile", visible_alias = "clusterfile")]
    clusterfile: bool,
    /// The platform to show [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Print the stored document as it is: the index, or with --platform the manifest
    #[arg(long, conflicts_with_all = ["clusterfile", "template"])]
    raw: bool,
    /// Print fields of the JSON result, such as '{{.digest}} {{json .labels}}'
    #[arg(short = 'f', long = "format", value_name = "TEMPLATE", conflicts_with = "clusterfile")]
    template: Option<String>,
    /// What is inspected: image
    #[arg(short = 't', long = "type", value_name = "KIND", value_parser = ["image"], hide = true)]
    kind: Option<String>,
}

impl Inspect {
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let platform = self.platform.as_ref().map(|platform| platform.parse::<Platform>()).transpose();
        let platform = platform.map_err(Error::from)?;
        let sealer = session.open()?;
        if self.clusterfile {
            return session.printer.clusterfile(&sealer.default_clusterfile(&self.image)?);
        }
        if self.raw {
            return session.printer.raw(&sealer.images().raw(&self.image, platform.as_ref()).map_err(Error::from)?);
        }
        let inspection = match &platform {
            Some(platform) => sealer.images().inspect_for(&self.image, platform),
            None => sealer.images().inspect(&self.image),
        };
        let inspection = inspection.map_err(Error::from)?;
        match &self.template {
            Some(template) => session.printer.template(template, &inspection),
            None => session.printer.inspection(&inspection),
        }
    }
}
