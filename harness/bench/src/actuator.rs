//! What works the DUT's buttons.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep, sleep_until},
};

use super::switch::{Switch, SwitchError};

/// Products debounce their buttons: a shorter pause between two presses may make one of them.
const PAUSE: Duration = Duration::from_millis(150);

/// Holds one button.
#[derive(Debug, Clone)]
pub struct Actuator {
    switch: Arc<dyn Switch>,
    name: Arc<str>,
    /// When the button was let go.
    released: Arc<Mutex<Option<Instant>>>,
}

impl Actuator {
    pub(super) fn new(switch: Arc<dyn Switch>, name: &str) -> Self {
        Self {
            switch,
            name: name.into(),
            released: Arc::default(),
        }
    }

    /// The button's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Presses the button for as long as `hold`. It is let go even if the caller stops waiting.
    pub async fn press(&self, hold: Duration) -> Result<(), SwitchError> {
        let button = self.clone();
        let press = tokio::spawn(async move {
            let pressed = button.hold().await;
            if pressed.is_ok() {
                sleep(hold).await;
            }
            // Also after a failure: it may have been pressed all the same.
            button.release().await.and(pressed)
        });
        press.await.unwrap_or_else(|_| {
            Err(SwitchError::Interrupted {
                device: format!("button {}", self.name),
            })
        })
    }

    /// Presses the button and keeps it pressed until [`release`](Self::release). Waits first, if it was
    /// let go just before.
    pub async fn hold(&self) -> Result<(), SwitchError> {
        let released = *self.released.lock().await;
        if let Some(released) = released {
            sleep_until(released + PAUSE).await;
        }
        self.switch.set(true).await
    }

    /// Whether the button is held, as what holds it says.
    pub async fn is_held(&self) -> Result<bool, SwitchError> {
        self.switch.is_on().await
    }

    /// Lets the button go.
    pub async fn release(&self) -> Result<(), SwitchError> {
        let outcome = self.switch.set(false).await;
        *self.released.lock().await = Some(Instant::now());
        outcome
    }
}
