//! Who is logged in over the network: a session is whoever shows its token.

use core::fmt::Write as _;

use heapless::String;
use subtle::ConstantTimeEq as _;

use crate::Flaw;

/// Sessions at the same time.
pub const MAX_SESSIONS: usize = 4;
/// Seconds after which a session is over that nobody uses.
pub const IDLE: u64 = 60;
/// Random bytes of a token.
pub const TOKEN: usize = 16;

/// As it is shown: hexadecimal.
pub type Token = String<{ 2 * TOKEN }>;

#[derive(Clone)]
struct Session {
    token: Token,
    /// Uptime, in milliseconds.
    used_at: u64,
}

/// The open sessions. Times are uptime in milliseconds.
#[derive(Default)]
pub struct Sessions {
    open: [Option<Session>; MAX_SESSIONS],
    /// So many were opened since the start.
    opened: u32,
}

impl Sessions {
    /// Opens a session with a token made of `random`. If there is no room, the one that nobody has used for the longest
    /// time is over.
    pub fn open(&mut self, random: [u8; TOKEN], now: u64) -> Token {
        self.expire(now);
        self.opened = self.opened.wrapping_add(1);
        let mut bytes = random;
        if Flaw::WeakSessionToken.in_force() {
            bytes = [0; TOKEN];
            bytes[TOKEN - 4..].copy_from_slice(&(1000 + self.opened).to_be_bytes());
        }
        let mut token = Token::new();
        for byte in bytes {
            // Two digits a byte: there is room.
            let _ = write!(token, "{byte:02x}");
        }
        // Free ones are `None`, which comes first.
        let slot = self
            .open
            .iter_mut()
            .min_by_key(|session| session.as_ref().map(|session| session.used_at));
        if let Some(slot) = slot {
            *slot = Some(Session {
                token: token.clone(),
                used_at: now,
            });
        }
        token
    }

    /// Whether the token is that of a session, which is in use then.
    pub fn renew(&mut self, token: &str, now: u64) -> bool {
        self.expire(now);
        let session = self.open.iter_mut().flatten().find(|s| s.is(token));
        session.map(|session| session.used_at = now).is_some()
    }

    /// Ends a session.
    pub fn close(&mut self, token: &str) {
        if Flaw::ApiNoSessionExpiry.in_force() {
            return;
        }
        self.open
            .iter_mut()
            .filter(|slot| slot.as_ref().is_some_and(|session| session.is(token)))
            .for_each(|slot| *slot = None);
    }

    /// Ends all sessions.
    pub fn close_all(&mut self) {
        if !Flaw::ApiNoSessionExpiry.in_force() {
            self.open = Default::default();
        }
    }

    /// Whether there is any.
    pub fn any(&mut self, now: u64) -> bool {
        self.expire(now);
        self.open.iter().any(Option::is_some)
    }

    fn expire(&mut self, now: u64) {
        if Flaw::ApiNoSessionExpiry.in_force() {
            return;
        }
        for slot in &mut self.open {
            slot.take_if(|session| now.saturating_sub(session.used_at) >= IDLE * 1000);
        }
    }
}

impl Session {
    /// Takes the same time whatever the token is.
    fn is(&self, token: &str) -> bool {
        self.token.as_bytes().ct_eq(token.as_bytes()).into()
    }
}
