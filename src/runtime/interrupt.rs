//! Ctrl-C and SIGTERM: noticed once, seen by everything that waits.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::failure::ExitStatus;

/// Which signal asked for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// SIGINT, from Ctrl-C.
    Interrupt,
    /// SIGTERM or SIGHUP.
    Terminate,
}

impl Interruption {
    /// The exit status that shells expect after this signal.
    #[must_use]
    pub const fn status(self) -> ExitStatus {
        match self {
            Self::Interrupt => ExitStatus::Interrupted,
            Self::Terminate => ExitStatus::Terminated,
        }
    }
}

/// Tells everything that waits whether the user wants to stop.
#[derive(Debug, Clone)]
pub struct Interrupt(watch::Receiver<Option<Interruption>>);

/// The other half of an interrupt that is given by hand. Dropping it leaves whatever waits alone.
#[derive(Debug)]
pub struct Stop(watch::Sender<Option<Interruption>>);

impl Stop {
    /// Asks for the end.
    pub fn stop(&self, interruption: Interruption) {
        self.0.send_replace(Some(interruption));
    }
}

impl Interrupt {
    /// Listens to SIGINT, SIGTERM and SIGHUP from now on. Runs inside tokio.
    pub fn listen() -> std::io::Result<Self> {
        let (sender, receiver) = watch::channel(None);
        let mut int = signal(SignalKind::interrupt())?;
        let mut term = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            let interruption = tokio::select! {
                _ = int.recv() => Interruption::Interrupt,
                _ = term.recv() => Interruption::Terminate,
                _ = hangup.recv() => Interruption::Terminate,
            };
            let _ = sender.send(Some(interruption));
            // The sender lives on, so that later waits still see the value.
            sender.closed().await;
        });
        Ok(Self(receiver))
    }

    /// An interrupt that never comes.
    #[must_use]
    pub fn never() -> Self {
        let (sender, receiver) = watch::channel(None);
        // Leaking one sender is what makes "never" true: a dropped one would end every wait.
        std::mem::forget(sender);
        Self(receiver)
    }

    /// An interrupt that comes when the other half says so.
    #[must_use]
    pub fn by_hand() -> (Stop, Self) {
        let (sender, receiver) = watch::channel(None);
        (Stop(sender), Self(receiver))
    }

    /// Lets time pass, unless the user wants to stop.
    pub async fn sleep(&self, length: Duration) -> Result<(), Interruption> {
        tokio::select! {
            () = tokio::time::sleep(length) => Ok(()),
            interruption = self.wait() => Err(interruption),
        }
    }

    /// Waits until the user wants to stop.
    pub async fn wait(&self) -> Interruption {
        let mut receiver = self.0.clone();
        let seen = receiver.wait_for(Option::is_some).await.ok().and_then(|value| *value);
        match seen {
            Some(interruption) => interruption,
            None => std::future::pending().await,
        }
    }
}
