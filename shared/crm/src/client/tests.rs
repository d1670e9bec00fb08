//! How the client behaves on the wire, against servers that misbehave.
use super::*;
use crate::{
    Retry,
    loopback::{Reply, TOKEN, config, hubspot, json, nobody, raw_server, reply, server},
    request_of_set_stage,
};
use serde_json::json;
use types::DealId;

const PATH: &str = "/crm/objects/2026-09/deals/4411";

fn planned(hubspot: &HubSpot) -> PlannedRequest {
    let deal = DealId::new("4411").expect("an id");
    request_of_set_stage(hubspot.api_version(), &deal, None, "contractsent").expect("a request")
}

fn intent() -> IntentId {
    IntentId::new("i-7").expect("an id")
}

async fn write_to(url: &str) -> Sent<Value> {
    let hubspot = hubspot(url);
    hubspot.client().write(&planned(&hubspot), &intent()).await
}

async fn read_from(url: &str) -> Result<Value, CrmError> {
    hubspot(url).client().get("get deal", PATH).await
}

fn not_applied(sent: &Sent<Value>) -> (Reason, Option<u64>, String) {
    match sent {
        Sent::NotApplied { reason, wait_ms, message } => (*reason, *wait_ms, message.clone()),
        Sent::Applied(_) | Sent::Unknown { .. } => panic!("not `NotApplied`: {sent:?}"),
    }
}

fn is_unknown<T>(sent: &Sent<T>) -> bool {
    matches!(sent, Sent::Unknown { .. }) && sent.retry() == Retry::AfterRead
}

#[test]
fn the_token_goes_to_https_or_loopback_only() {
    for good in
        ["https://api.hubapi.com", "https://api.hubapi.com/", "http://127.0.0.1:8786", "http://localhost:1"]
    {
        assert!(HubSpot::new(&config(good)).is_ok(), "{good}");
    }
    assert!(HubSpot::new(&config("http://[::1]:1")).is_ok());
    for bad in [
        "",
        "api.hubapi.com",
        "http://api.hubapi.com",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://10.0.0.1",
        "ftp://127.0.0.1",
        "https://a:b@api.hubapi.com",
        "https://api.hubapi.com/x",
        "https://api.hubapi.com?x",
        "https://api.hubapi.com#x",
    ] {
        assert!(matches!(HubSpot::new(&config(bad)), Err(ConfigError::BaseUrl)), "{bad} must be refused");
    }
    for bad in ["", " \n", "pat\ncanary", "pat\u{0}"] {
        let config = HubSpotConfig { token: Secret::new(bad), ..config("https://api.hubapi.com") };
        assert!(matches!(HubSpot::new(&config), Err(ConfigError::Token)), "{bad:?} must be refused");
    }
    let old = HubSpotConfig { api_version: "v3".to_owned(), ..config("https://api.hubapi.com") };
    assert!(matches!(HubSpot::new(&old), Err(ConfigError::ApiVersion)));
}

#[tokio::test]
async fn a_write_is_sent_once_exactly_as_planned_with_its_intent() {
    let server = server(|_| json(&json!({"id": "4411"}))).await;
    let hubspot = hubspot(&server.url);
    let planned = planned(&hubspot);
    let sent = hubspot.client().write(&planned, &intent()).await;
    assert_eq!(sent, Sent::Applied(json!({"id": "4411"})));
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].method.as_str(), seen[0].target.as_str()), (planned.method(), planned.path()));
    assert_eq!(&seen[0].json(), planned.body());
    assert_eq!(seen[0].header("x-holdfast-intent"), Some("i-7"));
    assert_eq!(seen[0].header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
}

#[tokio::test]
async fn a_refused_write_is_not_applied() {
    let body = r#"{"message":"Stage\nneeds a reason","category":"VALIDATION_ERROR","correlationId":"c-1"}"#;
    for (status, reason, wait_ms) in [
        (400, Reason::CrmRefused, None),
        (401, Reason::CrmRefused, None),
        (403, Reason::CrmRefused, None),
        (404, Reason::CrmNotFound, None),
        (409, Reason::CrmRefused, None),
        (422, Reason::CrmRefused, None),
        (423, Reason::CrmUnavailable, Some(10_000)),
        (477, Reason::CrmUnavailable, Some(10_000)),
    ] {
        let server = server(move |_| reply(status, &[], body)).await;
        let (seen_reason, seen_wait_ms, message) = not_applied(&write_to(&server.url).await);
        assert_eq!((seen_reason, seen_wait_ms), (reason, wait_ms), "{status}");
        assert_eq!(message, format!("status {status} VALIDATION_ERROR c-1 Stage needs a reason"));
        assert_eq!(server.seen().len(), 1, "{status} must not be sent again");
    }
}

