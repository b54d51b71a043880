//! What processes a process has started.

use std::collections::BTreeMap;
use std::fs;

/// Children of a process, theirs, and so on.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut parents: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(child) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name in parentheses may have spaces.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        if let Some(Ok(parent)) = rest.split_whitespace().nth(1).map(str::parse) {
            parents.entry(parent).or_default().push(child);
        }
    }
    let mut all = Vec::new();
    let mut next = vec![pid];
    while let Some(parent) = next.pop() {
        let children = parents.remove(&parent).unwrap_or_default();
        all.extend(&children);
        next.extend(children);
    }
    all
}
