//! The id of a HubSpot record: digits by construction, so that it can stand in a path. Must never hold text.
use serde::{Deserialize, Serialize};
use std::fmt;
use types::DealId;

/// The text is not a HubSpot record id. The text itself is not repeated: it may be hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record id is a whole number above zero without leading zeros")]
pub struct BadId;

/// The id of a contact, company, email, note, task or owner. Ordered by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordId(u64);

impl RecordId {
    /// Reads digits: no sign, no space, no leading zero, at most 2^63 - 1.
    ///
    /// # Errors
    /// [`BadId`] for any other text.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        let plain = !text.is_empty() && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
        if !plain {
            return Err(BadId);
        }
        text.parse::<u64>().map_err(|_not_a_number| BadId).and_then(Self::try_from)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for RecordId {
    type Error = BadId;
    fn try_from(number: u64) -> Result<Self, BadId> {
        if number == 0 || i64::try_from(number).is_err() { Err(BadId) } else { Ok(Self(number)) }
    }
}

impl TryFrom<String> for RecordId {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        Self::parse(&text)
    }
}

impl TryFrom<&DealId> for RecordId {
    type Error = BadId;
    // WHY NOT: percent-encode the deal id into the path. URL parsers read `%2e%2e` as a dot segment, so an id
    // of two dots would still climb; a number cannot.
    fn try_from(deal_id: &DealId) -> Result<Self, BadId> {
        Self::parse(deal_id.as_str())
    }
}

impl From<RecordId> for String {
    fn from(id: RecordId) -> Self {
        id.0.to_string()
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_number_is_a_record_id() {
        assert_eq!(RecordId::parse("17234567890").map(RecordId::get), Ok(17_234_567_890));
        for bad in ["", "0", "007", "-1", "+1", "1.0", "1e3", " 1", "..", "1/2", "9223372036854775808", "١"]
        {
            assert_eq!(RecordId::parse(bad), Err(BadId), "{bad:?} must be refused");
        }
        let dots = DealId::new("..").expect("the shared id allows dots");
        assert_eq!(RecordId::try_from(&dots), Err(BadId));
    }

    #[test]
    fn ids_are_ordered_by_number_not_by_text() {
        assert!(RecordId::parse("9").ok() < RecordId::parse("10").ok());
    }
}
