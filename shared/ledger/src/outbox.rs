//! The outbox: audit entries that wait for Postgres. Must never drop a row that was not acknowledged.
use crate::entry::{Entry, PartRef};
use crate::error::LedgerError;
use crate::{Ledger, in_time, n, s};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, Put, TransactWriteItem, WriteRequest};
use serde_json::Value;
use std::collections::HashMap;

/// Rows deleted in one request.
const BATCH: usize = 25;

/// One outbox row: readable, or not (kept for a person to look at).
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// The row's key, the entry's id.
    pub entry_id: String,
    /// The entry, or why it cannot be read.
    pub entry: Result<Entry, String>,
}

impl Ledger {
    /// The write of one entry, to be committed together with the change it describes.
    ///
    /// # Errors
    /// [`LedgerError::Malformed`] when the entry cannot be written as JSON.
    pub fn outbox_put(&self, entry: &Entry) -> Result<TransactWriteItem, LedgerError> {
        let body =
            serde_json::to_string(entry).map_err(|error| LedgerError::store("write an entry", error))?;
        let put = Put::builder()
            .table_name(&self.outbox)
            .item("pk", s(&entry.entry_id))
            .item("body", s(&body))
            .item("schema_version", n(i64::from(entry.schema_version)))
            .item("unack", s("1"))
            .item("at", n(entry.occurred_at.as_millisecond()))
            .build()
            .map_err(|error| LedgerError::store("write an entry", error))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Writes entries that describe no row of this store (the control item's log, skipped events). Idempotent
    /// by id.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn append_outbox(&self, entries: &[Entry]) -> Result<(), LedgerError> {
        for chunk in entries.chunks(BATCH) {
            let puts = chunk.iter().map(|entry| self.outbox_put(entry)).collect::<Result<Vec<_>, _>>()?;
            self.transact("write entries", puts).await?;
        }
        Ok(())
    }

    /// Rows that nobody acknowledged, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn unacknowledged(&self, limit: i32) -> Result<Vec<OutboxRow>, LedgerError> {
        Ok(self.oldest_waiting("read the outbox", limit).await?.iter().filter_map(row_of).collect())
    }

    /// Rows of the sparse index of what nobody acknowledged, oldest first, at most `limit`.
    async fn oldest_waiting(
        &self,
        operation: &'static str,
        limit: i32,
    ) -> Result<Vec<HashMap<String, AttributeValue>>, LedgerError> {
        let request = self
            .client
            .query()
            .table_name(&self.outbox)
            .index_name("unacknowledged")
            .key_condition_expression("unack = :one")
            .expression_attribute_values(":one", s("1"))
            .limit(limit)
            .send();
        Ok(in_time(operation, request, SdkError::into_service_error).await?.items.unwrap_or_default())
    }

