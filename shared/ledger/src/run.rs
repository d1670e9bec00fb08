//! The run row: what a run is bound to and where it stands. Must never hold CRM text: that lies in the
//! messages.
use crate::error::LedgerError;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use types::{
    Caps, CustomerId, DealId, Epoch, EventKey, Generation, IntentId, InvocationId, Mode, Reason, RunId,
    Target,
};

/// The version of the shapes in this crate; a row with a newer one is left alone.
pub const RUN_SCHEMA_VERSION: u32 = 2;
/// The version of a run that no person started in a special way: a build that knows no more can read it.
const RUN_SCHEMA_VERSION_PLAIN: u32 = 1;

/// What set a run off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRef {
    /// The hashed dedupe key.
    pub key: EventKey,
    /// HubSpot's account.
    pub portal_id: i64,
    /// `email_created`, `deal_changed`, `deal_created`, ...
    pub kind: String,
    /// The email or the deal.
    pub object_id: String,
    /// The property, where one changed.
    pub property: Option<String>,
    /// When HubSpot says it happened (ms since 1970).
    pub occurred_ms: i64,
    /// When intake saw it first (ms since 1970).
    pub received_ms: i64,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Admitted; no step has bound it yet.
    Queued,
    /// Bound to an epoch, going on.
    Running,
    /// Met a halt before it began; waits for a person.
    Held,
    /// Stopped by a halt after it began; never picked up again.
    Halted,
    /// Ended by itself.
    Done,
    /// Ended by an error or a cap.
    Failed,
    /// Thrown away by a person.
    Discarded,
}

impl RunStatus {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Held => "held",
            Self::Halted => "halted",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Discarded => "discarded",
        }
    }

    /// Can a step still change it?
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }

    /// Was it ended by a halt, a cap or an error? Only then may a person start it again as a new run.
    #[must_use]
    pub const fn is_stopped(self) -> bool {
        matches!(self, Self::Halted | Self::Failed)
    }
}

/// What step 1 binds a run to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunBound {
    /// The epoch of its first clear check that named the customer.
    pub epoch: Epoch,
    /// The customer's generation then.
    pub generation: Generation,
    /// The tool modes then: a tool turned on later stays dry for this run.
    pub modes: BTreeMap<String, Mode>,
}

/// The run's deal and customer, fixed in step 0 before the first model call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunDeal {
    /// The one deal that this run's tools act on.
    pub deal_id: DealId,
    /// Its name, for people.
    pub deal_name: String,
    /// Whose deal it is.
    pub customer_id: CustomerId,
    /// Her name, for people.
    pub customer_name: String,
    /// HubSpot contact ids on the deal.
    pub contact_ids: Vec<String>,
    /// People this run is about: those contacts, and the address of who wrote.
    pub subjects: Vec<String>,
}

/// The usage that the model reported for the last turn, for the next turn's bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTurn {
    /// Input and output tokens together.
    pub tokens: u64,
    /// Bytes of that request's body.
    pub body_bytes: u64,
}

/// The run that this one starts again, and what that one did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follows {
    /// The run that was stopped.
    pub run_id: RunId,
    /// The deal of its acts.
    pub deal_id: Option<DealId>,
    /// What it did, and those before it: [`Run::act_hash`] of each act. None of them is done again.
    pub acts: BTreeSet<String>,
}

/// One agent run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id, also the execution's name.
    pub run_id: RunId,
    /// What set it off.
    pub event: EventRef,
    /// Where it stands.
    pub status: RunStatus,
    /// Why it ended or waits.
    pub reason: Option<Reason>,
    /// The step that comes next.
    pub n: u32,
    /// How many executions were started for it.
    pub executions: u32,
    /// Set in step 0.
    pub deal: Option<RunDeal>,
    /// Set in step 1.
    pub bound: Option<RunBound>,
    /// The frozen request prefix, by hash.
    pub frozen: Option<String>,
    /// The model asked for.
    pub model: String,
    /// The hot configuration's version when the run began.
    pub config_version: String,
    /// The caps when the run began.
    pub caps: Caps,
    /// Messages stored so far.
    pub messages: u32,
    /// Last turn's usage.
    pub last_turn: Option<LastTurn>,
    /// The last audit number used.
    pub event_no: u64,
    /// Since when it is parked (ms since 1970).
    pub parked_since_ms: Option<i64>,
    /// When it ended (ms since 1970).
    pub ended_ms: Option<i64>,
    /// Did it wait once for a deal that was linked to its mail too late?
    #[serde(default)]
    pub waited_for_deal: bool,
    /// The run that this one starts again, if a person started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Follows>,
    /// Set when a person started it in dry-run, with everything that waited: the epoch of her resume. Its
    /// tools stay dry, whatever is turned on.
    #[serde(default)]
    pub dry_since: Option<Epoch>,
    /// The revision that a change must still find. Not part of the stored body.
    #[serde(skip)]
    pub rev: u64,
    /// Who works on the present step; kept by every commit until the step's last one clears it.
    #[serde(skip)]
    pub claim: Option<Claim>,
}

