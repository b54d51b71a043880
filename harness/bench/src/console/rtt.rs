//! Real-Time Transfer as a serial port: somebody has to look into the rings time and again.
//!
//! A DUT that is off, locked, held in reset or not started yet is a silent one, as on a serial line. The port is gone
//! when the probe is.

use std::{cmp, io, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, duplex, split},
    time::sleep,
};

use crate::{
    Probe, ProbeError,
    inventory::RttPort,
    probe::rtt::{RttExchange, RttState},
};

/// What waits in each direction.
const BUFFER: usize = 64 * 1024;
/// Rings are small: sent at once.
const PIECE: usize = 1024;
/// Nothing tells that the DUT has written something: it is looked this often.
const LOOK: Duration = Duration::from_millis(10);
/// How often rings are tried that can't be reached.
const RETRY: Duration = Duration::from_millis(100);

/// Opens the channel.
pub(super) fn open(probe: Option<&Probe>, port: RttPort) -> io::Result<DuplexStream> {
    let probe = probe.ok_or_else(|| io::Error::other("there is no debug probe for it"))?;
    let (near, far) = duplex(BUFFER);
    let probe = probe.clone();
    tokio::spawn(async move {
        if let Err(error) = serve(&probe, port, far).await {
            tracing::debug!(%error, "RTT has ended");
        }
    });
    Ok(near)
}

/// Until nobody uses the port any more, or the probe is gone.
async fn serve(probe: &Probe, port: RttPort, wire: DuplexStream) -> io::Result<()> {
    let (mut from_host, mut to_host) = split(wire);
    let mut waiting = Vec::new();
    loop {
        let pause = match probe.exchange_rtt(port, &waiting).await {
            Ok(RttState::Open(RttExchange { read, sent })) => {
                waiting.drain(..sent.min(waiting.len()));
                to_host.write_all(&read).await?;
                if read.is_empty() && sent == 0 {
                    LOOK
                } else {
                    Duration::ZERO
                }
            }
            // The search leaves the probe to others for as long as it took.
            Ok(RttState::Absent(took)) => cmp::max(LOOK, took),
            Err(error) if is_gone(&error) => return Err(io::Error::other(error)),
            Err(_) => RETRY,
        };
        if !gather(&mut from_host, &mut waiting, pause).await? {
            return Ok(());
        }
    }
}

/// Waits for more to be sent, but not for longer than that; `false` when there will be no more.
async fn gather(
    from_host: &mut ReadHalf<DuplexStream>,
    waiting: &mut Vec<u8>,
    pause: Duration,
) -> io::Result<bool> {
    let mut piece = [0; PIECE];
    let room = PIECE.saturating_sub(waiting.len());
    if room == 0 {
        sleep(pause).await;
        return Ok(true);
    }
    tokio::select! {
        biased;
        read = from_host.read(&mut piece[..room]) => match read? {
            0 => Ok(false),
            count => {
                waiting.extend_from_slice(&piece[..count]);
                Ok(true)
            }
        },
        () = sleep(pause) => Ok(true),
    }
}

/// Whether the probe is, not only the chip.
fn is_gone(error: &ProbeError) -> bool {
    matches!(
        error,
        ProbeError::Open { .. }
            | ProbeError::Chip { .. }
            | ProbeError::ChipDescription { .. }
            | ProbeError::Driver { .. }
    )
}
