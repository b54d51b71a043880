//! Power cut at a certain store to a range of memory.

use probe_rs::{Core, MemoryInterface as _, RegisterId};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Board, NVM, PATIENCE, RAM, board, eventually, flash};

/// What the firmware's key `w` stores: this many words, from the start of NVM on.
const STORES: usize = 256;

const PC: RegisterId = RegisterId(15);

/// The state as the plug tells it.
fn cut(board: &Board) -> Value {
    board.plug("CutAtWrite")["CutAtWrite"].clone()
}

fn arm(board: &Board, start: u64, len: u64, limit: usize) {
    let answer = board.plug(&format!("CutAtWrite {start:#x} {len} {limit}"));
    assert_eq!(
        answer,
        json!({"CutAtWrite": {
            "armed": true, "fired": false, "writes": 0, "start": start, "len": len, "n": limit,
        }})
    );
}

fn await_cut(board: &Board) {
    eventually("power is cut", || {
        board.plug("Power1") == json!({"POWER1": "OFF"})
    });
}

/// The words that `count` stores of the key `w` leave in erased memory.
fn words(count: usize) -> Vec<u8> {
    let stored = (0..count as u32).flat_map(u32::to_le_bytes);
    let erased = std::iter::repeat_n(0xFF, 4 * (STORES - count));
    stored.chain(erased).collect()
}

fn assert_stored(board: &Board, count: usize) {
    let nvm = board.nvm();
    assert!(
        nvm[..4 * STORES] == words(count),
        "{count} stores expected, found {:?}",
        nvm[..4 * STORES]
            .chunks(4)
            .position(|word| word == [0xFF; 4])
    );
    assert!(nvm[4 * STORES..].iter().all(|&byte| byte == 0xFF));
}

#[rstest]
#[case::first(1)]
#[case::second(2)]
#[case::some(100)]
#[case::last(STORES)]
fn power_is_cut_before_the_store_is_done(board: Board, #[case] limit: usize) {
    let mut console = board.load_firmware();
    arm(&board, NVM, 4 * STORES as u64, limit);
    console.send("w");
    await_cut(&board);
    assert_stored(&board, limit - 1);
    let state = cut(&board);
    assert_eq!(state["armed"], false);
    assert_eq!(state["fired"], true);
    assert_eq!(state["writes"], limit);
    assert_eq!(board.emulator(), None);

    // Once is enough: it goes on as after any loss of power.
    board.power(true);
    assert_eq!(console.take(3), b"R1\n");
    let mut back = vec![0; 4 * STORES];
    board
        .attach()
        .core(0)
        .unwrap()
        .read(NVM, &mut back)
        .unwrap();
    assert!(back == words(limit - 1));
    console.send("w");
    console.expect(".");
    assert_stored(&board, STORES);
}

#[rstest]
fn a_limit_beyond_what_is_stored_cuts_nothing(board: Board) {
    let mut console = board.load_firmware();
    arm(&board, NVM, 4 * STORES as u64, STORES + 1);
    console.send("w");
    console.expect(".");
    assert_stored(&board, STORES);
    assert_eq!(cut(&board)["writes"], STORES);
    console.send("o");
    await_cut(&board);
    assert_stored(&board, STORES);
}

#[rstest]
fn stores_are_only_counted_with_a_limit_of_zero(board: Board) {
    let mut console = board.load_firmware();
    arm(&board, NVM, 0x0100_0000, 0);
    for round in 1..=3 {
        console.send("w");
        console.expect(".");
        assert_eq!(cut(&board)["writes"], round * STORES);
    }
    assert_eq!(cut(&board)["fired"], false);
    assert_stored(&board, STORES);
}

#[rstest]
fn a_disarmed_cut_neither_counts_nor_cuts(board: Board) {
    let mut console = board.load_firmware();
    arm(&board, NVM, 0x0100_0000, STORES + 1);
    console.send("w");
    console.expect(".");
    let answer = board.plug("CutAtWrite 0");
    assert_eq!(answer["CutAtWrite"]["armed"], false);
    assert_eq!(answer["CutAtWrite"]["writes"], STORES);
    console.send("wo");
    console.expect("..");
    assert_eq!(cut(&board), answer["CutAtWrite"]);
    assert!(board.plug("Power1") == json!({"POWER1": "ON"}));

    // A new one starts at zero.
    arm(&board, NVM, 4, 1);
    console.send("o");
    await_cut(&board);
    assert_eq!(cut(&board)["writes"], 1);
}

#[rstest]
#[case::beside(NVM + 4 * STORES as u64, 0x1000)]
#[case::boot_flash(0, 0x0040_0000)]
#[case::other_ram(RAM + 0x10_0000, 0x1000)]
fn stores_elsewhere_do_not_count(board: Board, #[case] start: u64, #[case] len: u64) {
    let mut console = board.load_firmware();
    arm(&board, start, len, 1);
    console.send("w");
    console.expect(".");
    assert_eq!(cut(&board)["writes"], 0);
    assert_stored(&board, STORES);
}

#[rstest]
fn one_word_in_the_middle_can_be_the_range(board: Board) {
    let mut console = board.load_firmware();
    arm(&board, NVM + 4 * 77, 4, 1);
    console.send("w");
    await_cut(&board);
    assert_stored(&board, 77);
}

#[rstest]
fn what_the_debugger_writes_does_not_count(board: Board) {
    let mut console = board.load_firmware();
    arm(&board, NVM, 0x0100_0000, 1);
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    core.write(NVM + 0x1000, &[0; 4096]).unwrap();
    assert_eq!(cut(&board)["writes"], 0);
    console.send("o");
    await_cut(&board);
}

