//! HubSpot's request signature, version 3. Must never accept versions 1 and 2 (they can be replayed for
//! ever), nor a URL rebuilt from headers that a caller controls.
use crate::Secret;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

/// How old, or how far ahead, a timestamp may be (ms, inclusive).
const WINDOW_MS: i64 = 300_000;

/// One secret, or two while it is being rotated.
const SECRETS_MAX: usize = 2;

/// What the caller sent, byte for byte.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// The HTTP method, in capitals.
    pub method: &'a str,
    /// The raw path (`/hubspot`).
    pub path: &'a str,
    /// The raw query without its question mark; empty when there is none.
    pub query: &'a str,
    /// The raw body, after base64 decoding where the transport encoded it.
    pub body: &'a [u8],
    /// `X-HubSpot-Signature-v3`.
    pub signature: Option<&'a str>,
    /// `X-HubSpot-Request-Timestamp`.
    pub timestamp: Option<&'a str>,
}

/// What the signature says. Only `Ok` lets anything else be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an unread verdict lets forged events in"]
pub enum Verdict {
    /// HubSpot's, and fresh.
    Ok,
    /// Not signed with one of our secrets (or we have none), or its timestamp is not a number.
    BadSignature,
    /// HubSpot's, but more than five minutes old.
    Stale,
    /// HubSpot's, but more than five minutes ahead of our clock.
    Future,
    /// No signature or no timestamp.
    Missing,
    /// It came to another path or query than the registered one.
    WrongUrl,
}

/// Checks one request against the registered target URL and our client secrets (one, or two during rotation).
///
/// The signed text has no separators between its parts, so bytes could be moved from the body to the URL
/// under one signature: hence the configured URL is what is hashed, and the received path and query must
/// equal it.
pub fn verify(target_url: &str, secrets: &[Secret], received: &Received<'_>, now_ms: i64) -> Verdict {
    let (Some(signature), Some(timestamp)) = (received.signature, received.timestamp) else {
        return Verdict::Missing;
    };
    if path_and_query(target_url) != Some((received.path, received.query)) {
        return Verdict::WrongUrl;
    }
    let Some(sent_ms) = strict_ms(timestamp) else {
        return Verdict::BadSignature;
    };
    if !signed_by_one_of(secrets, target_url, received, timestamp, signature) {
        return Verdict::BadSignature;
    }
    let age_ms = now_ms.saturating_sub(sent_ms);
    if age_ms > WINDOW_MS {
        Verdict::Stale
    } else if age_ms < -WINDOW_MS {
        Verdict::Future
    } else {
        Verdict::Ok
    }
}

/// Every secret is tried, whatever the first one says, so that time tells nothing.
fn signed_by_one_of(
    secrets: &[Secret],
    target_url: &str,
    received: &Received<'_>,
    timestamp: &str,
    signature: &str,
) -> bool {
    // FAIL-CLOSED: without a secret, or with more than a rotation needs, nobody is HubSpot.
    if secrets.is_empty() || secrets.len() > SECRETS_MAX {
        return false;
    }
    let uri = decode_twelve(target_url);
    let mut matches = Choice::from(0);
    for secret in secrets {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else {
            continue;
        };
        mac.update(received.method.as_bytes());
        mac.update(uri.as_bytes());
        mac.update(received.body);
        mac.update(timestamp.as_bytes());
        let expected = STANDARD.encode(mac.finalize().into_bytes());
        let usable = Choice::from(u8::from(!secret.is_empty()));
        matches |= expected.as_bytes().ct_eq(signature.as_bytes()) & usable;
    }
    matches.into()
}

