//! What HubSpot's records are to us. Must never guess: what HubSpot did not say is absent.
use crate::{CrmError, RecordId, wire};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::{CustomerId, DealId, Timestamp};

/// A deal, with what is linked to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deal {
    /// Its id.
    pub id: DealId,
    /// `dealname`.
    pub name: Option<String>,
    /// `dealstage`: the id of the stage, not its label.
    pub stage: Option<String>,
    /// `pipeline`: the id of the pipeline.
    pub pipeline: Option<String>,
    /// `amount`, as HubSpot writes it.
    pub amount: Option<String>,
    /// `closedate`, as HubSpot writes it.
    pub close_date: Option<String>,
    /// `hubspot_owner_id`.
    pub owner_id: Option<RecordId>,
    /// When anything of it changed last.
    pub updated_at: Option<Timestamp>,
    /// Linked contacts.
    pub contact_ids: Vec<RecordId>,
    /// Linked companies, the lowest id first.
    pub companies: Vec<DealCompany>,
    /// Linked mails.
    pub email_ids: Vec<RecordId>,
    /// Linked notes.
    pub note_ids: Vec<RecordId>,
    /// Linked tasks.
    pub task_ids: Vec<RecordId>,
    /// The values of `dealstage`, the newest first.
    pub stage_history: Vec<StageChange>,
}

/// A company linked to a deal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DealCompany {
    /// Its id.
    pub id: RecordId,
    /// It is the deal's primary company.
    pub primary: bool,
}

/// One value that `dealstage` had, or has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageChange {
    /// The id of the stage.
    pub stage: String,
    /// Since when.
    pub at: Option<Timestamp>,
    /// `CRM_UI`, `INTEGRATION`, ...
    pub source_type: Option<String>,
    /// An app's id, or `userId:123`.
    pub source_id: Option<String>,
}

impl StageChange {
    /// That app made the change.
    #[must_use]
    pub fn is_by_app(&self, app_id: u64) -> bool {
        self.source_type.as_deref() == Some("INTEGRATION")
            && self.source_id.as_deref() == Some(app_id.to_string().as_str())
    }
}

impl Deal {
    /// Whose deal it is: the primary company, else the company with the lowest id, else the deal itself.
    ///
    /// # Errors
    /// [`CrmError::BadId`] when the deal's own id is needed and too long to serve; HubSpot's ids never are.
    pub fn customer_id(&self) -> Result<CustomerId, CrmError> {
        let primary = self.companies.iter().filter(|company| company.primary).map(|company| company.id).min();
        let company_id = primary.or_else(|| self.companies.iter().map(|company| company.id).min());
        let text = company_id.map_or_else(|| format!("deal-{}", self.id), |id| id.to_string());
        CustomerId::new(text).map_err(|_too_long| CrmError::BadId { call: "name the customer" })
    }

    pub(crate) fn from_wire(call: &'static str, record: &wire::Record) -> Result<Self, CrmError> {
        // FAIL-CLOSED: the customer decides which halt applies, so a half list of companies is not good
        // enough.
        if record.links("companies").is_some_and(wire::Links::is_partial) {
            return Err(CrmError::Incomplete { call, what: "companies" });
        }
        Ok(Self {
            id: DealId::new(record.id.to_string()).map_err(|_never| CrmError::BadId { call })?,
            name: record.text("dealname"),
            stage: record.text("dealstage"),
            pipeline: record.text("pipeline"),
            amount: record.text("amount"),
            close_date: record.text("closedate"),
            owner_id: record.id_in("hubspot_owner_id"),
            updated_at: record.updated_at().or_else(|| record.time("hs_lastmodifieddate")),
            contact_ids: record.linked("contacts"),
            companies: companies_of(record),
            email_ids: record.linked("emails"),
            note_ids: record.linked("notes"),
            task_ids: record.linked("tasks"),
            stage_history: stage_history_of(record).unwrap_or_default(),
        })
    }
}

