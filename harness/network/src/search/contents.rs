//! Undoes what HTTP (RFC 9112, RFC 9110 8.4), WebSockets (RFC 6455, RFC 7692) and compression (RFC 1950 to 1952) do to a
//! content on its way, while one direction of a connection passes: chunks, masks, gzip and deflate. Hostile: whatever is
//! sent, memory and what is unpacked are bounded, and what can't be undone is counted.

use std::mem;

use flate2::{Decompress, FlushDecompress, Status};
use memchr::memmem;

/// What a head or a line of chunks may take, as servers have it.
const LONGEST_HEAD: usize = 64 * 1024;
/// What a first line may take.
const LONGEST_LINE: usize = 8 * 1024;
const MOST_HEADERS: usize = 256;
/// What is unpacked of one connection.
const MOST_UNPACKED: usize = 16 << 20;
/// What an optional field of gzip's header may take.
const LONGEST_FIELD: usize = 4096;
/// What an inflater takes, for whoever bounds memory.
const INFLATER: usize = 48 * 1024;
const GZIP: &[u8] = &[0x1f, 0x8b, 8];

/// How what is told belongs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It goes on where the last of its kind ended: what is sent, without what it is cut and masked by.
    Next,
    /// The same, of what was compressed.
    Unpacked,
    /// It stands for itself, in between.
    Apart,
}

type Tell<'t> = &'t mut dyn FnMut(Part, &[u8]);

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Contents {
    state: State,
    /// Bytes that were unpacked.
    unpacked: usize,
    /// How often something could not be undone.
    undone: u64,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            state: State::Head(Vec::new()),
            unpacked: 0,
            undone: 0,
        }
    }
}

#[derive(Debug)]
enum State {
    /// A message may begin: what has come of its head.
    Head(Vec<u8>),
    /// A body has been announced that need not come (an answer to HEAD has none): its first bytes.
    Announced(Vec<u8>, Body),
    Body(Body),
    WebSocket(Box<WebSocket>),
    /// Nothing known: there may be something compressed in it.
    Other(Inflate),
    /// Encrypted, or unpacked to what is allowed.
    Closed,
}

#[derive(Debug)]
struct Body {
    framing: Framing,
    /// What it is compressed with; without, it may hold something compressed.
    inflate: Inflate,
}

#[derive(Debug)]
enum Framing {
    Length(u64),
    /// The line of the next chunk's size.
    Size(Vec<u8>),
    Chunk(u64),
    /// The line's end behind a chunk.
    ChunkEnd(Vec<u8>),
    /// Lines behind the last chunk: the one that comes.
    Trailer(Vec<u8>),
    /// To the end of the connection.
    Rest,
}

impl Contents {
    /// Tells what `bytes`, which come next, hold, where that differs from what is sent.
    pub(super) fn feed(&mut self, bytes: &[u8], tell: Tell<'_>) {
        let mut rest = bytes;
        if let State::Other(Inflate::Look(_)) = self.state
            && (rest.starts_with(b"HTTP/1.") || is_request_line(rest) == Some(true))
        {
            self.state = State::Head(Vec::new());
        }
        while !rest.is_empty() {
            let state = mem::replace(&mut self.state, State::Closed);
            self.state = match state {
                State::Head(head) => self.head(head, &mut rest, tell),
                State::Announced(begun, body) => self.announced(begun, body, &mut rest, tell),
                State::Body(body) => self.body(body, &mut rest, tell),
                State::WebSocket(frames) => self.frames(frames, &mut rest, tell),
                State::Other(mut inflate) => {
                    self.inflate(&mut inflate, mem::take(&mut rest), tell);
                    State::Other(inflate)
                }
                State::Closed => {
                    self.state = State::Closed;
                    return;
                }
            };
            if self.unpacked >= MOST_UNPACKED {
                self.undone += u64::from(!matches!(self.state, State::Closed));
                self.state = State::Closed;
            }
        }
    }

    /// Something is missing before what comes next.
    pub(super) fn skip(&mut self) {
        if !matches!(self.state, State::Closed) {
            self.state = State::Other(Inflate::default());
        }
    }

    /// Nothing more is looked into.
    pub(super) fn close(&mut self) {
        self.state = State::Closed;
    }

