//! What is asked for, and what is answered.

use alloc::{string::String, vec::Vec};

use embassy_time::Instant;
use protocol::server::{Question, Status};
use sensor::{
    Flaw, MODEL, SECURITY_CONTACT, SUPPORTED_UNTIL,
    credential::MAX_PASSWORD,
    session::{TOKEN, Token},
    user_data::{Entry, Event, Setting, Text, Unusable, is_text},
};
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned};

use super::{json, page};
use crate::{
    access::{Denied, now},
    cloud::UpdateState,
    device::Device,
    network, random,
};

const JSON: &str = "application/json";
/// Entries of the history that are read at once.
const PART: usize = 16;

/// An answer.
pub(super) struct Reply {
    pub(super) status: Status,
    pub(super) kind: &'static str,
    pub(super) body: Body,
    /// Token of the session that begins; empty if one ends.
    pub(super) session: Option<Token>,
    pub(super) wait: Option<u32>,
    pub(super) allow: Option<&'static str>,
    pub(super) then: Then,
}

pub(super) enum Body {
    Whole(Vec<u8>),
    /// What [`Export`] has to say.
    Export,
}

/// What is to be done once the answer is on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    Restart,
    FactoryReset,
}

#[derive(Serialize)]
struct Trouble<'a> {
    error: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait: Option<u32>,
}

#[derive(Serialize)]
struct Nothing {}

impl Reply {
    fn of(status: Status, value: &impl Serialize) -> Self {
        Self {
            status,
            kind: JSON,
            body: Body::Whole(json(value)),
            session: None,
            wait: None,
            allow: None,
            then: Then::Nothing,
        }
    }

    fn ok(value: &impl Serialize) -> Self {
        Self::of(Status::Ok, value)
    }

    fn done() -> Self {
        Self::ok(&Nothing {})
    }

    fn accepted(then: Then) -> Self {
        Self {
            then,
            ..Self::of(Status::Accepted, &Nothing {})
        }
    }

    /// It did not go well.
    pub(super) fn trouble(status: Status, error: &str, text: &str) -> Self {
        let wait = None;
        Self::of(status, &Trouble { error, text, wait })
    }

    fn delayed(status: Status, error: &str, text: &str, wait: u32) -> Self {
        let trouble = Trouble {
            error,
            text,
            wait: Some(wait),
        };
        Self {
            wait: Some(wait),
            ..Self::of(status, &trouble)
        }
    }
}

impl From<Denied> for Reply {
    fn from(denied: Denied) -> Self {
        let (status, error, text) = match denied {
            Denied::Locked(wait) => {
                let text = "too many wrong passwords";
                return Self::delayed(Status::TooManyRequests, "locked", text, wait);
            }
            Denied::Wrong(wait) => {
                let text = "not the password";
                return Self::delayed(Status::Unauthorized, "wrong-password", text, wait);
            }
            Denied::NoIdentity => (Status::Unavailable, "no-identity", "not personalised"),
            Denied::NotSetUp => (Status::Conflict, "owner-first", "set the owner first"),
            Denied::Unfit => (Status::Unprocessable, "value", "not a possible password"),
            Denied::Storage => return Unusable.into(),
        };
        Self::trouble(status, error, text)
    }
}

impl From<Unusable> for Reply {
    fn from(Unusable: Unusable) -> Self {
        let text = "the memory for user data is damaged";
        Self::trouble(Status::Failed, "storage", text)
    }
}

/// Answers a question.
pub(super) async fn reply(device: &Device, question: &Question<'_>, body: &[u8]) -> Reply {
    let path = question
        .path
        .split_once('?')
        .map_or(question.path, |(path, _)| path);
    match answer(device, question, path, body).await {
        Ok(reply) | Err(reply) => reply,
    }
}

