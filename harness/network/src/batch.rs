//! Frames by the batch: one system call takes what is there, another passes it on.

use std::{
    fmt,
    io::{IoSlice, IoSliceMut},
    ops::Range,
    os::fd::{AsRawFd as _, BorrowedFd},
    time::Instant,
};

use nix::{
    cmsg_space,
    errno::Errno,
    libc,
    sys::socket::{MsgFlags, MultiHeaders, recvmmsg, sendmmsg},
};

use super::packet::{self, HEADER, TAG};

/// Frames that are dealt with at once, before those of the other direction have their turn.
pub(super) const MOST: usize = 64;
/// The largest frame that is seen whole: header, VLAN tag, as much as an IP packet holds.
pub(super) const LONGEST: usize = 18 + 65_535;
/// A longer frame is cut here, and then seen to be too long.
const ROOM: usize = LONGEST + 1;
/// From one frame's place to the next: more than a power of two, else all frames compete for the same lines of a cache.
const PLACE: usize = TAG + ROOM + 1536;

/// What kind of socket frames come from and go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Each message is a frame.
    Bare,
    /// Of an interface with a DUT behind it, see [`packet`].
    WithHeader,
}

impl Form {
    fn header(self) -> usize {
        match self {
            Self::Bare => 0,
            Self::WithHeader => HEADER,
        }
    }
}

/// The frames of one direction that were taken last.
pub(super) struct Inbox {
    form: Form,
    messages: MultiHeaders<()>,
    headers: [[u8; HEADER]; MOST],
    /// Memory is only taken for what was ever written to.
    room: Vec<u8>,
    /// When each was taken, and where it is.
    frames: Vec<(Instant, Range<usize>)>,
}

impl Inbox {
    pub(super) fn new(form: Form) -> Self {
        let control = match form {
            Form::Bare => None,
            Form::WithHeader => Some(cmsg_space!(libc::tpacket_auxdata)),
        };
        Self {
            form,
            messages: MultiHeaders::preallocate(MOST, control),
            headers: [[0; HEADER]; MOST],
            room: vec![0; MOST * PLACE],
            frames: Vec::with_capacity(MOST),
        }
    }

