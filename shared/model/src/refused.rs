//! Reading an HTTP answer that is not a 200. Must never repeat a header, a key or a whole body.
use crate::text;
use crate::turn::{Charge, SPEND_LIMIT, Turn};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

#[derive(Deserialize)]
struct WireError {
    error: WireDetail,
}

#[derive(Deserialize)]
struct WireDetail {
    r#type: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Value,
}

const KIND_BYTES_MAX: usize = 64;
const MESSAGE_BYTES_MAX: usize = 300;
/// Longer than any wait of ours; a run parks instead.
const AFTER_MS_MAX: u64 = 3_600_000;

/// What a status, its headers and its body come to.
pub(crate) fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Turn {
    let wire = serde_json::from_slice::<WireError>(body).ok().map(|wire| wire.error);
    let code = wire.as_ref().and_then(|e| e.details.get("error_code")).and_then(Value::as_str);
    let spent = matches!(code, Some("enforced_spend_limit_reached" | "contract_spend_limit_reached"));
    let kind = match &wire {
        Some(_) if spent => SPEND_LIMIT.to_owned(),
        Some(error) => text::line(&error.r#type, KIND_BYTES_MAX),
        None => format!("http_{status}"),
    };
    let charge = match status {
        400..=499 => Charge::Nothing,
        // Turned away at the door, in the API's own words.
        529 if kind == "overloaded_error" => Charge::Nothing,
        // FAIL-CLOSED: any other error may have come after the work was done.
        _ => Charge::InFull,
    };
    let by_status = matches!(status, 408 | 409 | 429) || status >= 500;
    if !spent && asked_to_retry(headers).unwrap_or(by_status) {
        return Turn::Retry { after_ms: after_ms(headers), kind, charge };
    }
    let message = wire.map_or_else(String::new, |error| text::line(&error.message, MESSAGE_BYTES_MAX));
    Turn::Rejected { status: Some(status), kind, message, charge }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn asked_to_retry(headers: &HeaderMap) -> Option<bool> {
    match header(headers, "x-should-retry") {
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) | None => None,
    }
}

/// `retry-after-ms`, else `retry-after` in seconds. A date is not read: the caller then waits its own time.
fn after_ms(headers: &HeaderMap) -> Option<u64> {
    let whole = |text: &str| text.split('.').next().and_then(|whole| whole.parse::<u64>().ok());
    let seconds = |text: &str| {
        let wait = text.parse::<f64>().ok().and_then(|s| Duration::try_from_secs_f64(s).ok())?;
        Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    };
    let asked = header(headers, "retry-after-ms")
        .and_then(whole)
        .or_else(|| header(headers, "retry-after").and_then(seconds))?;
    Some(asked.min(AFTER_MS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    fn error(kind: &str) -> String {
        format!(
            r#"{{"type":"error","error":{{"type":"{kind}","message":"m\u001b[31m"}},"request_id":"req_1"}}"#
        )
    }

    #[test]
    fn each_status_is_retried_or_not_and_charged_as_documented() {
        let table = [
            (400, "invalid_request_error", false, Charge::Nothing),
            (401, "authentication_error", false, Charge::Nothing),
            (402, "billing_error", false, Charge::Nothing),
            (403, "permission_error", false, Charge::Nothing),
            (404, "not_found_error", false, Charge::Nothing),
            (413, "request_too_large", false, Charge::Nothing),
            (408, "timeout_error", true, Charge::Nothing),
            (409, "conflict_error", true, Charge::Nothing),
            (429, "rate_limit_error", true, Charge::Nothing),
            (500, "api_error", true, Charge::InFull),
            (504, "timeout_error", true, Charge::InFull),
            (529, "overloaded_error", true, Charge::Nothing),
            (529, "api_error", true, Charge::InFull),
            (302, "moved", false, Charge::InFull),
            (204, "empty", false, Charge::InFull),
        ];
        for (status, kind, retried, charge) in table {
            match read(status, &HeaderMap::new(), error(kind).as_bytes()) {
                Turn::Retry { kind: k, charge: c, after_ms } => {
                    assert_eq!((retried, k.as_str(), c, after_ms), (true, kind, charge, None), "{status}");
                }
                Turn::Rejected { status: s, kind: k, charge: c, message } => {
                    assert_eq!((retried, s, k.as_str(), c), (false, Some(status), kind, charge), "{status}");
                    assert_eq!(message, "m[31m");
                }
                Turn::Answer(_)
                | Turn::Refusal { .. }
                | Turn::Truncated { .. }
                | Turn::StopUnknown { .. }
                | Turn::Halted => panic!("{status} is no answer"),
            }
        }
    }

    #[test]
    fn the_servers_word_on_retrying_wins_over_the_status() {
        let yes = read(400, &headers(&[("x-should-retry", "true")]), b"");
        assert!(matches!(yes, Turn::Retry { charge: Charge::Nothing, .. }));
        let no = read(500, &headers(&[("x-should-retry", "false")]), b"<html>");
        assert!(
            matches!(&no, Turn::Rejected { kind, charge: Charge::InFull, .. } if kind == "http_500"),
            "{no:?}"
        );
    }

    #[test]
    fn the_wait_that_the_server_names_is_read_and_bounded() {
        let wait = |pairs: &[(&'static str, &'static str)]| after_ms(&headers(pairs));
        assert_eq!(wait(&[("retry-after", "7")]), Some(7_000));
        assert_eq!(wait(&[("retry-after", "0.5")]), Some(500));
        assert_eq!(wait(&[("retry-after-ms", "250.9"), ("retry-after", "7")]), Some(250));
        assert_eq!(wait(&[("retry-after", "99999999999")]), Some(AFTER_MS_MAX));
        for bad in ["-1", "NaN", "inf", "", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(wait(&[("retry-after", bad)]), None, "{bad:?}");
        }
    }

    #[test]
    fn a_spend_limit_is_never_retried() {
        for code in ["enforced_spend_limit_reached", "contract_spend_limit_reached"] {
            let body =
                format!(r#"{{"error":{{"type":"rate_limit_error","details":{{"error_code":"{code}"}}}}}}"#);
            let turn = read(429, &headers(&[("x-should-retry", "true")]), body.as_bytes());
            assert!(matches!(&turn, Turn::Rejected { kind, .. } if kind == SPEND_LIMIT), "{turn:?}");
        }
        let ramp = br#"{"error":{"type":"rate_limit_error","details":{"error_code":"ramp_limit_exceeded"}}}"#;
        assert!(matches!(read(429, &HeaderMap::new(), ramp), Turn::Retry { .. }));
        let null = br#"{"error":{"type":"rate_limit_error","details":null}}"#;
        let waits = read(429, &HeaderMap::new(), null);
        assert!(matches!(&waits, Turn::Retry { kind, .. } if kind == "rate_limit_error"), "{waits:?}");
    }
}
