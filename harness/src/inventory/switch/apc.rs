//! Switched rack PDUs.

use std::num::{NonZeroU8, NonZeroU16};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ProblemKind, Role, Settings, is_host, problem};

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
    #[serde(default = "private")]
    pub community: String,
    /// Version of SNMP; `v1` unless given, which all of them speak.
    #[serde(default)]
    pub version: SnmpVersion,
}

/// Version of SNMP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SnmpVersion {
    /// SNMPv1, RFC 1157.
    #[default]
    V1,
    /// SNMPv2 with communities, RFC 1901.
    V2c,
}

impl Settings for ApcPduConfig {
    fn output(&self) -> String {
        format!("outlet {} of {}:{}", self.outlet, self.host, self.udp_port)
    }

    fn check(&self, _: Role) -> Result<(), ProblemKind> {
        if !is_host(&self.host) {
            let what = format!("`{}` is not a name or address", self.host);
            return Err(problem("apc-pdu", what, "write host = \"NAME or ADDRESS\""));
        }
        Ok(())
    }
}

fn snmp() -> NonZeroU16 {
    const { NonZeroU16::new(161).unwrap() }
}

fn private() -> String {
    "private".into()
}
