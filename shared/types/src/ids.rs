//! Typed ids: one newtype per kind, validated once. Must never be built from unchecked text.
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty or longer than 128 bytes.
    #[error("{kind} must have 1 to 128 characters, has {length}")]
    Length {
        /// Which id.
        kind: &'static str,
        /// Bytes seen.
        length: usize,
    },
    /// A character outside `A-Z a-z 0-9 _ . : @ | -`. The text itself is not repeated: it may be hostile.
    #[error("{kind} has a character that ids never have")]
    Character {
        /// Which id.
        kind: &'static str,
    },
}

fn validate(kind: &'static str, text: &str) -> Result<(), IdError> {
    if text.is_empty() || text.len() > 128 {
        return Err(IdError::Length { kind, length: text.len() });
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'@' | b'|' | b'-');
    if text.bytes().all(plain) { Ok(()) } else { Err(IdError::Character { kind }) }
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text and wraps it.
            ///
            /// # Errors
            /// [`IdError`] when the text is empty, too long, or has a character that ids never have.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                validate(stringify!($name), &text)?;
                Ok(Self(text))
            }

            /// The text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    )+};
}

text_id! {
    /// One HTTP try to the model: fresh per invocation and per try.
    AttemptId,
    /// A customer: the deal's primary company id, else its lowest company id, else `deal-<deal id>`.
    CustomerId,
    /// A HubSpot deal id (digits).
    DealId,
    /// The composite dedupe key of a webhook event, hashed (hex).
    EventKey,
    /// One tool call of one step: `i-` + 20 hex of SHA-256(run, step, index).
    IntentId,
    /// One invocation of one function.
    InvocationId,
    /// One permission for one non-GET request to the CRM.
    PermitId,
    /// A person with a halt page of her own.
    PersonId,
    /// A data request: `R-<date>-<8 hex>`, in the order of their dates.
    RequestId,
    /// One agent run: `r-` + 20 hex of SHA-256(event key); also the execution name.
    RunId,
}

macro_rules! counter {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

counter! {
    /// The life between two arms of the agent; a run belongs to the epoch in which it began.
    Epoch,
    /// The same for one customer: counts her halts; a run belongs to the generation in which it began.
    Generation,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_only_plain_characters() {
        assert!(DealId::new("17234567890").is_ok());
        for bad in ["", "1 2", "a\u{0}", "dé", "<b>", "a\nb", "{x}", "a*", &"9".repeat(129)] {
            assert!(DealId::new(bad).is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn a_bad_id_is_refused_when_it_is_read_from_json() {
        assert!(serde_json::from_str::<RunId>("\"r-1\"").is_ok());
        assert!(serde_json::from_str::<RunId>("\"r 1\"").is_err());
    }
}
