//! Frames of an interface that is not ours alone to set up: with what the kernel or the hardware leaves out of them.
//!
//! A frame that reaches a packet socket need not be as it is on the wire. The kernel has taken a VLAN tag out of it
//! (`packet(7)`, `PACKET_AUXDATA`), and one that comes from this same machine (veth, TAP) may lack its checksum, which
//! nobody needs before it leaves the machine (`linux/virtio_net.h`). Both are put back. What can't be put back: several
//! frames of a stream that became one (GRO, LRO, segmentation offload) are seen as one that is too long.

use std::{
    ops::Range,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use etherparse::checksum::Sum16BitWords;
use nix::{libc, sys::socket::ControlMessageOwned};

use super::sys;

/// `struct virtio_net_hdr`: flags, kind of segmentation (u8), length of headers, size of segments, where summing
/// starts, where the sum goes from there (u16, of this machine's byte order).
pub(super) const HEADER: usize = 10;
/// Of the flags: the sum is still to be made.
const NEEDS_SUM: u8 = 1;
/// Both addresses, after which the tag stands.
const ADDRESSES: usize = 12;
/// Tag protocol identifier and tag control information.
pub(super) const TAG: usize = 4;

/// A packet socket that sends and receives frames as they are on the wire.
#[derive(Debug)]
pub(super) struct PortSocket {
    socket: OwnedFd,
}

impl PortSocket {
    /// On an interface of the calling thread's namespace.
    pub(super) fn open(interface: &str) -> std::io::Result<Self> {
        let socket = sys::packet_socket(interface)?;
        sys::open_wide(&socket)?;
        Ok(Self { socket })
    }

    /// Whether the interface is still there.
    pub(super) fn is_bound(&self) -> bool {
        sys::bound_to(self.socket.as_fd()).is_ok()
    }
}

impl AsFd for PortSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Makes a frame as it was on the wire of what was received: `place` has room for a tag, and then so many bytes. Where in
/// there the frame is.
pub(super) fn complete(
    header: &[u8; HEADER],
    tag: Option<[u8; TAG]>,
    place: &mut [u8],
    length: usize,
) -> Range<usize> {
    let mut frame = TAG..TAG + length;
    complete_sum(header, &mut place[frame.clone()]);
    if let Some(tag) = tag
        && length >= ADDRESSES
    {
        place.copy_within(TAG..TAG + ADDRESSES, 0);
        place[ADDRESSES..ADDRESSES + TAG].copy_from_slice(&tag);
        frame.start = 0;
    }
    frame
}

/// The VLAN tag in a `struct tpacket_auxdata`: status, length, captured length (u32), two offsets, TCI, TPID (u16).
pub(super) fn tag_of(message: &ControlMessageOwned) -> Option<[u8; TAG]> {
    let ControlMessageOwned::Unknown(message) = message else {
        return None;
    };
    let header = &message.cmsg_header;
    if (header.cmsg_level, header.cmsg_type) != (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
        return None;
    }
    let data = &message.data_bytes;
    let status = u32::from_ne_bytes(*data.first_chunk()?);
    let number = |at: usize| Some(u16::from_ne_bytes(*data.get(at..)?.first_chunk()?));
    let (control, protocol) = (number(16)?, number(18)?);
    if status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    // Kernels that do not tell know only this one.
    let protocol = if status & libc::TP_STATUS_VLAN_TPID_VALID == 0 {
        libc::ETH_P_8021Q as u16
    } else {
        protocol
    };
    let ([a, b], [c, d]) = (protocol.to_be_bytes(), control.to_be_bytes());
    Some([a, b, c, d])
}

/// Writes the checksum that the sender has left to hardware. Its field holds the sum of the pseudo header.
fn complete_sum(header: &[u8; HEADER], frame: &mut [u8]) {
    let number = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
    if header[0] & NEEDS_SUM == 0 {
        return;
    }
    let (start, field) = (number(6), number(6) + number(8));
    // The kernel has made these up, but a DUT in this same machine has had a say.
    let (Some(summed), true) = (frame.get(start..), field + 2 <= frame.len()) else {
        return;
    };
    // 0 would mean that there is none (RFC 768).
    let sum = Sum16BitWords::new().add_slice(summed);
    let sum = sum.to_ones_complement_with_no_zero();
    frame[field..field + 2].copy_from_slice(&sum.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
    use rstest::rstest;

    use super::*;

    fn header(flags: u8, start: u16, offset: u16) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[0] = flags;
        header[6..8].copy_from_slice(&start.to_ne_bytes());
        header[8..].copy_from_slice(&offset.to_ne_bytes());
        header
    }

    #[rstest]
    #[case::even(b"12".as_slice())]
    #[case::odd(b"123".as_slice())]
    fn a_checksum_is_as_the_sender_would_have_written_it(#[case] payload: &[u8]) {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 77, 0, 2], [10, 77, 0, 1], 64)
            .udp(4000, 53);
        let mut right = Vec::new();
        builder.write(&mut right, payload).unwrap();
        // As the kernel leaves it: the pseudo header's sum, not inverted.
        let mut frame = right.clone();
        let length = u16::try_from(8 + payload.len()).unwrap();
        let pseudo = Sum16BitWords::new()
            .add_4bytes([10, 77, 0, 2])
            .add_4bytes([10, 77, 0, 1])
            .add_2bytes([0, 17])
            .add_2bytes(length.to_be_bytes());
        frame[40..42].copy_from_slice(&(!pseudo.ones_complement()).to_ne_bytes());
        assert_ne!(frame, right);
        complete_sum(&header(NEEDS_SUM, 34, 6), &mut frame);
        assert_eq!(frame, right);
        let packet = SlicedPacket::from_ethernet(&frame).unwrap();
        assert!(matches!(packet.transport, Some(TransportSlice::Udp(_))));
    }

    #[rstest]
    #[case::complete_already(header(0, 2, 0), 8)]
    #[case::start_beyond(header(NEEDS_SUM, 9, 0), 8)]
    #[case::field_beyond(header(NEEDS_SUM, 2, 5), 8)]
    #[case::far_beyond(header(NEEDS_SUM, u16::MAX, u16::MAX), 8)]
    #[case::empty(header(NEEDS_SUM, 0, 0), 0)]
    fn what_makes_no_sense_changes_nothing(#[case] header: [u8; HEADER], #[case] length: usize) {
        let mut frame = vec![1; length];
        complete_sum(&header, &mut frame);
        assert_eq!(frame, vec![1; length]);
    }
}
