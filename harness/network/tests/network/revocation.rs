//! A DUT that looks up whether the certificate it is shown was revoked: where that certificate says, by the names and
//! addresses that it finds in its network.

use std::{net::IpAddr, sync::Arc};

use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use provebench_network::{
    GATEWAY_V4, Outcome,
    services::{CertificateKind, Observation},
};
use reqwest::{Client, StatusCode, Url};
use rstest::rstest;
use rustls::{
    ClientConfig, RootCertStore,
    client::WebPkiServerVerifier,
    crypto::ring,
    pki_types::{CertificateDer, CertificateRevocationListDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::{
    extensions::{DistributionPointName, GeneralName, ParsedExtension},
    parse_x509_certificate,
};

use crate::router;
use provebench_testing::support::{PATIENCE, World, within};

const UPDATE_NAME: &str = "update.example";

/// Shakes hands with the update server: its certificate, or why the client refuses.
async fn shake_hands(
    ca: Vec<u8>,
    list: Option<Vec<u8>>,
) -> Result<CertificateDer<'static>, String> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca.into()).unwrap();
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
        .with_crls(list.map(CertificateRevocationListDer::from))
        .build()
        .unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    let stream = TcpStream::connect((GATEWAY_V4, 443)).await.unwrap();
    let name = ServerName::try_from(UPDATE_NAME).unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = connecting.await.map_err(|error| error.to_string())?;
    let shown = stream.get_ref().1.peer_certificates();
    Ok(shown.unwrap()[0].clone().into_owned())
}

/// Where the certificate says that the list is.
fn distribution_point(certificate: &[u8]) -> Url {
    let (_, certificate) = parse_x509_certificate(certificate).unwrap();
    let points =
        certificate
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::CRLDistributionPoints(points) => Some(&points.points),
                _ => None,
            });
    let [point] = &points.expect("it has some")[..] else {
        panic!("it has one");
    };
    match &point.distribution_point {
        Some(DistributionPointName::FullName(names)) => match &names[..] {
            [GeneralName::URI(url)] => url.parse().unwrap(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Addresses that the network's name server has for that name.
async fn lookup(name: &str) -> Vec<IpAddr> {
    let server = NameServerConfig::udp(GATEWAY_V4.into());
    let config = ResolverConfig::from_parts(None, vec![], vec![server]);
    let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let resolver = resolver.build().unwrap();
    let found = resolver.lookup_ip(format!("{name}.")).await.unwrap();
    found.iter().collect()
}

async fn fetch(url: Url, is_ipv4: bool) -> Vec<u8> {
    let host = url.host_str().unwrap().to_owned();
    let mut addresses = lookup(&host).await;
    addresses.retain(|address| address.is_ipv4() == is_ipv4);
    let client = Client::builder()
        .no_proxy()
        .resolve(&host, (addresses[0], 0).into())
        .timeout(PATIENCE)
        .build()
        .unwrap();
    let response = client.get(url).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/pkix-crl");
    response.bytes().await.unwrap().to_vec()
}

#[rstest]
#[tokio::test]
async fn a_dut_that_fetches_the_list_refuses_the_revoked_certificate_and_no_other(
    #[values(true, false)] is_ipv4: bool,
) {
    let world = World::start("revocation").await;
    let services = router::services(&world.bench).await;
    let ca = services.ca().certificate_der().to_vec();
    let tls = services.service("update").unwrap().tls().unwrap();
    for kind in [CertificateKind::Good, CertificateKind::Revoked] {
        tls.present(kind).unwrap();
        let mark = services.mark();
        let certificate = within(&world.dut, shake_hands(ca.clone(), None)).await;
        let certificate = certificate.expect("nothing but the list is against it");
        let url = distribution_point(&certificate);
        assert_eq!(url.port_or_known_default(), Some(80));
        let list = within(&world.dut, fetch(url, is_ipv4)).await;
        let asked = services.since(mark).into_iter().find(|record| {
            record.service == "crl" && matches!(&record.observation, Observation::Http(_))
        });
        assert!(asked.is_some(), "{:?}", services.since(mark));
        let result = within(&world.dut, shake_hands(ca.clone(), Some(list))).await;
        match kind {
            CertificateKind::Good => assert_eq!(result.err(), None),
            _ => assert!(result.unwrap_err().contains("Revoked")),
        }
    }
    // It is a service like the others: neither refused, nor the way into the clear of the update server.
    let flows = world.bench.flows();
    let list = flows
        .flows
        .iter()
        .filter(|flow| flow.destination.port() == 80 && flow.names == ["crl.provebench.example"]);
    let outcomes: Vec<Outcome> = list.map(|flow| flow.outcome).collect();
    assert_eq!(outcomes, [Outcome::Answered; 2]);
    let in_the_clear = services
        .since(0)
        .iter()
        .filter(|record| record.service == "update-plain")
        .count();
    assert_eq!(in_the_clear, 0);
}
