//! The board on the bench: mains, button, chip, and the directory that keeps its memories.

use std::{path::PathBuf, sync::Arc};

use tokio::sync::{Mutex, Notify, mpsc};

use crate::{
    chip::{AccessError, Chip, Watch},
    console::Console,
    error::BoardError,
    ethernet::Ethernet,
    qemu::{Event, Machine, Signals},
    storage::Storage,
};

/// What a board is made of.
#[derive(Debug, Clone)]
pub struct BoardConfig {
    /// Its name on the bench.
    pub name: String,
    /// Where its memories and its console are.
    pub dir: PathBuf,
    /// Unique identity of its chip.
    pub chip_id: u64,
    /// The emulator's program.
    pub qemu: PathBuf,
    /// What is plugged into its Ethernet socket.
    pub ethernet: Option<Ethernet>,
}

/// An armed cut, or a mere count, of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cut {
    pub(crate) start: u32,
    pub(crate) len: u32,
    pub(crate) limit: u64,
    pub(crate) writes: u64,
    pub(crate) armed: bool,
    pub(crate) fired: bool,
}

pub(crate) type SharedBoard = Arc<Mutex<Board>>;

pub(crate) struct Board {
    config: BoardConfig,
    storage: Storage,
    console: Console,
    chip: Option<Chip>,
    button: bool,
    reset_pin_low: bool,
    /// Whether the Ethernet cable has a carrier.
    link: bool,
    cut: Cut,
    /// Counts power-ons, so that news of an old machine are told apart.
    generation: u64,
    news: mpsc::UnboundedSender<(u64, Signals)>,
    /// Where a fault that ends the board is reported.
    faults: mpsc::UnboundedSender<BoardError>,
}

impl Board {
    /// Opens the directory and the console; power is off. The fault that ends the
    /// board, if one does, comes from the returned channel.
    pub(crate) fn open(
        config: BoardConfig,
    ) -> Result<(SharedBoard, mpsc::UnboundedReceiver<BoardError>), BoardError> {
        let owner = format!("{}, process {}", config.name, std::process::id());
        let storage = Storage::open(&config.dir, &owner)?;
        let console = Console::open(storage.console())?;
        let (news, new_machines) = mpsc::unbounded_channel();
        let (faults, fault) = mpsc::unbounded_channel();
        let typed = console.waiting();
        let board = Arc::new(Mutex::new(Board {
            config,
            storage,
            console,
            chip: None,
            button: false,
            reset_pin_low: false,
            link: true,
            cut: Cut::default(),
            generation: 0,
            news,
            faults,
        }));
        tokio::spawn(supervise(Arc::downgrade(&board), new_machines));
        tokio::spawn(nudge(Arc::downgrade(&board), typed));
        Ok((board, fault))
    }

    pub(crate) fn config(&self) -> &BoardConfig {
        &self.config
    }

    pub(crate) fn dir(&self) -> &std::path::Path {
        self.storage.dir()
    }

    pub(crate) fn console_link(&self) -> PathBuf {
        self.storage.console()
    }

    pub(crate) fn console_lost(&self) -> u64 {
        self.console.lost()
    }

    pub(crate) fn is_on(&self) -> bool {
        self.chip.is_some()
    }

    pub(crate) fn is_button_held(&self) -> bool {
        self.button
    }

    /// The chip, while it has power.
    pub(crate) fn chip(&mut self) -> Option<&mut Chip> {
        self.chip.as_mut()
    }

    pub(crate) async fn power_on(&mut self) -> Result<(), BoardError> {
        if self.chip.is_some() {
            return Ok(());
        }
        let machine = self.start_machine().await?;
        let chip = Chip::power_on(
            machine,
            self.storage.boot(),
            self.config.chip_id,
            self.button,
            self.watch(),
            self.reset_pin_low,
        )
        .await?;
        self.chip = Some(chip);
        Ok(())
    }