/// The companies of a deal. HubSpot lists the primary one twice: as `deal_to_company` and with its unlabeled
/// link.
fn companies_of(record: &wire::Record) -> Vec<DealCompany> {
    let Some(links) = record.links("companies") else {
        return Vec::new();
    };
    let is_primary = |id: RecordId| {
        links.results.iter().any(|link| {
            let kind = link.kind.as_deref();
            link.id == id && matches!(kind, Some("deal_to_company" | "deal_to_primary_company"))
        })
    };
    links.ids().into_iter().map(|id| DealCompany { id, primary: is_primary(id) }).collect()
}

/// The values of `dealstage`, the newest first; none when HubSpot sent no history.
pub(crate) fn stage_history_of(record: &wire::Record) -> Option<Vec<StageChange>> {
    let mut changes: Vec<StageChange> = record
        .changes("dealstage")?
        .iter()
        .map(|change| StageChange {
            stage: change.value.as_ref().and_then(wire::text_of).unwrap_or_default(),
            at: change.timestamp.as_ref().and_then(wire::text_of).and_then(|text| wire::time_of(&text)),
            source_type: change.source_type.clone(),
            source_id: change.source_id.as_ref().and_then(wire::text_of),
        })
        .collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.at));
    Some(changes)
}

/// A logged mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Email {
    /// Its id.
    pub id: RecordId,
    /// `INCOMING_EMAIL` (a reply), `EMAIL` (sent), `FORWARDED_EMAIL`, ...
    pub direction: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// The text, without HTML.
    pub text: Option<String>,
    /// When it was sent.
    pub timestamp: Option<Timestamp>,
    /// The sender's address.
    pub from: Option<String>,
    /// Linked deals. May be empty for a moment after the mail was logged.
    pub deal_ids: Vec<RecordId>,
    /// Linked contacts.
    pub contact_ids: Vec<RecordId>,
}

impl Email {
    /// A reply from outside to a mail that was logged.
    #[must_use]
    pub fn is_inbound_reply(&self) -> bool {
        self.direction.as_deref() == Some("INCOMING_EMAIL")
    }

    pub(crate) fn from_wire(record: &wire::Record) -> Self {
        Self {
            id: record.id,
            direction: record.text("hs_email_direction"),
            subject: record.text("hs_email_subject"),
            text: record.text("hs_email_text"),
            timestamp: record.time("hs_timestamp"),
            from: record.text("hs_email_from_email"),
            deal_ids: record.linked("deals"),
            contact_ids: record.linked("contacts"),
        }
    }
}

/// A contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contact {
    /// Its id (another than asked for, where HubSpot merged the two).
    pub id: RecordId,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Mail address.
    pub email: Option<String>,
}

impl Contact {
    pub(crate) fn from_wire(record: &wire::Record) -> Self {
        Self {
            id: record.id,
            first_name: record.text("firstname"),
            last_name: record.text("lastname"),
            email: record.text("email"),
        }
    }
}

/// A company.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Company {
    /// Its id (another than asked for, where HubSpot merged the two).
    pub id: RecordId,
    /// Its name.
    pub name: Option<String>,
    /// Its domain.
    pub domain: Option<String>,
}

impl Company {
    pub(crate) fn from_wire(record: &wire::Record) -> Self {
        Self { id: record.id, name: record.text("name"), domain: record.text("domain") }
    }
}

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Its id.
    pub id: RecordId,
    /// The body, as HubSpot's HTML.
    pub body_html: Option<String>,
    /// `hs_timestamp`: what whoever made it says it is about.
    pub timestamp: Option<Timestamp>,
    /// When it was made, by HubSpot's clock.
    pub created_at: Option<Timestamp>,
    /// Which app made it, where one did.
    pub source_id: Option<String>,
}

