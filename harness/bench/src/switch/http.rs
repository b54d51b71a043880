//! What the drivers that speak HTTP have in common.

use std::time::Duration;

use reqwest::{Client, Response, Url, redirect::Policy};

use super::SwitchError;

/// A plug in the local network answers within milliseconds, one that is asleep within a second or two.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Most bytes of an answer that are read: a device with many outputs tells some kB of them.
const LONGEST: usize = 256 * 1024;

pub(super) fn client(limit: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        .timeout(limit)
        // Bench equipment is never behind the proxy that leads to the Internet.
        .no_proxy()
        // No plug sends us to another: whoever does is none, and is not to choose whom this machine asks.
        .redirect(Policy::none())
        .build()
}

/// What it says. What is longer than any answer is cut, and so no JSON any more.
pub(super) async fn text(mut response: Response) -> Result<String, reqwest::Error> {
    let mut bytes = Vec::new();
    while bytes.len() < LONGEST
        && let Some(chunk) = response.chunk().await?
    {
        bytes.extend_from_slice(&chunk[..chunk.len().min(LONGEST - bytes.len())]);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
