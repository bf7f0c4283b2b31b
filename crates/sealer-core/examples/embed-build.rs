//! Builds a cluster image from a program, without the command line.
//!
//! `cargo run --example embed-build -- CONTEXT NAME ROOT`

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)] // A program, not a library.

use std::error::Error;

use sealer_core::{BuildRequest, Sealer, Settings, build};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(context), Some(name), Some(root)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: embed-build CONTEXT NAME ROOT".into());
    };
    let sealer = Sealer::open(Settings::new(&root, format!("{root}/state")))?;
    let mut request = BuildRequest::new(std::fs::read_to_string(format!("{context}/Kubefile"))?, context);
    request.options.tag = Some(name);
    let built = build(&sealer, &request, &|event| eprintln!("{event:?}")).await?;
    println!("{built:?}");
    Ok(())
}
