//! Changing the list of people, against others' changes. Must never keep a key or a PIN in plain.
use crate::error::CliError;
use crate::install::Install;
use interlock::{People, Person, Role};
use ledger::Entry;
use serde_json::Value;
use std::collections::BTreeMap;
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

/// Somebody without a key yet.
pub(crate) fn new_person(name: &str, role: Role, pin_hash: Option<String>) -> Person {
    Person {
        name: name.to_owned(),
        role,
        pin_hash,
        pin_wrong: 0,
        pin_window_ms: 0,
        pin_wrong_total: 0,
        keys: BTreeMap::new(),
        revoked_ms: None,
    }
}

/// A name that can be shown: one line, not empty, at most 80 characters.
pub(crate) fn is_name(name: &str) -> bool {
    let shown = name.trim();
    !shown.is_empty() && shown.chars().count() <= 80 && web::visible_line(shown) == shown
}

/// An id for a new person, from her name; one that was ever used is never used again.
pub(crate) fn fresh_id(name: &str, people: &People) -> Option<PersonId> {
    let words: String =
        name.trim().to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let words: Vec<&str> = words.split('-').filter(|word| !word.is_empty()).collect();
    let base: String = if words.is_empty() { "person".to_owned() } else { words.join("-") };
    let base: String = base.chars().take(40).collect();
    let candidates = std::iter::once(base.clone()).chain((2..1_000).map(|n| format!("{base}-{n}")));
    candidates.filter_map(|id| PersonId::new(id).ok()).find(|id| !people.people.contains_key(id))
}

/// Somebody who is there, by id or by name.
pub(crate) fn find(people: &People, text: &str) -> Option<PersonId> {
    let wanted = text.trim().to_lowercase();
    let there = || people.people.iter().filter(|(_, person)| person.revoked_ms.is_none());
    let by_id = there().find(|(id, _)| id.as_str() == wanted);
    let mut by_name = there().filter(|(_, person)| person.name.trim().to_lowercase() == wanted);
    let found = by_id.or_else(|| {
        let first = by_name.next()?;
        // Two of the same name: neither is meant for sure.
        by_name.next().is_none().then_some(first)
    });
    found.map(|(id, _)| id.clone())
}

/// Can anybody resume on her page: there, ops, with a PIN and a key that was not taken back?
pub(crate) fn can_resume(person: &Person) -> bool {
    person.revoked_ms.is_none()
        && person.role == Role::Ops
        && person.pin_hash.is_some()
        && person.keys.values().any(|key| key.revoked_ms.is_none())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_from_the_name_and_is_used_once() {
        let mut people = People::default();
        for (name, id) in [
            ("Marieke de Vries", "marieke-de-vries"),
            ("marieke  de vries", "marieke-de-vries-2"),
            ("Zo\u{eb}", "zo"),
            ("\u{738b}", "person"),
            ("\u{674e}", "person-2"),
        ] {
            let fresh = fresh_id(name, &people).unwrap();
            assert_eq!(fresh.as_str(), id, "{name}");
            people.people.insert(fresh, new_person(name, Role::Reader, None));
        }
        assert_eq!(find(&people, "Zo\u{eb}").unwrap().as_str(), "zo");
        assert_eq!(find(&people, "MARIEKE-DE-VRIES-2").unwrap().as_str(), "marieke-de-vries-2");
        people.people.get_mut(&PersonId::new("zo").unwrap()).unwrap().revoked_ms = Some(1);
        assert_eq!(find(&people, "Zo\u{eb}"), None, "somebody who was removed is not found");
        assert_eq!(
            fresh_id("Zo", &people).unwrap().as_str(),
            "zo-2",
            "nor does she come back under her old id"
        );
    }

    #[test]
    fn a_name_is_one_visible_line() {
        assert!(is_name("Ann"));
        for bad in ["", "  ", "a\nb", "a\u{202e}b", &"x".repeat(81)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
