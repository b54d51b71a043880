//! The button: held for two seconds, it resets the device to factory default.

use board::{page, println};
use embassy_time::{Duration, Instant, Timer};

use crate::device::Device;

const HOLD: Duration = Duration::from_secs(2);
/// The board's button raises no interrupt.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[embassy_executor::task]
pub(crate) async fn watch(device: &'static Device) -> ! {
    // Held since before the start: that press was for something else, or the button is stuck.
    while page::button() {
        Timer::after(LOOK_EVERY).await;
    }
    let mut pressed_at: Option<Instant> = None;
    loop {
        Timer::after(LOOK_EVERY).await;
        pressed_at = page::button().then(|| pressed_at.unwrap_or_else(Instant::now));
        if pressed_at.is_some_and(|at| at.elapsed() >= HOLD) {
            println!("\napp: factory reset by button");
            if device.factory_reset().await.is_err() {
                println!("app: factory reset failed");
            }
            pressed_at = None;
        }
    }
}
