//! A person's wish that everything that waits be started. Must never start anything itself.
use crate::error::LedgerError;
use crate::transcript::body_of;
use crate::{Ledger, keyed, s};
use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};
use serde::{Deserialize, Serialize};
use types::{Actor, Epoch};

/// Where the one wish lies: a newer one takes the place of an older one.
const WISH: &str = "start_waiting";

/// "Start them all in dry-run", said with a resume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartWaiting {
    /// Who said it.
    pub actor: Actor,
    /// The epoch that began with that resume: the next halt ends the wish.
    pub epoch: Epoch,
    /// Only what was received before this (ms since 1970).
    pub before_ms: i64,
}

impl Ledger {
    /// Keeps the wish until the sweep has done it.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer; whatever waits then still waits.
    pub async fn wish_to_start(&self, wish: &StartWaiting) -> Result<(), LedgerError> {
        let operation = "keep the wish to start what waits";
        let body = serde_json::to_string(wish).map_err(|error| LedgerError::store(operation, error))?;
        let put = Put::builder().table_name(&self.runs).set_item(Some(keyed(WISH, WISH)));
        let put = put.item("body", s(&body)).build();
        let put = put.map_err(|error| LedgerError::store(operation, error))?;
        self.transact(operation, vec![TransactWriteItem::builder().put(put).build()]).await.map(drop)
    }

    /// The wish that is not done yet.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer, or the row cannot be read.
    pub async fn wished_to_start(&self) -> Result<Option<StartWaiting>, LedgerError> {
        self.row(WISH, WISH).await?.as_ref().map(|row| body_of(row, "wish to start")).transpose()
    }

    /// Forgets this wish; one that was said meanwhile stays.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer; it is then looked at again.
    pub async fn drop_wish(&self, wish: &StartWaiting) -> Result<(), LedgerError> {
        let operation = "forget the wish to start what waits";
        let body = serde_json::to_string(wish).map_err(|error| LedgerError::store(operation, error))?;
        let delete = Delete::builder()
            .table_name(&self.runs)
            .set_key(Some(keyed(WISH, WISH)))
            .condition_expression("body = :seen")
            .expression_attribute_values(":seen", s(&body))
            .build();
        let delete = delete.map_err(|error| LedgerError::store(operation, error))?;
        self.transact(operation, vec![TransactWriteItem::builder().delete(delete).build()]).await.map(drop)
    }
}
