//! What touches the DUT: probe, console, power, actuators.
