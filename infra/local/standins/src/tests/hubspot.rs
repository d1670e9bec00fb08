//! HubSpot: who may call, what is read, what is refused. Must never use the product's own client.
use super::{Answer, Hand, http, start};
use crate::hubspot::{HubSpot, Kind, NewEmail, Settings};
use crate::{Options, Running, Standins};
use serde_json::{Value, json};

pub(super) const TOKEN: &str = "pat-local-demo";

pub(super) async fn call(
    hubspot: &Running<HubSpot>,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Answer {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = http().request(method, format!("{}{path}", hubspot.url)).bearer_auth(TOKEN);
    if let Some(body) = body {
        request = request.json(&body);
    }
    Answer::of(request.send().await.unwrap()).await
}

pub(super) async fn get(hubspot: &Running<HubSpot>, path: &str) -> Answer {
    call(hubspot, "GET", path, None).await
}

pub(super) fn note(body: &str, deal: &str) -> Value {
    json!({"properties": {"hs_timestamp": "2026-11-23T09:00:00Z", "hs_note_body": body},
           "associations": [{"to": {"id": deal},
                             "types": [{"associationCategory": "HUBSPOT_DEFINED",
                                 "associationTypeId": 214}]}]})
}

pub(super) fn stage(id: &str) -> Value {
    json!({"properties": {"dealstage": id}})
}

pub(super) const NOTES: &str = "/crm/objects/2026-09/notes";
pub(super) const DEAL: &str = "/crm/objects/2026-09/deals/4411";

#[tokio::test]
async fn a_call_without_our_token_is_a_401_and_changes_nothing() {
    let all = start(&Hand::new()).await;
    for token in [None, Some("pat-other")] {
        let mut request = http().patch(format!("{}{DEAL}", all.hubspot.url)).json(&stage("closedlost"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json()["category"], "INVALID_AUTHENTICATION");
        assert_eq!(answer.json()["status"], "error");
        assert!(!answer.json()["correlationId"].as_str().unwrap().is_empty());
    }
    assert!(all.hubspot.writes().is_empty());
    assert_eq!(all.hubspot.property(Kind::Deal, 4411, "dealstage").as_deref(), Some("negotiation"));
}

#[tokio::test]
async fn each_scope_is_needed_for_its_calls() {
    let calls = [
        ("GET", DEAL, None, "crm.objects.deals.read"),
        ("PATCH", DEAL, Some(stage("closedlost")), "crm.objects.deals.write"),
        ("GET", "/crm/objects/2026-09/contacts/704411", None, "crm.objects.contacts.read"),
        ("GET", "/crm/objects/2026-09/companies/1234", None, "crm.objects.companies.read"),
        ("GET", "/crm/objects/2026-09/emails/904411", None, "sales-email-read"),
        ("POST", NOTES, Some(note("x", "4411")), "crm.objects.contacts.write"),
        ("GET", "/crm/owners/2026-09/301", None, "crm.objects.owners.read"),
        ("GET", "/crm/pipelines/2026-09/deals", None, "crm.objects.deals.read"),
    ];
    for (method, path, body, scope) in calls {
        let mut options = Options::new(Hand::new().clock());
        let granted =
            call(&Standins::start(options.clone()).await.unwrap().hubspot, method, path, body.clone()).await;
        assert!(granted.status < 300, "{path}: {}", granted.text);
        options.hubspot.scopes.retain(|held| held != scope);
        let all = Standins::start(options).await.unwrap();
        let answer = call(&all.hubspot, method, path, body).await;
        assert_eq!(
            (answer.status, answer.json()["category"].as_str()),
            (403, Some("MISSING_SCOPES")),
            "{path}"
        );
        let needed = answer.json()["errors"][0]["context"]["requiredGranularScopes"].to_string();
        assert!(needed.contains(scope), "{needed}");
        assert!(all.hubspot.writes().is_empty());
    }
}

#[tokio::test]
async fn a_deal_shows_what_is_asked_for_and_no_more() {
    let all = start(&Hand::new()).await;
    let path = format!(
        "{DEAL}?properties=dealname,dealstage,closed_lost_reason,nonsense&propertiesWithHistory=dealstage&\
         associations=contacts,companies,emails,notes"
    );
    let deal = get(&all.hubspot, &path).await.json();
    assert_eq!(deal["id"], "4411");
    assert_eq!(deal["properties"]["dealname"], "Warehouse rollout");
    assert_eq!(deal["properties"]["closed_lost_reason"], Value::Null);
    assert!(deal["properties"].get("nonsense").is_none());
    assert!(deal["properties"].get("amount").is_none());
    assert_eq!(deal["properties"]["hs_object_id"], "4411");
    let history = &deal["propertiesWithHistory"]["dealstage"];
    assert_eq!((&history[0]["value"], &history[1]["value"]), (&json!("negotiation"), &json!("new")));
    assert_eq!(history[0]["sourceType"], "CRM_UI");
    assert_eq!(history[0]["sourceId"], "userId:9301");
    let companies = &deal["associations"]["companies"]["results"];
    assert_eq!(companies[0], json!({"id": "1234", "type": "deal_to_company"}));
    assert_eq!(companies[1], json!({"id": "1234", "type": "deal_to_company_unlabeled"}));
    assert_eq!(deal["associations"]["contacts"]["results"][0]["type"], "deal_to_contact");
    assert_eq!(deal["associations"]["emails"]["results"][1]["id"], "904411");
    // Without links there is no `associations` at all.
    let bare = get(&all.hubspot, &format!("{DEAL}?associations=tasks")).await.json();
    assert!(bare.get("associations").is_none());
}

#[tokio::test]
async fn dated_and_versioned_paths_answer_alike() {
    let all = start(&Hand::new()).await;
    let pairs = [
        (DEAL, "/crm/v3/objects/deals/4411"),
        ("/crm/pipelines/2026-09/deals/default/stages", "/crm/v3/pipelines/deals/default/stages"),
        ("/crm/owners/2026-09/302", "/crm/v3/owners/302"),
        ("/crm/owners/2026-09", "/crm/v3/owners/"),
        (
            "/crm/objects/2026-09/deals/4411/associations/notes",
            "/crm/v4/objects/deals/4411/associations/notes",
        ),
    ];
    for (dated, versioned) in pairs {
        let (one, other) = (get(&all.hubspot, dated).await, get(&all.hubspot, versioned).await);
        assert_eq!((one.status, &one.text), (200, &other.text), "{dated}");
    }
    assert_eq!(get(&all.hubspot, "/crm/objects/2025-01/deals/4411").await.status, 404);
    assert_eq!(get(&all.hubspot, "/crm/objects/2026-09/rockets/1").await.status, 404);
    assert_eq!(get(&all.hubspot, "//crm/objects/2026-09/deals/4411").await.status, 404);
    let owner = get(&all.hubspot, "/crm/owners/2026-09?email=sanne%40noordzee-pallets.example").await.json();
    assert_eq!(owner["results"].as_array().unwrap().len(), 1);
    assert_eq!(owner["results"][0]["id"], "302");
}

#[tokio::test]
async fn ids_that_are_not_there_are_404_and_ids_that_are_none_are_400() {
    let all = start(&Hand::new()).await;
    for path in [
        "/crm/objects/2026-09/deals/1",
        "/crm/objects/2026-09/notes/4411",
        "/crm/owners/2026-09/9",
        "/crm/pipelines/2026-09/deals/nope",
        "/crm/pipelines/2026-09/deals/default/stages/nope",
    ] {
        let answer = get(&all.hubspot, path).await;
        assert_eq!(
            (answer.status, answer.json()["category"].as_str()),
            (404, Some("OBJECT_NOT_FOUND")),
            "{path}"
        );
    }
    for path in [
        "/crm/objects/2026-09/deals/44x1",
        "/crm/objects/2026-09/deals/4411%2F..",
        "/crm/v3/objects/deals/+1",
    ] {
        assert_eq!(get(&all.hubspot, path).await.status, 400, "{path}");
    }
    assert_eq!(get(&all.hubspot, &format!("{DEAL}?associations=rockets")).await.status, 400);
}

#[tokio::test]
async fn stages_carry_their_metadata_and_one_id_is_all_digits() {
    let all = start(&Hand::new()).await;
    let pipeline = get(&all.hubspot, "/crm/pipelines/2026-09/deals/default").await.json();
    let stages = pipeline["stages"].as_array().unwrap();
    let ids: Vec<&str> = stages.iter().map(|stage| stage["id"].as_str().unwrap()).collect();
    let wanted = ["new", "qualified", "contractsent", "negotiation", "1093387201", "closedwon", "closedlost"];
    assert_eq!(ids, wanted);
    assert_eq!(stages[6]["metadata"], json!({"probability": "0.0", "isClosed": "true"}));
    assert_eq!(stages[2]["label"], "Proposal sent");
}

#[tokio::test]
async fn batches_and_links_are_read_by_post_and_are_no_writes() {
    let all = start(&Hand::new()).await;
    let links = call(
        &all.hubspot,
        "POST",
        "/crm/associations/2026-09/deals/emails/batch/read",
        Some(json!({"inputs": [{"id": "4411"}]})),
    )
    .await;
    assert_eq!(links.status, 200);
    let to = &links.json()["results"][0]["to"];
    assert_eq!(to[1]["toObjectId"], "904411");
    assert_eq!(to[1]["associationTypes"][0]["typeId"], 209);
    let path = "/crm/objects/2026-09/emails/batch/read";
    let body = json!({"inputs": [{"id": "904411"}, {"id": "904290"}], "properties": ["hs_email_direction"]});
    let emails = call(&all.hubspot, "POST", path, Some(body)).await;
    assert_eq!(emails.json()["results"][1]["properties"]["hs_email_direction"], "INCOMING_EMAIL");
    let mixed =
        call(&all.hubspot, "POST", path, Some(json!({"inputs": [{"id": "904411"}, {"id": "5"}]}))).await;
    assert_eq!(mixed.status, 207);
    assert_eq!(mixed.json()["errors"][0]["context"]["ids"], json!(["5"]));
    let many: Vec<Value> = (0..101).map(|id| json!({"id": id.to_string()})).collect();
    assert_eq!(call(&all.hubspot, "POST", path, Some(json!({"inputs": many}))).await.status, 400);
    assert_eq!(
        call(&all.hubspot, "POST", path, Some(json!({"inputs": [{"id": 904_411}]}))).await.status,
        400
    );
    assert!(all.hubspot.writes().is_empty());
    assert!(all.hubspot.forbidden_calls().is_empty());
}

#[tokio::test]
async fn a_list_is_paged() {
    let all = start(&Hand::new()).await;
    let first = get(&all.hubspot, "/crm/objects/2026-09/deals?limit=4").await.json();
    assert_eq!(first["results"].as_array().unwrap().len(), 4);
    let after = first["paging"]["next"]["after"].as_str().unwrap().to_owned();
    let rest = get(&all.hubspot, &format!("/crm/objects/2026-09/deals?limit=100&after={after}")).await.json();
    assert_eq!(rest["results"].as_array().unwrap().len(), 7);
    assert!(rest.get("paging").is_none());
    assert_eq!(get(&all.hubspot, "/crm/objects/2026-09/deals?limit=101").await.status, 400);
}

#[tokio::test]
async fn a_stage_change_is_kept_with_our_name_and_makes_an_event() {
    let hand = Hand::new();
    let all = start(&hand).await;
    hand.forward(5_000);
    let answer = call(&all.hubspot, "PATCH", DEAL, Some(stage("closedlost"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["properties"]["dealstage"], "closedlost");
    assert_eq!(answer.json()["updatedAt"], "2026-11-23T09:00:05.000Z");
    let newest = all.hubspot.change_history(4411).last().cloned().unwrap();
    assert_eq!((newest.value.as_str(), newest.source_type.as_str()), ("closedlost", "INTEGRATION"));
    assert_eq!(newest.source_id, "7906213");
    let events = all.hubspot.pending_events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["subscriptionType"], "deal.propertyChange");
    assert_eq!(events[0]["objectId"], 4411);
    assert_eq!(events[0]["propertyValue"], "closedlost");
    assert_eq!(
        (&events[0]["changeSource"], &events[0]["sourceId"]),
        (&json!("INTEGRATION"), &json!("7906213"))
    );
    assert!(all.hubspot.pending_events().is_empty());
    let writes = all.hubspot.writes();
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].target.as_deref(), Some("deals/4411"));
    assert_eq!(writes[0].applied_ms, Some(super::NOW_MS + 5_000));
    assert!(!format!("{writes:?}").contains(TOKEN));
    // The same value again is a write, but no new version and no event.
    assert_eq!(call(&all.hubspot, "PATCH", DEAL, Some(stage("closedlost"))).await.status, 200);
    assert_eq!(all.hubspot.writes().len(), 2);
    assert_eq!(all.hubspot.change_history(4411).last(), Some(&newest));
    assert!(all.hubspot.pending_events().is_empty());
}

#[tokio::test]
async fn a_person_can_change_the_deal_in_between() {
    let all = start(&Hand::new()).await;
    all.hubspot.edit_by_person(Kind::Deal, 4411, "dealstage", "closedwon").unwrap();
    let deal = get(&all.hubspot, &format!("{DEAL}?propertiesWithHistory=dealstage")).await.json();
    assert_eq!(deal["propertiesWithHistory"]["dealstage"][0]["sourceType"], "CRM_UI");
    assert_eq!(deal["properties"]["dealstage"], "closedwon");
    assert_eq!(all.hubspot.pending_events()[0]["changeSource"], "CRM_UI");
    assert!(all.hubspot.writes().is_empty());
    assert!(all.hubspot.edit_by_person(Kind::Deal, 1, "dealstage", "closedwon").is_err());
}

/// What a bad PATCH of a deal is answered with: the code of the first error, or the message.
#[tokio::test]
async fn bad_deal_changes_are_refused_whole() {
    let all = start(&Hand::new()).await;
    let long = "9".repeat(20);
    let table = [
        (json!({"properties": {"dealstage": "nope"}}), "INVALID_OPTION"),
        (json!({"properties": {"dealstage": "Closed Lost"}}), "INVALID_OPTION"),
        (json!({"properties": {"dealstage": "oldlost"}}), "INVALID_OPTION"),
        (json!({"properties": {"pipeline": "nope", "dealstage": "new"}}), "INVALID_OPTION"),
        (json!({"properties": {"pipeline": "51440012"}}), "INVALID_OPTION"),
        (json!({"properties": {"amount": 5}}), "INVALID_TYPE"),
        (json!({"properties": {"amount": null}}), "INVALID_TYPE"),
        (json!({"properties": {"amount": "five"}}), "INVALID_VALUE"),
        (json!({"properties": {"closedate": "soon"}}), "INVALID_VALUE"),
        (json!({"properties": {"dealstage": "closedlost", "mood": "sad"}}), "PROPERTY_DOESNT_EXIST"),
        (json!({"properties": {"hs_object_id": "1"}}), "READ_ONLY_VALUE"),
        (json!({"properties": {"hubspot_owner_id": long}}), "INVALID_OWNER_ID"),
    ];
    for (body, code) in table {
        let answer = call(&all.hubspot, "PATCH", DEAL, Some(body.clone())).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["category"], "VALIDATION_ERROR");
        assert_eq!(answer.json()["errors"][0]["code"], code, "{body}");
        assert!(answer.json()["message"].as_str().unwrap().starts_with("Property values were not valid: ["));
    }
    for body in
        [json!({}), json!([]), json!({"properties": {}}), json!({"properties": 1}), json!({"props": {}})]
    {
        assert_eq!(call(&all.hubspot, "PATCH", DEAL, Some(body.clone())).await.status, 400, "{body}");
    }
    assert!(all.hubspot.writes().is_empty());
    assert_eq!(all.hubspot.property(Kind::Deal, 4411, "dealstage").as_deref(), Some("negotiation"));
    let both = json!({"properties": {"pipeline": "51440012", "dealstage": "oldlost"}});
    assert_eq!(call(&all.hubspot, "PATCH", DEAL, Some(both)).await.status, 200);
}

