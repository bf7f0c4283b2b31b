//! Chooses the tests to run and reports their outcome.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

/// The part of the kernel that is under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// IP Virtual Server.
    Ipvs,
    /// nftables.
    Nftables,
}

impl Plane {
    /// Whether the kernel that has it is itself a process here, many times slower than others.
    pub fn is_slow(self) -> bool {
        self == Self::Ipvs
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipvs => "ipvs",
            Self::Nftables => "nftables",
        }
    }
}

/// A test: its name, and what it does; it panics when something does not hold.
pub struct Test {
    name: String,
    play: Box<dyn Fn()>,
}

/// A test of this name.
pub fn test(name: impl Into<String>, play: impl Fn() + 'static) -> Test {
    Test { name: name.into(), play: Box::new(play) }
}

/// Tells a figure that a test found.
pub fn figure(text: &str) {
    println!("     {text}");
}

/// Runs those of the tests that the arguments ask for, one after the other, and tells about them as `cargo test` does.
pub fn run(arguments: &[String], tests: impl Fn(Plane) -> Vec<Test>) -> ExitCode {
    let plane = match plane(arguments) {
        Ok(plane) => plane,
        Err(wrong) => {
            println!("{wrong}");
            return ExitCode::FAILURE;
        }
    };
    let filters = filters(arguments);
    let all = tests(plane);
    let count = all.len();
    let chosen: Vec<Test> = all
        .into_iter()
        .filter(|test| filters.is_empty() || filters.iter().any(|part| test.name.contains(part)))
        .collect();
    if arguments.iter().any(|argument| argument == "--list") {
        chosen.iter().for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    super::clock::watch();
    println!("\nrunning {} tests ({plane:?})", chosen.len());
    let start = Instant::now();
    let (mut passed, mut failed) = (0, Vec::new());
    for test in &chosen {
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (test.play)()));
        let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {} ... {verdict} ({:.1} s)", test.name, start.elapsed().as_secs_f64());
        match outcome {
            Ok(()) => passed += 1,
            Err(_) => failed.push(test.name.as_str()),
        }
    }
    if !failed.is_empty() {
        println!("\nfailures:\n    {}", failed.join("\n    "));
    }
    println!(
        "\ntest result: {}. {passed} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failed.is_empty() { "ok" } else { "FAILED" },
        failed.len(),
        count - chosen.len(),
        start.elapsed().as_secs_f64(),
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn plane(arguments: &[String]) -> Result<Plane, String> {
    let named = arguments.iter().position(|argument| argument == "--dataplane");
    match named.and_then(|place| arguments.get(place + 1)).map(String::as_str) {
        Some("ipvs") => Ok(Plane::Ipvs),
        Some("nftables") => Ok(Plane::Nftables),
        Some(other) => Err(format!("no dataplane is called {other}")),
        None if std::path::Path::new("/proc/net/ip_vs").exists() => Ok(Plane::Ipvs),
        None => Ok(Plane::Nftables),
    }
}

/// The words that are no options.
fn filters(arguments: &[String]) -> Vec<&str> {
    let mut filters = Vec::new();
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--dataplane" => drop(words.next()),
            _ if word.starts_with("--") => {}
            _ => filters.push(word),
        }
    }
    filters
}
