//! Programming through the flash algorithm, which runs on the emulated core.

use probe_rs::MemoryInterface as _;
use rstest::rstest;

use crate::support::{Board, FIRMWARE, NVM, PATIENCE, board, flash};

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x1234_5678u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(len)
    .collect()
}

#[rstest]
#[case::boot_flash(0x1000)]
#[case::across_sectors(NVM + 0x8000)]
#[case::odd_start(NVM + 0x123)]
fn what_is_flashed_reads_back_and_the_rest_stays(board: Board, #[case] address: u64) {
    let data = noise(100_001);
    let mut session = board.attach();
    let before = [0x5A; 16];
    session
        .core(0)
        .unwrap()
        .write(address - 16, &before)
        .unwrap();
    flash(&mut session, address, &data).unwrap();
    let mut core = session.core(0).unwrap();
    let mut back = vec![0; data.len()];
    core.read(address, &mut back).unwrap();
    assert!(back == data);
    let mut kept = [0; 16];
    core.read(address - 16, &mut kept).unwrap();
    assert_eq!(kept, before);
    core.halt(PATIENCE).unwrap();
    drop(core);
    drop(session);
    // In NVM, the file is the memory.
    if address >= NVM {
        let file = std::fs::read(board.dir.join("nvm.bin")).unwrap();
        let offset = usize::try_from(address - NVM).unwrap();
        assert!(file[offset..offset + data.len()] == data);
    }
}

#[rstest]
fn flash_survives_power_and_the_board_itself_and_ram_does_not() {
    let temporary = tempfile::TempDir::new().unwrap();
    let dir = temporary.path().to_owned();
    let board = Board::start(dir.clone(), &["--power", "on"]);
    let mut console = board.load_firmware();
    {
        let mut session = board.attach();
        flash(&mut session, NVM, b"persistent").unwrap();
        let mut core = session.core(0).unwrap();
        core.write(0x2000_4000, b"volatile").unwrap();
        core.reset().unwrap();
        console.expect("R4\n");
    }
    let check = |board: &Board| {
        let mut session = board.attach();
        let mut core = session.core(0).unwrap();
        let mut boot = vec![0; FIRMWARE.len()];
        core.read(0, &mut boot).unwrap();
        assert_eq!(boot, FIRMWARE);
        let mut text = [0; 10];
        core.read(NVM, &mut text).unwrap();
        assert_eq!(&text, b"persistent");
        core.read(0x2000_4000, &mut text).unwrap();
        assert_ne!(&text[..8], b"volatile");
    };
    board.power(false);
    board.power(true);
    console.expect("R1\n");
    check(&board);
    assert_eq!(board.stop(), Some(0));

    let mut board = Board::start(dir.clone(), &["--power", "on"]);
    board.console().expect("R1\n");
    check(&board);
    board.kill();

    let board = Board::start(dir, &["--power", "on"]);
    board.console().expect("R1\n");
    check(&board);
}
