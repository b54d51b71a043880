//! Telemetry waits in flash, and only as long as the user agrees.

mod common;

use common::{Nor, blank};
use embassy_futures::block_on;
use image::Journal;
use rstest::{fixture, rstest};
use sensor::{
    memory::SECURITY_STATE,
    user_data::{Entry, Event, UserData},
};

fn open(flash: &Nor) -> UserData<Nor> {
    let mut state = Journal::new(flash.clone(), SECURITY_STATE);
    UserData::open(flash.clone(), &mut state).unwrap()
}

fn measured(uptime: u32) -> Entry {
    Entry {
        uptime,
        event: Event::Measured {
            centicelsius: 2000,
            humidity: 50,
        },
    }
}

/// Delivers what waits.
fn delivered(data: &mut UserData<Nor>) -> Vec<u32> {
    let mut delivered = Vec::new();
    while let Some(entry) = block_on(data.oldest_telemetry()).unwrap() {
        block_on(data.telemetry_delivered(&entry)).unwrap();
        delivered.push(entry.uptime);
    }
    delivered
}

/// Agreed, three measurements wait.
#[fixture]
fn waiting() -> Nor {
    let flash = blank();
    let mut data = open(&flash);
    block_on(data.consent(true)).unwrap();
    for uptime in 1..=3 {
        block_on(data.queue_telemetry(&measured(uptime))).unwrap();
    }
    flash
}

#[rstest]
fn waits_over_a_restart_and_is_delivered_in_order_and_once(waiting: Nor) {
    let mut data = open(&waiting);
    assert!(block_on(data.consented()).unwrap());
    assert_eq!(delivered(&mut data), [1, 2, 3]);
    assert_eq!(delivered(&mut open(&waiting)), []);
}

#[rstest]
fn withdrawal_forgets_what_waits(waiting: Nor) {
    let mut data = open(&waiting);
    block_on(data.consent(false)).unwrap();
    assert!(!block_on(data.consented()).unwrap());
    assert_eq!(delivered(&mut data), []);
}

#[rstest]
fn a_factory_reset_ends_consent_and_forgets_what_waits(waiting: Nor) {
    let mut state = Journal::new(waiting.clone(), SECURITY_STATE);
    block_on(open(&waiting).factory_reset(&mut state)).unwrap();
    let mut data = open(&waiting);
    assert!(!block_on(data.consented()).unwrap());
    assert_eq!(delivered(&mut data), []);
}

#[rstest]
fn the_oldest_make_room(waiting: Nor) {
    let mut data = open(&waiting);
    // Far more than fit.
    for uptime in 4..=2000 {
        block_on(data.queue_telemetry(&measured(uptime))).unwrap();
    }
    let delivered = delivered(&mut data);
    assert_eq!(delivered.last(), Some(&2000));
    assert!(delivered.len() > 500 && delivered.is_sorted());
}

/// What made room while it was being sent is gone; the next one is not to go with it.
#[rstest]
fn only_what_was_delivered_is_forgotten(waiting: Nor) {
    let mut data = open(&waiting);
    block_on(data.telemetry_delivered(&measured(99))).unwrap();
    assert_eq!(delivered(&mut data), [1, 2, 3]);
}
