//! The time of day, from a time server. Certificates are not judged without it.

use core::cell::Cell;

use critical_section::Mutex;
use embassy_futures::select::{Either, select};
use embassy_net::{
    IpEndpoint, Stack,
    udp::{PacketMetadata, UdpSocket},
};
use embassy_time::{Duration, Instant, Timer, with_timeout};
use protocol::{Backoff, backoff::spread_ms, sntp};

use super::resolve;
use crate::random;

const SERVER: &str = "time.sensor.example";
const PORT: u16 = 123;
const PATIENCE: Duration = Duration::from_secs(3);
/// Milliseconds until a known time is looked up again.
const REFRESH_MS: u32 = 3_600_000;

/// UNIX time at the device's start, in seconds.
static STARTED_AT: Mutex<Cell<Option<u64>>> = Mutex::new(Cell::new(None));

/// Seconds since 1970; None before a time server has answered.
pub(crate) fn now() -> Option<u64> {
    let started_at = critical_section::with(|cs| STARTED_AT.borrow(cs).get());
    Some(started_at? + Instant::now().as_secs())
}

fn set(now: u64) {
    let started_at = now.saturating_sub(Instant::now().as_secs());
    critical_section::with(|cs| STARTED_AT.borrow(cs).set(Some(started_at)));
}

#[embassy_executor::task]
pub(super) async fn keep(stack: Stack<'static>) -> ! {
    let mut backoff = Backoff::new(1_000, 900_000);
    loop {
        stack.wait_config_up().await;
        let wait = match ask(stack).await {
            Some(time) => {
                set(time);
                backoff.reset();
                spread_ms(REFRESH_MS, random::u32())
            }
            None => backoff.wait_ms(random::u32()),
        };
        let pause = Timer::after(Duration::from_millis(wait.into()));
        // With a network that is back, everything is new.
        if let Either::Second(()) = select(pause, stack.wait_config_down()).await {
            backoff.reset();
        }
    }
}

/// One question and, with luck, its answer.
async fn ask(stack: Stack<'static>) -> Option<u64> {
    let server = resolve(stack, SERVER).await.ok()?;
    let server = IpEndpoint::from((server, PORT));
    let (mut received, mut to_send) = ([0; 128], [0; 128]);
    let (mut received_meta, mut to_send_meta) =
        ([PacketMetadata::EMPTY; 2], [PacketMetadata::EMPTY; 2]);
    let mut socket = UdpSocket::new(
        stack,
        &mut received_meta,
        &mut received,
        &mut to_send_meta,
        &mut to_send,
    );
    socket.bind(0).ok()?;
    let cookie = random::u64();
    socket.send_to(&sntp::question(cookie), server).await.ok()?;
    with_timeout(PATIENCE, async {
        let mut packet = [0; sntp::PACKET];
        loop {
            // What is longer than an answer, or comes from elsewhere, is not it.
            if let Ok((len, from)) = socket.recv_from(&mut packet).await
                && from.endpoint == server
            {
                return sntp::answer(&packet[..len], cookie).ok();
            }
        }
    })
    .await
    .ok()?
}
