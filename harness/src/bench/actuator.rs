//! What works the DUT's buttons.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::switch::{Switch, SwitchError};

/// Holds one button.
#[derive(Debug, Clone)]
pub struct Actuator {
    switch: Arc<dyn Switch>,
    name: Arc<str>,
}

impl Actuator {
    pub(super) fn new(switch: Arc<dyn Switch>, name: &str) -> Self {
        Self {
            switch,
            name: name.into(),
        }
    }

    /// The button's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Presses the button for as long as `hold`. It is let go even if the caller stops waiting.
    pub async fn press(&self, hold: Duration) -> Result<(), SwitchError> {
        let switch = Arc::clone(&self.switch);
        let press = tokio::spawn(async move {
            let pressed = switch.set(true).await;
            if pressed.is_ok() {
                sleep(hold).await;
            }
            // Also after a failure: it may have been pressed all the same.
            switch.set(false).await.and(pressed)
        });
        press.await.unwrap_or_else(|_| {
            Err(SwitchError::Interrupted {
                device: format!("button {}", self.name),
            })
        })
    }

    /// Presses the button and keeps it pressed until [`release`](Self::release).
    pub async fn hold(&self) -> Result<(), SwitchError> {
        self.switch.set(true).await
    }

    /// Lets the button go.
    pub async fn release(&self) -> Result<(), SwitchError> {
        self.switch.set(false).await
    }
}
