//! Tests over the wire: the real SSM client against a small loopback server. Must never reach a real account.
use crate::{Clients, ConfigError, Freshness, HotConfig, Put, SecretName, Secrets, Settings};
use axum::{Router, extract::State, http::HeaderMap, response::IntoResponse, routing::post};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use types::{Caps, Clock, StageRule, Stages, UsdNanos};

/// Versions and values by name, the calls seen, and a change made just before the next put.
#[derive(Default)]
struct Ssm {
    held: BTreeMap<String, (i64, String)>,
    calls: Vec<String>,
    meanwhile: Option<(String, String)>,
    is_down: bool,
}

type Shared = Arc<Mutex<Ssm>>;

async fn answer(State(ssm): State<Shared>, headers: HeaderMap, body: String) -> impl IntoResponse {
    let call = headers["x-amz-target"].to_str().expect("text").replace("AmazonSSM.", "");
    let body: Value = serde_json::from_str(&body).expect("json");
    let name = body["Name"].as_str().unwrap_or_default().to_owned();
    let mut ssm = ssm.lock().expect("not poisoned");
    ssm.calls.push(call.clone());
    let refuse = |code: &str| (400, json!({ "__type": code, "message": "no" }));
    let shown =
        |name: &str, held: &(i64, String)| json!({ "Name": name, "Value": held.1, "Version": held.0 });
    let (status, answer) = if ssm.is_down {
        refuse("AccessDeniedException")
    } else if call == "GetParametersByPath" {
        let path = body["Path"].as_str().expect("a path").trim_end_matches('/').to_owned() + "/";
        let below = ssm.held.iter().filter(|(name, _)| name.starts_with(&path));
        (200, json!({ "Parameters": below.map(|(name, held)| shown(name, held)).collect::<Vec<_>>() }))
    } else if call == "GetParameter" {
        match ssm.held.get(&name) {
            Some(held) => (200, json!({ "Parameter": shown(&name, held) })),
            None => refuse("ParameterNotFound"),
        }
    } else {
        if let Some((name, value)) = ssm.meanwhile.take() {
            let version = ssm.held.get(&name).map_or(1, |held| held.0 + 1);
            ssm.held.insert(name, (version, value));
        }
        let version = ssm.held.get(&name).map_or(1, |held| held.0 + 1);
        if version > 1 && body["Overwrite"] != true {
            refuse("ParameterAlreadyExists")
        } else {
            ssm.held.insert(name, (version, body["Value"].as_str().expect("a value").to_owned()));
            (200, json!({ "Version": version }))
        }
    };
    let status = axum::http::StatusCode::from_u16(status).expect("a status");
    (status, [("content-type", "application/x-amz-json-1.1")], answer.to_string())
}

async fn start() -> (Shared, String) {
    let ssm = Shared::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let router = Router::new().route("/", post(answer)).with_state(ssm.clone());
    #[expect(clippy::disallowed_methods, reason = "a local server for this test")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    (ssm, endpoint)
}

fn settings(endpoint: &str) -> Settings {
    Settings::from_map(|name| match name {
        "AWS_ENDPOINT_URL_SSM" => Some(endpoint.to_owned()),
        "HUBSPOT_TOKEN" => Some("plain-token".to_owned()),
        "HUBSPOT_TOKEN_PARAMETER" | "ANTHROPIC_API_KEY_PARAMETER" => Some("/holdfast/key".to_owned()),
        "HUBSPOT_CLIENT_SECRET" => Some("new, old".to_owned()),
        _ => None,
    })
    .expect("right")
}

async fn hot(endpoint: &str, clock: &Clock) -> HotConfig {
    let settings = settings(endpoint);
    HotConfig::new(&settings, Clients::new(&settings).await.ssm(), clock.clone())
}

fn won() -> Stages {
    Stages(vec![StageRule {
        stage_id: "closedwon".into(),
        label: "Closed Won".into(),
        pipeline_id: "default".into(),
        agent_may_move_here: true,
        closed: true,
    }])
}

