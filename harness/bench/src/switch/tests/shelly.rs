//! The Shelly driver against an HTTP server that answers as the documentation of both generations says.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Response, StatusCode, header},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use crate::{
    inventory::ShellyConfig,
    switch::{Switch, SwitchError, shelly::Shelly},
};

/// Only what never answers is waited for so long.
const LIMIT: Duration = Duration::from_secs(30);
const NONCE: &str = "65f6d6b3";
const REALM: &str = "shellyplus1-a8032abe54dc";

#[derive(Debug, Default)]
struct Plug {
    generation: u8,
    on: bool,
    history: Vec<String>,
    password: Option<&'static str>,
    /// Trips as soon as it is on.
    overload: bool,
    says: Option<&'static str>,
}

type Shared = Arc<Mutex<Plug>>;

impl Plug {
    fn answer(&mut self, request: &Request) -> Response<Body> {
        let uri = request.uri();
        let path = uri.path();
        if path != "/shelly"
            && let Some(password) = self.password
        {
            let said = request.headers().get(header::AUTHORIZATION);
            let said = said.map(|value| value.to_str().unwrap());
            if !said.is_some_and(|said| self.accepts(said, password, &uri.to_string())) {
                return self.challenge();
            }
        }
        self.history.push(uri.to_string());
        if let Some(says) = self.says {
            return Response::new(says.into());
        }
        let json = |value: Value| Response::new(value.to_string().into());
        let fail = |status, text: &str| {
            let mut response = Response::new(Body::from(text.to_owned()));
            *response.status_mut() = status;
            response
        };
        let query = uri.query().unwrap_or_default();
        match (self.generation, path) {
            (1, "/shelly") => json(
                json!({ "type": "SHPLG-S", "mac": "7C87CE65AE9E", "auth": self.password.is_some() }),
            ),
            (2, "/shelly") => {
                json(json!({ "id": REALM, "model": "SNSW-001X16EU", "gen": 2, "app": "Plus1" }))
            }
            (1, "/relay/0") => {
                match query {
                    "turn=on" => self.on = !self.overload,
                    "turn=off" => self.on = false,
                    _ => assert_eq!(query, ""),
                }
                json(
                    json!({ "ison": self.on, "has_timer": false, "overpower": self.overload, "source": "http" }),
                )
            }
            (2, "/rpc/Switch.Set") => {
                let was_on = self.on;
                match query {
                    "id=0&on=true" => self.on = !self.overload,
                    "id=0&on=false" => self.on = false,
                    _ => {
                        let text = r#"{"code":-105,"message":"Argument 'id', value 3 not found!"}"#;
                        return fail(StatusCode::INTERNAL_SERVER_ERROR, text);
                    }
                }
                json(json!({ "was_on": was_on }))
            }
            (2, "/rpc/Switch.GetStatus") => {
                assert_eq!(query, "id=0");
                json(
                    json!({ "id": 0, "source": "HTTP_in", "output": self.on, "apower": 8.9, "voltage": 237.5 }),
                )
            }
            _ => fail(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    fn challenge(&self) -> Response<Body> {
        let challenge = match self.generation {
            1 => "Basic realm=\"shelly\"".to_owned(),
            _ => format!(
                "Digest qop=\"auth\", realm=\"{REALM}\", nonce=\"{NONCE}\", algorithm=SHA-256"
            ),
        };
        Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .header(header::WWW_AUTHENTICATE, challenge)
            .body(Body::empty())
            .unwrap()
    }

    fn accepts(&self, said: &str, password: &str, uri: &str) -> bool {
        if self.generation == 1 {
            return said
                == format!(
                    "Basic {}",
                    BASE64_STANDARD.encode(format!("admin:{password}"))
                );
        }
        let field = |name: &str| {
            let fields = said.strip_prefix("Digest ").unwrap().split(", ");
            let value = fields
                .filter_map(|field| field.split_once('='))
                .find(|(key, _)| *key == name);
            value
                .unwrap_or_else(|| panic!("no {name} in {said}"))
                .1
                .trim_matches('"')
                .to_owned()
        };
        let hash = |text: String| hex::encode(Sha256::digest(text));
        assert_eq!(
            (field("uri"), field("nonce")),
            (uri.to_owned(), NONCE.to_owned())
        );
        // RFC 7616, 3.4
        let a1 = hash(format!("admin:{REALM}:{password}"));
        let a2 = hash(format!("GET:{uri}"));
        let (nc, cnonce) = (field("nc"), field("cnonce"));
        field("response") == hash(format!("{a1}:{NONCE}:{nc}:{cnonce}:auth:{a2}"))
    }
}

async fn serve(plug: Plug) -> (Shared, String) {
    let plug = Arc::new(Mutex::new(plug));
    let app = Router::new()
        .fallback(async |State(plug): State<Shared>, request: Request| {
            plug.lock().unwrap().answer(&request)
        })
        .with_state(Arc::clone(&plug));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async { axum::serve(listener, app).await });
    (plug, host)
}

fn shelly(url: String, output: u8) -> Shelly {
    Shelly::new(&ShellyConfig { url, output }, LIMIT).unwrap()
}

#[rstest]
#[tokio::test]
async fn it_is_switched_and_read_back(
    #[values(1, 2)] generation: u8,
    #[values(None, Some("geheim & co"))] password: Option<&'static str>,
) {
    let (plug, host) = serve(Plug {
        generation,
        password,
        ..Plug::default()
    })
    .await;
    let user = password.map_or("", |_| "admin:geheim%20%26%20co@");
    let switch = shelly(format!("http://{user}{host}"), 0);
    switch.set(true).await.unwrap();
    assert!(plug.lock().unwrap().on && switch.is_on().await.unwrap());
    switch.set(false).await.unwrap();
    assert!(!plug.lock().unwrap().on && !switch.is_on().await.unwrap());
    let history = plug.lock().unwrap().history.clone();
    let asked = history.iter().filter(|uri| *uri == "/shelly").count();
    assert_eq!(asked, 1, "the generation does not change: {history:?}");
}

#[rstest]
#[tokio::test]
async fn a_plug_that_trips_is_an_error(#[values(1, 2)] generation: u8) {
    let (_, host) = serve(Plug {
        generation,
        overload: true,
        ..Plug::default()
    })
    .await;
    let error = shelly(format!("http://{host}"), 0)
        .set(true)
        .await
        .unwrap_err();
    super::stayed_off(&error);
}

#[rstest]
#[case::none("")]
#[case::wrong("admin:falsch@")]
#[tokio::test]
async fn a_missing_or_wrong_password_is_told(#[values(1, 2)] generation: u8, #[case] user: &str) {
    let (plug, host) = serve(Plug {
        generation,
        password: Some("geheim"),
        ..Plug::default()
    })
    .await;
    let error = shelly(format!("http://{user}{host}"), 0)
        .set(true)
        .await
        .unwrap_err();
    assert!(matches!(error, SwitchError::Refused { .. }), "{error:?}");
    let shown = format!("{:?}", miette::Report::new(error));
    assert!(
        shown.contains("password") && !shown.contains("falsch"),
        "{shown}"
    );
    assert!(!plug.lock().unwrap().on);
}

#[rstest]
#[case::no_such_output_gen1(1, 3, None, "404 Not Found: Not Found")]
#[case::no_such_output_gen2(2, 3, None, "value 3 not found!")]
#[case::another_device(2, 0, Some("<html>Router</html>"), "<html>Router</html>")]
#[case::another_json(1, 0, Some("{\"gen\": \"x\"}"), "gen")]
#[tokio::test]
async fn nonsense_is_shown_as_what_it_is(
    #[case] generation: u8,
    #[case] output: u8,
    #[case] says: Option<&'static str>,
    #[case] shown: &str,
) {
    let (_, host) = serve(Plug {
        generation,
        says,
        ..Plug::default()
    })
    .await;
    let error = shelly(format!("http://{host}"), output)
        .set(true)
        .await
        .unwrap_err();
    assert!(matches!(error, SwitchError::Answer { .. }), "{error:?}");
    assert!(error.to_string().contains(shown), "{error}");
}

#[tokio::test]
async fn no_answer_is_an_error_that_keeps_the_password() {
    // It takes connections, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap();
    let config = ShellyConfig {
        url: format!("http://admin:geheim@{host}"),
        output: 0,
    };
    let silent = Shelly::new(&config, Duration::from_millis(100)).unwrap();
    let silence = silent.set(true).await.unwrap_err();
    drop(listener);
    let refusal = silent.set(true).await.unwrap_err();
    for error in [silence, refusal] {
        assert!(
            matches!(error, SwitchError::Unreachable { .. }),
            "{error:?}"
        );
        let shown = format!("{:?}", miette::Report::new(error));
        assert!(
            shown.contains(&host.to_string()) && !shown.contains("geheim"),
            "{shown}"
        );
    }
}
