//! Published checkpoints of the audit log, kept apart from the log: whoever owns the database cannot edit
//! this table. Must never overwrite one.
use crate::error::LedgerError;
use crate::outbox::Ping;
use crate::{Ledger, in_time, keyed, n, s};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;

/// A row, or the key of one.
type Row = HashMap<String, AttributeValue>;

/// The partition of all of them; the sort key is the size, so that they are in order.
const CHECKPOINT: &str = "checkpoint";

/// One published checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredCheckpoint {
    /// Entries up to and with this one.
    pub size: i64,
    /// The signed note: the only part that proves something by itself.
    pub note: String,
    /// What the publisher goes on from; its own shape.
    pub seal: Value,
    /// When it was published, in ms since 1970.
    pub at_ms: i64,
}

/// What people are told about the log, kept until Slack took it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "notice")]
pub enum Notice {
    /// A checkpoint to keep.
    Checkpoint {
        /// The signed note.
        note: String,
    },
    /// The log is not what it was.
    LogDamaged {
        /// The first bad row.
        seq: i64,
        /// What is wrong with it.
        what: String,
    },
}

impl Notice {
    fn ping(&self, id: &str) -> Result<Ping, LedgerError> {
        let body = serde_json::to_value(self).map_err(|error| LedgerError::store("queue a ping", error))?;
        Ok(Ping { id: id.to_owned(), body })
    }
}

impl Ledger {
    /// Publishes a checkpoint; with `notice` people are told, in the same transaction. False when there is
    /// one of that size already.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn put_checkpoint(
        &self,
        stored: &StoredCheckpoint,
        notice: Option<&Notice>,
    ) -> Result<bool, LedgerError> {
        let operation = "publish a checkpoint";
        let put = Put::builder()
            .table_name(&self.runs)
            .set_item(Some(keyed(CHECKPOINT, &sort_key(stored.size))))
            .item("note", s(&stored.note))
            .item("body", s(&stored.seal.to_string()))
            .item("published", n(stored.at_ms))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(|error| LedgerError::store(operation, error))?;
        let put = TransactWriteItem::builder().put(put).build();
        match notice {
            None => self.transact(operation, vec![put]).await,
            Some(notice) => self.queue_ping(&notice.ping(&format!("checkpoint-{}", stored.size))?, put).await,
        }
    }

    /// Tells people once that the log is damaged at that row. False: they were told.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn report_damage(&self, seq: i64, what: &str) -> Result<bool, LedgerError> {
        let key = format!("damage#{seq}");
        let once = Put::builder()
            .table_name(&self.runs)
            .set_item(Some(keyed(&key, "damage")))
            .item("at", n(self.clock().now_ms()))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(|error| LedgerError::store("report damage", error))?;
        let notice = Notice::LogDamaged { seq, what: what.to_owned() };
        let once = TransactWriteItem::builder().put(once).build();
        self.queue_ping(&notice.ping(&format!("log-damaged-{seq}"))?, once).await
    }

    /// The last published checkpoint.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer or the row cannot be read.
    pub async fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>, LedgerError> {
        let (rows, _) = self.checkpoint_page(false, Some(1), None).await?;
        Ok(rows.into_iter().next())
    }

    /// Every published checkpoint, oldest first.
    ///
    /// # Errors
    /// As [`Self::last_checkpoint`].
    pub async fn checkpoints(&self) -> Result<Vec<StoredCheckpoint>, LedgerError> {
        let (mut all, mut start) = (Vec::new(), None);
        loop {
            let (rows, next) = self.checkpoint_page(true, None, start).await?;
            all.extend(rows);
            start = next;
            if start.is_none() {
                return Ok(all);
            }
        }
    }

    async fn checkpoint_page(
        &self,
        oldest_first: bool,
        limit: Option<i32>,
        start: Option<Row>,
    ) -> Result<(Vec<StoredCheckpoint>, Option<Row>), LedgerError> {
        let request = self
            .client
            .query()
            .table_name(&self.runs)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", s(CHECKPOINT))
            .scan_index_forward(oldest_first)
            .set_limit(limit)
            .set_exclusive_start_key(start)
            .consistent_read(true)
            .send();
        let output = in_time("read checkpoints", request, SdkError::into_service_error).await?;
        let rows = output.items.unwrap_or_default();
        let read = |row: &Row| {
            let text = |name: &str| row.get(name)?.as_s().ok().cloned();
            Some(StoredCheckpoint {
                size: text("sk")?.parse().ok()?,
                note: text("note")?,
                seal: serde_json::from_str(&text("body")?).ok()?,
                at_ms: row.get("published")?.as_n().ok()?.parse().ok()?,
            })
        };
        let rows = rows.iter().map(|row| read(row).ok_or(LedgerError::Malformed { row: CHECKPOINT }));
        Ok((rows.collect::<Result<_, _>>()?, output.last_evaluated_key))
    }
}

/// Twenty digits, so that text order is number order.
fn sort_key(size: i64) -> String {
    format!("{size:020}")
}
