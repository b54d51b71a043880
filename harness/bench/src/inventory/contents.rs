//! What is in an image file: the bytes that go into memory, and whether it is the file that it is said to be.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use ihex::Record;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, FileKind, elf};
use probe_rs::CoreType;

use super::ImageFormat;
use super::chip::Chip;

/// Bytes that go to one place of the chip's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Address of the first one.
    pub address: u64,
    /// At least one.
    pub data: Vec<u8>,
}

/// Why a file can't be the image that it is said to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageFlaw {
    /// No byte in the file.
    #[error("is empty")]
    Empty,
    /// What a version control system left in place of the file.
    #[error("is a pointer of {system}, not the file that it stands for")]
    Pointer {
        /// Git LFS, git-annex.
        system: &'static str,
        /// The command that fetches the file.
        fetch: &'static str,
    },
    /// What a server says of a file that it does not have, or does not give.
    #[error("is a web page")]
    WebPage,
    /// A file of another format.
    #[error("is said to be {} and looks like {looks}", said_of(*declared))]
    Looks {
        /// Its format in `target.toml`.
        declared: ImageFormat,
        /// What it begins as.
        looks: Looks,
    },
    /// A line of an Intel HEX file.
    #[error("is not Intel HEX in line {line}: {what}")]
    HexLine {
        /// From 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// No end record.
    #[error("is cut off: there is no end record (:00000001FF) after its last line, {lines}")]
    HexEnd {
        /// Number of the last line.
        lines: usize,
    },
    /// Not a whole ELF file.
    #[error("is not a complete ELF file: {what}")]
    Elf {
        /// What is wrong.
        what: String,
    },
    /// ELF, but nothing that could be programmed.
    #[error("is {what}, not an executable")]
    NotExecutable {
        /// What it is.
        what: &'static str,
    },
    /// For another processor.
    #[error("is for {image}; {chip} has {cores}")]
    Machine {
        /// The image's.
        image: String,
        /// The chip.
        chip: String,
        /// Its processors.
        cores: String,
    },
    /// Nothing in it goes into memory.
    #[error("has no byte that goes into memory")]
    Nothing,
    /// Two contents for one address.
    #[error("has two contents for {:#x}..{:#x}", common.start, common.end)]
    Twice {
        /// The addresses.
        common: Range<u64>,
    },
    /// Beyond the last address that there is.
    #[error("reaches beyond the address space: {size:#x} bytes at {address:#x}")]
    BeyondAddresses {
        /// Where it begins.
        address: u64,
        /// Its size in bytes.
        size: u64,
    },
}

impl ImageFlaw {
    /// What to do about it.
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::Empty | Self::Nothing => {
                "build it again; with nothing, whatever was in the device before would be tested"
                    .into()
            }
            Self::Pointer { fetch, .. } => format!("fetch the file: {fetch}"),
            Self::WebPage => "was it downloaded from the right address, by somebody who may?".into(),
            Self::Looks { looks, .. } => looks.remedy().into(),
            Self::HexLine { .. } | Self::HexEnd { .. } | Self::Elf { .. } => {
                "build or copy it again, as a whole".into()
            }
            Self::NotExecutable { .. } => {
                "name the linked program, whose addresses are fixed; or make a file with them in it by `objcopy -O ihex`"
                    .into()
            }
            Self::Machine { .. } => "build it for the chip, or correct `chip`".into(),
            Self::Twice { .. } => "correct the linker's script, or what put the file together".into(),
            Self::BeyondAddresses { .. } => "correct the address".into(),
        }
    }
}

fn said_of(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Bin => "bytes as they go into memory (format `bin`, as without `format`)",
        ImageFormat::Elf => "ELF",
        ImageFormat::Hex => "Intel HEX",
    }
}

/// What a file begins as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// ELF.
    Elf,
    /// Intel HEX.
    Hex,
    /// UF2.
    Uf2,
    /// Motorola S-records.
    Srec,
    /// ST's format for DFU.
    Dfuse,
    /// Nothing of these.
    Other,
}

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elf => "ELF",
            Self::Hex => "Intel HEX",
            Self::Uf2 => "UF2",
            Self::Srec => "S-records",
            Self::Dfuse => "DfuSe",
            Self::Other => "something else",
        })
    }
}

