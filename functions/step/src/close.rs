//! How a run ends, is held or parked. Must never end one without its entry.
use crate::step::{InHand, Next, StepOutput};
use crate::{StepError, rest, rows};
use config::metrics::{self, Metric};
use ledger::{Commit, RunStatus, Stored};
use types::{EntryState, Reason, Scope};

/// How long a run may be parked (ms).
const PARKED_MS_MAX: i64 = 60 * 60 * 1_000;

/// A halt: a run that began is closed for good, one that never began is held for a person.
pub(crate) async fn halted(
    hand: &mut InHand<'_>,
    scope: Option<&Scope>,
    reason: Reason,
) -> Result<StepOutput, StepError> {
    let mut left = rest::close(hand, EntryState::Halted, reason).await?;
    let status = if hand.run.bound.is_some() { RunStatus::Halted } else { RunStatus::Held };
    let mut entry = rows::run_entry(hand, EntryState::Halted, reason);
    entry.detail = Some(serde_json::json!({
        "scope": scope.map(ToString::to_string),
        "status": status.code(),
        "model_call": false,
    }));
    left.entries.push(entry);
    end(hand, status, reason, left, Next::Halted).await
}

/// A switch gave no usable answer: counted, for somebody has to look at the stores, and parked.
pub(crate) async fn park_unread(hand: &mut InHand<'_>, reason: Reason) -> Result<StepOutput, StepError> {
    metrics::count(Metric::SwitchesUnreadable, 1);
    park(hand, reason).await
}

/// Something the next step needs is away, busy or not to be read: look again, for an hour at most.
pub(crate) async fn park(hand: &mut InHand<'_>, reason: Reason) -> Result<StepOutput, StepError> {
    let now_ms = hand.deps.clock.now_ms();
    let Some(since_ms) = hand.run.parked_since_ms else {
        hand.run.parked_since_ms = Some(now_ms);
        hand.run.claim = None;
        return match hand.deps.ledger.commit(&mut hand.run, Commit::default()).await? {
            Stored::Yes => Ok(hand.wait(5)),
            Stored::Raced => Err(StepError::Raced),
        };
    };
    if now_ms.saturating_sub(since_ms) < PARKED_MS_MAX {
        return Ok(hand.wait(15));
    }
    tracing::warn!(run_id = %hand.run.run_id, %reason, "parked for an hour");
    halted(hand, None, Reason::ParkedTooLong).await
}

/// The run ends by itself, or cannot go on.
pub(crate) async fn finish(
    hand: &mut InHand<'_>,
    status: RunStatus,
    reason: Reason,
    tell: Option<String>,
) -> Result<StepOutput, StepError> {
    let mut left = rest::close(hand, EntryState::Refused, reason).await?;
    let state = if status == RunStatus::Done { EntryState::Applied } else { EntryState::Failed };
    let mut entry = rows::run_entry(hand, state, reason);
    entry.because = tell;
    left.entries.push(entry);
    end(hand, status, reason, left, Next::Done).await
}

/// Stores the end together with its rows, then gives the customer's lease back.
async fn end(
    hand: &mut InHand<'_>,
    status: RunStatus,
    reason: Reason,
    rows: Commit,
    next: Next,
) -> Result<StepOutput, StepError> {
    hand.run.status = status;
    hand.run.reason = Some(reason);
    hand.run.claim = None;
    hand.run.parked_since_ms = None;
    hand.run.ended_ms = Some(hand.deps.clock.now_ms());
    match hand.deps.ledger.commit(&mut hand.run, rows).await? {
        Stored::Yes => {}
        Stored::Raced => return Err(StepError::Raced),
    }
    if let Some(customer) = hand.customer() {
        hand.deps.ledger.release(customer, &hand.run.run_id).await;
    }
    Ok(hand.output(next, 0))
}
