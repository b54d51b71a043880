//! What the API says, as a page.

use alloc::string::String;
use core::fmt::Write as _;

use protocol::server::Escaped;
use sensor::{
    Flaw,
    user_data::{Setting, Unusable},
};

use super::route;
use crate::device::Device;

/// State and settings of the device. It has no script, and no use for one.
pub(super) async fn status(device: &Device) -> Result<String, Unusable> {
    let state = route::status(device).await?;
    let settings = route::settings(device).await?;
    let mut page = Page(String::new());
    page.0.push_str(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>PB-RS1</title></head>\
         <body><h1>Room sensor</h1>",
    );
    for notice in &state.notices {
        page.0.push_str("<p><strong>");
        page.text(notice);
        page.0.push_str("</strong></p>");
    }
    page.0.push_str("<dl>");
    page.row("Model", state.model);
    page.row("Version", &state.version);
    page.row("State", state.state);
    page.row("Broker", state.broker);
    page.row("Update", &state.update);
    for setting in Setting::ALL {
        page.row(setting.name(), settings.get(setting).unwrap_or_default());
    }
    page.0.push_str("</dl></body></html>");
    Ok(page.0)
}

struct Page(String);

impl Page {
    fn row(&mut self, name: &str, value: &str) {
        self.0.push_str("<dt>");
        self.text(name);
        self.0.push_str("</dt><dd>");
        self.text(value);
        self.0.push_str("</dd>");
    }

    fn text(&mut self, text: &str) {
        if Flaw::XssInApi.in_force() {
            self.0.push_str(text);
        } else {
            // Writing to a string does not fail.
            let _ = write!(self.0, "{}", Escaped(text));
        }
    }
}