impl Looks {
    fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(&elf::ELFMAG) {
            return Self::Elf;
        }
        if bytes.starts_with(b"UF2\n\x57\x51\x5d\x9e") {
            return Self::Uf2;
        }
        if bytes.starts_with(b"DfuSe") {
            return Self::Dfuse;
        }
        let text = as_text(bytes);
        let is_hex = |from: usize, count: usize| {
            let digits = text.get(from..from + count);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        match text.first() {
            // Length, address and type; a pointer in little endian is no such text.
            Some(b':') if is_hex(1, 8) => Self::Hex,
            Some(b'S') if is_hex(1, 7) => Self::Srec,
            _ => Self::Other,
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::Elf => "write format = \"elf\", without `address`",
            Self::Hex => "write format = \"hex\", without `address`",
            Self::Uf2 | Self::Dfuse => {
                "name the file that it was made of, or convert it to Intel HEX or raw bytes"
            }
            Self::Srec => "convert it: `objcopy -I srec -O ihex`, and write format = \"hex\"",
            Self::Other => {
                "correct `format`: `bin` (raw bytes, with `address`), `hex` or `elf`; or build the file again"
            }
        }
    }
}

/// Without what editors and tools put before the first line.
fn as_text(bytes: &[u8]) -> &[u8] {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    text.trim_ascii_start()
}

/// Whether a file can be what somebody meant, whatever it is for. A pointer or a web page is refused by every device, which
/// would prove nothing.
pub(super) fn look(bytes: &[u8]) -> Result<(), ImageFlaw> {
    if bytes.is_empty() {
        return Err(ImageFlaw::Empty);
    }
    if bytes.starts_with(b"version https://git-lfs.github.com/spec/")
        || bytes.starts_with(b"version https://hawser.github.com/spec/")
    {
        return Err(ImageFlaw::Pointer {
            system: "Git LFS",
            fetch: "`git lfs pull`",
        });
    }
    let text = as_text(bytes);
    let begins = |with: &[u8]| {
        let begin = text.get(..with.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(with))
    };
    if begins(b"<!doctype html") || begins(b"<html") {
        return Err(ImageFlaw::WebPage);
    }
    // As a file's content, or what the link is where there are no links.
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
    if line.starts_with(b"/annex/objects/")
        || (line.len() < 1024 && has(line, b".git/annex/objects/"))
    {
        return Err(ImageFlaw::Pointer {
            system: "git-annex",
            fetch: "`git annex get`",
        });
    }
    Ok(())
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}

/// Contiguous bytes, by their address.
pub(super) type Run<'a> = (u64, Cow<'a, [u8]>);

/// What of a file goes into memory: by address, at least one byte, each address once.
///
/// `address`: of raw bytes, which do not say it themselves.
pub(super) fn decode<'a>(
    bytes: &'a [u8],
    format: ImageFormat,
    address: Option<u64>,
    chip: Option<&Chip>,
) -> Result<Vec<Run<'a>>, ImageFlaw> {
    look(bytes)?;
    let looks = Looks::of(bytes);
    let is_as_said = match format {
        ImageFormat::Bin => looks == Looks::Other,
        ImageFormat::Elf => looks == Looks::Elf,
        // What is wrong with its first line is told with the others.
        ImageFormat::Hex => {
            looks == Looks::Hex || (looks == Looks::Other && as_text(bytes).starts_with(b":"))
        }
    };
    if !is_as_said {
        return Err(ImageFlaw::Looks {
            declared: format,
            looks,
        });
    }
    let mut runs = match format {
        ImageFormat::Bin => vec![(address.unwrap_or_default(), Cow::Borrowed(bytes))],
        ImageFormat::Elf => elf(bytes, chip)?,
        ImageFormat::Hex => hex(bytes)?,
    };
    runs.retain(|(_, data)| !data.is_empty());
    if runs.is_empty() {
        return Err(ImageFlaw::Nothing);
    }
    for (address, data) in &runs {
        let size = data.len() as u64;
        if address.checked_add(size).is_none() {
            let address = *address;
            return Err(ImageFlaw::BeyondAddresses { address, size });
        }
    }
    runs.sort_by_key(|(address, _)| *address);
    for pair in runs.windows(2) {
        let (first, second) = (range(&pair[0]), range(&pair[1]));
        if first.end > second.start {
            let common = second.start..first.end.min(second.end);
            return Err(ImageFlaw::Twice { common });
        }
    }
    Ok(runs)
}

