//! The control item as it was read at one instant. Must never be cached: it is true only for the answer it
//! came from.
use crate::error::InterlockError;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use types::{CustomerId, Epoch, Generation, IntentId, Mode, PermitId, RunId, Scope};

/// Whether the control item lets anything run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Runs of this epoch may act.
    Armed,
    /// Nothing may act.
    Halted,
}

/// Who halted, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltedBy {
    /// The presser, as printed in the audit (`person:marieke`, `system:cap`).
    pub by: String,
    /// When, in ms since 1970.
    pub at_ms: i64,
    /// A code (`usd_per_day`, `not_yet_armed`, `pressed`, `flag_set`, `drill`) or empty.
    pub reason: String,
}

/// One permit as the control item holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldPermit {
    /// The run that holds it.
    pub run_id: RunId,
    /// The tool call it is for.
    pub intent_id: IntentId,
    /// The tool.
    pub tool: String,
    /// What is written to (`deal:4411`).
    pub target: String,
    /// Whose deal it is.
    pub customer_id: CustomerId,
    /// When the platform has certainly ended the holder, margin included (ms since 1970).
    pub deadline_ms: i64,
    /// When it was granted.
    pub granted_ms: i64,
}

/// One entry of the log that halts, re-arms, flips and trips append in the same update as the change itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Unique; becomes the audit entry's id.
    pub id: String,
    /// When, in ms since 1970.
    pub at_ms: i64,
    /// Who, as printed in the audit.
    pub actor: types::Actor,
    /// `halt`, `resume`, `flip`, `trip`, `init`, `permit_unknown`, ...
    pub verb: String,
    /// What it was done to (`agent:global`, `customer:1234`, `tool:set_stage`).
    pub target: types::Target,
    /// What was there before.
    pub before: Option<serde_json::Value>,
    /// What is there after.
    pub after: Option<serde_json::Value>,
    /// The person's own words (at most 300 bytes), or a code.
    pub because: String,
    /// `page`, `slack_link`, `console`, `cli`, `cap`, `flag`, `drill`.
    pub source: String,
}

/// The control item.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    /// Counts every halt and every arm.
    pub epoch: Epoch,
    /// Armed or halted.
    pub state: State,
    /// The halt in force; absent while armed.
    pub halted_by: Option<HaltedBy>,
    /// When it was last armed (ms since 1970); 0 before the first time.
    pub armed_ms: i64,
    /// Per customer: how often she was halted.
    pub generations: BTreeMap<CustomerId, Generation>,
    /// The customers that are halted.
    pub halted_customers: BTreeMap<CustomerId, HaltedBy>,
    /// Tool modes; absent means dry-run.
    pub modes: BTreeMap<String, Mode>,
    /// Who last changed a tool's mode, and when.
    pub mode_changes: BTreeMap<String, HaltedBy>,
    /// The modes before the last re-arm turned everything to dry-run.
    pub modes_before: BTreeMap<String, Mode>,
    /// Permits in flight.
    pub in_flight: BTreeMap<PermitId, HeldPermit>,
    /// Permits whose outcome is not known.
    pub unknown: BTreeMap<PermitId, HeldPermit>,
    /// What is not yet in the outbox.
    pub log: Vec<LogEntry>,
    /// Presses that found the log full and were only counted.
    pub log_folded: u64,
}

impl Control {
    /// The customer's generation; one that was never halted has 0.
    #[must_use]
    pub fn generation(&self, customer: &CustomerId) -> Generation {
        self.generations.get(customer).copied().unwrap_or_default()
    }

    /// Permits of a scope that may still be writing at `now_ms`, and those whose outcome is unknown (an
    /// overdue permit counts as unknown, whether or not a sweep has moved it).
    // INVARIANT (I1): "Nothing in flight" is said only when both lists of one answer are empty.
    #[must_use]
    pub fn writes(&self, scope: &Scope, now_ms: i64) -> (Vec<&HeldPermit>, Vec<&HeldPermit>) {
        let within = |held: &&HeldPermit| match scope {
            Scope::Global => true,
            Scope::Customer(id) => held.customer_id == *id,
        };
        let (live, overdue): (Vec<_>, Vec<_>) =
            self.in_flight.values().filter(within).partition(|held| held.deadline_ms > now_ms);
        let mut unknown: Vec<_> = self.unknown.values().filter(within).chain(overdue).collect();
        let mut live = live;
        for held in [&mut live, &mut unknown] {
            // Oldest first: permits lie in the item by their random ids.
            held.sort_by_key(|held| held.granted_ms);
        }
        (live, unknown)
    }

