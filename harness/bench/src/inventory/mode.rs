use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

/// Who may read what a run keeps: the mode of its folders. Nobody but their user may write there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum FolderMode {
    /// Their user: what a device says may be secret.
    #[default]
    #[serde(rename = "0700")]
    User,
    /// The user's group, too.
    #[serde(rename = "0750")]
    Group,
    /// All users of the machine.
    #[serde(rename = "0755")]
    All,
}

impl FolderMode {
    /// What new folders and files don't get.
    pub fn umask(self) -> u32 {
        match self {
            Self::User => 0o077,
            Self::Group => 0o027,
            Self::All => 0o022,
        }
    }
}

impl FromStr for FolderMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix('0').unwrap_or(text) {
            "700" => Ok(Self::User),
            "750" => Ok(Self::Group),
            "755" => Ok(Self::All),
            _ => Err("it is 0700 (the user only), 0750 (the group) or 0755 (all)"),
        }
    }
}
