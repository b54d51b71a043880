//! `devices.toml` and `target.toml`, parsed into validated types.
