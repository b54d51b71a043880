//! The manufacturer's services: telemetry to the broker, and updates.
//!
//! Without them, the device does all it does for its user.

mod broker;
#[cfg(feature = "flaws")]
mod fleet;
mod link;
mod update;

use board::println;
use embassy_executor::Spawner;
use embassy_net::{Stack, tcp::TcpSocket};
use embassy_time::{Duration, with_timeout};
use tls::{Client, Environment, Identity, Purpose};

use crate::{device::Device, network, random};

pub(crate) use broker::State as BrokerState;
pub(crate) use update::State as UpdateState;

/// What TLS needs of the device.
pub(crate) static ENVIRONMENT: Environment = Environment {
    random: random::fill,
    time: network::time_of_day,
};

/// A server that has not answered by then will not.
const PATIENCE: Duration = Duration::from_secs(10);
/// The other side counts as gone when it has not acknowledged anything for so long...
const SILENCE: Duration = Duration::from_secs(15);
/// ...and is asked to, when there is nothing to say.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// What the other side may send unasked: more, and the controller drops frames.
const WINDOW: usize = 5840;
const TO_SEND: usize = 2048;

/// Room for a connection.
struct Buffers {
    received: [u8; WINDOW],
    to_send: [u8; TO_SEND],
}

impl Buffers {
    const NEW: Self = Self {
        received: [0; WINDOW],
        to_send: [0; TO_SEND],
    };
}

/// Starts what talks to the services, if the factory gave the device what it needs for that.
pub(crate) fn spawn(spawner: Spawner, device: &'static Device, stack: Stack<'static>) {
    let Some(credentials) = device.credentials else {
        return;
    };
    let own = Identity {
        certificate: credentials.client,
        key: credentials.key,
    };
    #[cfg(feature = "flaws")]
    let own = fleet::identity().unwrap_or(own);
    let ca = credentials.ca;
    // The update server has no need to know who asks.
    let (Ok(broker), Ok(updates)) = (
        Client::new(&ENVIRONMENT, Purpose::Broker, ca, Some(own)),
        Client::new(&ENVIRONMENT, Purpose::Update, ca, None),
    ) else {
        println!("app: certificates cannot be used: no services");
        return;
    };
    spawner.spawn(broker::run(device, stack, broker).expect("spawned once"));
    spawner.spawn(update::run(device, stack, updates).expect("spawned once"));
}

/// There is no connection to the server.
struct Unreachable;

/// Connects to a server.
async fn connect<'a>(
    stack: Stack<'static>,
    buffers: &'a mut Buffers,
    name: &str,
    port: u16,
) -> Result<TcpSocket<'a>, Unreachable> {
    let address = network::resolve(stack, name)
        .await
        .map_err(|_| Unreachable)?;
    let mut socket = TcpSocket::new(stack, &mut buffers.received, &mut buffers.to_send);
    socket.set_timeout(Some(SILENCE));
    socket.set_keep_alive(Some(KEEP_ALIVE));
    match with_timeout(PATIENCE, socket.connect((address, port))).await {
        Ok(Ok(())) => Ok(socket),
        _ => {
            hang_up(&mut socket).await;
            Err(Unreachable)
        }
    }
}

/// Ends a connection; a socket that is merely dropped would leave the other side waiting.
async fn hang_up(socket: &mut TcpSocket<'_>) {
    socket.abort();
    // Only the reset is still to be sent; without a network it never will be.
    let _ = with_timeout(Duration::from_secs(1), socket.flush()).await;
}
