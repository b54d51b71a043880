//! The update server, used by reqwest.

use std::time::{Duration, Instant};

use provebench_network::services::{Observation, Record, Service as _, Services, SiteAnswer};
use reqwest::{Client, Response, StatusCode};
use rstest::rstest;

use super::setup::{Known as _, LIMIT, UPDATE_NAME, seen, start};

const PATH: &str = "/PB-RS1/image.bin";

fn image() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn client(services: &Services) -> Client {
    let address = services.update().control().address().unwrap();
    let root = reqwest::Certificate::from_der(services.ca().certificate_der()).unwrap();
    Client::builder()
        .no_proxy()
        .tls_built_in_root_certs(false)
        .add_root_certificate(root)
        .resolve(UPDATE_NAME, address)
        .timeout(LIMIT)
        .build()
        .unwrap()
}

fn url(services: &Services, path: &str) -> String {
    let port = services.update().control().address().unwrap().port();
    format!("https://{UPDATE_NAME}:{port}{path}")
}

async fn get(services: &Services, path: &str, range: Option<&str>) -> reqwest::Result<Response> {
    let mut request = client(services).get(url(services, path));
    if let Some(range) = range {
        request = request.header("Range", range);
    }
    request.send().await
}

async fn with_image() -> Services {
    let services = start().await;
    services.update().set_file(PATH, image());
    services
}

#[tokio::test]
async fn files_are_served_and_requests_recorded() {
    let services = with_image().await;
    let response = get(&services, PATH, None).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["accept-ranges"], "bytes");
    assert_eq!(response.bytes().await.unwrap(), image());
    let missing = get(&services, "/PB-RS1/none", None).await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    let posted = client(&services).post(url(&services, PATH)).body("canary");
    let posted = posted.send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    let is_post = |record: &Record| {
        matches!(&record.observation, Observation::Http(request) if request.method == "POST"
            && request.path == PATH && request.body.data == b"canary" && request.status == 405)
    };
    let record = seen(&services, is_post).await;
    assert_eq!(record.service, "update");
    assert!(services.update().remove_file(PATH));
    let gone = get(&services, PATH, None).await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

#[rstest]
#[case::from_to("bytes=10-19", 206, Some("bytes 10-19/400000"), 10..20)]
#[case::first_byte("bytes=0-0", 206, Some("bytes 0-0/400000"), 0..1)]
#[case::open_end("bytes=399990-", 206, Some("bytes 399990-399999/400000"), 399_990..400_000)]
#[case::suffix("bytes=-4", 206, Some("bytes 399996-399999/400000"), 399_996..400_000)]
#[case::beyond_the_end("bytes=399990-500000", 206, Some("bytes 399990-399999/400000"), 399_990..400_000)]
#[case::several("bytes=0-1,5-6", 200, None, 0..400_000)]
#[case::nonsense("lines=1-2", 200, None, 0..400_000)]
#[tokio::test]
async fn ranges_are_served(
    #[case] range: &str,
    #[case] status: u16,
    #[case] content_range: Option<&str>,
    #[case] window: std::ops::Range<usize>,
) {
    let services = with_image().await;
    let response = get(&services, PATH, Some(range)).await.unwrap();
    assert_eq!(response.status(), status);
    let said = response.headers().get("content-range");
    assert_eq!(said.map(|value| value.to_str().unwrap()), content_range);
    assert_eq!(response.bytes().await.unwrap(), image()[window]);
}

#[tokio::test]
async fn ranges_outside_of_the_file_are_refused() {
    let services = with_image().await;
    let response = get(&services, PATH, Some("bytes=400000-")).await.unwrap();
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(response.headers()["content-range"], "bytes */400000");
}

#[tokio::test]
async fn a_status_can_be_told() {
    let services = with_image().await;
    services.update().answer(SiteAnswer::Status(503));
    let response = get(&services, PATH, None).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn garbage_is_no_http() {
    let services = with_image().await;
    services.update().answer(SiteAnswer::Garbage);
    let error = get(&services, PATH, None).await.unwrap_err();
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    let is_it = |record: &Record| matches!(&record.observation, Observation::Http(request) if request.path == PATH && request.status == 0);
    seen(&services, is_it).await;
}

#[tokio::test]
async fn content_can_be_truncated() {
    let services = with_image().await;
    services.update().answer(SiteAnswer::Truncated(150_000));
    let mut response = get(&services, PATH, None).await.unwrap();
    assert_eq!(response.content_length(), Some(400_000));
    let mut received = Vec::new();
    let error = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => received.extend_from_slice(&chunk),
            Ok(None) => panic!("the content was whole"),
            Err(error) => break error,
        }
    };
    assert!(!error.is_timeout(), "{error:?}");
    assert!(received.len() <= 150_000, "{}", received.len());
    assert_eq!(received, image()[..received.len()]);
}

#[tokio::test]
async fn content_can_be_corrupt() {
    let services = with_image().await;
    services.update().answer(SiteAnswer::Corrupt(1234));
    let response = get(&services, PATH, Some("bytes=1200-1299")).await.unwrap();
    let received = response.bytes().await.unwrap();
    let wrong: Vec<usize> = (0..100)
        .filter(|at| received[*at] != image()[1200 + at])
        .collect();
    assert_eq!(wrong, [34]);
}

#[tokio::test]
async fn content_can_be_slow() {
    let services = start().await;
    services.update().set_file(PATH, vec![7; 1000]);
    services.update().answer(SiteAnswer::Slow {
        bytes_per_second: 2000,
    });
    let start = Instant::now();
    let response = get(&services, PATH, None).await.unwrap();
    assert_eq!(response.bytes().await.unwrap(), [7; 1000].as_slice());
    assert!(start.elapsed() >= Duration::from_millis(450));
}
