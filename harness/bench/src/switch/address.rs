//! Addresses of equipment, as URLs.

use std::fmt;

use reqwest::Url;

use super::SwitchError;

/// Who we are to a device.
#[derive(Clone)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: String,
}

/// Passwords stay out of logs.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// An address, and apart from it the user that is in there.
pub(super) fn parse(text: &str, scheme: &'static str) -> Result<(Url, Option<User>), SwitchError> {
    let fail = |reason: String| SwitchError::Url {
        url: text.into(),
        reason,
        scheme,
    };
    let mut url = Url::parse(text).map_err(|error| fail(error.to_string()))?;
    if url.scheme() != scheme || url.host_str().is_none() {
        let reason = format!("it must begin with {scheme}:// and name a host");
        return Err(fail(reason));
    }
    let decode = |part: &str| {
        percent_encoding::percent_decode_str(part)
            .decode_utf8_lossy()
            .into_owned()
    };
    let user = url.password().map(|password| User {
        name: decode(url.username()),
        password: decode(password),
    });
    // URLs with a host have both parts: these can't fail.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok((url, user))
}
