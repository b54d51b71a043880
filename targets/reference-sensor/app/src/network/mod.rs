//! The network: one Ethernet port, an address by DHCP, names by DNS.
//!
//! The device does all its work without it, so nobody waits here for those who have none.

mod driver;
mod flaws;
mod time;

use board::ethernet::{Ethernet, MTU};
use embassy_executor::Spawner;
use embassy_net::{Config, Ipv4Address, Runner, Stack, StackResources, dns::DnsQueryType};
use embassy_net_driver_channel as channel;
use embassy_time::{Duration, with_timeout};
use sensor::Flaw;
use static_cell::{ConstStaticCell, StaticCell};

/// Frames that may wait in each direction.
const FRAMES: usize = 8;
/// DHCP, DNS, time, broker, update, two clients of the management API, and what a flaw serves.
const SOCKETS: usize = 10;
/// A name server that has not answered by then will not.
const DNS_PATIENCE: Duration = Duration::from_secs(10);

pub(crate) use driver::on_interrupt;
pub(crate) use flaws::log;
pub(crate) use time::now as time_of_day;

type Device = channel::Device<'static, MTU>;

/// The network, if the board has one.
#[derive(Clone, Copy)]
pub(crate) struct Network(Option<Stack<'static>>);

/// What keeps it going.
pub(crate) struct Tasks {
    ethernet: Ethernet,
    frames: channel::Runner<'static, MTU>,
    runner: Runner<'static, Device>,
    stack: Stack<'static>,
}

/// The name has no address here and now.
pub(crate) struct Unknown;

/// Switches the network on. Without a controller there is none, and nothing to keep going.
pub(crate) fn open() -> (Network, Option<Tasks>) {
    static FRAME_STATE: ConstStaticCell<channel::State<MTU, FRAMES, FRAMES>> =
        ConstStaticCell::new(channel::State::new());
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();

    let Ok(ethernet) = Ethernet::open() else {
        return (Network(None), None);
    };
    let address = channel::driver::HardwareAddress::Ethernet(ethernet.mac());
    let (frames, device) = channel::new(FRAME_STATE.take(), address);
    let (stack, runner) = embassy_net::new(
        device,
        Config::dhcpv4(embassy_net::DhcpConfig::default()),
        RESOURCES.init(StackResources::new()),
        crate::random::u64(),
    );
    let tasks = Tasks {
        ethernet,
        frames,
        runner,
        stack,
    };
    (Network(Some(stack)), Some(tasks))
}

/// Keeps the network going.
pub(crate) fn spawn(spawner: Spawner, tasks: Tasks) {
    spawner.spawn(driver::run(tasks.ethernet, tasks.frames).expect("spawned once"));
    spawner.spawn(run(tasks.runner).expect("spawned once"));
    spawner.spawn(time::keep(tasks.stack).expect("spawned once"));
    if Flaw::HiddenTelnet.in_force() {
        spawner.spawn(flaws::telnet(tasks.stack).expect("spawned once"));
    }
    if Flaw::RemoteDebugLog.in_force() {
        spawner.spawn(flaws::syslog(tasks.stack).expect("spawned once"));
    }
    if Flaw::UndeclaredUdpService.in_force() {
        spawner.spawn(flaws::beacon(tasks.stack).expect("spawned once"));
    }
}

impl Network {
    /// For those who want to open sockets.
    pub(crate) fn stack(self) -> Option<Stack<'static>> {
        self.0
    }

    /// The device's address, while it has one.
    pub(crate) fn address(self) -> Option<Ipv4Address> {
        Some(self.0?.config_v4()?.address.address())
    }
}

#[embassy_executor::task]
async fn run(mut runner: Runner<'static, Device>) -> ! {
    runner.run().await
}

/// Looks up a name.
pub(crate) async fn resolve(stack: Stack<'_>, name: &str) -> Result<Ipv4Address, Unknown> {
    let answer = with_timeout(DNS_PATIENCE, stack.dns_query(name, DnsQueryType::A)).await;
    let addresses = answer.map_err(|_| Unknown)?.map_err(|_| Unknown)?;
    // The only kind of address there is; the field is not a list of one by type.
    match addresses.first() {
        Some(embassy_net::IpAddress::Ipv4(address)) => Ok(*address),
        None => Err(Unknown),
    }
}
