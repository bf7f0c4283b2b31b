//! Tests in a real kernel, with servers that die and programs that change rules of others.
//!
//! One program plays all parts: without a word it runs the tests, with `actor …` it is a server or a guard that a test
//! started in a network namespace. It takes the dataplane that the kernel has (`--dataplane ipvs|nftables` insists on
//! one) and the filters that `cargo test` hands on. It needs root; nothing outside its own namespaces is touched.

#![expect(
    clippy::disallowed_methods,
    clippy::exit,
    clippy::print_stdout,
    reason = "a test program that plays with time, ends by itself and tells how it went"
)]
#![expect(unreachable_pub, reason = "a test program has no outside")]

mod actor;
mod addressing;
mod echo;
mod harness;
mod ipvs;
mod nftables;
mod scenarios;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("actor", part)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return actor::play(part);
    }
    harness::run(&arguments, |plane| {
        let mut tests = addressing::tests(plane);
        if plane == harness::Plane::Ipvs {
            tests.extend(ipvs::tests());
        }
        if plane == harness::Plane::Nftables {
            tests.extend(nftables::tests());
        }
        tests.extend(scenarios::tests(plane));
        tests
    })
}
