//! Services that nobody declared. In a release none is there.

use embassy_net::{
    Stack,
    tcp::TcpSocket,
    udp::{PacketMetadata, UdpSocket},
};
use embedded_io_async::Write as _;
use sensor::MODEL;

const TELNET: u16 = 23;
const BEACON: u16 = 40_000;

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
