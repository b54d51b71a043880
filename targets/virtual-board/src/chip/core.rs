//! Run control, core registers, breakpoints.

use std::collections::BTreeSet;

use super::{Chip, Watch};
use crate::{
    debug::registers::{Cause, Control, ICSR, PACKED, Register},
    error::BoardError,
    memory_map::{SCRATCH, is_executable},
    qemu::{Point, Stop},
};

const LR: u8 = 14;
const PC: u8 = 15;
const XPSR: u8 = 25;
const XPSR_THUMB: u32 = 1 << 24;
/// If-then state: an instruction of ours must not depend on it.
const XPSR_IT: u32 = 0x0600_FC00;
const PENDSV_SET: u32 = 1 << 28;
const PENDSV_CLEAR: u32 = 1 << 27;

impl Chip {
    pub(super) async fn control(&mut self, control: Control) -> Result<(), BoardError> {
        match control {
            Control::Nothing => Ok(()),
            Control::Halt => self.halt().await,
            Control::Step => self.step().await,
            Control::Run => {
                self.core.halted = false;
                self.start_core().await
            }
        }
    }

    /// Lets the core run from where it is.
    pub(super) async fn start_core(&mut self) -> Result<(), BoardError> {
        if self.held_in_reset || self.reset_requested || self.core.locked_up {
            return Ok(());
        }
        let pc = self.gdb().read_register(PC).await?;
        if !is_executable(pc) {
            // An erased vector. On a real core the fetch faults, and so does the
            // fault's vector; the emulator would abort.
            self.core.locked_up = true;
            return Ok(());
        }
        let mut stops = self.core.fpb.breakpoints();
        if self.core.debug_enabled {
            if self.is_bkpt(pc).await? {
                self.core.enter(Cause::Breakpoint);
                return Ok(());
            }
            stops.extend(self.return_to);
        }
        self.insert_breakpoints(&stops).await?;
        if self.core.debug_enabled && self.return_to.is_some() {
            // A flash algorithm, in all likelihood.
            self.boot_unsaved = true;
        } else if self.boot_unsaved {
            // A lockup, which ends the emulator, must not undo what was flashed.
            self.save_boot_flash().await?;
        }
        self.resume().await
    }

    /// Lets the machine go on. It stopped before a counted store, if it did so for one.
    async fn resume(&mut self) -> Result<(), BoardError> {
        let watch = self.watch.filter(|_| std::mem::take(&mut self.at_store));
        let Some(watch) = watch else {
            return self.gdb().resume().await;
        };
        match self.gdb().step_over_store(watch.start, watch.len).await? {
            Some(stop) if self.note(stop) => self.gdb().resume().await,
            _ => Ok(()),
        }
    }

    async fn halt(&mut self) -> Result<(), BoardError> {
        if self.machine.gdb.is_running() {
            let stop = self.machine.gdb.interrupt().await?;
            self.may_sleep = stop == Stop::Interrupt;
            self.note(stop);
        }
        self.core.enter(Cause::Halted);
        Ok(())
    }

    async fn step(&mut self) -> Result<(), BoardError> {
        let pc = self.gdb().read_register(PC).await?;
        self.core.halted = false;
        if self.is_bkpt(pc).await? {
            self.core.enter(Cause::Breakpoint);
        } else if is_executable(pc) {
            self.may_sleep |= self.is_wfi(pc).await?;
            let mut stop = self.execute_one().await?;
            if stop == Stop::Watch && self.note(stop) {
                stop = self.execute_one().await?;
            }
            if stop != Stop::Trap {
                self.note(stop);
            }
            self.core.enter(Cause::Halted);
        } else {
            self.core.locked_up = true;
        }
        Ok(())
    }

    /// A core that sleeps in WFI, or is to execute one, would not come back: pend an
    /// exception for as long as it takes. A step holds exceptions off.
    async fn execute_one(&mut self) -> Result<Stop, BoardError> {
        let mut pended = false;
        if std::mem::take(&mut self.may_sleep) {
            let qtest = &mut self.machine.qtest;
            pended = qtest.read_word(ICSR).await? & PENDSV_SET == 0;
            if pended {
                qtest.write_word(ICSR, PENDSV_SET).await?;
            }
        }
        let stop = self.step_machine().await?;
        if pended {
            self.machine.qtest.write_word(ICSR, PENDSV_CLEAR).await?;
        }
        Ok(stop)
    }

    /// One instruction, a store that has been counted included.
    async fn step_machine(&mut self) -> Result<Stop, BoardError> {
        let watch = self.watch.filter(|_| std::mem::take(&mut self.at_store));
        let Some(Watch { start, len, .. }) = watch else {
            return self.gdb().step().await;
        };
        self.gdb().remove(Point::WriteWatch, start, len).await?;
        let stop = self.gdb().step().await?;
        self.gdb().insert(Point::WriteWatch, start, len).await?;
        Ok(stop)
    }

    /// Takes note of a stop; returns whether the core is to go on.
    pub(super) fn note(&mut self, stop: Stop) -> bool {
        match stop {
            Stop::Interrupt => true,
            Stop::Watch => {
                let Some(watch) = &mut self.watch else {
                    return true;
                };
                watch.stores += 1;
                self.at_store = true;
                !watch.is_due()
            }
            Stop::Shutdown => {
                self.reset_requested = true;
                false
            }
            Stop::Trap => {
                self.core.enter(Cause::Breakpoint);
                false
            }
        }
    }

