//! What can go wrong with HubSpot and with its webhooks. Must never carry a token, a secret or an unbounded
//! text.
use types::Reason;

/// What may be done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Trying again cannot do harm.
    Safe,
    /// Only after the CRM has been read: the first try may have been applied.
    AfterRead,
    /// Trying again gives the same answer.
    Never,
}

/// A read that gave no answer we can use. Every read is a GET, so nothing was changed. `call` names the read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrmError {
    /// No such record, or not readable for our token.
    #[error("{call}: no such record, or the token may not read it")]
    NotFound {
        /// Which read.
        call: &'static str,
    },
    /// HubSpot refused (4xx), or sent us elsewhere (3xx, which is never followed).
    #[error(
        "{call}: refused with status {status}, category `{category}`, correlation `{correlation_id}`: \
         `{message}`"
    )]
    Refused {
        /// Which read.
        call: &'static str,
        /// The HTTP status.
        status: u16,
        /// HubSpot's category (`MISSING_SCOPES`), empty when it gave none.
        category: String,
        /// HubSpot's message: at most 300 characters, no control or bidi characters.
        message: String,
        /// What HubSpot's support asks for, empty when it gave none.
        correlation_id: String,
    },
    /// Too many requests.
    #[error("{call}: rate limited, wait {wait_ms} ms (daily limit: {daily})")]
    RateLimited {
        /// Which read.
        call: &'static str,
        /// How long to wait, in milliseconds.
        wait_ms: u64,
        /// The day's limit is used up: waiting inside a run is of no use.
        daily: bool,
    },
    /// No answer in time, no connection, or an answer that says "try again" (5xx, 408, 423, 477).
    #[error("{call}: HubSpot is not available: {what}")]
    Unavailable {
        /// Which read.
        call: &'static str,
        /// What was seen, without any address.
        what: String,
    },
    /// An answer of another shape than documented, or about another record.
    #[error("{call}: the answer cannot be used: {what}")]
    Malformed {
        /// Which read.
        call: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// The answer is longer than we are ready to hold.
    #[error("{call}: the answer has more than {bytes_max} bytes")]
    TooLarge {
        /// Which read.
        call: &'static str,
        /// The bound, in bytes.
        bytes_max: usize,
    },
    /// HubSpot gave a part of a list only, and the part does not settle the question.
    #[error("{call}: HubSpot lists only a part of the linked {what}")]
    Incomplete {
        /// Which read.
        call: &'static str,
        /// The list.
        what: &'static str,
    },
    /// The id is not a HubSpot record id, so nothing was sent.
    #[error("{call}: the id is not a whole number, so nothing was sent")]
    BadId {
        /// Which read.
        call: &'static str,
    },
}

impl CrmError {
    /// Whether the read may be tried again.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::RateLimited { daily: false, .. } | Self::Unavailable { .. } => Retry::Safe,
            Self::RateLimited { daily: true, .. }
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::Incomplete { .. }
            | Self::BadId { .. } => Retry::Never,
        }
    }

    /// The stable code for the log.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NotFound { .. } | Self::BadId { .. } => Reason::CrmNotFound,
            Self::Refused { .. } => Reason::CrmRefused,
            Self::RateLimited { .. } => Reason::CrmRateLimited,
            Self::Unavailable { .. }
            | Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::Incomplete { .. } => Reason::CrmUnavailable,
        }
    }
}

/// Why no client was built.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The base URL could carry the token in the clear or elsewhere.
    #[error(
        "the HubSpot base URL must be `https://host` (or `http://` on loopback), without path, user or query"
    )]
    BaseUrl,
    /// The API version is not a date.
    #[error("the HubSpot API version must look like `2026-09`")]
    ApiVersion,
    /// No token, or one with characters that a header cannot hold.
    #[error("the HubSpot token is empty or has characters that a header cannot hold")]
    Token,
    /// The HTTP client could not be built.
    #[error("the HTTP client for HubSpot could not be built")]
    BuildClient(#[source] reqwest::Error),
}

/// Why a webhook's body was refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Too many bytes.
    #[error("the body has {bytes} bytes, more than {bytes_max}")]
    TooLarge {
        /// Bytes seen.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// Nested too deep.
    #[error("the body is nested deeper than {depth_max}")]
    TooDeep {
        /// Levels allowed.
        depth_max: usize,
    },
    /// Not a JSON array.
    #[error("the body is not a JSON array")]
    NotAnArray,
    /// An empty array.
    #[error("the body holds no event")]
    Empty,
    /// Too many events.
    #[error("the body holds {events} events, more than {events_max}")]
    TooMany {
        /// Events seen.
        events: usize,
        /// Events allowed.
        events_max: usize,
    },
}

/// Why one event of a body cannot be used. The others are not touched by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Not a JSON object.
    #[error("the event is not a JSON object")]
    NotAnObject,
    /// A field that every event has is absent, or is not what it must be.
    #[error("the event has no usable `{field}`")]
    Field {
        /// HubSpot's name of the field.
        field: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_change_by_itself_is_tried_again() {
        let call = "get deal";
        assert_eq!(CrmError::Unavailable { call, what: String::new() }.retry(), Retry::Safe);
        assert_eq!(CrmError::RateLimited { call, wait_ms: 1, daily: false }.retry(), Retry::Safe);
        assert_eq!(CrmError::RateLimited { call, wait_ms: 1, daily: true }.retry(), Retry::Never);
        assert_eq!(CrmError::NotFound { call }.retry(), Retry::Never);
    }
}
