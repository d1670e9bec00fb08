//! Admission: put-if-absent of an event and its run, so that one event starts one run. Must never start
//! anything itself.
use crate::error::LedgerError;
use crate::run::{EventRef, Run};
use crate::{Entry, Ledger, keyed, n, s};
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use types::{EventKey, RunId};

/// How long a dedupe key is kept (seconds).
const KEEP_S: i64 = 7 * 24 * 60 * 60;

/// What intake learns of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an event that is not started must be started, or refused so that it comes again"]
pub enum Admitted {
    /// First sight: the run exists now and must be started.
    New(RunId),
    /// Seen before, but nobody confirmed its start: start it again under the same name.
    NotStarted(RunId),
    /// Seen and started.
    Duplicate(RunId),
}

impl Ledger {
    /// First sight of an event: the event row and the run row, both or neither.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer; HubSpot must then be told to send again.
    // INVARIANT (I23): one run per event key, also under concurrent duplicates.
    pub async fn admit(&self, run: &Run) -> Result<Admitted, LedgerError> {
        self.admit_with(run, &[]).await
    }

    /// The same together with the entries of whoever wants the run.
    pub(crate) async fn admit_with(&self, run: &Run, entries: &[Entry]) -> Result<Admitted, LedgerError> {
        let key = &run.event.key;
        let expires = run.event.received_ms.div_euclid(1_000).saturating_add(KEEP_S);
        let event = Put::builder()
            .table_name(&self.runs)
            .set_item(Some(keyed(&format!("event#{key}"), "event")))
            .item("run_id", s(run.run_id.as_str()))
            .item("started", AttributeValue::Bool(false))
            .item("queue", s("unstarted"))
            .item("at", n(run.event.received_ms))
            .item("expires_at", n(expires))
            .condition_expression("attribute_not_exists(pk)")
            .build();
        let event = event.map_err(|error| LedgerError::store("admit an event", error))?;
        let mut parts = vec![
            TransactWriteItem::builder().put(event).build(),
            TransactWriteItem::builder().put(self.put_run(run, true)?).build(),
        ];
        for entry in entries {
            parts.push(self.outbox_put(entry)?);
        }
        if self.transact("admit an event", parts).await? {
            Ok(Admitted::New(run.run_id.clone()))
        } else {
            self.known(key, &run.run_id).await
        }
    }

    async fn known(&self, key: &EventKey, run_id: &RunId) -> Result<Admitted, LedgerError> {
        let row = self.row(&format!("event#{key}"), "event").await?;
        let started = row.as_ref().and_then(|row| row.get("started")).and_then(|v| v.as_bool().ok());
        Ok(match started {
            Some(true) => Admitted::Duplicate(run_id.clone()),
            // A row that another delivery is writing this instant counts as not started: starting by name is
            // exactly once.
            Some(false) | None => Admitted::NotStarted(run_id.clone()),
        })
    }

    /// Notes that the execution was started, so that later deliveries are duplicates.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer; the sweep then starts it again by the same name.
    pub async fn mark_started(&self, key: &EventKey) -> Result<(), LedgerError> {
        let update = Update::builder()
            .table_name(&self.runs)
            .set_key(Some(keyed(&format!("event#{key}"), "event")))
            .update_expression("SET started = :yes REMOVE queue")
            .expression_attribute_values(":yes", AttributeValue::Bool(true))
            .condition_expression("attribute_exists(pk)")
            .build();
        let update = update.map_err(|error| LedgerError::store("mark an event as started", error))?;
        self.transact("mark an event as started", vec![TransactWriteItem::builder().update(update).build()])
            .await
            .map(drop)
    }

    /// Runs whose event was admitted before `before_ms` and never started: key and run id.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn unstarted(&self, before_ms: i64) -> Result<Vec<(EventKey, RunId)>, LedgerError> {
        let rows = self.queued("unstarted", before_ms).await?;
        let pair = |row: &std::collections::HashMap<String, AttributeValue>| {
            let key = row.get("pk")?.as_s().ok()?.strip_prefix("event#")?.to_owned();
            let run_id = row.get("run_id")?.as_s().ok()?.clone();
            Some((EventKey::new(key).ok()?, RunId::new(run_id).ok()?))
        };
        Ok(rows.iter().filter_map(pair).collect())
    }
}

impl EventRef {
    /// One line for people: what set the run off.
    #[must_use]
    pub fn line(&self) -> String {
        match self.property.as_deref() {
            Some(property) => format!("{} {} of {}", self.kind, property, self.object_id),
            None => format!("{} {}", self.kind, self.object_id),
        }
    }
}