    /// How often something could not be undone.
    pub(super) fn undone(&self) -> u64 {
        self.undone
    }

    /// Bytes held.
    pub(super) fn held(&self) -> usize {
        match &self.state {
            State::Head(bytes) => bytes.capacity(),
            State::Announced(bytes, body) => bytes.capacity() + body.held(),
            State::Body(body) => body.held(),
            State::WebSocket(frames) => frames.held(),
            State::Other(inflate) => inflate.held(),
            State::Closed => 0,
        }
    }

    fn head(&mut self, mut head: Vec<u8>, rest: &mut &[u8], tell: Tell<'_>) -> State {
        // Line breaks between messages.
        if head.is_empty() {
            while let [b'\r' | b'\n', after @ ..] = *rest {
                *rest = after;
            }
        }
        let known = head.len();
        head.extend_from_slice(rest);
        let is_head = head.starts_with(b"HTTP/1.") || b"HTTP/1.".starts_with(&head[..]);
        let is_head = if is_head {
            Some(true)
        } else {
            is_request_line(&head)
        };
        if let [0x16, 3, ..] = head[..] {
            return State::Closed;
        }
        if is_head != Some(false) {
            let from = known.saturating_sub(3);
            let end = memmem::find(&head[from..], b"\r\n\r\n").map(|at| from + at + 4);
            let end = end.or_else(|| memmem::find(&head[from..], b"\n\n").map(|at| from + at + 2));
            if let Some(end) = end {
                *rest = &rest[end - known..];
                head.truncate(end);
                return self.message(&head);
            }
            if head.len() <= LONGEST_HEAD {
                *rest = &[];
                return State::Head(head);
            }
            self.undone += 1;
        }
        *rest = &[];
        let mut inflate = Inflate::default();
        self.inflate(&mut inflate, &head, tell);
        State::Other(inflate)
    }

    /// What follows a whole head.
    fn message(&mut self, head: &[u8]) -> State {
        if head.starts_with(b"PRI * HTTP/2") {
            self.undone += 1;
            return State::Other(Inflate::default());
        }
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let is_answer = head.starts_with(b"HTTP/");
        // As others read what is not quite in order.
        let mut config = httparse::ParserConfig::default();
        config
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .ignore_invalid_headers_in_requests(true)
            .allow_multiple_spaces_in_request_line_delimiters(true)
            .allow_multiple_spaces_in_response_status_delimiters(true);
        let (parsed, status) = if is_answer {
            let mut response = httparse::Response::new(&mut headers);
            let parsed = config.parse_response(&mut response, head);
            (parsed.is_ok(), response.code.unwrap_or_default())
        } else {
            let mut request = httparse::Request::new(&mut headers);
            (config.parse_request(&mut request, head).is_ok(), 0)
        };
        if !parsed {
            self.undone += 1;
            return State::Other(Inflate::default());
        }
        let values = |name: &str| -> Vec<String> {
            headers
                .iter()
                .filter(|header| header.name.eq_ignore_ascii_case(name))
                .flat_map(|header| header.value.split(|byte| *byte == b','))
                .map(|value| String::from_utf8_lossy(value).trim().to_ascii_lowercase())
                .filter(|value| !value.is_empty())
                .collect()
        };
        let upgrades = values("upgrade");
        if (status == 101 || !is_answer) && !upgrades.is_empty() {
            if upgrades.iter().any(|upgrade| upgrade == "websocket") {
                return State::WebSocket(Box::default());
            }
            if status == 101 {
                self.undone += 1;
                return State::Other(Inflate::default());
            }
        }
        if is_answer && (status < 200 || [204, 304].contains(&status)) {
            return State::Head(Vec::new());
        }
        let transfer = values("transfer-encoding");
        let length = values("content-length");
        let length = length.first().and_then(|length| length.parse().ok());
        let framing = if transfer.iter().any(|coding| coding == "chunked") {
            Framing::Size(Vec::new())
        } else if let Some(length) = length {
            Framing::Length(length)
        } else if is_answer {
            Framing::Rest
        } else {
            return State::Head(Vec::new());
        };
        let codings: Vec<String> = values("content-encoding")
            .into_iter()
            .chain(transfer)
            .filter(|coding| coding != "identity" && coding != "chunked")
            .collect();
        let codings: Vec<&str> = codings.iter().map(String::as_str).collect();
        let inflate = match codings[..] {
            [] | ["aws-chunked"] => Inflate::default(),
            ["gzip" | "x-gzip"] => Inflate::Gzip(Vec::new()),
            ["deflate"] => Inflate::Deflate(Vec::new()),
            // There may be none of it: what begins like gzip is unpacked all the same.
            _ => Inflate::Unknown,
        };
        let body = Body { framing, inflate };
        match body.framing {
            Framing::Length(0) => State::Head(Vec::new()),
            Framing::Length(_) | Framing::Rest if is_answer => State::Announced(Vec::new(), body),
            _ => State::Body(body),
        }
    }