    /// Takes the frames that are there, [`MOST`] at most; how many. Those of the call before are gone.
    pub(super) fn take(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        let Self {
            form,
            messages,
            headers,
            room,
            frames,
        } = self;
        frames.clear();
        let header = form.header();
        let mut came = [(0, None); MOST];
        let count = {
            let places = room.chunks_exact_mut(PLACE).zip(headers.iter_mut());
            // Room for a tag before the frame: its addresses move there.
            let mut parts: Vec<[IoSliceMut<'_>; 2]> = places
                .map(|(place, head)| {
                    [
                        IoSliceMut::new(&mut head[..header]),
                        IoSliceMut::new(&mut place[TAG..TAG + ROOM]),
                    ]
                })
                .collect();
            let received = recvmmsg(
                socket.as_raw_fd(),
                messages,
                &mut parts,
                MsgFlags::MSG_DONTWAIT,
                None,
            )?;
            let mut count = 0;
            for message in received {
                let tag = match form {
                    Form::Bare => None,
                    Form::WithHeader => message.cmsgs()?.find_map(|it| packet::tag_of(&it)),
                };
                came[count] = (message.bytes.saturating_sub(header), tag);
                count += 1;
            }
            count
        };
        let places = room.chunks_exact_mut(PLACE).zip(headers.iter());
        for (number, ((place, head), (length, tag))) in places.zip(came).take(count).enumerate() {
            let frame = match form {
                Form::Bare => TAG..TAG + length,
                Form::WithHeader => packet::complete(head, tag, place, length),
            };
            let begin = number * PLACE;
            frames.push((Instant::now(), begin + frame.start..begin + frame.end));
        }
        Ok(count)
    }

    /// When each of them was taken, and what it is, in their order.
    pub(super) fn frames(&self) -> impl Iterator<Item = (Instant, &[u8])> {
        let frame = |(at, place): &(Instant, Range<usize>)| (*at, &self.room[place.clone()]);
        self.frames.iter().map(frame)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

/// What it takes to pass frames on.
pub(super) struct Outbox(MultiHeaders<()>);

impl Outbox {
    pub(super) fn new() -> Self {
        Self(MultiHeaders::preallocate(MOST, None))
    }

    /// Passes frames on in their order. `refused` is told of each that was not taken, by its place, and why.
    pub(super) fn pass(
        &mut self,
        (socket, form): (BorrowedFd<'_>, Form),
        frames: &[&[u8]],
        mut refused: impl FnMut(usize, Errno),
    ) {
        // Nothing is left to be done to them.
        let header = &[0; HEADER][..form.header()];
        let parts: Vec<[IoSlice<'_>; 2]> = frames
            .iter()
            .map(|frame| [IoSlice::new(header), IoSlice::new(frame)])
            .collect();
        let mut done = 0;
        while done < parts.len() {
            let sent = sendmmsg(
                socket.as_raw_fd(),
                &mut self.0,
                &parts[done..],
                [None::<()>; MOST],
                [],
                MsgFlags::MSG_DONTWAIT,
            );
            match sent.map(Iterator::count) {
                Ok(count @ 1..) => done += count,
                Err(Errno::EINTR) => {}
                // There will be no more room for the others, which came at the same time.
                Err(errno @ (Errno::EAGAIN | Errno::ENOBUFS)) => {
                    (done..parts.len()).for_each(|place| refused(place, errno));
                    return;
                }
                Ok(0) => {
                    refused(done, Errno::EIO);
                    done += 1;
                }
                Err(errno) => {
                    refused(done, errno);
                    done += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd as _, OwnedFd};

    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, recv, send, setsockopt, socketpair, sockopt::SndBuf,
    };

    use super::*;

    fn cable() -> (OwnedFd, OwnedFd) {
        let flags = SockFlag::SOCK_CLOEXEC;
        socketpair(AddressFamily::Unix, SockType::Datagram, None, flags).unwrap()
    }

    #[test]
    fn frames_are_taken_whole_in_their_order_and_each_at_its_time() {
        let (ours, theirs) = cable();
        // Nobody takes them while they are sent.
        setsockopt(&theirs, SndBuf, &(1 << 20)).unwrap();
        let mut inbox = Inbox::new(Form::Bare);
        assert_eq!(inbox.take(ours.as_fd()), Err(Errno::EAGAIN));
        // More than a batch, of any length.
        let lengths = (0..100).map(|number| {
            if number == 50 {
                ROOM + 9
            } else {
                1 + number * 3
            }
        });
        for (number, length) in lengths.clone().enumerate() {
            let frame = vec![number as u8; length];
            send(theirs.as_raw_fd(), &frame, MsgFlags::empty()).unwrap();
        }
        let mut all = Vec::new();
        for count in [MOST, 100 - MOST] {
            assert_eq!(inbox.take(ours.as_fd()), Ok(count));
            all.extend(inbox.frames().map(|(at, frame)| (at, frame.to_vec())));
        }
        assert!(all.is_sorted_by_key(|(at, _)| *at));
        for (number, length) in lengths.enumerate() {
            // What is longer than all that there may be is cut behind that, and so seen to be too long.
            assert!(all[number].1 == vec![number as u8; length.min(ROOM)]);
        }
        assert_eq!(inbox.take(ours.as_fd()), Err(Errno::EAGAIN));
    }

    #[test]
    fn what_finds_no_room_is_told_and_the_others_arrive() {
        let (ours, theirs) = cable();
        setsockopt(&ours, SndBuf, &8192).unwrap();
        let frames: Vec<[u8; 1000]> = (0..MOST as u8).map(|number| [number; 1000]).collect();
        let frames: Vec<&[u8]> = frames.iter().map(<[u8; 1000]>::as_slice).collect();
        let mut refused = Vec::new();
        let to = (ours.as_fd(), Form::Bare);
        Outbox::new().pass(to, &frames, |place, errno| refused.push((place, errno)));
        let first = refused.first().expect("there is not room for all").0;
        assert!(first > 0);
        let expected: Vec<_> = (first..MOST).map(|place| (place, Errno::EAGAIN)).collect();
        assert_eq!(refused, expected);
        let mut buffer = [0; 2000];
        for number in 0..first {
            let length = recv(theirs.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT);
            assert_eq!((length, buffer[0]), (Ok(1000), number as u8));
        }
        let end = recv(theirs.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT);
        assert_eq!(end, Err(Errno::EAGAIN));
    }

    #[test]
    fn one_that_is_refused_for_itself_is_no_reason_to_refuse_the_others() {
        let (ours, theirs) = cable();
        setsockopt(&ours, SndBuf, &8192).unwrap();
        // Longer than the buffer, whoever takes what is there.
        let long = vec![0; 60_000];
        let mut refused = Vec::new();
        let to = (ours.as_fd(), Form::Bare);
        let frames: [&[u8]; 3] = [&[1], &long, &[3]];
        Outbox::new().pass(to, &frames, |place, errno| refused.push((place, errno)));
        assert_eq!(refused, [(1, Errno::EMSGSIZE)]);
        let mut buffer = [0; 9];
        for expected in [1, 3] {
            let length = recv(theirs.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT);
            assert_eq!((length, buffer[0]), (Ok(1), expected));
        }
    }
}
