//! Hardware-in-the-loop test harness for ETSI EN 303 645.