/// The addresses of a run that [`decode`] has given.
pub(super) fn range((address, data): &Run<'_>) -> Range<u64> {
    *address..*address + data.len() as u64
}

fn hex(bytes: &[u8]) -> Result<Vec<Run<'static>>, ImageFlaw> {
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut base = 0;
    let mut is_segmented = false;
    let mut has_ended = false;
    let mut lines = 0;
    for (index, line) in as_text(bytes).split(|byte| *byte == b'\n').enumerate() {
        // Tools of old times end a text with Ctrl-Z.
        let line = line.trim_ascii().trim_suffix_of(0x1a);
        if line.is_empty() {
            continue;
        }
        lines = index + 1;
        let wrong = |what: &str| ImageFlaw::HexLine {
            line: index + 1,
            what: what.into(),
        };
        if has_ended {
            return Err(wrong(
                "it comes after the end record; are there two files in one?",
            ));
        }
        let text = std::str::from_utf8(line).map_err(|_| wrong("it is not text"))?;
        match Record::from_record_string(text).map_err(|error| wrong(&error.to_string()))? {
            Record::Data { offset, value } => {
                let end = usize::from(offset) + value.len();
                if is_segmented && end > 0x1_0000 {
                    return Err(wrong("it reaches beyond the end of its segment"));
                }
                let address = base + u64::from(offset);
                match runs.last_mut() {
                    Some((start, data)) if *start + data.len() as u64 == address => {
                        data.extend(value);
                    }
                    _ => runs.push((address, value)),
                }
            }
            Record::ExtendedSegmentAddress(segment) => {
                base = u64::from(segment) << 4;
                is_segmented = true;
            }
            Record::ExtendedLinearAddress(upper) => {
                base = u64::from(upper) << 16;
                is_segmented = false;
            }
            Record::EndOfFile => has_ended = true,
            Record::StartSegmentAddress { .. } | Record::StartLinearAddress(_) => {}
        }
    }
    if !has_ended {
        return Err(ImageFlaw::HexEnd { lines });
    }
    let owned = runs.into_iter();
    Ok(owned.map(|(a, data)| (a, Cow::Owned(data))).collect())
}

trait TrimSuffix {
    fn trim_suffix_of(&self, byte: u8) -> &Self;
}

impl TrimSuffix for [u8] {
    fn trim_suffix_of(&self, byte: u8) -> &Self {
        let end = self.iter().rposition(|other| *other != byte);
        &self[..end.map_or(0, |end| end + 1)]
    }
}

fn elf<'a>(bytes: &'a [u8], chip: Option<&Chip>) -> Result<Vec<Run<'a>>, ImageFlaw> {
    match FileKind::parse(bytes) {
        Ok(FileKind::Elf32) => elf_of::<elf::FileHeader32<Endianness>>(bytes, chip),
        Ok(FileKind::Elf64) => elf_of::<elf::FileHeader64<Endianness>>(bytes, chip),
        Ok(_) => Err(ImageFlaw::Elf {
            what: "neither of 32 nor of 64 bits".into(),
        }),
        Err(error) => Err(broken(error)),
    }
}

fn broken(error: object::read::Error) -> ImageFlaw {
    ImageFlaw::Elf {
        what: error.to_string(),
    }
}

