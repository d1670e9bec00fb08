//! The run's row: tokens and tool calls left. Must never be opened twice, nor give a call back.
use crate::{
    Amount, Budget, BudgetError, DayView, SeenDay,
    row::{Change, Update, get_number, number, text},
};
use aws_sdk_dynamodb::{
    operation::put_item::PutItemError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};
use std::collections::HashMap;
use types::{Cap, Caps, Epoch, IntentId, RunId};

pub(crate) fn run_row(run_id: &RunId) -> String {
    format!("run#{run_id}")
}

/// What became of opening a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenRun {
    /// Opened with these caps.
    Opened,
    /// It was open already, in this epoch and with the caps of then.
    Existed {
        /// The epoch in which it was opened.
        epoch: Epoch,
    },
}

/// What is left, to shape the next call by. A hint: only a reservation counts.
#[derive(Debug, Clone)]
pub struct Left {
    /// Tokens of the run; below zero after an overshoot.
    pub tokens: i64,
    /// Tool calls of the run.
    pub calls: i64,
    /// The day that pays now; `None` before the very first day.
    pub day: Option<DayView>,
    /// The note that says so, for the reservation that follows.
    pub seen: Option<SeenDay>,
}

/// May this tool call be made?
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeCall {
    /// Yes; it is counted.
    Taken,
    /// Yes; it was counted before (the step is replayed).
    AlreadyTaken,
    /// No: the run has none left.
    Tripped {
        /// Always [`Cap::ToolCallsPerRun`].
        cap: Cap,
        /// Calls left.
        left: Amount,
        /// Calls asked for.
        asked: Amount,
    },
    /// No: the run was never opened.
    NoRun,
}

impl Budget {
    /// Opens a run with the caps of this moment; they stay for its life.
    ///
    /// # Errors
    /// [`BudgetError`] when it is not known whether it was opened; calling again is safe.
    pub async fn open_run(&self, run_id: &RunId, caps: &Caps, epoch: Epoch) -> Result<OpenRun, BudgetError> {
        let row = run_row(run_id);
        let tokens = i64::try_from(caps.tokens_per_run).unwrap_or(i64::MAX);
        let calls = i64::from(caps.tool_calls_per_run);
        let epoch_value = i64::try_from(epoch.0).unwrap_or(i64::MAX);
        let request = self
            .client
            .put_item()
            .table_name(&*self.table)
            .item("pk", text(&row))
            .item("epoch", number(epoch_value))
            .item("tokens_cap", number(tokens))
            .item("tokens_left", number(tokens))
            .item("calls_cap", number(calls))
            .item("calls_left", number(calls))
            .item("att", AttributeValue::M(HashMap::new()))
            .item("opened_ms", number(self.clock.now_ms()))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match Box::pin(request.send()).await {
            Ok(_) => Ok(OpenRun::Opened),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                    let item = refused.item.clone().unwrap_or_default();
                    let epoch = u64::try_from(get_number(&row, &item, "epoch")?).unwrap_or(0);
                    Ok(OpenRun::Existed { epoch: Epoch(epoch) })
                }
                Some(_) | None => Err(BudgetError::Write { row, cause: error.into() }),
            },
        }
    }

    /// What is left for this run now; `None` when it was never opened. Changes nothing.
    ///
    /// # Errors
    /// [`BudgetError`] when the table cannot be read or the zone is not known.
    pub async fn left(&self, run_id: &RunId, zone: &str) -> Result<Option<Left>, BudgetError> {
        let row = run_row(run_id);
        let (item, seen) = tokio::join!(self.read(&row), self.see_day(zone));
        let Some(item) = item? else { return Ok(None) };
        let (day, seen) = seen?.unzip();
        Ok(Some(Left {
            tokens: get_number(&row, &item, "tokens_left")?,
            calls: get_number(&row, &item, "calls_left")?,
            day,
            seen,
        }))
    }

    /// Counts one tool call, before the gate sees it, refused ones included; once per intent, however often
    /// asked.
    ///
    /// # Errors
    /// [`BudgetError`] when it is not known whether it was counted; asking again with the same intent is
    /// safe.
    // INVARIANT (I13): a call that is not counted is not made, and a replayed one is not counted again.
    // WHY NOT keep the last intent only: one answer may hold several calls, and a replay starts at the first
    // of them.
    pub async fn take_call(&self, run_id: &RunId, intent_id: &IntentId) -> Result<TakeCall, BudgetError> {
        let row = run_row(run_id);
        let update = Update {
            row: row.clone(),
            attempt: None,
            set: "SET calls_left = calls_left - :one ADD taken :intents",
            condition: match () {
                () if types::mutant("calls_below_zero") => {
                    "(calls_left < :one OR calls_left >= :one) AND NOT contains(taken, :intent)"
                }
                () => "attribute_exists(pk) AND calls_left >= :one AND NOT contains(taken, :intent)",
            },
            values: vec![
                (":one", number(1)),
                (":intent", text(intent_id.as_str())),
                (":intents", AttributeValue::Ss(vec![intent_id.to_string()])),
            ],
        };
        let item = match self.change(update).await? {
            Change::Applied(_) => return Ok(TakeCall::Taken),
            Change::Refused(None) => return Ok(TakeCall::NoRun),
            Change::Refused(Some(item)) => item,
        };
        let taken = item.get("taken").and_then(|value| value.as_ss().ok());
        if taken.is_some_and(|ids| ids.iter().any(|id| id == intent_id.as_str())) {
            return Ok(TakeCall::AlreadyTaken);
        }
        let left = Amount::Calls(get_number(&row, &item, "calls_left")?);
        Ok(TakeCall::Tripped { cap: Cap::ToolCallsPerRun, left, asked: Amount::Calls(1) })
    }
}
