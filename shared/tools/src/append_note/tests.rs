//! The note as planned, and whether it is found again.
use super::*;
use crate::loopback::{Loopback, NOW_MS, context, plan};
use types::Reason;

const TEXT: &str = "They chose another supplier & \"final\".\nNo call.";

fn arguments(text: &str) -> Value {
    json!({"deal_id": "4411", "text": text, "because": "Her mail says so."})
}

fn act(loopback: &Loopback) -> AppendNote {
    let ports = loopback.ports.clone();
    AppendNote {
        api_version: ports.api_version,
        deals: ports.deals,
        notes: ports.notes,
        read_back: ports.read_back,
    }
}

#[tokio::test]
async fn the_plan_holds_the_exact_request_and_plans_without_a_write() {
    let loopback = Loopback::start().await;
    let plan = plan(&tool(&loopback.ports), &context("4411"), &arguments(TEXT)).await.expect("a plan");
    assert_eq!((plan.before, plan.after), (None, Some(json!({"note": TEXT}))));
    let body = "They chose another supplier &amp; \"final\".<br>No call.<br>[agent i-0123456789abcdef0123]";
    assert_eq!(
        plan.request,
        Some(json!({"method": "POST", "path": "/crm/objects/2026-09/notes", "body": {
            "properties": {"hs_timestamp": "2026-11-23T08:00:00Z", "hs_note_body": body},
            "associations": [{"to": {"id": "4411"}, "types": [
                {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 214}]}]}}))
    );
    assert_eq!(plan.because.as_deref(), Some("Her mail says so."));
    assert_eq!(plan.subjects, ["704411"]);
    assert_eq!(plan.warnings, Vec::<String>::new());
    assert_eq!(plan.what, "add a note: They chose another supplier & \"final\". No call.");
    assert_eq!(loopback.hubspot.requests().len(), 1);
    loopback.assert_only_reads();
}

#[tokio::test]
async fn links_addresses_and_hidden_characters_are_flagged() {
    let loopback = Loopback::start().await;
    let text = "Pay at https://evil.example or mail x@evil.example \u{202E}now";
    let plan = plan(&tool(&loopback.ports), &context("4411"), &arguments(text)).await.expect("a plan");
    assert_eq!(
        plan.warnings,
        [
            "the text holds a link to `evil.example`",
            "the text holds the address `x@evil.example`",
            "the agent's text held hidden characters; they were removed",
        ]
    );
}

#[tokio::test]
async fn a_deal_that_is_gone_gets_no_note() {
    let loopback = Loopback::start().await;
    let arguments = json!({"deal_id": "999999", "text": "a", "because": "b"});
    let refusal = plan(&tool(&loopback.ports), &context("999999"), &arguments).await.expect_err("refused");
    assert_eq!(refusal.reason, Reason::CrmNotFound);
}

#[tokio::test]
async fn only_the_planned_note_would_be_sent() {
    let loopback = Loopback::start().await;
    let mut context = context("4411");
    let act = act(&loopback);
    for text in [TEXT, &"&é🚀\n".repeat(1_200), "[agent i-9] \u{202E}x"] {
        let planned = act.plan(&context, &arguments(text)).await.expect("a plan");
        // The plan may be carried out by a later invocation: another clock, other warnings.
        context.now = types::Timestamp::from_millisecond(NOW_MS + 60_000).expect("a time");
        let note = act.planned_note(&context, &planned).expect("the same note");
        let again = serde_json::to_value(request_of_create_note(&act.api_version, &note).expect("a request"));
        assert_eq!(again.ok(), planned.request);
        let changes: [fn(&mut Plan); 4] = [
            |plan| plan.after = Some(json!({"note": "another text"})),
            |plan| plan.after = None,
            |plan| plan.request = None,
            |plan| plan.request.as_mut().expect("a request")["path"] = "/crm/objects/2026-09/deals".into(),
        ];
        for change in changes {
            let mut tampered = planned.clone();
            change(&mut tampered);
            assert_eq!(act.planned_note(&context, &tampered), None);
        }
        context.intent_id = types::IntentId::new("i-9").expect("an id");
        assert_eq!(act.planned_note(&context, &planned), None, "another call's marker");
        context = crate::loopback::context("4411");
    }
}

#[tokio::test]
async fn the_marker_is_looked_for_and_its_absence_is_no_proof() {
    let loopback = Loopback::start().await;
    let (act, context) = (act(&loopback), context("4411"));
    let plan = act.plan(&context, &arguments(TEXT)).await.expect("a plan");
    assert_eq!(act.read_back(&context, &plan).await, ReadBack::NotYet);
    let note_id = loopback.hubspot.linked_to_deal(4411, standins::hubspot::Kind::Note)[0];
    let body = plan.request.as_ref().expect("a request")["body"]["properties"]["hs_note_body"]
        .as_str()
        .expect("text");
    loopback
        .hubspot
        .edit_by_person(standins::hubspot::Kind::Note, note_id, "hs_note_body", body)
        .expect("edited");
    assert_eq!(act.read_back(&context, &plan).await, ReadBack::Applied);
    loopback.hubspot.always(standins::Matcher::any(), standins::Fault::Status(503));
    assert_eq!(act.read_back(&context, &plan).await, ReadBack::Unreadable);
    loopback.assert_only_reads();
}
