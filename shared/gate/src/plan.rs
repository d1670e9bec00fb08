//! What a tool call would do, worked out before anything is decided. Must never change anything.
use serde_json::Value;
use std::sync::Arc;
use types::{CustomerId, DealId, IntentId, Reason, RunId, Stages, Target, Timestamp};

/// What every tool may know of the run it works for. The model has no say in any of it.
#[derive(Debug, Clone)]
pub struct Context {
    /// The run.
    pub run_id: RunId,
    /// The one deal that this run's tools act on, fixed before the first model call.
    pub deal_id: DealId,
    /// Whose deal it is.
    pub customer_id: CustomerId,
    /// Her name, for people.
    pub customer_name: String,
    /// HubSpot contact ids on the deal.
    pub contact_ids: Vec<String>,
    /// The id of this tool call; becomes the marker in what it writes.
    pub intent_id: IntentId,
    /// The stages on the ops lead's list.
    pub stages: Arc<Stages>,
    /// The ops lead's time zone (IANA name).
    pub zone: String,
    /// Now.
    pub now: Timestamp,
    /// What this run would have written so far: later reads show it, marked as such.
    pub own_writes: Vec<OwnWrite>,
    /// The page of the run, for people who are asked something.
    pub run_url: Option<String>,
}

/// One write that this run would have made.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnWrite {
    /// The tool.
    pub tool: String,
    /// What would be there after it.
    pub after: Value,
}

/// What a tool call would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The tool's name: the audit's verb.
    pub verb: String,
    /// What it acts on.
    pub target: Target,
    /// What is there now.
    pub before: Option<Value>,
    /// What will be there.
    pub after: Option<Value>,
    /// The exact request that would be sent; none for what sends nothing.
    pub request: Option<Value>,
    /// The agent's own line.
    pub because: Option<String>,
    /// One sentence for people ("set stage Negotiation → Closed Lost").
    pub what: String,
    /// People it is about: contact ids and addresses.
    pub subjects: Vec<String>,
    /// Anything a reader of the row should know ("the text holds a link", "the recipient is not on the
    /// deal").
    pub warnings: Vec<String>,
}

/// Why a tool call is not even planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The code.
    pub reason: Reason,
    /// What the model is told, so that it can do better.
    pub tell: String,
    /// Try the same again after this long (ms): the CRM was busy.
    pub retry_ms: Option<u64>,
}

impl Refusal {
    /// A refusal for good.
    pub fn new(reason: Reason, tell: impl Into<String>) -> Self {
        Self { reason, tell: tell.into(), retry_ms: None }
    }
}
