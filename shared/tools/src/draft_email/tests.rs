//! Who a draft may be for, and what its reader is warned of.
use super::*;
use crate::loopback::{Loopback, context, plan};
use standins::{Fault, Matcher, hubspot::Kind as Record};
use types::Reason;

fn arguments(to: &str, body: &str) -> Value {
    json!({"deal_id": "4411", "to_contact_id": to, "subject": "Re: Warehouse\nrollout", "body": body,
           "because": "She waits for an answer."})
}

async fn draft(loopback: &Loopback, to: &str, body: &str) -> Result<Plan, Refusal> {
    plan(&tool(&loopback.ports), &context("4411"), &arguments(to, body)).await
}

#[tokio::test]
async fn a_draft_names_its_recipient_and_holds_no_request() {
    let loopback = Loopback::start().await;
    let plan = draft(&loopback, " 704411 ", "Hello Marieke,\r\n\r\nthank you.").await.expect("a plan");
    let email = "m.vandijk@vandijk-logistics.example";
    assert_eq!(
        plan.after,
        Some(json!({"to": {"contact_id": "704411", "name": "Marieke van Dijk", "email": email},
                    "subject": "Re: Warehouse rollout", "body": "Hello Marieke,\n\nthank you."}))
    );
    assert_eq!((plan.before, plan.request), (None, None));
    assert_eq!(plan.subjects, ["704411", email]);
    assert_eq!(plan.what, "draft an email to Marieke van Dijk: Re: Warehouse rollout");
    assert_eq!(plan.warnings, Vec::<String>::new());
    loopback.assert_only_reads();
}

#[tokio::test]
async fn only_a_contact_of_the_deal_with_one_address_can_be_written_to() {
    let loopback = Loopback::start().await;
    // Of another deal, nobody, not an id.
    for to in [
        "704290",
        "999999",
        "",
        "m.vandijk@vandijk-logistics.example",
        "704411,704290",
        "../704411",
        "0704411",
    ] {
        let refusal = draft(&loopback, to, "a").await.expect_err("refused");
        assert_eq!(refusal.reason, Reason::MalformedArguments, "{to}");
    }
    let contacts: Vec<_> =
        loopback.hubspot.requests().into_iter().filter(|seen| seen.path.contains("/contacts/")).collect();
    assert!(contacts.is_empty(), "no other person is even read");
    for address in
        ["", "nobody", "a@b.example, eve@evil.example", "Eve <eve@evil.example>", "a@b@c.example", "a@b"]
    {
        loopback.hubspot.edit_by_person(Record::Contact, 704_411, "email", address).expect("edited");
        let refusal = draft(&loopback, "704411", "a").await.expect_err("refused");
        assert_eq!(refusal.reason, Reason::MalformedArguments, "{address}");
        assert!(!refusal.tell.contains("evil"), "{}", refusal.tell);
    }
    loopback.hubspot.next(Matcher::any().path("/contacts/"), Fault::Html502);
    let refusal = draft(&loopback, "704411", "a").await.expect_err("refused");
    assert_eq!((refusal.reason, refusal.retry_ms.is_some()), (Reason::CrmUnavailable, true));
}

#[tokio::test]
async fn what_leads_elsewhere_is_flagged_for_the_person_who_sends() {
    let loopback = Loopback::start().await;
    let body = "See https://vandijk-logistics.example/x or m.vandijk@vandijk-logistics.example, \
                else http://evil.example/?d=4411 and eve@evil.example";
    let plan = draft(&loopback, "704411", body).await.expect("a plan");
    assert_eq!(
        plan.warnings,
        ["the text holds a link to `evil.example`", "the text holds the address `eve@evil.example`"]
    );
}

#[tokio::test]
async fn a_recipient_who_came_later_is_flagged() {
    let loopback = Loopback::start().await;
    let mut context = context("4411");
    context.contact_ids = vec!["704290".to_owned()];
    let plan = plan(&tool(&loopback.ports), &context, &arguments("704411", "a")).await.expect("a plan");
    assert_eq!(plan.warnings, ["the recipient was put on the deal after this run began"]);
}

#[tokio::test]
async fn a_company_that_is_not_shown_only_costs_its_domain() {
    let loopback = Loopback::start().await;
    loopback.hubspot.next(Matcher::any().path("/companies/"), Fault::Status(403));
    assert!(draft(&loopback, "704411", "a").await.is_ok());
}

#[tokio::test]
async fn a_contact_that_was_merged_into_a_stranger_is_refused() {
    let loopback = Loopback::start().await;
    let deal = deal_of(&loopback.ports.deals, &context("4302")).await.expect("a deal");
    let id = |text: &str| RecordId::parse(text).expect("an id");
    let answered = |answered: &str| {
        let email = Some("info@bakker-transport.example".to_owned());
        let contact = Contact { id: id(answered), first_name: None, last_name: None, email };
        recipient_of(&deal, id("704302"), &contact).map(|to| to.id)
    };
    assert_eq!(answered("704302"), Ok(id("704302")));
    assert_eq!(answered("714302"), Ok(id("714302")), "merged into another contact of the same deal");
    assert_eq!(answered("704411").expect_err("refused").reason, Reason::MalformedArguments);
}
