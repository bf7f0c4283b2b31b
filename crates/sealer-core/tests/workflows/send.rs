//! Every workflow can be spawned: its future is `Send`.

use std::future::Future;

use sealer_core::clusterfile::Clusterfile;
use sealer_core::host::{PullRequest, pull, pull_over_stdio};
use sealer_core::serve::{ServeRequest, serve};
use sealer_core::{
    ApplyOptions, BuildRequest, CleanHostOptions, DeleteOptions, Events, Sealer, apply, build, clean_host, delete,
    plan, take_over,
};

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
    clean_options: &CleanHostOptions<'_>,
) {
    is_send(build(sealer, build_request, events));
    is_send(apply(sealer, wanted.clone(), &ApplyOptions::default(), events));
    is_send(take_over(sealer, &wanted.cluster, &ApplyOptions::default(), events));
    is_send(clean_host(sealer, &wanted.cluster.hosts[0], clean_options, events));
    is_send(plan(sealer, wanted, &ApplyOptions::default(), events));
    is_send(delete(sealer, "shop", &DeleteOptions::default(), events));
    is_send(pull(pull_request, &[]));
    is_send(pull_over_stdio(pull_request, tokio::io::empty()));
    is_send(sealer_core::push(sealer, &sealer_core::PushRequest::new("a"), events));
    is_send(sealer_core::pull(sealer, &sealer_core::PullRequest::new("a"), events));
    is_send(serve(serve_request, std::future::pending()));
}