#[tokio::test]
async fn a_rate_limit_says_how_long_to_wait() {
    const INTERVAL: (&str, &str) = ("x-hubspot-ratelimit-interval-milliseconds", "12000");
    const USED_UP: (&str, &str) = ("x-hubspot-ratelimit-daily-remaining", "0");
    let rolling = r#"{"policyName":"TEN_SECONDLY_ROLLING","message":"slow down"}"#;
    let daily = r#"{"policyName":"DAILY"}"#;
    type Case = (&'static [(&'static str, &'static str)], &'static str, u64, bool);
    let cases: [Case; 7] = [
        (&[INTERVAL], rolling, 12_000, false),
        (&[("retry-after", "30")], rolling, 30_000, false),
        (&[INTERVAL, ("retry-after", "3")], rolling, 12_000, false),
        (&[], "<html>", 10_000, false),
        (&[("retry-after", "99999999999999999999")], "", 10_000, false),
        (&[INTERVAL], daily, 12_000, true),
        (&[INTERVAL, USED_UP], rolling, 12_000, true),
    ];
    for (headers, body, wait_ms, is_daily) in cases {
        let headers: Vec<(&'static str, &'static str)> = headers.to_vec();
        let server = server(move |_| reply(429, &headers, body)).await;
        let sent = write_to(&server.url).await;
        let (reason, seen_wait_ms, _) = not_applied(&sent);
        assert_eq!(reason, Reason::CrmRateLimited);
        assert_eq!(seen_wait_ms, (!is_daily).then_some(wait_ms), "{body}");
        let error = read_from(&server.url).await.expect_err("a rate limit");
        assert_eq!(error, CrmError::RateLimited { call: "get deal", wait_ms, daily: is_daily });
        assert_eq!(server.seen().len(), 2, "nothing is sent again");
    }
}

