//! Follows halts to their end: every write that was under way gets its outcome, then the receipt goes into
//! the audit log. Must never say "quiet" while one is in flight or unknown.
use crate::{Deps, HaltError, rows};
use interlock::{Control, HowEnded, LastWrite, LogEntry, Made, Receipt, ReceiptBook, ReceiptWrite};
use ledger::{Intent, IntentState, LedgerError};
use types::{EntryState, Reason, RunId};

/// A receipt from the log is filed no earlier than this after its press (ms): the press may still be writing
/// its own.
const PRESS_MAY_WRITE_MS: i64 = 10_000;

/// What a sweep did with receipts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ReceiptSweep {
    /// Made from the log.
    pub(crate) made: u32,
    /// Quiet, and on their way into the audit log.
    pub(crate) filed: u32,
    /// Not quiet yet.
    pub(crate) open: u32,
}

/// One look at the switches and at what the table holds of receipts.
struct Look<'a> {
    control: &'a Control,
    book: &'a ReceiptBook,
    log: &'a [LogEntry],
    last_model_call_ms: Option<i64>,
    now_ms: i64,
}

/// Makes what is missing, follows what is open, files what is quiet.
pub(crate) async fn sweep(deps: &Deps, log: &[LogEntry]) -> Result<ReceiptSweep, HaltError> {
    let failed = |operation| move |source| HaltError::Switches { operation, source };
    let control = deps.interlock.control().await.map_err(failed("read the control item"))?;
    let mut swept = ReceiptSweep::default();
    for entry in log {
        let made = deps.interlock.make_receipt(entry, &control).await.map_err(failed("make a receipt"))?;
        swept.made = swept.made.saturating_add(u32::from(made));
    }
    let book = deps.interlock.receipt_book().await.map_err(failed("read the receipts"))?;
    let look = Look {
        control: &control,
        book: &book,
        log,
        last_model_call_ms: last_model_call(deps, &book).await,
        now_ms: deps.now_ms(),
    };
    for receipt in &book.receipts {
        let mut next = receipt.clone();
        // One halt that cannot be followed must not keep the others waiting.
        if let Err(error) = follow(deps, &look, &mut next).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(id = receipt.id, error, "a halt could not be followed; looked at again");
        }
        if next.filed != receipt.filed {
            let row = rows::of_receipt(&next);
            let rows: Vec<_> = row.into_iter().collect();
            deps.ledger.append_outbox(&rows).await.map_err(HaltError::MoveLog)?;
            swept.filed = swept.filed.saturating_add(1);
        }
        swept.open = swept.open.saturating_add(u32::from(!next.filed));
        // One that somebody changed meanwhile is followed again by the next sweep.
        if next != *receipt {
            deps.interlock.put_receipt(&next).await.map_err(failed("write a receipt"))?;
        }
    }
    deps.interlock.prune_receipts(&book).await.map_err(failed("delete old receipts"))?;
    Ok(swept)
}

/// The budget's last reservation; asked for only while a receipt wants it.
async fn last_model_call(deps: &Deps, book: &ReceiptBook) -> Option<i64> {
    if book.receipts.iter().all(|receipt| receipt.filed) {
        return None;
    }
    deps.budget.day(deps.zone().name()).await.ok().flatten()?.last_ms
}

async fn follow(deps: &Deps, look: &Look<'_>, receipt: &mut Receipt) -> Result<(), LedgerError> {
    receipt.note_resume(look.control, look.log);
    if receipt.filed {
        return Ok(());
    }
    if receipt.in_force(look.control) && look.last_model_call_ms.is_some() {
        receipt.last_model_call_ms = look.last_model_call_ms;
    }
    for write in receipt.writes.iter_mut().filter(|write| write.end.is_none()) {
        if write.still_held(look.control, &look.book.ends, look.now_ms) {
            continue;
        }
        if let Some((how, reason)) = ended(intent_of(deps, write).await?.as_ref()) {
            write.ended(how, reason, &look.book.ends, look.now_ms);
        }
    }
    receipt.settle(look.now_ms);
    if let Some(last) = &mut receipt.last_write_before
        && last.intent_id.is_none()
    {
        name_the_call(deps, last).await?;
    }
    let may_be_replaced =
        receipt.made == Made::FromLog && look.now_ms.saturating_sub(receipt.pressed_ms) < PRESS_MAY_WRITE_MS;
    receipt.filed = receipt.quiet_ms.is_some() && !may_be_replaced;
    Ok(())
}

async fn intent_of(deps: &Deps, write: &ReceiptWrite) -> Result<Option<Intent>, LedgerError> {
    let transcript = deps.ledger.transcript(&write.run_id).await?;
    Ok(transcript.intents.into_values().find(|intent| intent.intent_id == write.intent_id))
}

/// How a call ended whose permit is gone. `None`: its row does not say yet.
fn ended(intent: Option<&Intent>) -> Option<(HowEnded, Option<Reason>)> {
    // A permit is held only for a call whose row is there; one without has been erased since.
    let Some(intent) = intent else { return Some((HowEnded::Unresolved, None)) };
    let reason = intent.outcome.as_ref().and_then(|outcome| outcome.reason);
    match (intent.state, intent.outcome.as_ref().map(|outcome| outcome.state)) {
        (IntentState::Open | IntentState::Unknown | IntentState::NeedsHuman, _) => None,
        // Refused by the CRM in a way that may be tried again, or never sent.
        (IntentState::Planned, _) if intent.sent_ms.is_some() => Some((HowEnded::Rejected, reason)),
        (IntentState::Closed, Some(EntryState::Applied)) => Some((HowEnded::Applied, reason)),
        (IntentState::Closed, Some(EntryState::Failed)) => Some((HowEnded::Rejected, reason)),
        (IntentState::Closed, Some(EntryState::Unknown) | None) => Some((HowEnded::Unresolved, reason)),
        (IntentState::Planned, _)
        | (
            IntentState::Closed,
            Some(
                EntryState::Opened
                | EntryState::WouldHave
                | EntryState::Drafted
                | EntryState::Refused
                | EntryState::Halted,
            ),
        ) => Some((HowEnded::Unused, reason)),
    }
}

/// The tool call of the last write before the press: the newest one of its run that was sent by then.
async fn name_the_call(deps: &Deps, last: &mut LastWrite) -> Result<(), LedgerError> {
    let Ok(run_id) = RunId::new(last.run_id.clone()) else { return Ok(()) };
    let transcript = deps.ledger.transcript(&run_id).await?;
    let applied = transcript.intents.into_values().filter(|intent| {
        let done = intent.outcome.as_ref().is_some_and(|outcome| outcome.state == EntryState::Applied);
        done && intent.tool == last.tool && intent.sent_ms.is_some_and(|sent_ms| sent_ms <= last.at_ms)
    });
    last.intent_id =
        applied.max_by_key(|intent| (intent.sent_ms, intent.step)).map(|intent| intent.intent_id);
    Ok(())
}
