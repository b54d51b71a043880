//! The powered chip: a machine plus the debug logic that the emulator lacks.

mod access;
mod core;

use std::collections::BTreeSet;

use rand::RngCore as _;

use crate::{
    debug::{port::DebugPort, registers::CoreDebug},
    error::BoardError,
    memory_map::{BOOT_FLASH, BUTTON, ERASED, LEDS, LOCK_WORD, NVM, REGISTER_PAGE},
    qemu::{Gdb, Machine, Point},
    storage::BootImage,
};

/// Why the chip came out of reset; bits of the register page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResetCause {
    PowerOn = 1 << 0,
    Pin = 1 << 1,
    Software = 1 << 2,
    Watchdog = 1 << 3,
}

/// A debugger's access did not go through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    /// The chip refused: locked, bus fault, debug domain not powered.
    #[error("the chip refused the access")]
    Refused,
    #[error(transparent)]
    Board(#[from] BoardError),
}

/// A range whose stores are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) start: u32,
    pub(crate) len: u32,
    /// Instructions that stored to the range so far, the one to be executed next included.
    pub(crate) stores: u64,
    /// Before this store power is to be cut; 0 only counts.
    pub(crate) limit: u64,
}

impl Watch {
    pub(crate) fn is_due(&self) -> bool {
        self.limit > 0 && self.stores >= self.limit
    }
}

pub(crate) struct Chip {
    machine: Machine,
    pub(crate) port: DebugPort,
    core: CoreDebug,
    locked: bool,
    /// The reset pin, or the control access port, holds the chip in reset.
    held_in_reset: bool,
    /// Firmware asked for a reset that the board has not carried out yet.
    reset_requested: bool,
    /// It may sleep in WFI: then it has to be woken before a step.
    may_sleep: bool,
    /// A BKPT that code called by the debugger returns to.
    return_to: Option<u32>,
    inserted: BTreeSet<u32>,
    watch: Option<Watch>,
    /// The core stands before a store that has been counted and is still to be executed.
    at_store: bool,
    boot_image: BootImage,
    /// A debugger has, or may have, written to the boot flash since it was last saved.
    boot_unsaved: bool,
    chip_id: u64,
    button: bool,
    /// The board registers, as the last reset has left them.
    page: Vec<u8>,
}

impl Chip {
    /// Loads the boot flash and lets the core start, or holds it if its reset pin is low.
    pub(crate) async fn power_on(
        machine: Machine,
        boot_image: BootImage,
        chip_id: u64,
        button: bool,
        watch: Option<Watch>,
        held_in_reset: bool,
    ) -> Result<Self, BoardError> {
        let mut chip = Chip {
            machine,
            port: DebugPort::default(),
            core: CoreDebug::default(),
            locked: false,
            held_in_reset,
            reset_requested: false,
            may_sleep: false,
            return_to: None,
            inserted: BTreeSet::new(),
            watch: None,
            at_store: false,
            boot_image,
            boot_unsaved: false,
            chip_id,
            button,
            page: Vec::new(),
        };
        chip.load_boot_flash().await?;
        chip.set_watch(watch).await?;
        chip.reset(ResetCause::PowerOn).await?;
        Ok(chip)
    }

    /// After a lockup ended the emulator: power is on, the core is locked up.
    pub(crate) async fn locked_up(machine: Machine, before: Chip) -> Result<Self, BoardError> {
        let mut chip = Chip {
            machine,
            inserted: BTreeSet::new(),
            watch: None,
            at_store: false,
            reset_requested: false,
            may_sleep: false,
            ..before
        };
        chip.load_boot_flash().await?;
        chip.set_watch(before.watch).await?;
        chip.machine.qmp.system_reset().await?;
        // A lockup is no reset: the registers are what they were.
        chip.write_register_page().await?;
        chip.core.halted = false;
        chip.core.locked_up = true;
        Ok(chip)
    }

    async fn load_boot_flash(&mut self) -> Result<(), BoardError> {
        const BLOCK: usize = 64 * 1024;
        let boot = self.boot_image.read()?;
        let qtest = &mut self.machine.qtest;
        qtest
            .fill(BOOT_FLASH.start, BOOT_FLASH.len(), ERASED)
            .await?;
        for (n, block) in boot.chunks(BLOCK).enumerate() {
            if block.iter().any(|&byte| byte != ERASED) {
                qtest
                    .write(BOOT_FLASH.start + (n * BLOCK) as u32, block)
                    .await?;
            }
        }
        Ok(())
    }

    /// Resets the chip. The core runs afterwards unless reset is held, or the
    /// debugger catches it.
    pub(crate) async fn reset(&mut self, cause: ResetCause) -> Result<(), BoardError> {
        self.stop_machine().await?;
        self.machine.qmp.system_reset().await?;
        self.reset_requested = false;
        self.may_sleep = false;
        self.at_store = false;
        self.return_to = None;
        if matches!(cause, ResetCause::PowerOn | ResetCause::Pin) {
            let word = self.machine.qtest.read(LOCK_WORD, 4).await?;
            self.locked = word != [ERASED; 4];
        }
        self.fill_register_page(cause).await?;
        if !self.core.reset() && !self.held_in_reset {
            self.start_core().await?;
        }
        Ok(())
    }

