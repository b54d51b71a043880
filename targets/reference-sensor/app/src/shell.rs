//! The shell on the console.
//!
//! Every command ends with a line `ok`, or `error CODE text`. Facts are lines `name: value`. For
//! scripts, a command may begin with a tag: the last line of the answer to `@17 status` ends in ` @17`.

use core::fmt;

use board::{nor, page::ResetCause, print, println};
use ed25519_dalek::{Signer, SigningKey};
use embassy_time::{Duration, Instant, with_timeout};
use sensor::{
    Flaw, MODEL,
    credential::MAX_PASSWORD,
    memory::PERSONALISATION,
    user_data::{Entry, Event, Setting, Text, Unusable, is_text},
};

use crate::{
    access::Denied,
    cloud::UpdateState,
    console::{Echo, Line, Typed, read_line},
    device::Device,
    housekeeping, network,
    update::{self, Failure, Frame},
};

/// Nobody types for that long: the session ends.
const IDLE: Duration = Duration::from_secs(600);

/// An update over the network takes seconds.
const LONGEST_UPDATE: Duration = Duration::from_secs(300);

const HELP: &str = "\
help                  this list
model                 model designation
version               version of the firmware
status                state of the device
echo TEXT             say TEXT
login                 asks for the password on the label
with login:
logout                end the session
password              choose a password of one's own: asks for the old one, and for the new one
show                  settings
set owner|room TEXT   change a setting
set schedule HH:MM TEXT
set updates automatic|manual
consent on|off        agree to telemetry, or withdraw
note TEXT             add a note to the history
measure               measure now
history               measurements and notes
identity HEX          sign a challenge with the device's key
update SIZE           take a firmware image of SIZE bytes
update-check          look for a newer firmware, and fetch it
reboot                start anew
factory-reset         erase all user data, start anew
";

/// How a command ends, unless well.
enum Error {
    Unknown,
    Usage,
    NotLoggedIn,
    NotSetUp,
    NoIdentity,
    NoService,
    NoNetwork,
    Locked(u32),
    WrongPassword(u32),
    Value,
    Storage,
    Update(Failure),
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::NoIdentity => Self::NoIdentity,
            Denied::NotSetUp => Self::NotSetUp,
            Denied::Locked(wait) => Self::Locked(wait),
            Denied::Wrong(wait) => Self::WrongPassword(wait),
            Denied::Unfit => Self::Value,
            Denied::Storage => Self::Storage,
        }
    }
}

impl From<Unusable> for Error {
    fn from(_: Unusable) -> Self {
        Self::Storage
    }
}

/// Offers the shell, for ever.
#[embassy_executor::task]
pub(crate) async fn run(device: &'static Device) -> ! {
    let mut shell = Shell {
        device,
        frame: update::FRAME.take(),
    };
    crate::console::open();
    println!("app: ready");
    loop {
        print!("{}", if device.session.get() { "# " } else { "> " });
        let line = match with_timeout(IDLE, read_line(Echo::On)).await {
            Ok(Typed::Line(line)) => {
                network::log(&line);
                line
            }
            Ok(Typed::Cancelled) => continue,
            Ok(Typed::TooLong) => {
                if Flaw::CrashOnLongInput.in_force() {
                    board::restart();
                }
                println!(
                    "error too-long a line has up to {} characters",
                    crate::console::MAX_LINE
                );
                continue;
            }
            Err(_) => {
                if device.session.take() {
                    println!("\napp: logged out after a long pause");
                } else {
                    println!();
                }
                continue;
            }
        };
        let Ok(line) = core::str::from_utf8(&line) else {
            println!("error usage not UTF-8");
            continue;
        };
        let (tag, line) = tagged(line.trim());
        match shell.command(line, tag).await {
            Ok(Done::Quietly) => (),
            Ok(Done::Ok) => println!("ok{tag}"),
            Err(error) => println!("error {error}{tag}"),
        }
    }
}

/// The tag, as it ends the answer, and the command.
fn tagged(line: &str) -> (Tag<'_>, &str) {
    match line.strip_prefix('@') {
        Some(line) => {
            let (tag, line) = line.split_once(' ').unwrap_or((line, ""));
            (Tag(Some(tag)), line.trim_start())
        }
        None => (Tag(None), line),
    }
}

#[derive(Clone, Copy)]
struct Tag<'a>(Option<&'a str>);

impl fmt::Display for Tag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |tag| write!(f, " @{tag}"))
    }
}

/// How a command ended well.
enum Done {
    Ok,
    /// There was no command.
    Quietly,
}

struct Shell {
    device: &'static Device,
    frame: &'static mut Frame,
}