    async fn start_machine(&mut self) -> Result<Machine, BoardError> {
        let nvm = self.storage.nvm();
        let ethernet = self.config.ethernet.as_ref();
        let (mut machine, signals, uart) =
            Machine::start(&self.config.qemu, &nvm, ethernet).await?;
        if ethernet.is_some() && !self.link {
            machine.qmp.set_link(false).await?;
        }
        self.console.attach(uart);
        self.generation += 1;
        let _ = self.news.send((self.generation, signals));
        Ok(machine)
    }

    /// Cuts the mains. Whatever the chip was doing ends here.
    pub(crate) async fn power_off(&mut self) -> Result<(), BoardError> {
        let Some(mut chip) = self.chip.take() else {
            return Ok(());
        };
        self.cut.writes = chip.watch().map_or(self.cut.writes, |watch| watch.stores);
        let mut saved = match chip.freeze().await {
            Ok(()) => chip.save_boot_flash().await,
            Err(error) => Err(error),
        };
        if let Err(BoardError::Link { .. }) = saved {
            // The core may have locked up just before: nobody will miss the emulator.
            let died = chip.died().await;
            saved = if died.is_lockup() { Ok(()) } else { Err(died) };
        }
        chip.kill().await;
        saved
    }

    /// Keeps the boot flash over whatever happens to us from now on.
    pub(crate) async fn save_boot_flash(&mut self) -> Result<(), BoardError> {
        match &mut self.chip {
            Some(chip) => chip.save_boot_flash().await,
            None => Ok(()),
        }
    }

    pub(crate) async fn set_button(&mut self, held: bool) -> Result<(), BoardError> {
        self.button = held;
        match &mut self.chip {
            Some(chip) => chip.set_button(held).await,
            None => Ok(()),
        }
    }

    /// Whether the Ethernet cable has a carrier; `None` without a cable.
    pub(crate) fn link(&self) -> Option<bool> {
        self.config.ethernet.as_ref().map(|_| self.link)
    }

    /// Gives the Ethernet cable a carrier or takes it away, for the firmware to notice. It stays so over power cycles.
    pub(crate) async fn set_link(&mut self, up: bool) -> Result<(), BoardError> {
        self.link = up;
        match &mut self.chip {
            Some(chip) if self.config.ethernet.is_some() => chip.set_link(up).await,
            _ => Ok(()),
        }
    }

    /// The probe's nRST line.
    pub(crate) async fn set_reset_pin(&mut self, low: bool) -> Result<(), BoardError> {
        self.reset_pin_low = low;
        match &mut self.chip {
            Some(chip) => chip.hold_in_reset(low).await,
            None => Ok(()),
        }
    }

    /// Arms a cut at the `limit`-th store to the range, or only counts (`limit` 0).
    pub(crate) async fn arm_cut(
        &mut self,
        start: u32,
        len: u32,
        limit: u64,
    ) -> Result<(), BoardError> {
        self.cut = Cut {
            start,
            len,
            limit,
            armed: true,
            ..Cut::default()
        };
        self.apply_watch().await
    }

    pub(crate) async fn disarm_cut(&mut self) -> Result<(), BoardError> {
        self.cut.writes = self.cut().writes;
        self.cut.armed = false;
        self.apply_watch().await
    }

    /// The cut as it stands now.
    pub(crate) fn cut(&self) -> Cut {
        let counted = self.chip.as_ref().and_then(Chip::watch);
        Cut {
            writes: counted.map_or(self.cut.writes, |watch| watch.stores),
            ..self.cut
        }
    }

    fn watch(&self) -> Option<Watch> {
        self.cut.armed.then_some(Watch {
            start: self.cut.start,
            len: self.cut.len,
            stores: self.cut.writes,
            limit: self.cut.limit,
        })
    }

    async fn apply_watch(&mut self) -> Result<(), BoardError> {
        let watch = self.watch();
        match &mut self.chip {
            Some(chip) => chip.set_watch(watch).await,
            None => Ok(()),
        }
    }

