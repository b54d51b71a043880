//! Updates from the manufacturer's server: a signed manifest says what is to be had, the image comes in
//! parts, each asked for when the one before is in flash.
//!
//! Nothing of the server is believed because it came from there: manifest and image are signed.

use board::{nor, nor::Nor, println, trust};
use embassy_futures::{
    select::{Either, select},
    yield_now,
};
use embassy_net::{Stack, tcp::TcpSocket};
use embassy_time::{Duration, Timer, with_timeout};
use embedded_io_async::{Read, Write};
use image::{
    BootState, HEADER_SIZE, Refusal, SignedHeader, Stager, Trial, Version,
    manifest::{MAX_MANIFEST, Manifest},
};
use protocol::{
    backoff::spread_ms,
    http::{self, Head, MAX_HEAD},
};
use sensor::{Flaw, MODEL, memory};
use static_cell::ConstStaticCell;
use tls::Client;

use super::{Buffers, PATIENCE, connect, hang_up, link::Link};
use crate::{
    device::{Device, boot_state},
    network, random,
};

const NAME: &str = "update.sensor.example";
const PORT: u16 = 443;
const PLAIN_PORT: u16 = 80;
/// Milliseconds from check to check, spread: about once a day.
const CHECK_EVERY_MS: u32 = 86_400_000;
/// Milliseconds from the start to the first check, spread.
const FIRST_CHECK_MS: u32 = 20_000;
/// Nobody is disturbed while logged in.
const LOOK_FOR_SESSION: Duration = Duration::from_secs(1);
const LOOK_FOR_TIME: Duration = Duration::from_millis(100);
/// Bytes that are asked for at once; whole sectors.
const PART: u32 = 16 * 1024;
/// Bytes that are written at once.
const PIECE: usize = 512;

/// How things stand with updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody has looked.
    Unknown,
    /// Being looked for.
    Checking,
    /// There is none.
    UpToDate,
    /// Being fetched.
    Downloading(Version),
    /// In flash, verified: the next start tries it.
    Ready(Version),
    /// The server cannot be reached, is not to be trusted, or fell silent.
    Unreachable,
    /// What the server offers is not acceptable.
    Refused(Refusal),
}

impl core::fmt::Display for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unknown => f.write_str("not looked for yet"),
            Self::Checking => f.write_str("being looked for"),
            Self::UpToDate => f.write_str("none"),
            Self::Downloading(version) => write!(f, "{version} is being fetched"),
            Self::Ready(version) => write!(f, "{version} is ready, starts with the next restart"),
            Self::Unreachable => f.write_str("server not reached, or of no use"),
            Self::Refused(refusal) => write!(f, "refused {}: {refusal}", refusal.code()),
        }
    }
}

