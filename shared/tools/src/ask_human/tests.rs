//! What people are asked, and what becomes of a question that Slack does not take.
use super::*;
use crate::loopback::{Loopback, context, plan};
use types::CustomerId;

fn arguments(question: &str) -> Value {
    json!({"deal_id": "4411", "question": question, "because": "The mail says both."})
}

async fn post(loopback: &Loopback, context: &Context, question: &str) -> Result<(), Reason> {
    let tool = tool(&loopback.ports);
    let planned = plan(&tool, context, &arguments(question)).await.expect("a plan");
    let Kind::Ask(ask) = &tool.kind else { panic!("not an ask") };
    ask.post(context, &planned).await
}

#[tokio::test]
async fn a_question_is_posted_once_with_the_runs_page_and_touches_no_crm() {
    let loopback = Loopback::start().await;
    assert_eq!(post(&loopback, &context("4411"), "Close it, or wait?").await, Ok(()));
    let messages = loopback.slack.messages();
    assert_eq!(messages.len(), 1);
    let payload = messages[0].payload.to_string();
    for part in
        ["4411", "Van Dijk Logistics", "Close it, or wait?", "The mail says both", "/runs/r-7f3a|Open run"]
    {
        assert!(payload.contains(part), "{part} is not in {payload}");
    }
    assert!(loopback.hubspot.requests().is_empty());
}

#[tokio::test]
async fn the_plan_flags_links_and_nothing_in_a_question_acts_in_slack() {
    let loopback = Loopback::start().await;
    let hostile = "<!channel> see <https://evil.example|here>";
    let planned = plan(&tool(&loopback.ports), &context("4411"), &arguments(hostile)).await.expect("a plan");
    assert_eq!(planned.after, Some(json!({ "question": hostile })));
    assert_eq!((planned.before, planned.request), (None, None));
    assert_eq!(planned.warnings, ["the text holds a link to `evil.example`"]);
    assert!(planned.what.starts_with("ask people: "));
    assert_eq!(post(&loopback, &context("4411"), hostile).await, Ok(()));
    let payload = loopback.slack.messages()[0].payload.to_string();
    for acting in ["<!channel>", "<https://evil"] {
        assert!(!payload.contains(acting), "{payload}");
    }
}

#[tokio::test]
async fn a_person_who_is_the_customer_is_not_named_in_slack() {
    let loopback = Loopback::start().await;
    let mut context = context("4411");
    context.customer_id = CustomerId::new("deal-4411").expect("an id");
    context.customer_name = "Ahmed Pallets".to_owned();
    assert_eq!(post(&loopback, &context, "Close it?").await, Ok(()));
    assert!(!loopback.slack.messages()[0].payload.to_string().contains("Ahmed"));
}

#[tokio::test]
async fn without_slack_the_question_waits_in_the_console() {
    let mut loopback = Loopback::start().await;
    loopback.slack.next(standins::Matcher::any(), standins::Fault::Status(500));
    assert_eq!(post(&loopback, &context("4411"), "Close it?").await, Err(Reason::SlackUnavailable));
    let mut no_page = context("4411");
    no_page.run_url = None;
    assert_eq!(post(&loopback, &no_page, "Close it?").await, Ok(()), "a page is not needed");
    loopback.ports.slack = None;
    assert_eq!(post(&loopback, &context("4411"), "Close it?").await, Err(Reason::SlackUnavailable));
}