#[tokio::test]
async fn the_admins_rule_for_a_stage_is_a_400_that_names_the_property() {
    let all = start(&Hand::new()).await;
    all.hubspot.require_for_stage("closedlost", "closed_lost_reason");
    let answer = call(&all.hubspot, "PATCH", DEAL, Some(stage("closedlost"))).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["errors"][0]["context"]["propertyName"], json!(["closed_lost_reason"]));
    let full = json!({"properties": {"dealstage": "closedlost", "closed_lost_reason": "price"}});
    assert_eq!(call(&all.hubspot, "PATCH", DEAL, Some(full)).await.status, 200);
}

#[tokio::test]
async fn a_note_and_a_task_are_made_linked_and_marked() {
    let all = start(&Hand::new()).await;
    let answer = call(&all.hubspot, "POST", NOTES, Some(note("hello<br>[agent 5f2a]", "4411"))).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.json()["properties"]["hs_object_source_id"], "7906213");
    let seen =
        get(&all.hubspot, &format!("{NOTES}/{id}?properties=hs_note_body,hs_object_source_id")).await.json();
    assert_eq!(seen["properties"]["hs_note_body"], "hello<br>[agent 5f2a]");
    assert_eq!(seen["properties"]["hs_object_source_id"], "7906213");
    let deal = get(&all.hubspot, &format!("{DEAL}?associations=notes")).await.json();
    let last = deal["associations"]["notes"]["results"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last, json!({"id": id, "type": "deal_to_note"}));
    let task = json!({"properties": {"hs_timestamp": "2026-11-30T09:00:00Z", "hs_task_subject": "Call",
                                     "hs_task_status": "NOT_STARTED", "hs_task_type": "TODO"},
                      "associations": [{"to": {"id": "4411"}, "types": [
                          {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 216}]}]});
    assert_eq!(call(&all.hubspot, "POST", "/crm/v3/objects/tasks", Some(task)).await.status, 201);
    assert_eq!(all.hubspot.linked_to_deal(4411, Kind::Task).len(), 1);
    let writes = all.hubspot.writes();
    assert_eq!(writes[0].marker.as_deref(), Some("[agent 5f2a]"));
    assert_eq!(writes[1].marker, None);
    // Own notes make no event.
    assert!(all.hubspot.pending_events().is_empty());
}