/// Digits only. WHY NOT: a lenient number parser. A text that is read as "not a number" is neither too old
/// nor too young, and passes a window check written as two comparisons.
fn strict_ms(text: &str) -> Option<i64> {
    let digits = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// The path and the query of the configured URL; a bare origin has the path `/`.
fn path_and_query(target_url: &str) -> Option<(&str, &str)> {
    let (_scheme, rest) = target_url.split_once("://")?;
    if rest.contains('#') {
        return None;
    }
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = before_query.find('/').and_then(|at| before_query.get(at..)).unwrap_or("/");
    Some((path, query))
}

/// Decodes the twelve escapes that HubSpot decodes before it signs; all others stay. One pass, so that
/// `%2525` and the like are not decoded twice.
fn decode_twelve(uri: &str) -> String {
    let mut decoded = String::with_capacity(uri.len());
    let mut rest = uri;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        decoded.push_str(before);
        let (taken, plain) = match escape.get(..3) {
            Some("%3A") => (3, ":"),
            Some("%2F") => (3, "/"),
            Some("%3F") => (3, "?"),
            Some("%40") => (3, "@"),
            Some("%21") => (3, "!"),
            Some("%24") => (3, "$"),
            Some("%27") => (3, "'"),
            Some("%28") => (3, "("),
            Some("%29") => (3, ")"),
            Some("%2A") => (3, "*"),
            Some("%2C") => (3, ","),
            Some("%3B") => (3, ";"),
            Some(_) | None => (1, "%"),
        };
        decoded.push_str(plain);
        rest = escape.get(taken..).unwrap_or("");
    }
    decoded.push_str(rest);
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";
    const TS: &str = "1693657560000";
    const NOW_MS: i64 = 1_693_657_560_000;
    const URL: &str = "https://www.example.com/webhook_uri";
    const BODY: &[u8] = b"{'example_field':'example_value'}";
    const SIGNATURE: &str = "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y=";

    fn received() -> Received<'static> {
        Received {
            method: "POST",
            path: "/webhook_uri",
            query: "",
            body: BODY,
            signature: Some(SIGNATURE),
            timestamp: Some(TS),
        }
    }

    fn check(received: &Received<'_>) -> Verdict {
        verify(URL, &[Secret::new(SECRET)], received, NOW_MS)
    }

    #[test]
    fn hubspots_own_vectors_are_accepted() {
        assert_eq!(check(&received()), Verdict::Ok);
        let escaped = Received {
            query: "next=https%3A%2F%2Fexample.com%2Fa%20b",
            body: br#"{"example_field":"example_value"}"#,
            signature: Some("cvv1tYI4Byx+xXb4FPnrVevfbdrZbJaRMiK/Z+8utBQ="),
            ..received()
        };
        let url = "https://www.example.com/webhook_uri?next=https%3A%2F%2Fexample.com%2Fa%20b";
        assert_eq!(verify(url, &[Secret::new(SECRET)], &escaped, NOW_MS), Verdict::Ok);
        let slash = Received {
            path: "/webhook_uri/",
            body: "{\"name\":\"Zürich 🚀\"}".as_bytes(),
            signature: Some("+uQepfaPJGviQEfEBSeb3d9H/5chiVw4s5bcOxejJrA="),
            ..received()
        };
        let url = "https://www.example.com/webhook_uri/";
        assert_eq!(verify(url, &[Secret::new(SECRET)], &slash, NOW_MS), Verdict::Ok);
    }

    #[test]
    fn a_version_2_signature_is_not_accepted() {
        let v2 = Received {
            body: br#"{"example_field":"example_value"}"#,
            signature: Some("9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900"),
            ..received()
        };
        assert_eq!(check(&v2), Verdict::BadSignature);
    }

    #[test]
    fn one_flipped_bit_anywhere_is_refused() {
        for at in 0..BODY.len() * 8 {
            let mut body = BODY.to_vec();
            body[at / 8] ^= 1 << (at % 8);
            assert_eq!(
                check(&Received { body: &body, ..received() }),
                Verdict::BadSignature,
                "body bit {at}"
            );
        }
        for at in 0..SIGNATURE.len() * 7 {
            let mut signature = SIGNATURE.as_bytes().to_vec();
            signature[at / 7] ^= 1 << (at % 7);
            let signature = String::from_utf8(signature).expect("seven bits");
            let forged = Received { signature: Some(&signature), ..received() };
            assert_eq!(check(&forged), Verdict::BadSignature, "signature bit {at}");
        }
        for timestamp in ["1693657560001", "1693657550000", "693657560000", "01693657560000"] {
            let moved = Received { timestamp: Some(timestamp), ..received() };
            assert_eq!(check(&moved), Verdict::BadSignature, "{timestamp}");
        }
        assert_eq!(check(&Received { method: "PUT", ..received() }), Verdict::BadSignature);
    }

    #[test]
    fn bytes_cannot_be_shifted_between_url_and_body() {
        // The same signed text: what left the path came back at the front of the body.
        let shifted = [b"uri".as_slice(), BODY].concat();
        let to_a_shorter_path = Received { path: "/webhook_", body: &shifted, ..received() };
        assert_eq!(check(&to_a_shorter_path), Verdict::WrongUrl);
        let same_path = Received { body: &shifted, ..received() };
        assert_eq!(check(&same_path), Verdict::BadSignature);
        let with_query = Received { query: "{'example_field':'example_value'}", body: b"", ..received() };
        assert_eq!(check(&with_query), Verdict::WrongUrl);
        // From the body into the timestamp: digits at the end of the body, cut from the timestamp's front.
        let shifted = [BODY, b"1"].concat();
        let from_the_timestamp = Received { body: &shifted, timestamp: Some("693657560000"), ..received() };
        assert_ne!(check(&from_the_timestamp), Verdict::Ok);
    }

    #[test]
    fn another_path_or_query_is_refused_even_with_a_good_signature() {
        for (path, query) in [("/", ""), ("/webhook_uri/", ""), ("/webhook_uri", "a=1"), ("/Webhook_uri", "")]
        {
            assert_eq!(check(&Received { path, query, ..received() }), Verdict::WrongUrl, "{path} {query}");
        }
    }

    #[test]
    fn a_bare_origin_is_the_root_path() {
        assert_eq!(path_and_query("https://a.example"), Some(("/", "")));
        assert_eq!(path_and_query("https://a.example/"), Some(("/", "")));
        assert_eq!(path_and_query("https://a.example?x=/y"), Some(("/", "x=/y")));
        assert_eq!(path_and_query("https://a.example/b#c"), None);
        assert_eq!(path_and_query("a.example/b"), None);
    }

    #[test]
    fn the_window_is_five_minutes_both_ways_inclusive() {
        let at = |now_ms| verify(URL, &[Secret::new(SECRET)], &received(), now_ms);
        assert_eq!(at(NOW_MS + 300_000), Verdict::Ok);
        assert_eq!(at(NOW_MS + 300_001), Verdict::Stale);
        assert_eq!(at(NOW_MS - 300_000), Verdict::Ok);
        assert_eq!(at(NOW_MS - 300_001), Verdict::Future);
        assert_eq!(at(i64::MIN), Verdict::Future);
        assert_eq!(at(i64::MAX), Verdict::Stale);
    }

    #[test]
    fn a_timestamp_is_digits_and_nothing_else() {
        let signed = |timestamp: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
            mac.update(b"POST");
            mac.update(URL.as_bytes());
            mac.update(BODY);
            mac.update(timestamp.as_bytes());
            STANDARD.encode(mac.finalize().into_bytes())
        };
        assert_eq!(signed(TS), SIGNATURE);
        for timestamp in
            ["NaN", "", " 1693657560000", "1693657560000 ", "+1693657560000", "1.69365756e12", "0x18"]
        {
            // Signed with the right secret, so that only the timestamp can be the reason.
            let signature = signed(timestamp);
            let odd = Received { signature: Some(&signature), timestamp: Some(timestamp), ..received() };
            assert_eq!(check(&odd), Verdict::BadSignature, "{timestamp:?}");
        }
    }

    #[test]
    fn without_a_header_nothing_is_accepted() {
        assert_eq!(check(&Received { signature: None, ..received() }), Verdict::Missing);
        assert_eq!(check(&Received { timestamp: None, ..received() }), Verdict::Missing);
    }

    #[test]
    fn two_secrets_serve_a_rotation_and_none_serves_nobody() {
        let (old, new) = (Secret::new(SECRET), Secret::new("new"));
        let with = |secrets: &[Secret]| verify(URL, secrets, &received(), NOW_MS);
        assert_eq!(with(&[old.clone(), new.clone()]), Verdict::Ok);
        assert_eq!(with(&[new.clone(), old.clone()]), Verdict::Ok);
        assert_eq!(with(std::slice::from_ref(&new)), Verdict::BadSignature);
        assert_eq!(with(&[]), Verdict::BadSignature);
        assert_eq!(with(&[old.clone(), new.clone(), new]), Verdict::BadSignature);
    }

    #[test]
    fn an_empty_secret_is_no_secret_even_for_who_signs_with_it() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"").expect("any key");
        mac.update(b"POST");
        mac.update(URL.as_bytes());
        mac.update(BODY);
        mac.update(TS.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let forged = Received { signature: Some(&signature), ..received() };
        assert_eq!(verify(URL, &[Secret::new("")], &forged, NOW_MS), Verdict::BadSignature);
    }

    #[test]
    fn exactly_twelve_escapes_are_decoded_and_only_once() {
        let all = "%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B";
        assert_eq!(decode_twelve(all), ":/?@!$'()*,;");
        for kept in ["%20", "%26", "%3D", "%2B", "%25", "%C3%BC", "%3a", "%", "%3", "é%"] {
            assert_eq!(decode_twelve(kept), kept);
        }
        assert_eq!(decode_twelve("%253A"), "%253A");
        assert_eq!(decode_twelve("%%3A"), "%:");
    }
}
