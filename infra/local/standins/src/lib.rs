//! Strict local stand-ins for HubSpot, Anthropic and Slack over plain HTTP on loopback. Must never share code
//! with the clients that talk to them: a stand-in that does proves nothing.
pub mod anthropic;
mod error;
mod faults;
pub mod hubspot;
mod serve;
pub mod slack;
#[cfg(test)]
mod tests;

pub use anthropic::Anthropic;
pub use error::Error;
pub use faults::{Fault, Matcher};
pub use hubspot::HubSpot;
pub use serve::Running;
pub use slack::Slack;

use std::path::PathBuf;
use std::sync::Arc;

/// Milliseconds since 1970; the caller's clock, so that tests can move time.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What all three need.
#[derive(Clone)]
pub struct Options {
    /// The clock of all stamps, windows and caches.
    pub now_ms: Clock,
    /// HubSpot's token, application and limits.
    pub hubspot: hubspot::Settings,
    /// Where HubSpot's writes are kept over a restart; `None` keeps them in memory only.
    pub hubspot_journal: Option<PathBuf>,
    /// The one key that Anthropic accepts.
    pub anthropic_api_key: String,
}

impl Options {
    /// The usual settings with this clock, all in memory.
    #[must_use]
    pub fn new(now_ms: Clock) -> Self {
        Self {
            now_ms,
            hubspot: hubspot::Settings::default(),
            hubspot_journal: None,
            anthropic_api_key: anthropic::API_KEY.to_owned(),
        }
    }
}

/// The three stand-ins, running.
#[derive(Debug)]
pub struct Standins {
    /// HubSpot: records, writes, webhooks.
    pub hubspot: Running<HubSpot>,
    /// Anthropic: the messages API and the small triager behind it.
    pub anthropic: Running<Anthropic>,
    /// Slack: one incoming webhook.
    pub slack: Running<Slack>,
}

impl Standins {
    /// Starts all three on loopback ports that the system picks.
    ///
    /// # Errors
    /// When a port or the journal cannot be opened.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let hubspot = match &options.hubspot_journal {
            Some(path) => HubSpot::open(path, options.hubspot, options.now_ms.clone())?,
            None => HubSpot::new(options.hubspot, options.now_ms.clone()),
        };
        Ok(Self {
            hubspot: hubspot.start().await?,
            anthropic: Anthropic::new(&options.anthropic_api_key, options.now_ms.clone()).start().await?,
            slack: Slack::new(options.now_ms).start().await?,
        })
    }
}
