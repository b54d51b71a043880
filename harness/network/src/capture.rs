//! Every frame to pcapng files, within a bound on disk space.
//!
//! Times come from the clock of the console's log: a frame at 12.345 s after `origin` there has `wall time at origin +
//! 12.345 s` here, even if the wall clock is set meanwhile. Each file says in its section's comment when the origin was.

use std::{
    borrow::Cow,
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use pcap_file::{
    DataLink, Endianness, PcapError,
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};
use serde::Serialize;

use crate::{error::NetworkError, losses::Loss, plan::Direction};

/// A block's header, trailer and options, roughly: for the bound on a file's size.
const OVERHEAD: u64 = 96;
/// Directions in a packet's flags word, as seen by the bench.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// Where frames are written to, and how much of them is kept.
#[derive(Debug, Clone)]
pub struct CaptureConfig {
    /// An existing folder. Files are `capture.pcapng`, `capture-1.pcapng`, ...
    pub dir: PathBuf,
    /// A file is followed by the next one at this size, in bytes.
    pub max_file: u64,
    /// When there would be more files, the oldest but the first (the DUT's start) is deleted. At least 2.
    pub max_files: usize,
}

impl CaptureConfig {
    /// At most 1 GiB in this folder.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            max_file: 128 << 20,
            max_files: 8,
        }
    }
}

/// What became of the frames.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CaptureReport {
    /// Files that are there, in order of time.
    pub files: Vec<PathBuf>,
    /// Frames in them.
    pub frames: u64,
    /// Frames that were in files which had to be deleted.
    pub deleted: u64,
    /// Frames that could not be written.
    pub unwritten: u64,
    /// Why, the first time.
    pub error: Option<String>,
}

/// Clocks of a run: what times count from, and what a clock on the wall showed then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    origin: Instant,
    wall: Duration,
}

impl Clock {
    pub(super) fn new(origin: Instant) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            origin,
            wall: now.unwrap_or_default().saturating_sub(origin.elapsed()),
        }
    }

    /// Since the origin.
    pub(super) fn elapsed(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.origin)
    }

    /// So many seconds after the origin.
    pub(super) fn time(&self, seconds: f64) -> Instant {
        let after = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.origin.checked_add(after).unwrap_or(self.origin)
    }

    fn wall(&self, at: Instant) -> Duration {
        self.wall + self.elapsed(at)
    }
}

struct Segment {
    path: PathBuf,
    frames: u64,
    /// When the last one was seen.
    last: Instant,
}

pub(super) struct Capture {
    config: CaptureConfig,
    clock: Clock,
    title: String,
    writer: Option<PcapNgWriter<BufWriter<File>>>,
    segments: Vec<Segment>,
    number: usize,
    written: u64,
    /// Frames that were not handed over to the system yet.
    pending: u64,
    deleted: u64,
    unwritten: u64,
    error: Option<String>,
    /// What was lost, for whoever asks; how many frames, none of them later than that.
    pub(super) losses: Vec<(Loss, Instant, u64)>,
}

impl Capture {
    pub(super) fn open(
        config: CaptureConfig,
        clock: Clock,
        title: &str,
    ) -> Result<Self, NetworkError> {
        let mut capture = Self {
            config,
            clock,
            title: title.into(),
            writer: None,
            segments: Vec::new(),
            number: 0,
            written: 0,
            pending: 0,
            deleted: 0,
            unwritten: 0,
            error: None,
            losses: Vec::new(),
        };
        capture
            .next_file()
            .map_err(|source| NetworkError::Capture {
                path: capture.config.dir.join(file_name(0)),
                source,
            })?;
        Ok(capture)
    }

    /// Writes one frame; `remark` says what became of it, if anything unusual.
    pub(super) fn record(
        &mut self,
        at: Instant,
        direction: Direction,
        frame: &[u8],
        remark: Option<&str>,
    ) {
        if let Err(error) = self.try_record(at, direction, frame, remark) {
            self.lost(1, at, &error);
        }
    }

    fn lost(&mut self, frames: u64, at: Instant, error: &io::Error) {
        self.unwritten += frames;
        self.losses.push((Loss::FramesNotCaptured, at, frames));
        self.error.get_or_insert_with(|| error.to_string());
    }

    /// What was not handed over yet never will be.
    fn lose_pending(&mut self, error: &io::Error) {
        // What comes next goes into another file.
        self.writer = None;
        let frames = std::mem::take(&mut self.pending);
        if let Some(segment) = self.segments.last_mut() {
            segment.frames = segment.frames.saturating_sub(frames);
        }
        self.lost(frames, Instant::now(), error);
    }

