//! The driver of APC's PDUs against Net-SNMP's agent, which keeps an outlet in a file.

use std::{
    fmt::Write as _,
    fs,
    net::UdpSocket,
    num::{NonZeroU8, NonZeroU16},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use rstest::rstest;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
    time::timeout,
};

use super::daemon;
use crate::{
    inventory::{ApcPduConfig, SnmpAuth, SnmpPrivacy, SnmpUser, SnmpVersion},
    switch::{Switch as _, SwitchError, apc::ApcPdu},
};

const PATIENCE: Duration = Duration::from_mins(1);
const IMPATIENCE: Duration = Duration::from_millis(500);
const PASSPHRASE: &str = "to sign it";
const PRIVACY: &str = "to hide it";

/// What is written to the command of outlet 2 is its state.
const OUTLET: &str = r#"
table=.1.3.6.1.4.1.318.1.1.12.3
case "$1 $2" in
  "-g $table.3.1.1.4.2" | "-g $table.5.1.1.4.2") printf '%s\ninteger\n%s\n' "$2" "$(cat STATE)" ;;
  "-s $table.3.1.1.4.2") echo "$4" >STATE ;;
  -s*) echo not-writable ;;
esac
"#;

struct Agent {
    port: u16,
    state: PathBuf,
    _dir: TempDir,
    _child: Child,
}

impl Agent {
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let state = path("state");
        fs::write(&state, "2").unwrap();
        fs::write(path("outlet"), OUTLET.replace("STATE", &state)).unwrap();
        let mut access = String::from("rwcommunity lab\n");
        for (name, auth, privacy) in [
            ("md5-des", "MD5", "DES"),
            ("sha-aes", "SHA", "AES"),
            ("sha256-aes", "SHA-256", "AES"),
            ("sha512-aes", "SHA-512", "AES"),
            ("reader", "SHA", "AES"),
        ] {
            let right = if name == "reader" { "rouser" } else { "rwuser" };
            let _ = writeln!(
                access,
                "createUser {name} {auth} \"{PASSPHRASE}\" {privacy} \"{PRIVACY}\"\n{right} {name} auth"
            );
        }
        let _ = writeln!(access, "pass .1.3.6.1.4.1.318 /bin/sh {}", path("outlet"));
        fs::write(path("conf"), access).unwrap();
        loop {
            // It takes no port 0: one that is free now may be gone when it starts.
            let free = UdpSocket::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let mut child = daemon("/usr/sbin/snmpd")
                .args(["-f", "-C", "-Lo", "-c", &path("conf")])
                .arg(format!("udp:127.0.0.1:{port}"))
                .env("SNMP_PERSISTENT_DIR", path("persistent"))
                .stdout(Stdio::piped())
                .spawn()
                .expect("ci/setup installs it");
            let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
            // Its version is told when it listens.
            let listening = async {
                while let Some(line) = log.next_line().await.unwrap() {
                    if line.starts_with("NET-SNMP version") {
                        return true;
                    }
                }
                false
            };
            let is_listening = timeout(PATIENCE, listening).await.expect("it starts");
            if is_listening {
                // It may go on to write.
                tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
                return Self {
                    port,
                    state: state.into(),
                    _dir: dir,
                    _child: child,
                };
            }
        }
    }

    fn outlet(&self, access: impl FnOnce(&mut ApcPduConfig)) -> ApcPdu {
        let mut config = ApcPduConfig {
            host: "127.0.0.1".into(),
            udp_port: NonZeroU16::new(self.port).unwrap(),
            outlet: NonZeroU8::new(2).unwrap(),
            community: None,
            version: None,
            v3: None,
        };
        access(&mut config);
        ApcPdu::new(&config).with_limit(PATIENCE)
    }

    fn state(&self) -> String {
        fs::read_to_string(&self.state).unwrap().trim().to_owned()
    }
}

fn user(name: &str, auth: SnmpAuth, privacy: Option<SnmpPrivacy>) -> SnmpUser {
    SnmpUser {
        user: name.into(),
        auth,
        auth_passphrase: PASSPHRASE.into(),
        privacy: privacy.unwrap_or_default(),
        privacy_passphrase: privacy.map(|_| PRIVACY.into()),
    }
}

#[tokio::test]
async fn communities_switch_an_outlet() {
    let agent = Agent::start().await;
    for version in [SnmpVersion::V1, SnmpVersion::V2c] {
        let outlet = agent.outlet(|config| {
            config.version = Some(version);
            config.community = Some("lab".into());
        });
        for (on, state) in [(true, "1"), (false, "2")] {
            outlet.set(on).await.unwrap();
            assert_eq!(agent.state(), state);
            assert_eq!(outlet.is_on().await.unwrap(), on);
        }
    }
}

#[tokio::test]
async fn users_switch_an_outlet() {
    let agent = Agent::start().await;
    for user in [
        user("md5-des", SnmpAuth::Md5, Some(SnmpPrivacy::Des)),
        user("sha-aes", SnmpAuth::Sha, Some(SnmpPrivacy::Aes)),
        user("sha-aes", SnmpAuth::Sha, None),
        user("sha256-aes", SnmpAuth::Sha256, Some(SnmpPrivacy::Aes)),
        user("sha512-aes", SnmpAuth::Sha512, Some(SnmpPrivacy::Aes)),
    ] {
        let name = user.user.clone();
        let outlet = agent.outlet(|config| config.v3 = Some(user));
        for (on, state) in [(true, "1"), (false, "2")] {
            outlet
                .set(on)
                .await
                .unwrap_or_else(|error| panic!("{name}: {error:?}"));
            assert_eq!(agent.state(), state, "{name}");
            assert_eq!(outlet.is_on().await.unwrap(), on, "{name}");
        }
    }
}

#[rstest]
#[case::stranger(|user: &mut SnmpUser| user.user = "stranger".into())]
#[case::wrong_passphrase(|user: &mut SnmpUser| user.auth_passphrase = "another one".into())]
#[case::wrong_protocol(|user: &mut SnmpUser| user.auth = SnmpAuth::Md5)]
#[case::reader(|user: &mut SnmpUser| user.user = "reader".into())]
#[tokio::test]
async fn who_may_not_switch_is_told(#[case] wrong: fn(&mut SnmpUser)) {
    let agent = Agent::start().await;
    let mut user = user("sha-aes", SnmpAuth::Sha, Some(SnmpPrivacy::Aes));
    wrong(&mut user);
    let outlet = agent.outlet(|config| config.v3 = Some(user));
    let error = outlet.set(true).await.unwrap_err();
    assert!(matches!(error, SwitchError::Refused { .. }), "{error:?}");
    assert_eq!(agent.state(), "2");
    let shown = format!("{outlet:?} {:?}", miette::Report::new(error));
    for secret in [PASSPHRASE, PRIVACY, "another one"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// Net-SNMP's agent does not answer what it can't decrypt.
#[tokio::test]
async fn a_wrong_key_is_silence_that_tells_where_to_look() {
    let agent = Agent::start().await;
    let mut user = user("sha-aes", SnmpAuth::Sha, Some(SnmpPrivacy::Aes));
    user.privacy_passphrase = Some("another one".into());
    let outlet = agent.outlet(|config| config.v3 = Some(user));
    let error = outlet.with_limit(IMPATIENCE).set(true).await.unwrap_err();
    assert!(
        matches!(error, SwitchError::Unreachable { .. }),
        "{error:?}"
    );
    let shown = format!("{:?}", miette::Report::new(error));
    assert!(shown.contains("`privacy_passphrase`"), "{shown}");
}