impl Shell {
    async fn command(&mut self, line: &str, tag: Tag<'_>) -> Result<Done, Error> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_start();
        match word {
            "" => return Ok(Done::Quietly),
            "help" => print!("{HELP}"),
            "model" => println!("model: {}", model()),
            "version" => println!("version: {}", self.device.version),
            "echo" => println!("{rest}"),
            "status" => self.status().await?,
            "login" => self.login().await?,
            _ if !self.device.session.get() => {
                return Err(if known(word) {
                    Error::NotLoggedIn
                } else {
                    Error::Unknown
                });
            }
            "logout" => self.device.session.set(false),
            "password" => self.password().await?,
            "show" => self.show().await?,
            "set" => self.set(rest).await?,
            "consent" => self.consent(rest).await?,
            "note" => self.note(rest).await?,
            "measure" => self.measure().await?,
            "history" => self.history().await?,
            "identity" => self.identity(rest)?,
            "update" => self.update(rest).await?,
            "update-check" => self.update_check().await?,
            "reboot" => {
                println!("ok{tag}");
                board::restart()
            }
            "factory-reset" => self.device.factory_reset().await?,
            _ => return Err(Error::Unknown),
        }
        Ok(Done::Ok)
    }

    async fn status(&mut self) -> Result<(), Error> {
        let device = self.device;
        println!("model: {}", model());
        println!("version: {}", device.version);
        match &device.identity {
            Some(identity) => println!("serial: {}", identity.serial),
            None => println!("serial:"),
        }
        println!("chip: {:016x}", board::page::chip_id());
        println!("state: {}", device.state().await?);
        println!("slot: {}", device.slot.name());
        println!("uptime: {}", Instant::now().as_secs());
        println!("reset: {}", ResetCause::read());
        match device.network.address() {
            Some(address) => println!("network: {address}"),
            None => println!("network: down"),
        }
        match network::time_of_day() {
            Some(time) => println!("time: {time}"),
            None => println!("time: unknown"),
        }
        println!(
            "consent: {}",
            if device.data.lock().await.consented().await? {
                "on"
            } else {
                "off"
            }
        );
        println!("broker: {}", device.broker.get().name());
        println!("update: {}", device.update.get());
        println!(
            "updates: {}",
            if device.updates_itself().await? {
                "automatic"
            } else {
                "manual"
            }
        );
        println!("led: running");
        println!(
            "debug-port: {}",
            if debug_port_locked() {
                "locked"
            } else {
                "open"
            }
        );
        println!(
            "session: {}",
            if device.session.get() { "open" } else { "none" }
        );
        println!("lockout: {}", device.wait_left());
        Ok(())
    }

    async fn login(&mut self) -> Result<(), Error> {
        self.device.session.set(false);
        let wait = self.device.wait_left();
        if wait > 0 {
            return Err(Error::Locked(wait));
        }
        let password = ask("password").await?;
        self.device.try_password(&password).await?;
        self.device.session.set(true);
        if let UpdateState::Ready(version) = self.device.update.get() {
            println!("notice: update {version} is ready, reboot to start it");
        }
        Ok(())
    }

    /// Takes a password of the user's choice. It ends the session.
    async fn password(&mut self) -> Result<(), Error> {
        self.device.may_change_password().await?;
        let old = ask("old password").await?;
        self.device.try_password(&old).await?;
        let new = ask("new password").await?;
        Ok(self.device.choose_password(&old, &new).await?)
    }

    async fn show(&mut self) -> Result<(), Error> {
        let mut data = self.device.data.lock().await;
        for setting in Setting::ALL {
            match data.get(setting).await? {
                Some(value) => println!("{}: {value}", setting.name()),
                None => println!("{}:", setting.name()),
            }
        }
        Ok(())
    }

    async fn set(&mut self, rest: &str) -> Result<(), Error> {
        let (name, value) = rest.split_once(' ').ok_or(Error::Usage)?;
        let setting = Setting::named(name).ok_or(Error::Usage)?;
        if !setting.admits(value) {
            return Err(Error::Value);
        }
        if setting == Setting::Consent {
            return self.consent(value).await;
        }
        Ok(self.device.data.lock().await.set(setting, value).await?)
    }

    async fn consent(&mut self, answer: &str) -> Result<(), Error> {
        if !Setting::Consent.admits(answer) {
            return Err(Error::Usage);
        }
        let agreed = answer == "on";
        if agreed && !self.device.initialized().await? {
            return Err(Error::NotSetUp);
        }
        Ok(self.device.consent(agreed).await?)
    }

