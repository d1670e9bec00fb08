//! One invocation is one step of one run. Must never act before both switches, the budget and the gate said
//! yes.
//!
//! Read [`step`](step::step) first: its order is the product.

mod act;
mod close;
mod error;
mod lag;
mod open;
mod rest;
mod rows;
mod start;
mod step;
mod sweep;
mod think;
mod trail;
mod trip;
mod waiting;

pub use error::StepError;
pub use lag::LogLag;
pub use rows::HOLDFAST_ACTOR;
pub use start::StartError;
pub use step::{Next, StepInput, StepOutput};
pub use sweep::EffectSweep;

use config::metrics::{self, Metric};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use types::{Clock, InvocationId};

/// Everything a step works with: clients and ports, built once per process.
pub struct Deps {
    /// Runs and outbox.
    pub ledger: ledger::Ledger,
    /// Both switches.
    pub interlock: interlock::Interlock,
    /// Caps.
    pub budget: budget::Budget,
    /// Stages, caps, prices, zone.
    pub hot: Arc<config::HotConfig>,
    /// The model.
    pub model: model::Messages,
    /// The model to ask for.
    pub model_name: String,
    /// The six tools.
    pub tools: tools::Registry,
    /// Reads a deal, to fix it in step 0.
    pub deals: crm::DealReader,
    /// Reads the mail that set the run off.
    pub emails: crm::EmailReader,
    /// Reads the customer's name.
    pub companies: crm::CompanyReader,
    /// Reads a contact's name, where there is no company.
    pub contacts: crm::ContactReader,
    /// Reads the pipelines, for the sweep that watches the ops lead's list.
    pub pipelines: crm::PipelineReader,
    /// Tells people about a tripped cap; none when Slack is not set up.
    pub slack: Option<notify::Slack>,
    /// Starts runs whose start was lost.
    pub starter: starter::Starter,
    /// Does the audit log keep up?
    pub log_lag: LogLag,
    /// The injected clock.
    pub clock: Clock,
    /// The longest that one request to the CRM may take (ms).
    pub crm_ms_max: i64,
    /// Where people open the halt page and a run.
    pub links: Links,
    /// Frozen request prefixes by hash: the same for every run of a deployment.
    pub frozen: Mutex<HashMap<String, Arc<Vec<u8>>>>,
}

/// Addresses for people, where they are known.
#[derive(Debug, Clone, Default)]
pub struct Links {
    /// The halt page.
    pub halt_url: Option<String>,
    /// The console.
    pub console_url: Option<String>,
}

/// One invocation, as the platform describes it.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Its id.
    pub id: InvocationId,
    /// When the platform ends it (ms since 1970).
    pub deadline_ms: i64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Payload {
    Sweep { sweep: String },
    Step(StepInput),
}

/// Handles one invocation: a step, or `{"sweep":"effects"}`.
///
/// # Errors
/// [`StepError`] when it broke off; the platform tries again, and every line of a step can be run again.
pub async fn handle(deps: &Deps, payload: Value, invocation: &Invocation) -> Result<Value, StepError> {
    let payload =
        serde_json::from_value(payload).map_err(|error| StepError::Payload { why: error.to_string() })?;
    let answer = match payload {
        Payload::Sweep { sweep } if sweep == "effects" => {
            serde_json::to_value(sweep::sweep(deps, invocation).await?)
        }
        Payload::Sweep { .. } => return Err(StepError::Payload { why: "an unknown sweep".to_owned() }),
        Payload::Step(input) => {
            let output = step::step(deps, &input, invocation).await?;
            metrics::count(Metric::Steps, 1);
            serde_json::to_value(output)
        }
    };
    answer.map_err(|error| StepError::Payload { why: error.to_string() })
}
