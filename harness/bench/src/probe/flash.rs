//! Programming: images into flash, only where they are not there yet, and patches of single bytes.

use std::{
    fmt,
    time::{Duration, Instant},
};

use probe_rs::flashing::{DownloadOptions, FlashLoader, ProgressEvent, ProgressOperation};
use serde::Serialize;

use super::{
    Cancel, ProbeError,
    worker::{PIECE, Worker},
};
use crate::inventory::Segment;

/// One image to be programmed.
#[derive(Debug, Clone)]
pub struct FlashJob {
    /// Its name in `target.toml`.
    pub name: String,
    /// What goes where.
    pub segments: Vec<Segment>,
}

impl FlashJob {
    /// Jobs of images, as the inventory gives them.
    pub fn of(firmware: impl IntoIterator<Item = (String, Vec<Segment>)>) -> Vec<Self> {
        let firmware = firmware.into_iter();
        firmware
            .map(|(name, segments)| Self { name, segments })
            .collect()
    }

    /// In bytes.
    pub(super) fn size(&self) -> u64 {
        let segments = self.segments.iter();
        segments.map(|segment| segment.data.len() as u64).sum()
    }
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlashPhase {
    /// Reading, to see what is there already.
    Compare,
    /// Reading what shares a sector with the image.
    Fill,
    /// Erasing sectors.
    Erase,
    /// Writing pages.
    Program,
    /// Reading back.
    Verify,
}

impl fmt::Display for FlashPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compare => "comparing",
            Self::Fill => "reading what shares its sectors",
            Self::Erase => "erasing",
            Self::Program => "writing",
            Self::Verify => "verifying",
        })
    }
}

impl From<ProgressOperation> for FlashPhase {
    fn from(operation: ProgressOperation) -> Self {
        match operation {
            ProgressOperation::Fill => Self::Fill,
            ProgressOperation::Erase => Self::Erase,
            ProgressOperation::Program => Self::Program,
            ProgressOperation::Verify => Self::Verify,
        }
    }
}

/// How far it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlashProgress {
    /// What is being done.
    pub phase: FlashPhase,
    /// Bytes done in this phase.
    pub done: u64,
    /// Bytes to do in this phase, where known.
    pub total: Option<u64>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlashReport {
    /// Names of images that were programmed.
    pub programmed: Vec<String>,
    /// Names of images that were there already.
    pub skipped: Vec<String>,
    /// Bytes programmed.
    pub bytes: u64,
    /// How long it all took.
    pub duration: Duration,
}

