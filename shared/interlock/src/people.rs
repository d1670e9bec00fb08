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
        let failed = |source| InterlockError::Store { operation: "change people beside", source };
        let next = People { version: people.version.saturating_add(1), ..people.clone() };
        let body = serde_json::to_string(&next).map_err(|error| failed(Some(Box::new(error))))?;
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", AttributeValue::S("people".to_owned()))
            .item("version", AttributeValue::N(next.version.to_string()))
            .item("body", AttributeValue::S(body))
            .condition_expression("attribute_not_exists(pk) OR #v = :seen")
            .expression_attribute_names("#v", "version")
            .expression_attribute_values(":seen", AttributeValue::N(people.version.to_string()))
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