    fn announced(
        &mut self,
        mut begun: Vec<u8>,
        mut body: Body,
        rest: &mut &[u8],
        tell: Tell<'_>,
    ) -> State {
        const NEXT: &[u8] = b"HTTP/1.";
        let (first, after) = rest.split_at((NEXT.len() - begun.len()).min(rest.len()));
        begun.extend_from_slice(first);
        *rest = after;
        if begun == NEXT {
            return State::Head(begun);
        }
        if NEXT.starts_with(&begun) {
            return State::Announced(begun, body);
        }
        let mut begun = &begun[..];
        while !begun.is_empty() {
            match self.body(body, &mut begun, tell) {
                State::Body(same) => body = same,
                // It ends within its first bytes: what is left of them begins what is next.
                next => {
                    let left = begun.to_vec();
                    self.state = next;
                    self.feed(&left, tell);
                    return mem::replace(&mut self.state, State::Closed);
                }
            }
        }
        State::Body(body)
    }

    fn body(&mut self, mut body: Body, rest: &mut &[u8], tell: Tell<'_>) -> State {
        match &mut body.framing {
            Framing::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                let (piece, after) = rest.split_at(take);
                *rest = after;
                *left -= take as u64;
                let is_over = *left == 0;
                self.inflate(&mut body.inflate, piece, tell);
                if is_over {
                    return State::Head(Vec::new());
                }
            }
            Framing::Rest => {
                self.inflate(&mut body.inflate, mem::take(rest), tell);
            }
            Framing::Size(line) => {
                let Some(line) = take_line(line, rest) else {
                    return if line.len() > LONGEST_LINE {
                        self.undone += 1;
                        State::Other(Inflate::default())
                    } else {
                        State::Body(body)
                    };
                };
                let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
                let digits = str::from_utf8(digits).map(str::trim).unwrap_or_default();
                body.framing = match u64::from_str_radix(digits, 16) {
                    Ok(0) => Framing::Trailer(Vec::new()),
                    Ok(size) if !digits.starts_with('+') => Framing::Chunk(size),
                    // An answer to HEAD announces what does not come.
                    _ if line.starts_with(b"HTTP/1.") => return State::Head(line),
                    _ => {
                        self.undone += 1;
                        return State::Other(Inflate::default());
                    }
                };
            }
            Framing::Chunk(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                let (piece, after) = rest.split_at(take);
                *rest = after;
                *left -= take as u64;
                if *left == 0 {
                    body.framing = Framing::ChunkEnd(Vec::new());
                }
                if body.inflate.is_looking() {
                    tell(Part::Next, piece);
                }
                self.inflate(&mut body.inflate, piece, tell);
            }
            Framing::ChunkEnd(line) => {
                if take_line(line, rest).is_some() {
                    body.framing = Framing::Size(Vec::new());
                } else if line.len() > 2 {
                    self.undone += 1;
                    return State::Other(Inflate::default());
                }
            }
            Framing::Trailer(line) => match take_line(line, rest) {
                Some(line) if line.iter().all(|byte| b"\r\n".contains(byte)) => {
                    return State::Head(Vec::new());
                }
                None if line.len() > LONGEST_LINE => return State::Head(Vec::new()),
                _ => {}
            },
        }
        State::Body(body)
    }

    fn inflate(&mut self, inflate: &mut Inflate, bytes: &[u8], tell: Tell<'_>) {
        let room = MOST_UNPACKED.saturating_sub(self.unpacked);
        let done = inflate.feed(bytes, room, &mut |piece| tell(Part::Unpacked, piece));
        self.unpacked += done.unpacked;
        self.undone += u64::from(done.failed);
    }

    fn frames(&mut self, mut frames: Box<WebSocket>, rest: &mut &[u8], tell: Tell<'_>) -> State {
        if frames.left == 0 {
            let Some(is_frame) = frames.begin(rest) else {
                return State::WebSocket(frames);
            };
            if !is_frame {
                let header = mem::take(&mut frames.header);
                if frames.is_first {
                    // The server did not want to.
                    return State::Head(header);
                }
                self.undone += 1;
                return State::Other(Inflate::default());
            }
        }
        let take = usize::try_from(frames.left)
            .unwrap_or(usize::MAX)
            .min(rest.len());
        let (piece, after) = rest.split_at(take);
        *rest = after;
        let plain = frames.unmask(piece);
        frames.left -= take as u64;
        let is_over = frames.left == 0;
        if frames.is_control() {
            frames.apart.extend_from_slice(&plain);
            if is_over {
                tell(Part::Apart, &mem::take(&mut frames.apart));
            }
        } else if frames.is_compressed {
            let mut inflate = mem::take(&mut frames.inflate);
            if inflate.is_looking() {
                inflate = Inflate::Run(Decompress::new(false), Wanted::Yes);
            }
            self.inflate(&mut inflate, &plain, tell);
            if is_over && frames.is_last() {
                // RFC 7692 7.2.2.
                self.inflate(&mut inflate, &[0, 0, 0xff, 0xff], tell);
            }
            frames.inflate = inflate;
        } else {
            tell(Part::Next, &plain);
            let mut inflate = mem::take(&mut frames.inside);
            self.inflate(&mut inflate, &plain, tell);
            frames.inside = inflate;
        }
        if is_over {
            frames.header.clear();
            frames.is_first = false;
        }
        State::WebSocket(frames)
    }
}

