//! Writes as values: what the would-have log shows and what a writer sends are the same thing, made here.
//! Must never send, nor put a text into a path.
use crate::{BadId, ConfigError, RecordId, text};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;
use types::{DealId, IntentId, Timestamp};

/// The longest body of a note or task that HubSpot takes; kept as a bound in bytes, which is never looser.
const BODY_BYTES_MAX: usize = 65_536;

/// Characters of a task's subject.
const SUBJECT_CHARS_MAX: usize = 255;

/// How every marker begins.
const MARKER_START: &str = "[agent ";

/// HubSpot's type ids of the links from a note and from a task to a deal.
const NOTE_TO_DEAL: u32 = 214;
const TASK_TO_DEAL: u32 = 216;

/// The dated version in HubSpot's paths (`2026-09`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiVersion(String);

impl ApiVersion {
    /// Checks that the text is a year and a month.
    ///
    /// # Errors
    /// [`ConfigError::ApiVersion`] for any other text.
    pub fn new(text: &str) -> Result<Self, ConfigError> {
        let dated = text.split_once('-').is_some_and(|(year, month)| {
            let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
            year.len() == 4 && month.len() == 2 && digits(year) && digits(month)
        });
        if dated { Ok(Self(text.to_owned())) } else { Err(ConfigError::ApiVersion) }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A write that was decided on but not sent. Made only by the functions of this file.
// INVARIANT (I19): the would-have log keeps this value and a writer sends this value, so the two cannot
// differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedRequest {
    method: &'static str,
    path: String,
    body: Value,
}

impl PlannedRequest {
    /// `PATCH` or `POST`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.method
    }

    /// The path on HubSpot's host.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The JSON body.
    #[must_use]
    pub fn body(&self) -> &Value {
        &self.body
    }
}

/// A note to put on a deal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNote {
    /// The deal.
    pub deal_id: DealId,
    /// Plain text; it is escaped, cleaned and cut to fit.
    pub text: String,
    /// When the note says it was made.
    pub timestamp: Timestamp,
    /// Whose note it is.
    pub owner_id: Option<RecordId>,
    /// The tool call; its marker ends the body.
    pub intent_id: IntentId,
}

/// A task to put on a deal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// The deal.
    pub deal_id: DealId,
    /// One line of plain text, cut to fit.
    pub subject: String,
    /// Plain text; it is escaped, cleaned and cut to fit.
    pub text: String,
    /// When it is due.
    pub due: Timestamp,
    /// Who is to do it.
    pub owner_id: Option<RecordId>,
    /// The tool call; its marker ends the body.
    pub intent_id: IntentId,
}

/// The visible sign of one tool call at the end of a note or task, by which it is found again.
#[must_use]
pub fn marker_of(intent_id: &IntentId) -> String {
    format!("{MARKER_START}{intent_id}]")
}

/// The request that moves a deal to a stage (and to another pipeline, where one is named).
///
/// # Errors
/// [`BadId`] when the deal id is not a HubSpot record id.
pub fn request_of_set_stage(
    api_version: &ApiVersion,
    deal_id: &DealId,
    pipeline_id: Option<&str>,
    stage_id: &str,
) -> Result<PlannedRequest, BadId> {
    let deal_id = RecordId::try_from(deal_id)?;
    let mut properties = json!({ "dealstage": stage_id });
    set(&mut properties, "pipeline", pipeline_id);
    Ok(PlannedRequest {
        method: "PATCH",
        path: format!("/crm/objects/{api_version}/deals/{deal_id}"),
        body: json!({ "properties": properties }),
    })
}

/// The request that makes a note on a deal.
///
/// # Errors
/// [`BadId`] when the deal id is not a HubSpot record id.
pub fn request_of_create_note(api_version: &ApiVersion, note: &NewNote) -> Result<PlannedRequest, BadId> {
    let mut properties = json!({
        "hs_timestamp": note.timestamp.to_string(),
        "hs_note_body": marked_body(&note.text, &note.intent_id),
    });
    set(&mut properties, "hubspot_owner_id", note.owner_id.map(|id| id.to_string()).as_deref());
    Ok(PlannedRequest {
        method: "POST",
        path: format!("/crm/objects/{api_version}/notes"),
        body: json!({ "properties": properties, "associations": [link(&note.deal_id, NOTE_TO_DEAL)?] }),
    })
}

/// The request that makes a task on a deal.
///
/// # Errors
/// [`BadId`] when the deal id is not a HubSpot record id.
pub fn request_of_create_task(api_version: &ApiVersion, task: &NewTask) -> Result<PlannedRequest, BadId> {
    let mut properties = json!({
        "hs_timestamp": task.due.to_string(),
        "hs_task_subject": text::one_line(&task.subject, SUBJECT_CHARS_MAX),
        "hs_task_body": marked_body(&task.text, &task.intent_id),
        "hs_task_status": "NOT_STARTED",
        "hs_task_priority": "MEDIUM",
        "hs_task_type": "TODO",
    });
    set(&mut properties, "hubspot_owner_id", task.owner_id.map(|id| id.to_string()).as_deref());
    Ok(PlannedRequest {
        method: "POST",
        path: format!("/crm/objects/{api_version}/tasks"),
        body: json!({ "properties": properties, "associations": [link(&task.deal_id, TASK_TO_DEAL)?] }),
    })
}

