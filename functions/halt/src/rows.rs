//! What this function writes into the outbox: the control item's log, and what people were refused or added.
//! Must never hold a key, a PIN or an address.
use interlock::{Drill, LogEntry, Receipt};
use ledger::Entry;
use serde_json::{Value, json};
use types::{Actor, CustomerId, EntryState, Scope, Target, Timestamp};

fn entry(id: &str, at: Timestamp, actor: Actor, verb: &str, target: Target) -> Entry {
    let customer_id = (target.kind == "customer").then(|| CustomerId::new(target.id.clone()).ok()).flatten();
    Entry { customer_id, ..Entry::new("control", id, at, actor, verb, target) }
}

/// The row of one entry of the control item's log. The same entry always gives the same row.
pub(crate) fn of_log(logged: &LogEntry) -> Entry {
    let at = sight::moment(logged.at_ms);
    Entry {
        before: logged.before.clone(),
        after: logged.after.clone(),
        because: Some(logged.because.clone()).filter(|text| !text.is_empty()),
        detail: Some(json!({"source": logged.source})),
        ..entry(&logged.id, at, logged.actor.clone(), &logged.verb, logged.target.clone())
    }
}

/// Presses that found the log full and were only counted. `after` names the last entry before them.
pub(crate) fn of_folded(folded: u64, after: &str, at: Timestamp) -> Entry {
    Entry {
        detail: Some(json!({"presses_counted": folded})),
        ..entry(
            &format!("{after}-folded"),
            at,
            Actor::System("sweep".to_owned()),
            "halt",
            Target::new("agent", "global"),
        )
    }
}

/// Something a person did or was refused on a page.
pub(crate) fn of_person(
    request_id: &str,
    at: Timestamp,
    actor: Actor,
    (verb, target, state): (&str, Target, EntryState),
    detail: Value,
) -> Entry {
    Entry { state, detail: Some(detail), ..entry(request_id, at, actor, verb, target) }
}

fn target_of(scope: &Scope) -> Target {
    match scope {
        Scope::Global => Target::new("agent", "global"),
        Scope::Customer(id) => Target::new("customer", id),
    }
}

/// A halt that is quiet now. `None` only if a receipt were no JSON.
pub(crate) fn of_receipt(receipt: &Receipt) -> Option<Entry> {
    let detail = serde_json::to_value(receipt).ok()?;
    let at = sight::moment(receipt.quiet_ms.unwrap_or(receipt.pressed_ms));
    let (id, actor) = (format!("{}-receipt", receipt.id), Actor::System("sweep".to_owned()));
    Some(Entry { detail: Some(detail), ..entry(&id, at, actor, "halt_receipt", target_of(&receipt.scope)) })
}

/// A drill, whether it held or not.
pub(crate) fn of_drill(drill: &Drill, at: Timestamp) -> Option<Entry> {
    let detail = serde_json::to_value(drill).ok()?;
    let state = if drill.fault.is_none() { EntryState::Applied } else { EntryState::Failed };
    let id = format!("{}-drill", drill.receipt_id);
    Some(Entry {
        state,
        detail: Some(detail),
        ..entry(&id, at, drill.actor.clone(), "drill", target_of(&drill.scope))
    })
}
