//! What yields the wiring of a device when it is leased: tables of `devices.toml`, or a program.
//!
//! Nobody but the provider knows what a device is made of. What the harness gets is a [`Wiring`], whether it was there all
//! along or was made for the lease.

use std::{collections::BTreeSet, fmt, os::fd::OwnedFd, path::Path, pin::Pin};

mod error;
mod program;
mod starvation;
mod virtual_board;

pub use error::ProviderError;
pub(crate) use program::Process;
pub use program::Program;
pub(crate) use virtual_board::{BOARDS, virtual_board};

use crate::{Capability, inventory::Wiring};

/// Yields the wiring of a device. A new kind is a type with this trait, and what `devices.toml` makes one of.
pub trait Provider: fmt::Debug + Send + Sync {
    /// In a word, for tables and messages; none for equipment that is simply there.
    fn kind(&self) -> Option<&str> {
        None
    }

    /// The equipment, where it is known without a lease.
    fn wiring(&self) -> Option<&Wiring> {
        None
    }

    /// What a bench of the device can do, known without touching it, for a target that `has_network` or not.
    fn capabilities(&self, has_network: bool) -> BTreeSet<Capability>;

    /// Where the DUT's network cable ends; none if it has none.
    fn cable(&self) -> Option<CableEnd>;

    /// What the device is leased by.
    fn leased_by(&self, device: &str) -> LeasedBy<'_>;

    /// Provides the equipment, until what it gives is [ended](Provided::end) or dropped.
    fn provide<'p>(&'p self, request: Request<'p>) -> Providing<'p>;
}

/// Equipment to come.
pub type Providing<'p> = Pin<Box<dyn Future<Output = Result<Provided, ProviderError>> + Send + 'p>>;

/// For whom equipment is to be provided.
#[derive(Debug)]
pub struct Request<'p> {
    /// The device's name.
    pub device: &'p str,
    /// Speed of its console in bits per second, unless the wiring says otherwise.
    pub baud: u32,
    /// Its target expects a network.
    pub has_network: bool,
    /// The DUT's end of its cable, for those that end in a socket.
    pub cable: Option<OwnedFd>,
}

/// Where a DUT's network cable ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CableEnd {
    /// In a datagram socket of raw Ethernet frames, which the provider gets.
    Socket,
    /// In an interface of this machine.
    Interface,
}

/// What tells a device from others, whatever its name.
#[derive(Clone, Debug, PartialEq)]
pub enum LeasedBy<'p> {
    /// By its equipment.
    Equipment(&'p Wiring),
    /// By a folder that only one of its kind can use at a time.
    Folder(&'p str, &'p Path),
    /// By a text.
    Text(String),
}

/// Keeps others from equipment that is known only once it was provided, for as long as the device is leased.
pub trait Claim: fmt::Debug + Send + Sync {
    /// Has equipment to itself, instead of what it had before by this.
    ///
    /// # Errors
    /// Who has it, in words.
    fn claim(&self, wiring: &Wiring) -> Result<(), String>;
}

/// Equipment that was provided.
#[derive(Debug)]
pub struct Provided {
    /// How the device is wired.
    pub wiring: Wiring,
    /// Equipment and device are there only while they are provided: nobody else can have them, or mind when power is
    /// switched.
    pub ends_with_lease: bool,
    pub(crate) process: Option<Process>,
}

impl Provided {
    /// Ends what was started for it.
    pub async fn end(self) {
        if let Some(process) = self.process {
            process.end().await;
        }
    }
}

/// What `devices.toml` says is there.
impl Provider for Wiring {
    fn wiring(&self) -> Option<&Wiring> {
        Some(self)
    }

    fn capabilities(&self, has_network: bool) -> BTreeSet<Capability> {
        Capability::of_wiring(self, has_network).collect()
    }

    fn cable(&self) -> Option<CableEnd> {
        self.network.is_some().then_some(CableEnd::Interface)
    }

    fn leased_by(&self, _: &str) -> LeasedBy<'_> {
        LeasedBy::Equipment(self)
    }

    fn provide<'p>(&'p self, _: Request<'p>) -> Providing<'p> {
        Box::pin(async {
            Ok(Provided {
                wiring: self.clone(),
                ends_with_lease: false,
                process: None,
            })
        })
    }
}
