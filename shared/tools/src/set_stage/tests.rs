//! Which stages are allowed, what is planned, and what the history says of a write that was never answered.
use super::*;
use crate::loopback::{APP_ID, Loopback, context, plan, refused_at_once, rule};
use gate::OwnWrite;
use standins::hubspot::Kind as Record;
use std::sync::Arc;

fn arguments(stage: &str) -> Value {
    json!({"deal_id": "4411", "stage": stage, "because": "They chose another supplier."})
}

fn act(loopback: &Loopback) -> SetStage {
    let ports = loopback.ports.clone();
    SetStage {
        api_version: ports.api_version,
        app_id: ports.app_id,
        deals: ports.deals,
        stages: ports.stages,
        read_back: ports.read_back,
    }
}

#[tokio::test]
async fn the_plan_holds_both_stages_and_the_exact_request() {
    let loopback = Loopback::start().await;
    let tool = tool(&loopback.ports);
    let plan = plan(&tool, &context("4411"), &arguments(" ClosedLost")).await.expect("a plan");
    let since = plan.before.as_ref().expect("a value")["since"].clone();
    assert!(since.is_string());
    assert_eq!(plan.before, Some(json!({"stage": "negotiation", "label": "Negotiation", "since": since})));
    assert_eq!(plan.after, Some(json!({"stage": "closedlost", "label": "Closed Lost"})));
    assert_eq!(
        plan.request,
        Some(json!({"method": "PATCH", "path": "/crm/objects/2026-09/deals/4411",
                    "body": {"properties": {"dealstage": "closedlost"}}}))
    );
    assert_eq!(plan.what, "set stage Negotiation → Closed Lost");
    assert_eq!(plan.because.as_deref(), Some("They chose another supplier."));
    loopback.assert_only_reads();
}

#[tokio::test]
async fn a_stage_that_is_not_allowed_is_refused_with_those_that_are() {
    let loopback = Loopback::start().await;
    let tool = tool(&loopback.ports);
    // Not allowed, not listed, a label, nothing: settled without a request.
    for stage in
        ["closedwon", "CLOSEDWON", "new", "Closed Lost", "", "closedlost\u{202E}", "closedlost;closedwon"]
    {
        let refusal = refused_at_once(&tool, &context("4411"), &arguments(stage)).await;
        assert_eq!(refusal.reason, Reason::StageNotAllowed, "{stage}");
        assert!(
            refusal.tell.contains("closedlost") && !refusal.tell.contains("closedwon"),
            "{}",
            refusal.tell
        );
    }
    // Allowed, but of another pipeline.
    let refusal = plan(&tool, &context("4411"), &arguments("oldlost")).await.expect_err("refused");
    assert_eq!(refusal.reason, Reason::StageNotAllowed);
    assert!(refusal.tell.contains("closedlost") && !refusal.tell.contains("oldlost"), "{}", refusal.tell);
    let mut empty = context("4411");
    empty.stages = Arc::default();
    let refusal = refused_at_once(&tool, &empty, &arguments("closedlost")).await;
    assert_eq!(refusal.reason, Reason::StageNotAllowed);
    loopback.assert_only_reads();
}

#[tokio::test]
async fn a_label_made_in_the_crm_reaches_the_model_cleaned_and_the_list_is_bounded() {
    let mut context = context("4411");
    let hostile =
        (0..500).map(|n| rule(&format!("s{n}"), &format!("L\u{202E}\n{}", "x".repeat(900)), "p", true));
    context.stages = Arc::new(types::Stages(hostile.collect()));
    let tell = not_allowed(&context, None).tell;
    assert!(!tell.contains(['\u{202E}', '\n']) && tell.chars().count() < 8_000, "{}", tell.len());
    assert_eq!(label(&context, "s1").chars().count(), LABEL_CHARS_MAX);
}

#[tokio::test]
async fn the_stage_the_deal_is_in_is_refused_in_both_modes() {
    let loopback = Loopback::start().await;
    let tool = tool(&loopback.ports);
    let mut context = context("4411");
    let same = plan(&tool, &context, &arguments("negotiation")).await.expect_err("refused");
    assert_eq!(same.reason, Reason::SameStage);
    // A dry run that would have moved the deal is told the same as a live one that did.
    let after = json!({"stage": "closedlost", "label": "Closed Lost"});
    context.own_writes.push(OwnWrite { tool: NAME.to_owned(), after });
    let again = plan(&tool, &context, &arguments("closedlost")).await.expect_err("refused");
    assert_eq!(again.reason, Reason::SameStage);
    let other = plan(&tool, &context, &arguments("contractsent")).await.expect("a plan");
    assert_eq!(other.before.expect("a value")["stage"], "negotiation", "before is what the CRM has");
}

