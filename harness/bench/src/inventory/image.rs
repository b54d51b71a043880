//! Image files: they are built, so they may be missing or wrong long after `target.toml` was found to be right.

use std::io;
use std::ops::Range;

use sha2::{Digest, Sha256};

use super::chip::Chip;
use super::contents::{self, ImageFlaw, Run, Segment};
use super::error::Problem;
use super::problem::ProblemKind;
use super::{Image, ImageFormat, InventoryError, MemoryRegion, MemoryRole};
use crate::confine::LONGEST_FILE;

/// What images have to fit.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) memory: Vec<MemoryRegion>,
    pub(super) chip: Option<Chip>,
}

impl Ground {
    /// What is wrong with programming an image there, if something is.
    pub(super) fn outside(&self, image: &str, range: &Range<u64>) -> Option<ProblemKind> {
        let (address, what) = self.not_programmable(range)?;
        Some(ProblemKind::AddressOutside {
            image: image.to_owned(),
            address,
            what,
            regions: self.regions(),
        })
    }

    /// The first address that can't be programmed, and what is there.
    fn not_programmable(&self, range: &Range<u64>) -> Option<(u64, String)> {
        let mut address = range.start;
        while address < range.end {
            let mut regions = self.memory.iter();
            match regions.find(|region| region.range.contains(&address)) {
                Some(region) if region.role == MemoryRole::UserData => {
                    let what = format!(
                        "in no region that can be programmed: `{}` holds data of the user",
                        region.name
                    );
                    return Some((address, what));
                }
                Some(region) => address = region.range.end,
                None => return Some((address, "in no region that can be programmed".into())),
            }
        }
        let chip = self.chip.as_ref()?;
        address = range.start;
        while address < range.end {
            let here = |regions: &[Range<u64>]| {
                let mut regions = regions.iter();
                regions.find(|region| region.contains(&address)).cloned()
            };
            if let Some(region) = here(&chip.nvm) {
                address = region.end;
                continue;
            }
            let what = if here(&chip.ram).is_some() {
                format!("RAM of {}", chip.name)
            } else {
                format!("where {} has nothing that can be programmed", chip.name)
            };
            return Some((address, what));
        }
        None
    }

    /// For people.
    fn regions(&self) -> String {
        let regions = self.memory.iter();
        let regions = regions.filter(|region| region.role != MemoryRole::UserData);
        let regions: Vec<String> = regions
            .map(|MemoryRegion { name, range, .. }| {
                format!("`{name}` {:#x}..{:#x}", range.start, range.end)
            })
            .collect();
        if regions.is_empty() {
            "none, add a [[memory]]".to_owned()
        } else {
            regions.join(", ")
        }
    }
}

impl Image {
    /// The file's bytes, which are something: no empty file, and none that stands for another.
    pub fn read(&self) -> Result<Vec<u8>, InventoryError> {
        let bytes = self.bytes()?;
        contents::look(&bytes).map_err(|flaw| self.bad(flaw))?;
        Ok(bytes)
    }

    /// Whether it is known where it goes.
    pub fn has_place(&self) -> bool {
        self.address.is_some() || self.format != ImageFormat::Bin
    }

    fn bytes(&self) -> Result<Vec<u8>, Problem> {
        let bytes = self
            .roots
            .read(&self.path, LONGEST_FILE)
            .map_err(|err| missing(&[self], err))?;
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        if *self.seen.get_or_init(|| digest) != digest {
            let kind = ProblemKind::ImageChanged {
                image: self.name.clone(),
                path: self.path.clone(),
            };
            return Err(self.problem(kind));
        }
        Ok(bytes)
    }

    /// Checks what it can be checked for by itself; gives the addresses that it takes.
    fn check(&self) -> Result<Vec<Range<u64>>, Problem> {
        let bytes = self.bytes()?;
        // Raw bytes without an address are the driver's, whatever they are: an update may well be UF2.
        if !self.has_place() {
            contents::look(&bytes).map_err(|flaw| self.bad(flaw))?;
            return Ok(Vec::new());
        }
        // Where an image goes that is only offered as an update is not where the probe programs; without a chip, the driver does.
        let programs = self.flash && self.ground.chip.is_some();
        let runs = if programs || self.format == ImageFormat::Bin {
            self.runs(&bytes)?
        } else {
            self.decoded(&bytes, None)?
        };
        Ok(runs.iter().map(contents::range).collect())
    }