async fn answer(
    device: &Device,
    question: &Question<'_>,
    path: &str,
    body: &[u8],
) -> Result<Reply, Reply> {
    let open = match (question.method, path) {
        ("GET", "/api/info") => Some(info(device).await?),
        ("POST", "/api/login") => Some(login(device, body).await?),
        _ => None,
    };
    if let Some(reply) = open {
        return Ok(reply);
    }
    // Whoever is nobody does not even learn what there is.
    let token = question.session.unwrap_or_default();
    let session = device.sessions.borrow_mut().renew(token, now());
    if !session && !Flaw::ApiNoAuth.in_force() {
        let text = "this needs a login";
        return Err(Reply::trouble(Status::Unauthorized, "login-first", text));
    }
    match (question.method, path) {
        ("POST", "/api/logout") => {
            device.sessions.borrow_mut().close(token);
            Ok(Reply {
                session: Some(Token::new()),
                ..Reply::done()
            })
        }
        ("GET", "/api/status") => Ok(Reply::ok(&status(device).await?)),
        ("GET", "/api/settings") => Ok(Reply::ok(&settings(device).await?)),
        ("PUT", "/api/settings") => change(device, body).await,
        ("POST", "/api/notes") => note(device, body).await,
        ("GET", "/api/export") => Ok(Reply {
            body: Body::Export,
            ..Reply::done()
        }),
        ("DELETE", "/api/user-data") => Ok(Reply::accepted(Then::FactoryReset)),
        ("POST", "/api/password") => password(device, body).await,
        ("POST", "/api/update-check") => update_check(device),
        ("POST", "/api/restart") => Ok(Reply::accepted(Then::Restart)),
        ("GET", "/status.html") => Ok(Reply {
            kind: "text/html; charset=utf-8",
            body: Body::Whole(page::status(device).await?.into_bytes()),
            ..Reply::done()
        }),
        _ => Err(match methods(path) {
            Some(methods) => Reply {
                allow: Some(methods),
                ..Reply::trouble(Status::MethodNotAllowed, "method", methods)
            },
            None => Reply::trouble(Status::NotFound, "unknown", "there is nothing here"),
        }),
    }
}

/// What there is, with its methods.
fn methods(path: &str) -> Option<&'static str> {
    Some(match path {
        "/api/info" | "/api/status" | "/api/export" | "/status.html" => "GET",
        "/api/settings" => "GET, PUT",
        "/api/login" | "/api/logout" | "/api/notes" | "/api/password" | "/api/update-check"
        | "/api/restart" => "POST",
        "/api/user-data" => "DELETE",
        _ => return None,
    })
}

/// A body that is to be an object of this form.
fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Reply> {
    serde_json::from_slice(body)
        .map_err(|_| Reply::trouble(Status::BadRequest, "usage", "not the object that is needed"))
}

#[derive(Serialize)]
struct Info<'a> {
    model: &'a str,
    version: String,
    supported_until: &'a str,
    security_contact: &'a str,
    /// Only with a flaw.
    #[serde(flatten)]
    more: Option<Leaked<'a>>,
}

#[derive(Serialize)]
struct Leaked<'a> {
    serial: &'a str,
    owner: Option<String>,
    room: Option<String>,
}

