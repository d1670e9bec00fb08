//! What each reading port asks for, and how it reads complete, sparse and odd answers.
use super::*;
use crate::{
    Stage,
    loopback::{TOKEN, hubspot, json, server},
};
use serde_json::{Value, json};

fn id(text: &str) -> RecordId {
    RecordId::parse(text).expect("an id")
}

fn deal(text: &str) -> DealId {
    DealId::new(text).expect("an id")
}

async fn get_deal(answer: Value) -> Result<Deal, CrmError> {
    let server = server(move |_| json(&answer)).await;
    let deal = hubspot(&server.url).deal_reader().get_deal(&deal("4411")).await;
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].method.as_str(), seen[0].target.as_str()),
        (
            "GET",
            "/crm/objects/2026-09/deals/4411?properties=dealname,dealstage,pipeline,amount,closedate,\
             hubspot_owner_id,hs_lastmodifieddate&propertiesWithHistory=dealstage\
             &associations=contacts,companies,emails,notes,tasks"
        )
    );
    deal
}

#[tokio::test]
async fn a_whole_deal_is_read() {
    let answer = serde_json::from_str(include_str!("deal.json")).expect("json");
    let deal = get_deal(answer).await.expect("a deal");
    assert_eq!(deal.id.as_str(), "4411");
    assert_eq!(deal.name.as_deref(), Some("Warehouse rollout"));
    assert_eq!((deal.stage.as_deref(), deal.pipeline.as_deref()), (Some("negotiation"), Some("default")));
    assert_eq!((deal.amount.as_deref(), deal.owner_id), (Some("1200.50"), Some(id("77"))));
    assert_eq!(deal.close_date.as_deref(), Some("2026-12-01T00:00:00Z"));
    assert_eq!(deal.updated_at, "2026-11-20T10:00:00.123Z".parse().ok());
    assert_eq!(deal.contact_ids, [id("201"), id("202")]);
    assert_eq!((deal.email_ids, deal.note_ids, deal.task_ids), (vec![id("900")], vec![], vec![id("5")]));
    let stages: Vec<&str> = deal.stage_history.iter().map(|change| change.stage.as_str()).collect();
    assert_eq!(stages, ["negotiation", "new"], "the newest first");
    assert!(deal.stage_history[0].is_by_app(42) && !deal.stage_history[0].is_by_app(43));
    assert!(!deal.stage_history[1].is_by_app(5));
}

#[tokio::test]
async fn the_customer_is_the_primary_company_else_the_lowest_else_the_deal() {
    let with = |links: Value| json!({"id": "4411", "associations": {"companies": {"results": links}}});
    let (primary, other) = ("deal_to_company", "deal_to_company_unlabeled");
    for (answer, customer) in [
        (with(json!([{"id": "9", "type": other}, {"id": "1234", "type": primary}])), "1234"),
        (with(json!([{"id": "10", "type": other}, {"id": "9", "type": other}])), "9"),
        (with(json!([{"id": 10}, {"id": 9}])), "9"),
        (with(json!([])), "deal-4411"),
        (json!({"id": "4411"}), "deal-4411"),
    ] {
        let deal = get_deal(answer.clone()).await.expect("a deal");
        assert_eq!(deal.customer_id().expect("a customer").as_str(), customer, "{answer}");
    }
}

#[tokio::test]
async fn a_deal_of_doubt_is_an_error() {
    let partial = json!({"id": "4411", "associations": {"companies": {"results": [{"id": "9"}],
        "paging": {"next": {"after": "9"}}}}});
    let call = "get deal";
    assert_eq!(get_deal(partial).await, Err(CrmError::Incomplete { call, what: "companies" }));
    let merged = get_deal(json!({"id": "4412"})).await.expect_err("another deal");
    assert!(matches!(merged, CrmError::Malformed { .. }), "{merged}");
    for odd in [
        json!({}),
        json!([]),
        json!({"id": "../1"}),
        json!({"id": "4411", "associations": {"companies":
        {"results": [{"id": "x"}]}}}),
    ] {
        assert!(matches!(get_deal(odd).await, Err(CrmError::Malformed { .. })));
    }
}

#[tokio::test]
async fn a_sparse_deal_is_read_as_far_as_it_goes() {
    let sparse = json!({"id": 4411, "properties": null, "associations": null, "propertiesWithHistory": null});
    let deal = get_deal(sparse).await.expect("a deal");
    assert_eq!((deal.name, deal.stage, deal.updated_at), (None, None, None));
    let odd = json!({"id": "4411", "updatedAt": "yesterday", "properties": {"amount": 12, "dealname": "",
        "hubspot_owner_id": "nobody", "hs_lastmodifieddate": "1795600000000"}});
    let deal = get_deal(odd).await.expect("a deal");
    assert_eq!((deal.amount.as_deref(), deal.name, deal.owner_id), (Some("12"), None, None));
    assert_eq!(deal.updated_at.map(|at| at.as_millisecond()), Some(1_795_600_000_000));
}

