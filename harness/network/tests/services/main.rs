//! The services around the DUT, with real clients at real sockets of the loopback interface.

mod addresses;
mod cross_check;
mod hostile;
mod messages;
mod names;
mod outages;
mod setup;
mod time;
mod tls;
mod updates;
