//! One network of a DUT, from its namespace to the thread that moves its frames.

use std::{
    io::{self, Write as _},
    net::{IpAddr, SocketAddr, SocketAddrV6},
    os::fd::OwnedFd,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    net::if_::if_nametoindex,
    sys::socket::{
        AddressFamily, SockFlag, SockType, setsockopt, socketpair,
        sockopt::{SndBuf, SndBufForce},
    },
};
use tokio::{
    runtime::{Handle, Runtime},
    sync::OnceCell,
    task::{JoinError, spawn_blocking},
};

use crate::{
    capture::{Capture, CaptureConfig, CaptureReport, Clock},
    error::NetworkError,
    flow::{Flow, Flows, Index},
    frames::{self, Ends, Shared, Traffic},
    host,
    impair::Impairment,
    interface,
    losses::Losses,
    medium::{CableEnd, Medium, Plugged, Wire},
    namespace::Namespace,
    plan::{Addressing, GATEWAY_LINK_LOCAL, GATEWAY_MAC, Side},
    port::{NetworkPort, Port},
    scan_port::ScanPort,
    search::Needle,
    services::Gateway,
    sys,
};

/// Services, scan and netlink take turns on these.
const WORKERS: usize = 2;
/// How long the frames that are there may take to be looked at. As many as the buffers hold take a second on a slow
/// machine.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);
/// Room for some hundred frames that the other end has not taken yet.
const CABLE_BUFFER: usize = 1 << 20;

/// Where the DUT is.
#[derive(Debug, Default)]
pub enum Cable {
    /// At the other end of a new cable: [`Network::cable`].
    #[default]
    New,
    /// At the other end of a cable that is there already: a datagram socket, each datagram a raw Ethernet frame without
    /// checksum.
    End(OwnedFd),
    /// Plugged into an interface of this machine, more precisely: of the network namespace of the thread that starts
    /// the network. It is taken from there, and given back when the network is closed or dropped.
    Port(NetworkPort),
}

/// How a network is to be.
#[derive(Debug)]
pub struct NetworkConfig {
    /// Of the device: names threads and captures.
    pub name: String,
    /// What the console's log counts from.
    pub origin: Instant,
    /// Where frames are captured to, if at all.
    pub capture: Option<CaptureConfig>,
    /// Looked for in every frame and TCP stream, in plain, hexadecimal, base64 and UTF-16.
    pub canaries: Vec<Needle>,
    /// Who has which address.
    pub addressing: Addressing,
    /// Who we are on this cable.
    pub side: Side,
    /// Where the other side is.
    pub cable: Cable,
}

impl NetworkConfig {
    /// A bench network without capture.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            origin: Instant::now(),
            capture: None,
            canaries: Vec::new(),
            addressing: Addressing::default(),
            side: Side::Bench,
            cable: Cable::New,
        }
    }
}

/// A running network. Dropped, everything in it is gone.
#[derive(Debug)]
pub struct Network {
    name: String,
    plan: Addressing,
    pub(crate) side: Side,
    /// `None` only while dropped.
    runtime: Option<Runtime>,
    pub(crate) shared: Arc<Shared>,
    /// The end that is the DUT's, where the cable is ours: open for as long as we are, so that a board that ends
    /// does not break it.
    cable: Option<OwnedFd>,
    /// Closed, the thread that moves frames ends.
    stop: Option<io::PipeWriter>,
    mover: Option<thread::JoinHandle<()>>,
    /// What the DUT is on, once it is there; given back after frames have stopped.
    medium: Option<Arc<dyn Medium>>,
    /// Index of the bench's interface, which link-local addresses need.
    pub(crate) scope: u32,
    /// From the first scan on.
    pub(crate) scan_port: OnceCell<ScanPort>,
}

