use core::{fmt, str::FromStr};

/// A firmware version; ordered, so that older images can be told from newer ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number: incompatible changes.
    pub major: u16,
    /// Second number: features.
    pub minor: u16,
    /// Third number: corrections.
    pub patch: u16,
}

impl Version {
    /// `major.minor.patch`.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; 6] {
        let mut bytes = [0; 6];
        for (to, part) in bytes
            .chunks_exact_mut(2)
            .zip([self.major, self.minor, self.patch])
        {
            to.copy_from_slice(&part.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; 6]) -> Self {
        let part = |at| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Self::new(part(0), part(2), part(4))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The text is not `major.minor.patch` with numbers up to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAVersion;

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let mut parts = text
            .split('.')
            .map(|part| part.parse::<u16>().map_err(|_| NotAVersion));
        let mut next = || parts.next().unwrap_or(Err(NotAVersion));
        let version = Self::new(next()?, next()?, next()?);
        if parts.next().is_some() {
            Err(NotAVersion)
        } else {
            Ok(version)
        }
    }
}