    async fn fill_register_page(&mut self, cause: ResetCause) -> Result<(), BoardError> {
        let mut page = Vec::with_capacity(64);
        page.extend(0x5242_5650u32.to_le_bytes());
        page.extend(u32::from(self.button).to_le_bytes());
        page.extend((cause as u32).to_le_bytes());
        page.extend([0; 4]);
        page.extend(self.chip_id.to_le_bytes());
        page.extend([0; 8]);
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        page.extend(seed);
        self.page = page;
        self.write_register_page().await
    }

    async fn write_register_page(&mut self) -> Result<(), BoardError> {
        let button = (BUTTON - REGISTER_PAGE) as usize;
        self.page[button..button + 4].copy_from_slice(&u32::from(self.button).to_le_bytes());
        self.machine.qtest.write(REGISTER_PAGE, &self.page).await
    }

    /// The reset pin, or the control access port's reset. Released, it resets.
    pub(crate) async fn hold_in_reset(&mut self, held: bool) -> Result<(), BoardError> {
        match (self.held_in_reset, held) {
            (false, true) => {
                self.stop_machine().await?;
                self.held_in_reset = true;
            }
            (true, false) => {
                self.held_in_reset = false;
                self.reset(ResetCause::Pin).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Firmware's request, announced by the machine.
    pub(crate) async fn carry_out_reset(&mut self, watchdog: bool) -> Result<(), BoardError> {
        self.reset(if watchdog {
            ResetCause::Watchdog
        } else {
            ResetCause::Software
        })
        .await
    }

    pub(crate) async fn set_button(&mut self, held: bool) -> Result<(), BoardError> {
        self.button = held;
        self.machine.qtest.write_word(BUTTON, u32::from(held)).await
    }

    /// The carrier at the Ethernet interface.
    pub(crate) async fn set_link(&mut self, up: bool) -> Result<(), BoardError> {
        self.machine.qmp.set_link(up).await
    }

    /// Makes the emulator look again whether its UART takes what has been typed. It does
    /// so only when its main loop wakes, which enabling the UART's receiver does not do.
    pub(crate) async fn nudge(&mut self) -> Result<(), BoardError> {
        self.machine.qtest.read_word(REGISTER_PAGE).await.map(drop)
    }

    /// State of the LEDs, bit 0 and bit 1.
    pub(crate) async fn leds(&mut self) -> Result<u32, BoardError> {
        Ok(self.machine.qtest.read_word(LEDS).await? & 0b11)
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.locked
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.machine.pid()
    }

    /// The count so far.
    pub(crate) fn watch(&self) -> Option<Watch> {
        self.watch
    }

    /// Counts the core's stores to this range from now on.
    pub(crate) async fn set_watch(&mut self, watch: Option<Watch>) -> Result<(), BoardError> {
        let was_running = self.pause().await?;
        if let Some(old) = self.watch.take() {
            self.gdb()
                .remove(Point::WriteWatch, old.start, old.len)
                .await?;
        }
        if let Some(new) = watch {
            self.gdb()
                .insert(Point::WriteWatch, new.start, new.len)
                .await?;
        }
        self.watch = watch;
        // A store that the core stands before is counted by the new watch.
        self.at_store = false;
        self.unpause(was_running).await
    }

    /// Keeps the boot flash over whatever happens from now on.
    pub(crate) async fn save_boot_flash(&mut self) -> Result<(), BoardError> {
        let file = self.boot_image.new_image().to_string_lossy();
        let saved = self
            .machine
            .qmp
            .save_memory(BOOT_FLASH.start, BOOT_FLASH.len() as u32, &file)
            .await;
        match saved {
            Ok(()) => self.boot_image.commit()?,
            // The emulator writes the file, and says no more about it than that.
            Err(BoardError::Answer { answer, .. }) => {
                return Err(self.boot_image.not_written(answer));
            }
            Err(error) => return Err(error),
        }
        self.boot_unsaved = false;
        Ok(())
    }

    /// Power is gone, at once.
    pub(crate) async fn kill(self) {
        self.machine.kill().await;
    }

    /// Freezes the core, so that the boot flash can be saved as it is now.
    pub(crate) async fn freeze(&mut self) -> Result<(), BoardError> {
        self.stop_machine().await
    }

    /// Why the emulator has ended, after one of its sockets failed.
    pub(crate) async fn died(&mut self) -> BoardError {
        self.machine.died().await
    }

    /// Mass erase: the core has nothing left to run until a reset.
    async fn erase_all(&mut self) -> Result<(), BoardError> {
        self.stop_machine().await?;
        let qtest = &mut self.machine.qtest;
        qtest
            .fill(BOOT_FLASH.start, BOOT_FLASH.len(), ERASED)
            .await?;
        qtest.fill(NVM.start, NVM.len(), ERASED).await?;
        self.core.locked_up = true;
        self.boot_unsaved = true;
        Ok(())
    }

    fn gdb(&mut self) -> &mut Gdb {
        &mut self.machine.gdb
    }

    async fn stop_machine(&mut self) -> Result<(), BoardError> {
        if self.machine.gdb.is_running() {
            let stop = self.machine.gdb.interrupt().await?;
            self.note(stop);
        }
        Ok(())
    }
}
