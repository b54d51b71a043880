//! NTP, asked by the client of rsntp.

use provebench_network::services::{NtpAnswer, Observation, Service as _, Services};
use rsntp::{AsyncSntpClient, SynchronizationError, SynchronizationResult};
use rstest::rstest;
use time::Duration;

use super::setup::{Known as _, LIMIT, seen, start};

/// Far more than any machine needs between two looks at its clock.
const TOLERANCE: f64 = 30.0;

async fn ask(services: &Services) -> Result<SynchronizationResult, SynchronizationError> {
    let address = services.ntp().control().address().unwrap();
    AsyncSntpClient::with_config(rsntp::Config::default().timeout(LIMIT))
        .synchronize(address.to_string())
        .await
}

#[rstest]
#[case::now(Duration::ZERO)]
#[case::future(Duration::days(400))]
#[case::past(Duration::days(-400))]
#[tokio::test]
async fn the_time_is_as_told(#[case] offset: Duration) {
    let services = start().await;
    services.ntp().set_offset(offset);
    let result = ask(&services).await.unwrap();
    let found = result.clock_offset().as_secs_f64();
    assert!(
        (found - offset.as_seconds_f64()).abs() < TOLERANCE,
        "{found}"
    );
    assert_eq!(result.stratum(), 1);
    let is_it = |record: &provebench_network::services::Record| {
        matches!(
            &record.observation,
            Observation::Ntp {
                version: 4,
                client_time: Some(_),
                ..
            }
        )
    };
    seen(&services, is_it).await;
}

#[rstest]
#[case(NtpAnswer::KissOfDeath(*b"DENY"))]
#[case(NtpAnswer::Unsynchronized)]
#[case(NtpAnswer::WrongOrigin)]
#[case(NtpAnswer::Garbage)]
#[tokio::test]
async fn wrong_answers_are_not_believed(#[case] answer: NtpAnswer) {
    let services = start().await;
    services.ntp().answer(answer);
    let error = ask(&services).await.unwrap_err();
    assert!(
        matches!(error, SynchronizationError::ProtocolError(_)),
        "{error:?}"
    );
    services.ntp().answer(NtpAnswer::Normal);
    ask(&services).await.unwrap();
}

#[tokio::test]
async fn zero_is_the_year_2036_to_clients_that_do_not_check() {
    let services = start().await;
    services.ntp().answer(NtpAnswer::ZeroTime);
    // RFC 4330, 5 asks clients to discard it; rsntp does not.
    let told = ask(&services).await.unwrap().datetime();
    let told = told.unix_timestamp().unwrap().as_secs();
    let wrap_of_ntp = (1 << 32) - 2_208_988_800;
    assert!(told.abs_diff(wrap_of_ntp) < 60, "{told}");
}
