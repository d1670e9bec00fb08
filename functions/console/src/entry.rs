//! The audit entry of what a person did here. Must never be left out where a change leads away from safe.
use crate::Deps;
use ledger::{Entry, LedgerError};
use types::{Actor, EntryState, PersonId, Reason, Target, Timestamp};

/// An entry with this person as its actor, about a change that happened.
pub(crate) fn of_person(at: Timestamp, person: &PersonId, verb: &str, target: Target) -> Entry {
    let stream = format!("person:{person}");
    Entry {
        event_no: at.as_millisecond().unsigned_abs(),
        ..Entry::new(&stream, uuid::Uuid::new_v4().simple(), at, Actor::Person(person.clone()), verb, target)
    }
}

/// Writes the entry of a change that is about to be made.
///
/// # Errors
/// [`LedgerError`] when it is not known to be written: then the change must not be made.
pub(crate) async fn before(deps: &Deps, entry: &Entry) -> Result<(), LedgerError> {
    deps.ledger.append_outbox(std::slice::from_ref(entry)).await
}

/// The change was not made after all, or nobody knows: says so in a row of its own.
pub(crate) async fn not_made(deps: &Deps, entry: &Entry, state: EntryState, reason: Reason) {
    let mut second = entry.clone();
    second.entry_id = format!("{}-{}", entry.entry_id, state.code());
    second.state = state;
    second.reason = Some(reason);
    second.occurred_at = deps.now();
    if let Err(error) = before(deps, &second).await {
        let error: &dyn std::error::Error = &error;
        tracing::error!(
            error,
            entry = entry.entry_id,
            "the row of a change that was not made could not be written"
        );
    }
}
