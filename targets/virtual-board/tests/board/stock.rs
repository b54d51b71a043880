//! The stock probe-rs command line, which knows nothing about virtual boards; and its library, used as it does.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use probe_rs::{
    MemoryInterface as _,
    flashing::{BinLoader, BinOptions, DownloadOptions, build_loader},
};
use rstest::rstest;
use tempfile::TempDir;

use crate::support::{Board, CHIP_YAML, FIRMWARE, NVM, PAGE, board, eventually};

/// The stock program, with a chip description and a board.
struct Stock {
    program: PathBuf,
    description: PathBuf,
    selector: String,
    temporary: TempDir,
}

impl Stock {
    fn new(board: &Board) -> Self {
        let temporary = TempDir::new().unwrap();
        let description = temporary.path().join("chip.yaml");
        std::fs::write(&description, CHIP_YAML).unwrap();
        Stock {
            program: std::env::var_os("PROBE_RS")
                .expect("PROBE_RS names the probe-rs command line")
                .into(),
            description,
            selector: board.ready["probe"].as_str().unwrap().to_owned(),
            temporary,
        }
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.temporary.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Runs a subcommand; returns whether it succeeded, and all that it wrote.
    fn try_run(&self, subcommand: &str, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(&self.program);
        command.args([subcommand, "--probe", &self.selector, "--protocol", "swd"]);
        if subcommand != "info" {
            command.args(["--chip", "provebench-virtual", "--chip-description-path"]);
            command.arg(&self.description);
        }
        let output = command.args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    fn run(&self, subcommand: &str, arguments: &[&str]) -> String {
        let (success, text) = self.try_run(subcommand, arguments);
        assert!(success, "{subcommand}: {text}");
        text
    }

    fn binary(&self, subcommand: &str, address: &str, file: &Path) -> (bool, String) {
        let file = file.to_str().unwrap();
        let arguments = ["--binary-format", "bin", "--base-address", address, file];
        self.try_run(subcommand, &arguments)
    }
}

#[rstest]
#[ignore = "needs the probe-rs command line: PROBE_RS=/path/to/probe-rs"]
fn the_stock_command_line_does_all_that_it_does_with_a_board(board: Board) {
    let stock = Stock::new(&board);
    // Without it, only chips are told that the program knows by themselves.
    let info = stock.run("info", &["--verbose"]);
    assert!(info.contains("MemoryAP"), "{info}");

    let firmware = stock.file("firmware.bin", FIRMWARE);
    let (success, text) = stock.binary("download", "0x0", &firmware);
    assert!(success, "{text}");
    let (success, text) = stock.binary("verify", "0x0", &firmware);
    assert!(success && text.contains("successful"), "{text}");
    let other = stock.file("other.bin", &[0x55; 64]);
    // Which is no failure of the program, as far as its exit code goes.
    let (_, text) = stock.binary("verify", "0x0", &other);
    assert!(text.contains("do not match"), "{text}");

    let mut console = board.console();
    stock.run("reset", &[]);
    console.expect("R4\n");

    let noise: Vec<u8> = (0..100_000u32).map(|n| (n * 31 % 251) as u8).collect();
    let image = stock.file("noise.bin", &noise);
    let (success, text) = stock.binary("download", "0x21000000", &image);
    assert!(success, "{text}");
    assert!(board.nvm()[..noise.len()] == noise);
    let word = u32::from_le_bytes(noise[8..12].try_into().unwrap());
    let read = stock.run("read", &["b32", "0x21000008", "1"]);
    assert!(read.contains(&format!("{word:08x}")), "{read}");

    stock.run("erase", &[]);
    assert!(board.nvm().iter().all(|&byte| byte == 0xFF));
}

/// `probe-rs download`: programs, and goes away without a reset. The core is left behind the flash algorithm, with nobody to
/// halt it: it locks up, and the board still says who it is.
#[rstest]
#[case::nothing_to_start(NVM, false)]
#[case::new_program_that_starts(0, false)]
#[case::beside_a_program_that_runs(NVM, true)]
fn a_board_is_the_same_after_a_download(
    board: Board,
    #[case] address: u64,
    #[case] runs: bool,
    #[values(1, 3)] times: usize,
) {
    if runs {
        drop(board.load_firmware());
    }
    let registers = || {
        let mut session = board.attach();
        let mut page = [0; 16];
        let mut core = session.core(0).unwrap();
        core.read_32(PAGE, &mut page).unwrap();
        page
    };
    let before = registers();
    assert_eq!(before[0], 0x5242_5650);
    for _ in 0..times {
        download(&board, address, FIRMWARE);
        // Whenever it is asked.
        let mut looks = 0;
        eventually("it was looked at a few times", || {
            assert_eq!(registers()[0], 0x5242_5650);
            looks += 1;
            looks >= 5
        });
    }
    let after = registers();
    // What a reset changes aside: its cause, and random numbers.
    assert_eq!(after[..2], before[..2]);
    assert_eq!(after[4..6], before[4..6]);
    assert!(after[8..] != [0; 8], "random numbers");
}

fn download(board: &Board, address: u64, data: &[u8]) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("image.bin");
    std::fs::write(&file, data).unwrap();
    let mut session = board.attach();
    let format = BinLoader(BinOptions {
        base_address: Some(address),
        skip: 0,
    });
    let loader = build_loader(&mut session, &file, format, None).unwrap();
    loader.commit(&mut session, DownloadOptions::new()).unwrap();
}
