//! The halt function: one page, one button, both switches. Must never need anything but the two switches
//! to halt.
//!
//! Read [`press`] first: it is what the button does.

mod drill;
mod enrol;
mod error;
mod fails;
mod forget;
mod look;
mod note;
mod ops;
mod page;
mod press;
mod receipts;
mod resume;
mod route;
mod rows;
mod start;
mod unanswered;
mod words;

#[cfg(test)]
mod tests;

pub use error::{HaltError, StartError};
pub use route::answer;
pub use words::HaltWord;

use serde_json::Value;
use std::sync::Mutex;
use std::time::Duration;
use types::Timestamp;
use web::{LinkVerifier, Request, Zone};

/// How long a page waits for today's budget: it is only a line on the page.
const BUDGET_TIMEOUT: Duration = Duration::from_millis(250);

/// What a page names besides the state.
#[derive(Debug, Clone, Default)]
pub struct Install {
    /// What the pages call this install.
    pub company: String,
    /// Who can be called, for "If this page fails".
    pub deputy_name: Option<String>,
    /// Her number.
    pub deputy_phone: Option<String>,
    /// This page's own address, if it is known.
    pub halt_url: Option<String>,
    /// The console's address, if it is known.
    pub console_url: Option<String>,
    /// Where HubSpot shows a deal; `None` while the stand-in takes its place.
    pub hubspot_app_url: Option<String>,
}

/// Everything the function works with, built once per process.
pub struct Deps {
    /// Both switches.
    pub interlock: interlock::Interlock,
    /// Spend and sign of life; looked at, never changed.
    pub budget: budget::Budget,
    /// The outbox, and events that wait.
    pub ledger: ledger::Ledger,
    /// Checks personal links without a store.
    pub verifier: LinkVerifier,
    /// Holds the signing key, which is fetched only to add a phone.
    pub secrets: config::Secrets,
    /// The company's zone; asked for by the sweep, never by a page.
    pub hot: config::HotConfig,
    /// The zone as last seen.
    pub zone: Mutex<Zone>,
    /// Names and numbers for the pages.
    pub install: Install,
}

impl Deps {
    pub(crate) fn zone(&self) -> Zone {
        self.zone.lock().map_or_else(|_| Zone::utc(), |zone| zone.clone())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.interlock.clock().now()
    }

    /// What both switches and the budget say, for a person.
    pub(crate) async fn look(&self, person: Option<&types::PersonId>) -> sight::Sight {
        let viewer = sight::Viewer { person, zone: self.zone() };
        sight::Sight::of(&self.interlock, &self.budget, BUDGET_TIMEOUT, &viewer).await
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.interlock.clock().now_ms()
    }

    /// Looks the company's zone up. Called before the first request and by the sweep: no page waits for it.
    pub async fn refresh_zone(&self) {
        let loaded = self.hot.get().await;
        if let (Ok(fresh), Ok(mut zone)) = (Zone::new(&loaded.hot.zone), self.zone.lock()) {
            *zone = fresh;
        }
    }
}

/// One invocation: a request through the function URL, or an operation by somebody who may invoke the
/// function.
///
/// # Errors
/// [`HaltError`] when the payload cannot be used or an operation has no answer.
pub async fn handle(deps: &Deps, event: Value) -> Result<Value, HaltError> {
    if Request::is_url_event(&event) {
        let request = Request::from_event(event).map_err(HaltError::ReadRequest)?;
        return Ok(Box::pin(answer(deps, &request)).await.into_event());
    }
    Box::pin(ops::operate(deps, &event)).await
}
