//! Read-out protection: locked by a word in non-volatile memory, opened by a mass erase.

use probe_rs::{
    MemoryInterface as _,
    architecture::arm::{
        ArmDebugInterface, FullyQualifiedApAddress, dp::DpAddress, sequences::DefaultArmSequence,
    },
};
use rstest::rstest;

use crate::support::{Board, Console, FIRMWARE, NVM, RAM, board, eventually, flash};

const IDR: u64 = 0xFC;
const CSW: u64 = 0x00;
const RESET: u64 = 0x00;
const ERASE_ALL: u64 = 0x04;
const ERASE_ALL_STATUS: u64 = 0x08;
const PROTECT_STATUS: u64 = 0x0C;

/// The access ports alone, as tools for locked parts use them.
struct Ports(Box<dyn ArmDebugInterface>);

impl Ports {
    fn new(board: &Board) -> Self {
        let mut probe = board.probe();
        probe.attach_to_unspecified().unwrap();
        let mut arm = probe
            .try_into_arm_debug_interface(DefaultArmSequence::create())
            .map_err(|(_, error)| error)
            .unwrap();
        arm.select_debug_port(DpAddress::Default).unwrap();
        Ports(arm)
    }

    fn memory(&mut self, register: u64) -> u32 {
        let port = FullyQualifiedApAddress::v1_with_default_dp(0);
        self.0.read_raw_ap_register(&port, register).unwrap()
    }

    fn control(&mut self, register: u64) -> u32 {
        let port = FullyQualifiedApAddress::v1_with_default_dp(1);
        self.0.read_raw_ap_register(&port, register).unwrap()
    }

    fn set_control(&mut self, register: u64, value: u32) {
        let port = FullyQualifiedApAddress::v1_with_default_dp(1);
        self.0
            .write_raw_ap_register(&port, register, value)
            .unwrap();
        self.0.flush().unwrap();
    }

    /// Reads a word through the MEM-AP's own registers.
    fn word(&mut self, address: u32) -> Result<u32, String> {
        let port = FullyQualifiedApAddress::v1_with_default_dp(0);
        let mut read = || {
            self.0.write_raw_ap_register(&port, CSW, 0x2300_0002)?;
            self.0.write_raw_ap_register(&port, 0x04, address)?;
            self.0.read_raw_ap_register(&port, 0x0C)
        };
        read().map_err(|error| format!("{error:?}"))
    }

    fn erase_all(&mut self) {
        self.set_control(ERASE_ALL, 1);
        while self.control(ERASE_ALL_STATUS) != 0 {}
        self.set_control(RESET, 1);
        self.set_control(RESET, 0);
    }
}

/// With the test firmware and a secret in it, its lock word set, but not in force.
fn prepare(board: &Board) -> Console {
    let mut console = board.load_firmware();
    flash(&mut board.attach(), NVM, b"secret").unwrap();
    let mut session = board.attach();
    session.core(0).unwrap().reset().unwrap();
    console.expect("R4\n");
    console.send("k");
    console.expect(".");
    console
}

/// Locked, by a loss of power.
fn lock(board: &Board) -> Console {
    let mut console = prepare(board);
    board.power(false);
    board.power(true);
    console.expect("R1\n");
    assert_eq!(board.status("locked"), true);
    console
}

#[rstest]
fn an_open_chip_says_so(board: Board) {
    let mut ports = Ports::new(&board);
    assert_eq!(ports.memory(IDR), 0x2477_0011);
    assert_eq!(ports.control(IDR), 0x0288_0000);
    assert_eq!(ports.control(PROTECT_STATUS), 1);
    assert_eq!(ports.memory(CSW) >> 6 & 1, 1, "device enabled");
    assert_eq!(ports.word(0x0100_0000), Ok(0x5242_5650));
    assert_eq!(board.status("locked"), false);
}

#[rstest]
fn a_locked_chip_refuses_memory_and_registers(board: Board) {
    let mut console = lock(&board);
    let mut ports = Ports::new(&board);
    assert_eq!(ports.control(PROTECT_STATUS), 0);
    assert_eq!(ports.memory(IDR), 0x2477_0011, "the port itself is there");
    assert_eq!(ports.memory(CSW) >> 6 & 1, 0, "device not enabled");
    // Boot flash, RAM, NVM, the lock word, the register page, a device, DHCSR, the ROM table.
    for address in [
        0,
        0x2000_0000,
        0x2100_0000,
        0x21FF_F000,
        0x0100_0000,
        0x4000_0000,
        0xE000_EDF0,
        0xE00F_F000,
    ] {
        ports.word(address).unwrap_err();
    }
    assert_eq!(ports.control(PROTECT_STATUS), 0, "the probe goes on");
    drop(ports);
    // The firmware does not notice.
    console.send("!");
    console.expect("!");
}

