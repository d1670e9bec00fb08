//! Looking through stored rows for one person, and taking her out. Must never touch a run that still goes on.
use crate::error::LedgerError;
use crate::{Intent, IntentState, Ledger, Run, STORE_TIMEOUT, in_time, keyed, s};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, TransactWriteItem};
use std::collections::HashMap;
use types::{RequestId, RunId, Target};

/// Rows deleted in one transaction.
const BATCH: usize = 50;
/// What stands where a person's data stood.
const ERASED: &str = "erased";

/// One stored row, as text to look through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// Partition key.
    pub pk: String,
    /// Sort key; empty in the outbox.
    pub sk: String,
    /// Every text of the row, keys aside.
    pub texts: Vec<String>,
    /// Of a run: until when a step may be at work on it (ms since 1970).
    pub in_hand_until_ms: Option<i64>,
}

impl StoredRow {
    fn of(item: &HashMap<String, AttributeValue>) -> Self {
        let key = |name: &str| item.get(name).and_then(|v| v.as_s().ok()).cloned().unwrap_or_default();
        let others = item.iter().filter(|(name, _)| !matches!(name.as_str(), "pk" | "sk"));
        let texts = others.filter_map(|(_, value)| value.as_s().ok().cloned());
        let until = item.get("until").filter(|_| item.contains_key("owner"));
        let in_hand_until_ms = until.and_then(|until| until.as_n().ok()?.parse().ok());
        Self { pk: key("pk"), sk: key("sk"), texts: texts.collect(), in_hand_until_ms }
    }

    /// The run that the row belongs to.
    #[must_use]
    pub fn run_id(&self) -> Option<RunId> {
        self.pk.strip_prefix("run#").and_then(|id| RunId::new(id).ok())
    }
}

/// A page of rows, and where the next one begins.
pub type RowsPage = (Vec<StoredRow>, Option<(String, String)>);

impl Ledger {
    /// One page of the whole `runs` table.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn look_through(&self, after: Option<&(String, String)>) -> Result<RowsPage, LedgerError> {
        let start = after.map(|(pk, sk)| keyed(pk, sk));
        let request = self
            .client
            .scan()
            .table_name(&self.runs)
            .consistent_read(true)
            .set_exclusive_start_key(start)
            .send();
        let output = in_time("look through the runs", request, SdkError::into_service_error).await?;
        let text = |key: &HashMap<String, AttributeValue>, name: &str| {
            key.get(name).and_then(|v| v.as_s().ok()).cloned().unwrap_or_default()
        };
        let next = output.last_evaluated_key.map(|key| (text(&key, "pk"), text(&key, "sk")));
        Ok((output.items.unwrap_or_default().iter().map(StoredRow::of).collect(), next))
    }

    /// Every row of one run.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn rows_of_run(&self, run_id: &RunId) -> Result<Vec<StoredRow>, LedgerError> {
        let (items, _) = self.items_of_run("read the rows of a run", run_id).await?;
        Ok(items.iter().map(StoredRow::of).collect())
    }

    /// Takes out of a run everything that may name a person: messages and decisions go, tool calls keep their
    /// id, tool and end, the run keeps how it ended. Returns the rows changed; 0 when nothing was left.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer; [`LedgerError::StillOpen`] when the run still goes on.
    pub async fn erase_run(&self, run_id: &RunId, request: &RequestId) -> Result<u64, LedgerError> {
        let operation = "erase a run";
        let Some(mut run) = self.find_run(run_id).await? else { return Ok(0) };
        // FAIL-CLOSED: a run that goes on would write her data again.
        if run.status.is_open() {
            return Err(LedgerError::StillOpen { run_id: run_id.to_string() });
        }
        let (pk, mut parts, mut changed) = (format!("run#{run_id}"), Vec::new(), 0_u64);
        for row in self.rows_of_run(run_id).await? {
            let prompt = row.sk.starts_with("msg#") && !types::mutant("forgets_prompts");
            if !prompt && !row.sk.starts_with("decision#") {
                continue;
            }
            let gone = Delete::builder().table_name(&self.runs).set_key(Some(keyed(&pk, &row.sk))).build();
            let gone = gone.map_err(|error| LedgerError::store(operation, error))?;
            parts.push(TransactWriteItem::builder().delete(gone).build());
        }
        for intent in self.transcript(run_id).await?.intents.into_values() {
            let blank = blank_intent(&intent);
            if blank != intent && !types::mutant("forgets_drafts") {
                parts.push(self.put_intent(&pk, run_id, &blank)?);
            }
        }
        for batch in parts.chunks(BATCH) {
            changed = changed.saturating_add(u64::try_from(batch.len()).unwrap_or(0));
            self.transact(operation, batch.to_vec()).await?;
        }
        if blank_run(&mut run, request) {
            let put = TransactWriteItem::builder().put(self.put_run(&run, false)?).build();
            if !self.transact(operation, vec![put]).await? {
                return Err(LedgerError::StillOpen { run_id: run_id.to_string() });
            }
            changed = changed.saturating_add(1);
        }
        Ok(changed)
    }

    /// The texts of outbox rows that could not be read as entries of this build: ids with their text.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn look_through_outbox(&self) -> Result<Vec<StoredRow>, LedgerError> {
        let (mut rows, mut start) = (Vec::new(), None);
        loop {
            let request = self
                .client
                .scan()
                .table_name(&self.outbox)
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .send();
            let output = in_time("look through the outbox", request, SdkError::into_service_error).await?;
            rows.extend(output.items.unwrap_or_default().iter().map(StoredRow::of));
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(rows);
            }
        }
    }

    /// Replaces an outbox row that never got into the log by one without its personal half: what happened
    /// stays, whom it was about goes. A body that is no JSON at all goes as a whole.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn erase_outbox_row(&self, row: &StoredRow) -> Result<(), LedgerError> {
        let operation = "erase an outbox row";
        let body = row.texts.iter().find_map(|text| erased_entry(text)).unwrap_or_default();
        let request = self
            .client
            .update_item()
            .table_name(&self.outbox)
            .key("pk", s(&row.pk))
            .update_expression("SET body = :body")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":body", s(&body))
            .send();
        let silent = LedgerError::Store { operation, source: None };
        match tokio::time::timeout(STORE_TIMEOUT, request).await.map_err(|_| silent)? {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = error.into_service_error();
                // Gone meanwhile: into the log, where the erasure reaches it.
                if error.is_conditional_check_failed_exception() {
                    Ok(())
                } else {
                    Err(LedgerError::store(operation, error))
                }
            }
        }
    }
}

