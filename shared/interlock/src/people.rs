//! People, their keys and PINs, in one item beside the control item. Must never hold a key or a PIN in plain.
use crate::Interlock;
use crate::error::InterlockError;
use crate::update::STORE_TIMEOUT;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use types::PersonId;

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Ops,
    /// Look, and HALT.
    Reader,
}

/// One key of a person: the link on her phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonKey {
    /// `phone`, `deputy`.
    pub kind: String,
    /// When it was made (ms since 1970).
    pub added_ms: i64,
    /// Who made it, as printed in the audit.
    pub added_by: String,
    /// When it was taken back, if it was.
    pub revoked_ms: Option<i64>,
}

/// One person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Her name.
    pub name: String,
    /// What she may do.
    pub role: Role,
    /// Her PIN's slow hash (PHC text); absent until she chose one.
    pub pin_hash: Option<String>,
    /// Wrong PINs in the current window, and when it began (ms since 1970).
    pub pin_wrong: u32,
    /// When that window began (ms since 1970).
    pub pin_window_ms: i64,
    /// Wrong PINs since the last right one; too many block the PIN until another ops person sets a new one.
    pub pin_wrong_total: u32,
    /// Her keys by key id (the id is not the key: the key is signed).
    pub keys: BTreeMap<String, PersonKey>,
    /// When she was removed, if she was.
    pub revoked_ms: Option<i64>,
}

impl Person {
    /// Somebody without a PIN or a key yet.
    #[must_use]
    pub fn new(name: &str, role: Role) -> Self {
        Self {
            name: name.to_owned(),
            role,
            pin_hash: None,
            pin_wrong: 0,
            pin_window_ms: 0,
            pin_wrong_total: 0,
            keys: BTreeMap::new(),
            revoked_ms: None,
        }
    }

    /// Lets her choose a new PIN with her next invitation.
    pub fn forget_pin(&mut self) {
        self.pin_hash = None;
        (self.pin_wrong, self.pin_window_ms, self.pin_wrong_total) = (0, 0, 0);
    }

    /// Can she resume on her page: there, ops, with a PIN and a key that was not taken back?
    #[must_use]
    pub fn can_resume(&self) -> bool {
        self.revoked_ms.is_none()
            && self.role == Role::Ops
            && self.pin_hash.is_some()
            && self.keys.values().any(|key| key.revoked_ms.is_none())
    }
}

/// Everybody, with the version that a change must still find.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct People {
    /// Counts changes.
    pub version: u64,
    /// By person id.
    pub people: BTreeMap<PersonId, Person>,
    /// One-use invitations that were consumed: invitation id to when.
    pub used_invites: BTreeMap<String, i64>,
}

impl People {
    pub(crate) fn parse(item: &HashMap<String, AttributeValue>) -> Self {
        // FAIL-CLOSED: an unreadable list knows nobody, so nobody can resume; a halt needs only the key's
        // signature.
        let body = item.get("body").and_then(|body| body.as_s().ok());
        body.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// An id for a new person, from her name; one that was ever used is never used again.
    #[must_use]
    pub fn fresh_id(&self, name: &str) -> Option<PersonId> {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let words: String = name.trim().to_lowercase().chars().map(letter).collect();
        let words: Vec<&str> = words.split('-').filter(|word| !word.is_empty()).collect();
        let base: String = if words.is_empty() { "person".to_owned() } else { words.join("-") };
        let base: String = base.chars().take(40).collect();
        let candidates = std::iter::once(base.clone()).chain((2..1_000).map(|n| format!("{base}-{n}")));
        candidates.filter_map(|id| PersonId::new(id).ok()).find(|id| !self.people.contains_key(id))
    }

    /// Somebody who is there, by id or by name.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<PersonId> {
        let wanted = text.trim().to_lowercase();
        let there = || self.people.iter().filter(|(_, person)| person.revoked_ms.is_none());
        let by_id = there().find(|(id, _)| id.as_str() == wanted);
        let mut by_name = there().filter(|(_, person)| person.name.trim().to_lowercase() == wanted);
        let found = by_id.or_else(|| {
            let first = by_name.next()?;
            // Two of the same name: neither is meant for sure.
            by_name.next().is_none().then_some(first)
        });
        found.map(|(id, _)| id.clone())
    }

    /// Is this key of this person known and not taken back?
    #[must_use]
    pub fn key_is_valid(&self, person: &PersonId, key_id: &str) -> bool {
        let Some(person) = self.people.get(person) else { return false };
        person.revoked_ms.is_none() && person.keys.get(key_id).is_some_and(|key| key.revoked_ms.is_none())
    }
}

impl Interlock {
    /// Everybody, read consistently.
    ///
    /// # Errors
    /// [`InterlockError`] when the store gave no answer.
    pub async fn people(&self) -> Result<People, InterlockError> {
        Ok(self.get("people", STORE_TIMEOUT).await?.as_ref().map(People::parse).unwrap_or_default())
    }

    /// Stores everybody, if nobody else did since `people` was read (its version). False when somebody did.
    ///
    /// # Errors
    /// [`InterlockError`] when the store gave no answer.
    pub async fn put_people(&self, people: &People) -> Result<bool, InterlockError> {
        let next = People { version: people.version.saturating_add(1), ..people.clone() };
        self.put_beside("people", "change people beside", people.version, &next).await
    }

    /// Stores an item beside the control item, if it still has the version that was read.
    pub(crate) async fn put_beside(
        &self,
        key: &str,
        operation: &'static str,
        seen: u64,
        next: &impl Serialize,
    ) -> Result<bool, InterlockError> {
        let failed = |source| InterlockError::Store { operation, source };
        let body = serde_json::to_string(next).map_err(|error| failed(Some(Box::new(error))))?;
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", AttributeValue::S(key.to_owned()))
            .item("version", AttributeValue::N(seen.saturating_add(1).to_string()))
            .item("body", AttributeValue::S(body))
            .condition_expression("attribute_not_exists(pk) OR #v = :seen")
            .expression_attribute_names("#v", "version")
            .expression_attribute_values(":seen", AttributeValue::N(seen.to_string()))
            .send();
        match tokio::time::timeout(STORE_TIMEOUT, put).await.map_err(|_| failed(None))? {
            Ok(_) => Ok(true),
            Err(error) => {
                let error = error.into_service_error();
                if matches!(error, PutItemError::ConditionalCheckFailedException(_)) {
                    return Ok(false);
                }
                Err(failed(Some(Box::new(error))))
            }
        }
    }
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
            let fresh = people.fresh_id(name).unwrap();
            assert_eq!(fresh.as_str(), id, "{name}");
            people.people.insert(fresh, Person::new(name, Role::Reader));
        }
        assert_eq!(people.find("Zo\u{eb}").unwrap().as_str(), "zo");
        assert_eq!(people.find("MARIEKE-DE-VRIES-2").unwrap().as_str(), "marieke-de-vries-2");
        people.people.get_mut(&PersonId::new("zo").unwrap()).unwrap().revoked_ms = Some(1);
        assert_eq!(people.find("Zo\u{eb}"), None, "somebody who was removed is not found");
        assert_eq!(
            people.fresh_id("Zo").unwrap().as_str(),
            "zo-2",
            "nor does she come back under her old id"
        );
    }
}
