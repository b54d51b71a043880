//! What the tasks share.

use core::cell::{Cell, RefCell};

use board::{LED_ATTENTION, light, nor::Nor, println};
use embassy_sync::{blocking_mutex::raw::NoopRawMutex, mutex::Mutex, signal::Signal};
use image::{BootState, Journal, SignedHeader, Slot, Version};
use sensor::{
    Credentials, Flaw, Personalisation,
    lockout::{Lockout, SecurityState},
    memory,
    personalisation::Verifier,
    session::Sessions,
    user_data::{Entry, Setting, Unusable, UserData},
};

use crate::{
    access::now,
    cloud::{BrokerState, UpdateState},
    network::Network,
};

/// The device.
pub(crate) struct Device {
    /// Who it is; None until the factory has been here.
    pub(crate) identity: Option<Personalisation>,
    /// What it needs for the manufacturer's services, if the factory gave it any.
    pub(crate) credentials: Option<Credentials<'static>>,
    /// Version of the running image.
    pub(crate) version: Version,
    /// Slot of the running image.
    pub(crate) slot: Slot,
    /// The network.
    pub(crate) network: Network,
    /// How things stand with the broker.
    pub(crate) broker: Cell<BrokerState>,
    /// How things stand with updates.
    pub(crate) update: Cell<UpdateState>,
    /// The user wants to know whether there is an update.
    pub(crate) update_wanted: Signal<NoopRawMutex, ()>,
    /// `update` has the answer.
    pub(crate) update_checked: Signal<NoopRawMutex, ()>,
    /// There is new telemetry, or consent changed.
    pub(crate) telemetry: Signal<NoopRawMutex, ()>,
    /// Somebody is logged in on the console.
    pub(crate) session: Cell<bool>,
    /// Who is logged in over the network.
    pub(crate) sessions: RefCell<Sessions>,
    /// Counts wrong passwords.
    pub(crate) lockout: RefCell<Lockout<Nor>>,
    /// User data.
    pub(crate) data: Mutex<NoopRawMutex, UserData<Nor>>,
}

impl Device {
    /// Looks up who and what is running. Finishes an erasure that was cut short.
    pub(crate) fn open(
        identity: Option<Personalisation>,
        credentials: Option<Credentials<'static>>,
        header: &SignedHeader,
        slot: Slot,
        network: Network,
    ) -> Result<Self, Unusable> {
        let Ok(lockout) = Lockout::new(security(), now());
        Ok(Self {
            identity,
            credentials,
            version: header.header().version,
            slot,
            network,
            broker: Cell::new(BrokerState::Off),
            update: Cell::new(UpdateState::Unknown),
            update_wanted: Signal::new(),
            update_checked: Signal::new(),
            telemetry: Signal::new(),
            session: Cell::new(false),
            sessions: RefCell::default(),
            lockout: RefCell::new(lockout),
            data: Mutex::new(UserData::open(Nor, &mut security())?),
        })
    }

    /// Whether the device has an owner.
    pub(crate) async fn initialized(&self) -> Result<bool, Unusable> {
        Ok(self.data.lock().await.get(Setting::Owner).await?.is_some())
    }

    /// One word for [`initialized`](Self::initialized).
    pub(crate) async fn state(&self) -> Result<&'static str, Unusable> {
        Ok(if self.initialized().await? {
            "initialized"
        } else {
            "factory-default"
        })
    }

    /// Serial number, as on the label.
    pub(crate) fn serial(&self) -> Option<&str> {
        Some(&self.identity.as_ref()?.serial)
    }

    /// Whether the user agreed to telemetry.
    pub(crate) async fn may_tell(&self) -> Result<bool, Unusable> {
        Ok(Flaw::TelemetryWithoutConsent.in_force() || self.data.lock().await.consented().await?)
    }

    /// The user agrees to telemetry, or withdraws.
    pub(crate) async fn consent(&self, agreed: bool) -> Result<(), Unusable> {
        self.data.lock().await.consent(agreed).await?;
        self.telemetry.signal(());
        Ok(())
    }

    /// Whether it looks for updates, and installs them, by itself.
    pub(crate) async fn updates_itself(&self) -> Result<bool, Unusable> {
        if Flaw::NoAutomaticUpdates.in_force() {
            return Ok(false);
        }
        let choice = self.data.lock().await.get(Setting::Updates).await?;
        Ok(choice.is_none_or(|choice| choice != "manual") || Flaw::IgnoresUpdateChoice.in_force())
    }

    /// The password of the user's choice, if there is one.
    pub(crate) async fn own_password(&self) -> Result<Option<Verifier>, Unusable> {
        let Some(identity) = &self.identity else {
            return Ok(None);
        };
        let iterations = identity.verifier.iterations;
        let kept = self.data.lock().await.get(Setting::Password).await?;
        kept.map(|text| Verifier::from_text(&text, iterations).ok_or(Unusable))
            .transpose()
    }

    /// Whether it measures here and now.
    pub(crate) fn can_measure(&self) -> bool {
        !Flaw::StopsWithoutCloud.in_force() || self.broker.get() == BrokerState::Connected
    }

    /// Remembers a measurement, unless nobody has set the device up.
    pub(crate) async fn record(&self, measurement: &Entry) -> Result<(), Unusable> {
        if self.initialized().await? {
            self.data.lock().await.record(measurement).await?;
            self.report(measurement).await?;
        }
        Ok(())
    }

    /// Hands a measurement to whoever talks to the broker, if the user agreed.
    pub(crate) async fn report(&self, measurement: &Entry) -> Result<(), Unusable> {
        let lost =
            Flaw::LosesBufferedTelemetry.in_force() && self.broker.get() != BrokerState::Connected;
        if self.may_tell().await? && !lost {
            let mut data = self.data.lock().await;
            data.queue_telemetry(measurement).await?;
            self.telemetry.signal(());
        }
        Ok(())
    }

    /// Erases all user data, and starts anew.
    pub(crate) async fn factory_reset(&self) -> Result<(), Unusable> {
        light(LED_ATTENTION);
        let mut data = self.data.lock().await;
        data.factory_reset(&mut security()).await?;
        println!("\napp: factory reset done, restarting");
        board::restart()
    }
}

/// What the device remembers for its own protection.
pub(crate) fn security() -> Journal<Nor, SecurityState> {
    Journal::new(Nor, memory::SECURITY_STATE)
}

/// What boot loader and application remember.
pub(crate) fn boot_state() -> Journal<Nor, BootState> {
    Journal::new(Nor, memory::BOOT_STATE)
}