#[tokio::test]
async fn a_write_without_a_clear_answer_is_unknown() {
    for status in [500, 502, 503, 504, 408, 521, 600] {
        let server = server(move |_| reply(status, &[], "<html>bad gateway</html>")).await;
        assert!(is_unknown(&write_to(&server.url).await), "{status}");
        assert_eq!(server.seen().len(), 1, "{status} must not be sent again");
        let read = read_from(&server.url).await.expect_err("an error");
        assert_eq!((read.retry(), read.reason()), (Retry::Safe, Reason::CrmUnavailable), "{status}");
    }
    for body in ["", "<html>", "{\"id\":"] {
        let server = server(move |_| reply(200, &[], body)).await;
        assert!(is_unknown(&write_to(&server.url).await), "{body}");
        let read = read_from(&server.url).await.expect_err("an error");
        assert!(matches!(read, CrmError::Malformed { .. }), "{read}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_unknown_for_a_write_and_is_not_tried_again() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":\"4411\"}";
    for bytes in [b"".as_slice(), b"HTTP/1.1 200", half, b"not http at all\r\n\r\n"] {
        let (url, count) = raw_server(bytes).await;
        let sent = write_to(&url).await;
        assert!(is_unknown(&sent), "{sent:?}");
        assert_eq!(*count.lock().expect("a count"), 1);
        let read = read_from(&url).await.expect_err("an error");
        assert!(matches!(read, CrmError::Unavailable { .. }), "{read}");
    }
}

#[tokio::test]
async fn a_refusal_stays_a_refusal_when_its_body_breaks_off() {
    let (url, _) = raw_server(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 100\r\n\r\n{").await;
    assert_eq!(not_applied(&write_to(&url).await).0, Reason::CrmRefused);
}

#[tokio::test]
async fn no_answer_in_time_is_unknown_for_a_write() {
    let server = server(|_| Reply::Never).await;
    let short = HubSpotConfig { request_timeout: Duration::from_millis(200), ..config(&server.url) };
    let hubspot = HubSpot::new(&short).expect("good settings");
    assert!(is_unknown(&hubspot.client().write(&planned(&hubspot), &intent()).await));
    let read = hubspot.client().get::<Value>("get deal", PATH).await.expect_err("an error");
    assert!(
        matches!(&read, CrmError::Unavailable { what, .. } if what.starts_with("no answer in time")),
        "{read}"
    );
}

#[tokio::test]
async fn a_write_that_never_left_is_not_applied() {
    let nobody = nobody().await;
    let (reason, wait_ms, message) = not_applied(&write_to(&nobody).await);
    assert_eq!((reason, wait_ms), (Reason::CrmUnavailable, Some(10_000)));
    assert!(message.starts_with("no connection") && !message.contains("127.0.0.1"), "{message}");
    // A server that does not speak TLS: the request is never sent in the clear.
    let plain = server(|_| json(&json!({}))).await;
    let over_tls = plain.url.replace("http://", "https://");
    assert_eq!(not_applied(&write_to(&over_tls).await).0, Reason::CrmUnavailable);
    assert!(plain.seen().is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_token_does_not_travel() {
    let elsewhere = server(|_| json(&json!({"id": "4411"}))).await;
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}/stolen", elsewhere.url);
        let server = server(move |_| reply(status, &[("location", &to)], "")).await;
        assert_eq!(not_applied(&write_to(&server.url).await).0, Reason::CrmRefused, "{status}");
        let read = read_from(&server.url).await.expect_err("an error");
        assert!(matches!(read, CrmError::Refused { status: seen, .. } if seen == status), "{read}");
        assert_eq!(server.seen().len(), 2);
    }
    assert!(elsewhere.seen().is_empty(), "the other host must see nothing");
}

#[tokio::test]
async fn an_oversize_answer_is_dropped() {
    let server = server(|_| reply(200, &[], vec![b' '; BODY_BYTES_MAX + 1])).await;
    let read = read_from(&server.url).await.expect_err("an error");
    assert_eq!(read, CrmError::TooLarge { call: "get deal", bytes_max: BODY_BYTES_MAX });
    assert!(is_unknown(&write_to(&server.url).await));
}

#[tokio::test]
async fn a_path_cannot_leave_the_host_or_change_on_its_way() {
    let server = server(|_| json(&json!({}))).await;
    let client = hubspot(&server.url).client();
    for path in ["//evil.example/x", "https://evil.example/x", "/crm/../x", "/a/%2e%2e/b", "/a b", "x", ""] {
        let read = client.get::<Value>("get deal", path).await;
        assert_eq!(read, Err(CrmError::BadId { call: "get deal" }), "{path:?}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn the_token_shows_in_no_debug_text_error_or_message() {
    let echo = format!("{{\"message\":\"bad token {TOKEN}\\u202e\",\"category\":\"{}\"}}", "X".repeat(500));
    let server = server(move |_| reply(401, &[], echo.clone())).await;
    let hubspot = hubspot(&server.url);
    let read = hubspot.client().get::<Value>("get deal", PATH).await.expect_err("an error");
    let sent = hubspot.client().write(&planned(&hubspot), &intent()).await;
    let shown = format!(
        "{read} {read:?} {sent:?} {hubspot:?} {:?} {:?}",
        config(&server.url),
        hubspot.stage_writer()
    );
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("bad token ***"), "{shown}");
    assert!(!shown.contains('\u{202e}'));
    assert!(not_applied(&sent).2.chars().count() <= MESSAGE_CHARS_MAX);
}

#[tokio::test]
async fn a_refused_read_names_category_and_correlation() {
    let body = r#"{"message":"No scopes","category":"MISSING_SCOPES","correlationId":"c-9"}"#;
    let server = server(move |_| reply(403, &[], body)).await;
    let read = read_from(&server.url).await.expect_err("an error");
    assert_eq!(
        read.to_string(),
        "get deal: refused with status 403, category `MISSING_SCOPES`, correlation `c-9`: `No scopes`"
    );
    let gone = crate::loopback::server(|_| reply(404, &[], "")).await;
    assert_eq!(read_from(&gone.url).await, Err(CrmError::NotFound { call: "get deal" }));
}
