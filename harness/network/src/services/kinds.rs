//! The kinds of services that there are: one line each.

use super::{crl, dhcp, dns, http, mqtt, ntp, router, service::Kind};

/// All of them.
pub static KINDS: [&Kind; 7] = [
    &crl::KIND,
    &dhcp::KIND,
    &dns::KIND,
    &http::KIND,
    &mqtt::KIND,
    &ntp::KIND,
    &router::KIND,
];

/// The kind that is called so.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.into_iter().find(|kind| kind.name == name)
}
