//! Serial ports behind a network: a server that passes bytes, and ser2net with a real terminal behind it.

use std::{
    net::TcpListener as StdListener,
    process::{Child, Command, Stdio},
};

use rstest::rstest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{
    tests::{Cable, PATIENCE, SHORT, cable, read, regex},
    *,
};

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn setup(cable: &Cable, port: ConsolePort) -> ConsoleSetup {
    ConsoleSetup {
        port,
        ..cable.setup()
    }
}

#[rstest]
#[tokio::test]
async fn a_server_passes_bytes_as_they_are_and_may_go_and_come_back(cable: Cable) {
    let (listener, address) = listener().await;
    let port = ConsolePort::Socket(address.clone());
    let (console, dut) = tokio::join!(Console::open(setup(&cable, port)), listener.accept());
    let (console, (mut dut, _)) = (console.unwrap(), dut.unwrap());
    dut.write_all(b"boot \xff\xfb> ").await.unwrap();
    let found = console
        .expect(&regex("(?-u)boot \\xff\\xfb> "), PATIENCE)
        .await;
    assert!(found.is_ok(), "{found:?}");
    console.send(b"status\xff\r").await.unwrap();
    let mut received = [0; 8];
    dut.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"status\xff\r");

    let mut changed = console.shared.changed.subscribe();
    drop(dut);
    while console.health().is_ok() {
        timeout(PATIENCE, changed.changed()).await.unwrap().unwrap();
    }
    let (mut dut, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    dut.write_all(b"again> ").await.unwrap();
    console.expect(&regex("again> "), PATIENCE).await.unwrap();
    console.close().await;
    let log = read(&cable.log());
    assert!(log.contains("# the port has vanished"), "{log}");
}

#[rstest]
#[case::socket(ConsolePort::Socket)]
#[case::rfc2217(ConsolePort::Rfc2217)]
#[tokio::test]
async fn nobody_there_is_one_clear_error(cable: Cable, #[case] kind: fn(String) -> ConsolePort) {
    let (listener, address) = listener().await;
    drop(listener);
    let error = Console::open(setup(&cable, kind(address.clone())))
        .await
        .unwrap_err();
    assert!(matches!(error, ConsoleError::Open { .. }), "{error:?}");
    assert!(error.to_string().contains(&address), "{error}");
}

#[rstest]
#[case::says_no(
    ConsolePort::Rfc2217,
    b"\xff\xfe\x2c\xff\xfc\x2c".as_slice(),
    "refused RFC 2217"
)]
#[case::is_in_use(
    ConsolePort::Rfc2217,
    b"Port already in use\r\n".as_slice(),
    "Port already in use"
)]
#[case::raw_is_in_use(
    ConsolePort::Socket,
    b"Port already in use\r\n".as_slice(),
    "and says: Port already in use"
)]
#[case::raw_is_closed(ConsolePort::Socket, b"".as_slice(), "closes the connection at once")]
#[tokio::test]
async fn what_offers_no_port_is_told(
    cable: Cable,
    #[case] kind: fn(String) -> ConsolePort,
    #[case] answer: &'static [u8],
    #[case] reason: &str,
) {
    let (listener, address) = listener().await;
    let port = kind(address);
    let serve = async {
        let (mut server, _) = listener.accept().await.unwrap();
        server.write_all(answer).await.unwrap();
        server.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = server.read_to_end(&mut rest).await;
    };
    let (error, ()) = tokio::join!(Console::open(setup(&cable, port)), serve);
    let ConsoleError::Open { source, .. } = error.unwrap_err() else {
        panic!("another error")
    };
    assert!(source.to_string().contains(reason), "{source}");
}

/// A terminal server.
struct Ser2net {
    process: Child,
    address: String,
}

