//! What a DUT's frames come from and go to.

use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{batch::Form, error::NetworkError, packet::PortSocket, port::Port, sys};

/// A cable, an interface of this machine, later an access point: a socket that frames are taken from and given to by the
/// batch, and a carrier. Link, impairment, capture and index are the same around all of them
/// ([`frames`](crate::frames)).
pub(crate) trait Medium: AsFd + fmt::Debug + Send + Sync {
    /// What the messages of its socket are.
    fn form(&self) -> Form {
        Form::Bare
    }

    /// Frames that came faster than they were taken, since the last call.
    fn missed(&self) -> io::Result<u32> {
        Ok(0)
    }

    /// Frames that never came as far as the socket, since the last call. Blocks.
    fn missed_before(&self) -> Result<u64, NetworkError> {
        Ok(0)
    }

    /// Lets the DUT see a carrier or none, where that can be done. Blocks.
    fn set_carrier(&self, _up: bool) -> Result<(), NetworkError> {
        Ok(())
    }

    /// Whether it is still there.
    fn health(&self) -> Result<(), NetworkError> {
        Ok(())
    }

    /// Leaves everything as it was found. No frame is moved any more. Blocks.
    fn give_back(&self) -> Result<(), NetworkError> {
        Ok(())
    }
}

/// One end of a cable: a datagram socket, each datagram a frame.
#[derive(Debug)]
pub(crate) struct CableEnd(pub(crate) OwnedFd);

impl AsFd for CableEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Medium for CableEnd {}

/// The raw end of the bench's own interface, whose frames are complete.
#[derive(Debug)]
pub(crate) struct Wire(pub(crate) OwnedFd);

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Medium for Wire {
    fn missed(&self) -> io::Result<u32> {
        sys::lost_frames(self.as_fd())
    }
}

/// An interface of this machine with the DUT behind it.
#[derive(Debug)]
pub(crate) struct Plugged {
    port: Mutex<Port>,
    socket: Arc<PortSocket>,
}

impl Plugged {
    pub(crate) fn new(port: Port) -> Result<Self, NetworkError> {
        let socket = port.socket()?;
        Ok(Self {
            port: Mutex::new(port),
            socket,
        })
    }

    fn port(&self) -> MutexGuard<'_, Port> {
        self.port.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Plugged {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Medium for Plugged {
    fn form(&self) -> Form {
        Form::WithHeader
    }

    fn missed(&self) -> io::Result<u32> {
        sys::lost_frames(self.as_fd())
    }

    fn missed_before(&self) -> Result<u64, NetworkError> {
        self.port().missed()
    }

    fn set_carrier(&self, up: bool) -> Result<(), NetworkError> {
        self.port().set_up(up)
    }

    fn health(&self) -> Result<(), NetworkError> {
        self.port().health()
    }

    fn give_back(&self) -> Result<(), NetworkError> {
        self.port().give_back()
    }
}