#[tokio::test]
async fn bad_notes_and_tasks_are_refused_whole() {
    let all = start(&Hand::new()).await;
    let link = |id: Value, type_id: Value| {
        json!({"properties": {"hs_timestamp": "1795424400000", "hs_note_body": "x"}, "associations":
            [{"to": {"id": id}, "types": [{"associationCategory": "HUBSPOT_DEFINED",
                "associationTypeId": type_id}]}]})
    };
    let mut unlinked = note("x", "4411");
    unlinked.as_object_mut().unwrap().remove("associations");
    let mut undated = note("x", "4411");
    undated["properties"].as_object_mut().unwrap().remove("hs_timestamp");
    let mut untyped = note("x", "4411");
    untyped["associations"][0]["types"] = json!([]);
    let mut own = note("x", "4411");
    own["associations"][0]["types"][0]["associationCategory"] = json!("USER_DEFINED");
    let table = [
        (unlinked, 400),
        (undated, 400),
        (untyped, 400),
        (own, 400),
        (link(json!("4411"), json!(216)), 400),
        (link(json!("4411"), json!(213)), 400),
        (link(json!("4411"), json!("214")), 400),
        (link(json!("4411"), json!(202)), 400),
        (link(json!(4411), json!(214)), 400),
        (link(json!("x"), json!(214)), 400),
        (link(json!("77"), json!(214)), 404),
        (note(&"n".repeat(65_537), "4411"), 400),
        (json!({"properties": {"hs_timestamp": "tomorrow"}, "associations": []}), 400),
        (json!({"properties": {"hs_timestamp": 1}, "associations": []}), 400),
        (json!({"properties": {"hs_timestamp": "1", "mood": "sad"}, "associations": []}), 400),
    ];
    for (body, status) in table {
        let answer = call(&all.hubspot, "POST", NOTES, Some(body.clone())).await;
        assert_eq!(answer.status, status, "{:.200} -> {}", body.to_string(), answer.text);
    }
    let task = json!({"properties": {"hs_timestamp": "1", "hs_task_status": "DONE"}, "associations": []});
    let answer = call(&all.hubspot, "POST", "/crm/objects/2026-09/tasks", Some(task)).await;
    assert_eq!(answer.json()["errors"][0]["code"], "INVALID_OPTION");
    assert!(all.hubspot.writes().is_empty());
    // The limit itself is good, and counts characters.
    assert_eq!(call(&all.hubspot, "POST", NOTES, Some(note(&"é".repeat(65_536), "4411"))).await.status, 201);
    let alone = json!({"properties": {"hs_timestamp": "1795424400000"}, "associations": []});
    assert_eq!(call(&all.hubspot, "POST", NOTES, Some(alone)).await.status, 201);
}

