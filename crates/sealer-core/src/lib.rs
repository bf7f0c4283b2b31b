//! The workflows of sealer: build, apply, delete, each one page; vendors plug in here.
//!
//! # Steps
//!
//! 1. Open a [`Sealer`] with [`Settings`]: roots, credentials and time-outs are arguments, nothing is guessed.
//! 2. Register what you bring: [`Sealer::with_provider`], [`Sealer::with_runtime`].
//! 3. [`build`] makes a cluster image from a Kubefile; [`Sealer::images`] lists, saves and loads them; [`push`] and [`pull`] move them
//!    to and from registries.
//! 4. [`apply`] makes the real cluster match a Clusterfile; [`plan`] says what it would do; [`delete`] takes it back, and
//!    [`plan_delete`] says how. [`wanted`], [`scale_up`] and [`scale_down`] make the Clusterfile for it: of an image, or of one that is remembered.
//!    An image without Kubernetes runs on a cluster that stands: [`applications`] lists those, [`remove_application`] takes one away.
//!
//! Every workflow tells what happens through a callback of [`Event`]s and returns values; it never prints.
//!
//! ```
//! use sealer_core::{BuildRequest, Sealer, Settings, build};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let (root, state, context) = (directory.path().join("root"), directory.path().join("state"), directory.path());
//! std::fs::write(context.join("app.yaml"), "kind: Deployment\n")?;
//!
//! let sealer = Sealer::open(Settings::new(&root, &state))?;
//! let kubefile = "FROM scratch\nCOPY app.yaml manifests/\nCMD kubectl apply -f manifests\n";
//! let mut request = BuildRequest::new(kubefile, context);
//! request.options.tag = Some("shop:1.4".to_owned());
//! let built = build(&sealer, &request, &|event| println!("{event:?}")).await?;
//! assert_eq!(sealer.images().get("shop:1.4")?.index_digest(), &built.digest);
//! # Ok(())
//! # }
//! ```
//!
//! A cluster from such an image needs hosts:
//!
//! ```no_run
//! # #[cfg(feature = "cluster")]
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use sealer_core::{ApplyOptions, Sealer, Settings, apply, clusterfile};
//!
//! let sealer = Sealer::open(Settings::new("/var/lib/sealer", "/root/.sealer"))?;
//! let wanted = clusterfile::parse(&std::fs::read_to_string("Clusterfile")?)?;
//! let report = apply(&sealer, wanted, &ApplyOptions::default(), &|event| println!("{event:?}")).await?;
//! println!("{} steps done", report.done);
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! [`Error`] keeps the failing crate's own error as its source; [`Error::class`] tells what kind of failure it was.

#[cfg(feature = "cluster")]
mod actions;
#[cfg(feature = "cluster")]
mod applications;
#[cfg(feature = "cluster")]
mod apply;
#[cfg(feature = "cluster")]
mod binary;
#[cfg(feature = "build")]
mod build;
#[cfg(feature = "cluster")]
mod change;
mod class;
#[cfg(feature = "cluster")]
mod cluster_api;
#[cfg(feature = "cluster")]
mod cluster_copy;
#[cfg(feature = "cluster")]
mod connect;
#[cfg(feature = "cluster")]
mod connector;
#[cfg(feature = "cluster")]
mod consent;
#[cfg(feature = "cluster")]
mod content_delivery;
#[cfg(feature = "cluster")]
mod delete;
#[cfg(feature = "cluster")]
mod embedded;
mod error;
mod event;
#[cfg(feature = "cluster")]
mod executor;
#[cfg(feature = "cluster")]
mod external_registry;
pub mod host;
#[cfg(feature = "cluster")]
mod host_cleanup;
#[cfg(feature = "build")]
mod image_logins;
#[cfg(feature = "cluster")]
mod image_plugins;
mod load;
#[cfg(feature = "cluster")]
mod nodes;
#[cfg(feature = "cluster")]
mod observe;
#[cfg(feature = "cluster")]
mod operator_lock;
#[cfg(feature = "cluster")]
mod place_images;
#[cfg(feature = "cluster")]
mod plugins;
#[cfg(feature = "cluster")]
mod provision;
mod prune;
mod pull;
mod push;
mod registry_login;
mod remove;
#[cfg(feature = "cluster")]
mod report;
#[cfg(feature = "cluster")]
mod run;
mod save;
#[cfg(feature = "cluster")]
mod scale;
mod sealer;
mod search;
#[cfg(feature = "registry")]
pub mod serve;
mod short_name;
#[cfg(feature = "cluster")]
mod state;
#[cfg(feature = "cluster")]
mod takeover;
#[cfg(feature = "cluster")]
mod target;
#[cfg(feature = "testing")]
pub mod testing;
mod text_file;
#[cfg(feature = "cluster")]
mod unsupported;
mod verify;
#[cfg(feature = "cluster")]
mod wanted;

#[cfg(feature = "build")]
pub use crate::build::{BuildRequest, build, plan_build};
pub use crate::class::Class;
pub use crate::error::Error;
pub use crate::event::{Event, Events};
pub use crate::load::{load, load_files};
pub use crate::prune::prune;
pub use crate::pull::{PullRequest, pull};
pub use crate::push::{PushRequest, push};
pub use crate::registry_login::{LoggedIn, LoggedOut, log_in, log_out};
pub use crate::remove::{RemoveRequest, remove};
pub use crate::save::{Destination, SaveRequest, save, save_to};
pub use crate::sealer::{Sealer, Settings, SshSettings};
pub use crate::search::{FoundTags, SearchRequest, search};
pub use crate::verify::verify;
#[cfg(feature = "cluster")]
pub use crate::{
    applications::{
        ApplicationError, InstallState, InstalledApplication, InstalledImage, RemoveApplication, applications,
        plan_removal, remove_application,
    },
    apply::{ApplyOptions, apply, plan},
    connector::{Connections, Connector, Remotes, SshConnector},
    consent::Consent,
    delete::{DeleteOptions, Deleted, delete, plan_delete},
    external_registry::PlacedImage,
    host_cleanup::{CleanHostOptions, HostClaim, clean_host},
    nodes::Node,
    report::{Applied, LeftHost, Outcome, Planned},
    scale::{ScaleRequest, current, scale_down, scale_up, with_arguments},
    state::{ClusterState, State},
    takeover::{TakenOver, newest, take_over},
    unsupported::{Unsupported, check},
    wanted::{Login, RunRequest, Wanted, wanted},
};

// The crates below, so that one dependency is enough.
#[cfg(feature = "lvscare")]
pub use lvscare;
#[cfg(any(feature = "cluster", feature = "registry"))]
pub use registry_proxy;
pub use {cloudimage, content_store, kubefile, registry_client};
#[cfg(feature = "cluster")]
pub use {clusterfile, go_template, infra_provider, remote, runtime};