impl Network {
    /// Makes the namespace and everything in it. The link is up; frames are captured from here on.
    ///
    /// # Errors
    /// [`NetworkError::Forbidden`] where the process may not; see [`enter_user_namespace`]. For an interface that can't
    /// be taken, what stands in the way.
    pub async fn start(config: NetworkConfig) -> Result<Self, NetworkError> {
        let host = Namespace::current().map_err(NetworkError::setup("looking where we are"))?;
        let clock = Clock::new(config.origin);
        let capture = match config.capture {
            Some(files) => Some(Capture::open(
                files,
                clock,
                &format!("network of {}", config.name),
            )?),
            None => None,
        };
        let index = Index::new(clock, config.addressing, &config.canaries);
        let namespace = Namespace::create()?;
        let runtime = namespace.runtime(&format!("net {}", config.name), WORKERS)?;
        // From here on dropping it stops whatever was begun.
        let mut network = Self {
            name: config.name,
            plan: config.addressing,
            side: config.side,
            runtime: Some(runtime),
            shared: Arc::new(Shared::new(capture, index)),
            cable: None,
            stop: None,
            mover: None,
            medium: None,
            scope: 0,
            scan_port: OnceCell::new(),
        };
        let (plan, side) = (config.addressing, config.side);
        let configured = async move {
            interface::configure(plan, side).await?;
            let scope = if_nametoindex(interface::ADDRESSED).map_err(io::Error::from);
            let scope = scope.map_err(NetworkError::setup("finding an interface"))?;
            let wire = sys::packet_socket(interface::RAW);
            let wire = wire.map_err(NetworkError::setup("opening a packet socket"))?;
            Ok((scope, wire))
        };
        let (scope, wire) = network.run(configured).await?;
        network.scope = scope;
        let medium: Arc<dyn Medium> = match config.cable {
            Cable::End(cable) => Arc::new(CableEnd(cable)),
            Cable::New => {
                let (ours, theirs) = new_cable().map_err(NetworkError::setup("making a cable"))?;
                network.cable = Some(theirs);
                Arc::new(CableEnd(ours))
            }
            Cable::Port(port) => {
                let taking = spawn_blocking(move || Port::take(&port, host));
                Arc::new(Plugged::new(taking.await.map_err(panicked)??)?)
            }
        };
        network.medium = Some(Arc::clone(&medium));
        network
            .move_frames(medium, Wire(wire))
            .map_err(NetworkError::setup("starting to move frames"))?;
        Ok(network)
    }

    fn move_frames(&mut self, medium: Arc<dyn Medium>, wire: Wire) -> io::Result<()> {
        let (stop, stopper) = io::pipe()?;
        let ends = Ends { medium, wire, stop };
        let shared = Arc::clone(&self.shared);
        let mover = thread::Builder::new()
            .name(format!("frames {}", self.name))
            .spawn(move || frames::run(&ends, &shared))?;
        self.stop = Some(stopper);
        self.mover = Some(mover);
        Ok(())
    }

    /// Who has which address here.
    pub fn addressing(&self) -> Addressing {
        self.plan
    }

    /// The bench's end, for services.
    pub fn gateway(&self) -> Gateway {
        Gateway {
            interface: interface::ADDRESSED.into(),
            ipv4: self.plan.gateway,
            prefix: self.plan.prefix,
            ipv6: self.plan.ipv6,
            link_local: Some((GATEWAY_LINK_LOCAL, GATEWAY_MAC)),
            dut: self.plan.dut_v4(),
            leases: self.plan.leases,
        }
    }

    /// Of a runtime in the namespace: sockets made there are in the DUT's network.
    #[allow(clippy::missing_panics_doc)]
    pub fn handle(&self) -> &Handle {
        self.runtime
            .as_ref()
            .map(Runtime::handle)
            .expect("the runtime is there until the network is dropped")
    }

    /// The DUT's end of the cable: a datagram socket, each datagram a raw Ethernet frame without checksum. `None` when
    /// the cable came from somebody else.
    pub fn cable(&self) -> Option<&OwnedFd> {
        self.cable.as_ref()
    }

    /// A descriptor of the DUT's end of the cable, to be given away.
    pub fn cable_for_dut(&self) -> Result<OwnedFd, NetworkError> {
        let cable = self.cable.as_ref().map(OwnedFd::try_clone);
        cable
            .unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
            .map_err(NetworkError::setup("giving the cable to the DUT"))
    }

    /// Plugs the cable in, or pulls it: no frame passes once this returns. That the DUT sees no carrier takes more, see
    /// [`set_carrier`](Self::set_carrier) and the bench's own `set_link`.
    pub fn link(&self, up: bool) {
        self.shared.set_link(up);
    }

