//! Faults on demand: what the next matching request meets. Must never be reachable over HTTP, only from the
//! test.
use crate::serve::Received;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// What a request meets instead of the ordinary answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Too many requests; nothing is applied. HubSpot: the policy's name (`TEN_SECONDLY_ROLLING`, `DAILY`).
    /// Anthropic: `details.error_code`, or empty for the ordinary one with `retry-after: 1`. Slack: not used.
    Status429 {
        /// See above.
        policy: String,
    },
    /// The vendor's own error of this status; nothing is applied.
    Status(u16),
    /// The connection drops; nothing is applied.
    Reset,
    /// The request is applied, then the connection drops.
    ApplyThenReset,
    /// The request is applied at once, the answer comes so many milliseconds later.
    ApplyThenDelay(u64),
    /// The request is applied and answered so many milliseconds later, if the client still waits.
    Delay(u64),
    /// A 307 to this address; nothing is applied.
    Redirect(String),
    /// A proxy's HTML page with status 502; nothing is applied.
    Html502,
    /// Status 200 with bytes that are no JSON; nothing is applied.
    Garbage,
    /// The connection drops now; the request is applied when the test says `apply_late`.
    LateApply,
}

/// Which requests a fault is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matcher {
    method: Option<String>,
    path: Option<String>,
    body: Option<String>,
}

impl Matcher {
    /// Every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Only this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only paths (with their query) that hold this text.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    /// Only bodies that hold this text.
    #[must_use]
    pub fn body(mut self, part: &str) -> Self {
        self.body = Some(part.to_owned());
        self
    }

    fn matches(&self, request: &Received) -> bool {
        self.method.as_ref().is_none_or(|method| *method == request.method)
            && self.path.as_ref().is_none_or(|part| request.target().contains(part))
            && self.body.as_ref().is_none_or(|part| request.text().contains(part))
    }
}

/// The faults that wait for their request, and the requests that wait for `apply_late`.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    once: Mutex<VecDeque<(Matcher, Fault)>>,
    standing: Mutex<Vec<(Matcher, Fault)>>,
    late: Mutex<Vec<(Received, usize)>>,
}

impl Faults {
    pub(crate) fn next(&self, matcher: Matcher, fault: Fault) {
        lock(&self.once).push_back((matcher, fault));
    }

    pub(crate) fn always(&self, matcher: Matcher, fault: Fault) {
        lock(&self.standing).push((matcher, fault));
    }

    pub(crate) fn clear(&self) {
        lock(&self.once).clear();
        lock(&self.standing).clear();
    }

    pub(crate) fn unused(&self) -> usize {
        lock(&self.once).len()
    }

    /// The fault for this request: the first one-time fault that matches is used up, else a standing one.
    pub(crate) fn take(&self, request: &Received) -> Option<Fault> {
        let mut once = lock(&self.once);
        if let Some(place) = once.iter().position(|(matcher, _)| matcher.matches(request)) {
            return once.remove(place).map(|(_, fault)| fault);
        }
        drop(once);
        lock(&self.standing)
            .iter()
            .find(|(matcher, _)| matcher.matches(request))
            .map(|(_, fault)| fault.clone())
    }

    pub(crate) fn put_late(&self, request: Received, place: usize) {
        lock(&self.late).push((request, place));
    }

    pub(crate) fn take_late(&self) -> Vec<(Received, usize)> {
        std::mem::take(&mut *lock(&self.late))
    }
}

/// A lock that a failed test thread does not spoil for the others.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