impl Body {
    fn held(&self) -> usize {
        let line = match &self.framing {
            Framing::Size(line) | Framing::ChunkEnd(line) | Framing::Trailer(line) => {
                line.capacity()
            }
            _ => 0,
        };
        line + self.inflate.held()
    }
}

/// Whether this begins a request of HTTP; `None` while it is too short to tell.
fn is_request_line(head: &[u8]) -> Option<bool> {
    let line = head.split(|byte| b"\r\n".contains(byte)).next();
    let line = line.unwrap_or_default();
    let is_method = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'-';
    let method = line.iter().take_while(|byte| is_method(byte)).count();
    if method > 32
        || line
            .get(method)
            .is_some_and(|byte| method == 0 || *byte != b' ')
    {
        return Some(false);
    }
    if line.len() < head.len() {
        let version = memmem::rfind(line, b" HTTP/");
        return Some(method > 0 && version.is_some());
    }
    let is_text = |byte: &u8| (b' '..0x7f).contains(byte) || *byte >= 0x80;
    if line.len() > LONGEST_LINE || !line.iter().all(is_text) {
        return Some(false);
    }
    None
}

/// Appends to a line up to its end; the whole line once it is there.
fn take_line(line: &mut Vec<u8>, rest: &mut &[u8]) -> Option<Vec<u8>> {
    let end = memchr::memchr(b'\n', rest).map(|at| at + 1);
    let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
    line.extend_from_slice(piece);
    *rest = after;
    end.map(|_| mem::take(line))
}

/// Frames of one direction of a WebSocket.
#[derive(Debug)]
struct WebSocket {
    /// Of the frame that is under way.
    header: Vec<u8>,
    /// Bytes of it that are still to come.
    left: u64,
    mask: [u8; 4],
    /// Bytes of it that have come.
    at: usize,
    /// No frame has come yet.
    is_first: bool,
    /// The message is.
    is_compressed: bool,
    /// Of compressed messages.
    inflate: Inflate,
    /// Of what else is compressed.
    inside: Inflate,
    /// Of a frame between those of a message.
    apart: Vec<u8>,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self {
            header: Vec::new(),
            left: 0,
            mask: [0; 4],
            at: 0,
            is_first: true,
            is_compressed: false,
            inflate: Inflate::default(),
            inside: Inflate::default(),
            apart: Vec::new(),
        }
    }
}

