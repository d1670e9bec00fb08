//! Did an unanswered write arrive? Reads only, so it needs no permit and goes on while halted. Must never say
//! "absent" unless everything was looked at.
use crate::{
    CrmError, HubSpot, RecordId, StageChange,
    client::Client,
    readers::{deal_record, get_note, get_task},
    records::stage_history_of,
};
use std::sync::Arc;
use types::DealId;

/// How many of a deal's newest notes or tasks are looked at. Ours is among the newest unless people write
/// more than this between the write and the last look.
const RECORDS_MAX: usize = 50;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A note.
    Note,
    /// A task.
    Task,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// A record of the deal carries the marker.
    Found {
        /// Which record.
        record_id: RecordId,
    },
    /// No record of the deal carries it now. It may still arrive: only the horizon tells.
    Absent,
}

/// Reads what became of a write.
#[derive(Debug, Clone)]
pub struct ReadBack(Arc<Client>);

impl HubSpot {
    /// Reads what became of a write.
    #[must_use]
    pub fn read_back(&self) -> ReadBack {
        ReadBack(self.client())
    }
}

impl ReadBack {
    /// Looks for the marker in the deal's notes or tasks, the newest first.
    ///
    /// # Errors
    /// [`CrmError`] when HubSpot gave no answer that can be used; [`CrmError::Incomplete`] when the marker
    /// was not found but not everything could be looked at.
    pub async fn find_marker(&self, deal_id: &DealId, marker: &str, kind: Kind) -> Result<Marker, CrmError> {
        let (call, what) = match kind {
            Kind::Note => ("look for our note", "notes"),
            Kind::Task => ("look for our task", "tasks"),
        };
        let record = deal_record(&self.0, call, deal_id, "associations=notes,tasks").await?;
        let mut newest_first = record.linked(what);
        newest_first.reverse();
        for &record_id in newest_first.iter().take(RECORDS_MAX) {
            if self.body_of(record_id, kind).await?.is_some_and(|body| body.contains(marker)) {
                return Ok(Marker::Found { record_id });
            }
        }
        let partial = record.links(what).is_some_and(crate::wire::Links::is_partial);
        // FAIL-CLOSED: "absent" lets a person call the write undone, so what was not looked at is not absent.
        if partial || newest_first.len() > RECORDS_MAX {
            return Err(CrmError::Incomplete { call, what });
        }
        Ok(Marker::Absent)
    }

    /// The values of the deal's stage, the newest first.
    ///
    /// # Errors
    /// [`CrmError`] when HubSpot gave no answer that can be used, or no history.
    pub async fn stage_history(&self, deal_id: &DealId) -> Result<Vec<StageChange>, CrmError> {
        let call = "read the stage history";
        let record = deal_record(&self.0, call, deal_id, "propertiesWithHistory=dealstage").await?;
        stage_history_of(&record)
            .ok_or_else(|| CrmError::Malformed { call, what: "it has no history of `dealstage`".to_owned() })
    }

    /// The body of a record; none when it was deleted between the list and the look, or has no body.
    async fn body_of(&self, record_id: RecordId, kind: Kind) -> Result<Option<String>, CrmError> {
        let body = match kind {
            Kind::Note => get_note(&self.0, record_id).await.map(|note| note.body_html),
            Kind::Task => get_task(&self.0, record_id).await.map(|task| task.body_html),
        };
        match body {
            Err(CrmError::NotFound { .. }) => Ok(None),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
