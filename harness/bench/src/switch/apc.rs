//! Switched rack PDUs of APC, by SNMP: PowerNet-MIB, `rPDUOutletControlTable` and `rPDUOutletStatusTable`.

use std::{fmt, time::Duration};

use snmp2::v3::{Auth, AuthProtocol, Cipher, Security};
use snmp2::{AsyncSession, Oid, Pdu, Value};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{BoxFuture, Switch, SwitchError, obeyed, shorten};
use crate::inventory::{ApcPduConfig, SnmpAuth, SnmpPrivacy, SnmpUser, SnmpVersion};

/// For a command with all that follows: a PDU takes some seconds when its outlets have delays.
const LIMIT: Duration = Duration::from_secs(15);
/// A datagram may get lost: it is sent again after this.
const TRY_LIMIT: Duration = Duration::from_secs(2);
/// Between looks at the state.
const LOOK: Duration = Duration::from_millis(100);

/// `rPDUOutletControlOutletCommand`: immediateOn(1), immediateOff(2).
const COMMAND: &[u64] = &[1, 3, 6, 1, 4, 1, 318, 1, 1, 12, 3, 3, 1, 1, 4];
/// `rPDUOutletStatusOutletState`: outletStatusOn(1), outletStatusOff(2).
const STATE: &[u64] = &[1, 3, 6, 1, 4, 1, 318, 1, 1, 12, 3, 5, 1, 1, 4];
const ON: i64 = 1;
const OFF: i64 = 2;

/// One outlet.
#[derive(Debug)]
pub(super) struct ApcPdu {
    host: String,
    port: u16,
    outlet: u8,
    access: Access,
    limit: Duration,
}

/// Who we are to the PDU. It is as good as a password, and stays out of logs.
enum Access {
    Community(SnmpVersion, String),
    User(Box<Security>),
}

impl Access {
    fn of(config: &ApcPduConfig) -> Self {
        match &config.v3 {
            Some(user) => Self::User(Box::new(security(user))),
            None => Self::Community(
                config.version.unwrap_or_default(),
                config.community.clone().unwrap_or_else(|| "private".into()),
            ),
        }
    }
}

