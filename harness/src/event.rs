//! The one vocabulary between the runner and everyone who watches.