#[tokio::test]
async fn calls_that_nobody_may_make_are_405_and_are_kept() {
    let all = start(&Hand::new()).await;
    let body = || Some(json!({"properties": {"firstname": "x"}}));
    let table = [
        ("DELETE", DEAL, None),
        ("POST", "/crm/objects/2026-09/deals/merge", body()),
        ("POST", "/crm/objects/2026-09/deals/search", body()),
        ("POST", "/crm/objects/2026-09/notes/batch/archive", body()),
        ("POST", "/crm/objects/2026-09/deals", body()),
        ("PATCH", "/crm/objects/2026-09/contacts/704411", body()),
        ("PATCH", "/crm/objects/2026-09/notes/844110", body()),
        ("POST", "/crm/objects/2026-09/emails", body()),
        ("PUT", "/crm/objects/2026-09/deals/4411/associations/default/contacts/704411", None),
        ("POST", "/marketing/v3/emails", body()),
    ];
    let count = table.len();
    for (method, path, body) in table {
        let answer = call(&all.hubspot, method, path, body).await;
        assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text);
    }
    assert_eq!(all.hubspot.forbidden_calls().len(), count);
    assert!(all.hubspot.writes().is_empty());
    assert_eq!(get(&all.hubspot, "/crm/nothing/here").await.status, 404);
    assert_eq!(all.hubspot.forbidden_calls().len(), count);
}