/// Why an attempt ended.
enum Failure {
    Refused(Refusal),
    Connection,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<image::StageError<core::convert::Infallible>> for Failure {
    fn from(error: image::StageError<core::convert::Infallible>) -> Self {
        match error {
            image::StageError::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

#[embassy_executor::task]
pub(super) async fn run(device: &'static Device, stack: Stack<'static>, client: Client) -> ! {
    static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::NEW);
    let buffers = BUFFERS.take();
    let mut wait = spread_ms(FIRST_CHECK_MS, random::u32());
    loop {
        let pause = Timer::after(Duration::from_millis(wait.into()));
        let asked = matches!(
            select(pause, device.update_wanted.wait()).await,
            Either::Second(())
        );
        wait = spread_ms(CHECK_EVERY_MS, random::u32());
        // A user who asks gets an answer now; otherwise there is time to wait for the network.
        if !asked {
            if !device.updates_itself().await.unwrap_or(false) {
                continue;
            }
            stack.wait_config_up().await;
            while network::time_of_day().is_none() {
                Timer::after(LOOK_FOR_TIME).await;
            }
        }
        device.update.set(State::Checking);
        let state = match check(device, stack, buffers, &client).await {
            Ok(state) => state,
            Err(Failure::Refused(refusal)) => State::Refused(refusal),
            Err(Failure::Connection) => State::Unreachable,
        };
        device.update.set(state);
        device.update_checked.signal(());
        if let State::Ready(version) = state
            && !asked
        {
            install(device, version).await;
        }
    }
}

/// Starts an update that was fetched without being asked for, as soon as nobody is logged in, unless the user would
/// rather not.
async fn install(device: &Device, version: Version) {
    while device.is_in_use() {
        Timer::after(LOOK_FOR_SESSION).await;
    }
    if device.updates_itself().await.unwrap_or(false) {
        println!("\napp: update {version} is installed, restarting");
        board::restart();
    }
}

async fn check(
    device: &Device,
    stack: Stack<'static>,
    buffers: &mut Buffers,
    tls: &Client,
) -> Result<State, Failure> {
    if network::time_of_day().is_none() {
        return Err(Failure::Connection);
    }
    let plain = Flaw::UpdateOverHttp.in_force();
    let port = if plain { PLAIN_PORT } else { PORT };
    let Ok(mut socket) = connect(stack, buffers, NAME, port).await else {
        return Err(Failure::Connection);
    };
    let result = match open(&mut socket, tls, plain).await {
        Some(link) => Server { link }.update(device).await,
        None => Err(Failure::Connection),
    };
    hang_up(&mut socket).await;
    result
}

async fn open<'a, 'b>(
    socket: &'a mut TcpSocket<'b>,
    tls: &Client,
    plain: bool,
) -> Option<Link<'a, 'b>> {
    if plain {
        return Some(Link::Plain(socket));
    }
    let handshake = with_timeout(PATIENCE, tls.connect(NAME, socket)).await;
    Some(Link::Encrypted(handshake.ok()?.ok()?))
}

struct Server<'a, 'b> {
    link: Link<'a, 'b>,
}

impl Server<'_, '_> {
    /// Looks what is to be had, and fetches it if it is newer than what runs.
    async fn update(&mut self, device: &Device) -> Result<State, Failure> {
        let mut buffer = [0; MAX_MANIFEST];
        let head = self
            .get(&[MODEL, "manifest"], None, &mut [0; MAX_HEAD])
            .await?;
        let bytes = buffer
            .get_mut(..head.body as usize)
            .filter(|_| head.status == 200)
            .ok_or(Failure::Connection)?;
        self.read(bytes).await?;
        let manifest = trust::verify_manifest(bytes)?;
        if manifest.version <= device.version && !Flaw::AcceptsDowngrade.in_force() {
            return Ok(State::UpToDate);
        }
        device.update.set(State::Downloading(manifest.version));
        self.fetch(device, &manifest).await?;
        Ok(State::Ready(manifest.version))
    }

    /// Fetches an image into the slot that is not in use.
    async fn fetch(&mut self, device: &Device, manifest: &Manifest<'_>) -> Result<(), Failure> {
        let slot = device.slot.other();
        let base = memory::slot(slot);
        let Ok(state) = boot_state().load();
        let size = manifest.size;
        if size <= HEADER_SIZE as u32 || size > memory::SLOT_SIZE || !size.is_multiple_of(4) {
            return Err(Refusal::Length.into());
        }
        let path = [MODEL, manifest.file];
        // The header first: if it is not acceptable, nothing is erased.
        let mut first = [0; HEADER_SIZE];
        self.part(&path, 0, size, HEADER_SIZE as u32).await?;
        self.read(&mut first).await?;
        let header = SignedHeader::parse(&first)?;
        trust::verify_header(&header, state.floor)?;
        if header.header().version != manifest.version {
            return Err(Refusal::Version.into());
        }
        if header.header().payload_len != size - HEADER_SIZE as u32 {
            return Err(Refusal::Length.into());
        }
        // Whatever waited there to be tried is given up.
        let Ok(()) = boot_state().store(BootState {
            trial: Trial::default(),
            ..state
        });
        let mut stager = Stager::begin(Nor, base, memory::SLOT_SIZE, size)?;
        stager.write(&first)?;
        while stager.missing() > 0 {
            let mut left = stager.missing().min(PART);
            self.part(&path, stager.received(), size, left).await?;
            while left > 0 {
                let mut piece = [0; PIECE];
                let piece = &mut piece[..left.min(PIECE as u32) as usize];
                self.read(piece).await?;
                stager.write(piece)?;
                left -= piece.len() as u32;
                yield_now().await;
            }
        }
        stager.finish(|header| {
            let payload = base + HEADER_SIZE as u32;
            header
                .header()
                .verify_payload_read(|offset, bytes| nor::read(payload + offset, bytes))
        })?;
        let Ok(state) = boot_state().load();
        let Ok(()) = boot_state().store(BootState {
            trial: Trial::Pending(slot),
            ..state
        });
        Ok(())
    }

    /// Asks for a part of a file; that, and nothing else, is about to come.
    async fn part(
        &mut self,
        path: &[&str],
        start: u32,
        size: u32,
        count: u32,
    ) -> Result<(), Failure> {
        let range = Some((start, count));
        let head = self.get(path, range, &mut [0; MAX_HEAD]).await?;
        let expected = head.status == 206 && head.body == count;
        if expected && head.part == Some((start, size)) {
            Ok(())
        } else {
            Err(Failure::Connection)
        }
    }

    /// Asks, and reads the head of the answer.
    async fn get(
        &mut self,
        path: &[&str],
        range: Option<(u32, u32)>,
        buffer: &mut [u8; MAX_HEAD],
    ) -> Result<Head, Failure> {
        let request = http::get(NAME, path, range).ok_or(Failure::Connection)?;
        with_timeout(PATIENCE, async {
            self.link.write_all(request.as_bytes()).await?;
            self.link.flush().await
        })
        .await
        .map_err(|_| Failure::Connection)?
        .map_err(|_| Failure::Connection)?;
        // A byte at a time: what follows the head is not for this buffer.
        for len in 1..=buffer.len() {
            self.read(&mut buffer[len - 1..len]).await?;
            let complete = buffer[..len].ends_with(b"\r\n\r\n");
            if complete {
                let head = http::head(&buffer[..len]).map_err(|_| Failure::Connection)?;
                return head.ok_or(Failure::Connection);
            }
        }
        Err(Failure::Connection)
    }

    async fn read(&mut self, bytes: &mut [u8]) -> Result<(), Failure> {
        with_timeout(PATIENCE, self.link.read_exact(bytes))
            .await
            .map_err(|_| Failure::Connection)?
            .map_err(|_| Failure::Connection)
    }
}
