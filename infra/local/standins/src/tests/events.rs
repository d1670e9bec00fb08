//! The files in `events/`: they fit the seeded account and the rules that they stand for. Must never change
//! a file.
use super::{Hand, NOW_MS, start};
use crate::hubspot::{Kind, sign_v3};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../events")
}

fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

#[tokio::test]
async fn every_reply_is_the_event_of_an_inbound_mail_in_the_seed() {
    let all = start(&Hand::new()).await;
    for deal in [4411_u64, 4290, 4302, 4377, 4391, 4455, 4460, 4187, 4499] {
        let file = read(&format!("hubspot/reply_{deal}.json"));
        let event = &file[0];
        assert_eq!(event["objectId"], 900_000 + deal);
        let direction = all.hubspot.property(Kind::Email, 900_000 + deal, "hs_email_direction");
        assert_eq!(direction.as_deref(), Some("INCOMING_EMAIL"));
        // Field by field what the stand-in itself would send, but for the running number.
        let mut sent = all.hubspot.email_event(900_000 + deal);
        sent["eventId"] = event["eventId"].clone();
        sent["sourceId"] = event["sourceId"].clone();
        assert_eq!(*event, sent, "{deal}");
    }
    let batch = read("hubspot/batch.json");
    let again = read("hubspot/duplicate_batch.json");
    assert_eq!((batch.as_array().unwrap().len(), again.as_array().unwrap().len()), (5, 6));
    for (one, other) in batch.as_array().unwrap().iter().zip(again.as_array().unwrap()) {
        let mut retry = one.clone();
        retry["attemptNumber"] = json!(1);
        assert_eq!(retry, *other);
    }
    assert!(all.hubspot.property(Kind::Email, 909_999, "hs_timestamp").is_none());
}

#[test]
fn the_signature_of_the_intake_file_was_good_once() {
    let event = read("intake.json");
    let headers = &event["headers"];
    let stamp = headers["x-hubspot-request-timestamp"].as_str().unwrap();
    assert_eq!(stamp, NOW_MS.to_string());
    let url = format!("https://{}{}", event["requestContext"]["domainName"].as_str().unwrap(), "/hubspot");
    let body = event["body"].as_str().unwrap();
    let signature = sign_v3("hubspot-local-secret", "POST", &url, body.as_bytes(), stamp);
    assert_eq!(headers["x-hubspot-signature-v3"], signature);
}

#[test]
fn malformed_files_are_malformed_and_all_others_are_json() {
    for entry in std::fs::read_dir(folder().join("hubspot")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let value: Result<Value, _> = serde_json::from_str(&text);
        let count = value.as_ref().ok().and_then(Value::as_array).map(Vec::len);
        match name {
            "malformed_truncated" | "malformed_too_deep" => assert!(value.is_err(), "{name}"),
            "malformed_not_an_array" => assert_eq!((value.is_ok(), count), (true, None)),
            "malformed_empty_array" => assert_eq!(count, Some(0)),
            "malformed_101_events" => assert_eq!(count, Some(101)),
            _ => assert!(count.is_some_and(|count| (1..=100).contains(&count)), "{name}"),
        }
    }
    for name in ["step", "halt", "audit", "console"] {
        assert!(read(&format!("{name}.json")).is_object());
    }
}
