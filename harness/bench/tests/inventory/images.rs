//! What is in image files, and what is said when it is not what goes into the chip.

use provebench_bench::inventory::{Inventory, Segment};
use rstest::rstest;

use crate::message_text::said;
use provebench_testing::TestBench;

const BOOT: &str = "[images.release.boot]\npath = \"boot.bin\"\naddress = 0x0\nflash = true\n";

const END: &str = ":00000001FF\n";
/// 16 bytes at 0x0010.
const DATA: &str = ":100010000102030405060708090A0B0C0D0E0F1058\n";

/// A bench whose image `boot` is described and made otherwise.
fn bench_with(image: &str, file: &[u8]) -> TestBench {
    let bench = TestBench::new();
    let entry = format!("[images.release.boot]\npath = \"boot.bin\"\n{image}\n");
    bench.replace(TestBench::TARGET_FILE, BOOT, &entry);
    bench.write("targets/sensor/boot.bin", file);
    bench
}

/// What `provebench check` and whoever programs the device say of the images; nothing if all is well.
fn problems(bench: &TestBench) -> String {
    let inventory = Inventory::load(&bench.devices(), &bench.targets()).unwrap();
    let device = &inventory.devices[1];
    let found = device.check_images().err();
    let found = found.map_or(String::new(), |err| said(bench, &err));
    // What the check passes can be programmed, and the other way round.
    let programmed = device.firmware(None).err();
    let programmed = programmed.map_or(String::new(), |err| said(bench, &err));
    if found.contains("image `boot`") || found.contains("images `") {
        assert_eq!(programmed, found);
    } else {
        assert_eq!(programmed, "");
    }
    found
}

const BIN: &str = "address = 0x0\nflash = true";
const HEX: &str = "format = \"hex\"\nflash = true";
const ELF: &str = "format = \"elf\"\nflash = true";

/// Intel HEX of one record at an address.
fn hex(address: u32, data: &[u8]) -> String {
    let mut text = record(0, 4, &(address >> 16).to_be_bytes()[2..]);
    text += &record(address as u16, 0, data);
    text + END
}

fn record(offset: u16, kind: u8, data: &[u8]) -> String {
    let mut bytes = vec![u8::try_from(data.len()).unwrap()];
    bytes.extend(offset.to_be_bytes());
    bytes.push(kind);
    bytes.extend(data);
    let sum = bytes
        .iter()
        .fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    bytes.push(sum.wrapping_neg());
    format!(":{}\n", hex::encode_upper(bytes))
}

/// An ELF file as a linker makes them, as far as it matters here.
#[derive(Clone, Copy)]
struct Elf {
    class: u8,
    big: bool,
    kind: u16,
    machine: u16,
    /// Load address and data of its segments.
    segments: &'static [(u32, &'static [u8])],
    has_sections: bool,
}

const ARM: Elf = Elf {
    class: 1,
    big: false,
    kind: 2,
    machine: 40,
    segments: &[(0x100, b"program")],
    has_sections: true,
};

impl Elf {
    fn file(self) -> Vec<u8> {
        let mut file = b"\x7fELF".to_vec();
        file.extend([self.class, if self.big { 2 } else { 1 }, 1]);
        file.resize(16, 0);
        let half = |n: u16| {
            if self.big {
                n.to_be_bytes()
            } else {
                n.to_le_bytes()
            }
        };
        let word = |n: usize| {
            let n = u32::try_from(n).unwrap();
            if self.big {
                n.to_be_bytes()
            } else {
                n.to_le_bytes()
            }
        };
        let wide = |n: usize| {
            if self.class == 2 {
                let n = n as u64;
                if self.big {
                    n.to_be_bytes()
                } else {
                    n.to_le_bytes()
                }
                .to_vec()
            } else {
                word(n).to_vec()
            }
        };
        let (header, program, section) = if self.class == 2 {
            (64, 56, 64)
        } else {
            (52, 32, 40)
        };
        let data_at = header + program * self.segments.len();
        let data: usize = self.segments.iter().map(|(_, data)| data.len()).sum();
        // One section for each segment, after an empty one.
        let sections = if self.has_sections {
            self.segments.len() + 1
        } else {
            0
        };
        let sections_at = if self.has_sections { data_at + data } else { 0 };
        file.extend(half(self.kind));
        file.extend(half(self.machine));
        file.extend(word(1));
        file.extend(wide(0));
        file.extend(wide(header));
        file.extend(wide(sections_at));
        file.extend(word(0));
        for n in [header, program, self.segments.len(), section, sections, 0] {
            file.extend(half(u16::try_from(n).unwrap()));
        }
        let mut at = data_at;
        for (address, data) in self.segments {
            let address = *address as usize;
            file.extend(word(1));
            if self.class == 2 {
                file.extend(word(5));
            }
            // Where it runs is elsewhere: .data is copied.
            for n in [at, 0x2000_0000, address, data.len(), data.len()] {
                file.extend(wide(n));
            }
            if self.class == 1 {
                file.extend(word(5));
            }
            file.extend(wide(4));
            at += data.len();
        }
        file.extend(self.segments.iter().flat_map(|(_, data)| *data));
        if self.has_sections {
            file.resize(file.len() + section, 0);
            at = data_at;
            for (_, data) in self.segments {
                let begin = file.len();
                file.extend(word(0));
                file.extend(word(1));
                for n in [2, 0x2000_0000, at, data.len()] {
                    file.extend(wide(n));
                }
                file.resize(begin + section, 0);
                at += data.len();
            }
        }
        file
    }
}