    /// Switches the interface that the DUT is plugged into on or off, so that the DUT sees a carrier or none; nothing
    /// where there is no such interface. Drivers that keep the transceiver on, and switches in between, hide it from
    /// the DUT.
    ///
    /// # Errors
    /// [`NetworkError::PortGone`], or what the kernel says.
    pub async fn set_carrier(&self, up: bool) -> Result<(), NetworkError> {
        let Some(medium) = self.medium.clone() else {
            return Ok(());
        };
        let switching = spawn_blocking(move || medium.set_carrier(up));
        switching.await.map_err(panicked)?
    }

    /// Stops, and gives the DUT's interface back.
    ///
    /// # Errors
    /// [`NetworkError::NotGivenBack`]. Merely dropped, a network only logs that.
    pub async fn close(mut self) -> Result<(), NetworkError> {
        let medium = self.medium.take();
        // No frame is moved any more after this.
        drop(self);
        let Some(medium) = medium else {
            return Ok(());
        };
        let giving = spawn_blocking(move || medium.give_back());
        giving.await.map_err(panicked)?
    }

    /// Whether the cable is plugged in.
    pub fn is_link_up(&self) -> bool {
        self.shared.link()
    }

    /// Treats frames like this from now on; the default impairment lets all pass.
    ///
    /// # Errors
    /// [`NetworkError::Probability`].
    pub fn impair(&self, impairment: Impairment) -> Result<(), NetworkError> {
        impairment.check()?;
        tracing::info!(network = self.name, ?impairment, "impairment");
        self.shared.impair(impairment);
        Ok(())
    }

    /// What became of the frames so far.
    pub fn traffic(&self) -> Traffic {
        self.shared.traffic()
    }

    /// Where the frames so far are, if they are captured.
    pub fn captured(&self) -> Option<CaptureReport> {
        let mut state = self.shared.lock();
        state.flush();
        state.capture.as_ref().map(Capture::report)
    }

    /// Who spoke with whom so far, about what.
    pub fn flows(&self) -> Flows {
        self.shared.lock().index.flows()
    }

    /// The same, with no other canaries than those that are watched for now. [`settle`](Self::settle) comes before.
    pub fn flows_of_watch(&self) -> Flows {
        self.shared.lock().index.flows_of_watch()
    }

    /// Waits until all frames that have come so far are looked at. That it takes too long is a loss. Blocks.
    pub fn settle(&self) {
        self.ask_medium();
        self.shared.settle(SETTLE_LIMIT, || {
            if let Some(stop) = &self.stop {
                // One word in there wakes the thread as well as many do.
                if let Err(error) = (&*stop).write(&[0]) {
                    tracing::debug!(%error, "the thread that moves frames is not woken");
                }
            }
        });
    }

    /// What was not seen since `when` of what was on the cable, or seen and not kept.
    pub fn losses_since(&self, when: Instant) -> Losses {
        self.ask_medium();
        self.shared.lock().index.losses_since(when)
    }

    /// Counts what never came as far as this.
    fn ask_medium(&self) {
        let Some(medium) = &self.medium else { return };
        match medium.missed_before() {
            Ok(missed) => self.shared.lock().missed_by_port(Instant::now(), missed),
            // Its health is asked elsewhere.
            Err(error) => tracing::debug!(%error, "what the interface missed is not known"),
        }
    }

    /// All that was not seen, or not kept, so far. Blocks.
    pub fn losses(&self) -> Losses {
        self.ask_medium();
        self.shared.lock().index.losses.total().clone()
    }

    /// Since when the texts are watched for that are watched for now; none if there are none.
    pub fn watched_since(&self) -> Option<Instant> {
        self.shared.lock().index.watched_since()
    }

    /// A time of the console log's clock, in seconds.
    pub fn time(&self, seconds: f64) -> Instant {
        self.shared.lock().index.time(seconds)
    }

