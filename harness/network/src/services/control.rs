//! What can be done to every service: start, stop, hang, cut. Each returns after it took effect, with its proof.

use std::{
    fmt::Write as _,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpStream, UdpSocket},
    runtime::Handle,
    sync::Mutex,
    time::timeout,
};

use super::{
    error::ServiceError,
    gate::Gate,
    handler::{Port, Serve},
    listener::OpenPort,
    name::ServiceName,
    observation::{Effect, Observation, ServiceState},
    record::ServiceLog,
};

/// A refused connection shows within microseconds on the bench's own addresses.
const PROOF_LIMIT: Duration = Duration::from_secs(5);
/// Tries to get a port for UDP that is also free for TCP.
const PORT_TRIES: usize = 32;

/// The switches of one service.
#[derive(Clone)]
pub struct Control(Arc<Shared>);

struct Shared {
    handle: Handle,
    log: ServiceLog,
    ports: Vec<Port>,
    gate: Gate,
    open: Mutex<Vec<OpenPort>>,
    /// Known from the first time the ports were open, so that they are the same ever after.
    addresses: StdMutex<Vec<SocketAddr>>,
    state: StdMutex<ServiceState>,
}

impl Control {
    pub(super) fn new(handle: &Handle, log: ServiceLog, ports: Vec<Port>) -> Self {
        let addresses = ports.iter().map(|port| port.address).collect();
        Self(Arc::new(Shared {
            handle: handle.clone(),
            log,
            ports,
            gate: Gate::default(),
            open: Mutex::default(),
            addresses: StdMutex::new(addresses),
            state: StdMutex::new(ServiceState::Stopped),
        }))
    }

    /// Which service it is.
    pub fn name(&self) -> &ServiceName {
        self.0.log.service()
    }

    /// What it is doing.
    pub fn state(&self) -> ServiceState {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it listens, or would: UDP and TCP of one address are one entry.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let mut addresses = self.0.addresses();
        addresses.dedup();
        addresses
    }

    /// Where it listens first.
    ///
    /// # Errors
    /// [`ServiceError::Unable`] if it has no address.
    pub fn address(&self) -> Result<SocketAddr, ServiceError> {
        let first = self.0.addresses().first().copied();
        first.ok_or_else(|| ServiceError::Unable {
            service: self.name().clone(),
            what: "has no address",
        })
    }

    /// Opens the ports, or lets a hanging service go on. Returns when the ports are open.
    ///
    /// # Errors
    /// [`ServiceError::Listen`].
    pub async fn start(&self) -> Result<Effect, ServiceError> {
        self.on_bench(|shared| async move {
            let mut open = shared.open.lock().await;
            let was_hanging = !open.is_empty();
            shared.open(&mut open)?;
            shared.gate.open();
            if was_hanging {
                // Who has asked in vain asks no more.
                for port in open.iter() {
                    port.announce().await;
                }
            }
            let proof = format!("listening on {}", shared.listed());
            Ok(shared.done("start", ServiceState::Running, 0, proof))
        })
        .await
    }

    /// Closes the ports and cuts all connections. Returns when connections are refused.
    ///
    /// # Errors
    /// [`ServiceError::NotStopped`].
    pub async fn stop(&self) -> Result<Effect, ServiceError> {
        self.on_bench(|shared| async move {
            let mut open = shared.open.lock().await;
            let mut cut = 0;
            for port in open.drain(..) {
                cut += port.close().await;
            }
            shared.set_state(ServiceState::Stopped);
            let proof = shared.prove_closed().await?;
            Ok(shared.done("stop", ServiceState::Stopped, cut, proof))
        })
        .await
    }

    /// From now on everything is accepted and nothing is said, on open connections too. [`start`](Self::start) ends
    /// it: connections that are still open then go on where they were.
    ///
    /// # Errors
    /// [`ServiceError::Listen`] if it was stopped and its ports can't be opened.
    pub async fn hang(&self) -> Result<Effect, ServiceError> {
        self.on_bench(|shared| async move {
            let mut open = shared.open.lock().await;
            shared.gate.close();
            shared.open(&mut open)?;
            let proof = format!("listening on {}, all answers held", shared.listed());
            Ok(shared.done("hang", ServiceState::Hanging, 0, proof))
        })
        .await
    }

    /// Cuts all open connections; new ones are welcome. Of use after a change that only new connections see.
    ///
    /// # Errors
    /// [`ServiceError::Interrupted`].
    pub async fn cut(&self) -> Result<Effect, ServiceError> {
        let state = self.state();
        self.on_bench(move |shared| async move {
            let mut cut = 0;
            for port in shared.open.lock().await.iter() {
                cut += port.cut().await;
            }
            Ok(shared.done("cut", state, cut, format!("{cut} connections closed")))
        })
        .await
    }

    /// Says at once what it says without being asked: its answers have changed.
    pub(super) async fn announce(&self) {
        for port in self.0.open.lock().await.iter() {
            port.announce().await;
        }
    }