    /// Deals with what the machine has done by itself, and with a cut that is due.
    pub(crate) async fn settle(&mut self) -> Result<(), BoardError> {
        let Some(chip) = &mut self.chip else {
            return Ok(());
        };
        chip.poll().await?;
        if chip.watch().is_some_and(|watch| watch.is_due()) {
            self.power_off().await?;
            self.cut.armed = false;
            self.cut.fired = true;
        }
        Ok(())
    }

    async fn on_event(&mut self, event: Event) -> Result<(), BoardError> {
        let Some(chip) = &mut self.chip else {
            return Ok(());
        };
        match event {
            Event::ResetRequest { watchdog } => {
                // A store and the request may have come at once.
                self.settle().await?;
                match &mut self.chip {
                    Some(chip) => chip.carry_out_reset(watchdog).await,
                    None => Ok(()),
                }
            }
            Event::Closed => Err(chip.died().await),
        }
    }

    /// The outcome of something that was tried with the chip. A lockup of the core,
    /// which ends the emulator, is the firmware's doing: the board stays, its core
    /// locked up. All else ends the board.
    pub(crate) async fn check<T>(&mut self, outcome: Result<T, BoardError>) -> Option<T> {
        let error = match outcome {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let error = match (error, self.chip.take()) {
            (BoardError::Link { .. }, Some(mut chip)) => {
                let died = chip.died().await;
                match self.lock_up(chip, died).await {
                    Ok(()) => return None,
                    Err(error) => error,
                }
            }
            (error @ BoardError::QemuDied { .. }, Some(chip)) => {
                match self.lock_up(chip, error).await {
                    Ok(()) => return None,
                    Err(error) => error,
                }
            }
            (error, _) => error,
        };
        let _ = self.faults.send(error);
        None
    }

    async fn lock_up(&mut self, chip: Chip, died: BoardError) -> Result<(), BoardError> {
        if !died.is_lockup() {
            return Err(died);
        }
        let machine = self.start_machine().await?;
        self.chip = Some(Chip::locked_up(machine, chip).await?);
        Ok(())
    }
}

/// Runs beside everything else: stops of the core and events of the machine.
async fn supervise(
    board: std::sync::Weak<Mutex<Board>>,
    mut new_machines: mpsc::UnboundedReceiver<(u64, Signals)>,
) {
    let mut current: Option<(u64, Signals)> = None;
    loop {
        let event = tokio::select! {
            machine = new_machines.recv() => match machine {
                Some(machine) => {
                    current = Some(machine);
                    continue;
                }
                None => return,
            },
            event = next_event(current.as_mut()) => event,
        };
        let Some((generation, _)) = &current else {
            continue;
        };
        let Some(board) = board.upgrade() else { return };
        let mut board = board.lock().await;
        if board.generation != *generation {
            current = None;
            continue;
        }
        let outcome = match event {
            Some(event) => board.on_event(event).await,
            None => board.settle().await,
        };
        board.check(outcome).await;
        if matches!(event, Some(Event::Closed)) {
            current = None;
        }
    }
}

/// Gets what is typed on the console to firmware that has just become ready for it.
async fn nudge(board: std::sync::Weak<Mutex<Board>>, typed: Arc<Notify>) {
    loop {
        typed.notified().await;
        let Some(board) = board.upgrade() else { return };
        let mut board = board.lock().await;
        if let Some(chip) = board.chip() {
            let outcome = chip.nudge().await;
            board.check(outcome).await;
        }
    }
}

/// The machine's next event; `None` if its core may have stopped.
async fn next_event(current: Option<&mut (u64, Signals)>) -> Option<Event> {
    match current {
        None => std::future::pending().await,
        Some((_, signals)) => tokio::select! {
            biased;
            event = signals.events.recv() => Some(event.unwrap_or(Event::Closed)),
            () = signals.stops.ready() => None,
        },
    }
}

/// A debugger's access that failed on the board's side is dealt with by the board.
pub(crate) async fn checked<T>(
    board: &mut Board,
    outcome: Result<T, AccessError>,
) -> Result<T, AccessError> {
    match outcome {
        Err(AccessError::Board(error)) => {
            board.check::<T>(Err(error)).await;
            Err(AccessError::Refused)
        }
        other => other,
    }
}
