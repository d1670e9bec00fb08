//! The one place that reads the wall clock. Must never be bypassed: tests and simulations move it by hand.
use jiff::Timestamp;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// The time of day, injected. No safety rule depends on it except the expiry of permits and claims (+
/// margin).
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still at `ms` since the epoch until it is moved.
    #[must_use]
    pub fn manual(ms: i64) -> Self {
        Self(Some(Arc::new(AtomicI64::new(ms))))
    }

    /// Milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Some(ms) => ms.load(Ordering::SeqCst),
            #[expect(clippy::disallowed_methods, reason = "the one reader of the wall clock")]
            None => Timestamp::now().as_millisecond(),
        }
    }

    /// The same as a timestamp (milliseconds; held inside what a timestamp can say).
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now_ms()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Moves a manual clock by `ms` (backwards too). The machine's clock cannot be moved.
    pub fn advance_ms(&self, ms: i64) {
        if let Some(now) = &self.0 {
            now.fetch_add(ms, Ordering::SeqCst);
        }
    }
}
