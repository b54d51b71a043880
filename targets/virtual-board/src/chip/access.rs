//! Memory and access ports, as the debugger reaches them.

use super::{AccessError, Chip, ResetCause};
use crate::{
    debug::{
        port::{CTRL_AP_IDR, MEM_AP_IDR, ap},
        registers::{AIRCR, DCRDR, DCRSR, DEMCR, DFSR, DHCSR, DWT_CTRL, DWT_CTRL_VALUE},
        rom,
    },
    error::BoardError,
    memory_map::{BOOT_FLASH, NVM, PPB, is_mapped},
};

const AIRCR_KEY: u32 = 0x05FA;
const SYSRESETREQ: u32 = 1 << 2;
const VECTRESET: u32 = 1;
const DCRSR_WRITE: u32 = 1 << 16;

impl Chip {
    /// Reads memory through the MEM-AP.
    pub(crate) async fn read_memory(
        &mut self,
        address: u32,
        len: usize,
    ) -> Result<Vec<u8>, AccessError> {
        self.check(address, len)?;
        if NVM.contains(&address) {
            return Ok(self.machine.read_nvm(address - NVM.start, len)?);
        }
        if !PPB.contains(&address) {
            return Ok(self.machine.qtest.read(address, len).await?);
        }
        let skip = (address % 4) as usize;
        let mut bytes = Vec::with_capacity(len + 8);
        for word in (address - address % 4..).step_by(4) {
            bytes.extend(self.read_ppb(word).await?.to_le_bytes());
            if bytes.len() >= skip + len {
                break;
            }
        }
        Ok(bytes[skip..skip + len].to_vec())
    }

    /// Writes memory through the MEM-AP; `size` is the width of one bus access.
    pub(crate) async fn write_memory(
        &mut self,
        address: u32,
        size: usize,
        data: &[u8],
    ) -> Result<(), AccessError> {
        self.check(address, data.len())?;
        self.boot_unsaved |= BOOT_FLASH.contains(&address);
        if !PPB.contains(&address) {
            return Ok(self.machine.qtest.write(address, data).await?);
        }
        if size < 4 || !address.is_multiple_of(4) {
            // Only the interrupt controller takes less than words.
            return Ok(self.machine.qtest.write(address, data).await?);
        }
        for (word, bytes) in (address..).step_by(4).zip(data.chunks_exact(4)) {
            let value = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            self.write_ppb(word, value).await?;
        }
        Ok(())
    }

    fn check(&self, address: u32, len: usize) -> Result<(), AccessError> {
        if self.locked || !is_mapped(address, len) {
            return Err(AccessError::Refused);
        }
        Ok(())
    }

    async fn read_ppb(&mut self, address: u32) -> Result<u32, BoardError> {
        match address {
            DHCSR => {
                self.poll().await?;
                Ok(self.core.read_dhcsr())
            }
            DFSR => Ok(self.core.dfsr()),
            DCRSR => Ok(0),
            DCRDR => Ok(self.core.dcrdr),
            DEMCR => Ok(self.core.demcr),
            DWT_CTRL => Ok(DWT_CTRL_VALUE),
            _ => match self.core.fpb.read(address).or_else(|| rom::read(address)) {
                Some(value) => Ok(value),
                None => self.machine.qtest.read_word(address).await,
            },
        }
    }

    async fn write_ppb(&mut self, address: u32, value: u32) -> Result<(), BoardError> {
        match address {
            DHCSR => {
                self.poll().await?;
                let control = self.core.write_dhcsr(value);
                self.control(control).await
            }
            DFSR => {
                self.core.write_dfsr(value);
                Ok(())
            }
            DCRSR if !self.core.halted => Ok(()),
            DCRSR if value & DCRSR_WRITE != 0 => {
                let data = self.core.dcrdr;
                self.write_register(value, data).await
            }
            DCRSR => {
                self.core.dcrdr = self.read_register(value).await?.unwrap_or_default();
                Ok(())
            }
            DCRDR => {
                self.core.dcrdr = value;
                Ok(())
            }
            DEMCR => {
                self.core.demcr = value;
                Ok(())
            }
            AIRCR if value >> 16 == AIRCR_KEY && value & (SYSRESETREQ | VECTRESET) != 0 => {
                self.reset(ResetCause::Software).await
            }
            _ if self.core.fpb.write(address, value) => self.breakpoints_changed().await,
            _ => self.machine.qtest.write_word(address, value).await,
        }
    }

    /// Register of an access port, by its full address (bank and A[3:2]).
    pub(crate) async fn read_ap(&mut self, port: u8, register: u8) -> Result<u32, AccessError> {
        match (port, register) {
            (0, ap::IDR) => Ok(MEM_AP_IDR),
            (0, ap::BASE) => Ok(rom::BASE),
            (0, ap::CSW) => Ok(self.port.csw(self.locked)),
            (0, ap::TAR) => Ok(self.port.tar),
            (0, ap::DRW) => {
                let (size, increment) = self.port.transfer();
                let address = self.port.tar;
                let bytes = self.read_memory(address, size).await?;
                let lane = (address % 4) as usize;
                let mut word = [0; 4];
                // A narrow access arrives on its byte lane.
                for (place, byte) in word.iter_mut().skip(lane).zip(bytes) {
                    *place = byte;
                }
                self.advance(size, increment);
                Ok(u32::from_le_bytes(word))
            }
            (0, ap::BD0..=ap::BD3) => {
                let address = self.banked(register);
                let bytes = self.read_memory(address, 4).await?;
                Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            }
            (1, ap::IDR) => Ok(CTRL_AP_IDR),
            (1, ap::CTRL_RESET) => Ok(self.held_in_reset.into()),
            (1, ap::CTRL_PROTECT_STATUS) => Ok((!self.locked).into()),
            // Erasing is over before it could be asked about.
            _ => Ok(0),
        }
    }

    pub(crate) async fn write_ap(
        &mut self,
        port: u8,
        register: u8,
        value: u32,
    ) -> Result<(), AccessError> {
        match (port, register) {
            (0, ap::CSW) => self.port.write_csw(value),
            (0, ap::TAR) => self.port.tar = value,
            (0, ap::DRW) => {
                let (size, increment) = self.port.transfer();
                let address = self.port.tar;
                let lane = (address % 4) as usize;
                let word = value.to_le_bytes();
                let bytes = word.get(lane..lane + size).ok_or(AccessError::Refused)?;
                self.write_memory(address, size, bytes).await?;
                self.advance(size, increment);
            }
            (0, ap::BD0..=ap::BD3) => {
                let address = self.banked(register);
                self.write_memory(address, 4, &value.to_le_bytes()).await?;
            }
            (1, ap::CTRL_RESET) => self.hold_in_reset(value & 1 == 1).await?,
            (1, ap::CTRL_ERASE_ALL) if value & 1 == 1 => self.erase_all().await?,
            _ => {}
        }
        Ok(())
    }

    fn banked(&self, register: u8) -> u32 {
        self.port.tar & !0xF | u32::from(register & 0xC)
    }

    fn advance(&mut self, size: usize, increment: bool) {
        if increment {
            self.port.tar = self.port.tar.wrapping_add(size as u32);
        }
    }
}