#[tokio::test]
async fn the_deal_is_read_again_before_the_write_and_a_change_stops_it() {
    let loopback = Loopback::start().await;
    let (act, mut context) = (act(&loopback), context("4411"));
    let planned = act.plan(&context, &arguments("closedlost")).await.expect("a plan");
    assert_eq!(act.still_as_planned(&context, &planned).await, Ok("closedlost".to_owned()));

    let reason = |sent: Result<String, Sent>| match sent {
        Err(Sent::NotApplied { reason, .. }) => reason,
        other => panic!("would have been sent: {other:?}"),
    };
    let mut tampered = planned.clone();
    tampered.request.as_mut().expect("a request")["body"]["properties"]["dealstage"] = "closedwon".into();
    assert_eq!(reason(act.still_as_planned(&context, &tampered).await), Reason::NotApplied);
    tampered = planned.clone();
    tampered.before = None;
    assert_eq!(reason(act.still_as_planned(&context, &tampered).await), Reason::NotApplied);

    let stages = std::mem::take(&mut context.stages);
    assert_eq!(
        reason(act.still_as_planned(&context, &planned).await),
        Reason::StageNotAllowed,
        "list changed"
    );
    context.stages = stages;

    loopback.hubspot.next(standins::Matcher::any(), standins::Fault::Reset);
    assert_eq!(reason(act.still_as_planned(&context, &planned).await), Reason::CrmUnavailable);
    loopback.hubspot.edit_by_person(Record::Deal, 4411, "dealstage", "contractsent").expect("edited");
    assert_eq!(reason(act.still_as_planned(&context, &planned).await), Reason::Conflict);
    loopback.assert_only_reads();
}

#[tokio::test]
async fn a_persons_change_is_never_taken_for_our_write() {
    let loopback = Loopback::start().await;
    let (act, context) = (act(&loopback), context("4411"));
    let plan = act.plan(&context, &arguments("closedlost")).await.expect("a plan");
    assert_eq!(act.read_back(&context, &plan).await, ReadBack::NotApplied);
    loopback.advance_ms(1_000);
    loopback.hubspot.edit_by_person(Record::Deal, 4411, "dealstage", "closedlost").expect("edited");
    assert_eq!(act.read_back(&context, &plan).await, ReadBack::Conflict { seen: "stage closedlost".into() });
    loopback.advance_ms(1_000);
    loopback.hubspot.edit_by_person(Record::Deal, 4411, "dealstage", "negotiation").expect("edited");
    assert_eq!(act.read_back(&context, &plan).await, ReadBack::Conflict { seen: "stage negotiation".into() });
    loopback.hubspot.always(standins::Matcher::any(), standins::Fault::Status(503));
    assert_eq!(act.read_back(&context, &plan).await, ReadBack::Unreadable);
    loopback.assert_only_reads();
}

#[test]
fn the_history_proves_our_write_only_by_our_own_newer_entry() {
    let mut plan = plan_of(&context("4411"), NAME, String::new());
    plan.before = Some(json!({"stage": "negotiation", "since": "2026-11-23T08:00:00.250Z"}));
    plan.after = Some(json!({"stage": "closedlost"}));
    let entry = |stage: &str, at: Option<&str>, source: &str| StageChange {
        stage: stage.to_owned(),
        at: at.map(|at| at.parse().expect("a time")),
        source_type: Some("INTEGRATION".to_owned()),
        source_id: Some(source.to_owned()),
    };
    let (ours, theirs) = (APP_ID.to_string(), "42".to_owned());
    let (then, later) = (Some("2026-11-23T08:00:00.250Z"), Some("2026-11-23T08:00:01Z"));
    let earlier = Some("2026-11-23T07:00:00Z");
    let conflict = |stage: &str| ReadBack::Conflict { seen: format!("stage {stage}") };
    for (newest, seen) in [
        (entry("closedlost", later, &ours), ReadBack::Applied),
        (entry("closedlost", later, &theirs), conflict("closedlost")),
        (entry("closedlost", then, &ours), conflict("closedlost")),
        (entry("closedlost", earlier, &ours), conflict("closedlost")),
        (entry("closedlost", None, &ours), conflict("closedlost")),
        (entry("contractsent", later, &ours), conflict("contractsent")),
        (entry("negotiation", then, &theirs), ReadBack::NotApplied),
        (entry("negotiation", later, &theirs), conflict("negotiation")),
        (entry("negotiation", None, &theirs), conflict("negotiation")),
    ] {
        assert_eq!(seen_in(std::slice::from_ref(&newest), &plan, Some(APP_ID)), seen, "{newest:?}");
    }
    assert_eq!(seen_in(&[], &plan, Some(APP_ID)), ReadBack::Unreadable);
    let nameless = seen_in(&[entry("closedlost", later, &ours)], &plan, None);
    assert!(matches!(nameless, ReadBack::Conflict { .. }), "without our app's id nothing proves it is ours");
    plan.before = Some(json!({"stage": "negotiation", "since": null}));
    assert_eq!(seen_in(&[entry("negotiation", then, &theirs)], &plan, Some(APP_ID)), conflict("negotiation"));
}