#[tokio::test]
async fn the_token_says_what_it_may_do() {
    let all = start(&Hand::new()).await;
    let path = "/oauth/v2/private-apps/get/access-token-info";
    let answer = call(&all.hubspot, "POST", path, Some(json!({"tokenKey": TOKEN}))).await;
    assert_eq!((answer.status, &answer.json()["appId"]), (200, &json!(7_906_213)));
    assert_eq!(answer.json()["hubId"], 891_472_211);
    assert_eq!(answer.json()["scopes"], json!(Settings::default().scopes));
    assert_eq!(call(&all.hubspot, "POST", path, Some(json!({"tokenKey": "other"}))).await.status, 401);
    assert_eq!(call(&all.hubspot, "POST", path, Some(json!({}))).await.status, 400);
    assert!(!format!("{:?}", all.hubspot.requests()).contains(TOKEN));
}

#[tokio::test]
async fn the_window_of_ten_seconds_is_kept_and_shown() {
    let hand = Hand::new();
    let mut options = Options::new(hand.clock());
    options.hubspot.requests_per_window = 3;
    let all = Standins::start(options).await.unwrap();
    for left in ["2", "1", "0"] {
        let answer = get(&all.hubspot, DEAL).await;
        assert_eq!((answer.status, answer.header("X-HubSpot-RateLimit-Remaining")), (200, left));
        assert_eq!(answer.header("X-HubSpot-RateLimit-Max"), "3");
        assert_eq!(answer.header("X-HubSpot-RateLimit-Interval-Milliseconds"), "10000");
        hand.forward(1_000);
    }
    let refused = call(&all.hubspot, "PATCH", DEAL, Some(stage("closedlost"))).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["policyName"], "TEN_SECONDLY_ROLLING");
    assert_eq!(refused.json()["errorType"], "RATE_LIMIT");
    assert!(all.hubspot.writes().is_empty());
    hand.forward(6_999);
    assert_eq!(get(&all.hubspot, DEAL).await.status, 429);
    hand.forward(1);
    assert_eq!(get(&all.hubspot, DEAL).await.status, 200);
    assert_eq!(get(&all.hubspot, DEAL).await.status, 429);
}