/// The jobs' names, for messages.
pub(super) fn names(jobs: &[FlashJob]) -> String {
    jobs.iter()
        .map(|job| job.name.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

impl Worker {
    pub(super) fn flash(
        &mut self,
        jobs: &[FlashJob],
        cancel: &Cancel,
        progress: &mut dyn FnMut(FlashProgress),
    ) -> Result<FlashReport, ProbeError> {
        let started = Instant::now();
        check_not_nothing(jobs)?;
        self.check_identity()?;
        let mut report = FlashReport {
            programmed: Vec::new(),
            skipped: Vec::new(),
            bytes: 0,
            duration: Duration::ZERO,
        };
        let mut missing = Vec::new();
        for job in jobs {
            if self.is_there(job, cancel, progress)? {
                report.skipped.push(job.name.clone());
            } else {
                report.programmed.push(job.name.clone());
                missing.push(job);
            }
        }
        if !missing.is_empty() && !cancel.is_cancelled() {
            // One loader for all of them: images may share a sector.
            report.bytes = self.program(&report.programmed.join(", "), progress, |loader| {
                missing.iter().try_for_each(|job| load(job, loader))
            })?;
            self.forget_rtt();
        }
        report.duration = started.elapsed();
        Ok(report)
    }

    pub(super) fn verify(
        &mut self,
        jobs: &[FlashJob],
        cancel: &Cancel,
    ) -> Result<bool, ProbeError> {
        check_not_nothing(jobs)?;
        for job in jobs {
            if !self.is_there(job, cancel, &mut |_| {})? {
                return Ok(false);
            }
        }
        Ok(!cancel.is_cancelled())
    }

    pub(super) fn write_nvm(&mut self, address: u64, data: &[u8]) -> Result<(), ProbeError> {
        self.check_identity()?;
        let what = format!("{} bytes at {address:#010x}", data.len());
        self.program(&what.clone(), &mut |_| {}, |loader| {
            loader
                .add_data(address, data)
                .map_err(|source| ProbeError::Image {
                    image: what.clone(),
                    source: Box::new(source.into()),
                })
        })?;
        Ok(())
    }

    /// Compares by reading, piece by piece: a different image shows in the first piece.
    fn is_there(
        &mut self,
        job: &FlashJob,
        cancel: &Cancel,
        progress: &mut dyn FnMut(FlashProgress),
    ) -> Result<bool, ProbeError> {
        let total = job.size();
        let mut done = 0;
        for Segment { address, data } in &job.segments {
            for (index, wanted) in data.chunks(PIECE).enumerate() {
                if cancel.is_cancelled() {
                    return Ok(false);
                }
                if self.read(address + (index * PIECE) as u64, wanted.len())? != wanted {
                    return Ok(false);
                }
                done += wanted.len() as u64;
                progress(FlashProgress {
                    phase: FlashPhase::Compare,
                    done,
                    total: Some(total),
                });
            }
        }
        Ok(true)
    }

    /// Programs what `fill` puts into the loader; gives the number of bytes.
    fn program(
        &mut self,
        what: &str,
        progress: &mut dyn FnMut(FlashProgress),
        fill: impl Fn(&mut FlashLoader) -> Result<(), ProbeError>,
    ) -> Result<u64, ProbeError> {
        let result = self.with_session(|session| {
            let mut loader = session.target().flash_loader();
            fill(&mut loader)?;
            let bytes = loader.data().map(|(_, data)| data.len() as u64).sum();
            let mut tracker = Tracker::default();
            let mut options = DownloadOptions::new();
            options.keep_unwritten_bytes = true;
            options.verify = true;
            options.progress = probe_rs::flashing::FlashProgress::new(|event| {
                if let Some(event) = tracker.follow(&event) {
                    progress(event);
                }
            });
            let outcome = loader.commit(session, options);
            outcome.map(|()| bytes).map_err(|source| ProbeError::Flash {
                what: what.into(),
                phase: tracker.phase,
                source: Box::new(source),
            })
        });
        if result.is_err() {
            // Whatever state the flash algorithm left the core in, do not build on it.
            self.detach();
        }
        result
    }
}

/// Nothing is in every chip already.
fn check_not_nothing(jobs: &[FlashJob]) -> Result<(), ProbeError> {
    match jobs.iter().find(|job| job.size() == 0) {
        Some(job) => Err(ProbeError::EmptyImage {
            image: job.name.clone(),
        }),
        None => Ok(()),
    }
}

fn load(job: &FlashJob, loader: &mut FlashLoader) -> Result<(), ProbeError> {
    for Segment { address, data } in &job.segments {
        let added = loader.add_data(*address, data);
        added.map_err(|source| ProbeError::Image {
            image: job.name.clone(),
            source: Box::new(source.into()),
        })?;
    }
    Ok(())
}

/// Turns probe-rs' increments into "so much of so much".
struct Tracker {
    phase: FlashPhase,
    done: u64,
    totals: Vec<(FlashPhase, u64)>,
}

impl Default for Tracker {
    fn default() -> Self {
        Self {
            phase: FlashPhase::Fill,
            done: 0,
            totals: Vec::new(),
        }
    }
}

impl Tracker {
    fn follow(&mut self, event: &ProgressEvent) -> Option<FlashProgress> {
        match event {
            ProgressEvent::AddProgressBar { operation, total } => {
                self.totals
                    .extend(total.map(|total| (FlashPhase::from(*operation), total)));
                return None;
            }
            ProgressEvent::Started(operation) => {
                self.phase = (*operation).into();
                self.done = 0;
            }
            ProgressEvent::Progress {
                operation, size, ..
            } => {
                self.phase = (*operation).into();
                self.done += size;
            }
            _ => return None,
        }
        let total = self
            .totals
            .iter()
            .filter(|(phase, _)| *phase == self.phase)
            .map(|(_, total)| total)
            .sum::<u64>();
        Some(FlashProgress {
            phase: self.phase,
            done: self.done,
            total: (total > 0).then_some(total),
        })
    }
}
