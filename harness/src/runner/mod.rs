//! Plan, execution, leases.

pub mod lease;
