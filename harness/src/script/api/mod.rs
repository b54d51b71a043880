//! What scripts see: one file per namespace.

// No unsafe code is written here: starlark's derive of `ProvidesStaticType` expands to `unsafe impl`.
#![allow(unsafe_code)]

pub(in crate::script) mod blob;

use std::collections::BTreeMap;

/// Names of the attributes of an object and of the namespaces in it.
#[derive(Debug, Default)]
pub(in crate::script) struct Names {
    pub(in crate::script) own: Vec<String>,
    pub(in crate::script) spaces: BTreeMap<String, Vec<String>>,
}

/// What a parameter of that name is by convention.
pub(in crate::script) fn of_parameter(_name: &str) -> Option<Names> {
    None
}
