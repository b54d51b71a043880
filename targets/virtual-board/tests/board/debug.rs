//! Attach, halt, registers, steps, breakpoints, memory, reset, RTT.

use std::time::Duration;

use probe_rs::{
    CoreStatus, HaltReason, MemoryInterface as _, RegisterId,
    architecture::arm::{FullyQualifiedApAddress, dp::DpAddress, sequences::DefaultArmSequence},
    rtt::{Rtt, ScanRegion},
};
use rstest::rstest;

use crate::support::{BREAK, Board, LOOP, NVM, PAGE, PATIENCE, RAM, board, eventually};

const PC: RegisterId = RegisterId(15);
const MSP: RegisterId = RegisterId(17);
const PSP: RegisterId = RegisterId(18);
const PACKED: RegisterId = RegisterId(20);

#[rstest]
fn memory_of_every_kind_reads_back(board: Board) {
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    core.halt(PATIENCE).unwrap();
    for address in [0x1000, RAM + 0x3F_0000, NVM + 0x10_0000] {
        let data: Vec<u8> = (0..5000u32).map(|n| (n * 7 % 251) as u8).collect();
        core.write(address, &data).unwrap();
        let mut back = vec![0; data.len()];
        core.read(address, &mut back).unwrap();
        assert_eq!(back, data, "at {address:#x}");
        core.write_8(address + 3, &[0xAB]).unwrap();
        assert_eq!(core.read_word_8(address + 3).unwrap(), 0xAB);
        assert_eq!(core.read_word_8(address + 4).unwrap(), data[4]);
    }
    assert_eq!(
        core.read_word_32(0xE000_ED00).unwrap(),
        0x410F_C231,
        "CPUID"
    );
    assert_eq!(core.read_word_32(PAGE).unwrap(), 0x5242_5650);
}

#[rstest]
fn a_hole_in_the_address_map_is_refused_and_the_probe_goes_on(board: Board) {
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    assert!(core.read_word_32(0x3000_0000).is_err());
    assert!(core.read_word_32(RAM).is_ok());
}

#[rstest]
fn the_core_halts_steps_and_runs(board: Board) {
    let _console = board.load_firmware();
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    core.halt(PATIENCE).unwrap();
    assert!(core.core_halted().unwrap());
    let before = core.read_word_32(RAM).unwrap();
    core.set_hw_breakpoint(LOOP).unwrap();
    core.run().unwrap();
    core.wait_for_core_halted(PATIENCE).unwrap();
    assert_eq!(core.read_core_reg::<u64>(PC).unwrap(), LOOP);
    assert!(matches!(
        core.status().unwrap(),
        CoreStatus::Halted(HaltReason::Breakpoint(_))
    ));
    // ldr, adds, str
    for n in 1..=3 {
        assert_eq!(core.step().unwrap().pc, LOOP + 2 * n);
    }
    assert!(core.read_word_32(RAM).unwrap() > before);
    core.clear_hw_breakpoint(LOOP).unwrap();
    core.run().unwrap();
    let halted_at = core.read_word_32(RAM).unwrap();
    eventually("the counter goes on", || {
        core.read_word_32(RAM).unwrap() > halted_at + 10
    });
    assert_eq!(core.status().unwrap(), CoreStatus::Running);
}

#[rstest]
fn every_register_is_written_and_read(board: Board) {
    let _console = board.load_firmware();
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    core.reset_and_halt(PATIENCE).unwrap();
    assert_eq!(core.read_core_reg::<u32>(MSP).unwrap(), 0x2040_0000);
    for n in 0..13 {
        core.write_core_reg(RegisterId(n), 0x1234_5600 + u32::from(n))
            .unwrap();
    }
    core.write_core_reg(PSP, 0x2000_8000u32).unwrap();
    core.write_core_reg(MSP, 0x2010_0000u32).unwrap();
    // CONTROL 0, FAULTMASK 0, BASEPRI 0x40, PRIMASK 1
    core.write_core_reg(PACKED, 0x0000_4001u32).unwrap();
    for n in 0..13 {
        assert_eq!(
            core.read_core_reg::<u32>(RegisterId(n)).unwrap(),
            0x1234_5600 + u32::from(n)
        );
    }
    assert_eq!(core.read_core_reg::<u32>(PSP).unwrap(), 0x2000_8000);
    assert_eq!(core.read_core_reg::<u32>(MSP).unwrap(), 0x2010_0000);
    assert_eq!(
        core.read_core_reg::<u32>(RegisterId(13)).unwrap(),
        0x2010_0000
    );
    assert_eq!(core.read_core_reg::<u32>(PACKED).unwrap(), 0x0000_4001);
    assert_eq!(core.read_core_reg::<u64>(PC).unwrap(), 0x40);
}

