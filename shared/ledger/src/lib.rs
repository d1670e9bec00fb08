//! Run state, admission, leases, decisions, intents and the outbox. Must never call the model or a tool, nor
//! know Postgres.
//!
//! Every change of a run is one `TransactWriteItems`: the run row (guarded by its revision), the rows it
//! adds, and the audit entries that describe it. So no change is without its entry, and no entry without its
//! change.

mod admit;
mod again;
mod checkpoint;
mod entry;
mod erase;
mod error;
mod intent;
mod outbox;
mod request;
mod run;
mod transcript;
mod waiting;

pub use admit::Admitted;
pub use again::Again;
pub use checkpoint::{Notice, StoredCheckpoint};
pub use entry::{ENTRY_SCHEMA_VERSION, Entry, PartRef, PromptRef};
pub use erase::{RowsPage, StoredRow};
pub use error::LedgerError;
pub use intent::{DecidedCall, Decision, Intent, IntentOutcome, IntentState};
pub use outbox::{INLINE, OutboxRow, Ping};
pub use request::{DataRequest, RequestCounts, RequestKind, RequestStage, SecondLook};
pub use run::{
    Claim, EventRef, Follows, LastTurn, RUN_SCHEMA_VERSION, Run, RunBound, RunDeal, RunStatus, keys_of,
    sha256_hex,
};
pub use transcript::{Claimed, Commit, Leased, Message, Opened, Stored, Transcript};
pub use waiting::StartWaiting;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use std::collections::HashMap;
use std::time::Duration;
use types::Clock;

/// How long one request to the store may take.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a transaction is sent that met another one on the same item.
const CONFLICT_TRIES: u32 = 4;

/// The `runs` and `outbox` tables.
#[derive(Debug, Clone)]
pub struct Ledger {
    client: aws_sdk_dynamodb::Client,
    runs: String,
    outbox: String,
    clock: Clock,
}

/// One request within its time: silence and the store's own error are both "we do not know".
async fn in_time<T, E, R>(
    operation: &'static str,
    request: impl Future<Output = Result<T, SdkError<E, R>>>,
    as_said: impl FnOnce(SdkError<E, R>) -> E,
) -> Result<T, LedgerError>
where
    E: std::error::Error + Send + Sync + 'static,
{
    // Boxed: a request's future is some ten thousand bytes, and every future that awaits it holds it.
    let silent = LedgerError::Store { operation, source: None };
    let answer = tokio::time::timeout(STORE_TIMEOUT, Box::pin(request)).await.map_err(|_| silent)?;
    answer.map_err(|error| LedgerError::store(operation, as_said(error)))
}

