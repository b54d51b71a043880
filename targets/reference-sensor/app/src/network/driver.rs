//! Carries frames between the controller and the network.

use core::{future::poll_fn, task::Poll};

use board::ethernet::{self, Ethernet, MTU};
use embassy_net_driver_channel::{Runner, driver::LinkState};
use embassy_sync::waitqueue::AtomicWaker;

static INTERRUPT: AtomicWaker = AtomicWaker::new();

/// The controller has something to tell.
pub(crate) fn on_interrupt() {
    ethernet::on_interrupt();
    INTERRUPT.wake();
}

#[embassy_executor::task]
pub(super) async fn run(ethernet: Ethernet, runner: Runner<'static, MTU>) -> ! {
    let (state, mut received, mut to_send) = runner.split();
    let tell_link = || {
        state.set_link_state(if ethernet.link_is_up() {
            LinkState::Up
        } else {
            LinkState::Down
        });
    };
    tell_link();
    poll_fn(|cx| {
        INTERRUPT.register(cx.waker());
        if ethernet.begin() {
            tell_link();
        }
        // Without a buffer for it a frame waits in the controller; a free buffer wakes this task.
        while let Poll::Ready(buffer) = received.poll_rx_buf(cx) {
            if !ethernet.has_frame() {
                break;
            }
            if let Some(len) = ethernet.take_frame(buffer) {
                received.rx_done(len);
            }
        }
        while let Poll::Ready(frame) = to_send.poll_tx_buf(cx) {
            if !ethernet.has_room(frame.len()) {
                break;
            }
            ethernet.send(frame);
            to_send.tx_done();
        }
        ethernet.end();
        Poll::Pending
    })
    .await
}