impl Run {
    /// A run that waits for its first step.
    #[must_use]
    pub fn queued(run_id: RunId, event: EventRef) -> Self {
        Self {
            run_id,
            event,
            status: RunStatus::Queued,
            reason: None,
            n: 0,
            executions: 1,
            deal: None,
            bound: None,
            frozen: None,
            model: String::new(),
            config_version: String::new(),
            caps: Caps::default(),
            messages: 0,
            last_turn: None,
            event_no: 0,
            parked_since_ms: None,
            ended_ms: None,
            waited_for_deal: false,
            dry_since: None,
            follows: None,
            rev: 0,
            claim: None,
        }
    }

    /// What rows about the run as a whole are about: its deal, or the event before that is known.
    #[must_use]
    pub fn target(&self) -> Target {
        match &self.deal {
            Some(deal) => Target::new("deal", &deal.deal_id),
            None => Target::new("event", &self.event.object_id),
        }
    }

    /// The version that a row of this run carries. A build that does not know `follows` would do again what
    /// the run before did, and one that does not know `dry_since` would let its tools write: neither may read
    /// such a row.
    pub(crate) fn schema_version(&self) -> u32 {
        let is_plain = self.follows.is_none() && self.dry_since.is_none();
        if is_plain { RUN_SCHEMA_VERSION_PLAIN } else { RUN_SCHEMA_VERSION }
    }

    /// The id of the tool call at `index` of step `n`: the same in every replay.
    ///
    /// # Errors
    /// [`LedgerError::Malformed`] never happens for ids that this crate made.
    pub fn intent_id(&self, step: u32, index: usize) -> Result<IntentId, LedgerError> {
        IntentId::new(format!("i-{}", digest20(&format!("{}|{step}|{index}", self.run_id))))
            .map_err(|_| LedgerError::Malformed { row: "intent" })
    }

    /// The next audit number; counts without gaps because it is stored with the entry that uses it.
    pub fn next_event_no(&mut self) -> u64 {
        self.event_no = self.event_no.saturating_add(1);
        self.event_no
    }

    pub(crate) fn parse(item: &HashMap<String, AttributeValue>) -> Result<Self, LedgerError> {
        let malformed = || LedgerError::Malformed { row: "run" };
        let body = item.get("body").and_then(|v| v.as_s().ok()).ok_or_else(malformed)?;
        let rev = item.get("rev").and_then(|v| v.as_n().ok()).and_then(|n| n.parse().ok());
        let version = item.get("schema_version").and_then(|v| v.as_n().ok()).and_then(|n| n.parse().ok());
        if version.is_none_or(|v: u32| v > RUN_SCHEMA_VERSION) {
            return Err(malformed());
        }
        let mut run: Self = serde_json::from_str(body).map_err(|_| malformed())?;
        run.rev = rev.ok_or_else(malformed)?;
        let owner = item.get("owner").and_then(|v| v.as_s().ok()).cloned();
        let until_ms = item.get("until").and_then(|v| v.as_n().ok()).and_then(|n| n.parse().ok());
        run.claim = owner
            .and_then(|owner| InvocationId::new(owner).ok())
            .zip(until_ms)
            .map(|(owner, until_ms)| Claim { owner, until_ms });
        Ok(run)
    }
}

/// Who works on a step, and until when nobody else may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The invocation.
    pub owner: InvocationId,
    /// When the platform has certainly ended it (ms since 1970).
    pub until_ms: i64,
}

/// The first 20 hex digits of SHA-256.
pub(crate) fn digest20(text: &str) -> String {
    let hex: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.get(..20).unwrap_or_default().to_owned()
}

/// SHA-256 in lower-case hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The dedupe key (hash of the composite text) and the run id that belong to an event.
///
/// # Errors
/// [`LedgerError::Malformed`] never happens: both are hex.
pub fn keys_of(key_text: &str) -> Result<(EventKey, RunId), LedgerError> {
    let malformed = |_| LedgerError::Malformed { row: "event" };
    let key = EventKey::new(sha256_hex(key_text.as_bytes())).map_err(malformed)?;
    let run_id = RunId::new(format!("r-{}", digest20(key_text))).map_err(malformed)?;
    Ok((key, run_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_build_leaves_alone_what_it_would_let_write() {
        let (key, run_id) = keys_of("a").expect("hex");
        let event = EventRef {
            key,
            portal_id: 1,
            kind: "deal_created".to_owned(),
            object_id: "4411".to_owned(),
            property: None,
            occurred_ms: 0,
            received_ms: 0,
        };
        let plain = Run::queued(run_id.clone(), event);
        let follows = Follows { run_id, deal_id: None, acts: BTreeSet::new() };
        let again = Run { follows: Some(follows), ..plain.clone() };
        let dry = Run { dry_since: Some(Epoch(3)), ..plain.clone() };
        assert_eq!([&plain, &again, &dry].map(Run::schema_version), [1, 2, 2]);
    }

    #[test]
    fn the_same_event_always_names_the_same_run() {
        let text = "891472211|object.creation|55123456789||1431776902|1793404798500";
        let (key, run) = keys_of(text).expect("hex");
        assert_eq!(keys_of(text).expect("hex"), (key.clone(), run.clone()));
        assert_eq!(key.as_str().len(), 64);
        assert_eq!(run.as_str(), format!("r-{}", &key.as_str()[..20]));
        let (other, _) =
            keys_of("891472211|object.creation|55123456789||1431776902|1793404798501").expect("hex");
        assert_ne!(other, key);
    }
}
