//! An entry as committed bytes and as searched columns. Must never lose a byte of the former.
use crate::error::Error;
use ledger::Entry;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Longest text of an indexed column, in characters: hostile names must not outgrow an index page. The bytes
/// keep them.
const COLUMN_CHARS_MAX: usize = 200;

/// Keys under which a stage change names the stage it leads to, in the order of preference.
const STAGE_KEYS: [&str; 4] = ["dealstage", "stage_id", "to_stage", "stage"];

/// The entry as JSON with sorted keys and no spaces.
///
/// # Errors
/// [`Error::Canonical`] when it cannot be written as JSON.
pub fn canonical_bytes(entry: &Entry) -> Result<Vec<u8>, Error> {
    let value = serde_json::to_value(entry).map_err(Error::Canonical)?;
    serde_json::to_vec(&sorted(value)).map_err(Error::Canonical)
}

/// Rebuilt key by key: whether a map keeps the order of insertion is decided by whoever else is built with
/// us.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<(String, Value)> = map.into_iter().collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(pairs.into_iter().map(|(key, value)| (key, sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// The columns of an entry, as text that Postgres can hold: U+0000 becomes U+FFFD, the over-long is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) entry_id: String,
    pub(crate) stream: String,
    pub(crate) event_no: i64,
    pub(crate) occurred_us: i64,
    pub(crate) actor: String,
    pub(crate) verb: String,
    pub(crate) state: &'static str,
    pub(crate) reason: Option<&'static str>,
    pub(crate) mode: Option<&'static str>,
    pub(crate) tier: Option<&'static str>,
    pub(crate) intent_id: Option<String>,
    pub(crate) run_id: Option<String>,
    pub(crate) step: Option<i64>,
    pub(crate) prompt_hash: Option<Vec<u8>>,
    pub(crate) prompt_parts: Vec<Vec<u8>>,
    pub(crate) model_version: Option<String>,
    pub(crate) config_version: Option<String>,
    pub(crate) target_id: String,
    pub(crate) customer_id: Option<String>,
    pub(crate) to_stage: Option<String>,
    pub(crate) persons: Vec<String>,
}

impl Columns {
    /// The columns, or which field cannot be one.
    pub(crate) fn of(entry: &Entry) -> Result<Self, &'static str> {
        let unique = |text: &str| !text.is_empty() && text.len() <= 512 && !text.contains('\0');
        if !unique(&entry.entry_id) {
            return Err("entry_id");
        }
        if !unique(&entry.stream) {
            return Err("stream");
        }
        let hashes = |prompt: &ledger::PromptRef| {
            let parts =
                prompt.parts.iter().map(|part| digest_from_hex(&part.hash)).collect::<Option<Vec<_>>>()?;
            if parts.is_empty() { None } else { Some((digest_from_hex(&prompt.hash)?, parts)) }
        };
        let (prompt_hash, prompt_parts) = match &entry.prompt {
            None => (None, Vec::new()),
            Some(prompt) => hashes(prompt).map(|(hash, parts)| (Some(hash), parts)).ok_or("prompt")?,
        };
        let mut persons: Vec<String> = entry
            .subjects
            .iter()
            .map(|person| person_key(person))
            .filter(|person| !person.is_empty())
            .collect();
        persons.sort();
        persons.dedup();
        Ok(Self {
            entry_id: entry.entry_id.clone(),
            stream: entry.stream.clone(),
            event_no: i64::try_from(entry.event_no).map_err(|_| "event_no")?,
            occurred_us: entry.occurred_at.as_microsecond(),
            actor: column(&entry.actor.to_string()),
            verb: column(&entry.verb),
            state: entry.state.code(),
            reason: entry.reason.map(types::Reason::code),
            mode: entry.mode.map(types::Mode::code),
            tier: entry.tier.map(types::Tier::code),
            intent_id: entry.intent_id.as_ref().map(ToString::to_string),
            run_id: entry.run_id.as_ref().map(ToString::to_string),
            step: entry.step.map(i64::from),
            prompt_hash,
            prompt_parts,
            model_version: entry.model_version.as_deref().map(column),
            config_version: entry.config_version.as_deref().map(column),
            target_id: column(&entry.target.to_string()),
            customer_id: entry.customer_id.as_ref().map(ToString::to_string),
            to_stage: stage_after(entry),
            persons,
        })
    }
}

/// The stage that the entry leads to, lower case, where `after` names one.
fn stage_after(entry: &Entry) -> Option<String> {
    let after = entry.after.as_ref()?;
    let stage = STAGE_KEYS.iter().find_map(|key| after.get(key).and_then(Value::as_str))?;
    Some(column(&stage.to_lowercase()))
}

/// A person's id or address as it is compared: lower case, one line.
pub(crate) fn person_key(person: &str) -> String {
    column(&person.trim().to_lowercase().replace(['\n', '\r'], " "))
}

/// A text as a column holds it.
pub(crate) fn column(text: &str) -> String {
    text.chars().take(COLUMN_CHARS_MAX).map(|c| if c == '\0' { '\u{fffd}' } else { c }).collect()
}

/// SHA-256 of the bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// 64 hex digits as 32 bytes.
pub(crate) fn digest_from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..32).map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()).collect()
}
