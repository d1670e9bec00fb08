//! What became of a write: a value, not an error. Must never call a write "not applied" when it may have
//! been.
use crate::Retry;
use types::Reason;

/// What became of one write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a write whose outcome is thrown away can be neither audited nor read back"]
pub enum Sent<T> {
    /// HubSpot confirmed it.
    Applied(T),
    /// It certainly did not happen.
    NotApplied {
        /// The stable code.
        reason: Reason,
        /// How long to wait before it could succeed, in milliseconds; none when waiting is of no use.
        wait_ms: Option<u64>,
        /// HubSpot's words, bounded and sanitised, or ours.
        message: String,
    },
    // FAIL-CLOSED: every doubt ends here, never in `NotApplied`: a write that is wrongly called undone gets
    // done twice.
    /// It may have happened: read the CRM before anything else.
    Unknown {
        /// What was seen, without any address.
        what: String,
    },
}

impl<T> Sent<T> {
    /// Whether the write may be sent again.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Applied(_) => Retry::Never,
            Self::NotApplied { wait_ms: Some(_), .. } => Retry::Safe,
            Self::NotApplied { wait_ms: None, .. } => Retry::Never,
            Self::Unknown { .. } => Retry::AfterRead,
        }
    }

    /// The same outcome about another value; a value that cannot be made leaves the outcome unknown.
    pub(crate) fn and_then<U>(self, read: impl FnOnce(T) -> Result<U, String>) -> Sent<U> {
        match self {
            Self::Applied(value) => match read(value) {
                Ok(value) => Sent::Applied(value),
                Err(what) => Sent::Unknown { what },
            },
            Self::NotApplied { reason, wait_ms, message } => Sent::NotApplied { reason, wait_ms, message },
            Self::Unknown { what } => Sent::Unknown { what },
        }
    }
}