#[rstest]
fn a_breakpoint_in_the_firmware_halts_under_the_debugger(board: Board) {
    let mut console = board.load_firmware();
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    core.set_hw_breakpoint(BREAK).unwrap();
    console.send("b");
    core.wait_for_core_halted(PATIENCE).unwrap();
    assert_eq!(core.read_core_reg::<u64>(PC).unwrap(), BREAK);
    core.clear_hw_breakpoint(BREAK).unwrap();
    // A step over the BKPT instruction itself is the debugger's business.
    core.step().unwrap();
    core.run().unwrap();
    console.send("e");
    console.expect("e");
}

#[rstest]
fn a_sleeping_core_can_be_stepped(board: Board) {
    let mut console = board.load_firmware();
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    console.send("s");
    let mut count = core.read_word_32(RAM).unwrap();
    eventually("the counter stands still", || {
        let before = std::mem::replace(&mut count, core.read_word_32(RAM).unwrap());
        before == count
    });
    core.halt(PATIENCE).unwrap();
    let pc = core.read_core_reg::<u64>(PC).unwrap();
    assert_ne!(core.step().unwrap().pc, pc);
    core.run().unwrap();
    assert_eq!(core.status().unwrap(), CoreStatus::Running);
}

#[rstest]
fn reset_starts_over_and_says_why(board: Board) {
    let mut console = board.load_firmware();
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    core.reset().unwrap();
    console.expect("R4\n");
    console.send("r");
    console.expect("R4\n");
    console.send("d");
    console.expect("R8\n");
    let mut seed = [0; 32];
    core.read(PAGE + 0x20, &mut seed).unwrap();
    core.reset().unwrap();
    console.expect("R4\n");
    let mut next = [0; 32];
    core.read(PAGE + 0x20, &mut next).unwrap();
    assert_ne!(seed, next, "a fresh seed at every reset");
    drop(core);
    drop(session);
    board.power(false);
    board.power(true);
    console.expect("R1\n");
    let mut probe = board.probe();
    probe.target_reset_assert().unwrap();
    console.expect_silence(Duration::from_millis(50));
    probe.target_reset_deassert().unwrap();
    console.expect("R2\n");
}

#[rstest]
fn rtt_streams_while_the_core_runs(board: Board) {
    let _console = board.load_firmware();
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    let mut rtt = Rtt::attach_region(&mut core, &ScanRegion::Exact(RAM + 0x1000)).unwrap();
    let channel = rtt.up_channel(0).unwrap();
    assert_eq!(channel.name(), Some("letters"));
    let mut text = Vec::new();
    eventually("200 letters come", || {
        let mut chunk = [0; 64];
        let count = channel.read(&mut core, &mut chunk).unwrap();
        text.extend_from_slice(&chunk[..count]);
        text.len() > 200
    });
    for pair in text.windows(2) {
        assert_eq!(pair[1], if pair[0] == b'z' { b'a' } else { pair[0] + 1 });
    }
}

#[rstest]
fn a_blank_chip_is_locked_up_and_a_lockup_is_not_the_end(board: Board) {
    {
        let mut session = board.attach();
        let mut core = session.core(0).unwrap();
        assert_eq!(core.status().unwrap(), CoreStatus::LockedUp);
        core.halt(PATIENCE).unwrap();
        assert!(core.core_halted().unwrap());
    }
    let mut console = board.load_firmware();
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    console.send("x");
    eventually("it locks up", || {
        matches!(core.status(), Ok(CoreStatus::LockedUp))
    });
    core.reset().unwrap();
    console.expect("R4\n");
}

#[rstest]
fn the_probe_finds_the_components_of_the_chip(board: Board) {
    let probe = board.probe();
    let mut probe = probe;
    probe.attach_to_unspecified().unwrap();
    let mut arm = probe
        .try_into_arm_debug_interface(DefaultArmSequence::create())
        .map_err(|(_, error)| error)
        .unwrap();
    arm.select_debug_port(DpAddress::Default).unwrap();
    let ports = arm.access_ports(DpAddress::Default).unwrap();
    assert_eq!(ports.len(), 2, "MEM-AP and control AP");
    let port = FullyQualifiedApAddress::v1_with_default_dp(0);
    let mut memory = arm.memory_interface(&port).unwrap();
    let base = memory.base_address().unwrap();
    assert_eq!(base, 0xE00F_F000);
}
