//! What servers present and offer, as a careful client takes it.

use provebench_network::services::{
    CertificateKind, Observation, Record, Service as _, Services, TlsVersions,
};
use rstest::rstest;
use rustls::{
    SupportedProtocolVersion,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::setup::{Known as _, LIMIT, UPDATE_NAME, client_tls, seen, start};

async fn shake_hands(
    services: &Services,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<(), String> {
    let address = services.update().control().address().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(UPDATE_NAME).unwrap();
    let connector = TlsConnector::from(client_tls(services, versions, None));
    let mut stream = timeout(LIMIT, connector.connect(name, stream))
        .await
        .expect("the handshake hangs")
        .map_err(|error| error.to_string())?;
    // The server must have taken our last message.
    stream.shutdown().await.map_err(|error| error.to_string())
}

#[rstest]
#[case(CertificateKind::Expired, "expired")]
#[case(CertificateKind::NotYetValid, "not valid yet")]
#[case(CertificateKind::SelfSigned, "UnknownIssuer")]
#[case(CertificateKind::WrongName, "not valid for name")]
#[case(CertificateKind::UnknownCa, "BadSignature")]
#[case(CertificateKind::SignedByDevice, "EndEntityUsedAsCa")]
#[tokio::test]
async fn a_careful_client_refuses_bad_certificates_and_that_is_seen(
    #[case] kind: CertificateKind,
    #[case] reason: &str,
    #[values(&TLS12, &TLS13)] version: &'static SupportedProtocolVersion,
) {
    let services = start().await;
    services.update().tls().unwrap().present(kind).unwrap();
    let error = shake_hands(&services, &[version]).await.unwrap_err();
    assert!(error.contains(reason), "{error}");
    let record = seen(&services, |record: &Record| {
        matches!(record.observation, Observation::TlsFailed { .. })
    })
    .await;
    let Observation::TlsFailed {
        presented,
        sni,
        alert,
        ..
    } = record.observation
    else {
        unreachable!()
    };
    assert_eq!(presented, kind);
    assert_eq!(sni.as_deref(), Some(UPDATE_NAME));
    assert!(alert.is_some(), "the client's alert is not recorded");
    services
        .update()
        .tls()
        .unwrap()
        .present(CertificateKind::Good)
        .unwrap();
    shake_hands(&services, &[version]).await.unwrap();
}

/// A client that hangs up after the handshake has accepted nothing, one that says anything has.
#[rstest]
#[tokio::test]
async fn data_is_seen_and_not_only_handshakes(
    #[values(&TLS12, &TLS13)] version: &'static SupportedProtocolVersion,
    #[values("", "G", "GET / HTTP/1.1\r\nHost: x\r\n\r\n")] says: &str,
) {
    let services = start().await;
    services
        .update()
        .tls()
        .unwrap()
        .present(CertificateKind::Revoked)
        .unwrap();
    let address = services.update().control().address().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(UPDATE_NAME).unwrap();
    let connector = TlsConnector::from(client_tls(&services, &[version], None));
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream.write_all(says.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    seen(&services, |record: &Record| {
        matches!(record.observation, Observation::Closed)
    })
    .await;
    let records = services.since(0);
    let data: Vec<_> = records
        .iter()
        .filter_map(|record| match record.observation {
            Observation::TlsData { presented } => Some(presented),
            _ => None,
        })
        .collect();
    let expected: &[CertificateKind] = match says {
        "" => &[],
        _ => &[CertificateKind::Revoked],
    };
    assert_eq!(data, expected, "{records:?}");
}

#[tokio::test]
async fn only_who_looks_at_the_revocation_list_refuses_a_revoked_certificate() {
    use rustls::{
        ClientConfig, RootCertStore, client::WebPkiServerVerifier, crypto::ring,
        pki_types::CertificateRevocationListDer,
    };
    use std::sync::Arc;

    let services = start().await;
    let tls = services.update().tls().unwrap();
    tls.present(CertificateKind::Revoked).unwrap();
    shake_hands(&services, &[&TLS13]).await.unwrap();
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    let root = services.ca().certificate_der().to_vec();
    roots.add(root.into()).unwrap();
    let list = CertificateRevocationListDer::from(services.ca().crl_der().to_vec());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .with_crls([list])
        .build()
        .unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let connect = async || {
        let address = services.update().control().address().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(UPDATE_NAME).unwrap();
        connector.connect(name, stream).await
    };
    let error = connect().await.unwrap_err().to_string();
    assert!(error.contains("Revoked"), "{error}");
    tls.present(CertificateKind::Good).unwrap();
    connect().await.unwrap();
}

#[rstest]
#[case::both(TlsVersions::Both, Some("TLS 1.2"), Some("TLS 1.3"))]
#[case::old(TlsVersions::Only12, Some("TLS 1.2"), None)]
#[case::new(TlsVersions::Only13, None, Some("TLS 1.3"))]
#[tokio::test]
async fn versions_are_as_told(
    #[case] offered: TlsVersions,
    #[case] with_12: Option<&str>,
    #[case] with_13: Option<&str>,
) {
    let services = start().await;
    services.update().tls().unwrap().offer(offered).unwrap();
    let versions = [(&TLS12, with_12), (&TLS13, with_13)];
    for (version, expected) in versions {
        let mark = services.mark();
        let result = shake_hands(&services, &[version]).await;
        assert_eq!(result.is_ok(), expected.is_some(), "{result:?}");
        let record = services
            .wait(mark, LIMIT, |record| {
                matches!(
                    record.observation,
                    Observation::Tls(_) | Observation::TlsFailed { .. }
                )
            })
            .await
            .unwrap();
        let negotiated = match &record.observation {
            Observation::Tls(session) => Some(session.version.as_str()),
            _ => None,
        };
        assert_eq!(negotiated, expected);
    }
}