impl Ledger {
    /// Over the tables `<prefix>runs` and `<prefix>outbox`.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, table_prefix: &str, clock: Clock) -> Self {
        Self { client, runs: format!("{table_prefix}runs"), outbox: format!("{table_prefix}outbox"), clock }
    }

    /// The injected clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// One row of the `runs` table, read consistently.
    async fn row(&self, pk: &str, sk: &str) -> Result<Option<HashMap<String, AttributeValue>>, LedgerError> {
        let request = self
            .client
            .get_item()
            .table_name(&self.runs)
            .set_key(Some(keyed(pk, sk)))
            .consistent_read(true)
            .send();
        Ok(in_time("read a row", request, SdkError::into_service_error).await?.item)
    }

    /// Rows of the sparse `queue` index older than `before_ms`, oldest first.
    async fn queued(
        &self,
        queue: &str,
        before_ms: i64,
    ) -> Result<Vec<HashMap<String, AttributeValue>>, LedgerError> {
        let (mut rows, mut start) = (Vec::new(), None);
        loop {
            let request = self
                .client
                .query()
                .table_name(&self.runs)
                .index_name("queue")
                .key_condition_expression("#q = :queue AND #at < :before")
                .expression_attribute_names("#q", "queue")
                .expression_attribute_names("#at", "at")
                .expression_attribute_values(":queue", s(queue))
                .expression_attribute_values(":before", n(before_ms))
                .set_exclusive_start_key(start)
                .send();
            let output = in_time("read a queue", request, SdkError::into_service_error).await?;
            rows.extend(output.items.unwrap_or_default());
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(rows);
            }
        }
    }

    /// Commits the parts together. False when a condition did not hold; nothing was changed then.
    ///
    /// Two transactions that touch one item at the same instant: the store refuses one of them, which is then
    /// sent again.
    async fn transact(
        &self,
        operation: &'static str,
        parts: Vec<TransactWriteItem>,
    ) -> Result<bool, LedgerError> {
        for attempt in 0..CONFLICT_TRIES {
            let request = self.client.transact_write_items().set_transact_items(Some(parts.clone())).send();
            let silent = LedgerError::Store { operation, source: None };
            let error =
                match tokio::time::timeout(STORE_TIMEOUT, Box::pin(request)).await.map_err(|_| silent)? {
                    Ok(_) => return Ok(true),
                    Err(error) => error.into_service_error(),
                };
            match cancelled(&error) {
                Cancelled::ByCondition => return Ok(false),
                Cancelled::ByConflict if attempt.saturating_add(1) < CONFLICT_TRIES => {
                    tokio::time::sleep(Duration::from_millis(10_u64 << attempt)).await;
                }
                Cancelled::ByConflict | Cancelled::Otherwise => {
                    return Err(LedgerError::store(operation, error));
                }
            }
        }
        Err(LedgerError::Store { operation, source: None })
    }

    /// The write of a run row: new, or where its revision still is the one that was read.
    fn put_run(&self, run: &Run, new: bool) -> Result<Put, LedgerError> {
        let body = serde_json::to_string(run).map_err(|error| LedgerError::store("write a run", error))?;
        let mut put = Put::builder()
            .table_name(&self.runs)
            .set_item(Some(keyed(&format!("run#{}", run.run_id), "run")))
            .item("body", s(&body))
            .item("schema_version", n(i64::from(run.schema_version())))
            .item("rev", n(i64::try_from(run.rev.saturating_add(1)).unwrap_or(i64::MAX)))
            .item("n", n(i64::from(run.n)))
            .item("status", s(run.status.code()))
            .item("at", n(run.event.received_ms));
        if run.status == RunStatus::Held {
            put = put.item("queue", s("held"));
        }
        if let Some(claim) = &run.claim {
            put = put.item("owner", s(claim.owner.as_str())).item("until", n(claim.until_ms));
        }
        put = if new {
            put.condition_expression("attribute_not_exists(pk)")
        } else {
            put.condition_expression("rev = :seen")
                .expression_attribute_values(":seen", n(i64::try_from(run.rev).unwrap_or(i64::MAX)))
        };
        put.build().map_err(|error| LedgerError::store("write a run", error))
    }
}

/// Why a transaction was not done.
enum Cancelled {
    ByCondition,
    ByConflict,
    Otherwise,
}

fn cancelled(error: &TransactWriteItemsError) -> Cancelled {
    let TransactWriteItemsError::TransactionCanceledException(reasons) = error else {
        return Cancelled::Otherwise;
    };
    let codes: Vec<&str> = reasons.cancellation_reasons().iter().filter_map(|reason| reason.code()).collect();
    if codes.contains(&"TransactionConflict") {
        Cancelled::ByConflict
    } else if codes.contains(&"ConditionalCheckFailed")
        && codes.iter().all(|code| matches!(*code, "None" | "ConditionalCheckFailed"))
    {
        Cancelled::ByCondition
    } else {
        Cancelled::Otherwise
    }
}

fn keyed(pk: &str, sk: &str) -> HashMap<String, AttributeValue> {
    HashMap::from([("pk".to_owned(), s(pk)), ("sk".to_owned(), s(sk))])
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn n(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}