    /// When the oldest row that nobody acknowledged had happened (ms since 1970). `None`: none waits.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn oldest_unacknowledged_ms(&self) -> Result<Option<i64>, LedgerError> {
        let waiting = self.oldest_waiting("look at the outbox", 1).await?;
        let Some(oldest) = waiting.first() else { return Ok(None) };
        let at_ms = oldest.get("at").and_then(|at| at.as_n().ok()).and_then(|at| at.parse().ok());
        at_ms.map(Some).ok_or(LedgerError::Malformed { row: "outbox" })
    }

    /// Deletes rows that Postgres has.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer; the rows are then delivered again, which is harmless.
    pub async fn acknowledge(&self, entry_ids: &[String]) -> Result<(), LedgerError> {
        for chunk in entry_ids.chunks(BATCH) {
            let mut left: Vec<WriteRequest> = Vec::new();
            for id in chunk {
                let delete = DeleteRequest::builder()
                    .key("pk", s(id))
                    .build()
                    .map_err(|error| LedgerError::store("acknowledge entries", error))?;
                left.push(WriteRequest::builder().delete_request(delete).build());
            }
            while !left.is_empty() {
                let request = self.client.batch_write_item().request_items(&self.outbox, left).send();
                let output = in_time("acknowledge entries", request, SdkError::into_service_error).await?;
                left = output.unprocessed_items.unwrap_or_default().remove(&self.outbox).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// The bytes of a prompt part: inline (`pk` is `inline`, `sk` the text), or a row of the `runs` table.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer. `None` when the row is gone (erased).
    pub async fn part(&self, part: &PartRef) -> Result<Option<Vec<u8>>, LedgerError> {
        if part.pk == INLINE {
            return Ok(Some(part.sk.clone().into_bytes()));
        }
        let row = self.row(&part.pk, &part.sk).await?;
        let bytes = row.and_then(|mut row| row.remove("bytes"));
        Ok(bytes.and_then(|value| value.as_s().ok().map(|text| text.clone().into_bytes())))
    }
}

/// The `pk` of a [`PartRef`] whose bytes are its `sk`.
pub const INLINE: &str = "inline";

impl OutboxRow {
    /// A row from a stream record's `NewImage` (DynamoDB JSON). `None` when it is no outbox row.
    #[must_use]
    pub fn from_image(image: &Value) -> Option<Self> {
        let text = |name: &str| image.get(name)?.get("S")?.as_str().map(str::to_owned);
        Some(read(text("pk")?, text("body").as_deref()))
    }
}

fn row_of(item: &HashMap<String, AttributeValue>) -> Option<OutboxRow> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
    Some(read(text("pk")?.clone(), text("body").map(String::as_str)))
}

fn read(entry_id: String, body: Option<&str>) -> OutboxRow {
    let entry = match body.map(serde_json::from_str::<Entry>) {
        Some(Ok(entry)) if entry.schema_version <= crate::ENTRY_SCHEMA_VERSION => Ok(entry),
        Some(Ok(entry)) => Err(format!("written by a newer version (schema {})", entry.schema_version)),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("the row has no body".to_owned()),
    };
    OutboxRow { entry_id, entry }
}

/// A message to people that must arrive once, although Slack may be away: kept until it was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Ping {
    /// The row's id.
    pub id: String,
    /// What to say, in the sender's own shape.
    pub body: Value,
}

impl Ledger {
    /// Queues a message to people together with the condition that makes it the only one. False when that
    /// condition did not hold: somebody else has queued it.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn queue_ping(&self, ping: &Ping, once: TransactWriteItem) -> Result<bool, LedgerError> {
        let put = Put::builder()
            .table_name(&self.runs)
            .set_item(Some(crate::keyed(&format!("ping#{}", ping.id), "ping")))
            .item("body", s(&ping.body.to_string()))
            .item("queue", s("ping"))
            .item("at", n(self.clock().now_ms()))
            .build()
            .map_err(|error| LedgerError::store("queue a ping", error))?;
        self.transact("queue a ping", vec![once, TransactWriteItem::builder().put(put).build()]).await
    }

    /// Messages that nobody took yet, oldest first.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn pings(&self) -> Result<Vec<Ping>, LedgerError> {
        let rows = self.queued("ping", i64::MAX).await?;
        let ping = |row: &HashMap<String, AttributeValue>| {
            let id = row.get("pk")?.as_s().ok()?.strip_prefix("ping#")?.to_owned();
            let body = serde_json::from_str(row.get("body")?.as_s().ok()?).ok()?;
            Some(Ping { id, body })
        };
        Ok(rows.iter().filter_map(ping).collect())
    }

    /// Forgets a message that was taken, or that Slack will never take.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer; it may then be sent twice.
    pub async fn drop_ping(&self, id: &str) -> Result<(), LedgerError> {
        let request = self
            .client
            .delete_item()
            .table_name(&self.runs)
            .set_key(Some(crate::keyed(&format!("ping#{id}"), "ping")))
            .send();
        in_time("drop a ping", request, SdkError::into_service_error).await.map(drop)
    }
}