impl WebSocket {
    /// Takes a header. Whether it is one of a frame, or `None` while it is not whole or announces nothing.
    fn begin(&mut self, rest: &mut &[u8]) -> Option<bool> {
        while let [byte, after @ ..] = *rest {
            self.header.push(*byte);
            *rest = after;
            let [first, second, more @ ..] = &self.header[..] else {
                // Of what is no frame, the first byte tells.
                if self.header[0] & 0x30 != 0 || !matches!(self.header[0] & 0x0f, 0..=2 | 8..=10) {
                    return Some(false);
                }
                continue;
            };
            let (first, second) = (*first, *second);
            let size = match second & 0x7f {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            let masked = second & 0x80 != 0;
            if more.len() < size + if masked { 4 } else { 0 } {
                continue;
            }
            let (length, mask) = more.split_at(size);
            self.left = match length {
                [] => u64::from(second & 0x7f),
                length => length
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            };
            self.mask = mask.first_chunk().copied().unwrap_or_default();
            self.at = 0;
            let is_control = first & 0x08 != 0;
            if is_control && self.left > 125 {
                return Some(false);
            }
            if matches!(first & 0x0f, 1 | 2) {
                self.is_compressed = first & 0x40 != 0;
            }
            if self.left == 0 {
                self.header.clear();
                self.is_first = false;
                return None;
            }
            return Some(true);
        }
        None
    }

    fn unmask(&mut self, piece: &[u8]) -> Vec<u8> {
        let plain = piece.iter().enumerate();
        let plain = plain.map(|(n, byte)| byte ^ self.mask[(self.at + n) % 4]);
        let plain = plain.collect();
        self.at = (self.at + piece.len()) % 4;
        plain
    }

    fn is_control(&self) -> bool {
        self.header.first().is_some_and(|first| first & 0x08 != 0)
    }

    fn is_last(&self) -> bool {
        self.header.first().is_some_and(|first| first & 0x80 != 0)
    }

    fn held(&self) -> usize {
        let held = self.inflate.held() + self.inside.held();
        size_of::<Self>() + held + self.apart.capacity()
    }
}

/// Whether something is known to be compressed, or only looks like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Yes,
    Maybe,
}

/// What is compressed in a content.
#[derive(Debug)]
enum Inflate {
    /// Nothing, so far: what may begin it at the end of what has come.
    Look(Vec<u8>),
    /// It is declared to be gzip: its header.
    Gzip(Vec<u8>),
    /// It looks like gzip: its header.
    MayBeGzip(Vec<u8>),
    /// It is declared to be deflate, with the header of zlib, or, as many have it, without: its first bytes.
    Deflate(Vec<u8>),
    Run(Decompress, Wanted),
    /// In a way that is not known here.
    Unknown,
    Failed,
}

impl Default for Inflate {
    fn default() -> Self {
        Self::Look(Vec::new())
    }
}

#[derive(Debug, Default)]
struct Done {
    unpacked: usize,
    failed: bool,
}

impl Inflate {
    /// Tells what is unpacked of `bytes`, at most `room` bytes and what one piece more makes of it.
    fn feed(&mut self, bytes: &[u8], room: usize, tell: &mut dyn FnMut(&[u8])) -> Done {
        let mut done = Done::default();
        let mut rest = bytes;
        while !rest.is_empty() && done.unpacked < room {
            let state = mem::replace(self, Self::Failed);
            *self = match state {
                Self::Look(end) => match look(&end, rest) {
                    Ok(begin) => {
                        rest = &rest[begin..];
                        Self::MayBeGzip(GZIP.to_vec())
                    }
                    Err(end) => {
                        rest = &[];
                        Self::Look(end)
                    }
                },
                Self::Gzip(header) => gzip(header, &mut rest, Wanted::Yes, &mut done),
                Self::MayBeGzip(header) => gzip(header, &mut rest, Wanted::Maybe, &mut done),
                Self::Deflate(mut first) => {
                    first.push(rest[0]);
                    rest = &rest[1..];
                    if let [method, flags] = first[..] {
                        // RFC 1950 2.2.
                        let is_zlib = method & 0x0f == 8
                            && (u16::from(method) << 8 | u16::from(flags)).is_multiple_of(31);
                        let mut run = Self::Run(Decompress::new(is_zlib), Wanted::Yes);
                        let begun = run.feed(&first, room, tell);
                        done.unpacked += begun.unpacked;
                        done.failed |= begun.failed;
                        run
                    } else {
                        Self::Deflate(first)
                    }
                }
                Self::Run(inflater, wanted) => {
                    run(inflater, wanted, &mut rest, room, tell, &mut done)
                }
                Self::Unknown => {
                    done.failed = true;
                    Self::Look(Vec::new())
                }
                Self::Failed => Self::Failed,
            };
            if matches!(self, Self::Failed) {
                break;
            }
        }
        done
    }