#[rstest]
#[case::empty_bin(BIN, b"", "image `boot` is empty: targets/sensor/boot.bin")]
#[case::empty_hex(HEX, b"", "is empty")]
#[case::empty_elf(ELF, b"", "is empty")]
#[case::only_end(HEX, END.as_bytes(), "has no byte that goes into memory")]
#[case::only_addresses(
    HEX,
    b":020000040000FA\n:00000001FF\n",
    "has no byte that goes into memory"
)]
#[case::record_of_nothing(
    HEX,
    b":00001000F0\n:00000001FF\n",
    "has no byte that goes into memory"
)]
#[case::only_blank_lines(HEX, b"\n\n", "looks like something else")]
fn nothing_is_no_image(#[case] image: &str, #[case] file: &[u8], #[case] what: &str) {
    assert_told(image, file, what);
}

#[rstest]
#[case::no_end(DATA.into(), "is cut off: there is no end record (:00000001FF) after its last line, 1")]
#[case::within_a_line(format!("{DATA}{}", &DATA[..20]), "is not Intel HEX in line 2")]
#[case::within_the_end(format!("{DATA}:0000000"), "is not Intel HEX in line 2: too short")]
#[case::first_line_cut(":10".into(), "is not Intel HEX in line 1: too short")]
#[case::checksum(DATA.replace("58\n", "59\n") + END, "in line 1: invalid checksum")]
#[case::digit_lost(DATA.replace(":1", ":") + END, "in line 1: ")]
#[case::no_digit(DATA.replace("0F10", "0F1O") + END, "in line 1: invalid characters")]
#[case::more_after_the_end(format!("{DATA}{END}{}", hex(0x100, b"x")), "in line 3: it comes after the end record; are there two files in one?")]
#[case::twice(format!("{DATA}{DATA}{END}"), "has two contents for 0x10..0x20")]
#[case::over_itself(format!("{DATA}{}", hex(0x1f, b"xx")), "has two contents for 0x1f..0x20")]
#[case::beyond_its_segment(":020000020000FC\n:02FFFF000102FD\n:00000001FF\n".into(), "in line 2: it reaches beyond the end of its segment")]
#[case::unknown_record(":0000000AF6\n".to_owned() + END, "in line 1: unsupported")]
fn damaged_hex_is_told(#[case] file: String, #[case] what: &str) {
    assert_told(HEX, file.as_bytes(), what);
}

