//! A batch of the outbox's stream. Must never hold up the shard for a row that will never go in.
use crate::{Deps, deliver};
use ledger::OutboxRow;
use serde::Serialize;
use serde_json::Value;

/// The records that the stream shall send again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct StreamAnswer {
    /// Empty when the whole batch is done.
    #[serde(rename = "batchItemFailures")]
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// One record to be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BatchItemFailure {
    /// The record's sequence number.
    #[serde(rename = "itemIdentifier")]
    pub item_identifier: String,
}

/// Delivers the rows of a batch. Removals and foreign records are no rows. A row that cannot go into the log
/// is not reported: sent again it would block its shard for a day; it is kept aside, or left to the sweep.
pub(crate) async fn stream(deps: &Deps, records: &[Value]) -> StreamAnswer {
    let mut rows: Vec<OutboxRow> = Vec::new();
    let mut numbers: Vec<String> = Vec::new();
    for record in records {
        let change = record.get("dynamodb");
        let row = change.and_then(|change| change.get("NewImage")).and_then(OutboxRow::from_image);
        let number = change.and_then(|change| change.get("SequenceNumber")).and_then(Value::as_str);
        if let (Some(row), Some(number)) = (row, number) {
            rows.push(row);
            numbers.push(number.to_owned());
        }
    }
    match deliver(deps, &rows).await {
        Ok(delivered) => {
            tracing::info!(
                appended = delivered.appended,
                duplicate = delivered.duplicate,
                poison = delivered.poison,
                "delivered a batch of the outbox's stream"
            );
            StreamAnswer::default()
        }
        Err(error) => {
            tracing::error!(error = error.chain(), rows = rows.len(), "a batch of the outbox's stream waits");
            let failed = |number| BatchItemFailure { item_identifier: number };
            StreamAnswer { batch_item_failures: numbers.into_iter().map(failed).collect() }
        }
    }
}
