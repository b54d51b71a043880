//! Real-Time Transfer: rings of bytes in the DUT's memory that both sides read and write while the core runs.
//!
//! It shares the connection with all else that is asked of the probe, and waits its turn: while the probe programs, the
//! rings are not looked at.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use memchr::memmem;
use probe_rs::{
    Core, MemoryInterface,
    config::MemoryRegion,
    rtt::{Error as RttError, Rtt},
};

use super::{
    Probe, ProbeError, SHORT,
    worker::{Worker, core_error},
};
use crate::inventory::RttPort;

/// Taken at once.
const PIECE: usize = 16 * 1024;
/// Searched at once: in between, others have their turn.
const SEARCHED: u64 = 32 * 1024;

/// What went over a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RttExchange {
    /// What the DUT has written.
    pub(crate) read: Vec<u8>,
    /// How much of what was to be sent has found room.
    pub(crate) sent: usize,
}

/// How far the search for the control block is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Search {
    /// Here it goes on.
    next: u64,
    /// Linkers put the block near the start of RAM, and firmware makes it when it likes: every other look is there.
    was_at_start: bool,
}

/// What came of a look at the rings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RttState {
    /// They are there.
    Open(RttExchange),
    /// They are not (yet, or in the part of RAM that it was looked for them): the firmware makes them when it starts.
    /// Looking took so long.
    Absent(Duration),
}

impl Probe {
    /// Takes what the DUT has written to a channel, and gives it as much of `data` as there is room for.
    pub(crate) async fn exchange_rtt(
        &self,
        port: RttPort,
        data: &[u8],
    ) -> Result<RttState, ProbeError> {
        let data = data.to_vec();
        self.call("RTT".into(), SHORT, move |worker, _| {
            worker.exchange_rtt(port, &data)
        })
        .await
    }
}

impl Worker {
    /// Other firmware has its rings elsewhere. Those of before, still in RAM, must not be taken for them.
    pub(super) fn forget_rtt(&mut self) {
        self.rtt_search = Search::default();
        let Some(rtt) = self.rtt.take() else { return };
        let erased = self.write(rtt.ptr(), &[0; Rtt::RTT_ID.len()]);
        if let Err(error) = erased {
            tracing::debug!(%error, "the RTT control block of the firmware before is still there");
        }
    }

    fn exchange_rtt(&mut self, port: RttPort, data: &[u8]) -> Result<RttState, ProbeError> {
        let started = Instant::now();
        let (mut known, mut search) = (self.rtt.take(), self.rtt_search);
        let exchanged = self.with_core(|core| {
            let mut rtt = match known.take() {
                // After a reset, or with other firmware, there may be something else now.
                Some(rtt) if is_there(core, rtt.ptr())? => rtt,
                _ => match find(core, port.address, &mut search)? {
                    Some(rtt) => rtt,
                    None => return Ok(None),
                },
            };
            let exchange = transfer(core, &mut rtt, port.channel.into(), data)?;
            // What the DUT has garbled is looked for anew.
            known = exchange.is_some().then_some(rtt);
            Ok(exchange)
        });
        (self.rtt, self.rtt_search) = (known, search);
        Ok(match exchanged? {
            Some(exchange) => RttState::Open(exchange),
            None => RttState::Absent(started.elapsed()),
        })
    }
}

fn is_there(core: &mut Core<'_>, block: u64) -> Result<bool, ProbeError> {
    let mut id = [0; Rtt::RTT_ID.len()];
    core.read(block, &mut id)
        .map_err(core_error("reading RTT's control block"))?;
    Ok(id == Rtt::RTT_ID)
}

/// The rings at that address, or in the piece of RAM that is next in the search.
fn find(
    core: &mut Core<'_>,
    address: Option<u64>,
    search: &mut Search,
) -> Result<Option<Rtt>, ProbeError> {
    let address = match address {
        Some(address) => Some(address),
        None => search_on(core, search)?,
    };
    match address {
        Some(address) => absent_or(Rtt::attach_at(core, address).map(Some)),
        None => Ok(None),
    }
}

fn search_on(core: &mut Core<'_>, search: &mut Search) -> Result<Option<u64>, ProbeError> {
    let regions = core
        .memory_regions()
        .filter_map(MemoryRegion::as_ram_region);
    let mut ranges: Vec<Range<u64>> = regions
        .filter(|region| !region.is_alias)
        .map(|region| region.range.clone())
        .collect();
    ranges.sort_by_key(|range| range.start);
    let Some(first) = ranges.first() else {
        return Ok(None);
    };
    search.was_at_start = !search.was_at_start;
    // Behind the last one it begins anew.
    let next = ranges.iter().find(|range| search.next < range.end);
    let range = next.filter(|_| !search.was_at_start).unwrap_or(first);
    let from = if range.contains(&search.next) && !search.was_at_start {
        search.next
    } else {
        range.start
    };
    let end = range.end.min(from + SEARCHED);
    // A block may begin in this piece and end in the next.
    let overlap = range.end.min(end + Rtt::RTT_ID.len() as u64 - 1);
    let mut memory = vec![0; (overlap - from) as usize];
    core.read(from, &mut memory)
        .map_err(core_error("looking for RTT's control block"))?;
    let found = memmem::find(&memory, &Rtt::RTT_ID).map(|at| from + at as u64);
    if !search.was_at_start {
        // What looks like one and is none does not hide what is behind it.
        search.next = found.map_or(end, |at| at + 1);
    }
    Ok(found)
}

/// `None` when the rings are not what they should be.
fn transfer(
    core: &mut Core<'_>,
    rtt: &mut Rtt,
    channel: usize,
    data: &[u8],
) -> Result<Option<RttExchange>, ProbeError> {
    let mut both = || {
        let mut read = vec![0; PIECE];
        let count = match rtt.up_channel(channel) {
            Some(up) => up.read(core, &mut read)?,
            None => 0,
        };
        read.truncate(count);
        let sent = match rtt.down_channel(channel) {
            Some(down) if !data.is_empty() => down.write(core, data)?,
            Some(_) => 0,
            // Nobody there listens: as on a serial line.
            None => data.len(),
        };
        Ok(Some(RttExchange { read, sent }))
    };
    absent_or(both())
}

/// What the DUT's memory holds is none of the bench's errors; that it can't be read is.
fn absent_or<T>(result: Result<Option<T>, RttError>) -> Result<Option<T>, ProbeError> {
    match result {
        Ok(found) => Ok(found),
        Err(RttError::Probe(error)) => Err(core_error("reading RTT")(error)),
        Err(error) => {
            tracing::debug!(%error, "no RTT");
            Ok(None)
        }
    }
}
