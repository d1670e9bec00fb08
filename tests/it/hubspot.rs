//! HubSpot's project files, held against the code: the scopes that the doctor wants, the events that intake
//! takes. Must never ask a customer for a right that nothing uses.
use crate::tree::text;
use crm::webhook::{EventKind, Limits, parse};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn file(name: &str) -> Value {
    serde_json::from_str(&text(&format!("infra/aws/hubspot/{name}"))).expect("JSON")
}

#[test]
fn the_app_asks_for_the_scopes_that_the_doctor_wants_and_no_other() {
    let app = file("src/app/app-hsmeta.json");
    let auth = &app["config"]["auth"];
    let asked: BTreeSet<&str> =
        auth["requiredScopes"].as_array().expect("scopes").iter().filter_map(Value::as_str).collect();
    // HubSpot gives this one to every app; its own templates spell it out.
    let wanted: BTreeSet<&str> = cli::SCOPES.iter().copied().chain(["oauth"]).collect();
    assert_eq!(asked, wanted);
    assert_eq!((&auth["optionalScopes"], &auth["conditionallyRequiredScopes"]), (&json!([]), &json!([])));
    assert_eq!((&auth["type"], &app["config"]["distribution"]), (&json!("static"), &json!("private")));
}

/// HubSpot's numbers for the kinds of objects that events are about.
const KINDS: [(&str, &str); 2] = [("deal", "0-3"), ("email", "0-49")];

#[test]
fn the_app_subscribes_to_each_event_that_intake_takes_and_to_no_other() {
    let webhooks = file("src/app/webhooks/webhooks-hsmeta.json");
    let subscriptions = &webhooks["config"]["subscriptions"];
    let all = ["crmObjects", "legacyCrmObjects", "hubEvents"]
        .iter()
        .flat_map(|list| subscriptions[*list].as_array().unwrap_or_else(|| panic!("no list `{list}`")));
    let mut taken = BTreeSet::new();
    for subscription in all {
        assert_eq!(subscription["active"], true, "{subscription}");
        let kind = subscription["objectType"].as_str();
        let number = kind.map(|kind| KINDS.iter().find(|(name, _)| *name == kind).expect("a known kind").1);
        let event = json!([{
            "subscriptionType": subscription["subscriptionType"], "portalId": 1, "objectId": 7, "eventId": 1,
            "objectTypeId": number, "propertyName": subscription["propertyName"], "occurredAt": 1,
        }]);
        let events = parse(event.to_string().as_bytes(), Limits::default()).expect("an array");
        let name = match &events[0].as_ref().expect("an event").kind() {
            EventKind::EmailCreated { .. } => "email_created",
            EventKind::DealCreated { .. } => "deal_created",
            EventKind::DealChanged { property, .. } if property == "dealstage" => "deal_changed",
            EventKind::PrivacyDeletion { .. } => "privacy_deletion",
            other @ (EventKind::DealChanged { .. }
            | EventKind::ConversationMessage { .. }
            | EventKind::Ignored) => panic!("{subscription} is {other:?}, which starts nothing"),
        };
        assert!(taken.insert(name), "{subscription}: twice");
    }
    // `functions/intake/src/admit.rs` takes these four and passes over the rest.
    assert_eq!(taken, BTreeSet::from(["deal_changed", "deal_created", "email_created", "privacy_deletion"]));
}