    /// As long as this is held, no frame is moved: as if the thread that does got no processor. For tests.
    #[doc(hidden)]
    pub fn paused(&self) -> impl Sized + '_ {
        self.shared.lock()
    }

    /// Flows that the DUT began to others, by any IP protocol (to a port, if one is given), and that began after `since`
    /// seconds of the console log's clock; in order. What keeps the network itself going is none.
    pub fn outbound(&self, port: Option<u16>, since: f64) -> Vec<Flow> {
        self.shared.lock().index.outbound(port, since)
    }

    /// Waits until there are so many [`calls`](Self::calls); what there is when `limit` is over.
    pub async fn await_outbound(
        &self,
        port: Option<u16>,
        since: f64,
        count: usize,
        limit: Duration,
    ) -> Vec<Flow> {
        let mut begun = None;
        let enough = self.shared.until(|state| {
            // What is no new flow is no call.
            let now = Some(state.index.begun());
            let is_new = std::mem::replace(&mut begun, now) != now;
            is_new && state.index.count_calls(port, since) >= count
        });
        // What there is then, be it enough or not.
        let _ = host::within(limit, enough).await;
        self.outbound(port, since)
    }

    /// Looks for these from now on instead of those given before.
    pub fn watch_for(&self, canaries: &[Needle]) {
        self.shared.lock().index.watch_for(canaries);
    }

    /// Whether frames are still moved, and the DUT's interface is there.
    ///
    /// # Errors
    /// [`NetworkError::Stopped`], [`NetworkError::PortGone`].
    pub fn health(&self) -> Result<(), NetworkError> {
        if let Some(medium) = &self.medium {
            medium.health()?;
        }
        let mover = self.mover.as_ref();
        let is_over = mover.is_some_and(thread::JoinHandle::is_finished);
        let unsaid = || is_over.then(|| "the thread that moves frames has ended".to_owned());
        match self.shared.lock().ended.clone().or_else(unsaid) {
            None => Ok(()),
            Some(reason) => Err(NetworkError::Stopped { reason }),
        }
    }

    /// Whether it is sound, and the bench's own interface was there all the time since then: up, and with its addresses.
    ///
    /// # Errors
    /// As [`health`](Self::health), and [`NetworkError::OwnInterface`].
    pub async fn sound_since(&self, since: Instant) -> Result<(), NetworkError> {
        self.health()?;
        let (plan, side, scope) = (self.plan, self.side, self.scope);
        self.run(interface::check(plan, side, scope)).await?;
        let was_down = self.shared.lock().was_down;
        if was_down.is_some_and(|at| at >= since) {
            return Err(NetworkError::OwnInterface {
                reason: format!("{} was down meanwhile", interface::RAW),
            });
        }
        Ok(())
    }

    /// Runs in the namespace.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, NetworkError>> + Send + 'static,
    ) -> Result<T, NetworkError> {
        self.handle().spawn(work).await.map_err(panicked)?
    }

    /// A port of an address on this network.
    pub(crate) fn endpoint(&self, address: IpAddr, port: u16) -> SocketAddr {
        match address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                SocketAddrV6::new(v6, port, 0, self.scope).into()
            }
            _ => SocketAddr::new(address, port),
        }
    }

    /// Our own address for speaking to `target`.
    pub(crate) fn source_for(&self, target: IpAddr) -> SocketAddr {
        let (v4, v6) = self.plan.of(self.side);
        let address = match (target, v6) {
            (IpAddr::V4(_), _) => v4.into(),
            (IpAddr::V6(target), Some(v6)) if !target.is_unicast_link_local() => v6.into(),
            (IpAddr::V6(_), _) => self.side.link_local().into(),
        };
        self.endpoint(address, 0)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(mover) = self.mover.take()
            && mover.join().is_err()
        {
            tracing::error!(network = self.name, "the thread that moves frames panicked");
        }
        // Not waited for: this may be dropped within another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[allow(clippy::needless_pass_by_value)]
fn panicked(error: JoinError) -> NetworkError {
    NetworkError::setup("work on the network")(io::Error::other(error.to_string()))
}

/// Two ends of an Ethernet cable.
fn new_cable() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::Datagram,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    for end in [&ours, &theirs] {
        // Beyond the system's limit where we may, else as far as it goes.
        setsockopt(end, SndBufForce, &CABLE_BUFFER)
            .or_else(|_| setsockopt(end, SndBuf, &CABLE_BUFFER))?;
    }
    Ok((ours, theirs))
}