impl Ser2net {
    /// Serves the cable's port.
    fn start(cable: &Cable, accepter: &str) -> Self {
        let free = StdListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        // It takes other names for files of an older format.
        let config = cable.folder.path().join("ser2net.yaml");
        let content = format!(
            "connection: &dut\n  accepter: {accepter},127.0.0.1,{port}\n  \
             connector: serialdev,{},9600n81,local\n",
            cable.port().display()
        );
        std::fs::write(&config, content).unwrap();
        let process = Command::new("/usr/sbin/ser2net")
            .args(["-n", "-d", "-u", "-c"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ser2net is installed: ci/setup");
        Self {
            process,
            address: format!("127.0.0.1:{port}"),
        }
    }
}

impl Drop for Ser2net {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[rstest]
#[case::rfc2217(
    ConsolePort::Rfc2217,
    "telnet(rfc2217=true),tcp",
    nix::sys::termios::BaudRate::B115200
)]
#[case::raw(ConsolePort::Socket, "tcp", nix::sys::termios::BaudRate::B9600)]
#[tokio::test(flavor = "multi_thread")]
async fn ser2net_sets_the_port_up_and_passes_every_byte(
    cable: Cable,
    #[case] kind: fn(String) -> ConsolePort,
    #[case] accepter: &str,
    #[case] baud: nix::sys::termios::BaudRate,
) {
    let mut dut = cable.plug_in();
    let server = Ser2net::start(&cable, accepter);
    let config = setup(&cable, kind(server.address.clone()));
    let started = StdInstant::now();
    let console = loop {
        match Console::open(config.clone()).await {
            Ok(console) => break console,
            // It needs a moment to listen, and says so to nobody.
            Err(error) => assert!(started.elapsed() < PATIENCE, "{error:?}"),
        }
        tokio::time::sleep(SHORT).await;
    };
    let speed = nix::sys::termios::tcgetattr(&dut.terminal)
        .map(|settings| nix::sys::termios::cfgetospeed(&settings));
    assert_eq!(speed, Ok(baud));

    let all: Vec<u8> = (0..=255).collect();
    dut.print(&all);
    dut.print("> ");
    console.expect(&regex("> "), PATIENCE).await.unwrap();
    assert_eq!(console.since(0).unwrap()[..256], all);
    console.send(&all).await.unwrap();
    let received = tokio::task::spawn_blocking(move || (dut.receive(256), dut));
    let (received, dut) = received.await.unwrap();
    assert_eq!(received, all);

    // A second one is told, and does no harm.
    let second = Console::open(config.clone()).await.unwrap_err();
    assert!(matches!(second, ConsoleError::Open { .. }), "{second:?}");
    console.health().unwrap();
    drop(dut);
}

/// What it had said to the server in between, nobody heard.
#[rstest]
#[tokio::test]
async fn a_port_that_was_away_meanwhile_is_no_silent_dut(cable: Cable) {
    let (listener, address) = listener().await;
    let setup = setup(&cable, ConsolePort::Socket(address));
    let (console, dut) = tokio::join!(Console::open(setup), listener.accept());
    let (console, (dut, _)) = (console.unwrap(), dut.unwrap());
    let begin = StdInstant::now();
    console.was_open_since(begin).unwrap();

    let mut changed = console.shared.changed.subscribe();
    let answer = regex("answer");
    let waiting = console.expect(&answer, SHORT * 10);
    let flapping = async {
        drop(dut);
        while console.health().is_ok() {
            timeout(PATIENCE, changed.changed()).await.unwrap().unwrap();
        }
        let again = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        while console.health().is_err() {
            timeout(PATIENCE, changed.changed()).await.unwrap().unwrap();
        }
        again
    };
    let (waited, _dut) = tokio::join!(waiting, flapping);
    assert!(
        matches!(
            waited,
            Err(ConsoleError::WasAway { .. } | ConsoleError::Vanished { .. })
        ),
        "{waited:?}"
    );
    // It is open now, and was not all the time.
    console.health().unwrap();
    let away = console.was_open_since(begin);
    assert!(
        matches!(away, Err(ConsoleError::WasAway { .. })),
        "{away:?}"
    );
    console.was_open_since(StdInstant::now()).unwrap();
    let silent = console.expect(&regex("never"), SHORT).await;
    assert!(
        matches!(silent, Err(ConsoleError::Timeout { .. })),
        "{silent:?}"
    );
}
