//! Turns Ctrl-C, and the signals that a supervisor sends, into cancellation.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::exit::{self, Failure};

/// Ctrl-C and what a supervisor sends in its place.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn listen() -> Result<Self, Failure> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Resolves at the first interrupt.
pub(crate) async fn interrupted() {
    match Interrupts::listen() {
        Ok(mut interrupts) => interrupts.next().await,
        Err(_) => std::future::pending().await,
    }
}

/// Cancels at the first interrupt; there is nothing to finish.
pub(crate) fn stop(token: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        interrupted().await;
        token.cancel();
    })
}

/// Hears of each hang-up signal, by which a service manager has files read again.
pub(crate) fn hangups() -> Result<mpsc::Receiver<()>, Failure> {
    let mut hangup = signal(SignalKind::hangup())?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            // One that is not taken up yet counts for this one as well.
            let _ = sender.try_send(());
        }
    });
    Ok(receiver)
}

/// The first interrupt cancels: what is under way is finished. The second ends this process at once.
pub(crate) fn cancel(token: CancellationToken, tell: impl Fn() + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Ok(mut interrupts) = Interrupts::listen() else { return };
        interrupts.next().await;
        token.cancel();
        tell();
        interrupts.next().await;
        exit::at_once();
    })
}
