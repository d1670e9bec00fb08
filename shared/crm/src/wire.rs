//! HubSpot's answers as they come: every field optional, unknown fields ignored. Must never leave this crate.
use crate::{CrmError, RecordId};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;
use types::Timestamp;

/// One record with whatever was asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct Record {
    #[serde(deserialize_with = "record_id")]
    pub(crate) id: RecordId,
    #[serde(default)]
    properties: Option<BTreeMap<String, Value>>,
    #[serde(default, rename = "createdAt")]
    created_at: Option<String>,
    #[serde(default, rename = "updatedAt")]
    updated_at: Option<String>,
    #[serde(default)]
    associations: Option<BTreeMap<String, Links>>,
    #[serde(default, rename = "propertiesWithHistory")]
    history: Option<BTreeMap<String, Vec<Change>>>,
}

/// The records linked to one, of one kind.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Links {
    #[serde(default)]
    pub(crate) results: Vec<Link>,
    #[serde(default)]
    paging: Option<Value>,
}

impl Links {
    /// HubSpot holds more than it listed.
    pub(crate) fn is_partial(&self) -> bool {
        self.paging.as_ref().is_some_and(|paging| paging.get("next").is_some_and(|next| !next.is_null()))
    }

    /// The ids, each once, the lowest first.
    pub(crate) fn ids(&self) -> Vec<RecordId> {
        let mut ids: Vec<RecordId> = self.results.iter().map(|link| link.id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// One link.
#[derive(Debug, Deserialize)]
pub(crate) struct Link {
    #[serde(deserialize_with = "record_id")]
    pub(crate) id: RecordId,
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
}

/// One earlier or present value of a property.
#[derive(Debug, Deserialize)]
pub(crate) struct Change {
    #[serde(default)]
    pub(crate) value: Option<Value>,
    #[serde(default)]
    pub(crate) timestamp: Option<Value>,
    #[serde(default, rename = "sourceType")]
    pub(crate) source_type: Option<String>,
    #[serde(default, rename = "sourceId")]
    pub(crate) source_id: Option<Value>,
}

impl Record {
    /// A property as text; none when it is absent, null or empty.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.properties.as_ref()?.get(name).and_then(text_of).filter(|text| !text.is_empty())
    }

    /// A property as a time.
    pub(crate) fn time(&self, name: &str) -> Option<Timestamp> {
        time_of(&self.text(name)?)
    }

    /// A property as a record id.
    pub(crate) fn id_in(&self, name: &str) -> Option<RecordId> {
        RecordId::parse(&self.text(name)?).ok()
    }

    /// When the record was made, by HubSpot's clock.
    pub(crate) fn created_at(&self) -> Option<Timestamp> {
        self.created_at.as_deref().and_then(time_of)
    }

    /// When the record changed last.
    pub(crate) fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at.as_deref().and_then(time_of)
    }

    /// The linked records of that kind, if any were listed.
    pub(crate) fn links(&self, kind: &str) -> Option<&Links> {
        self.associations.as_ref()?.get(kind)
    }

    /// The ids of the linked records of that kind.
    pub(crate) fn linked(&self, kind: &str) -> Vec<RecordId> {
        self.links(kind).map(Links::ids).unwrap_or_default()
    }

    /// The values of a property, as HubSpot ordered them; none when HubSpot sent no history at all.
    pub(crate) fn changes(&self, property: &str) -> Option<&[Change]> {
        self.history.as_ref()?.get(property).map(Vec::as_slice)
    }

    /// The record, if it is the one that was asked for. A merged record is answered under another id.
    pub(crate) fn about(self, call: &'static str, asked: RecordId) -> Result<Self, CrmError> {
        if self.id == asked {
            Ok(self)
        } else {
            Err(CrmError::Malformed { call, what: format!("it is about record `{}`", self.id) })
        }
    }
}

/// Text, or a number or truth value written as text.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A time as ISO text or as milliseconds.
pub(crate) fn time_of(text: &str) -> Option<Timestamp> {
    match text.parse::<i64>() {
        Ok(ms) => Timestamp::from_millisecond(ms).ok(),
        Err(_) => text.parse().ok(),
    }
}

/// A record id as a number or as text.
pub(crate) fn record_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RecordId, D::Error> {
    let value = Value::deserialize(deserializer)?;
    text_of(&value)
        .and_then(|text| RecordId::parse(&text).ok())
        .ok_or_else(|| serde::de::Error::custom("not a record id"))
}