#[tokio::test]
async fn what_the_console_saves_is_what_a_step_reads() {
    let (ssm, endpoint) = start().await;
    let hot = hot(&endpoint, &Clock::manual(1_800_000_000_000)).await;
    ssm.lock().expect("not poisoned").held.insert("/holdfast/hubspot_token".into(), (7, "not ours".into()));
    assert_eq!(hot.get().await.hot.version, "stages:0 caps:0 prices:0 zone:0");
    let caps = Caps { usd_per_day: UsdNanos::from_cents(1_250), ..Caps::default() };
    assert_eq!(hot.put_stages(&won(), 0).await.expect("saved"), Put::Saved(1));
    assert_eq!(hot.put_caps(&caps, 0).await.expect("saved"), Put::Saved(1));
    assert_eq!(hot.put_zone("Europe/Amsterdam", 0).await.expect("saved"), Put::Saved(1));
    assert_eq!(hot.put_stages(&won(), 1).await.expect("saved"), Put::Saved(2));
    assert_eq!(hot.put_prices(&types::Prices::default(), 0).await.expect("saved"), Put::Saved(1));
    let loaded = hot.get().await;
    assert_eq!(loaded.freshness, Freshness::Fresh);
    assert_eq!(loaded.hot.version, "stages:2 caps:1 prices:1 zone:1");
    assert_eq!(
        (loaded.hot.stages_version(), loaded.hot.zone_version(), loaded.hot.prices_version()),
        (2, 1, 1)
    );
    assert_eq!(
        (&loaded.hot.stages, loaded.hot.caps, loaded.hot.zone.as_str()),
        (&won(), caps, "Europe/Amsterdam")
    );
    let reads = |ssm: &Shared| {
        ssm.lock().expect("not poisoned").calls.iter().filter(|c| c.ends_with("ByPath")).count()
    };
    assert_eq!(reads(&ssm), 2, "one request for the whole configuration");
}

#[tokio::test]
async fn a_change_that_the_person_did_not_see_is_not_overwritten() {
    let (ssm, endpoint) = start().await;
    let hot = hot(&endpoint, &Clock::manual(1_800_000_000_000)).await;
    assert_eq!(hot.put_stages(&won(), 1).await.expect("answered"), Put::ChangedMeanwhile);
    assert_eq!(hot.put_stages(&won(), 0).await.expect("answered"), Put::Saved(1));
    assert_eq!(hot.put_stages(&Stages::default(), 0).await.expect("answered"), Put::ChangedMeanwhile);
    assert_eq!(hot.get().await.hot.stages, won());
    // In the window between our read and our write: refused for a first version, seen afterwards for a later
    // one.
    let meanwhile =
        |name: &str| ssm.lock().expect("not poisoned").meanwhile = Some((name.into(), "[]".into()));
    meanwhile("/holdfast/caps");
    assert_eq!(hot.put_caps(&Caps::default(), 0).await.expect("answered"), Put::ChangedMeanwhile);
    meanwhile("/holdfast/stages");
    assert_eq!(hot.put_stages(&won(), 1).await.expect("answered"), Put::SavedOver(3));
    // Out of bounds: nothing is sent.
    let calls = ssm.lock().expect("not poisoned").calls.len();
    assert!(matches!(
        hot.put_zone("Mars/Olympus", 0).await,
        Err(ConfigError::MalformedHot { part: "zone", .. })
    ));
    assert_eq!(ssm.lock().expect("not poisoned").calls.len(), calls);
}

#[tokio::test]
async fn a_secret_is_fetched_once_in_fifteen_minutes_and_a_plain_variable_wins() {
    let (ssm, endpoint) = start().await;
    let clock = Clock::manual(1_800_000_000_000);
    let settings = settings(&endpoint);
    let secrets = Secrets::new(&settings, Clients::new(&settings).await.ssm(), clock.clone());
    let fetches = || ssm.lock().expect("not poisoned").calls.len();
    assert_eq!(secrets.get(SecretName::HubspotToken).await.expect("plain").expose(), "plain-token");
    assert!(secrets.find(SecretName::SlackWebhookUrl).await.expect("left out").is_none());
    let missing = secrets.get(SecretName::SlackWebhookUrl).await.expect_err("not set");
    assert!(missing.to_string().contains("`SLACK_WEBHOOK_URL_PARAMETER`"), "{missing}");
    let both = secrets.hubspot_client_secrets().await.expect("plain");
    assert_eq!(both.iter().map(crate::Secret::expose).collect::<Vec<_>>(), ["new", "old"]);
    assert_eq!(fetches(), 0);

    let name = SecretName::AnthropicApiKey;
    assert!(matches!(secrets.get(name).await, Err(ConfigError::ReadSecret { .. })), "no such parameter");
    let hold = |version, value: &str| {
        ssm.lock().expect("not poisoned").held.insert("/holdfast/key".into(), (version, value.into()))
    };
    hold(1, "canary one two");
    let malformed = secrets.get(name).await.expect_err("not a key");
    assert!(!format!("{malformed:?} {malformed}").contains("canary"));
    hold(2, "canary-2\n");
    assert_eq!(secrets.get(name).await.expect("fetched").expose(), "canary-2");
    hold(3, "canary-3");
    assert_eq!(secrets.get(name).await.expect("kept").expose(), "canary-2");
    secrets.forget(name).await;
    assert_eq!(secrets.get(name).await.expect("fetched").expose(), "canary-3");
    assert!(!format!("{secrets:?}").contains("canary"));
    clock.advance_ms(15 * 60 * 1_000);
    ssm.lock().expect("not poisoned").is_down = true;
    assert!(secrets.get(name).await.is_err(), "an old value may have been revoked");
    assert_eq!(fetches(), 5);
}
