//! The standard's words: provisions, cases, ICS, IXIT and verdicts. Pure, no I/O.
