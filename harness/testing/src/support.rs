//! A bench network with a DUT on its cable.

use std::time::Duration;

use provebench_network::{Cable, Network, NetworkConfig, Side};
use tokio::task::JoinHandle;

/// Generous: it only ends a test that would hang.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Two ends of a cable: the bench, and a DUT made of this kernel's network stack.
pub struct World {
    pub bench: Network,
    pub dut: Network,
}

impl World {
    pub async fn start(name: &str) -> Self {
        Self::with(NetworkConfig::new(name)).await
    }

    pub async fn with(config: NetworkConfig) -> Self {
        let (name, addressing) = (config.name.clone(), config.addressing);
        let bench = Network::start(config)
            .await
            .unwrap_or_else(|error| explain(error));
        let cable = bench.cable().expect("a new cable").try_clone();
        let dut = NetworkConfig {
            side: Side::Device,
            addressing,
            cable: Cable::End(cable.expect("a descriptor")),
            ..NetworkConfig::new(format!("{name} dut"))
        };
        let dut = Network::start(dut)
            .await
            .unwrap_or_else(|error| explain(error));
        Self { bench, dut }
    }
}

fn explain(error: impl Into<miette::Report>) -> ! {
    panic!("{:?}", error.into());
}

/// Runs in the namespace of this network, and fails instead of hanging.
pub async fn within<T: Send + 'static>(
    network: &Network,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    let work: JoinHandle<T> = network.handle().spawn(work);
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("it is done in time")
        .expect("it does not panic")
}

/// The fake DUT says "unreachable" as often as it is asked, as small stacks do, and not once a second.
pub async fn without_limits(world: &World) {
    let set = async {
        for path in ["ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"] {
            std::fs::write(format!("/proc/sys/net/{path}"), "0").expect("its own setting");
        }
        std::fs::write("/proc/sys/net/ipv4/icmp_msgs_per_sec", "1000000").ok();
    };
    within(&world.dut, set).await;
}
