//! The services around the DUT, with real clients at real sockets of the loopback interface.

mod addresses;
mod eyes;
mod hostile;
mod messages;
mod names;
mod outages;
mod time;
mod tls;
mod updates;
mod world;