impl Note {
    pub(crate) fn from_wire(record: &wire::Record) -> Self {
        Self {
            id: record.id,
            body_html: record.text("hs_note_body"),
            timestamp: record.time("hs_timestamp"),
            created_at: record.created_at(),
            source_id: record.text("hs_object_source_id"),
        }
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Task {
    /// Its id.
    pub id: RecordId,
    /// The subject.
    pub subject: Option<String>,
    /// The body, as HubSpot's HTML.
    pub body_html: Option<String>,
    /// `NOT_STARTED`, `COMPLETED`, ...
    pub status: Option<String>,
    /// When it is due.
    pub due: Option<Timestamp>,
    /// When it was made, by HubSpot's clock.
    pub created_at: Option<Timestamp>,
    /// Which app made it, where one did.
    pub source_id: Option<String>,
}

impl Task {
    pub(crate) fn from_wire(record: &wire::Record) -> Self {
        Self {
            id: record.id,
            subject: record.text("hs_task_subject"),
            body_html: record.text("hs_task_body"),
            status: record.text("hs_task_status"),
            due: record.time("hs_timestamp"),
            created_at: record.created_at(),
            source_id: record.text("hs_object_source_id"),
        }
    }
}

/// A user or queue that owns records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The owner id (not the user id).
    #[serde(deserialize_with = "wire::record_id")]
    pub id: RecordId,
    /// Mail address.
    #[serde(default)]
    pub email: Option<String>,
    /// First name.
    #[serde(default, rename = "firstName")]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(default, rename = "lastName")]
    pub last_name: Option<String>,
    /// Left the account.
    #[serde(default)]
    pub archived: bool,
}

/// A deal pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pipeline {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub label: String,
    /// Its stages in HubSpot's order, archived ones left out.
    pub stages: Vec<Stage>,
}

/// A stage of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// Its id: what goes into `dealstage`.
    pub id: String,
    /// What people call it.
    pub label: String,
    /// HubSpot counts it as won or lost.
    pub closed: bool,
    /// An app may move deals here (`writePermissions`).
    pub writable: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct WirePipelines {
    results: Vec<WirePipeline>,
}

#[derive(Debug, Deserialize)]
struct WirePipeline {
    id: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    stages: Vec<WireStage>,
}

#[derive(Debug, Deserialize)]
struct WireStage {
    id: String,
    #[serde(default)]
    label: String,
    #[serde(default, rename = "displayOrder")]
    display_order: i64,
    #[serde(default)]
    metadata: std::collections::BTreeMap<String, Value>,
    #[serde(default, rename = "writePermissions")]
    write_permissions: Option<String>,
    #[serde(default)]
    archived: bool,
}

impl WirePipelines {
    pub(crate) fn into_pipelines(self) -> Vec<Pipeline> {
        let live = self.results.into_iter().filter(|pipeline| !pipeline.archived);
        live.map(|mut pipeline| {
            pipeline.stages.sort_by_key(|stage| stage.display_order);
            let stages = pipeline.stages.into_iter().filter(|stage| !stage.archived).map(Stage::from);
            Pipeline { id: pipeline.id, label: pipeline.label, stages: stages.collect() }
        })
        .collect()
    }
}

impl From<WireStage> for Stage {
    fn from(stage: WireStage) -> Self {
        let said = |name: &str| stage.metadata.get(name).and_then(wire::text_of);
        let closed = match (said("isClosed").as_deref(), said("probability").as_deref()) {
            (Some(truth), _) => !truth.eq_ignore_ascii_case("false"),
            (None, Some(probability)) => matches!(probability, "0" | "0.0" | "1" | "1.0"),
            // FAIL-CLOSED: closing a deal asks for more than moving it, so a stage that says nothing counts
            // as closed.
            (None, None) => true,
        };
        let writable =
            stage.write_permissions.as_deref().is_none_or(|said| said == "CRM_PERMISSIONS_ENFORCEMENT");
        Self { id: stage.id, label: stage.label, closed, writable }
    }
}

/// What the token is and may do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TokenInfo {
    /// The account.
    #[serde(default, rename = "hubId")]
    pub hub_id: Option<u64>,
    /// The app.
    #[serde(default, rename = "appId")]
    pub app_id: Option<u64>,
    /// The user who made it.
    #[serde(default, rename = "userId")]
    pub user_id: Option<u64>,
    /// Everything that was granted.
    pub scopes: Vec<String>,
}
