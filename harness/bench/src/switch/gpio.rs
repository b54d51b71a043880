//! Lines of the bench computer's GPIO chips, through the kernel's character device.
//!
//! A line is ours as long as it is held: what becomes of it then is the kernel driver's business.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use gpiocdev::{Request, line::Value};

use super::{BoxFuture, Switch, SwitchError, obeyed};
use crate::inventory::GpioConfig;

/// One line.
#[derive(Debug)]
pub(super) struct GpioLine {
    chip: PathBuf,
    line: u32,
    active_low: bool,
    /// Once it was switched.
    held: Mutex<Option<Request>>,
}

impl GpioLine {
    pub(super) fn new(config: &GpioConfig) -> Self {
        Self {
            chip: config.chip.clone(),
            line: config.line,
            active_low: config.active_low,
            held: Mutex::default(),
        }
    }

    fn switch(&self, on: bool) -> Result<(), SwitchError> {
        let value = if on { Value::Active } else { Value::Inactive };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let state = match &*held {
            Some(request) => request
                .set_value(self.line, value)
                .and_then(|()| request.value(self.line)),
            None => self.request(Some(value)).and_then(|request| {
                let state = request.value(self.line);
                *held = Some(request);
                state
            }),
        };
        let state = state.map_err(|error| self.unreachable(error))?;
        obeyed(|| self.name(), on, state == Value::Active)
    }

    fn state(&self) -> Result<bool, SwitchError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let state = match &*held {
            Some(request) => request.value(self.line),
            None => self
                .request(None)
                .and_then(|request| request.value(self.line)),
        };
        let state = state.map_err(|error| self.unreachable(error))?;
        Ok(state == Value::Active)
    }

    /// The line as an output, or as it is.
    fn request(&self, value: Option<Value>) -> gpiocdev::Result<Request> {
        let mut request = Request::builder();
        request
            .on_chip(&self.chip)
            .with_consumer("provebench")
            .with_line(self.line);
        match value {
            Some(value) => request.as_output(value),
            None => request.as_is(),
        };
        if self.active_low {
            request.as_active_low();
        }
        request.request()
    }

    fn unreachable(&self, error: gpiocdev::Error) -> SwitchError {
        SwitchError::Unreachable {
            device: self.name(),
            remedy: "is there such a line (`gpioinfo`), does nobody else hold it, and may you open the chip (group gpio or dialout)?",
            source: error.into(),
        }
    }

    fn name(&self) -> String {
        format!("line {} of {}", self.line, self.chip.display())
    }
}

impl Switch for GpioLine {
    fn set(&self, on: bool) -> BoxFuture<'_, Result<(), SwitchError>> {
        // The kernel answers within microseconds.
        Box::pin(async move { self.switch(on) })
    }

    fn is_on(&self) -> BoxFuture<'_, Result<bool, SwitchError>> {
        Box::pin(async move { self.state() })
    }
}
