//! Webhook deliveries as HubSpot makes them: signature version 3, five seconds to answer. Must never follow
//! a redirect.
use crate::Error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::time::Duration;

/// HubSpot waits this long for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The escapes that are decoded before hashing; all others stay.
const DECODED: [(&str, &str); 12] = [
    ("3A", ":"),
    ("2F", "/"),
    ("3F", "?"),
    ("40", "@"),
    ("21", "!"),
    ("24", "$"),
    ("27", "'"),
    ("28", "("),
    ("29", ")"),
    ("2A", "*"),
    ("2C", ","),
    ("3B", ";"),
];

/// The URL as it is hashed: the twelve escapes decoded in one pass.
#[must_use]
pub fn hashed_url(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    let mut parts = url.split('%');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let known =
            part.get(..2).and_then(|code| DECODED.iter().find(|(hex, _)| code.eq_ignore_ascii_case(hex)));
        if let (Some((_, plain)), Some(rest)) = (known, part.get(2..)) {
            out.push_str(plain);
            out.push_str(rest);
        } else {
            out.push('%');
            out.push_str(part);
        }
    }
    out
}

/// The value of `X-HubSpot-Signature-v3`: standard base64 of HMAC-SHA256 over method, URL, body and
/// timestamp text.
#[must_use]
pub fn sign_v3(secret: &str, method: &str, url: &str, body: &[u8], timestamp: &str) -> String {
    // HMAC takes a key of any length, so this cannot fail; an empty answer would fit no signature.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(method.as_bytes());
    mac.update(hashed_url(url).as_bytes());
    mac.update(body);
    mac.update(timestamp.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// One webhook request, ready to be sent (or turned into a function-URL event).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// Always `POST`.
    pub method: &'static str,
    /// The registered URL, which is what is signed.
    pub url: String,
    /// In lower case, signature included.
    pub headers: Vec<(&'static str, String)>,
    /// The exact bytes that are signed.
    pub body: Vec<u8>,
    events: usize,
}

/// How HubSpot reaches our target: the secret, the registered URL, and where that URL really listens here.
#[derive(Clone)]
pub struct Delivery {
    secret: String,
    target_url: String,
    post_to: String,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Delivery").field("target_url", &self.target_url).finish_non_exhaustive()
    }
}

impl Delivery {
    /// `target_url` is signed; the request goes to `post_to`.
    #[must_use]
    pub fn new(secret: &str, target_url: &str, post_to: &str) -> Self {
        Self { secret: secret.to_owned(), target_url: target_url.to_owned(), post_to: post_to.to_owned() }
    }

    /// Signs a batch of events at this moment.
    #[must_use]
    pub fn sign(&self, events: &[Value], now_ms: i64) -> SignedRequest {
        let body = Value::from(events.to_vec()).to_string().into_bytes();
        self.sign_body(&body, events.len(), now_ms)
    }

    /// Signs exact bytes, for bodies that are no JSON.
    #[must_use]
    pub fn sign_body(&self, body: &[u8], events: usize, now_ms: i64) -> SignedRequest {
        let timestamp = now_ms.to_string();
        let signature = sign_v3(&self.secret, "POST", &self.target_url, body, &timestamp);
        SignedRequest {
            method: "POST",
            url: self.target_url.clone(),
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("user-agent", "HubSpot Connect 2.0 (http://dev.hubspot.com/) - WebHooks".to_owned()),
                ("x-hubspot-signature-v3", signature),
                ("x-hubspot-request-timestamp", timestamp),
            ],
            body: body.to_vec(),
            events,
        }
    }

    /// Sends the request and answers the status.
    ///
    /// # Errors
    /// When there is no answer within five seconds.
    pub async fn send(&self, http: &reqwest::Client, request: &SignedRequest) -> Result<u16, Error> {
        let mut outgoing = http.post(&self.post_to).timeout(ANSWER_WITHIN).body(request.body.clone());
        for (name, value) in &request.headers {
            outgoing = outgoing.header(*name, value);
        }
        let events = request.events;
        let answer = outgoing
            .send()
            .await
            .map_err(|source| Error::Deliver { events, source: source.without_url() })?;
        Ok(answer.status().as_u16())
    }
}

/// The same events as they come in a retry: only `attemptNumber` grows.
#[must_use]
pub fn with_attempt(events: &[Value], attempt: u64) -> Vec<Value> {
    let mut events = events.to_vec();
    for event in events.iter_mut().filter_map(Value::as_object_mut) {
        event.insert("attemptNumber".to_owned(), Value::from(attempt));
    }
    events
}
