//! What the model is shown of a deal.
use super::*;
use crate::loopback::{Loopback, context};
use gate::OwnWrite;
use standins::{Fault, Matcher, hubspot::Kind as Record};
use types::Reason;

async fn read(loopback: &Loopback, context: &Context) -> Result<(Value, gate::Plan), Refusal> {
    let tool = tool(&loopback.ports);
    let Kind::Read(read) = &tool.kind else { panic!("not a read") };
    let answer = read.read(context, &json!({ "deal_id": context.deal_id })).await?;
    Ok((serde_json::from_str(&answer.tell).expect("json"), answer.plan))
}

#[tokio::test]
async fn the_deal_is_shown_with_company_contacts_and_the_stages_of_its_pipeline() {
    let loopback = Loopback::start().await;
    let (shown, plan) = read(&loopback, &context("4411")).await.expect("read");
    for (name, value) in [
        ("deal_id", json!("4411")),
        ("name", json!("Warehouse rollout")),
        ("stage", json!("negotiation")),
        ("stage_label", json!("Negotiation")),
        ("pipeline", json!("default")),
        ("amount", json!("48000")),
        ("owner_id", json!("301")),
        ("company", json!("Van Dijk Logistics")),
        (
            "contacts",
            json!([{"id": "704411", "name": "Marieke van Dijk",
                    "email": "m.vandijk@vandijk-logistics.example"}]),
        ),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    assert!(shown["last_modified"].is_string());
    let stages: Vec<&str> = shown["stages_you_may_set"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|s| s["stage"].as_str())
        .collect();
    assert_eq!(stages, ["negotiation", "contractsent", "1093387201", "closedlost"]);
    assert_eq!((shown.get("dry_run_writes"), shown.get("stage_in_crm")), (None, None));
    assert_eq!(plan.subjects, ["704411", "m.vandijk@vandijk-logistics.example"]);
    assert_eq!((plan.verb.as_str(), plan.target.to_string().as_str()), ("get_deal", "deal:4411"));
    assert_eq!((plan.before, plan.after, plan.request), (None, None, None));
    assert_eq!(loopback.hubspot.requests().len(), 3, "deal, company, contact");
    loopback.assert_only_reads();
}

#[tokio::test]
async fn text_from_the_crm_is_cleaned_and_bounded() {
    let loopback = Loopback::start().await;
    let name = format!("A\u{202E}\u{1b}[31m\nB{}", "x".repeat(5_000));
    loopback.hubspot.edit_by_person(Record::Deal, 4411, "dealname", &name).expect("edited");
    loopback
        .hubspot
        .edit_by_person(Record::Contact, 704_411, "firstname", "M\u{0}\u{2066}arieke")
        .expect("edited");
    let (shown, _) = read(&loopback, &context("4411")).await.expect("read");
    let name = shown["name"].as_str().expect("text");
    assert!(name.starts_with("A[31m Bxxx") && name.chars().count() == VALUE_CHARS_MAX, "{name}");
    assert_eq!(shown["contacts"][0]["name"], "Marieke van Dijk");
}

#[tokio::test]
async fn what_the_run_would_have_written_lies_on_top_and_says_so() {
    let loopback = Loopback::start().await;
    let mut context = context("4411");
    let write = |tool: &str, after: Value| OwnWrite { tool: tool.to_owned(), after };
    context.own_writes = vec![
        write("set_stage", json!({"stage": "contractsent", "label": "Proposal sent"})),
        write("append_note", json!({"note": "n".repeat(5_000)})),
        write("set_stage", json!({"stage": "closedlost", "label": "Closed Lost"})),
    ];
    let (shown, _) = read(&loopback, &context).await.expect("read");
    assert_eq!((&shown["stage"], &shown["stage_label"]), (&json!("closedlost"), &json!("Closed Lost")));
    assert_eq!(shown["stage_in_crm"], "negotiation");
    let writes = shown["dry_run_writes"].as_array().expect("a list");
    assert_eq!(writes.len(), 3);
    assert!(writes.iter().all(|write| write["status"] == "not written: dry-run"));
    assert!(writes[1]["after"]["note"].as_str().is_some_and(|note| note.chars().count() == VALUE_CHARS_MAX));
    loopback.assert_only_reads();
}

#[tokio::test]
async fn a_side_record_that_is_not_shown_is_absent_and_a_busy_crm_is_not() {
    let loopback = Loopback::start().await;
    loopback.hubspot.next(Matcher::any().path("/companies/"), Fault::Status(403));
    loopback.hubspot.next(Matcher::any().path("/contacts/"), Fault::Status(404));
    let (shown, plan) = read(&loopback, &context("4411")).await.expect("read");
    assert_eq!(shown["company"], Value::Null);
    assert_eq!(shown["contacts"], json!([{"id": "704411", "name": null, "email": null}]));
    assert_eq!(plan.subjects, ["704411"]);

    let policy = "TEN_SECONDLY_ROLLING".to_owned();
    loopback.hubspot.next(Matcher::any().path("/contacts/"), Fault::Status429 { policy });
    let refusal = read(&loopback, &context("4411")).await.expect_err("refused");
    assert_eq!(refusal.reason, Reason::CrmRateLimited);
    assert!(refusal.retry_ms.is_some());
    loopback.hubspot.next(Matcher::any().path("/deals/"), Fault::Html502);
    let refusal = read(&loopback, &context("4411")).await.expect_err("refused");
    assert_eq!((refusal.reason, refusal.retry_ms.is_some()), (Reason::CrmUnavailable, true));
    let refusal = read(&loopback, &context("999999")).await.expect_err("refused");
    assert_eq!((refusal.reason, refusal.retry_ms), (Reason::CrmNotFound, None));
}

#[tokio::test]
async fn a_deal_without_company_and_last_name_is_shown_as_it_is() {
    let loopback = Loopback::start().await;
    let (shown, _) = read(&loopback, &context("4391")).await.expect("read");
    assert_eq!(shown["company"], Value::Null);
    assert_eq!(shown["contacts"][0]["name"], "Ahmed");
    assert_eq!(shown["amount"], Value::Null);
}
