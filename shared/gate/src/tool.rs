//! What a tool is: one of four kinds, each with only the methods its kind may have. Must never spell an
//! irreversible act.
use crate::plan::{Context, Plan, Refusal};
use async_trait::async_trait;
use interlock::Permit;
use serde_json::Value;
use types::{Reason, Tier};

/// One registered tool.
pub struct Tool {
    /// The name the model uses and the audit's verb (`set_stage`).
    pub name: &'static str,
    /// What the model is told it does.
    pub description: &'static str,
    /// The JSON schema of its arguments, generated from the Rust type.
    pub schema: Value,
    /// What it is called on pages, plural (`stages`).
    pub noun: &'static str,
    /// What it can do.
    pub kind: Kind,
}

/// The four kinds.
pub enum Kind {
    /// Reads.
    Read(Box<dyn Read>),
    /// Changes the CRM, in a way that can be taken back.
    Act(ActTier, Box<dyn Act>),
    /// Prepares what only a human may send. There is no way from here to sending it.
    Draft(Box<dyn Draft>),
    /// Posts a question to people, in both modes, never while halted.
    Ask(Box<dyn Ask>),
}

/// The tiers an act can have.
// INVARIANT (I20): there is no irreversible act: this enum cannot say one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActTier {
    /// Can be taken back whole.
    Reversible,
    /// Can be set back, but something may have been set off meanwhile.
    SemiReversible,
}

impl Tool {
    /// The tier, for rows and pages.
    #[must_use]
    pub fn tier(&self) -> Tier {
        match &self.kind {
            Kind::Read(_) => Tier::Read,
            Kind::Act(ActTier::Reversible, _) => Tier::Reversible,
            Kind::Act(ActTier::SemiReversible, _) => Tier::SemiReversible,
            Kind::Draft(_) => Tier::Irreversible,
            Kind::Ask(_) => Tier::Ask,
        }
    }
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tool").field("name", &self.name).field("tier", &self.tier()).finish_non_exhaustive()
    }
}

/// What a read gives back.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The text for the model.
    pub tell: String,
    /// What was read, for the audit (`after` stays empty: nothing changed).
    pub plan: Plan,
}

/// A tool that reads.
#[async_trait]
pub trait Read: Send + Sync {
    /// Reads the run's own deal.
    async fn read(&self, context: &Context, arguments: &Value) -> Result<Answer, Refusal>;
}

/// A tool that changes the CRM.
#[async_trait]
pub trait Act: Send + Sync {
    /// Works out what it would do, by reads only. The same in both modes, so that the would-have log cannot
    /// drift.
    async fn plan(&self, context: &Context, arguments: &Value) -> Result<Plan, Refusal>;
    /// Sends exactly the planned request, once.
    async fn apply(&self, context: &Context, plan: &Plan, permit: &Permit) -> Sent;
    /// Looks, by reads only, whether a request that was never answered has arrived.
    async fn read_back(&self, context: &Context, plan: &Plan) -> ReadBack;
}

/// A tool that prepares what a human sends.
#[async_trait]
pub trait Draft: Send + Sync {
    /// Works out the draft, by reads only.
    async fn plan(&self, context: &Context, arguments: &Value) -> Result<Plan, Refusal>;
}

/// A tool that asks people.
#[async_trait]
pub trait Ask: Send + Sync {
    /// Works out the question.
    async fn plan(&self, context: &Context, arguments: &Value) -> Result<Plan, Refusal>;
    /// Posts it. The reason when it could not be posted; the question then waits in the console alone.
    async fn post(&self, context: &Context, plan: &Plan) -> Result<(), Reason>;
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Sent {
    /// The CRM confirmed it; what is there now, where it said so.
    Applied {
        /// The new record's or value's description for the audit.
        after: Option<Value>,
        /// What the model is told.
        tell: String,
    },
    /// The CRM refused it, or it was never sent: nothing changed.
    NotApplied {
        /// The code.
        reason: Reason,
        /// What the model is told.
        tell: String,
        /// When to try again (ms), if that can help.
        retry_ms: Option<u64>,
    },
    /// No answer: it may have arrived.
    Unknown {
        /// What is known, for the row.
        tell: String,
    },
}

/// What reading back found.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadBack {
    /// Our marker, or our value by our app, is there.
    Applied,
    /// Everything is as before, and nobody changed it since.
    NotApplied,
    /// Somebody changed it since.
    Conflict {
        /// What is there now.
        seen: String,
    },
    /// Not there yet; absence is no proof before the horizon.
    NotYet,
    /// The CRM did not answer.
    Unreadable,
}
