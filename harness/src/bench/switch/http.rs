//! What the drivers that speak HTTP have in common.

use std::time::Duration;

use reqwest::{Client, Url};

use super::SwitchError;

/// A plug in the local network answers within milliseconds, one that is asleep within a second or two.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);

pub(super) fn client(limit: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        .timeout(limit)
        // Bench equipment is never behind the proxy that leads to the Internet.
        .no_proxy()
        .build()
}

pub(super) fn unreachable(device: String, source: reqwest::Error) -> SwitchError {
    SwitchError::Unreachable {
        device,
        remedy: "is it powered and in the network, and is url in devices.toml right? Open that address in a browser",
        // It may hold a password.
        source: Box::new(source.without_url()),
    }
}

/// `http://HOST[:PORT]`
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
