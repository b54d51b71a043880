//! What runs leave behind that were killed, and `provebench doctor`.

use std::{
    env,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, SystemTime},
};

use nix::{pty::openpty, unistd::ttyname};
use provebench_network::{Network, Side};
use rtnetlink::{Handle, LinkUnspec};

use provebench_testing::{
    TestBench,
    machine::{DUT, NIC, alias, both, find, give_address, in_a_machine, index, is_up, on, set_up},
    support::PATIENCE,
};

/// `provebench` in the machine of the test, with the rights that it asks for.
fn provebench(bench: &TestBench, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_provebench"))
        .args(arguments)
        .args(bench.args())
        .env("TMPDIR", bench.root())
        .output()
        .expect("it can be started")
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    // Wrapped into lines.
    let text = String::from_utf8_lossy(&text).into_owned();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// As the kernel leaves a card whose run was killed: switched off, maybe under another name.
async fn leave_behind(netlink: &Handle, name: &str) {
    let card = LinkUnspec::new_with_index(index(netlink, NIC).await)
        .name(name)
        .alias("provebench: name=nic0 was=on gro=off lro=off alias=rack 3")
        .down();
    netlink.link().set(card.build()).execute().await.unwrap();
}

/// A folder as a broker has it.
fn broker_folder(bench: &TestBench, name: &str) -> PathBuf {
    let folder = bench.root().join(name);
    fs::create_dir(&folder).unwrap();
    folder
}

fn make_old(folder: &PathBuf) {
    let an_hour_ago = SystemTime::now() - Duration::from_hours(1);
    File::open(folder)
        .unwrap()
        .set_modified(an_hour_ago)
        .unwrap();
}

/// Takes an interface and waits to be killed; run by the test below in a process of its own.
#[test]
#[ignore = "a part of a_run_that_is_killed_leaves_no_namespace"]
fn process_that_is_killed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _bench = runtime
        .block_on(Network::start(on(NIC, Side::Bench)))
        .unwrap();
    println!("\ntaken");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// The namespace ends with the process, and with it the virtual interface that was moved there. (A card would be moved
/// back; there is none to try with.)
#[test]
fn a_run_that_is_killed_leaves_no_namespace() {
    in_a_machine(async |netlink| {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "doctor::process_that_is_killed", "--ignored"])
            .arg("--nocapture")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let taken = lines.map_while(Result::ok).any(|line| line == "taken");
        assert!(taken, "the other process could not take the interface");
        assert_eq!(is_up(&netlink, NIC).await, None);
        assert_eq!(is_up(&netlink, DUT).await, Some(false), "the other end");
        process.kill().unwrap();
        process.wait().unwrap();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while find(&netlink, DUT).await.is_some() {
            assert!(
                tokio::time::Instant::now() < deadline,
                "the pair is still there"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn what_was_left_behind_is_put_right_by_doctor() {
    in_a_machine(async |netlink| {
        let bench = TestBench::new();
        leave_behind(&netlink, "eth7").await;
        let dead = broker_folder(&bench, "provebench-mqtt-dead");
        let living = broker_folder(&bench, "provebench-mqtt-living");
        let _broker = UnixListener::bind(living.join("mqtt.sock")).unwrap();
        for folder in [&dead, &living] {
            make_old(folder);
        }
        let starting = broker_folder(&bench, "provebench-mqtt-starting");

        let output = provebench(&bench, &["doctor"]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(3), "{text}");
        for words in [
            "network interface `eth7`, which is to be called `nic0`, which is to be switched on",
            "provebench-mqtt-dead",
            "provebench doctor --clean",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
        assert!(dead.exists(), "it only looks");

        let output = provebench(&bench, &["doctor", "--clean"]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(text.ends_with("2 leftovers put right"), "{text}");
        assert_eq!(is_up(&netlink, NIC).await, Some(true));
        assert_eq!(alias(&find(&netlink, NIC).await.unwrap()), "rack 3");
        assert!(!dead.exists() && living.exists() && starting.exists());

        let output = provebench(&bench, &["doctor", "--clean"]);
        assert_eq!(said(&output), "nothing was left behind");
        assert_eq!(output.status.code(), Some(0));
    });
}

#[test]
fn a_name_that_is_taken_can_not_be_given_back() {
    in_a_machine(async |netlink| {
        leave_behind(&netlink, "eth7").await;
        let named = LinkUnspec::new_with_index(index(&netlink, DUT).await).name(NIC);
        netlink.link().set(named.build()).execute().await.unwrap();
        let output = provebench(&TestBench::new(), &["doctor", "--clean"]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(text.contains("File exists"), "{text}");
        assert!(find(&netlink, "eth7").await.is_some());
    });
}

#[test]
fn a_run_takes_what_another_left_behind_and_gives_it_back_as_it_was_before_that() {
    in_a_machine(async |netlink| {
        leave_behind(&netlink, NIC).await;
        let (bench, dut) = both().await;
        bench.close().await.unwrap();
        dut.close().await.unwrap();
        assert_eq!(is_up(&netlink, NIC).await, Some(true));
        assert_eq!(alias(&find(&netlink, NIC).await.unwrap()), "rack 3");
    });
}

#[test]
fn doctor_tells_which_device_can_have_its_interface() {
    in_a_machine(async |netlink| {
        let bench = TestBench::new();
        // Somebody holds both ends open.
        let consoles = [(); 2].map(|()| openpty(None, None).unwrap());
        let ports = consoles.each_ref().map(|pty| ttyname(&pty.slave).unwrap());
        let device = |name: &str, interface: &str, port: &Path| {
            let port = port.display();
            format!(
                "[[device]]\nname = \"{name}\"\ntarget = \"sensor\"\n\
                 console = {{ port = \"{port}\" }}\nnetwork = {{ interface = \"{interface}\" }}\n\n"
            )
        };
        bench.write(
            "devices.toml",
            device("one", NIC, &ports[0]) + &device("two", DUT, &ports[1]),
        );
        let output = provebench(&bench, &["doctor"]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        for words in [
            "ok this process may make network namespaces",
            "ok it can have nic0",
            "ok it can have dut0",
            "ok nothing is left behind by runs that were killed",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }

        set_up(&netlink, NIC).await;
        give_address(&netlink, NIC, "192.0.2.5", 24).await;
        bench.append("devices.toml", &device("three", "nic1", Path::new("none")));
        let output = provebench(&bench, &["doctor"]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(3), "{text}");
        for words in [
            "wrong network interface `nic0` can't be given to the DUT: \
             this machine has the address 192.0.2.5/24 on it",
            "ok it can have dut0",
            "wrong there is no network interface `nic1`",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
    });
}
