//! What happens all the time: feeding the watchdog, measuring.

use board::{println, watchdog};
use embassy_time::{Duration, Instant, Timer};
use sensor::user_data::{Entry, Event};

use crate::device::Device;

const FEED_EVERY: Duration = Duration::from_millis(500);
const MEASURE_EVERY: Duration = Duration::from_secs(60);

#[embassy_executor::task]
pub(crate) async fn run(device: &'static Device) -> ! {
    // Tells that the device is up; a history of starts is of no use to the user.
    if device.report(&measurement()).await.is_err() {
        println!("app: telemetry could not be stored");
    }
    let mut measure_at = Instant::now() + MEASURE_EVERY;
    loop {
        watchdog::feed();
        Timer::after(FEED_EVERY).await;
        if Instant::now() >= measure_at {
            measure_at += MEASURE_EVERY;
            if device.can_measure() && device.record(&measurement()).await.is_err() {
                println!("\napp: measurement could not be stored");
            }
        }
    }
}

/// The board has no sensor: the day in its room takes an hour, between 18 and 24 degrees.
pub(crate) fn measurement() -> Entry {
    let uptime = Instant::now().as_secs() as u32;
    let hour = (uptime % 3600) as i16;
    let rise = if hour < 1800 { hour } else { 3600 - hour };
    Entry {
        uptime,
        event: Event::Measured {
            centicelsius: 1800 + rise / 3,
            humidity: (60 - rise / 90) as u8,
        },
    }
}
