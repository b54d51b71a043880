//! Deliberate violations, to prove that a test case can fail.
//!
//! They exist only in builds with the feature `flaws`, and there at most one is in force: the one
//! that the personalisation names.

use core::sync::atomic::{AtomicU32, Ordering};

/// A deliberate violation; its number is the word in the personalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Flaw {
    /// The factory reset reports success and erases nothing.
    ResetKeepsUserData = 1,
    /// The factory reset marks items as deleted; what they held stays in flash.
    ResetUnlinksOnly = 2,
    /// An image whose signature is blank counts as signed.
    AcceptsUnsignedUpdate = 3,
    /// The version of an image is not looked at.
    AcceptsDowngrade = 4,
    /// An image that does not confirm itself is started again and again.
    NoSlotFallback = 5,
    /// Settings are rewritten in place: old ones are erased before the new ones are written.
    ForgetsSettingsOnPowerCut = 6,
    /// One more password opens every device.
    UniversalPassword = 7,
    /// The last six characters of the serial number are accepted as password.
    PasswordFromSerial = 8,
    /// Firmware opens the debug port for service.
    DebugPortOpen = 9,
    /// The boot log shows the password.
    BootLogLeaksPassword = 10,
    /// Any number of wrong passwords, at any rate.
    NoLockout = 11,
    /// The boot loader does not compare an image with its digest.
    BootsModifiedImage = 12,
    /// The device tells another model designation than its supplier.
    ReportsOtherModel = 13,
    /// The password is part of the firmware, whatever the factory wrote.
    HardCodedPassword = 14,
    /// Every server is believed, whatever its certificate.
    TlsNoVerify = 15,
    /// Certificates are valid for ever.
    TlsAcceptsExpired = 16,
    /// A certificate of another name will do.
    TlsWrongName = 17,
    /// When TLS fails, telemetry goes in the clear.
    MqttPlaintextFallback = 18,
    /// Telemetry is sent, whether the user agreed or not.
    TelemetryWithoutConsent = 19,
    /// Telemetry names owner and room.
    TelemetryExtraPersonalData = 20,
    /// A service console listens on TCP port 23.
    HiddenTelnet = 21,
    /// Something nobody was told of answers on a UDP port.
    UndeclaredUdpService = 22,
    /// A lost broker is called again at once, and again, all devices together.
    ReconnectStorm = 23,
    /// Without its broker the device does not measure.
    StopsWithoutCloud = 24,
    /// What could not be sent at once is dropped.
    LosesBufferedTelemetry = 25,
    /// Updates are fetched over HTTP.
    UpdateOverHttp = 26,
    /// The signatures of manifest and image are not looked at.
    UpdateIgnoresSignature = 27,
    /// The update server is believed, whatever its certificate.
    UpdateNoTlsCheck = 28,
    /// Consent to telemetry outlives the factory reset.
    ResetKeepsCloudBinding = 29,
    /// What is typed goes to a log server, in the clear.
    RemoteDebugLog = 30,
    /// A line that is too long ends in a restart.
    CrashOnLongInput = 31,
    /// The device never looks for updates by itself.
    NoAutomaticUpdates = 32,
    /// Updates are installed, whatever the user wants.
    IgnoresUpdateChoice = 33,
    /// The password on the label opens the device beside the user's own.
    OldPasswordStillWorks = 34,
    /// The management API asks nobody for a session.
    ApiNoAuth = 35,
    /// Any number of wrong passwords, at any rate, over the network.
    ApiLoginUnlimited = 36,
    /// The management API tells everybody serial number, owner and room.
    ApiInfoLeak = 37,
    /// All devices show the broker the same certificate, whose key is part of the firmware.
    SameClientCertOnAllDevices = 38,
    /// The page of the management API shows texts of the user as they are.
    XssInApi = 39,
    /// Sessions of the management API are numbered.
    WeakSessionToken = 40,
    /// A session of the management API ends with the next start only.
    ApiNoSessionExpiry = 41,
    /// The device offers servers a cipher suite that its supplier does not declare.
    OffersUndeclaredSuite = 42,
}

static IN_FORCE: AtomicU32 = AtomicU32::new(0);

/// Puts the flaw with this number in force, if this build has flaws at all.
pub fn choose(number: u32) {
    if cfg!(feature = "flaws") {
        IN_FORCE.store(number, Ordering::Relaxed);
    }
}

impl Flaw {
    /// Whether this flaw is in force: never in a release.
    pub fn in_force(self) -> bool {
        cfg!(feature = "flaws") && IN_FORCE.load(Ordering::Relaxed) == self as u32
    }
}