    fn is_looking(&self) -> bool {
        matches!(self, Self::Look(_))
    }

    fn held(&self) -> usize {
        match self {
            Self::Gzip(bytes) | Self::MayBeGzip(bytes) => bytes.capacity(),
            Self::Run(..) => INFLATER,
            _ => 0,
        }
    }
}

/// Where in `piece` something goes on behind the first bytes of gzip, some of which may be the `end` of what came before;
/// else the new end.
fn look(end: &[u8], piece: &[u8]) -> Result<usize, Vec<u8>> {
    let border = [end, &piece[..piece.len().min(GZIP.len() - 1)]].concat();
    if let Some(at) = memmem::find(&border, GZIP) {
        return Ok(at + GZIP.len() - end.len());
    }
    if let Some(at) = memmem::find(piece, GZIP) {
        return Ok(at + GZIP.len());
    }
    let all = if piece.len() < GZIP.len() - 1 {
        &border
    } else {
        piece
    };
    Err(all[all.len().saturating_sub(GZIP.len() - 1)..].to_vec())
}

/// Takes a header of gzip (RFC 1952 2.3).
fn gzip(mut header: Vec<u8>, rest: &mut &[u8], wanted: Wanted, done: &mut Done) -> Inflate {
    while let [byte, after @ ..] = *rest {
        header.push(*byte);
        *rest = after;
        match gzip_header(&header) {
            Some(true) => return Inflate::Run(Decompress::new(false), wanted),
            Some(false) => {
                done.failed |= wanted == Wanted::Yes;
                return Inflate::default();
            }
            None => {}
        }
    }
    match wanted {
        Wanted::Yes => Inflate::Gzip(header),
        Wanted::Maybe => Inflate::MayBeGzip(header),
    }
}

/// Whether this is a whole header, or none; `None` while more has to come.
fn gzip_header(header: &[u8]) -> Option<bool> {
    let magic = GZIP.len().min(header.len());
    if header[..magic] != GZIP[..magic] || header.get(3).is_some_and(|flags| flags & 0xe0 != 0) {
        return Some(false);
    }
    let mut rest = header.get(10..)?;
    let flags = header[3];
    if flags & 4 != 0 {
        let (length, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            let Some(end) = memchr::memchr(0, rest) else {
                return (rest.len() > LONGEST_FIELD).then_some(false);
            };
            rest = &rest[end + 1..];
        }
    }
    if flags & 2 != 0 {
        rest.get(..2)?;
    }
    Some(true)
}

fn run(
    mut inflater: Decompress,
    wanted: Wanted,
    rest: &mut &[u8],
    room: usize,
    tell: &mut dyn FnMut(&[u8]),
    done: &mut Done,
) -> Inflate {
    let mut out = [0; 8192];
    loop {
        let (before_in, before_out) = (inflater.total_in(), inflater.total_out());
        let status = inflater.decompress(rest, &mut out, FlushDecompress::None);
        let taken = (inflater.total_in() - before_in) as usize;
        let made = (inflater.total_out() - before_out) as usize;
        *rest = rest.get(taken..).unwrap_or_default();
        done.unpacked += made;
        tell(&out[..made.min(out.len())]);
        match status {
            // What is behind it is its checksum, and may be another one.
            Ok(Status::StreamEnd) => return Inflate::default(),
            Err(_) => {
                // What has nothing in it was none.
                done.failed |= wanted == Wanted::Yes || inflater.total_out() > 64;
                return Inflate::default();
            }
            Ok(_) if (taken == 0 && made == 0) || (rest.is_empty() && made < out.len()) => {
                *rest = &[];
                return Inflate::Run(inflater, wanted);
            }
            Ok(_) if done.unpacked >= room => return Inflate::Failed,
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