#[rstest]
#[case::not_utf_8(b"\x3a10000000\xff".to_vec(), HEX, "is not Intel HEX in line 1: it is not text")]
#[case::bin_as_hex(b"\x00\x10\x00\x20".to_vec(), HEX, "is said to be Intel HEX and looks like something else")]
#[case::bin_as_elf(b"\x00\x10\x00\x20".to_vec(), ELF, "is said to be ELF and looks like something else")]
#[case::elf_as_hex(ARM.file(), HEX, "is said to be Intel HEX and looks like ELF")]
#[case::hex_as_elf(hex(0, b"x").into_bytes(), ELF, "is said to be ELF and looks like Intel HEX")]
#[case::elf_as_bin(ARM.file(), BIN, "is said to be bytes as they go into memory (format `bin`, as without `format`) and looks like ELF")]
#[case::hex_as_bin(hex(0, b"x").into_bytes(), BIN, "looks like Intel HEX")]
#[case::hex_after_a_mark(format!("\u{feff}\r\n{}", hex(0, b"x")).into_bytes(), BIN, "looks like Intel HEX")]
#[case::srec_as_bin(b"S00F000068656C6C6F202020202000003C\r\n".to_vec(), BIN, "looks like S-records")]
#[case::srec_as_hex(b"S00F000068656C6C6F202020202000003C\r\n".to_vec(), HEX, "looks like S-records")]
#[case::uf2_as_bin(b"UF2\n\x57\x51\x5d\x9e\0\0\0\0".to_vec(), BIN, "looks like UF2")]
#[case::dfuse_as_bin(b"DfuSe\x01\0\0\0\0".to_vec(), BIN, "looks like DfuSe")]
#[case::lfs(lfs(), BIN, "is a pointer of Git LFS")]
#[case::lfs_as_hex(lfs(), HEX, "is a pointer of Git LFS")]
#[case::lfs_as_elf(lfs(), ELF, "is a pointer of Git LFS")]
#[case::annex(b"/annex/objects/SHA256E-s1048576--0123.bin\n".to_vec(), BIN, "is a pointer of git-annex")]
#[case::annex_link(b"../.git/annex/objects/Xk/9z/SHA256E-s1--01.bin/SHA256E-s1--01.bin".to_vec(), BIN, "is a pointer of git-annex")]
#[case::web_page(b"\n<!DOCTYPE HTML>\n<title>404</title>".to_vec(), BIN, "is a web page")]
fn other_files_are_told(#[case] file: Vec<u8>, #[case] image: &str, #[case] what: &str) {
    assert_told(image, &file, what);
}

fn lfs() -> Vec<u8> {
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n".to_vec()
}

#[rstest]
#[case::risc_v(Elf { machine: 243, ..ARM }, "is for RISC-V, 32 bits, little-endian; nRF52840_xxAA has Armv7E-M")]
#[case::x86_64(Elf { machine: 62, class: 2, ..ARM }, "is for x86, 64 bits, little-endian;")]
#[case::aarch64(Elf { machine: 183, class: 2, ..ARM }, "is for Arm (AArch64), 64 bits")]
#[case::arm_of_64_bits(Elf { class: 2, ..ARM }, "is for Arm, 64 bits")]
#[case::big_endian(Elf { big: true, ..ARM }, "is for Arm, 32 bits, big-endian;")]
#[case::unknown(Elf { machine: 4711, ..ARM }, "is for machine 4711 of the ELF standard")]
#[case::object_file(Elf { kind: 1, ..ARM }, "is an object file, not an executable")]
#[case::shared_library(Elf { kind: 3, ..ARM }, "is a shared library")]
#[case::core_dump(Elf { kind: 4, ..ARM }, "is a core dump")]
#[case::no_segment(Elf { segments: &[], ..ARM }, "has no byte that goes into memory")]
#[case::segment_of_nothing(Elf { segments: &[(0x100, b"")], ..ARM }, "has no byte that goes into memory")]
#[case::twice(Elf { segments: &[(0x100, b"one"), (0x101, b"other")], ..ARM }, "has two contents for 0x101..0x103")]
fn elf_that_does_not_fit_is_told(#[case] elf: Elf, #[case] what: &str) {
    assert_told(ELF, &elf.file(), what);
}

#[rstest]
#[case::header(10)]
#[case::segments(60)]
#[case::data(87)]
#[case::sections(100)]
fn elf_that_is_cut_off_is_told(#[case] size: usize) {
    assert_told(ELF, &ARM.file()[..size], "is not a complete ELF file: ");
}

#[rstest]
#[case::user_data(
    0x1000,
    4,
    "goes to 0x1000, which is in no region that can be programmed: `store` holds data of the user"
)]
#[case::into_user_data(0xfff, 2, "goes to 0x1000, which is in no region")]
#[case::ram(
    0x2000_0000,
    4,
    "goes to 0x20000000, which is in no region that can be programmed"
)]
#[case::nowhere(
    0x4000_0000,
    4,
    "goes to 0x40000000, which is in no region that can be programmed"
)]
#[case::last_address(0xffff_ffff, 2, "goes to 0xffffffff, which is in no region")]
fn hex_outside_of_memory_is_told(#[case] address: u32, #[case] size: usize, #[case] what: &str) {
    assert_told(HEX, hex(address, &vec![7; size]).as_bytes(), what);
}

