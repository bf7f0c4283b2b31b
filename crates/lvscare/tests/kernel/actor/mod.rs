//! The parts that this program plays when a test starts it in a network namespace.

mod daemon;
mod serve;

use std::process::ExitCode;

use lvscare::{Dataplane, Ipvs};

/// Plays the part that the words name.
pub fn play(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("make a runtime");
    match words.as_slice() {
        ["look-without-privilege"] => runtime.block_on(look_without_privilege()),
        ["serve", address, name, identity @ ..] => runtime.block_on(serve::serve(address, name, identity)),
        ["care", words @ ..] => return runtime.block_on(daemon::care(words)),
        ["clean", words @ ..] => return runtime.block_on(daemon::clean(words)),
        other => panic!("no part is called {other:?}"),
    }
    ExitCode::SUCCESS
}

async fn look_without_privilege() {
    nix::unistd::setuid(nix::unistd::Uid::from_raw(65_534)).expect("become nobody");
    let ipvs = Ipvs::open().await.expect("finding IPVS needs no privilege");
    let service = "10.1.0.100:6443".parse().expect("an address");
    println!("{}", ipvs.observe(service).await.expect_err("observing needs one"));
}
