//! Image files: they are built, so they may be missing long after `target.toml` was found to be right.

use super::error::Problem;
use super::problem::ProblemKind;
use super::{Image, ImageFormat, InventoryError};
use crate::confine::LONGEST_FILE;

impl Image {
    /// The file's bytes.
    pub fn read(&self) -> Result<Vec<u8>, InventoryError> {
        let bytes = self
            .roots
            .read(&self.path, LONGEST_FILE)
            .map_err(|err| missing(&[self], err))?;
        self.check_size(bytes.len() as u64)?;
        Ok(bytes)
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
}

/// Checks a set of images: all that cannot be read are one problem, as one command builds them.
pub(super) fn check_all<'a>(images: impl Iterator<Item = &'a Image>) -> Result<(), InventoryError> {
    let mut problems = Vec::new();
    let mut absent = Vec::new();
    let mut first_error = None;
    for image in images {
        let opened = image.roots.open(&image.path, LONGEST_FILE);
        match opened.and_then(|file| file.metadata()) {
            Ok(metadata) => problems.extend(image.check_size(metadata.len()).err()),
            Err(err) => {
                absent.push(image);
                first_error.get_or_insert(err);
            }
        }
    }
    problems.extend(first_error.map(|err| missing(&absent, err)));
    if problems.is_empty() {
        Ok(())
    } else {
        Err(InventoryError::new(problems))
    }
}

/// `images`: not empty; the error is that of the first.
fn missing(images: &[&Image], source: std::io::Error) -> Problem {
    let first = images[0];
    let kind = ProblemKind::ImagesMissing {
        images: images.iter().map(|image| image.name.clone()).collect(),
        path: first.path.clone(),
        build: first.build.clone(),
        source,
    };
    Problem::new(kind, Some(first.place.clone()))
}