async fn info(device: &Device) -> Result<Reply, Reply> {
    let more = if Flaw::ApiInfoLeak.in_force() {
        let mut data = device.data.lock().await;
        Some(Leaked {
            serial: device.serial().unwrap_or_default(),
            owner: data
                .get(Setting::Owner)
                .await?
                .map(|text| text.as_str().into()),
            room: data
                .get(Setting::Room)
                .await?
                .map(|text| text.as_str().into()),
        })
    } else {
        None
    };
    Ok(Reply::ok(&Info {
        model: MODEL,
        version: alloc::format!("{}", device.version),
        supported_until: SUPPORTED_UNTIL,
        security_contact: SECURITY_CONTACT,
        more,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    password: String,
}

async fn login(device: &Device, body: &[u8]) -> Result<Reply, Reply> {
    let Login { password } = object(body)?;
    let password = password.as_bytes();
    if password.len() > MAX_PASSWORD {
        return Err(Reply::trouble(
            Status::Unprocessable,
            "value",
            "not a possible password",
        ));
    }
    if Flaw::ApiLoginUnlimited.in_force() {
        device.try_password_unlimited(password).await?;
    } else {
        device.try_password(password).await?;
    }
    let mut bytes = [0; TOKEN];
    random::fill(&mut bytes);
    let token = device.sessions.borrow_mut().open(bytes, now());
    Ok(Reply {
        session: Some(token),
        ..Reply::done()
    })
}

/// State of the device.
#[derive(Serialize)]
pub(super) struct State {
    pub(super) model: &'static str,
    pub(super) version: String,
    pub(super) serial: Option<String>,
    pub(super) state: &'static str,
    pub(super) uptime: u64,
    pub(super) time: Option<u64>,
    pub(super) broker: &'static str,
    pub(super) update: String,
    pub(super) led: &'static str,
    /// What the user is to know.
    pub(super) notices: Vec<String>,
}

pub(super) async fn status(device: &Device) -> Result<State, Unusable> {
    let mut notices = Vec::new();
    if let UpdateState::Ready(version) = device.update.get() {
        notices.push(alloc::format!(
            "update {version} is ready, restart to start it"
        ));
    }
    Ok(State {
        model: MODEL,
        version: alloc::format!("{}", device.version),
        serial: device.serial().map(Into::into),
        state: device.state().await?,
        uptime: Instant::now().as_secs(),
        time: network::time_of_day(),
        broker: device.broker.get().name(),
        update: alloc::format!("{}", device.update.get()),
        led: "running",
        notices,
    })
}

/// Values of all settings.
pub(super) struct Settings([(Setting, Option<Text>); Setting::ALL.len()]);

impl Settings {
    pub(super) fn get(&self, wanted: Setting) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(setting, _)| *setting == wanted)?;
        value.as_deref()
    }
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values = self.0.iter();
        serializer.collect_map(values.map(|(setting, value)| (setting.name(), value.as_deref())))
    }
}

pub(super) async fn settings(device: &Device) -> Result<Settings, Unusable> {
    let mut data = device.data.lock().await;
    let mut values = Setting::ALL.map(|setting| (setting, None));
    for (setting, value) in &mut values {
        *value = data.get(*setting).await?;
    }
    Ok(Settings(values))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    owner: Option<String>,
    room: Option<String>,
    schedule: Option<String>,
    consent: Option<String>,
    updates: Option<String>,
}

impl Change {
    /// The owner comes first: other things need one.
    fn each(&self) -> impl Iterator<Item = (Setting, &str)> {
        let Self {
            owner,
            room,
            schedule,
            consent,
            updates,
        } = self;
        [
            (Setting::Owner, owner),
            (Setting::Room, room),
            (Setting::Schedule, schedule),
            (Setting::Consent, consent),
            (Setting::Updates, updates),
        ]
        .into_iter()
        .filter_map(|(setting, value)| Some((setting, value.as_deref()?)))
    }
}

