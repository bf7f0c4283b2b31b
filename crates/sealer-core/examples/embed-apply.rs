//! Makes a cluster match its Clusterfile from a program, without the command line.
//!
//! `cargo run --example embed-apply -- CLUSTERFILE ROOT STATE BINARY`

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)] // A program, not a library.

use std::error::Error;

use sealer_core::{ApplyOptions, Class, Sealer, Settings, apply, clusterfile};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, root, state, binary] = arguments.as_slice() else {
        return Err("usage: embed-apply CLUSTERFILE ROOT STATE BINARY".into());
    };
    let mut settings = Settings::new(root, state);
    // This program is not what should run on hosts: say which static binary is.
    settings.binary = Some(binary.into());
    let sealer = Sealer::open(settings)?;
    let wanted = clusterfile::parse(&std::fs::read_to_string(file)?)?;

    match apply(&sealer, wanted, &ApplyOptions::default(), &|event| eprintln!("{event:?}")).await {
        Ok(applied) => println!("{} is up; kubeconfig: {:?}", applied.name, applied.kubeconfig),
        Err(error) if error.class() == Class::Partly => println!("not finished, run this again: {error}"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