    pub(crate) fn parse(item: &HashMap<String, AttributeValue>) -> Result<Self, InterlockError> {
        let state = match text(item, "state")? {
            "armed" => State::Armed,
            "halted" => State::Halted,
            _ => return Err(InterlockError::Malformed { attribute: "state" }),
        };
        Ok(Self {
            epoch: Epoch(number(item, "epoch")?),
            state,
            halted_by: match state {
                State::Halted => Some(json(text(item, "halted_by")?, "halted_by")?),
                State::Armed => None,
            },
            armed_ms: i64::try_from(number(item, "armed_ms")?).unwrap_or(0),
            generations: map(item, "cust_gen", |v| {
                v.as_n().ok().and_then(|n| n.parse().ok()).map(Generation)
            })?,
            halted_customers: map(item, "cust_halted", json_value)?,
            modes: map(item, "mode", mode)?,
            mode_changes: map(item, "mode_changes", json_value)?,
            modes_before: map(item, "mode_before", mode)?,
            in_flight: map(item, "inflight", json_value)?,
            unknown: map(item, "unknown", json_value)?,
            log: list(item, "log")?,
            log_folded: number(item, "log_folded")?,
        })
    }
}

type Item = HashMap<String, AttributeValue>;

fn text<'a>(item: &'a Item, attribute: &'static str) -> Result<&'a str, InterlockError> {
    let value = item.get(attribute).and_then(|v| v.as_s().ok());
    value.map(String::as_str).ok_or(InterlockError::Malformed { attribute })
}

fn number(item: &Item, attribute: &'static str) -> Result<u64, InterlockError> {
    let value = item.get(attribute).and_then(|v| v.as_n().ok()).and_then(|n| n.parse().ok());
    value.ok_or(InterlockError::Malformed { attribute })
}

fn json<T: serde::de::DeserializeOwned>(text: &str, attribute: &'static str) -> Result<T, InterlockError> {
    serde_json::from_str(text).map_err(|_| InterlockError::Malformed { attribute })
}

fn json_value<T: serde::de::DeserializeOwned>(value: &AttributeValue) -> Option<T> {
    value.as_s().ok().and_then(|text| serde_json::from_str(text).ok())
}

fn mode(value: &AttributeValue) -> Option<Mode> {
    value.as_s().ok().and_then(|code| Mode::from_code(code))
}

/// A map attribute. One entry that cannot be read makes the whole item unreadable: a halted customer or a
/// permit that was skipped would be a hole.
fn map<K: TryFrom<String> + Ord, V>(
    item: &Item,
    attribute: &'static str,
    read: impl Fn(&AttributeValue) -> Option<V>,
) -> Result<BTreeMap<K, V>, InterlockError> {
    let malformed = || InterlockError::Malformed { attribute };
    let entries = item.get(attribute).and_then(|v| v.as_m().ok()).ok_or_else(malformed)?;
    let pair =
        |(key, value): (&String, &AttributeValue)| Some((K::try_from(key.clone()).ok()?, read(value)?));
    entries.iter().map(|entry| pair(entry).ok_or_else(malformed)).collect()
}

fn list(item: &Item, attribute: &'static str) -> Result<Vec<LogEntry>, InterlockError> {
    let malformed = || InterlockError::Malformed { attribute };
    let entries = item.get(attribute).and_then(|v| v.as_l().ok()).ok_or_else(malformed)?;
    entries.iter().map(|entry| json_value(entry).ok_or_else(malformed)).collect()
}

/// The item that `holdfast init` writes: halted, nobody armed it yet, every map there (the store cannot set
/// inside a missing map).
pub(crate) fn first_item(by: &str, at_ms: i64, log: &LogEntry) -> Result<Item, InterlockError> {
    let halted_by = HaltedBy { by: by.to_owned(), at_ms, reason: "not_yet_armed".to_owned() };
    let text_of = |value: &dyn erased::Json| {
        value.to_text().map(AttributeValue::S).ok_or(InterlockError::Malformed { attribute: "halted_by" })
    };
    let empty = || AttributeValue::M(HashMap::new());
    let zero = || AttributeValue::N("0".to_owned());
    let mut item = Item::from([
        ("pk".to_owned(), AttributeValue::S(crate::CONTROL_KEY.to_owned())),
        ("schema_version".to_owned(), AttributeValue::N("1".to_owned())),
        ("state".to_owned(), AttributeValue::S("halted".to_owned())),
        ("epoch".to_owned(), zero()),
        ("armed_ms".to_owned(), zero()),
        ("log_folded".to_owned(), zero()),
        ("halted_by".to_owned(), text_of(&halted_by)?),
        ("log".to_owned(), AttributeValue::L(vec![text_of(log)?])),
    ]);
    for attribute in ["cust_gen", "cust_halted", "mode", "mode_changes", "mode_before", "inflight", "unknown"]
    {
        item.insert(attribute.to_owned(), empty());
    }
    Ok(item)
}

mod erased {
    //! Two shapes, one writer. Must never fail on our own types.
    pub(super) trait Json {
        fn to_text(&self) -> Option<String>;
    }
    impl<T: serde::Serialize> Json for T {
        fn to_text(&self) -> Option<String> {
            serde_json::to_string(self).ok()
        }
    }
}