    /// Deals with a stop that has come in, if any.
    pub(crate) async fn poll(&mut self) -> Result<(), BoardError> {
        if let Some(stop) = self.gdb().poll_stop().await?
            && self.note(stop)
        {
            self.resume().await?;
        }
        Ok(())
    }

    /// Stops the core for something that needs it stopped; returns whether it is
    /// to go on afterwards.
    pub(super) async fn pause(&mut self) -> Result<bool, BoardError> {
        if !self.machine.gdb.is_running() {
            return Ok(false);
        }
        let stop = self.machine.gdb.interrupt().await?;
        Ok(self.note(stop))
    }

    pub(super) async fn unpause(&mut self, was_running: bool) -> Result<(), BoardError> {
        if was_running {
            self.resume().await?;
        }
        Ok(())
    }

    /// After a change of the breakpoint unit while the core runs.
    pub(super) async fn breakpoints_changed(&mut self) -> Result<(), BoardError> {
        let was_running = self.pause().await?;
        if was_running {
            let stops = self.core.fpb.breakpoints();
            self.insert_breakpoints(&stops).await?;
        }
        self.unpause(was_running).await
    }

    async fn insert_breakpoints(&mut self, stops: &BTreeSet<u32>) -> Result<(), BoardError> {
        let old: Vec<_> = self.inserted.difference(stops).copied().collect();
        let new: Vec<_> = stops.difference(&self.inserted).copied().collect();
        for address in old {
            self.gdb().remove(Point::Breakpoint, address, 2).await?;
            self.inserted.remove(&address);
        }
        for address in new {
            self.gdb().insert(Point::Breakpoint, address, 2).await?;
            self.inserted.insert(address);
        }
        Ok(())
    }

    async fn is_bkpt(&mut self, address: u32) -> Result<bool, BoardError> {
        if !is_executable(address) {
            return Ok(false);
        }
        let code = self.machine.qtest.read(address, 2).await?;
        Ok(code[1] == 0xBE)
    }

    async fn is_wfi(&mut self, address: u32) -> Result<bool, BoardError> {
        const NARROW: [u8; 2] = [0x30, 0xBF];
        const WIDE: [u8; 4] = [0xAF, 0xF3, 0x03, 0x80];
        let code = self.machine.qtest.read(address, 4).await?;
        Ok(code.starts_with(&NARROW) || code == WIDE)
    }

    /// Core register of the halted core; `None` if there is no such register.
    pub(super) async fn read_register(&mut self, dcrsr: u32) -> Result<Option<u32>, BoardError> {
        let value = match Register::selected_by(dcrsr) {
            None => return Ok(None),
            Some(Register::Plain(number)) => self.gdb().read_register(number).await?,
            Some(Register::Special(number)) => self.read_special(number).await?,
            Some(Register::Packed) => {
                let mut bytes = [0; 4];
                for (byte, number) in bytes.iter_mut().zip(PACKED) {
                    *byte = (self.read_special(number).await? & 0xFF) as u8;
                }
                u32::from_le_bytes(bytes)
            }
        };
        Ok(Some(value))
    }

    pub(super) async fn write_register(
        &mut self,
        dcrsr: u32,
        value: u32,
    ) -> Result<(), BoardError> {
        match Register::selected_by(dcrsr) {
            None => Ok(()),
            Some(Register::Plain(number)) => {
                if number == LR {
                    // The emulator takes a BKPT for a fault, so it has to stop before
                    // one. Debuggers put one where code that they call returns to.
                    let back = value & !1;
                    self.return_to = self.is_bkpt(back).await?.then_some(back);
                }
                self.gdb().write_register(number, value).await
            }
            Some(Register::Special(number)) => self.write_special(number, value).await,
            Some(Register::Packed) => {
                for (byte, number) in value.to_le_bytes().into_iter().zip(PACKED) {
                    self.write_special(number, byte.into()).await?;
                }
                Ok(())
            }
        }
    }

    /// `mrs r0, number`, executed on the core: the gdbstub does not have it.
    async fn read_special(&mut self, number: u8) -> Result<u32, BoardError> {
        self.execute_scratch([0xF3EF, 0x8000 | u16::from(number)], 0)
            .await
    }

    /// `msr number, r0`.
    async fn write_special(&mut self, number: u8, value: u32) -> Result<(), BoardError> {
        self.execute_scratch([0xF380, 0x8800 | u16::from(number)], value)
            .await
            .map(drop)
    }

    /// Executes one instruction with `r0` set; returns `r0` and restores what it used.
    async fn execute_scratch(&mut self, code: [u16; 2], r0: u32) -> Result<u32, BoardError> {
        let mut bytes = [0; 4];
        bytes[..2].copy_from_slice(&code[0].to_le_bytes());
        bytes[2..].copy_from_slice(&code[1].to_le_bytes());
        self.machine.qtest.write(SCRATCH, &bytes).await?;
        let saved = [
            (0, self.gdb().read_register(0).await?),
            (PC, self.gdb().read_register(PC).await?),
            (XPSR, self.gdb().read_register(XPSR).await?),
        ];
        let xpsr = saved[2].1 & !XPSR_IT | XPSR_THUMB;
        for (number, value) in [(0, r0), (PC, SCRATCH), (XPSR, xpsr)] {
            self.gdb().write_register(number, value).await?;
        }
        // The store that the core may stand before is not what is executed here.
        let at_store = std::mem::take(&mut self.at_store);
        self.execute_one().await?;
        self.at_store = at_store;
        let result = self.gdb().read_register(0).await?;
        for (number, value) in saved {
            self.gdb().write_register(number, value).await?;
        }
        Ok(result)
    }
}
