//! devices.toml, target.toml and what they name: what is read, and what is said when they are wrong.

mod devices;
mod files;
mod good;
mod hostile;
mod ics;
mod images;
mod ixit;
mod message_text;
mod rendering;
mod schemas;
mod switches;
mod target;
