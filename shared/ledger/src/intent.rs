//! Decisions and intents: what the model said, and what became of each tool call. Must never be changed after
//! its end.
use crate::entry::PromptRef;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::{CustomerId, EntryState, IntentId, Mode, Reason, Target, Tier};

/// The model's answer of one step, stored once before anything acts on it; a replay uses it instead of asking
/// again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The step.
    pub step: u32,
    /// The answer's content array, byte for byte (the next request repeats it).
    pub content: String,
    /// The tool calls, in order.
    pub calls: Vec<DecidedCall>,
    /// Calls beyond those kept.
    pub calls_dropped: u64,
    /// The exact request.
    pub prompt: PromptRef,
    /// Bytes of the request body.
    pub body_bytes: u64,
    /// Input and output tokens.
    pub tokens: u64,
    /// Nano-dollars.
    pub usd: types::UsdNanos,
    /// The model that answered, as it names itself.
    pub model_version: String,
    /// The provider's request id.
    pub request_id: Option<String>,
    /// The answer's text, for people.
    pub text: String,
    /// Why the run ends here, when the answer is none to act on.
    pub ends: Option<Reason>,
}

/// One tool call as the model emitted it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecidedCall {
    /// The provider's id of the call, which the answer must repeat.
    pub tool_use_id: String,
    /// The name the model used; may be no tool of ours.
    pub name: String,
    /// The arguments; `None` when they were malformed (too deep, too large, duplicate keys).
    pub input: Option<Value>,
}

/// How far a tool call got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    /// Will ask for a permit; nothing was sent.
    Planned,
    /// Holds a permit; the request may have been sent.
    Open,
    /// The CRM never answered; being read back.
    Unknown,
    /// A person must look.
    NeedsHuman,
    /// Ended; see the outcome.
    Closed,
}

/// One tool call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Its id.
    pub intent_id: IntentId,
    /// The step.
    pub step: u32,
    /// Which call of the step.
    pub index: usize,
    /// SHA-256 of tool and arguments: the same intent never stands for another act.
    pub args_hash: String,
    /// The tool, as named by the model.
    pub tool: String,
    /// How far it got.
    pub state: IntentState,
    /// What the gate decided.
    pub tier: Option<Tier>,
    /// The tool's mode then.
    pub mode: Option<Mode>,
    /// What it acts on.
    pub target: Target,
    /// Whose deal.
    pub customer_id: Option<CustomerId>,
    /// What was there before.
    pub before: Option<Value>,
    /// What is, or would be, there after.
    pub after: Option<Value>,
    /// The exact request.
    pub request: Option<Value>,
    /// The agent's own line.
    pub because: Option<String>,
    /// One sentence for people.
    pub what: String,
    /// How it ended.
    pub outcome: Option<IntentOutcome>,
    /// When the request was sent (ms since 1970), for the reading back.
    pub sent_ms: Option<i64>,
    /// How often it was read back.
    pub read_backs: u32,
    /// When to read back next (ms since 1970).
    pub read_back_ms: Option<i64>,
}

/// How a tool call ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IntentOutcome {
    /// The state that the audit records.
    pub state: EntryState,
    /// Why, where it was not simply done.
    pub reason: Option<Reason>,
    /// What the model is told.
    pub tell: String,
    /// Is that an error for the model?
    pub is_error: bool,
}