    /// Sockets belong to the network namespace of the thread that makes them: all is done on the bench's threads.
    async fn on_bench<F>(
        &self,
        action: impl FnOnce(Arc<Shared>) -> F,
    ) -> Result<Effect, ServiceError>
    where
        F: Future<Output = Result<Effect, ServiceError>> + Send + 'static,
    {
        match self.0.handle.spawn(action(self.0.clone())).await {
            Ok(result) => result,
            Err(_) => Err(ServiceError::Interrupted {
                service: self.name().clone(),
            }),
        }
    }
}

impl Shared {
    fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.addresses.lock();
        addresses.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_state(&self, state: ServiceState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn done(&self, action: &'static str, state: ServiceState, cut: usize, proof: String) -> Effect {
        self.set_state(state);
        let effect = Effect {
            action,
            state,
            cut,
            proof,
            done: self.log.now(),
        };
        self.log.record(Observation::Control(effect.clone()));
        effect
    }

    fn listed(&self) -> String {
        let shown: Vec<String> = self
            .ports
            .iter()
            .zip(self.addresses())
            .map(|(port, address)| format!("{address}/{}", port.serve.protocol()))
            .collect();
        shown.join(", ")
    }

    fn open(&self, open: &mut Vec<OpenPort>) -> Result<(), ServiceError> {
        if !open.is_empty() {
            return Ok(());
        }
        let mut tries = 0;
        loop {
            tries += 1;
            match self.open_all() {
                Ok(opened) => {
                    *open = opened;
                    return Ok(());
                }
                // Another program has the port that the system chose for our first protocol in our second.
                Err((_, source))
                    if source.kind() == io::ErrorKind::AddrInUse
                        && tries < PORT_TRIES
                        && self.addresses().iter().all(|address| address.port() == 0) => {}
                Err((address, source)) => {
                    return Err(ServiceError::Listen {
                        service: self.log.service().clone(),
                        address,
                        source,
                    });
                }
            }
        }
    }

    fn open_all(&self) -> Result<Vec<OpenPort>, (SocketAddr, io::Error)> {
        let mut addresses = self.addresses();
        let mut opened = Vec::new();
        let mut chosen = 0;
        for (port, address) in self.ports.iter().zip(&mut addresses) {
            if address.port() == 0 {
                address.set_port(chosen);
            }
            let fail = |source| (*address, source);
            let open = OpenPort::open(port, *address, &self.gate, &self.log).map_err(fail)?;
            *address = open.address();
            chosen = address.port();
            opened.push(open);
        }
        *self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = addresses;
        Ok(opened)
    }

    async fn prove_closed(&self) -> Result<String, ServiceError> {
        let mut proofs = Vec::new();
        for (port, address) in self.ports.iter().zip(self.addresses()) {
            // Never opened.
            if address.port() == 0 {
                continue;
            }
            let proof = match port.serve {
                Serve::Tcp(_) => tcp_is_closed(address).await,
                Serve::Udp(_) => udp_is_closed(address).await,
                Serve::Icmp { .. } => raw_is_closed(address),
            };
            match proof {
                Ok(proof) => proofs.push(proof),
                Err(seen) => {
                    return Err(ServiceError::NotStopped {
                        service: self.log.service().clone(),
                        address,
                        seen,
                    });
                }
            }
        }
        Ok(proofs.join(", "))
    }
}

async fn tcp_is_closed(address: SocketAddr) -> Result<String, String> {
    match timeout(PROOF_LIMIT, TcpStream::connect(address)).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Ok(format!("{address}/tcp refuses connections"))
        }
        Ok(Ok(_)) => Err("it accepted a connection".into()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {PROOF_LIMIT:?}")),
    }
}

/// A port that can be bound exclusively is nobody's. (A datagram to it would come back as refused too, but not for
/// addresses that are broadcast to.)
async fn udp_is_closed(address: SocketAddr) -> Result<String, String> {
    match UdpSocket::bind(address).await {
        Ok(_) => Ok(format!("{address}/udp is unbound")),
        Err(error) => Err(error.to_string()),
    }
}

/// The kernel's list of raw sockets of this network namespace: local address and protocol stand second in each line.
fn raw_is_closed(address: SocketAddr) -> Result<String, String> {
    let SocketAddr::V6(address) = address else {
        return Err("it is not an IPv6 address".into());
    };
    let words = address.ip().octets();
    let mut entry = String::new();
    for word in words.chunks_exact(4) {
        let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        let _ = write!(entry, "{word:08X}");
    }
    let _ = write!(entry, ":{:04X}", address.port());
    let list = std::fs::read_to_string("/proc/thread-self/net/raw6").map_err(|e| e.to_string())?;
    let local = |line: &str| line.split_whitespace().nth(1) == Some(entry.as_str());
    if list.lines().any(local) {
        return Err("a raw socket is still open".into());
    }
    Ok(format!("{}/icmpv6 is unbound", address.ip()))
}
