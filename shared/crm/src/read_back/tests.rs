//! Reading back finds what is there, and says "absent" only when it looked at everything.
use super::*;
use crate::loopback::{Server, hubspot, json, reply, server};
use serde_json::json;

const MARKER: &str = "[agent i-7]";

/// A deal with that many notes and tasks; the marker is in note `marked`, note 2 was deleted meanwhile.
async fn crm(count: u64, marked: Option<u64>, partial: bool) -> Server {
    server(move |seen| {
        let path = seen.target.split('?').next().unwrap_or_default().to_owned();
        if path.ends_with("/deals/4411") {
            let results: Vec<_> = (1..=count).map(|id| json!({"id": id.to_string()})).collect();
            let paging = if partial { json!({"next": {"after": "1"}}) } else { json!(null) };
            let links = json!({"results": results, "paging": paging});
            return json(&json!({"id": "4411", "associations": {"notes": links, "tasks": links}}));
        }
        let id: u64 = path.rsplit('/').next().and_then(|id| id.parse().ok()).expect("an id in the path");
        if id == 2 {
            return reply(404, &[], "{}");
        }
        let body =
            if Some(id) == marked { "<p>x<br>[agent i-7]</p>" } else { "<p>[agent i-77] agent i-7</p>" };
        json(&json!({"id": id.to_string(), "properties": {"hs_note_body": body, "hs_task_body": body}}))
    })
    .await
}

async fn find(server: &Server, kind: Kind) -> Result<Marker, CrmError> {
    let deal_id = DealId::new("4411").expect("an id");
    hubspot(&server.url).read_back().find_marker(&deal_id, MARKER, kind).await
}

#[tokio::test]
async fn a_marked_note_or_task_is_found_by_gets_alone() {
    for kind in [Kind::Note, Kind::Task] {
        let server = crm(5, Some(1), false).await;
        let record_id = RecordId::parse("1").expect("an id");
        assert_eq!(find(&server, kind).await, Ok(Marker::Found { record_id }));
        let kind_in_path = match kind {
            Kind::Note => "/notes/",
            Kind::Task => "/tasks/",
        };
        let seen = server.seen();
        assert!(seen.iter().all(|one| one.method == "GET" && one.body.is_empty()));
        assert!(seen.iter().skip(1).all(|one| one.target.contains(kind_in_path)));
    }
}

#[tokio::test]
async fn absent_is_said_only_after_looking_at_everything() {
    let all_but_marked = |count| crm(count, None, false);
    assert_eq!(find(&all_but_marked(0).await, Kind::Note).await, Ok(Marker::Absent));
    assert_eq!(find(&all_but_marked(50).await, Kind::Note).await, Ok(Marker::Absent));
    let incomplete = Err(CrmError::Incomplete { call: "look for our note", what: "notes" });
    assert_eq!(find(&all_but_marked(51).await, Kind::Note).await, incomplete);
    assert_eq!(find(&crm(3, None, true).await, Kind::Note).await, incomplete);
    let record_id = RecordId::parse("3").expect("an id");
    assert_eq!(find(&crm(3, Some(3), true).await, Kind::Note).await, Ok(Marker::Found { record_id }));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_not_absent() {
    let server = server(|seen| {
        if seen.target.contains("/deals/") {
            json(&json!({"id": "4411", "associations": {"notes": {"results": [{"id": "1"}]}}}))
        } else {
            reply(503, &[], "")
        }
    })
    .await;
    let found = find(&server, Kind::Note).await;
    assert!(matches!(found, Err(CrmError::Unavailable { .. })), "{found:?}");
}

#[tokio::test]
async fn the_stage_history_is_read_newest_first_and_none_is_an_error() {
    let server = server(|_| {
        json(&json!({"id": "4411", "propertiesWithHistory": {"dealstage": [
            {"value": "closedlost", "timestamp": "1795600000000", "sourceType": "INTEGRATION",
             "sourceId": "42"},
            {"value": "negotiation", "timestamp": "2026-11-01T00:00:00Z", "sourceType": "CRM_UI"}]}}))
    })
    .await;
    let deal_id = DealId::new("4411").expect("an id");
    let history = hubspot(&server.url).read_back().stage_history(&deal_id).await.expect("a history");
    let shown: Vec<(&str, bool)> = history.iter().map(|c| (c.stage.as_str(), c.is_by_app(42))).collect();
    assert_eq!(shown, [("closedlost", true), ("negotiation", false)]);
    assert_eq!(server.seen()[0].target, "/crm/objects/2026-09/deals/4411?propertiesWithHistory=dealstage");
    let silent = crm(0, None, false).await;
    let none = hubspot(&silent.url).read_back().stage_history(&deal_id).await;
    assert!(matches!(none, Err(CrmError::Malformed { .. })), "{none:?}");
}
