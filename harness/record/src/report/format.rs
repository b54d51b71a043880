//! Versions of the formats in which runs are kept: looked at before anything else of a file is taken for what it says.

use serde::Deserialize;

use crate::text::printable;

/// A journal, or a file of results, in a format that this version of provebench does not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has another format: {}, and this provebench reads format {read}{}", of_format(*.found), by_version(.version.as_deref()))]
pub struct OtherFormat {
    /// None if it says none: journals did not, before they had versions.
    pub found: Option<u32>,
    /// The format that is read.
    pub read: u32,
    /// The version of provebench that wrote it, as far as it says so.
    pub version: Option<String>,
}

fn of_format(format: Option<u32>) -> String {
    format.map_or_else(|| "none at all".into(), |format| format!("format {format}"))
}

fn by_version(version: Option<&str>) -> String {
    version.map_or_else(String::new, |version| {
        format!(" (provebench {} wrote it)", printable(version))
    })
}

/// What is enough to know of a file, whatever its format.
#[derive(Deserialize)]
struct Head {
    event: Option<String>,
    format: Option<u32>,
    version: Option<String>,
}

/// Looks at a results.json, or at the first line of a journal. What is no record of a run at all is not refused here.
pub(super) fn check(json: &[u8], read: u32) -> Result<(), OtherFormat> {
    let Ok(head) = serde_json::from_slice::<Head>(json) else {
        return Ok(());
    };
    let is_journal = head.event.as_deref() == Some("run-started");
    if head.format == Some(read) || (head.format.is_none() && !is_journal) {
        return Ok(());
    }
    Err(OtherFormat {
        found: head.format,
        read,
        version: head.version,
    })
}