#[rstest]
#[case::user_data(Elf { segments: &[(0x100, b"program"), (0x1ffe, b"data")], ..ARM }, "goes to 0x1ffe, which is in no region that can be programmed: `store`")]
#[case::ram(Elf { segments: &[(0x2000_0100, b"program")], ..ARM }, "goes to 0x20000100, which is in no region")]
#[case::last_address(Elf { segments: &[(0xffff_fffe, b"program")], ..ARM }, "goes to 0xfffffffe, which is in no region")]
fn elf_outside_of_memory_is_told(#[case] elf: Elf, #[case] what: &str) {
    assert_told(ELF, &elf.file(), what);
}

#[rstest]
#[case::ram(
    "0x2000_0000",
    "0x1000",
    "goes to 0x20000000, which is RAM of nRF52840_xxAA"
)]
#[case::nothing(
    "0x9000_0000",
    "0x1000",
    "goes to 0x90000000, which is where nRF52840_xxAA has nothing that can be programmed"
)]
#[case::last_address(
    "0xffff_ffff_ffff_fff0",
    "0xf",
    "goes to 0xfffffffffffffff0, which is where nRF52840_xxAA has nothing"
)]
fn a_region_that_the_chip_does_not_have_is_told(
    #[case] start: &str,
    #[case] size: &str,
    #[case] what: &str,
) {
    let bench = bench_with(&format!("address = {start}\nflash = true"), &[7; 0x20]);
    let region =
        format!("\n[[memory]]\nname = \"more\"\nrole = \"code\"\nstart = {start}\nsize = {size}\n");
    bench.append(TestBench::TARGET_FILE, &region);
    let inventory = Inventory::load(&bench.devices(), &bench.targets());
    let told = match &inventory {
        Ok(_) => problems(&bench),
        Err(err) => said(&bench, err),
    };
    assert!(told.contains(what), "{told}");
    assert!(told.contains("targets/sensor/target.toml:"), "{told}");
}

#[rstest]
#[case::empty("", "is empty")]
#[case::pointer(
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n",
    "is a pointer of Git LFS"
)]
#[case::web_page("<html><title>Sign in</title>", "is a web page")]
fn what_is_offered_as_an_update_is_something(#[case] file: &str, #[case] what: &str) {
    let bench = TestBench::new();
    bench.write("targets/sensor/update.img", file);
    let told = problems(&bench);
    assert!(told.contains(&format!("image `update` {what}")), "{told}");
    assert!(told.contains("targets/sensor/target.toml:32:8"), "{told}");
    let inventory = Inventory::load(&bench.devices(), &bench.targets()).unwrap();
    let read = inventory.devices[1].image("update").unwrap().read();
    assert!(read.is_err());
}

#[rstest]
#[case::uf2("", b"UF2\n\x57\x51\x5d\x9e\0\0\0\0")]
#[case::hex("", END.as_bytes())]
#[case::hex_of_another_place("format = \"hex\"", b":020000042120B9\n:0100000001FE\n:00000001FF\n")]
#[case::any_machine("format = \"elf\"", &RISC_V)]
fn an_update_may_be_for_another_place(#[case] format: &str, #[case] file: &[u8]) {
    let bench = TestBench::new();
    let update = "path = \"update.img\"\n";
    bench
        .replace(
            TestBench::TARGET_FILE,
            update,
            &format!("{update}{format}\n"),
        )
        .write("targets/sensor/update.img", file);
    assert_eq!(problems(&bench), "");
}

static RISC_V: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
    Elf {
        machine: 243,
        ..ARM
    }
    .file()
});

#[test]
fn images_that_overlap_are_told() {
    let bench = bench_with(HEX, hex(0x800, b"bootloader").as_bytes());
    let app = "\n[images.release.app]\npath = \"app.bin\"\naddress = 0x0\nflash = true\n";
    bench.append(TestBench::TARGET_FILE, app);
    bench.write("targets/sensor/app.bin", [7; 0x801]);
    let expected = r#"
images `app` and `boot` both go to 0x800..0x801
  targets/sensor/target.toml:27:8 `"boot.bin"` goes there, too
  targets/sensor/target.toml:51:8 `"app.bin"` with this
  help: leave one of them out (flash = false), or correct where it goes
"#;
    assert_eq!(format!("\n{}", problems(&bench)), expected);
    bench.write("targets/sensor/app.bin", [7; 0x800]);
    assert_eq!(problems(&bench), "");
    // One that takes its place later is no problem.
    bench.write("targets/sensor/app.bin", [7; 0x801]);
    bench.replace(TestBench::TARGET_FILE, app, &app.replace("true", "false"));
    assert_eq!(problems(&bench), "");
}

