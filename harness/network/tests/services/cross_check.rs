//! Independent eyes: the programs that people use speak to broker and update server, and agree with what is recorded.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use provebench_network::services::{
    CRL_NAME, CertificateKind, MqttPacket, Observation, Service as _, Services, TlsVersions,
};
use rstest::rstest;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};

use super::setup::{Known as _, LIMIT, MQTT_NAME, UPDATE_NAME, seen, start};

/// The run's authority and a device's identity as files, as these programs want them.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new(services: &Services) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = services.ca().device("PB250113", &[]).unwrap();
        let files = Self { dir };
        fs::write(files.path("ca.pem"), services.ca().certificate_pem()).unwrap();
        fs::write(files.path("key.pem"), identity.key_pem()).unwrap();
        fs::write(
            files.path("certificate.der"),
            identity.chain_der().next().unwrap(),
        )
        .unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn certificate_pem(&self) -> PathBuf {
        let pem = self.path("certificate.pem");
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-inform", "DER", "-in"]);
        openssl
            .arg(self.path("certificate.der"))
            .arg("-out")
            .arg(&pem);
        let done = output(&mut openssl).await;
        assert!(done.status.success(), "{done:?}");
        pem
    }
}

/// Runs a program that must be there, with nothing to read, and not for ever.
async fn output(command: &mut Command) -> Output {
    let program = command.as_std().get_program().to_owned();
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    timeout(LIMIT, running)
        .await
        .unwrap_or_else(|_| panic!("{} does not end", program.display()))
        .unwrap_or_else(|error| {
            panic!(
                "{} is needed (ci/setup installs it): {error}",
                program.display()
            )
        })
}

fn mosquitto(program: &str, services: &Services, ca: &Path) -> Command {
    let port = services.mqtt().control().address().unwrap().port();
    let mut command = Command::new(program);
    command.args([
        "-h",
        MQTT_NAME,
        "-p",
        &port.to_string(),
        "-V",
        "mqttv5",
        "--cafile",
    ]);
    command.arg(ca);
    command
}

