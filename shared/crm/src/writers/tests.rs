//! What each writing port sends, and when it believes the answer.
use super::*;
use crate::{
    loopback::{hubspot, json, reply, server},
    marker_of,
};
use serde_json::json;

fn intent(text: &str) -> IntentId {
    IntentId::new(text).expect("an id")
}

fn deal(text: &str) -> DealId {
    DealId::new(text).expect("an id")
}

fn note(deal_id: &str) -> NewNote {
    NewNote {
        deal_id: deal(deal_id),
        text: "They chose another supplier".to_owned(),
        timestamp: "2026-11-23T09:00:00Z".parse().expect("a time"),
        owner_id: None,
        intent_id: intent("i-7"),
    }
}

fn task() -> NewTask {
    NewTask {
        deal_id: deal("4411"),
        subject: "Call".to_owned(),
        text: "why".to_owned(),
        due: "2026-11-30T09:00:00Z".parse().expect("a time"),
        owner_id: None,
        intent_id: intent("i-7"),
    }
}

#[tokio::test]
async fn each_writer_sends_the_request_that_the_would_have_log_shows() {
    let server = server(|_| reply(201, &[], json!({"id": "4411"}).to_string())).await;
    let hubspot = hubspot(&server.url);
    let (client, api) = (hubspot.client(), hubspot.api_version());
    let id = RecordId::parse("4411").expect("an id");
    let staged = send_stage(&client, &intent("i-7"), &deal("4411"), Some("default"), "closedlost").await;
    assert_eq!(staged, Sent::Applied(()));
    assert_eq!(send_note(&client, &intent("i-7"), &note("4411")).await, Sent::Applied(id));
    assert_eq!(send_task(&client, &intent("i-7"), &task()).await, Sent::Applied(id));
    let planned = [
        request_of_set_stage(api, &deal("4411"), Some("default"), "closedlost"),
        request_of_create_note(api, &note("4411")),
        request_of_create_task(api, &task()),
    ];
    let seen = server.seen();
    assert_eq!(seen.len(), planned.len());
    for (seen, planned) in seen.iter().zip(planned) {
        let planned = planned.expect("a request");
        assert_eq!((seen.method.as_str(), seen.target.as_str()), (planned.method(), planned.path()));
        assert_eq!(&seen.json(), planned.body());
        assert_eq!(seen.header("x-holdfast-intent"), Some("i-7"));
    }
    let body = seen[1].json();
    assert!(
        body["properties"]["hs_note_body"].as_str().is_some_and(|b| b.contains(&marker_of(&intent("i-7"))))
    );
}

#[tokio::test]
async fn a_stage_is_set_only_if_the_answer_says_so() {
    for (answer, applied) in [
        (json!({"id": "4411", "properties": {"dealstage": "closedlost"}}), true),
        (json!({"id": 4411, "properties": {}}), true),
        (json!({"id": "4411", "properties": {"dealstage": "negotiation"}}), false),
        (json!({"id": "4412", "properties": {"dealstage": "closedlost"}}), false),
        (json!({"properties": {"dealstage": "closedlost"}}), false),
        (json!([]), false),
    ] {
        let shown = answer.to_string();
        let server = server(move |_| json(&answer)).await;
        let sent =
            send_stage(&hubspot(&server.url).client(), &intent("i-7"), &deal("4411"), None, "closedlost")
                .await;
        assert_eq!(matches!(sent, Sent::Applied(())), applied, "{shown}: {sent:?}");
        assert_eq!(matches!(sent, Sent::Unknown { .. }), !applied, "{shown}: {sent:?}");
    }
}

#[tokio::test]
async fn a_new_record_without_an_id_is_unknown() {
    for answer in [json!({}), json!({"id": null}), json!({"id": "x"}), json!(5)] {
        let server = server(move |_| json(&answer)).await;
        let client = hubspot(&server.url).client();
        assert!(matches!(send_note(&client, &intent("i-7"), &note("4411")).await, Sent::Unknown { .. }));
        assert!(matches!(send_task(&client, &intent("i-7"), &task()).await, Sent::Unknown { .. }));
    }
}

#[tokio::test]
async fn nothing_is_sent_for_another_calls_permit_or_for_an_id_that_is_none() {
    let server = server(|_| json(&json!({"id": "1"}))).await;
    let client = hubspot(&server.url).client();
    let refused = |sent: Sent<RecordId>| matches!(sent, Sent::NotApplied { reason: Reason::CrmRefused, .. });
    assert!(refused(send_note(&client, &intent("i-8"), &note("4411")).await));
    assert!(refused(send_task(&client, &intent("i-8"), &task()).await));
    assert!(refused(send_note(&client, &intent("i-7"), &note("..")).await));
    let sent = send_stage(&client, &intent("i-7"), &deal(".."), None, "closedlost").await;
    assert!(matches!(sent, Sent::NotApplied { reason: Reason::CrmRefused, .. }));
    assert!(server.seen().is_empty());
}
