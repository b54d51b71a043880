//! A NOR flash in memory whose power fails at a chosen word.

use std::{cell::RefCell, rc::Rc};

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

pub(crate) const SECTOR: u32 = 4096;

#[derive(Debug, PartialEq)]
pub(crate) struct PowerCut;

impl NorFlashError for PowerCut {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

struct Cells {
    bytes: Vec<u8>,
    /// Word stores until the power fails.
    budget: Option<usize>,
    stores: usize,
}

/// Handle to the flash; clones share the cells, as drivers share one chip.
#[derive(Clone)]
pub(crate) struct Nor(Rc<RefCell<Cells>>);

impl Nor {
    pub(crate) fn blank(size: usize) -> Self {
        Self(Rc::new(RefCell::new(Cells {
            bytes: vec![0xFF; size],
            budget: None,
            stores: 0,
        })))
    }

    /// An independent flash with the same content.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::blank(0);
        copy.0.borrow_mut().bytes.clone_from(&self.0.borrow().bytes);
        copy
    }

    /// The power fails at the `n`-th store from now on: that one is not done any more.
    pub(crate) fn cut_at(&self, n: usize) {
        self.0.borrow_mut().budget = Some(n - 1);
    }

    pub(crate) fn power_on(&self) {
        self.0.borrow_mut().budget = None;
    }

    pub(crate) fn stores(&self) -> usize {
        self.0.borrow().stores
    }

    pub(crate) fn flip(&self, byte: usize, bit: u8) {
        self.0.borrow_mut().bytes[byte] ^= 1 << bit;
    }

    pub(crate) fn dump(&self, at: usize, len: usize) -> Vec<u8> {
        self.0.borrow().bytes[at..at + len].to_vec()
    }

    fn store(&self, at: usize, word: [u8; 4], and: bool) -> Result<(), PowerCut> {
        let mut cells = self.0.borrow_mut();
        match &mut cells.budget {
            Some(0) => return Err(PowerCut),
            Some(left) => *left -= 1,
            None => (),
        }
        cells.stores += 1;
        for (cell, byte) in cells.bytes[at..at + 4].iter_mut().zip(word) {
            *cell = if and { *cell & byte } else { byte };
        }
        Ok(())
    }
}

impl ErrorType for Nor {
    type Error = PowerCut;
}

impl ReadNorFlash for Nor {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), PowerCut> {
        bytes.copy_from_slice(
            &self.0.borrow().bytes[offset as usize..offset as usize + bytes.len()],
        );
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.borrow().bytes.len()
    }
}

impl NorFlash for Nor {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), PowerCut> {
        assert!(from.is_multiple_of(SECTOR) && to.is_multiple_of(SECTOR));
        for at in (from as usize..to as usize).step_by(4) {
            self.store(at, [0xFF; 4], false)?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), PowerCut> {
        for (at, word) in (offset as usize..).step_by(4).zip(bytes.chunks_exact(4)) {
            self.store(at, word.try_into().unwrap(), true)?;
        }
        Ok(())
    }
}