#[tokio::test]
async fn mosquittos_clients_exchange_messages_through_the_broker() {
    let services = start().await;
    let files = Files::new(&services);
    let certificate = files.certificate_pem().await;
    let key = files.path("key.pem");
    let ca = files.path("ca.pem");
    let topic = "sensors/PB250113/telemetry";
    let publish = |text: &'static str, retain: bool| {
        let mut command = mosquitto("mosquitto_pub", &services, &ca);
        command.args(["-t", topic, "-q", "1", "-i", "publisher", "-m", text]);
        command
            .arg("--cert")
            .arg(&certificate)
            .arg("--key")
            .arg(&key);
        if retain {
            command.arg("-r");
        }
        command
    };
    let done = output(&mut publish("kept", true)).await;
    assert!(done.status.success(), "{done:?}");
    // Whoever comes later gets what was kept, and what comes then.
    let mut command = mosquitto("mosquitto_sub", &services, &ca);
    let mut subscriber = command
        .args(["-t", "sensors/#", "-q", "2", "-i", "subscriber", "-C", "2"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("mosquitto_sub is needed (ci/setup installs it)");
    let mut lines = BufReader::new(subscriber.stdout.take().unwrap()).lines();
    let mut line = async || timeout(LIMIT, lines.next_line()).await.unwrap().unwrap();
    assert_eq!(line().await.as_deref(), Some("kept"));
    let done = output(&mut publish("new", false)).await;
    assert!(done.status.success(), "{done:?}");
    assert_eq!(line().await.as_deref(), Some("new"));
    assert!(
        timeout(LIMIT, subscriber.wait())
            .await
            .unwrap()
            .unwrap()
            .success()
    );

    for text in ["kept", "new"] {
        let record = seen(&services, |record| {
            matches!(&record.observation, Observation::Mqtt(packet) if matches!(&packet.packet,
                MqttPacket::Publish { topic: t, qos: 1, payload, .. }
                    if t == topic && payload.data == text.as_bytes()))
        });
        record.await;
    }
    let session = seen(
        &services,
        |record| matches!(&record.observation, Observation::Tls(tls) if tls.client.is_some()),
    );
    let Observation::Tls(tls) = session.await.observation else {
        unreachable!("just matched");
    };
    assert_eq!(tls.client.unwrap().trouble, None);
}

#[rstest]
#[case::expired(CertificateKind::Expired)]
#[case::wrong_name(CertificateKind::WrongName)]
#[case::self_signed(CertificateKind::SelfSigned)]
#[case::unknown_ca(CertificateKind::UnknownCa)]
#[case::signed_by_device(CertificateKind::SignedByDevice)]
#[tokio::test]
async fn mosquittos_clients_and_curl_refuse_bad_certificates(#[case] kind: CertificateKind) {
    let services = start().await;
    let files = Files::new(&services);
    let ca = files.path("ca.pem");
    services.mqtt().tls().unwrap().present(kind).unwrap();
    services.update().tls().unwrap().present(kind).unwrap();
    let mut publish = mosquitto("mosquitto_pub", &services, &ca);
    let done = output(publish.args(["-t", "t", "-m", "x"])).await;
    assert!(!done.status.success(), "mosquitto_pub: {done:?}");
    let done = output(&mut curl(&services, &ca, "/file")).await;
    // Of its manual: the certificate is not in order.
    assert_eq!(done.status.code(), Some(60), "curl: {done:?}");
}

fn curl(services: &Services, ca: &Path, path: &str) -> Command {
    let address = services.update().control().address().unwrap();
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--noproxy", "*", "--cacert"]);
    command.arg(ca).arg("--resolve");
    command.arg(format!("{UPDATE_NAME}:{}:{}", address.port(), address.ip()));
    command.arg(format!("https://{UPDATE_NAME}:{}{path}", address.port()));
    command
}

#[tokio::test]
async fn curl_fetches_files_and_parts_of_them() {
    let services = start().await;
    let files = Files::new(&services);
    let ca = files.path("ca.pem");
    let image: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    services
        .update()
        .set_file("/PB-RS1/image.bin", image.clone());
    let done = output(&mut curl(&services, &ca, "/PB-RS1/image.bin")).await;
    assert!(done.status.success(), "{done:?}");
    assert!(done.stdout == image, "another file arrived");
    let mut part = curl(&services, &ca, "/PB-RS1/image.bin");
    let done = output(part.args(["--range", "1000-1999"])).await;
    assert_eq!(done.stdout, image[1000..2000]);
    let mut absent = curl(&services, &ca, "/absent");
    let done = output(absent.args(["--output", "/dev/null", "--write-out", "%{http_code}"])).await;
    assert_eq!(done.stdout, b"404");
    let ranged = seen(
        &services,
        |record| matches!(&record.observation, Observation::Http(request) if request.status == 206),
    );
    let Observation::Http(request) = ranged.await.observation else {
        unreachable!("just matched");
    };
    assert_eq!(request.range.as_deref(), Some("bytes=1000-1999"));
    assert!(request.user_agent.unwrap().starts_with("curl/"));
}

#[rstest]
#[case::both_to_new(TlsVersions::Both, "-tls1_3", Some("TLSv1.3"))]
#[case::both_to_old(TlsVersions::Both, "-tls1_2", Some("TLSv1.2"))]
#[case::new_only(TlsVersions::Only13, "-tls1_2", None)]
#[case::old_only(TlsVersions::Only12, "-tls1_3", None)]
#[tokio::test]
async fn openssl_gets_the_versions_that_are_offered(
    #[case] offered: TlsVersions,
    #[case] asked: &str,
    #[case] got: Option<&str>,
) {
    let services = start().await;
    let files = Files::new(&services);
    services.update().tls().unwrap().offer(offered).unwrap();
    let address = services.update().control().address().unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args([
        "s_client",
        "-connect",
        &address.to_string(),
        asked,
        "-servername",
    ]);
    openssl.args([
        UPDATE_NAME,
        "-verify_hostname",
        UPDATE_NAME,
        "-verify_return_error",
        "-CAfile",
    ]);
    openssl.arg(files.path("ca.pem"));
    let done = output(&mut openssl).await;
    let said = String::from_utf8_lossy(&done.stdout);
    match got {
        Some(version) => {
            assert!(said.contains("Verify return code: 0 (ok)"), "{done:?}");
            assert!(said.contains(&format!("New, {version}")), "{said}");
        }
        None => assert!(!done.status.success(), "{said}"),
    }
}

#[rstest]
#[case(CertificateKind::Good, None)]
#[case(CertificateKind::Revoked, Some("certificate revoked"))]
#[tokio::test]
async fn openssl_finds_only_the_revoked_certificate_in_the_list(
    #[case] kind: CertificateKind,
    #[case] expected: Option<&str>,
) {
    let services = start().await;
    let files = Files::new(&services);
    let server = services.ca().server(kind, UPDATE_NAME).unwrap();
    let der = server.chain_der().next().unwrap();
    fs::write(files.path("certificate.der"), der).unwrap();
    let certificate = files.certificate_pem().await;
    let address = services
        .service("crl")
        .unwrap()
        .control()
        .address()
        .unwrap();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "--noproxy", "*", "-o"]);
    curl.arg(files.path("list.der"));
    curl.args([
        "--resolve",
        &format!("{CRL_NAME}:{}:127.0.0.1", address.port()),
    ]);
    curl.arg(format!("http://{CRL_NAME}:{}/ca.crl", address.port()));
    let done = output(&mut curl).await;
    assert!(done.status.success(), "{done:?}");
    let mut openssl = Command::new("openssl");
    openssl.args(["crl", "-inform", "DER", "-in"]);
    openssl.arg(files.path("list.der")).arg("-out");
    let done = output(openssl.arg(files.path("list.pem"))).await;
    assert!(done.status.success(), "{done:?}");
    let mut openssl = Command::new("openssl");
    openssl.args(["verify", "-crl_check", "-CAfile"]);
    openssl.arg(files.path("ca.pem")).arg("-CRLfile");
    openssl.arg(files.path("list.pem")).arg(certificate);
    let done = output(&mut openssl).await;
    let said = String::from_utf8_lossy(&done.stderr);
    match expected {
        None => assert!(done.status.success(), "{said}"),
        Some(trouble) => assert!(!done.status.success() && said.contains(trouble), "{done:?}"),
    }
}