fn security(user: &SnmpUser) -> Security {
    let protocol = match user.auth {
        SnmpAuth::Md5 => AuthProtocol::Md5,
        SnmpAuth::Sha => AuthProtocol::Sha1,
        SnmpAuth::Sha256 => AuthProtocol::Sha256,
        SnmpAuth::Sha512 => AuthProtocol::Sha512,
    };
    let cipher = match user.privacy {
        SnmpPrivacy::Des => Cipher::Des,
        SnmpPrivacy::Aes => Cipher::Aes128,
    };
    let auth = match &user.privacy_passphrase {
        None => Auth::AuthNoPriv,
        Some(passphrase) => Auth::AuthPriv {
            cipher,
            privacy_password: passphrase.as_bytes().to_vec(),
        },
    };
    Security::new(user.user.as_bytes(), user.auth_passphrase.as_bytes())
        .with_auth_protocol(protocol)
        .with_auth(auth)
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

/// What was answered.
enum Answer {
    Integer(i64),
    /// `error-status` (RFC 3416, 3).
    Error(u32),
    Other(String),
}

impl ApcPdu {
    pub(super) fn new(config: &ApcPduConfig) -> Self {
        Self {
            host: config.host.clone(),
            port: config.udp_port.get(),
            outlet: config.outlet.get(),
            access: Access::of(config),
            limit: LIMIT,
        }
    }

    #[cfg(test)]
    pub(super) fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    async fn switch(&self, on: bool) -> Result<(), SwitchError> {
        let deadline = Instant::now() + self.limit;
        let value = if on { ON } else { OFF };
        match self.exchange(COMMAND, Some(value), deadline).await? {
            Answer::Integer(_) => {}
            Answer::Error(status) => return Err(self.refused(status)),
            Answer::Other(answer) => return Err(self.nonsense("outlet command", &answer)),
        }
        loop {
            let state = self.state(deadline).await?;
            if state == on || Instant::now() + LOOK >= deadline {
                return obeyed(|| self.name(), on, state);
            }
            sleep(LOOK).await;
        }
    }

    async fn state(&self, deadline: Instant) -> Result<bool, SwitchError> {
        match self.exchange(STATE, None, deadline).await? {
            Answer::Integer(ON) => Ok(true),
            Answer::Integer(OFF) => Ok(false),
            Answer::Integer(other) => Err(self.nonsense("outlet state", &other.to_string())),
            Answer::Error(status) => Err(self.nonsense("outlet state", error_name(status))),
            Answer::Other(answer) => Err(self.nonsense("outlet state", &answer)),
        }
    }

    /// Sets a column of the outlet's row, or gets it; again and again until it is answered. To set twice does no harm.
    async fn exchange(
        &self,
        column: &[u64],
        value: Option<i64>,
        deadline: Instant,
    ) -> Result<Answer, SwitchError> {
        let oid: Vec<u64> = [column, &[self.outlet.into()]].concat();
        let oid = Oid::from(&oid).map_err(|_| self.nonsense("its OID", "no such OID"))?;
        let exchange = async {
            loop {
                // What is lost is asked for again, in a session of its own.
                if let Ok(answer) = timeout(TRY_LIMIT, self.ask(&oid, value)).await {
                    return answer;
                }
            }
        };
        match timeout_at(deadline, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(self.unreachable("no answer in time")),
        }
    }

    async fn ask(&self, oid: &Oid<'_>, value: Option<i64>) -> Result<Answer, SwitchError> {
        let mut session = self.session().await.map_err(|e| self.unreachable(e))?;
        // Who the PDU is to users of SNMPv3 (RFC 3414, 4); nothing for communities.
        session.init().await.map_err(|e| self.failed(&e))?;
        // The first answer may only tell its clock.
        let mut is_told = false;
        loop {
            let answer = match value {
                Some(value) => session.set(&[(oid, Value::Integer(value))]).await,
                None => session.get(oid).await,
            };
            match answer {
                Ok(pdu) => return Ok(Answer::of(&pdu)),
                Err(snmp2::Error::AuthUpdated) if !is_told => is_told = true,
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    async fn session(&self) -> std::io::Result<AsyncSession> {
        let address = (&*self.host, self.port);
        // Another identifier than the last time: late answers are not ours.
        let first = i32::from(rand::random::<u16>());
        match &self.access {
            Access::Community(version, community) => {
                let community = community.as_bytes();
                match version {
                    SnmpVersion::V1 => AsyncSession::new_v1(address, community, first).await,
                    SnmpVersion::V2c => AsyncSession::new_v2c(address, community, first).await,
                }
            }
            Access::User(security) => {
                AsyncSession::new_v3(address, first, (**security).clone()).await
            }
        }
    }

    fn failed(&self, error: &snmp2::Error) -> SwitchError {
        match error {
            snmp2::Error::Send | snmp2::Error::Receive => self.unreachable("nothing listens there"),
            snmp2::Error::AuthFailure(reason) => SwitchError::Refused {
                device: self.name(),
                reason: reason.to_string(),
                remedy: "are `user`, `auth`, `privacy` and the passphrases in devices.toml as in the PDU (SNMPv3, user \
                    profiles), and has that user access from this address?",
            },
            error => self.nonsense("SNMP", &error.to_string()),
        }
    }

    fn unreachable(
        &self,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> SwitchError {
        let remedy = match self.access {
            Access::User(_) => {
                "is the PDU in the network, SNMPv3 enabled in it, and are `host`, `privacy` and `privacy_passphrase` in \
                devices.toml right? What a PDU can't decrypt it may not answer, nor addresses that it does not grant \
                access to"
            }
            Access::Community(..) => {
                "is the PDU in the network, this version of SNMP enabled in it, and are `host` and `community` in \
                devices.toml right? A PDU does not answer to a wrong community, nor to addresses that it does not \
                grant access to"
            }
        };
        SwitchError::Unreachable {
            device: self.name(),
            remedy,
            source: error.into(),
        }
    }

    fn refused(&self, status: u32) -> SwitchError {
        SwitchError::Refused {
            device: self.name(),
            reason: error_name(status).into(),
            remedy: "has the PDU that outlet, and may the community or user in devices.toml write (PDU: SNMP, access \
                control)?",
        }
    }

    fn nonsense(&self, command: &str, answer: &str) -> SwitchError {
        SwitchError::Answer {
            device: self.name(),
            command: command.into(),
            answer: shorten(answer),
        }
    }

    fn name(&self) -> String {
        format!(
            "outlet {} of the PDU at {}:{}",
            self.outlet, self.host, self.port
        )
    }
}

impl Answer {
    fn of(pdu: &Pdu<'_>) -> Self {
        if pdu.error_status != 0 {
            return Self::Error(pdu.error_status);
        }
        match pdu.varbinds.clone().next() {
            Some((_, Value::Integer(value))) => Self::Integer(value),
            Some((_, other)) => Self::Other(format!("{other:?}")),
            None => Self::Other("nothing".into()),
        }
    }
}

impl Switch for ApcPdu {
    fn set(&self, on: bool) -> BoxFuture<'_, Result<(), SwitchError>> {
        Box::pin(self.switch(on))
    }

    fn is_on(&self) -> BoxFuture<'_, Result<bool, SwitchError>> {
        Box::pin(self.state(Instant::now() + self.limit))
    }
}

/// RFC 3416, 3.
fn error_name(status: u32) -> &'static str {
    match status {
        1 => "tooBig (1)",
        2 => "noSuchName (2)",
        3 => "badValue (3)",
        4 => "readOnly (4)",
        5 => "genErr (5)",
        6 => "noAccess (6)",
        7 => "wrongType (7)",
        10 => "wrongValue (10)",
        11 => "noCreation (11)",
        13 => "resourceUnavailable (13)",
        14 => "commitFailed (14)",
        16 => "authorizationError (16)",
        17 => "notWritable (17)",
        _ => "an error of SNMP",
    }
}
