//! The board's Ethernet cable: a datagram socket of raw frames whose other end is the bench's.

use std::{
    fmt, io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    str::FromStr,
    sync::Arc,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::socket::{MsgFlags, SockType, getsockopt, recv, sockopt},
};

use crate::error::BoardError;

/// More than fits into any socket's buffer: it ends draining one that is filled all the time.
const MOST_STALE: usize = 100_000;

/// A unicast MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac([u8; 6]);

impl Mac {
    /// The same chip always has the same, locally administered address.
    pub fn of_chip(chip_id: u64) -> Self {
        let mut mac = [0; 6];
        mac.copy_from_slice(&chip_id.to_be_bytes()[2..]);
        mac[0] = mac[0] & 0xFC | 0x02;
        Mac(mac)
    }
}

impl FromStr for Mac {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a MAC address is six bytes in hexadecimal, as in 02:00:00:12:34:56";
        let parts: Vec<_> = text.split(':').collect();
        let mut mac = [0; 6];
        if parts.len() != mac.len() || parts.iter().any(|part| part.len() != 2) {
            return Err(wrong);
        }
        for (byte, part) in mac.iter_mut().zip(parts) {
            // Digits only: a sign is none.
            if !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(wrong);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong)?;
        }
        if mac[0] & 1 != 0 || mac == [0; 6] {
            return Err("a device's MAC address is neither a group's nor all zero");
        }
        Ok(Mac(mac))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.map(|byte| format!("{byte:02x}"));
        f.write_str(&bytes.join(":"))
    }
}

/// The cable and the address of the interface that it is plugged into. It stays
/// plugged in over all power cycles.
#[derive(Debug, Clone)]
pub struct Ethernet {
    cable: Arc<OwnedFd>,
    /// Of the board's interface.
    pub mac: Mac,
}

impl Ethernet {
    /// Takes over a descriptor that the program was started with.
    ///
    /// # Safety
    /// Nothing else in this process owns or will open that descriptor's number.
    ///
    /// # Errors
    /// [`BoardError::Ethernet`] when it is no open datagram socket.
    #[allow(unsafe_code)]
    pub unsafe fn inherited(fd: RawFd, mac: Mac) -> Result<Self, BoardError> {
        let wrong = |errno: Errno| BoardError::Ethernet {
            fd,
            source: errno.into(),
        };
        if fd <= 2 {
            return Err(wrong(Errno::EBADF));
        }
        // SAFETY: only looked at while borrowed; a number that is not open is an error.
        let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        if getsockopt(&borrowed, sockopt::SockType).map_err(wrong)? != SockType::Datagram {
            return Err(wrong(Errno::EPROTOTYPE));
        }
        // The emulators get it by an explicit exception.
        fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(wrong)?;
        // SAFETY: it is open, and by the caller's promise nobody else's.
        let cable = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Ethernet {
            cable: Arc::new(cable),
            mac,
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.cable.as_raw_fd()
    }

    /// Frames that were sent while nobody listened are gone, as on a real cable.
    pub(crate) fn drop_stale_frames(&self) -> io::Result<()> {
        let mut frame = [0; 1];
        for _ in 0..MOST_STALE {
            match recv(self.fd(), &mut frame, MsgFlags::MSG_DONTWAIT) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("52:54:00:12:34:56")]
    #[case("02:aB:00:00:00:01")]
    fn addresses(#[case] text: &str) {
        let mac: Mac = text.parse().expect("a good address");
        assert_eq!(mac.to_string(), text.to_ascii_lowercase());
    }

    #[rstest]
    #[case("")]
    #[case("52:54:00:12:34")]
    #[case("52:54:00:12:34:5g")]
    #[case("52:54:00:12:34:+6")]
    #[case("01:00:5e:00:00:01")]
    #[case("00:00:00:00:00:00")]
    fn no_addresses(#[case] text: &str) {
        assert!(text.parse::<Mac>().is_err());
    }

    #[test]
    fn a_chip_s_address_is_its_own_and_no_group_s() {
        let of = |id| Mac::of_chip(id).to_string();
        assert_ne!(of(1), of(2));
        assert!(of(u64::MAX).parse::<Mac>().is_ok());
    }
}
