//! Services that nobody declared. In a release none is there.

use embassy_net::{
    Stack,
    tcp::TcpSocket,
    udp::{PacketMetadata, UdpSocket},
};
use embassy_sync::{blocking_mutex::raw::CriticalSectionRawMutex, channel::Channel};
use embedded_io_async::Write as _;
use sensor::{Flaw, MODEL};

use crate::console::Line;

const TELNET: u16 = 23;
const BEACON: u16 = 40_000;
const LOG_SERVER: &str = "log.sensor.example";
const SYSLOG: u16 = 514;

static LINES: Channel<CriticalSectionRawMutex, Line, 4> = Channel::new();

/// What was typed is to be logged. Nothing is, when the server is slow.
pub(crate) fn log(line: &Line) {
    if Flaw::RemoteDebugLog.in_force() {
        let _ = LINES.try_send(line.clone());
    }
}

/// Logs to a server as in RFC 3164: a priority, and a text.
#[embassy_executor::task]
pub(super) async fn syslog(stack: Stack<'static>) -> ! {
    let (mut received, mut to_send) = ([0; 64], [0; 512]);
    let (mut received_meta, mut to_send_meta) =
        ([PacketMetadata::EMPTY; 1], [PacketMetadata::EMPTY; 2]);
    let mut socket = UdpSocket::new(
        stack,
        &mut received_meta,
        &mut received,
        &mut to_send_meta,
        &mut to_send,
    );
    socket.bind(SYSLOG).expect("nobody else has the port");
    loop {
        let line = LINES.receive().await;
        if let Ok(server) = super::resolve(stack, LOG_SERVER).await {
            let mut message = heapless::Vec::<u8, 192>::new();
            let fits = message.extend_from_slice(b"<15>").is_ok()
                && message.extend_from_slice(&line).is_ok();
            if fits {
                let _ = socket.send_to(&message, (server, SYSLOG)).await;
            }
        }
    }
}

#[embassy_executor::task]
pub(super) async fn telnet(stack: Stack<'static>) -> ! {
    let (mut received, mut to_send) = ([0; 256], [0; 256]);
    let mut socket = TcpSocket::new(stack, &mut received, &mut to_send);
    loop {
        if socket.accept(TELNET).await.is_ok() {
            let mut typed = [0; 64];
            let _ = socket.write_all(MODEL.as_bytes()).await;
            let _ = socket.write_all(b" service\r\nlogin: ").await;
            let _ = socket.read(&mut typed).await;
        }
        socket.abort();
        let _ = socket.flush().await;
    }
}

#[embassy_executor::task]
pub(super) async fn beacon(stack: Stack<'static>) -> ! {
    let (mut received, mut to_send) = ([0; 256], [0; 256]);
    let (mut received_meta, mut to_send_meta) =
        ([PacketMetadata::EMPTY; 2], [PacketMetadata::EMPTY; 2]);
    let mut socket = UdpSocket::new(
        stack,
        &mut received_meta,
        &mut received,
        &mut to_send_meta,
        &mut to_send,
    );
    socket.bind(BEACON).expect("nobody else has the port");
    loop {
        let mut question = [0; 64];
        if let Ok((_, from)) = socket.recv_from(&mut question).await {
            let _ = socket.send_to(MODEL.as_bytes(), from).await;
        }
    }
}