/// Runs `stores` (and then spins) on the core, with r0 and up set to `registers`.
fn run_code(core: &mut Core<'_>, stores: &[u16], registers: &[u64]) {
    const SPIN: u16 = 0xE7FE;
    const CODE: u64 = RAM + 0x8000;
    core.halt(PATIENCE).unwrap();
    let code: Vec<_> = stores.iter().copied().chain([SPIN]).collect();
    core.write_16(CODE, &code).unwrap();
    for (n, &value) in (0..).zip(registers) {
        core.write_core_reg(RegisterId(n), value as u32).unwrap();
    }
    core.write_core_reg(PC, CODE as u32).unwrap();
    core.run().unwrap();
}

/// One range that covers boot flash, RAM and NVM: every store counts, wherever it goes, and
/// power goes before the third one.
#[rstest]
fn a_range_may_cover_several_memories(board: Board) {
    const STR_R0_R1: u16 = 0x6008;
    const STR_R0_R2: u16 = 0x6010;
    const STR_R0_R3: u16 = 0x6018;
    const BOOT_END: u64 = 0x003F_FFFC;
    drop(board.load_firmware());
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    core.halt(PATIENCE).unwrap();
    arm(&board, 0, NVM + 0x0100_0000, 3);
    run_code(
        &mut core,
        &[STR_R0_R1, STR_R0_R2, STR_R0_R3],
        &[0x1234_5678, BOOT_END, NVM, NVM + 4],
    );
    await_cut(&board);
    drop(core);
    drop(session);
    let boot = std::fs::read(board.dir.join("boot.bin")).unwrap();
    assert_eq!(boot[BOOT_END as usize..], 0x1234_5678u32.to_le_bytes());
    let nvm = board.nvm();
    assert_eq!(nvm[..4], 0x1234_5678u32.to_le_bytes());
    assert_eq!(nvm[4..8], [0xFF; 4], "the third store was not done");
}

/// The erasure of a sector, by stores of eight words, ends in its middle.
#[rstest]
fn a_cut_while_flashing_fails_the_flashing(board: Board) {
    {
        let mut session = board.attach();
        flash(&mut session, NVM, &[0; 4096]).unwrap();
        arm(&board, NVM, 0x1_0000, 100);
        flash(&mut session, NVM, &[0x11; 4096]).unwrap_err();
    }
    await_cut(&board);
    let nvm = board.nvm();
    assert_eq!(nvm[..32 * 99], [0xFF; 32 * 99]);
    assert_eq!(nvm[32 * 99..4096], [0; 4096 - 32 * 99]);
    board.power(true);
    let mut session = board.attach();
    flash(&mut session, NVM, &[0x11; 4096]).unwrap();
}

#[derive(Debug, Clone, Copy)]
enum Interruption {
    PowerCycle,
    Reset,
    Watchdog,
    Lockup,
}

#[rstest]
#[case(Interruption::PowerCycle)]
#[case(Interruption::Reset)]
#[case(Interruption::Watchdog)]
#[case(Interruption::Lockup)]
fn an_armed_cut_goes_on_counting(board: Board, #[case] interruption: Interruption) {
    let mut console = board.load_firmware();
    arm(&board, NVM, 0x0100_0000, STORES + 44);
    console.send("w");
    console.expect(".");
    match interruption {
        Interruption::PowerCycle => {
            board.power(false);
            assert_eq!(cut(&board)["writes"], STORES);
            board.power(true);
            console.expect("R1\n");
        }
        Interruption::Reset => {
            console.send("r");
            console.expect("R4\n");
        }
        Interruption::Watchdog => {
            console.send("d");
            console.expect("R8\n");
        }
        Interruption::Lockup => {
            let mut session = board.attach();
            let mut core = session.core(0).unwrap();
            console.send("x");
            eventually("it locks up", || {
                matches!(core.status(), Ok(probe_rs::CoreStatus::LockedUp))
            });
            core.reset().unwrap();
            console.expect("R4\n");
        }
    }
    assert_eq!(cut(&board)["armed"], true);
    assert_eq!(cut(&board)["writes"], STORES);
    // Back to blank, by the debugger, which does not count.
    board
        .attach()
        .core(0)
        .unwrap()
        .write(NVM, &[0xFF; 4 * STORES])
        .unwrap();
    console.send("w");
    await_cut(&board);
    assert_stored(&board, 43);
}

#[rstest]
fn a_cut_can_be_armed_before_power_on(board: Board) {
    let mut console = board.load_firmware();
    board.power(false);
    arm(&board, NVM, 0x0100_0000, 10);
    board.power(true);
    console.expect("R1\n");
    console.send("w");
    await_cut(&board);
    assert_stored(&board, 9);
}

#[rstest]
#[case::empty("CutAtWrite 0x21000000 0 1")]
#[case::beyond_the_address_space("CutAtWrite 0xFFFFFFFF 2 1")]
#[case::no_number("CutAtWrite here 4 1")]
#[case::too_few("CutAtWrite 0x21000000 4")]
#[case::negative("CutAtWrite 0x21000000 4 -1")]
fn a_bad_range_is_refused_and_changes_nothing(board: Board, #[case] command: &str) {
    arm(&board, NVM, 4, 7);
    assert_eq!(board.plug(command), json!({"Command": "Unknown"}));
    assert_eq!(cut(&board)["n"], 7);
    assert_eq!(cut(&board)["armed"], true);
}
