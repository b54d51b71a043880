//! The run directory: artefacts, hashes, manifest.