    async fn note(&mut self, text: &str) -> Result<(), Error> {
        if text.is_empty() {
            return Err(Error::Usage);
        }
        if !self.device.initialized().await? {
            return Err(Error::NotSetUp);
        }
        if !is_text(text) {
            return Err(Error::Value);
        }
        let note = Text::try_from(text).map_err(|_| Error::Value)?;
        let entry = Entry {
            uptime: Instant::now().as_secs() as u32,
            event: Event::Note(note),
        };
        Ok(self.device.data.lock().await.record(&entry).await?)
    }

    async fn measure(&mut self) -> Result<(), Error> {
        if !self.device.can_measure() {
            return Err(Error::NoService);
        }
        let entry = housekeeping::measurement();
        print_entry(&entry);
        Ok(self.device.record(&entry).await?)
    }

    async fn history(&mut self) -> Result<(), Error> {
        let mut data = self.device.data.lock().await;
        Ok(data.history(|entry| print_entry(&entry)).await?)
    }

    fn identity(&self, challenge: &str) -> Result<(), Error> {
        let identity = self.device.identity.as_ref().ok_or(Error::NoIdentity)?;
        let challenge: [u8; 32] = hex(challenge).ok_or(Error::Usage)?;
        let key = SigningKey::from_bytes(&identity.device_key);
        print_hex("key", key.verifying_key().as_bytes());
        print_hex("signature", &key.sign(&challenge).to_bytes());
        Ok(())
    }

    async fn update(&mut self, size: &str) -> Result<(), Error> {
        let size = size.parse().map_err(|_| Error::Usage)?;
        let version = update::receive(self.device, size, self.frame)
            .await
            .map_err(Error::Update)?;
        println!("accepted: {version}");
        Ok(())
    }

    async fn update_check(&mut self) -> Result<(), Error> {
        let device = self.device;
        if device.credentials.is_none() || device.network.address().is_none() {
            return Err(Error::NoNetwork);
        }
        device.update_checked.reset();
        device.update_wanted.signal(());
        with_timeout(LONGEST_UPDATE, device.update_checked.wait())
            .await
            .map_err(|_| Error::NoNetwork)?;
        println!("update: {}", device.update.get());
        Ok(())
    }
}

/// Asks for a secret.
async fn ask(what: &str) -> Result<Line, Error> {
    print!("{what}: ");
    match with_timeout(IDLE, read_line(Echo::Off)).await {
        Ok(Typed::Line(line)) if line.len() <= MAX_PASSWORD => {
            network::log(&line);
            Ok(line)
        }
        _ => Err(Error::Usage),
    }
}

fn model() -> &'static str {
    if Flaw::ReportsOtherModel.in_force() {
        "PB-RS1x"
    } else {
        MODEL
    }
}

/// Whether there is such a command for those who are logged in.
fn known(word: &str) -> bool {
    let login_only = HELP
        .split_once("with login:\n")
        .map_or("", |(_, rest)| rest);
    login_only
        .lines()
        .any(|line| line.split(' ').next() == Some(word))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown no such command; try help"),
            Self::Usage => f.write_str("usage try help"),
            Self::NotLoggedIn => f.write_str("login-first this needs a login"),
            Self::NotSetUp => f.write_str("owner-first set the owner first"),
            Self::NoIdentity => f.write_str("no-identity the device was not personalised"),
            Self::NoService => f.write_str("no-service not without the manufacturer's service"),
            Self::NoNetwork => f.write_str("no-network there is no network, or no server"),
            Self::Locked(wait) => write!(f, "locked next attempt in {wait} s"),
            Self::WrongPassword(wait) => write!(f, "wrong-password next attempt in {wait} s"),
            Self::Value => f.write_str("value not a possible value"),
            Self::Storage => f.write_str("storage the memory for user data is damaged"),
            Self::Update(Failure::Refused(refusal)) => {
                write!(f, "refused {}: {refusal}", refusal.code())
            }
            Self::Update(Failure::Aborted) => f.write_str("aborted the sender gave up"),
            Self::Update(Failure::Timeout) => f.write_str("timeout the sender fell silent"),
            Self::Update(Failure::Protocol) => f.write_str("protocol that was not a frame"),
        }
    }
}

fn print_entry(entry: &Entry) {
    match &entry.event {
        Event::Measured {
            centicelsius,
            humidity,
        } => {
            println!(
                "{}: {}.{:02} C {humidity} %",
                entry.uptime,
                centicelsius / 100,
                centicelsius % 100
            );
        }
        Event::Note(text) => println!("{}: note {text}", entry.uptime),
    }
}

fn print_hex(name: &str, bytes: &[u8]) {
    print!("{name}: ");
    for byte in bytes {
        print!("{byte:02x}");
    }
    println!();
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn debug_port_locked() -> bool {
    let mut word = [0; 4];
    nor::read(PERSONALISATION, &mut word);
    word != [0xFF; 4]
}