    /// What goes where, if it may.
    fn runs<'a>(&self, bytes: &'a [u8]) -> Result<Vec<Run<'a>>, Problem> {
        if !self.has_place() {
            let image = self.name.clone();
            return Err(self.problem(ProblemKind::NoAddress { image }));
        }
        let runs = self.decoded(bytes, self.ground.chip.as_ref())?;
        for range in runs.iter().map(contents::range) {
            self.check_size(&range)?;
            if let Some(kind) = self.ground.outside(&self.name, &range) {
                return Err(self.problem(kind));
            }
        }
        Ok(runs)
    }

    fn decoded<'a>(&self, bytes: &'a [u8], chip: Option<&Chip>) -> Result<Vec<Run<'a>>, Problem> {
        contents::decode(bytes, self.format, self.address, chip).map_err(|flaw| self.bad(flaw))
    }

    /// Raw bytes belong into one region: what is behind it is not theirs, whatever it holds.
    fn check_size(&self, range: &Range<u64>) -> Result<(), Problem> {
        let mut regions = self.ground.memory.iter();
        let region = regions.find(|region| region.range.contains(&range.start));
        let Some(region) = region.filter(|_| self.format == ImageFormat::Bin) else {
            return Ok(());
        };
        let end = region.range.end;
        if range.end <= end {
            return Ok(());
        }
        Err(self.problem(ProblemKind::TooLarge {
            image: self.name.clone(),
            size: range.end - range.start,
            address: range.start,
            region: region.name.clone(),
            end,
        }))
    }

    fn bad(&self, flaw: ImageFlaw) -> Problem {
        self.problem(ProblemKind::BadImage {
            image: self.name.clone(),
            path: self.path.clone(),
            flaw: Box::new(flaw),
        })
    }

    fn problem(&self, kind: ProblemKind) -> Problem {
        Problem::new(kind, Some(self.place.clone()))
    }
}

/// Checks a set of images: all that cannot be read are one problem, as one command builds them.
pub(super) fn check_all<'a>(images: impl Iterator<Item = &'a Image>) -> Result<(), InventoryError> {
    let mut problems = Vec::new();
    let mut absent = Vec::new();
    let mut first_error = None;
    let mut placed = Vec::new();
    for image in images {
        if let Err(err) = image.roots.open(&image.path, LONGEST_FILE) {
            absent.push(image);
            first_error.get_or_insert(err);
            continue;
        }
        match image.check() {
            Ok(ranges) if image.flash => placed.push((image, ranges)),
            Ok(_) => {}
            Err(problem) => problems.push(problem),
        }
    }
    problems.extend(overlaps(&placed));
    problems.extend(first_error.map(|err| missing(&absent, err)));
    if problems.is_empty() {
        Ok(())
    } else {
        Err(InventoryError::new(problems))
    }
}

/// What of the images goes where: see [`Device::firmware`](super::Device::firmware).
pub(super) fn firmware(images: &[&Image]) -> Result<Vec<(String, Vec<Segment>)>, InventoryError> {
    let mut firmware = Vec::new();
    let mut placed = Vec::new();
    for image in images {
        let bytes = image.bytes()?;
        let runs = image.runs(&bytes)?;
        placed.push((*image, runs.iter().map(contents::range).collect()));
        let segments = runs.into_iter().map(|(address, data)| Segment {
            address,
            data: data.into_owned(),
        });
        firmware.push((image.name.clone(), segments.collect()));
    }
    match overlaps(&placed) {
        problems if problems.is_empty() => Ok(firmware),
        problems => Err(InventoryError::new(problems)),
    }
}

/// Images that can't be in a chip together.
fn overlaps(placed: &[(&Image, Vec<Range<u64>>)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, (second, theirs)) in placed.iter().enumerate() {
        for (first, ours) in &placed[..index] {
            let Some(common) = common(ours, theirs) else {
                continue;
            };
            let kind = ProblemKind::ImagesOverlap {
                first: first.name.clone(),
                second: second.name.clone(),
                common,
            };
            let other = first.place.span.clone();
            problems.push(second.problem(kind).with_other(other, "with this"));
        }
    }
    problems
}

/// The first addresses that are in both; each is in order, and has none twice.
fn common(ours: &[Range<u64>], theirs: &[Range<u64>]) -> Option<Range<u64>> {
    let (mut ours, mut theirs) = (ours.iter().peekable(), theirs.iter().peekable());
    while let (Some(one), Some(other)) = (ours.peek(), theirs.peek()) {
        let common = one.start.max(other.start)..one.end.min(other.end);
        if !common.is_empty() {
            return Some(common);
        }
        if one.end < other.end {
            ours.next();
        } else {
            theirs.next();
        }
    }
    None
}

/// `images`: not empty; the error is that of the first.
fn missing(images: &[&Image], source: io::Error) -> Problem {
    let first = images[0];
    let kind = ProblemKind::ImagesMissing {
        images: images.iter().map(|image| image.name.clone()).collect(),
        path: first.path.clone(),
        build: first.build.clone(),
        source,
    };
    Problem::new(kind, Some(first.place.clone()))
}
