//! `sealer manifest`: joins cluster images that were built apart into one.

use clap::{Args, Subcommand};
use sealer_core::Error;
use sealer_core::cloudimage::{EntryOptions, Images};

use crate::commands::pairs::listed_pairs;
use crate::commands::push;
use crate::exit::Failure;
use crate::settings::{RegistryArguments, Session};

/// Join cluster images that were built apart into one for several platforms
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer manifest create shop:1.4 shop:1.4-amd64 shop:1.4-arm64\n  sealer manifest inspect shop:1.4"
)]
pub(crate) struct Manifest {
    #[command(subcommand)]
    command: ManifestCommand,
}

#[derive(Debug, Subcommand)]
enum ManifestCommand {
    /// Make an image of the platforms of others
    #[command(
        after_help = "Examples:\n  sealer manifest create shop:1.4\n  sealer manifest create shop:1.4 shop:1.4-amd64 shop:1.4-arm64"
    )]
    Create(Create),
    /// Add the platforms of images to one, which is made when it is not there
    #[command(
        after_help = "Examples:\n  sealer manifest add shop:1.4 shop:1.4-arm64\n  sealer manifest add -t shop:1.4 shop:1.4-amd64 shop:1.4-arm64"
    )]
    Add(Add),
    /// Take manifests, and the container images carried with them, out of an image
    #[command(
        after_help = "Examples:\n  sealer manifest remove shop:1.4 linux/arm64\n  sealer manifest remove shop:1.4 sha256:8c1f66a0b4d2"
    )]
    Remove(Remove),
    /// Show the manifests of an image
    #[command(after_help = "Examples:\n  sealer manifest inspect shop:1.4\n  sealer manifest inspect -o json shop:1.4")]
    Inspect(Inspect),
    /// Take the names of joined images away; what was joined keeps its own names
    #[command(after_help = "Examples:\n  sealer manifest delete shop:1.4\n  sealer manifest delete shop:1.3 shop:1.4")]
    Delete(Delete),
    /// Push a joined image to a registry
    #[command(
        after_help = "Examples:\n  sealer manifest push shop:1.4\n  sealer manifest push shop:1.4 registry.example.com/team/shop:1.4"
    )]
    Push(Push),
}

#[derive(Debug, Args)]
struct Create {
    /// Name of the image
    #[arg(value_name = "NAME")]
    name: String,
    /// Images whose platforms it gets
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// What the name is called in the original since 0.10
    #[arg(short, long, hide = true, value_name = "NAME")]
    target: Option<String>,
}

#[derive(Debug, Args)]
struct Add {
    /// The image, unless `-t` names it, and images whose platforms it gets
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// The image
    #[arg(short, long, value_name = "NAME")]
    target: Option<String>,
    /// Add every platform of the images, as is done anyway unless `--os`, `--arch` or `--variant` choose
    #[arg(long)]
    all: bool,
    /// Operating system: chosen of an image for several platforms, recorded for one of a single platform
    #[arg(long, value_name = "OS")]
    os: Option<String>,
    /// Architecture, likewise
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// Variant of the architecture, likewise
    #[arg(long, value_name = "VARIANT")]
    variant: Option<String>,
    /// Version of the operating system that is recorded
    #[arg(long, value_name = "VERSION")]
    os_version: Option<String>,
    /// Features of the operating system that are recorded, separated by commas
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    os_features: Vec<String>,
    /// Annotation of the manifests in the image; several are separated by commas
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
}

#[derive(Debug, Args)]
struct Remove {
    /// The image
    #[arg(value_name = "NAME")]
    name: String,
    /// Manifests: digests, or platforms
    #[arg(value_name = "MANIFEST", required = true)]
    manifests: Vec<String>,
}

#[derive(Debug, Args)]
struct Inspect {
    /// The image
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
struct Delete {
    /// The images
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

#[derive(Debug, Args)]
struct Push {
    /// The image
    #[arg(value_name = "NAME")]
    name: String,
    /// Its name at the registry
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,
    /// Take the name away here once it is there
    #[arg(long)]
    rm: bool,
    /// Send every platform, as is done anyway
    #[arg(long)]
    all: bool,
    /// Type of the manifests; cluster images have only this one
    #[arg(short = 'f', long = "format", value_name = "TYPE", value_parser = ["oci"])]
    manifest_type: Option<String>,
    #[command(flatten)]
    registry: RegistryArguments,
}

impl Manifest {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let sealer = session.open()?;
        let images = sealer.images();
        let list = match &self.command {
            ManifestCommand::Create(Create { target: Some(target), .. }) => {
                let instead = "the first argument is the name, the others are the images";
                return Err(Failure::Usage(format!("--target {target} is not supported: {instead}")));
            }
            ManifestCommand::Create(create) => images.create_list(&create.name, &create.images),
            ManifestCommand::Add(add) => {
                let (name, sources) = add.target()?;
                images.add_to_list(name, sources, &add.options()?)
            }
            ManifestCommand::Remove(remove) => images.remove_from_list(&remove.name, &remove.manifests),
            ManifestCommand::Inspect(inspect) => images.manifest_list(&inspect.name),
            ManifestCommand::Delete(delete) => {
                return session.printer.removed(&images.delete_lists(&delete.names).map_err(Error::from)?);
            }
            ManifestCommand::Push(push) => return push.run(session, images).await,
        };
        session.printer.manifest_list(&list.map_err(Error::from)?)
    }
}

impl Add {
    fn target(&self) -> Result<(&str, &[String]), Failure> {
        match (&self.target, self.images.split_first()) {
            (Some(target), _) => Ok((target, &self.images)),
            (None, Some((target, images))) if !images.is_empty() => Ok((target, images)),
            _ => Err(Failure::Usage("name the image, and at least one whose platforms it gets".to_owned())),
        }
    }

    fn options(&self) -> Result<EntryOptions, Failure> {
        let chooses = self.os.is_some() || self.arch.is_some() || self.variant.is_some();
        if self.all && chooses {
            return Err(Failure::Usage("--all adds every platform: leave out --os, --arch and --variant".to_owned()));
        }
        let mut options = EntryOptions::default();
        options.os.clone_from(&self.os);
        options.architecture.clone_from(&self.arch);
        options.variant.clone_from(&self.variant);
        options.os_version.clone_from(&self.os_version);
        options.os_features.clone_from(&self.os_features);
        options.annotations = listed_pairs("--annotation", &self.annotations)?;
        Ok(options)
    }
}

impl Push {
    async fn run(&self, session: &Session<'_>, images: &Images) -> Result<(), Failure> {
        push::perform(session, self.name.clone(), self.destination.clone(), &self.registry).await?;
        if self.rm {
            images.delete_lists(std::slice::from_ref(&self.name)).map_err(Error::from)?;
        }
        Ok(())
    }
}