#[tokio::test]
async fn an_id_that_is_none_is_never_sent() {
    let server = server(|_| json(&json!({}))).await;
    let read = hubspot(&server.url).deal_reader().get_deal(&deal("..")).await;
    assert_eq!(read, Err(CrmError::BadId { call: "get deal" }));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn mails_contacts_companies_notes_tasks_and_owners_are_read_by_get() {
    let server = server(|seen| {
        let path = seen.target.split('?').next().unwrap_or_default();
        let properties: Value = serde_json::from_str(include_str!("properties.json")).expect("json");
        let links = json!({"deals": {"results": [{"id": "4411"}]}, "contacts": {"results": [{"id": "201"}]}});
        match path {
            "/crm/owners/2026-09/7" => {
                json(&json!({"id": "7", "email": "s@b.example", "firstName": "Sanne", "userId": 1}))
            }
            _ => json(&json!({"id": "7", "properties": properties, "associations": links})),
        }
    })
    .await;
    let (hubspot, seven) = (hubspot(&server.url), id("7"));
    let email = hubspot.email_reader().get_email(seven).await.expect("a mail");
    assert!(email.is_inbound_reply());
    assert_eq!((email.subject.as_deref(), email.text.as_deref()), (Some("Re"), Some("no")));
    assert_eq!(
        (email.from.as_deref(), email.timestamp),
        (Some("a@b.example"), "2026-11-23T09:00:00Z".parse().ok())
    );
    assert_eq!((email.deal_ids, email.contact_ids), (vec![id("4411")], vec![id("201")]));
    let contact = hubspot.contact_reader().get_contact(seven).await.expect("a contact");
    assert_eq!((contact.first_name.as_deref(), contact.last_name), (Some("Ahmed"), None));
    let company = hubspot.company_reader().get_company(seven).await.expect("a company");
    assert_eq!((company.name.as_deref(), company.domain.as_deref()), (Some("Bakker"), Some("b.example")));
    let note = hubspot.note_reader().get_note(seven).await.expect("a note");
    assert_eq!((note.body_html.as_deref(), note.source_id.as_deref()), (Some("<p>n</p>"), Some("42")));
    let task = hubspot.task_reader().get_task(seven).await.expect("a task");
    assert_eq!((task.subject.as_deref(), task.due), (Some("Call"), "2026-11-23T09:00:00Z".parse().ok()));
    let owner = hubspot.owner_reader().get_owner(seven).await.expect("an owner");
    assert_eq!((owner.id, owner.first_name.as_deref(), owner.archived), (seven, Some("Sanne"), false));
    let seen = server.seen();
    assert!(seen.iter().all(|one| one.method == "GET" && one.body.is_empty()));
    assert!(seen.iter().all(|one| one.header("x-holdfast-intent").is_none()));
    assert!(seen[0].target.starts_with("/crm/objects/2026-09/emails/7?properties=hs_email_direction,"));
    assert!(seen[0].target.ends_with("&associations=deals,contacts"));
}

#[tokio::test]
async fn the_notes_and_tasks_of_a_deal_are_listed_by_get() {
    let server = server(|_| {
        json(&json!({"id": "4411", "associations": {"notes": {"results": [{"id": "10"}, {"id": "9"}]},
            "tasks": {"results": [{"id": "5"}], "paging": {"next": {"after": "5"}}}}}))
    })
    .await;
    let hubspot = hubspot(&server.url);
    assert_eq!(hubspot.note_reader().note_ids(&deal("4411")).await, Ok(vec![id("9"), id("10")]));
    let partial = hubspot.task_reader().task_ids(&deal("4411")).await;
    assert_eq!(partial, Err(CrmError::Incomplete { call: "list tasks", what: "tasks" }));
    assert_eq!(server.seen()[0].target, "/crm/objects/2026-09/deals/4411?associations=notes,tasks");
    assert!(server.seen().iter().all(|one| one.method == "GET"));
}

#[tokio::test]
async fn pipelines_are_read_in_order_and_a_stage_of_doubt_counts_as_closed() {
    let answer: Value = serde_json::from_str(include_str!("pipelines.json")).expect("json");
    let server = server(move |_| json(&answer)).await;
    let pipelines = hubspot(&server.url).pipeline_reader().deal_pipelines().await.expect("pipelines");
    assert_eq!(pipelines.len(), 1);
    let shown = |stage: &Stage| (stage.id.clone(), stage.closed, stage.writable);
    let stages: Vec<(String, bool, bool)> = pipelines[0].stages.iter().map(shown).collect();
    let expected = [
        ("new", false, true),
        ("1093387201", false, false),
        ("closedwon", true, true),
        ("odd", true, true),
        ("lost", true, true),
    ];
    assert_eq!(stages, expected.map(|(id, closed, writable)| (id.to_owned(), closed, writable)));
    assert_eq!(server.seen()[0].target, "/crm/pipelines/2026-09/deals");
}

#[tokio::test]
async fn the_tokens_scopes_are_asked_for_by_the_one_post() {
    let server = server(|_| {
        json(&json!({"userId": 1, "hubId": 33, "appId": 42, "scopes": ["oauth", "crm.objects.deals.read"]}))
    })
    .await;
    let info = hubspot(&server.url).token_reader().token_info().await.expect("token info");
    assert_eq!((info.app_id, info.hub_id), (Some(42), Some(33)));
    assert_eq!(info.scopes, ["oauth", "crm.objects.deals.read"]);
    let seen = server.seen();
    assert_eq!(
        (seen[0].method.as_str(), seen[0].target.as_str()),
        ("POST", "/oauth/v2/private-apps/get/access-token-info")
    );
    assert_eq!(seen[0].json(), json!({ "tokenKey": TOKEN }));
    assert!(seen[0].header("authorization").is_some());
}
