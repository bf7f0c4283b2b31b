//! A daemon that a test started.

use std::path::PathBuf;
use std::process::ExitCode;

use lvscare::daemon::{self, CareRequest, CleanRequest, ConfigSource};
use lvscare::{AddressingMode, DataplaneKind, Supervisor, Unit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cares as the program does: `PLANE ADDRESSING CONFIG SOCKET [once] [clean]`; tells each event in a line. Ends when it
/// is told to, and when the test that started it is gone.
pub async fn care(words: &[&str]) -> ExitCode {
    let [plane, addressing, config, socket, flags @ ..] = words else { panic!("not enough words: {words:?}") };
    keep_the_rights_of_the_unit();
    let request = CareRequest {
        config: ConfigSource::File(PathBuf::from(config)),
        dataplane: dataplane(plane),
        addressing: mode(addressing),
        socket: PathBuf::from(socket),
        metrics_file: None,
        clean: flags.contains(&"clean"),
        once: flags.contains(&"once"),
    };
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(3);
    });
    let cancel = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).expect("hear of signals");
    let told = cancel.clone();
    tokio::spawn(async move {
        terminate.recv().await;
        told.cancel();
    });
    let (_keep, reload) = tokio::sync::mpsc::channel(1);
    let done =
        daemon::care(&request, Supervisor::default(), reload, cancel, Box::new(|event| println!("{event:?}"))).await;
    ended(done)
}

/// Cleans as the program does: `PLANE ADDRESSING VIP SOCKET`.
pub async fn clean(words: &[&str]) -> ExitCode {
    let [plane, addressing, vip, socket] = words else { panic!("not enough words: {words:?}") };
    let request = CleanRequest {
        vs: vip.parse().expect("an address"),
        dataplane: dataplane(plane),
        addressing: mode(addressing),
        socket: PathBuf::from(socket),
    };
    ended(daemon::clean(&request).await)
}

/// Gives up what the unit leaves out, so that every scenario shows that the rest is enough.
fn keep_the_rights_of_the_unit() {
    let text = Unit::default().to_text();
    assert!(text.contains("\nCapabilityBoundingSet=CAP_NET_ADMIN\n"), "{text}");
    let (needed, none) = (CapabilitySet::NET_ADMIN, CapabilitySet::empty());
    let sets = CapabilitySets { effective: needed, permitted: needed, inheritable: none };
    rustix::thread::set_capabilities(None, sets).expect("give up capabilities");
}

fn ended(done: lvscare::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            let causes = std::iter::successors(error.source(), |cause| cause.source());
            println!("{}", causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}")));
            ExitCode::FAILURE
        }
    }
}

fn dataplane(name: &str) -> DataplaneKind {
    name.parse().expect("a dataplane")
}

fn mode(name: &str) -> AddressingMode {
    match name {
        "route" => AddressingMode::Route { source: None },
        name => AddressingMode::Link { name: name.to_owned() },
    }
}