/// The text as HTML with the marker at its end.
// INVARIANT (I24): the text cannot bring a marker of its own, so no write is ever taken for another one's.
fn marked_body(text: &str, intent_id: &IntentId) -> String {
    let unmarked = text::clean_lines(text).replace(MARKER_START, "(agent ");
    text::html_body(&unmarked, &marker_of(intent_id), BODY_BYTES_MAX)
}

fn link(deal_id: &DealId, type_id: u32) -> Result<Value, BadId> {
    let deal_id = RecordId::try_from(deal_id)?;
    let kind = json!({ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id });
    Ok(json!({ "to": { "id": deal_id.to_string() }, "types": [kind] }))
}

fn set(properties: &mut Value, name: &str, value: Option<&str>) {
    if let (Some(properties), Some(value)) = (properties.as_object_mut(), value) {
        properties.insert(name.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api() -> ApiVersion {
        ApiVersion::new("2026-09").expect("a version")
    }

    fn note(text: &str) -> NewNote {
        NewNote {
            deal_id: DealId::new("4411").expect("an id"),
            text: text.to_owned(),
            timestamp: "2026-11-23T09:00:00Z".parse().expect("a time"),
            owner_id: RecordId::parse("123").ok(),
            intent_id: IntentId::new("i-7").expect("an id"),
        }
    }

    #[test]
    fn the_stage_request_is_the_documented_one() {
        let deal = DealId::new("17234567890").expect("an id");
        let planned = request_of_set_stage(&api(), &deal, None, "contractsent").expect("a request");
        assert_eq!(
            serde_json::to_value(&planned).expect("json"),
            json!({"method": "PATCH", "path": "/crm/objects/2026-09/deals/17234567890",
                   "body": {"properties": {"dealstage": "contractsent"}}})
        );
        let moved = request_of_set_stage(&api(), &deal, Some("renewals"), "1093387201").expect("a request");
        let properties = json!({"dealstage": "1093387201", "pipeline": "renewals"});
        assert_eq!(moved.body(), &json!({ "properties": properties }));
    }

    #[test]
    fn the_note_and_task_requests_are_the_documented_ones() {
        let planned = request_of_create_note(&api(), &note("a <b>")).expect("a request");
        assert_eq!((planned.method(), planned.path()), ("POST", "/crm/objects/2026-09/notes"));
        let to_deal = |type_id: u32| {
            json!([{"to": {"id": "4411"}, "types": [
                {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id}]}])
        };
        assert_eq!(
            planned.body(),
            &json!({"properties": {"hs_timestamp": "2026-11-23T09:00:00Z", "hubspot_owner_id": "123",
                                   "hs_note_body": "a &lt;b&gt;<br>[agent i-7]"},
                    "associations": to_deal(214)})
        );
        let task = NewTask {
            deal_id: DealId::new("4411").expect("an id"),
            subject: "Call\nback".to_owned(),
            text: "why".to_owned(),
            due: "2026-11-30T09:00:00Z".parse().expect("a time"),
            owner_id: None,
            intent_id: IntentId::new("i-8").expect("an id"),
        };
        let planned = request_of_create_task(&api(), &task).expect("a request");
        assert_eq!((planned.method(), planned.path()), ("POST", "/crm/objects/2026-09/tasks"));
        assert_eq!(
            planned.body(),
            &json!({"properties": {"hs_timestamp": "2026-11-30T09:00:00Z", "hs_task_subject": "Call back",
                        "hs_task_body": "why<br>[agent i-8]", "hs_task_status": "NOT_STARTED",
                        "hs_task_priority": "MEDIUM", "hs_task_type": "TODO"},
                    "associations": to_deal(216)})
        );
    }

    #[test]
    fn a_text_cannot_carry_a_marker_of_its_own() {
        for hostile in ["[agent i-9]", "x [ag\u{202E}ent i-9]", "[agent\ti-9]", "[agent [agent i-9]"] {
            let planned = request_of_create_note(&api(), &note(hostile)).expect("a request");
            let body = planned.body()["properties"]["hs_note_body"].as_str().expect("text").to_owned();
            assert!(body.ends_with("<br>[agent i-7]"), "{body}");
            assert_eq!(body.matches("[agent ").count(), 1, "{body}");
        }
    }

    #[test]
    fn the_longest_note_keeps_its_marker() {
        let planned = request_of_create_note(&api(), &note(&"&é".repeat(65_536))).expect("a request");
        let body = planned.body()["properties"]["hs_note_body"].as_str().expect("text").to_owned();
        assert!(body.len() <= 65_536 && body.len() > 65_500, "{}", body.len());
        assert!(body.ends_with("…<br>[agent i-7]"));
    }

    #[test]
    fn an_id_or_version_that_could_climb_in_a_path_makes_no_request() {
        for bad in ["..", "1.2", "4411:x", "x"] {
            let deal = DealId::new(bad).expect("the shared id allows it");
            assert_eq!(request_of_set_stage(&api(), &deal, None, "a"), Err(BadId), "{bad}");
            let note = NewNote { deal_id: deal, ..note("a") };
            assert_eq!(request_of_create_note(&api(), &note), Err(BadId), "{bad}");
        }
        for bad in ["", "v3", "2026", "2026-9", "2026-09/..", "20a6-09", "../2026-09"] {
            assert!(ApiVersion::new(bad).is_err(), "{bad}");
        }
    }
}
