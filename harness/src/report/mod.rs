//! JUnit, JSON and terminal output: consumers of events and evidence.
