//! Runs that wait: one is started, and a person's wish that all be. Must never lose one whose start failed.
use crate::error::LedgerError;
use crate::transcript::body_of;
use crate::{Commit, Entry, Ledger, Run, RunStatus, Stored, keyed, s};
use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};
use serde::{Deserialize, Serialize};
use types::{Actor, EntryState, Epoch, Reason};

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

impl Run {
    /// Lets a held run begin, under a name that no execution had.
    pub fn requeue(&mut self) {
        self.status = RunStatus::Queued;
        self.reason = None;
        self.ended_ms = None;
        self.executions = self.executions.saturating_add(1).max(2);
    }
}

impl Ledger {
    /// Stores a held run as `queued` together with its entry, then starts it. One whose start failed is held
    /// again, with a row that says so; should it have started after all, it meets a run that is held. False
    /// when somebody else started it or threw it away.
    ///
    /// # Errors
    /// The store's, or that of `start`.
    pub async fn start_held<E: From<LedgerError>>(
        &self,
        held: Run,
        mut queued: Run,
        entry: Entry,
        start: impl Future<Output = Result<(), E>>,
    ) -> Result<bool, E> {
        let commit = Commit { entries: vec![entry.clone()], ..Commit::default() };
        if self.commit(&mut queued, commit).await? == Stored::Raced {
            return Ok(false);
        }
        let Err(error) = start.await else { return Ok(true) };
        let mut back = entry;
        back.entry_id.push_str("-failed");
        back.state = EntryState::Failed;
        back.reason = Some(Reason::OutcomeUnknown);
        let mut again = Run { rev: queued.rev, executions: queued.executions, ..held };
        // Refused where it started after all and moved on by itself.
        let _moved_on = self.commit(&mut again, Commit { entries: vec![back], ..Commit::default() }).await?;
        Err(error)
    }

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
