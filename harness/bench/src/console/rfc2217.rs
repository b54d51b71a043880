//! Serial ports of terminal servers, by RFC 2217: TCP with the port's settings in it.

use std::{io, time::Duration};

use rfc2217::{Client, NotReady, PortSettings};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::log;

/// The server has to take the settings by then.
const SETTINGS_LIMIT: Duration = Duration::from_secs(5);
/// Bytes of what a server says that an error shows.
const SHOWN: usize = 80;
/// Bytes that may wait in each direction.
const ROOM: usize = 64 * 1024;

/// Sets the port up, 8N1 at `baud`; the result is what comes through it. It ends when the connection does.
pub(super) async fn open(mut server: TcpStream, baud: u32) -> io::Result<DuplexStream> {
    let mut client = Client::new(PortSettings {
        baud_rate: baud,
        ..PortSettings::default()
    });
    let mut early = Vec::new();
    let end = Instant::now() + SETTINGS_LIMIT;
    let mut chunk = vec![0; 4096];
    loop {
        server.write_all(&client.take_output()).await?;
        match client.readiness() {
            Ok(()) => break,
            Err(reason @ (NotReady::Refused | NotReady::Mismatched(_))) => {
                return Err(io::Error::other(reason));
            }
            Err(reason) => match timeout_at(end, server.read(&mut chunk)).await {
                Ok(Ok(0)) => {
                    let mut said = String::new();
                    log::escape(early[..early.len().min(SHOWN)].trim_ascii(), &mut said);
                    return Err(io::Error::other(format!(
                        "the server ends the connection and says \"{said}\""
                    )));
                }
                Ok(read) => early.extend(client.receive(&chunk[..read?])),
                Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, reason)),
            },
        }
    }
    let (ours, theirs) = duplex(ROOM);
    tokio::spawn(carry(server, client, ours, early));
    Ok(theirs)
}

/// Carries bytes until either side ends.
async fn carry(
    mut server: TcpStream,
    mut client: Client,
    mut console: DuplexStream,
    early: Vec<u8>,
) {
    let (mut from_server, mut from_console) = (vec![0; 16 * 1024], vec![0; 4096]);
    if console.write_all(&early).await.is_err() {
        return;
    }
    loop {
        let carried = tokio::select! {
            read = server.read(&mut from_server) => match read {
                Ok(read @ 1..) => {
                    let received = client.receive(&from_server[..read]);
                    console.write_all(&received).await
                }
                _ => return,
            },
            read = console.read(&mut from_console) => match read {
                Ok(read @ 1..) => {
                    client.write_data(&from_console[..read]);
                    Ok(())
                }
                _ => return,
            },
        };
        // Settings that the server tells of again are no news.
        while client.poll_event().is_some() {}
        let sent = async {
            carried?;
            server.write_all(&client.take_output()).await
        };
        if sent.await.is_err() {
            return;
        }
    }
}
