//! `sealer build`: from a Kubefile to a cluster image.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sealer_core::cloudimage::{self, Compression, Effect, ImageKind, Platform};
use sealer_core::lvscare::parse_duration;
use sealer_core::{BuildRequest, Error, build, plan_build};

use crate::commands::old_build_flags::OldBuildFlags;
use crate::commands::pairs::listed_pairs;
use crate::commands::pull::PolicyArgument;
use crate::exit::Failure;
use crate::interrupt;
use crate::settings::{self, RegistryArguments, Session};

/// A Kubefile is never larger than this.
const KUBEFILE_LIMIT: u64 = 1 << 20;

/// Build a cluster image from a Kubefile
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealer build -t shop:1.4 --platform linux/amd64,linux/arm64 .\n  sealer build --dry-run -f Kubefile ."
)]
pub(crate) struct Build {
    /// The context: the directory that COPY reads from [default: .]
    #[arg(value_name = "CONTEXT", conflicts_with = "old_context")]
    context: Option<PathBuf>,
    /// The Kubefile; `-` is standard input [default: CONTEXT/Kubefile]
    #[arg(short = 'f', long = "file", visible_alias = "kubefile", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Name of the image
    #[arg(short, long, visible_alias = "imageName", value_name = "NAME", required_unless_present = "dry_run")]
    tag: Option<String>,
    /// Value of an ARG of the Kubefile; several are separated by commas
    #[arg(long = "build-arg", value_name = "KEY=VALUE")]
    build_args: Vec<String>,
    /// Platforms of the image, separated by commas: it is built for each of them
    #[arg(long, value_name = "OS/ARCH", default_value = "linux/amd64")]
    platform: Vec<String>,
    /// Label of the image, besides those of the Kubefile; several are separated by commas
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Annotation of the image's manifests; several are separated by commas
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    /// What the image is; the build fails when its files say otherwise
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    kind: Option<KindArgument>,
    /// Which container images are carried: all that are named, or (lite) only those of the base and of archives
    #[arg(long, value_enum, value_name = "MODE", default_value = "all")]
    build_mode: ModeArgument,
    /// Container images to carry, one name a line, besides the context's manifests/imageList
    #[arg(long, value_name = "FILE")]
    image_list: Option<PathBuf>,
    /// Container images to carry with the logins of their registries, as a YAML list of registry, username, password, images
    #[arg(long, value_name = "FILE")]
    image_list_with_auth: Option<PathBuf>,
    /// Container images not to carry, one name a line, whoever names them
    #[arg(long, value_name = "FILE")]
    ignored_image_list: Option<PathBuf>,
    /// How layers are compressed
    #[arg(long, value_enum, default_value = "zstd")]
    compression: CompressionArgument,
    /// When the registry is asked for the base image; `true` is ifnewer, `false` is missing
    #[arg(long, value_enum, value_name = "POLICY", num_args = 0..=1, require_equals = true, default_value = "missing", default_missing_value = "ifnewer")]
    pull: PolicyArgument,
    /// Make every layer anew
    #[arg(long)]
    no_cache: bool,
    /// Print the layers that would be made; touch neither store nor network
    #[arg(long)]
    dry_run: bool,
    /// Longest time that the command of one RUN may take, such as 90s or 2h; a bare number is seconds, 0 is no limit
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    run_timeout: Duration,
    /// Let RUN send and receive packets whose headers it writes and reads itself, as `ping` does
    #[arg(long)]
    run_raw_packets: bool,
    #[command(flatten)]
    registry: RegistryArguments,
    #[command(flatten)]
    old: OldBuildFlags,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum CompressionArgument {
    Zstd,
    Gzip,
    None,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum KindArgument {
    /// It brings a Kubernetes
    KubeInstaller,
    /// It runs on a cluster that there is
    AppInstaller,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ModeArgument {
    All,
    Lite,
}

impl Build {
    pub(crate) async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let context = self.old.context()?.or(self.context.as_ref()).cloned().unwrap_or_else(|| PathBuf::from("."));
        let file = self.file.clone().unwrap_or_else(|| context.join("Kubefile"));
        let kubefile = read(&file).map_err(|failure| match failure {
            // Its Kubefile is not what is missing first.
            _ if self.file.is_none() && !context.is_dir() => {
                Error::from(cloudimage::Error::Context { path: context.clone() }).into()
            }
            failure => failure,
        })?;
        let request = self.request(kubefile.clone(), context)?;
        let explain = |failure| match failure {
            Failure::Core(Error::Kubefile(errors)) => {
                Failure::Kubefile { file: file.display().to_string(), text: kubefile.clone(), errors }
            }
            other => other,
        };
        // Also before a build: what is wrong with the Kubefile shows before a store is made.
        let plan = plan_build(&request).map_err(|error| explain(error.into()))?;
        let bases: Vec<&str> =
            plan.steps.iter().filter(|step| step.effect == Effect::Base).map(|step| step.arguments.as_str()).collect();
        if self.dry_run {
            return session.printer.layer_plan(&plan);
        }
        let sealer = session.open_with_registries(&self.registry, &bases)?;
        let progress = session.printer.build_progress();
        let interrupts = interrupt::stop(request.options.cancel.clone());
        let built = build(&sealer, &request, &|event| progress.event(&event)).await;
        interrupts.abort();
        progress.finish();
        session.printer.built(&built.map_err(|error| explain(error.into()))?)
    }

    fn request(&self, kubefile: String, context: PathBuf) -> Result<BuildRequest, Failure> {
        let compression = match self.compression {
            CompressionArgument::Zstd => Compression::Zstd,
            CompressionArgument::Gzip => Compression::Gzip,
            CompressionArgument::None => Compression::None,
        };
        let platforms = Platform::parse_list(&self.platform.join(","))
            .map_err(|error| Failure::Usage(format!("--platform: {error}")))?;
        let mut request = BuildRequest::new(kubefile, context);
        request.image_list.clone_from(&self.image_list);
        request.image_list_with_auth.clone_from(&self.image_list_with_auth);
        request.ignored_image_list.clone_from(&self.ignored_image_list);
        let options = &mut request.options;
        options.tag.clone_from(&self.tag);
        options.build_args = listed_pairs("--build-arg", &self.build_args)?;
        options.labels = listed_pairs("--label", &self.labels)?;
        options.annotations = listed_pairs("--annotation", &self.annotations)?;
        options.kind = self.kind.map(|kind| match kind {
            KindArgument::KubeInstaller => ImageKind::KubeInstaller,
            KindArgument::AppInstaller => ImageKind::AppInstaller,
        });
        options.lite = self.build_mode == ModeArgument::Lite;
        options.platforms = platforms;
        options.compression = compression;
        options.pull = self.pull.into();
        options.no_cache = self.no_cache;
        options.run_timeout = Some(self.run_timeout);
        options.raw_packets = self.run_raw_packets;
        options.source_date_epoch = settings::source_date_epoch()?;
        Ok(request)
    }
}

fn read(file: &std::path::Path) -> Result<String, Failure> {
    let failed = |source| Failure::Input { path: file.display().to_string(), source };
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().take(KUBEFILE_LIMIT + 1).read_to_string(&mut text).map_err(failed)?;
    } else {
        std::fs::File::open(file)
            .and_then(|file| file.take(KUBEFILE_LIMIT + 1).read_to_string(&mut text))
            .map_err(failed)?;
    }
    if text.len() as u64 > KUBEFILE_LIMIT {
        return Err(failed(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "larger than 1 MiB")));
    }
    Ok(text)
}
