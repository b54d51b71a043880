//! Makes a service hang: while the gate is closed, nothing that answers is polled.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, PoisonError, RwLock},
    task::Poll,
};

use tokio::sync::watch;

/// A gate in front of futures. Open at first.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    open: watch::Sender<bool>,
    /// Held for reading by whoever is polled.
    polling: RwLock<()>,
}

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Shared {
            open: watch::Sender::new(true),
            polling: RwLock::default(),
        }))
    }
}

impl Gate {
    pub(super) fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// When this returns, nothing behind the gate runs any more.
    pub(super) fn close(&self) {
        self.0.open.send_replace(false);
        // Waits for polls that began before; they never block.
        drop(self.0.polling.write());
    }

    pub(super) fn is_open(&self) -> bool {
        *self.0.open.borrow()
    }

    /// Runs a future, but not while the gate is closed.
    pub(super) async fn pass<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut changes = self.0.open.subscribe();
        loop {
            // Can't fail: the sender is ours.
            let _ = changes.wait_for(|open| *open).await;
            let guarded = poll_fn(|context| {
                let _polling = self
                    .0
                    .polling
                    .read()
                    .unwrap_or_else(PoisonError::into_inner);
                if self.is_open() {
                    future.as_mut().poll(context)
                } else {
                    Poll::Pending
                }
            });
            tokio::select! {
                biased;
                _ = changes.wait_for(|open| !*open) => {}
                output = guarded => return output,
            }
        }
    }
}
