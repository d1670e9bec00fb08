//! The follow-up as planned: its day, its moment, its owner.
use super::*;
use crate::loopback::{Loopback, context, plan};

fn arguments(due_date: &str) -> Value {
    json!({"deal_id": "4302", "due_date": due_date, "subject": "Call Els\nabout pallets",
           "because": "She asked."})
}

fn act(loopback: &Loopback) -> ScheduleFollowUp {
    let ports = loopback.ports.clone();
    ScheduleFollowUp {
        api_version: ports.api_version,
        deals: ports.deals,
        tasks: ports.tasks,
        read_back: ports.read_back,
    }
}

#[tokio::test]
async fn the_plan_is_a_task_for_the_deals_owner_at_nine() {
    let loopback = Loopback::start().await;
    let plan =
        plan(&tool(&loopback.ports), &context("4302"), &arguments("2026-11-30")).await.expect("a plan");
    assert_eq!(
        plan.after,
        Some(json!({"subject": "Call Els about pallets", "due_date": "2026-11-30",
                    "due_at": "2026-11-30T08:00:00Z", "owner_id": "301"}))
    );
    assert_eq!(
        plan.request,
        Some(json!({"method": "POST", "path": "/crm/objects/2026-09/tasks", "body": {
            "properties": {"hs_timestamp": "2026-11-30T08:00:00Z",
                "hs_task_subject": "Call Els about pallets",
                "hs_task_body": "She asked.<br>[agent i-0123456789abcdef0123]",
                "hs_task_status": "NOT_STARTED",
                "hs_task_priority": "MEDIUM", "hs_task_type": "TODO", "hubspot_owner_id": "301"},
            "associations": [{"to": {"id": "4302"}, "types": [
                {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 216}]}]}}))
    );
    assert_eq!(
        (plan.what.as_str(), plan.before),
        ("schedule a follow-up on 2026-11-30: Call Els about pallets", None)
    );
    assert_eq!(plan.warnings, Vec::<String>::new());
    loopback.assert_only_reads();
}

#[tokio::test]
async fn a_deal_without_an_owner_is_flagged_and_so_are_links() {
    let loopback = Loopback::start().await;
    loopback
        .hubspot
        .edit_by_person(standins::hubspot::Kind::Deal, 4302, "hubspot_owner_id", "")
        .expect("edited");
    let mut arguments = arguments("2026-11-30");
    arguments["subject"] = "Look at evil.example".into();
    let plan = plan(&tool(&loopback.ports), &context("4302"), &arguments).await.expect("a plan");
    assert_eq!(
        plan.warnings,
        ["the text holds a link to `evil.example`", "the deal has no owner, so nobody is given the task"]
    );
    let properties = &plan.request.expect("a request")["body"]["properties"];
    assert_eq!(properties.get("hubspot_owner_id"), None);
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn reason(text: &str, zone: &str, now: &str) -> Reason {
    due_of(text, zone, at(now)).expect_err("refused").reason
}

#[test]
fn the_day_is_that_of_the_zone_and_within_a_year() {
    // 23:30 UTC on the 22nd is the 23rd in Amsterdam and still the 22nd in New York.
    let now = "2026-11-22T23:30:00Z";
    assert_eq!(reason("2026-11-22", "Europe/Amsterdam", now), Reason::DateOutOfRange);
    let due = |text: &str, zone: &str| due_of(text, zone, at(now)).expect("a due date").1.to_string();
    assert_eq!(due("2026-11-23", "Europe/Amsterdam"), "2026-11-23T08:00:00Z");
    assert_eq!(due("2026-11-22", "America/New_York"), "2026-11-22T14:00:00Z");
    assert_eq!(due("2027-07-01", "Europe/Amsterdam"), "2027-07-01T07:00:00Z", "summer time");
    assert_eq!(due("2027-11-23", "Europe/Amsterdam"), "2027-11-23T08:00:00Z", "the 365th day");
    assert_eq!(reason("2027-11-24", "Europe/Amsterdam", now), Reason::DateOutOfRange);
    assert_eq!(reason("9999-12-31", "Europe/Amsterdam", now), Reason::DateOutOfRange);
    assert_eq!(reason("2026-11-30", "Mars/Olympus", now), Reason::ConfigUnusable);
}

#[test]
fn only_a_plain_day_of_the_calendar_is_read() {
    for bad in [
        "",
        "tomorrow",
        "2026-11-31",
        "2027-02-29",
        "2026-13-01",
        "20261130",
        "2026-11-30T09:00",
        "26-11-30",
        "2026/11/30",
        "30-11-2026",
        "-026-11-30",
        "2026-11-3",
        "２０２６-11-30",
        "2026-W48-1",
    ] {
        assert_eq!(
            reason(bad, "Europe/Amsterdam", "2026-11-22T23:30:00Z"),
            Reason::MalformedArguments,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn only_the_planned_task_would_be_sent() {
    let loopback = Loopback::start().await;
    let (act, context) = (act(&loopback), context("4302"));
    let planned = act.plan(&context, &arguments("2026-11-30")).await.expect("a plan");
    let task = act.planned_task(&context, &planned).expect("the same task");
    let again = serde_json::to_value(request_of_create_task(&act.api_version, &task).expect("a request"));
    assert_eq!(again.ok(), planned.request);
    let changes: [fn(&mut Plan); 5] = [
        |plan| plan.after.as_mut().expect("a value")["subject"] = "another".into(),
        |plan| plan.after.as_mut().expect("a value")["due_at"] = "2026-12-01T08:00:00Z".into(),
        |plan| plan.after.as_mut().expect("a value")["owner_id"] = "302".into(),
        |plan| plan.because = Some("another".to_owned()),
        |plan| plan.request = None,
    ];
    for change in changes {
        let mut tampered = planned.clone();
        change(&mut tampered);
        assert_eq!(act.planned_task(&context, &tampered), None);
    }
}

#[tokio::test]
async fn a_task_is_looked_for_among_the_tasks() {
    let loopback = Loopback::start().await;
    let (act, context) = (act(&loopback), context("4302"));
    let plan = act.plan(&context, &arguments("2026-11-30")).await.expect("a plan");
    assert_eq!(act.read_back(&context, &plan).await, ReadBack::NotYet);
    // The same marker in a note is not our task.
    let note_id = loopback.hubspot.linked_to_deal(4302, standins::hubspot::Kind::Note)[0];
    let marker = marker_of(&context.intent_id);
    loopback
        .hubspot
        .edit_by_person(standins::hubspot::Kind::Note, note_id, "hs_note_body", &marker)
        .expect("edited");
    assert_eq!(act.read_back(&context, &plan).await, ReadBack::NotYet);
    loopback.assert_only_reads();
}
