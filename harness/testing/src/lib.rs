//! What the tests of several crates share: benches of files, a board, a machine with a cable, what processes have started.

#![allow(
    missing_docs,
    clippy::missing_fields_in_debug,
    clippy::new_without_default,
    clippy::return_self_not_must_use,
    reason = "tests alone use it"
)]

pub mod board;
pub mod machine;
pub mod processes;
pub mod support;
pub mod usb;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// An inventory of its own in a temporary folder.
pub struct TestBench {
    dir: TempDir,
    targets: PathBuf,
}

/// `devices.toml` of a [`TestBench`].
pub const DEVICES: &str = r#"[[device]]
name = "wired"
target = "sensor"
tags = ["bench1"]
label = { serial = "S1", password = "correct horse" }
options = { flaw = "none" }
probe = { selector = "1366:1015:0001", protocol = "swd", speed_khz = 4000 }
console = { port = "/dev/serial/by-id/usb-1" }
power = { driver = "tasmota", url = "http://10.0.0.5", relay = 1 }
actuators.reset = { driver = "tasmota", url = "http://10.0.0.5", relay = 2 }

[[device]]
name = "emulated"
target = "sensor"
virtual = { board = "mps2-an385" }
"#;

/// `targets/sensor/target.toml` of a [`TestBench`].
pub const TARGET: &str = r#"[target]
name = "sensor"
model = "S-1"
chip = "nRF52840_xxAA"
build = "make images"

[product]
colour = "white"

[options]
flaw = ["none", "no-lockout"]
note = []

[[memory]]
name = "boot"
role = "code"
start = 0x0
size = 0x1000

[[memory]]
name = "store"
role = "user-data"
start = 0x1000
size = 0x1000

[images.release.boot]
path = "boot.bin"
address = 0x0
flash = true

[images.release.update]
path = "update.img"

[timing]
boot = 1
reset = 2.5

[debug_port]
control_ap = 1
status = { register = 0x0C, open = 1 }
erase = { register = 0x04, value = 1, busy_register = 0x08 }

[console]
baud = 9600

[components]
login = ["5.1"]
erasing = ["5.11-1-2"]
"#;

/// A chip description; `chip = "other"`, `chip_description = "family.yaml"` would use it.
pub const CHIP: &str = r"name: family
variants:
- name: other
  cores:
  - name: main
    type: armv7m
    core_access_options: !Arm
      ap: !v1 0
  memory_map:
  - !Nvm
    range: { start: 0x0, end: 0x10000 }
    cores: [main]
  - !Ram
    range: { start: 0x20000000, end: 0x20010000 }
    cores: [main]
";

impl TestBench {
    pub const TARGET_FILE: &str = "targets/sensor/target.toml";
    pub const ICS_FILE: &str = "targets/sensor/ics.toml";
    pub const IXIT_FILE: &str = "targets/sensor/ixit.toml";

    /// One target that nothing stands for, and two devices of it: for tests that never reach a DUT.
    pub fn new() -> Self {
        let dir = temporary_folder();
        let targets = dir.path().join("targets");
        let bench = Self { dir, targets };
        bench
            .write("devices.toml", DEVICES)
            .write(Self::TARGET_FILE, TARGET)
            .write(
                "targets/sensor/driver.star",
                "def login(d):\n    return True\n",
            )
            .write(
                Self::ICS_FILE,
                "\"5.1-1\" = { support = \"yes\", detail = \"on the label\" }\n",
            )
            .write(
                Self::IXIT_FILE,
                "[[1-AuthMech]]\nid = \"AuthMech-Console\"\n",
            )
            .write("targets/sensor/family.yaml", CHIP)
            .write("targets/sensor/boot.bin", "boot")
            .write("targets/sensor/update.img", "update");
        bench
    }

    /// Virtual boards of the reference sensor, as [`virtual_sensor`] writes them; targets are the shipped ones.
    pub fn of_sensors(devices: impl IntoIterator<Item = String>) -> Self {
        let bench = Self {
            dir: temporary_folder(),
            targets: repository().join("targets"),
        };
        let devices: String = devices.into_iter().collect();
        let images = format!(
            "allow_paths = [\"{}\", \"targets\"]\n\n",
            repository().display()
        );
        bench.write("devices.toml", images + &devices);
        bench
    }

    /// A shipped target's description as one of this bench's own, in its folder `targets`; images stay where they are.
    pub fn copy_target(&self, name: &str) -> &Self {
        let from = repository().join("targets").join(name);
        let board = repository().join("targets/virtual-board/chip.yaml");
        self.write(
            "targets/virtual-board/chip.yaml",
            fs::read(board).expect("it is there"),
        );
        for entry in fs::read_dir(&from).expect("it is there").flatten() {
            if entry.path().is_file() {
                let file = entry.file_name().into_string().expect("a name");
                let path = format!("targets/{name}/{file}");
                self.write(&path, fs::read(entry.path()).expect("a file"));
            }
        }
        let toml = format!("targets/{name}/target.toml");
        let text = fs::read_to_string(self.root().join(&toml)).expect("it is there");
        let images = repository().join("target/firmware");
        let images = images.to_str().expect("a name");
        self.write(&toml, text.replace("../../target/firmware", images))
    }

    /// The folder that all is in.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn devices(&self) -> PathBuf {
        self.root().join("devices.toml")
    }

    pub fn targets(&self) -> PathBuf {
        self.targets.clone()
    }

    /// What tells `provebench` to use this bench.
    pub fn args(&self) -> [std::ffi::OsString; 6] {
        [
            "--devices".into(),
            self.devices().into(),
            "--targets".into(),
            self.targets().into(),
            "--allow-path".into(),
            repository().join("target/firmware").into(),
        ]
    }

    /// Writes a file, with the folders above it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("folders can be made");
        fs::write(path, content).expect("files can be written");
        self
    }

    pub fn remove(&self, path: &str) -> &Self {
        fs::remove_file(self.root().join(path)).expect("there is such a file");
        self
    }

    /// Replaces text that must be in the file exactly once, or the test would show nothing.
    pub fn replace(&self, path: &str, old: &str, new: &str) -> &Self {
        let text = fs::read_to_string(self.root().join(path)).expect("there is such a file");
        assert_eq!(text.matches(old).count(), 1, "{old:?} is once in {path}");
        self.write(path, text.replace(old, new))
    }

    pub fn append(&self, path: &str, more: &str) -> &Self {
        let text = fs::read_to_string(self.root().join(path)).expect("there is such a file");
        self.write(path, text + more)
    }
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    let this = Path::new(env!("CARGO_MANIFEST_DIR"));
    let above = this.ancestors().nth(2);
    above.expect("it is in the repository").to_owned()
}

/// A `[[device]]` for `devices.toml`: a virtual board of the reference sensor, conforming or with a flaw.
pub fn virtual_sensor(name: &str, serial: &str, password: &str, flaw: Option<&str>) -> String {
    let flawed = flaw.map_or(String::new(), |flaw| {
        format!("images = \"flaws\"\noptions = {{ flaw = \"{flaw}\" }}\n")
    });
    format!(
        "[[device]]\nname = \"{name}\"\ntarget = \"reference-sensor\"\n\
         virtual = {{ board = \"mps2-an385\" }}\n\
         label = {{ serial = \"{serial}\", password = \"{password}\" }}\n{flawed}\n"
    )
}

fn temporary_folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}
