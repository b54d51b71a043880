//! What may be read on behalf of a target's folder.
//!
//! A target's folder comes from whoever changes the product, often by a merge request that nobody has looked at yet, and
//! benches run as root: what it names must not lead to other files of this machine, nor hold up who reads it.

use std::{
    env, fmt,
    fs::{self, File},
    io::{self, ErrorKind, Read},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::fcntl::OFlag;
use thiserror::Error;

/// No description, script or answer is as long.
pub const LONGEST_TEXT: u64 = 16 << 20;

/// No image or photo is as long.
pub const LONGEST_FILE: u64 = 2 << 30;

/// The folders that files may be in: the one that names them, and those that the user allows.
#[derive(Clone, PartialEq, Eq)]
pub struct Roots(Arc<[PathBuf]>);

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a file is not read, though it is there.
#[derive(Debug, Error)]
enum Refused {
    #[error(
        "it is outside of {}, at {}: move it there, or allow its folder, with --allow-path or in `allow_paths` of \
         devices.toml", root.display(), real.display()
    )]
    Outside { root: PathBuf, real: PathBuf },
    #[error("it is {0}, not a file")]
    NoFile(&'static str),
    #[error("it has {size} bytes, more than the {longest} that are read")]
    TooLong { size: u64, longest: u64 },
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        let kind = match refused {
            Refused::Outside { .. } => ErrorKind::PermissionDenied,
            Refused::NoFile(_) => ErrorKind::InvalidInput,
            Refused::TooLong { .. } => ErrorKind::FileTooLarge,
        };
        Self::new(kind, refused)
    }
}

impl Roots {
    /// A folder, and what the user allows besides it. Folders that do not exist hold nothing.
    pub fn new(folder: &Path, allowed: &[PathBuf]) -> Self {
        let current = || env::current_dir().unwrap_or_default();
        let real = |path: &Path| {
            let path = if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                path
            };
            fs::canonicalize(path).unwrap_or_else(|_| current().join(path))
        };
        let allowed = allowed.iter().map(|path| real(path));
        Self(std::iter::once(real(folder)).chain(allowed).collect())
    }

    /// Opens a file of at most `longest` bytes.
    ///
    /// # Errors
    /// Also for what leads out of the folders (by `..` or by links), and for what is no plain file: devices, FIFOs and
    /// sockets could have no end, or do something when they are opened.
    pub fn open(&self, path: &Path, longest: u64) -> io::Result<File> {
        // Before it is opened: a device may act on that.
        check_kind(&fs::metadata(path)?)?;
        let file = File::options()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(path)?;
        let found = file.metadata()?;
        check_kind(&found)?;
        // Of what is open, so that nobody can exchange it meanwhile.
        let real = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        if !self.0.iter().any(|root| real.starts_with(root)) {
            let root = self.0[0].clone();
            return Err(Refused::Outside { root, real }.into());
        }
        if found.len() > longest {
            let size = found.len();
            return Err(Refused::TooLong { size, longest }.into());
        }
        Ok(file)
    }

    /// The bytes of a file of at most `longest`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn read(&self, path: &Path, longest: u64) -> io::Result<Vec<u8>> {
        let file = self.open(path, longest)?;
        let mut bytes = Vec::new();
        // It may grow while it is read.
        let read = file.take(longest + 1).read_to_end(&mut bytes)? as u64;
        if read > longest {
            let size = read;
            return Err(Refused::TooLong { size, longest }.into());
        }
        Ok(bytes)
    }

    /// Whether a folder is in one of these.
    ///
    /// # Errors
    /// It is not, or can't be looked up.
    pub fn check_folder(&self, path: &Path) -> io::Result<()> {
        let real = fs::canonicalize(path)?;
        if self.0.iter().any(|root| real.starts_with(root)) {
            return Ok(());
        }
        let root = self.0[0].clone();
        Err(Refused::Outside { root, real }.into())
    }
}

fn check_kind(found: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let kind = found.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let what = if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(Refused::NoFile(what).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::{sys::stat::Mode, unistd::mkfifo};
    use rstest::{fixture, rstest};
    use tempfile::TempDir;

    use super::*;

    /// `target/` with `in.bin`; beside it `out.bin`.
    #[fixture]
    fn folder() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("target/sub")).unwrap();
        fs::write(folder.path().join("target/in.bin"), "in").unwrap();
        fs::write(folder.path().join("out.bin"), "out").unwrap();
        folder
    }

    fn read(folder: &TempDir, path: &str, allowed: &[PathBuf]) -> io::Result<Vec<u8>> {
        let target = folder.path().join("target");
        Roots::new(&target, allowed).read(&target.join(path), 1000)
    }

    #[rstest]
    #[case::plain("in.bin")]
    #[case::detour("sub/../in.bin")]
    #[case::link("link")]
    fn what_is_in_the_folder_is_read(folder: TempDir, #[case] path: &str) {
        symlink("in.bin", folder.path().join("target/link")).unwrap();
        assert_eq!(read(&folder, path, &[]).unwrap(), b"in");
    }

    #[rstest]
    #[case::absolute("/etc/passwd")]
    #[case::parent("../out.bin")]
    #[case::detour("sub/../../out.bin")]
    #[case::link("link")]
    #[case::linked_folder("outside/out.bin")]
    #[case::same_beginning("../target-2/x")]
    #[case::proc("/proc/self/environ")]
    fn what_is_outside_is_not(folder: TempDir, #[case] path: &str) {
        symlink("../out.bin", folder.path().join("target/link")).unwrap();
        symlink("..", folder.path().join("target/outside")).unwrap();
        fs::create_dir(folder.path().join("target-2")).unwrap();
        fs::write(folder.path().join("target-2/x"), "").unwrap();
        let error = read(&folder, path, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        assert!(error.to_string().contains("--allow-path"), "{error}");
    }

    #[rstest]
    fn what_the_user_allows_is_read(folder: TempDir) {
        let allowed = [folder.path().join("nowhere"), folder.path().to_owned()];
        assert_eq!(read(&folder, "../out.bin", &allowed).unwrap(), b"out");
    }

    #[rstest]
    #[case::fifo("fifo", "a FIFO")]
    #[case::folder("sub", "a folder")]
    #[case::device("zero", "a device")]
    fn what_is_no_file_is_not_opened(folder: TempDir, #[case] path: &str, #[case] what: &str) {
        let target = folder.path().join("target");
        mkfifo(&target.join("fifo"), Mode::S_IRWXU).unwrap();
        symlink("/dev/zero", target.join("zero")).unwrap();
        let error = read(&folder, path, &[PathBuf::from("/")]).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }

    #[rstest]
    fn what_is_too_long_is_not_read(folder: TempDir) {
        fs::write(folder.path().join("target/long"), [0; 1001]).unwrap();
        let error = read(&folder, "long", &[]).unwrap_err();
        assert!(error.to_string().contains("1001 bytes"), "{error}");
    }

    #[rstest]
    fn a_linked_folder_is_outside(folder: TempDir) {
        let target = folder.path().join("target");
        symlink("..", target.join("up")).unwrap();
        let roots = Roots::new(&target, &[]);
        roots.check_folder(&target.join("sub")).unwrap();
        roots.check_folder(&target.join("up")).unwrap_err();
    }
}