fn elf_of<'a, E: FileHeader<Endian = Endianness>>(
    bytes: &'a [u8],
    chip: Option<&Chip>,
) -> Result<Vec<Run<'a>>, ImageFlaw> {
    let header = E::parse(bytes).map_err(broken)?;
    let endian = header.endian().map_err(broken)?;
    let what = match header.e_type(endian) {
        elf::ET_EXEC => None,
        elf::ET_REL => Some("an object file"),
        elf::ET_DYN => Some("a shared library, or a program without addresses of its own"),
        elf::ET_CORE => Some("a core dump"),
        _ => Some("an ELF file of an unknown type"),
    };
    let machine = Machine {
        number: header.e_machine(endian),
        is_64: header.is_type_64(),
        endian,
    };
    if let Some(chip) = chip
        && !chip.cores.iter().any(|core| machine.runs_on(*core))
    {
        return Err(ImageFlaw::Machine {
            image: machine.to_string(),
            chip: chip.name.clone(),
            cores: chip.cores_in_words(),
        });
    }
    if let Some(what) = what {
        return Err(ImageFlaw::NotExecutable { what });
    }
    // Not by `sections`, which asks for names: there may be none.
    let sections = header.section_headers(endian, bytes).map_err(broken)?;
    let mut in_file = Vec::new();
    for section in sections {
        if let Some((offset, size)) = section.file_range(endian) {
            let end = offset.checked_add(size);
            if end.is_none_or(|end| end > bytes.len() as u64) {
                return Err(ImageFlaw::Elf {
                    what: "a section is beyond its end: it is cut off".into(),
                });
            }
            in_file.extend((size > 0).then_some(offset..offset + size));
        }
    }
    let mut runs = Vec::new();
    for segment in header.program_headers(endian, bytes).map_err(broken)? {
        if segment.p_type(endian) != elf::PT_LOAD {
            continue;
        }
        let data = segment.data(endian, bytes).map_err(|()| ImageFlaw::Elf {
            what: "a segment is beyond its end: it is cut off".into(),
        })?;
        // As probe-rs and OpenOCD take it: linkers make segments of nothing but the file's own headers.
        let (start, size) = segment.file_range(endian);
        let has_section = |section: &Range<u64>| {
            section.start >= start && section.end <= start.saturating_add(size)
        };
        if in_file.is_empty() || in_file.iter().any(has_section) {
            runs.push((segment.p_paddr(endian).into(), Cow::Borrowed(data)));
        }
    }
    Ok(runs)
}

/// What an ELF file is for.
struct Machine {
    number: u16,
    is_64: bool,
    endian: Endianness,
}

impl Machine {
    fn runs_on(&self, core: CoreType) -> bool {
        let is = |number, is_64| self.number == number && self.is_64 == is_64;
        let is_little = self.endian == Endianness::Little;
        match core {
            CoreType::Armv6m | CoreType::Armv7m | CoreType::Armv7em | CoreType::Armv8m => {
                is(elf::EM_ARM, false) && is_little
            }
            // Some are made as big-endian ones.
            CoreType::Armv7a | CoreType::Armv7r => is(elf::EM_ARM, false),
            CoreType::Armv8a => is(elf::EM_AARCH64, true) || is(elf::EM_ARM, false),
            CoreType::Riscv => is(elf::EM_RISCV, false) && is_little,
            CoreType::Riscv64 => is(elf::EM_RISCV, true) && is_little,
            CoreType::Xtensa => is(elf::EM_XTENSA, false) && is_little,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            elf::EM_ARM => f.write_str("Arm")?,
            elf::EM_AARCH64 => f.write_str("Arm (AArch64)")?,
            elf::EM_RISCV => f.write_str("RISC-V")?,
            elf::EM_XTENSA => f.write_str("Xtensa")?,
            elf::EM_386 | elf::EM_X86_64 => f.write_str("x86")?,
            elf::EM_AVR => f.write_str("AVR")?,
            elf::EM_MSP430 => f.write_str("MSP430")?,
            elf::EM_MIPS => f.write_str("MIPS")?,
            elf::EM_PPC | elf::EM_PPC64 => f.write_str("PowerPC")?,
            number => write!(f, "machine {number} of the ELF standard")?,
        }
        let bits = if self.is_64 { 64 } else { 32 };
        let end = match self.endian {
            Endianness::Little => "little",
            Endianness::Big => "big",
        };
        write!(f, ", {bits} bits, {end}-endian")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_beyond_the_address_space() {
        let decoded = |address| decode(b"bytes", ImageFormat::Bin, Some(address), None);
        assert!(decoded(u64::MAX - 5).is_ok());
        let flaw = decoded(u64::MAX - 4).unwrap_err();
        let told = "reaches beyond the address space: 0x5 bytes at 0xfffffffffffffffb";
        assert_eq!(flaw.to_string(), told);
    }
}