async fn change(device: &Device, body: &[u8]) -> Result<Reply, Reply> {
    let change: Change = object(body)?;
    if let Some((setting, _)) = change
        .each()
        .find(|(setting, value)| !setting.admits(value))
    {
        return Err(Reply::trouble(
            Status::Unprocessable,
            "value",
            setting.name(),
        ));
    }
    if change.owner.is_none()
        && change.consent.as_deref() == Some("on")
        && !device.initialized().await?
    {
        return Err(Denied::NotSetUp.into());
    }
    for (setting, value) in change.each() {
        if setting == Setting::Consent {
            device.consent(value == "on").await?;
        } else {
            device.data.lock().await.set(setting, value).await?;
        }
    }
    Ok(Reply::ok(&settings(device).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
}

async fn note(device: &Device, body: &[u8]) -> Result<Reply, Reply> {
    let Note { text } = object(body)?;
    if !device.initialized().await? {
        return Err(Denied::NotSetUp.into());
    }
    let fit = || is_text(&text).then(|| Text::try_from(text.as_str()).ok())?;
    let Some(note) = fit() else {
        return Err(Reply::trouble(Status::Unprocessable, "value", "text"));
    };
    let entry = Entry {
        uptime: Instant::now().as_secs() as u32,
        event: Event::Note(note),
    };
    device.data.lock().await.record(&entry).await?;
    Ok(Reply::done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Password {
    old: String,
    new: String,
}

async fn password(device: &Device, body: &[u8]) -> Result<Reply, Reply> {
    let Password { old, new } = object(body)?;
    device.may_change_password().await?;
    device.try_password(old.as_bytes()).await?;
    device
        .choose_password(old.as_bytes(), new.as_bytes())
        .await?;
    Ok(Reply {
        session: Some(Token::new()),
        ..Reply::done()
    })
}

fn update_check(device: &Device) -> Result<Reply, Reply> {
    if device.network.address().is_none() {
        let text = "there is no network, or no server";
        return Err(Reply::trouble(Status::Unavailable, "no-network", text));
    }
    device.update.set(UpdateState::Checking);
    device.update_wanted.signal(());
    Ok(Reply::accepted(Then::Nothing))
}

#[derive(Serialize)]
struct Item<'a> {
    uptime: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    centicelsius: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    humidity: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

impl<'a> From<&'a Entry> for Item<'a> {
    fn from(entry: &'a Entry) -> Self {
        let (centicelsius, humidity, note) = match &entry.event {
            Event::Measured {
                centicelsius,
                humidity,
            } => (Some(*centicelsius), Some(*humidity), None),
            Event::Note(text) => (None, None, Some(text.as_str())),
        };
        Self {
            uptime: entry.uptime,
            centicelsius,
            humidity,
            note,
        }
    }
}

/// All user data, part by part: it is more than fits into memory. What is recorded meanwhile may be in it or not.
pub(super) struct Export {
    next: Next,
}

enum Next {
    Settings,
    /// The history, from this entry on.
    Entries(usize),
    Nothing,
}

impl Export {
    pub(super) fn new() -> Self {
        Self {
            next: Next::Settings,
        }
    }

    /// The next part; None after the last. Should the memory fail, the text ends early, and is no JSON.
    pub(super) async fn next(&mut self, device: &Device) -> Option<Vec<u8>> {
        let mut part = Vec::new();
        match self.next {
            Next::Settings => {
                let settings = settings(device).await.ok()?;
                part.extend_from_slice(b"{\"settings\":");
                part.extend_from_slice(&json(&settings));
                part.extend_from_slice(b",\"history\":[");
                self.next = Next::Entries(0);
            }
            Next::Entries(from) => {
                let entries = entries(device, from).await.ok()?;
                for (entry, at) in entries.iter().zip(from..) {
                    if at > 0 {
                        part.push(b',');
                    }
                    part.extend_from_slice(&json(&Item::from(entry)));
                }
                self.next = Next::Entries(from + entries.len());
                if entries.len() < PART {
                    part.extend_from_slice(b"]}");
                    self.next = Next::Nothing;
                }
            }
            Next::Nothing => return None,
        }
        Some(part)
    }
}

/// Some entries of the history.
async fn entries(device: &Device, from: usize) -> Result<Vec<Entry>, Unusable> {
    let mut found = Vec::with_capacity(PART);
    let mut at = 0;
    let mut data = device.data.lock().await;
    data.history(|entry| {
        if at >= from && found.len() < PART {
            found.push(entry);
        }
        at += 1;
    })
    .await?;
    Ok(found)
}