    fn try_record(
        &mut self,
        at: Instant,
        direction: Direction,
        frame: &[u8],
        remark: Option<&str>,
    ) -> io::Result<()> {
        if self.writer.is_none() || self.written >= self.config.max_file {
            self.next_file()?;
        }
        let Some(writer) = &mut self.writer else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let mut options = vec![EnhancedPacketOption::Flags(match direction {
            Direction::FromDut => INBOUND,
            Direction::ToDut => OUTBOUND,
        })];
        options.extend(remark.map(|text| EnhancedPacketOption::Comment(Cow::Borrowed(text))));
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: self.clock.wall(at),
            original_len: frame.len() as u32,
            data: Cow::Borrowed(frame),
            options,
        };
        if let Err(error) = writer.write_pcapng_block(block) {
            // Half a block, and maybe others before it that wait in the buffer.
            let error = into_io(error);
            self.lose_pending(&error);
            return Err(error);
        }
        self.written += frame.len() as u64 + OVERHEAD;
        self.pending += 1;
        if let Some(segment) = self.segments.last_mut() {
            segment.frames += 1;
            segment.last = at;
        }
        Ok(())
    }

    /// Hands what was recorded over to the system: it is in the file even if this process is killed.
    pub(super) fn flush(&mut self) {
        if self.pending == 0 {
            return;
        }
        match self.writer.as_mut().map(|writer| writer.get_mut().flush()) {
            Some(Err(error)) => self.lose_pending(&error),
            _ => self.pending = 0,
        }
    }

    pub(super) fn report(&self) -> CaptureReport {
        CaptureReport {
            files: self.segments.iter().map(|s| s.path.clone()).collect(),
            frames: self.segments.iter().map(|segment| segment.frames).sum(),
            deleted: self.deleted,
            unwritten: self.unwritten,
            error: self.error.clone(),
        }
    }

    fn next_file(&mut self) -> io::Result<()> {
        self.flush();
        self.writer = None;
        while self.segments.len() >= self.config.max_files.max(2) {
            let oldest = self.segments.remove(1);
            self.deleted += oldest.frames;
            let loss = Loss::CapturedFramesDeleted;
            self.losses.push((loss, oldest.last, oldest.frames));
            fs::remove_file(&oldest.path)?;
        }
        let path = self.config.dir.join(file_name(self.number));
        self.writer = Some(start_file(&path, &self.section()).map_err(into_io)?);
        self.number += 1;
        self.written = 0;
        self.segments.push(Segment {
            path,
            frames: 0,
            last: Instant::now(),
        });
        Ok(())
    }

    fn section(&self) -> SectionHeaderBlock<'static> {
        let comment = format!(
            "{}; origin of its clock: {}.{:09} s after 1970-01-01T00:00:00Z",
            self.title,
            self.clock.wall.as_secs(),
            self.clock.wall.subsec_nanos()
        );
        SectionHeaderBlock {
            endianness: Endianness::Little,
            options: vec![
                SectionHeaderOption::UserApplication("provebench".into()),
                SectionHeaderOption::Comment(comment.into()),
            ],
            ..SectionHeaderBlock::default()
        }
    }
}

fn start_file(
    path: &Path,
    section: &SectionHeaderBlock<'static>,
) -> Result<PcapNgWriter<BufWriter<File>>, PcapError> {
    let file = BufWriter::with_capacity(256 << 10, File::create(path).map_err(PcapError::IoError)?);
    let mut writer = PcapNgWriter::with_section_header(file, section.clone())?;
    writer.write_pcapng_block(InterfaceDescriptionBlock {
        linktype: DataLink::ETHERNET,
        snaplen: 0,
        options: vec![
            InterfaceDescriptionOption::IfName("cable".into()),
            InterfaceDescriptionOption::IfDescription("Ethernet cable of the DUT".into()),
            // Nanoseconds.
            InterfaceDescriptionOption::IfTsResol(9),
        ],
    })?;
    writer.get_mut().flush().map_err(PcapError::IoError)?;
    Ok(writer)
}

fn file_name(number: usize) -> String {
    match number {
        0 => "capture.pcapng".into(),
        _ => format!("capture-{number}.pcapng"),
    }
}

fn into_io(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture")
            .field("dir", &self.config.dir)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;

    fn frames(path: &Path) -> Vec<(Duration, Vec<u8>)> {
        let mut reader = PcapNgReader::new(File::open(path).unwrap()).unwrap();
        let mut all = Vec::new();
        while let Some(block) = reader.next_block() {
            if let Block::EnhancedPacket(packet) = block.unwrap() {
                all.push((packet.timestamp, packet.data.into_owned()));
            }
        }
        all
    }

    #[test]
    fn keeps_the_first_and_the_latest_within_the_bound_and_says_what_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let config = CaptureConfig {
            max_file: 10_000,
            max_files: 3,
            ..CaptureConfig::new(folder.path())
        };
        let origin = Instant::now();
        let mut capture = Capture::open(config, Clock::new(origin), "test").unwrap();
        for number in 0..200u16 {
            let mut frame = vec![0; 1000];
            frame[..2].copy_from_slice(&number.to_be_bytes());
            let at = origin + Duration::from_millis(u64::from(number));
            capture.record(at, Direction::ToDut, &frame, Some("lost"));
        }
        capture.flush();
        let report = capture.report();
        assert_eq!(report.files.len(), 3);
        assert_eq!(report.frames + report.deleted, 200);
        assert!(report.deleted > 100, "{report:?}");
        let read: Vec<_> = report.files.iter().flat_map(|file| frames(file)).collect();
        assert_eq!(read.len() as u64, report.frames);
        assert_eq!(read[0].1[..2], [0, 0]);
        assert_eq!(read[read.len() - 1].1[..2], 199u16.to_be_bytes());
        let span = read[read.len() - 1].0.saturating_sub(read[0].0);
        assert_eq!(span, Duration::from_millis(199));
        let on_disk = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(on_disk, 3);
    }

    #[test]
    fn a_folder_that_is_not_there_is_said_at_once() {
        let opened = Capture::open(
            CaptureConfig::new("/nowhere/at/all"),
            Clock::new(Instant::now()),
            "test",
        );
        assert!(opened.is_err());
    }
}