#[tokio::test]
async fn a_new_mail_can_be_faster_than_its_link() {
    let all = start(&Hand::new()).await;
    let mail = NewEmail { deal_id: 4411, contact_id: 704_411, subject: "Re".into(), text: "Hello".into() };
    let id = all.hubspot.arrive_email(&mail).unwrap();
    all.hubspot.link_email_late(id, 1);
    let event = all.hubspot.pending_events().remove(0);
    assert_eq!(event["subscriptionType"], "object.creation");
    assert_eq!((&event["objectTypeId"], &event["objectId"]), (&json!("0-49"), &json!(id)));
    let path = format!(
        "/crm/objects/2026-09/emails/{id}?properties=hs_email_from_email&associations=deals,contacts"
    );
    let first = get(&all.hubspot, &path).await.json();
    assert!(first.get("associations").is_none());
    let second = get(&all.hubspot, &path).await.json();
    assert_eq!(second["associations"]["deals"]["results"][0], json!({"id": "4411", "type": "email_to_deal"}));
    assert_eq!(second["properties"]["hs_email_from_email"], "m.vandijk@vandijk-logistics.example");
    let nobody = NewEmail { deal_id: 1, ..mail };
    assert!(all.hubspot.arrive_email(&nobody).is_err());
}

#[tokio::test]
async fn the_seed_tells_every_story() {
    let all = start(&Hand::new()).await;
    let stories = [
        (4411, "chose another supplier"),
        (4290, "All is well"),
        (4302, "call me next week"),
        (4377, "price list"),
        (4391, "budget is 40,000"),
        (4455, "Ignore previous instructions"),
        (4460, "signed contract copy"),
        (4187, "call me next week"),
        (4499, "<script>"),
    ];
    for (deal, words) in stories {
        let text = all.hubspot.property(Kind::Email, 900_000 + deal, "hs_email_text").unwrap();
        assert!(text.contains(words), "{deal}: {text}");
        assert!(all.hubspot.linked_to_deal(deal, Kind::Email).contains(&(900_000 + deal)));
        assert_eq!(all.hubspot.email_event(900_000 + deal)["objectId"], 900_000 + deal);
    }
    let both = all.hubspot.linked_to_deal(4302, Kind::Contact);
    let emails: Vec<_> =
        both.iter().map(|id| all.hubspot.property(Kind::Contact, *id, "email").unwrap()).collect();
    assert_eq!(emails, ["info@bakker-transport.example", "info@bakker-transport.example"]);
    assert!(all.hubspot.linked_to_deal(4391, Kind::Company).is_empty());
    let since = all.hubspot.change_history(4290).last().unwrap().at_ms;
    assert!(super::NOW_MS - since > 2 * 365 * 86_400_000);
    let hostile = all.hubspot.property(Kind::Deal, 4499, "dealname").unwrap();
    assert!(hostile.contains('\u{202e}') && hostile.contains('\u{1b}') && hostile.chars().count() > 200);
}
