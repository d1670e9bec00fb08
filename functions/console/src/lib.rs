//! The console: reads the log, flips one tool, edits stages and caps, drafts, people. Must never act on the
//! CRM.
//!
//! Read [`route`] first: it is who may do what. `pages` turns plain values into markup, `load` fills them,
//! `acts` is every change a person can make.

mod acts;
mod days;
mod entry;
mod error;
mod frame;
mod load;
mod pages;
mod route;
mod sign_in;
mod start;
#[cfg(test)]
mod tests;
mod view;

pub use error::ConsoleError;
pub use route::answer;

use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use types::{Tier, Timestamp};
use web::{LinkSigner, Request, Sessions, Zone};

/// How long a page waits for today's budget: it is only a line on the page.
const BUDGET_TIMEOUT: Duration = Duration::from_millis(400);

/// What the pages name besides what they show.
#[derive(Debug, Clone, Default)]
pub struct Install {
    /// What the pages call this install.
    pub company: String,
    /// This console's own address, if it is known.
    pub console_url: Option<String>,
    /// The halt page's address, if it is known.
    pub halt_url: Option<String>,
    /// Where people open records at HubSpot; none when a stand-in takes its place.
    pub hubspot_app_url: Option<String>,
}

/// One registered tool, as the pages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolInfo {
    /// The verb.
    pub name: String,
    /// What it is called on pages, plural.
    pub noun: String,
    /// How hard it is to take back.
    pub tier: Tier,
}

/// Everything the console works with, built once per process.
pub struct Deps {
    /// Both switches, tool modes, people.
    pub interlock: interlock::Interlock,
    /// Runs, held events, the outbox.
    pub ledger: ledger::Ledger,
    /// Spend and caps of the day.
    pub budget: budget::Budget,
    /// Stages, caps, zone.
    pub hot: Arc<config::HotConfig>,
    /// The log; none when no database is set up.
    pub audit: Option<Arc<audit_log::AuditLog>>,
    /// HubSpot's own list of stages; none when no token is set up.
    pub pipelines: Option<crm::PipelineReader>,
    /// Reads the deal of an open draft; none when no token is set up.
    pub deals: Option<crm::DealReader>,
    /// Starts held events; none when nothing can be started from here.
    pub starter: Option<starter::Starter>,
    /// Checks personal links, and makes the short-lived halt key of each page.
    pub signer: LinkSigner,
    /// Session cookies and form tokens.
    pub sessions: Sessions,
    /// The registered tools, in order.
    pub tools: Vec<ToolInfo>,
    /// Names and addresses for the pages.
    pub install: Install,
    /// The company's zone as last seen.
    pub zone: Mutex<Zone>,
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

    /// The tools that can write: those that can be flipped.
    pub(crate) fn acting(&self) -> impl Iterator<Item = &ToolInfo> {
        self.tools.iter().filter(|tool| tool.acts())
    }
}

impl ToolInfo {
    /// The registered tools of a registry.
    #[must_use]
    pub fn of(registry: &tools::Registry) -> Vec<Self> {
        let info = |tool: &gate::Tool| Self {
            name: tool.name.to_owned(),
            noun: tool.noun.to_owned(),
            tier: tool.tier(),
        };
        registry.all().iter().map(info).collect()
    }

    pub(crate) fn acts(&self) -> bool {
        matches!(self.tier, Tier::Reversible | Tier::SemiReversible)
    }
}

/// One invocation: a request through the function URL.
///
/// # Errors
/// [`ConsoleError`] when the payload is no such request.
pub async fn handle(deps: &Deps, event: Value) -> Result<Value, ConsoleError> {
    let request = Request::from_event(event).map_err(ConsoleError::ReadRequest)?;
    Ok(answer(deps, &request).await.into_event())
}
