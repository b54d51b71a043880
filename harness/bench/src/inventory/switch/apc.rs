//! Switched rack PDUs.

use std::fmt;
use std::num::{NonZeroU8, NonZeroU16};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ProblemKind, Role, Settings, is_host, problem, same_host};

/// An outlet of a switched rack PDU of APC, by SNMP (PowerNet-MIB, `rPDUOutletControl`).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApcPduConfig {
    /// Its name or address in the network.
    pub host: String,
    /// Its UDP port for SNMP; 161 unless given.
    #[serde(default = "snmp")]
    pub udp_port: NonZeroU16,
    /// Number of the outlet, as printed on the PDU.
    pub outlet: NonZeroU8,
    /// A community that may write; `private` unless given.
    pub community: Option<String>,
    /// Version of SNMP with communities; `v1` unless given, which all of them speak.
    pub version: Option<SnmpVersion>,
    /// A user of SNMPv3, instead of a community.
    pub v3: Option<SnmpUser>,
}

/// Version of SNMP with communities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SnmpVersion {
    /// SNMPv1, RFC 1157.
    #[default]
    V1,
    /// SNMPv2 with communities, RFC 1901.
    V2c,
}

/// A user of SNMPv3 (RFC 3414) that may write.
#[derive(Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnmpUser {
    /// Its name.
    pub user: String,
    /// How messages are signed; `sha` unless given.
    #[serde(default)]
    pub auth: SnmpAuth,
    /// What signs them: at least 8 characters.
    pub auth_passphrase: String,
    /// How messages are encrypted; `aes` unless given.
    #[serde(default)]
    pub privacy: SnmpPrivacy,
    /// What encrypts them: at least 8 characters. Without it they are only signed.
    pub privacy_passphrase: Option<String>,
}

/// How messages are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SnmpAuth {
    /// HMAC-MD5-96, RFC 3414.
    Md5,
    /// HMAC-SHA-96, RFC 3414.
    #[default]
    Sha,
    /// HMAC-SHA-256, RFC 7860.
    Sha256,
    /// HMAC-SHA-512, RFC 7860.
    Sha512,
}

/// How messages are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SnmpPrivacy {
    /// CBC-DES, RFC 3414.
    Des,
    /// CFB128-AES-128, RFC 3826.
    #[default]
    Aes,
}

/// RFC 3414, 11.2: the shortest passphrase.
const SHORTEST: usize = 8;

/// Passphrases stay out of logs.
impl fmt::Debug for SnmpUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnmpUser")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Settings for ApcPduConfig {
    fn output(&self) -> String {
        let host = same_host(&self.host);
        format!("outlet {} of {host}:{}", self.outlet, self.udp_port)
    }

    fn secrets(&self) -> Vec<String> {
        let user = self.v3.iter().flat_map(|user| {
            let privacy = user.privacy_passphrase.as_ref();
            [Some(&user.auth_passphrase), privacy]
        });
        // Everybody knows what communities are called from the factory.
        let community = self.community.as_ref();
        let community = community.filter(|name| !["private", "public"].contains(&name.as_str()));
        let all = user.chain([community]).flatten();
        all.cloned().collect()
    }

    fn check(&self, _: Role) -> Result<(), ProblemKind> {
        if !is_host(&self.host) {
            let what = format!("`{}` is not a name or address", self.host);
            return Err(problem("apc-pdu", what, "write host = \"NAME or ADDRESS\""));
        }
        let Some(v3) = &self.v3 else {
            return Ok(());
        };
        if self.community.is_some() || self.version.is_some() {
            let what = "it has both `v3` and what is for communities";
            let remedy = "leave out `community` and `version`, or `v3`";
            return Err(problem("apc-pdu", what, remedy));
        }
        let passphrases = [
            ("auth_passphrase", Some(&v3.auth_passphrase)),
            ("privacy_passphrase", v3.privacy_passphrase.as_ref()),
        ];
        for (key, passphrase) in passphrases {
            if passphrase.is_some_and(|text| text.len() < SHORTEST) {
                let what = format!("`{key}` is too short");
                let remedy =
                    "write the passphrase that the PDU has: SNMPv3 wants 8 characters or more";
                return Err(problem("apc-pdu", what, remedy));
            }
        }
        Ok(())
    }
}

fn snmp() -> NonZeroU16 {
    const { NonZeroU16::new(161).unwrap() }
}
