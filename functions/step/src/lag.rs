//! Does the audit log keep up? Looked at once a minute a process. Must never let a tool write on a log that
//! nobody knows the end of.
//!
//! The outbox itself is asked, not the function that empties it: an audit function that does not run cannot
//! say that it is behind.
use ledger::Ledger;
use tokio::sync::Mutex;

/// How long an answer is used.
const LOOK_EVERY_MS: i64 = 60_000;
/// How long the last answer stands in for one that cannot be had.
const BELIEVED_MS: i64 = 15 * 60_000;

/// What was seen of the outbox last.
#[derive(Debug)]
pub struct LogLag {
    lag_ms_max: i64,
    /// When it was looked at, and when the oldest row that waited then had happened.
    seen: Mutex<Option<(i64, Option<i64>)>>,
}

impl LogLag {
    /// Behind means: the oldest row that waits is older than this.
    #[must_use]
    pub fn new(minutes_max: u32) -> Self {
        Self { lag_ms_max: i64::from(minutes_max).saturating_mul(60_000), seen: Mutex::default() }
    }

    /// Is the log near enough for tools to write?
    pub(crate) async fn keeps_up(&self, ledger: &Ledger) -> bool {
        let mut seen = self.seen.lock().await;
        let now_ms = ledger.clock().now_ms();
        let age = |at_ms: i64| now_ms.saturating_sub(at_ms);
        let is_fresh = seen.is_some_and(|(at_ms, _)| (0..LOOK_EVERY_MS).contains(&age(at_ms)));
        if !is_fresh {
            match ledger.oldest_unacknowledged_ms().await {
                Ok(oldest) => *seen = Some((now_ms, oldest)),
                Err(error) => tracing::warn!(%error, "the outbox could not be looked at"),
            }
        }
        match *seen {
            Some((at_ms, oldest)) if (-BELIEVED_MS..BELIEVED_MS).contains(&age(at_ms)) => {
                oldest.is_none_or(|oldest| age(oldest) <= self.lag_ms_max)
            }
            // FAIL-CLOSED: never looked, or too long ago.
            Some(_) | None => false,
        }
    }
}
