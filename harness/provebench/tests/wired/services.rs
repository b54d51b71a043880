//! Services of a target by their names: two web servers, and what scripts do with each.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use provebench_network::{GATEWAY_V4, Network};
use provebench_record::event::{End, Fault, Outcome};
use provebench_testing::{machine::join_network, support::PATIENCE};
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::unseen::run_unit;

/// The update server has the port at the gateway's address, so the other one has an address of its own.
const UPDATE: Ipv4Addr = GATEWAY_V4;
const API: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 101);

/// What a server without TLS has at this path.
async fn get(server: Ipv4Addr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n");
    let asking = async {
        let mut stream = TcpStream::connect((server, 80)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout(PATIENCE, asking).await.expect("it is done in time");
    answer.unwrap_or_else(|error| error.kind().to_string())
}

const TWO_SERVERS: &str = r#"mark = t.services.mark()
t.services.update.publish("/config", "of updates")
t.services.api.publish("/config", "of the interface")
t.services.api.publish("/only", "here")
for server in [t.services.update, t.services.api]:
    server.plain.start()
t.log("now")
asked = t.services.api.plain.since(mark, "http")
t.expect([record["path"] for record in asked] == ["/config", "/only"], "api: {}", asked)
t.expect([record["path"] for record in t.services.since(mark, "update-plain", "http")] == ["/config", "/only"], "update")
t.expect(t.services.update.wait(mark, "tls", timeout = 0.1) == None, "nobody came by TLS")
t.expect(t.services.api.name == "api" and t.services.api.plain.name == "api-plain", "names")
stopped = t.services.api.stop()
t.expect("198.51.100.101:443/tcp refuses connections" in stopped["proof"], "{}", stopped)
t.expect("10.77.0.1:443" in t.services.update.stop()["proof"], "each has its own")"#;

#[test]
fn servers_of_one_kind_are_told_apart() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&heard);
    let ask = move |_: &Network| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let answers = runtime.block_on(async {
            join_network().await;
            let mut answers = Vec::new();
            for server in [UPDATE, API] {
                for path in ["/config", "/only"] {
                    answers.push(get(server, path).await);
                }
            }
            answers
        });
        told.lock().unwrap().extend(answers);
    };
    let result = run_unit(TWO_SERVERS, ("log", ask));
    let heard = heard.lock().unwrap();
    let has = |number: usize, text: &str| heard[number].contains(text);
    assert!(has(0, "of updates") && has(1, " 404 "), "{heard:?}");
    assert!(has(2, "of the interface") && has(3, "here"), "{heard:?}");
    assert_eq!(result.outcome(), Outcome::Pass, "{result:?}");
}

/// What there is not, or what a kind does not do, is the script's mistake.
#[rstest]
#[case::no_such_service("t.services.apy.stop()", "has no attribute `apy`, did you mean `api`?")]
#[case::by_a_word(
    "t.services.stop(\"apy\")",
    "there is no service \"apy\"; there are api, api-plain, crl,"
)]
#[case::not_without_tls("t.services.dns.plain.start()", "there is no service \"dns-plain\"")]
#[case::answer(
    "t.services.api.answer(\"nak\")",
    "service api can't answer \"nak\"; it can answer: normal, error, garbage"
)]
#[case::tls("t.services.ntp.present(\"expired\")", "service ntp has no TLS")]
#[case::files(
    "t.services.mqtt.publish(\"/a\", \"b\")",
    "service mqtt has no files that a script can set"
)]
#[case::certificate(
    "t.services.api.present(\"bad\")",
    "there is no certificate \"bad\"; there are good, expired,"
)]
fn what_a_service_does_not_do_is_said(#[case] body: &'static str, #[case] expected: &str) {
    let result = run_unit(body, ("log", |_: &Network| {}));
    assert_eq!(result.end, End::Fault(Fault::Script), "{result:?}");
    assert!(result.message.contains(expected), "{result:?}");
}
