//! Image files: they are built, so they may be missing long after `target.toml` was found to be right.

use std::fs;

use super::error::Problem;
use super::problem::ProblemKind;
use super::{Image, ImageFormat, InventoryError};

impl Image {
    /// The file's bytes.
    pub fn read(&self) -> Result<Vec<u8>, InventoryError> {
        let bytes = fs::read(&self.path).map_err(|err| self.missing(err))?;
        self.check_size(bytes.len() as u64)?;
        Ok(bytes)
    }

    /// Whether the file is there, can be read and fits.
    fn check(&self) -> Result<(), Problem> {
        let size = fs::File::open(&self.path)
            .and_then(|file| file.metadata())
            .map_err(|err| self.missing(err))?
            .len();
        self.check_size(size)
    }

    fn check_size(&self, size: u64) -> Result<(), Problem> {
        let (ImageFormat::Bin, Some(address), Some(region)) =
            (self.format, self.address, &self.region)
        else {
            return Ok(());
        };
        let end = region.range.end;
        if address
            .checked_add(size)
            .is_some_and(|reached| reached <= end)
        {
            return Ok(());
        }
        let kind = ProblemKind::TooLarge {
            image: self.name.clone(),
            size,
            address,
            region: region.name.clone(),
            end,
        };
        Err(Problem::new(kind, Some(self.place.clone())))
    }

    fn missing(&self, source: std::io::Error) -> Problem {
        let kind = ProblemKind::ImageMissing {
            image: self.name.clone(),
            path: self.path.clone(),
            build: self.build.clone(),
            source,
        };
        Problem::new(kind, Some(self.place.clone()))
    }
}

/// Checks images, and tells about all that are missing or too large.
pub(super) fn check_all<'a>(images: impl Iterator<Item = &'a Image>) -> Result<(), InventoryError> {
    let problems: Vec<Problem> = images.filter_map(|image| image.check().err()).collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(InventoryError::new(problems))
    }
}
