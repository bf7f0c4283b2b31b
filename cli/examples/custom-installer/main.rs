//! An installer of a vendor: own provider, own runtime, own sub-command; `tests/custom_installer.rs` runs it.
//!
//! `cargo run --example custom-installer -- inventory`, and every command of sealer besides.

#![expect(clippy::print_stdout, reason = "a program, not a library")]

mod appliance;
mod rack;

use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).map(String::as_str) == Some("inventory") {
        println!("{}", rack::RACK.join("\n"));
        return ExitCode::SUCCESS;
    }
    sealer::run_with(arguments, &|sealer| {
        sealer.with_provider(Arc::new(rack::Rack::new())).with_runtime(Arc::new(appliance::Appliance::new()))
    })
}