#[rstest]
fn a_debugger_can_not_attach_to_a_locked_chip(board: Board) {
    let _console = lock(&board);
    let error = board.try_attach().unwrap_err();
    let text = format!("{error:?}");
    // The probe's code for an answer of FAULT.
    assert!(text.contains("1027"), "{text}");
    board.try_attach().unwrap_err();
}

#[derive(Debug, Clone, Copy)]
enum Start {
    Software,
    Debugger,
    Watchdog,
    Pin,
    ControlPort,
    Power,
}

/// The lock word is looked at when power comes, and at a reset from outside of the chip.
#[rstest]
#[case(Start::Software, false)]
#[case(Start::Debugger, false)]
#[case(Start::Watchdog, false)]
#[case(Start::Pin, true)]
#[case(Start::ControlPort, true)]
#[case(Start::Power, true)]
fn the_lock_takes_effect_at(board: Board, #[case] start: Start, #[case] locked: bool) {
    let mut console = prepare(&board);
    assert_eq!(board.status("locked"), false);
    match start {
        Start::Software => console.send("r"),
        Start::Watchdog => console.send("d"),
        Start::Debugger => board.attach().core(0).unwrap().reset().unwrap(),
        Start::Pin => {
            let mut probe = board.probe();
            probe.target_reset_assert().unwrap();
            probe.target_reset_deassert().unwrap();
        }
        Start::ControlPort => {
            let mut ports = Ports::new(&board);
            ports.set_control(RESET, 1);
            ports.set_control(RESET, 0);
        }
        Start::Power => {
            board.power(false);
            board.power(true);
        }
    }
    console.expect(match start {
        Start::Software | Start::Debugger => "R4\n",
        Start::Watchdog => "R8\n",
        Start::Pin | Start::ControlPort => "R2\n",
        Start::Power => "R1\n",
    });
    assert_eq!(board.status("locked"), locked);
    let mut ports = Ports::new(&board);
    assert_eq!(ports.control(PROTECT_STATUS), u32::from(!locked));
    assert_eq!(ports.word(0).is_err(), locked);
}

#[rstest]
fn a_mass_erase_opens_the_chip_and_leaves_nothing(board: Board) {
    let console = lock(&board);
    let mut ports = Ports::new(&board);
    ports.erase_all();
    assert_eq!(ports.control(PROTECT_STATUS), 1);
    assert_eq!(ports.word(0), Ok(0xFFFF_FFFF));
    assert_eq!(ports.word(0x2100_0000), Ok(0xFFFF_FFFF));
    drop(ports);
    assert_eq!(board.status("locked"), false);
    assert!(board.nvm().iter().all(|&byte| byte == 0xFF));
    {
        let mut session = board.attach();
        let mut core = session.core(0).unwrap();
        let mut boot = vec![0; 0x40_0000];
        core.read(0, &mut boot).unwrap();
        assert!(boot.iter().all(|&byte| byte == 0xFF));
    }
    // It stays erased and open, and can be used again.
    board.power(false);
    assert!(
        std::fs::read(board.dir.join("boot.bin"))
            .unwrap()
            .iter()
            .all(|&byte| byte == 0xFF)
    );
    board.power(true);
    assert_eq!(board.status("locked"), false);
    drop(console);
    let mut console = board.load_firmware();
    let mut boot = vec![0; FIRMWARE.len()];
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    core.read(0, &mut boot).unwrap();
    assert_eq!(boot, FIRMWARE);
    console.send("!");
    console.expect("!");
}

/// As on the parts that it is modelled on: erased is not open until the next reset.
#[rstest]
fn an_erased_chip_stays_locked_until_it_is_reset(board: Board) {
    let _console = lock(&board);
    let mut ports = Ports::new(&board);
    ports.set_control(ERASE_ALL, 1);
    assert_eq!(ports.control(ERASE_ALL_STATUS), 0);
    assert_eq!(ports.control(PROTECT_STATUS), 0);
    ports.word(0).unwrap_err();
    ports.set_control(RESET, 1);
    assert_eq!(ports.control(RESET), 1);
    ports.set_control(RESET, 0);
    assert_eq!(ports.control(PROTECT_STATUS), 1);
    ports.word(0).unwrap();
}

#[rstest]
fn the_control_port_holds_the_chip_in_reset(board: Board) {
    let _console = board.load_firmware();
    let mut ports = Ports::new(&board);
    ports.set_control(RESET, 1);
    let held = ports.word(RAM as u32).unwrap();
    for _ in 0..100 {
        assert_eq!(
            ports.word(RAM as u32),
            Ok(held),
            "the firmware counts there"
        );
    }
    ports.set_control(RESET, 0);
    eventually("the firmware counts again", || {
        ports.word(RAM as u32).unwrap() != held
    });
}
