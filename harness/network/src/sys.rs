//! What no crate at hand does safely: AF_PACKET sockets, the offloads of an interface, and whose a namespace is.
#![allow(unsafe_code)]

use std::{
    io, mem,
    os::fd::{AsFd as _, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use nix::{
    libc,
    net::if_::if_nametoindex,
    sys::socket::{getsockopt, sockopt::RcvBuf},
};

/// Lets bursts wait until they are dealt with: full frames of a third of a second at a gigabit. Taken while they wait.
const RECEIVE_BUFFER: libc::c_int = 32 << 20;
/// `linux/ethtool.h`.
const ETHTOOL_STXCSUM: u32 = 0x17;
const ETHTOOL_STSO: u32 = 0x1f;
const ETHTOOL_SGSO: u32 = 0x24;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETHTOOL_GGRO: u32 = 0x2b;
const ETHTOOL_SGRO: u32 = 0x2c;
const ETH_FLAG_LRO: u32 = 1 << 15;

/// A socket for the raw frames that reach or leave an interface of the calling thread's namespace. Frames that the
/// socket itself sends are not seen.
pub(super) fn packet_socket(interface: &str) -> io::Result<OwnedFd> {
    let index = if_nametoindex(interface)?;
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // Protocol 0: it receives nothing until it is bound to its interface.
    // SAFETY: takes no pointers.
    let descriptor = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    set(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
    // Beyond the system's limit where we may, else as far as it goes.
    set(
        &socket,
        libc::SOL_SOCKET,
        libc::SO_RCVBUFFORCE,
        RECEIVE_BUFFER,
    )
    .or_else(|_| set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, RECEIVE_BUFFER))?;
    let room = getsockopt(&socket, RcvBuf)?;
    if room < RECEIVE_BUFFER as usize {
        tracing::info!(
            interface,
            room,
            wanted = RECEIVE_BUFFER,
            "bursts of frames have less room than they should: see net.core.rmem_max"
        );
    }
    // SAFETY: all-zero is a valid `sockaddr_ll`.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index.cast_signed();
    // SAFETY: the address is of the length that is told.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    done(bound).map(|()| socket)
}

/// Makes a packet socket fit for an interface with a DUT behind it: all frames are taken, whoever they are for, and
/// come with a `virtio_net_hdr` and a `tpacket_auxdata`, which tell what the kernel has not written into them.
pub(super) fn open_wide(socket: &OwnedFd) -> io::Result<()> {
    let member = libc::packet_mreq {
        mr_ifindex: bound_to(socket.as_fd())?,
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set(
        socket,
        libc::SOL_PACKET,
        libc::PACKET_ADD_MEMBERSHIP,
        member,
    )?;
    set(socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
    set(socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)
}

/// Index of the interface that a packet socket is bound to; `ENODEV` once that is gone.
pub(super) fn bound_to(socket: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    // SAFETY: all-zero is a valid `sockaddr_ll`.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    let mut length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the buffer is of the length that is told.
    let got = unsafe {
        libc::getsockname(
            socket.as_raw_fd(),
            (&raw mut address).cast(),
            &raw mut length,
        )
    };
    done(got)?;
    if address.sll_ifindex <= 0 {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    Ok(address.sll_ifindex)
}

/// Frames that found the socket's buffer full since the last call.
pub(super) fn lost_frames(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // `struct tpacket_stats`: packets, drops.
    let mut statistics = [0u32; 2];
    let mut length = size_of_val(&statistics) as libc::socklen_t;
    // SAFETY: the buffer is of the length that is told.
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            statistics.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    done(got).map(|()| statistics[1])
}

/// Lets the kernel write whole frames with their checksums: there is no hardware behind this interface to do it.
pub(super) fn disable_offloads(interface: &str) -> io::Result<()> {
    for command in [ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_STXCSUM] {
        ethtool(interface, command, 0)?;
    }
    Ok(())
}

/// What an interface does to frames before anybody sees them: several of a TCP stream become one. By the kernel (GRO)
/// or by the hardware (LRO).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Merging {
    pub(super) gro: bool,
    pub(super) lro: bool,
}

impl Merging {
    /// As it is set. An interface that can't tell does not merge.
    pub(super) fn of(interface: &str) -> Self {
        let get = |command| ethtool(interface, command, 0).unwrap_or(0);
        Self {
            gro: get(ETHTOOL_GGRO) != 0,
            lro: get(ETHTOOL_GFLAGS) & ETH_FLAG_LRO != 0,
        }
    }

    /// Sets what differs.
    pub(super) fn set(self, interface: &str) -> io::Result<()> {
        let now = Self::of(interface);
        if self.gro != now.gro {
            ethtool(interface, ETHTOOL_SGRO, self.gro.into())?;
        }
        if self.lro != now.lro {
            let flags = ethtool(interface, ETHTOOL_GFLAGS, 0)? & !ETH_FLAG_LRO;
            let lro = if self.lro { ETH_FLAG_LRO } else { 0 };
            ethtool(interface, ETHTOOL_SFLAGS, flags | lro)?;
        }
        Ok(())
    }
}

/// One `struct ethtool_value`, for an interface of the calling thread's namespace.
fn ethtool(interface: &str, command: u32, value: u32) -> io::Result<u32> {
    // SAFETY: takes no pointers.
    let descriptor =
        unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let mut value = [command, value];
    // SAFETY: all-zero is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The last byte stays 0.
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    // SAFETY: `request` and the value that it points to outlive the call.
    let outcome =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    done(outcome).map(|()| value[1])
}

/// Whether a network namespace belongs to this process's user namespace, or to one in it: only then capabilities
/// count there.
pub(super) fn is_ours(namespace: &OwnedFd) -> bool {
    // SAFETY: takes no pointers, and returns a new descriptor.
    let owner = unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_USERNS as _) };
    if owner < 0 {
        return false;
    }
    // SAFETY: just opened, and nobody else's.
    drop(unsafe { OwnedFd::from_raw_fd(owner) });
    true
}

fn set<T: Copy>(socket: &OwnedFd, level: i32, option: i32, value: T) -> io::Result<()> {
    // SAFETY: the value is of the length that is told.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    done(outcome)
}

fn done(outcome: libc::c_int) -> io::Result<()> {
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
