//! One audit entry as it lies in the outbox until Postgres has it. Must never be changed once written.
use crate::Run;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use types::{Actor, CustomerId, EntryState, IntentId, Mode, Reason, RunId, Target, Tier, Timestamp};

/// The version of [`Entry`]'s shape; readers refuse a newer one rather than misread it.
pub const ENTRY_SCHEMA_VERSION: u32 = 1;

/// One audit entry: one per state of a tool call, halt, resume, flip, trip or change; joined by intent id,
/// never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// [`ENTRY_SCHEMA_VERSION`] when written.
    pub schema_version: u32,
    /// `<stream>#<event_no>`: unique, deterministic, so that a replay writes the same row.
    pub entry_id: String,
    /// What counts `event_no`: a run id, `control`, `intake`, or a person's page.
    pub stream: String,
    /// Counts without gaps within the stream, where the stream is a run.
    pub event_no: u64,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// The tool's name, or `halt`, `resume`, `flip`, `trip`, `run`, `set_stages`, ...
    pub verb: String,
    /// What it was done to.
    pub target: Target,
    /// Whose deal it is, once known.
    pub customer_id: Option<CustomerId>,
    /// Which state this entry records.
    pub state: EntryState,
    /// Why, as a code.
    pub reason: Option<Reason>,
    /// The tool's mode at that moment.
    pub mode: Option<Mode>,
    /// The tool's tier.
    pub tier: Option<Tier>,
    /// Joins the entries of one tool call.
    pub intent_id: Option<IntentId>,
    /// The run, for the agent's entries.
    pub run_id: Option<RunId>,
    /// The step within the run.
    pub step: Option<u32>,
    /// What was there before (personal data: lies in the erasable side table).
    pub before: Option<Value>,
    /// What is, or would be, there after (personal data).
    pub after: Option<Value>,
    /// The agent's own line, or the person's reason (personal data).
    pub because: Option<String>,
    /// Arguments, the exact request, and whatever else belongs to the row (personal data).
    pub detail: Option<Value>,
    /// The exact bytes that the model was sent.
    pub prompt: Option<PromptRef>,
    /// The model that answered, as it names itself.
    pub model_version: Option<String>,
    /// The version of the hot configuration that the decision used.
    pub config_version: Option<String>,
    /// People this row is about: HubSpot contact ids and mail addresses, for export and erasure (personal
    /// data).
    pub subjects: Vec<String>,
}

impl Entry {
    /// An entry of `stream` about something that happened, with nothing said besides. `rest` sets it apart
    /// within the stream. A stream that counts sets `event_no` too.
    #[must_use]
    pub fn new(
        stream: &str,
        rest: impl fmt::Display,
        occurred_at: Timestamp,
        actor: Actor,
        verb: &str,
        target: Target,
    ) -> Self {
        Self {
            schema_version: ENTRY_SCHEMA_VERSION,
            entry_id: format!("{stream}#{rest}"),
            stream: stream.to_owned(),
            event_no: 0,
            occurred_at,
            actor,
            verb: verb.to_owned(),
            target,
            customer_id: None,
            state: EntryState::Applied,
            reason: None,
            mode: None,
            tier: None,
            intent_id: None,
            run_id: None,
            step: None,
            before: None,
            after: None,
            because: None,
            detail: None,
            prompt: None,
            model_version: None,
            config_version: None,
            subjects: Vec::new(),
        }
    }

    /// The next entry of a run, with everything that all of its entries say alike.
    #[must_use]
    pub fn of_run(run: &mut Run, occurred_at: Timestamp, actor: Actor, verb: &str, target: Target) -> Self {
        let event_no = run.next_event_no();
        Self {
            event_no,
            customer_id: run.deal.as_ref().map(|deal| deal.customer_id.clone()),
            run_id: Some(run.run_id.clone()),
            step: Some(run.n),
            subjects: run.deal.as_ref().map(|deal| deal.subjects.clone()).unwrap_or_default(),
            ..Self::new(run.run_id.as_str(), event_no, occurred_at, actor, verb, target)
        }
    }
}

/// A prompt as the list of its parts: concatenated in order they are the request body, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptRef {
    /// SHA-256 of the whole body, lower-case hex.
    pub hash: String,
    /// The parts, in order.
    pub parts: Vec<PartRef>,
}

/// One part of a prompt and where its bytes lie until Postgres has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRef {
    /// SHA-256 of the part, lower-case hex.
    pub hash: String,
    /// Partition key of the row in the `runs` table that holds the bytes.
    pub pk: String,
    /// Sort key of that row.
    pub sk: String,
}
