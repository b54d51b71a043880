//! A device of `devices.toml` that is plugged into an interface of this machine.

use std::{net::SocketAddr, sync::Arc};

use provebench_bench::{
    Bench, BenchOptions, Capability, NetworkOptions,
    inventory::{Device, Inventory, Wiring},
};
use provebench_network::{GATEWAY_V4, Network, NetworkPort, Side};
use tokio::net::TcpStream;

use provebench_testing::{
    TestBench,
    machine::{DUT, NIC, await_carrier, in_a_machine, is_up, on, set_up},
    support::within,
};

/// With nothing but a network: the rest of the bench is not what is tested here.
fn device() -> Device {
    let bench = TestBench::new();
    bench.append(
        TestBench::TARGET_FILE,
        "[networks.lan]\n\n[services]\nmqtt = { kind = \"mqtt\", host = \"mqtt.example\" }\nupdate = { kind = \"http\", host = \"update.example\" }\n",
    );
    let inventory = Inventory::load(&bench.devices(), &bench.targets()).unwrap();
    let network = Some(NetworkPort {
        interface: NIC.into(),
        vlan: None,
    });
    Device {
        provider: Arc::new(Wiring {
            network,
            ..Wiring::default()
        }),
        ..inventory.devices[0].clone()
    }
}

fn options(folder: &tempfile::TempDir) -> BenchOptions {
    BenchOptions {
        network: Some(NetworkOptions {
            captures: Some(folder.path().into()),
        }),
        ..BenchOptions::default()
    }
}

#[test]
fn its_bench_has_network_and_services_there() {
    in_a_machine(async |netlink| {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::open(&device(), &options(&folder)).await.unwrap();
        let capabilities = bench.capabilities();
        assert!(
            capabilities.contains(&Capability::Net) && capabilities.contains(&Capability::Services)
        );
        bench.health().await.unwrap();

        let dut = Network::start(on(DUT, Side::Device)).await.unwrap();
        let update = SocketAddr::new(GATEWAY_V4.into(), 443);
        within(&dut, TcpStream::connect(update)).await.unwrap();
        let calls = bench.network().unwrap().outbound(Some(443), 0.0);
        assert_eq!(calls.len(), 1, "{calls:?}");
        dut.close().await.unwrap();

        set_up(&netlink, DUT).await;
        await_carrier(&netlink, DUT, true).await;
        bench.set_link(false).await.unwrap();
        await_carrier(&netlink, DUT, false).await;
        bench.restore_network().await.unwrap();
        await_carrier(&netlink, DUT, true).await;

        bench.close().await.unwrap();
        assert_eq!(is_up(&netlink, NIC).await, Some(false), "as it was");
    });
}

#[test]
fn a_bench_that_can_not_have_the_interface_says_so() {
    in_a_machine(async |netlink| {
        set_up(&netlink, NIC).await;
        provebench_testing::machine::give_address(&netlink, NIC, "192.0.2.5", 24).await;
        let folder = tempfile::tempdir().unwrap();
        let error = Bench::open(&device(), &options(&folder)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "network interface `nic0` can't be given to the DUT: \
             this machine has the address 192.0.2.5/24 on it"
        );
        assert_eq!(is_up(&netlink, NIC).await, Some(true));
    });
}