/// What an entry says of what happened, beside its personal half.
const HAPPENED: [&str; 16] = [
    "schema_version",
    "entry_id",
    "stream",
    "event_no",
    "occurred_at",
    "actor",
    "verb",
    "state",
    "reason",
    "mode",
    "tier",
    "intent_id",
    "run_id",
    "step",
    "model_version",
    "config_version",
];

/// The entry's JSON without its personal half, whatever its version.
fn erased_entry(body: &str) -> Option<String> {
    let mut value: serde_json::Value = serde_json::from_str(body).ok()?;
    let fields = value.as_object_mut()?;
    // A field that this build does not know may hold anything.
    fields.retain(|name, _| HAPPENED.contains(&name.as_str()));
    for name in ["before", "after", "because", "detail", "prompt", "customer_id"] {
        fields.insert(name.to_owned(), serde_json::Value::Null);
    }
    fields.insert("subjects".to_owned(), serde_json::json!([]));
    fields.insert("target".to_owned(), serde_json::json!(Target::new(ERASED, ERASED)));
    Some(value.to_string())
}

/// The tool call without what it said or was about; one that waits for a person keeps its deal until she has
/// looked.
fn blank_intent(intent: &Intent) -> Intent {
    let mut blank = intent.clone();
    blank.before = None;
    blank.after = None;
    blank.request = None;
    blank.because = None;
    ERASED.clone_into(&mut blank.what);
    if let Some(outcome) = &mut blank.outcome {
        ERASED.clone_into(&mut outcome.tell);
    }
    if blank.state == IntentState::Closed {
        blank.target = Target::new(ERASED, ERASED);
        blank.customer_id = None;
    }
    blank
}

/// True when something of the row changed.
fn blank_run(run: &mut Run, request: &RequestId) -> bool {
    let mark = format!("{ERASED} on request {request}");
    if run.is_erased() {
        return false;
    }
    run.deal = None;
    run.event.object_id = mark;
    run.event.property = None;
    run.messages = 0;
    // A hash without salt of what somebody wrote can be guessed.
    if let Some(follows) = &mut run.follows {
        follows.deal_id = None;
        follows.acts.clear();
    }
    true
}

impl Run {
    /// Was everything that it was about taken out?
    pub(crate) fn is_erased(&self) -> bool {
        self.deal.is_none() && self.event.object_id.starts_with(ERASED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_row_keeps_what_happened_and_loses_whom_it_was_about() {
        let body = serde_json::json!({
            "schema_version": 9, "entry_id": "r-1#1", "verb": "set_stage", "because": "canary", "after": {"a": "canary"},
            "target": {"kind": "deal", "id": "canary"}, "subjects": ["canary"], "novelty": "canary",
        });
        let erased = erased_entry(&body.to_string()).expect("JSON");
        assert!(!erased.contains("canary"), "{erased}");
        assert!(
            erased.contains("\"entry_id\":\"r-1#1\"") && erased.contains("\"schema_version\":9"),
            "{erased}"
        );
        assert_eq!(erased_entry("{no json"), None);
    }
}
