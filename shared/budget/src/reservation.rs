//! A reservation in hand. Must never be dropped: settle it, or charge it in full.
use types::{AttemptId, RunId, UsdNanos};

/// One HTTP try, reserved before its first byte is sent. Not `Clone`; ended exactly once.
#[must_use = "a reservation is settled or charged in full"]
#[derive(Debug)]
pub struct Reservation {
    pub(crate) run_id: RunId,
    pub(crate) attempt_id: AttemptId,
    pub(crate) day: String,
    pub(crate) tokens: u64,
    pub(crate) usd: UsdNanos,
    pub(crate) deadline_ms: i64,
}

impl Reservation {
    /// The try it pays for.
    #[must_use]
    pub fn attempt_id(&self) -> &AttemptId {
        &self.attempt_id
    }

    /// Tokens set aside, input bound plus `max_tokens`.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Dollars set aside.
    #[must_use]
    pub fn usd(&self) -> UsdNanos {
        self.usd
    }

    /// The run that pays.
    #[must_use]
    pub fn run_id(&self) -> &RunId {
        &self.run_id
    }

    /// When the invocation that sends it is over, milliseconds since the epoch. Later it is posted in full.
    #[must_use]
    pub fn deadline_ms(&self) -> i64 {
        self.deadline_ms
    }

    /// The day that pays (`2026-11-24`, in the ops lead's zone), fixed at reservation.
    #[must_use]
    pub fn day(&self) -> &str {
        &self.day
    }
}

/// What a try really used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Input (cached and uncached) and output tokens.
    pub tokens: u64,
    /// Their price.
    pub usd: UsdNanos,
}
