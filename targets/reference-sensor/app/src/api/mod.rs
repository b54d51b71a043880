//! The management API: HTTPS, for the owner's browser and programs.
//!
//! | | without a session | |
//! |---|---|---|
//! | `GET /api/info` | yes | model, version, how long there are updates, whom to tell of vulnerabilities |
//! | `POST /api/login` | yes | `{"password"}`; the answer sets the cookie `session` |
//! | `POST /api/logout` | | ends the session |
//! | `GET /api/status` | | state of the device |
//! | `GET /api/settings` | | all settings; null for those not set |
//! | `PUT /api/settings` | | changes those that are given: all of them or, if one is not possible, none |
//! | `POST /api/notes` | | `{"text"}`: a note in the history |
//! | `GET /api/export` | | all user data |
//! | `DELETE /api/user-data` | | factory reset |
//! | `POST /api/password` | | `{"old", "new"}`; ends all sessions |
//! | `POST /api/update-check` | | looks for an update, and fetches it; `status` tells what came of it |
//! | `POST /api/restart` | | starts anew |
//! | `GET /status.html` | | the same for eyes |
//!
//! Bodies are JSON objects. What failed is told as `{"error", "text"}`, with `wait` in seconds where there is a delay.

mod page;
mod route;

use alloc::vec::Vec;

use board::println;
use embassy_executor::Spawner;
use embassy_net::{Stack, tcp::TcpSocket};
use embassy_time::{Duration, with_timeout};
use embedded_io_async::{Read, Write};
use protocol::server::{Answer, MAX_BODY, MAX_HEAD, Malformed, Question, question};
use tls::{Identity, Server, Stream, rustls::server::UnbufferedServerConnection};

use crate::{cloud::ENVIRONMENT, device::Device};
use route::{Body, Reply, Then};

const PORT: u16 = 443;
/// Clients at the same time.
const CLIENTS: usize = 2;
/// A client that has not said anything by then will not: others wait for their turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// The other side counts as gone when it has not acknowledged anything for so long.
const SILENCE: Duration = Duration::from_secs(15);
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Time for the other side to take its leave.
const FAREWELL: Duration = Duration::from_secs(2);
const WINDOW: usize = 2048;
const TO_SEND: usize = 2048;

type Connection<'a, 'b> = Stream<&'a mut TcpSocket<'b>, UnbufferedServerConnection>;

/// Serves, if the factory gave the device a certificate.
pub(crate) fn spawn(spawner: Spawner, device: &'static Device, stack: Stack<'static>) {
    let Some(credentials) = device.credentials else {
        return;
    };
    let identity = Identity {
        certificate: credentials.server,
        key: credentials.key,
    };
    let Ok(server) = Server::new(&ENVIRONMENT, identity) else {
        println!("app: certificates cannot be used: no management over the network");
        return;
    };
    for _ in 0..CLIENTS {
        spawner.spawn(run(device, stack, server.clone()).expect("the pool has room for all"));
    }
}

#[embassy_executor::task(pool_size = CLIENTS)]
async fn run(device: &'static Device, stack: Stack<'static>, server: Server) -> ! {
    let (mut received, mut to_send) = ([0; WINDOW], [0; TO_SEND]);
    loop {
        let mut socket = TcpSocket::new(stack, &mut received, &mut to_send);
        socket.set_timeout(Some(SILENCE));
        socket.set_keep_alive(Some(KEEP_ALIVE));
        let then = match socket.accept(PORT).await {
            Ok(()) => attend(device, &server, &mut socket).await,
            Err(_) => Then::Nothing,
        };
        // What was said is to arrive; a reset would overtake it.
        socket.close();
        let _ = with_timeout(FAREWELL, socket.flush()).await;
        socket.abort();
        let _ = with_timeout(FAREWELL, socket.flush()).await;
        match then {
            Then::Nothing => (),
            Then::Restart => board::restart(),
            Then::FactoryReset => {
                println!("\napp: factory reset over the network");
                if device.factory_reset().await.is_err() {
                    println!("app: factory reset failed");
                }
            }
        }
    }
}

/// One connection, from its handshake to its end; what is to be done after it.
async fn attend(device: &Device, server: &Server, socket: &mut TcpSocket<'_>) -> Then {
    let Ok(Ok(mut stream)) = with_timeout(PATIENCE, server.accept(socket)).await else {
        return Then::Nothing;
    };
    let then = converse(device, &mut stream).await.unwrap_or(Then::Nothing);
    let _ = with_timeout(FAREWELL, stream.close()).await;
    then
}

/// The client is gone, or too slow.
struct Gone;

/// Answers question after question, until one is the last.
async fn converse(device: &Device, stream: &mut Connection<'_, '_>) -> Result<Then, Gone> {
    let mut buffer = [0; MAX_HEAD + MAX_BODY];
    let mut arrived = 0;
    loop {
        let question = loop {
            match question(&buffer[..arrived]) {
                Ok(Some(question)) if arrived >= question.len + question.body => {
                    break Ok(question);
                }
                Ok(_) => (),
                Err(Malformed(status)) => break Err(status),
            }
            match with_timeout(PATIENCE, stream.read(&mut buffer[arrived..])).await {
                Ok(Ok(read @ 1..)) => arrived += read,
                _ => return Err(Gone),
            }
        };
        let question = match question {
            Ok(question) => question,
            // Where the next question begins is not known.
            Err(status) => {
                send(
                    device,
                    stream,
                    Reply::trouble(status, "http", "not understood"),
                    true,
                )
                .await?;
                return Ok(Then::Nothing);
            }
        };
        let Question {
            len, body, last, ..
        } = question;
        let reply = route::reply(device, &question, &buffer[len..len + body]).await;
        let then = reply.then;
        let last = last || then != Then::Nothing;
        let ended = send(device, stream, reply, last).await?;
        if ended {
            return Ok(then);
        }
        buffer.copy_within(len + body..arrived, 0);
        arrived -= len + body;
    }
}

/// Sends an answer; whether nothing may follow it.
async fn send(
    device: &Device,
    stream: &mut Connection<'_, '_>,
    reply: Reply,
    last: bool,
) -> Result<bool, Gone> {
    let answer = Answer {
        status: reply.status,
        kind: reply.kind,
        body: match &reply.body {
            Body::Whole(bytes) => Some(bytes.len()),
            Body::Export => None,
        },
        session: reply.session.as_deref(),
        retry_after: reply.wait,
        allow: reply.allow,
        last,
    };
    let head = answer.head().ok_or(Gone)?;
    write(stream, head.as_bytes()).await?;
    match &reply.body {
        Body::Whole(bytes) => write(stream, bytes).await?,
        Body::Export => {
            let mut export = route::Export::new();
            while let Some(part) = export.next(device).await {
                write(stream, &part).await?;
            }
        }
    }
    with_timeout(PATIENCE, stream.flush())
        .await
        .map_err(|_| Gone)?
        .map_err(|_| Gone)?;
    Ok(answer.last || answer.body.is_none())
}

async fn write(stream: &mut Connection<'_, '_>, bytes: &[u8]) -> Result<(), Gone> {
    with_timeout(PATIENCE, stream.write_all(bytes))
        .await
        .map_err(|_| Gone)?
        .map_err(|_| Gone)
}

/// JSON text of anything that is put together here: it has no keys but texts, so it can be written.
fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
