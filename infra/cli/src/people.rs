//! Changing the list of people, against others' changes. Must never keep a key or a PIN in plain.
use crate::error::CliError;
use crate::install::Install;
use interlock::People;
use ledger::Entry;
use serde_json::Value;
use types::{Actor, PersonId, Target, Timestamp};

/// How often a change is tried against others'.
const TRIES: usize = 5;

/// Reads everybody, lets `change` change the list in hand, and stores it if nobody else did meanwhile.
/// `change` may decline with `Err`, which ends it; nothing is stored then.
pub(crate) async fn update<T, R>(
    install: &Install,
    mut change: impl FnMut(&mut People) -> Result<Result<T, R>, CliError>,
) -> Result<Result<T, R>, CliError> {
    for _ in 0..TRIES {
        let mut people = read(install).await?;
        let changed = match change(&mut people)? {
            Ok(changed) => changed,
            Err(declined) => return Ok(Err(declined)),
        };
        let stored = install.interlock.put_people(&people).await;
        let failed = |source| CliError::Control { operation: "change the list of people", source };
        if stored.map_err(failed)? {
            return Ok(Ok(changed));
        }
    }
    Err(CliError::PeopleBusy)
}

/// Everybody.
pub(crate) async fn read(install: &Install) -> Result<People, CliError> {
    let people = install.interlock.people().await;
    people.map_err(|source| CliError::Control { operation: "read the list of people", source })
}

/// Puts the row of a change of people into the outbox.
pub(crate) async fn log(
    install: &Install,
    id: &str,
    actor: &Actor,
    (verb, person): (&str, &PersonId),
    detail: Value,
) -> Result<(), CliError> {
    let row = entry(id, install.clock.now(), actor.clone(), verb, Target::new("person", person), detail);
    let written = install.ledger.append_outbox(&[row]).await;
    written.map_err(|source| CliError::Tables { operation: "write the audit row", source })
}

fn entry(id: &str, at: Timestamp, actor: Actor, verb: &str, target: Target, detail: Value) -> Entry {
    Entry { detail: Some(detail), ..Entry::new("control", id, at, actor, verb, target) }
}

/// An id that has never been used, for a row.
pub(crate) fn row_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