#[rstest]
#[case::lower_case_crlf(format!("{}{END}", DATA.to_lowercase()).replace('\n', "\r\n"))]
#[case::mark_and_ctrl_z(format!("\u{feff}{DATA}\n{END}\x1a"))]
#[case::without_last_newline(format!("{DATA}:00000001FF"))]
#[case::start_address(format!("{DATA}:0400000500000101F5\n{END}"))]
#[case::segment(format!(":020000020001FB\n{}{END}", record(0, 0, &bytes())))]
#[case::out_of_order(format!("{}{}{END}", record(0x18, 0, &bytes()[8..]), record(0x10, 0, &bytes()[..8])))]
fn good_hex_goes_where_it_says(#[case] file: String) {
    let bench = bench_with(HEX, file.as_bytes());
    assert_eq!(problems(&bench), "");
    let joined = programmed(&bench).into_iter().fold(
        (0x10, Vec::new()),
        |(start, mut all), Segment { address, data }| {
            assert_eq!(address, start + all.len() as u64);
            all.extend(data);
            (start, all)
        },
    );
    assert_eq!(joined.1, bytes());
}

fn bytes() -> Vec<u8> {
    (1..=16).collect()
}

/// Load addresses count; a part without sections is the file's own headers, unless there are none at all.
#[rstest]
#[case::with_sections(true)]
#[case::stripped(false)]
fn good_elf_goes_where_it_says(#[case] has_sections: bool) {
    let segments: &[(u32, &[u8])] = &[(0x400, b"data"), (0x100, b"program"), (0x200, b"")];
    let elf = Elf {
        segments,
        has_sections,
        ..ARM
    };
    let bench = bench_with(ELF, &elf.file());
    assert_eq!(problems(&bench), "");
    let expected = [(0x100, &b"program"[..]), (0x400, b"data")].map(|(address, data)| Segment {
        address,
        data: data.into(),
    });
    assert_eq!(programmed(&bench), expected);
}

#[test]
fn one_hex_file_fills_regions_side_by_side() {
    let bench = bench_with(HEX, hex(0x2ffc, &[7; 8]).as_bytes());
    let more = "\n[[memory]]\nname = \"a\"\nrole = \"code\"\nstart = 0x2000\nsize = 0x1000\n\
        \n[[memory]]\nname = \"b\"\nrole = \"nvm\"\nstart = 0x3000\nsize = 0x1000\n";
    bench.append(TestBench::TARGET_FILE, more);
    assert_eq!(problems(&bench), "");
}

fn programmed(bench: &TestBench) -> Vec<Segment> {
    let inventory = Inventory::load(&bench.devices(), &bench.targets()).unwrap();
    let mut firmware = inventory.devices[1].firmware(None).unwrap();
    assert_eq!(firmware.len(), 1);
    firmware.remove(0).1
}

#[test]
fn an_image_that_changes_between_check_and_programming_is_told() {
    let bench = TestBench::new();
    let inventory = Inventory::load(&bench.devices(), &bench.targets()).unwrap();
    let device = &inventory.devices[1];
    device.check_images().unwrap();
    device.firmware(None).unwrap();
    bench.write("targets/sensor/boot.bin", "another");
    let expected = r#"
image `boot` has changed since it was read first: targets/sensor/boot.bin
  targets/sensor/target.toml:27:8 `"boot.bin"` this file
  help: don't build while it is tested: the results would be of two firmwares; run it again
"#;
    let err = device.firmware(None).unwrap_err();
    assert_eq!(format!("\n{}", said(&bench, &err)), expected);
    bench.write("targets/sensor/boot.bin", "boot");
    device.firmware(None).unwrap();
}

#[track_caller]
fn assert_told(image: &str, file: &[u8], what: &str) {
    let bench = bench_with(image, file);
    let told = problems(&bench);
    assert!(told.contains("image `boot` "), "{told}");
    assert!(told.contains(what), "{told}");
    assert!(
        told.contains("  targets/sensor/target.toml:27:8 `\"boot.bin\"` "),
        "{told}"
    );
}
