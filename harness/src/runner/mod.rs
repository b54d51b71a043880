//! Plan, execution, leases.
