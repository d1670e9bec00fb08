//! Webhook signatures against known vectors, and a delivery over a socket. Must never sign with the code
//! under test alone.
use super::{Hand, NOW_MS, http, start};
use crate::hubspot::{Delivery, hashed_url, sign_v3, with_attempt};
use crate::slack::WEBHOOK_PATH;
use serde_json::json;

const SECRET: &str = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";

#[test]
fn the_known_vectors_hold() {
    let table = [
        (
            "https://www.example.com/webhook_uri",
            "{'example_field':'example_value'}",
            "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y=",
        ),
        (
            "https://www.example.com/webhook_uri?next=https%3A%2F%2Fexample.com%2Fa%20b",
            "{\"example_field\":\"example_value\"}",
            "cvv1tYI4Byx+xXb4FPnrVevfbdrZbJaRMiK/Z+8utBQ=",
        ),
        (
            "https://www.example.com/webhook_uri/",
            "{\"name\":\"Zürich 🚀\"}",
            "+uQepfaPJGviQEfEBSeb3d9H/5chiVw4s5bcOxejJrA=",
        ),
    ];
    for (url, body, signature) in table {
        assert_eq!(sign_v3(SECRET, "POST", url, body.as_bytes(), "1693657560000"), signature, "{url}");
    }
}

#[test]
fn twelve_escapes_are_decoded_once_and_no_others() {
    let twelve = "%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B";
    assert_eq!(hashed_url(twelve), ":/?@!$'()*,;");
    assert_eq!(hashed_url(&twelve.to_lowercase()), ":/?@!$'()*,;");
    for kept in ["%20%26%3D%2B%25%C3%A9", "%253A", "%", "%3", "a%zz", "%é"] {
        let once = if kept == "%253A" { "%253A" } else { kept };
        assert_eq!(hashed_url(kept), once);
    }
}

#[tokio::test]
async fn a_delivery_arrives_with_its_signature() {
    let all = start(&Hand::new()).await;
    // Any server that answers will do; this one keeps the body.
    let post_to = format!("{}{WEBHOOK_PATH}", all.slack.url);
    let delivery = Delivery::new(SECRET, "https://hooks.example/hubspot", &post_to);
    let request = delivery.sign(&[all.hubspot.email_event(904_411)], NOW_MS);
    assert_eq!(delivery.send(&http(), &request).await.unwrap(), 400);
    let body = all.slack.posts()[0].body.clone();
    assert_eq!(body.as_bytes(), request.body);
    let expected =
        sign_v3(SECRET, "POST", "https://hooks.example/hubspot", body.as_bytes(), &NOW_MS.to_string());
    assert!(request.headers.contains(&("x-hubspot-signature-v3", expected)));
    assert!(request.headers.contains(&("x-hubspot-request-timestamp", NOW_MS.to_string())));
    assert!(!format!("{delivery:?}").contains(SECRET));
}

#[test]
fn a_retry_changes_the_attempt_only() {
    let first = json!({"eventId": 1, "attemptNumber": 0});
    assert_eq!(with_attempt(&[first], 3), [json!({"eventId": 1, "attemptNumber": 3})]);
}
