//! Every workflow can be spawned: its future is `Send`.

use std::future::Future;

use sealer_core::clusterfile::Clusterfile;
use sealer_core::host::{PullRequest, pull, pull_over_stdio};
use sealer_core::serve::{ServeRequest, serve};
use sealer_core::{ApplyOptions, BuildRequest, DeleteOptions, Events, Sealer, apply, build, delete, plan};

fn is_send(_: impl Future + Send) {}

/// Only compiled: that is the test.
#[expect(dead_code, reason = "that it compiles is the test")]
fn workflows_are_send(
    sealer: &'static Sealer,
    wanted: Clusterfile,
    events: Events<'static>,
    build_request: &BuildRequest,
    pull_request: &PullRequest,
    serve_request: &ServeRequest,
) {
    is_send(build(sealer, build_request, events));
    is_send(apply(sealer, wanted.clone(), &ApplyOptions::default(), events));
    is_send(plan(sealer, wanted, &ApplyOptions::default(), events));
    is_send(delete(sealer, "shop", &DeleteOptions::default(), events));
    is_send(pull(pull_request, &[]));
    is_send(pull_over_stdio(pull_request, tokio::io::empty()));
    is_send(serve(serve_request, |_| (), std::future::pending()));
}
