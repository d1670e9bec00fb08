//! Proof tokens: values that exist only because both stores said yes. Must never be built outside this crate.
use std::collections::BTreeMap;
use types::{CustomerId, Epoch, Generation, IntentId, Mode, PermitId};

/// "Both stores said yes, just now": needed for a model call and for a decision. Not `Clone`; lives for one
/// step.
#[derive(Debug)]
pub struct Go {
    pub(crate) epoch: Epoch,
    pub(crate) generation: Generation,
    pub(crate) customer: Option<CustomerId>,
    pub(crate) modes: BTreeMap<String, Mode>,
}

impl Go {
    /// The epoch in which both stores said yes.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The customer's generation then.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The customer the check named; none in step 0.
    #[must_use]
    pub fn customer(&self) -> Option<&CustomerId> {
        self.customer.as_ref()
    }

    /// The tool's mode in the control item. Absent means dry-run.
    #[must_use]
    pub fn mode(&self, tool: &str) -> Mode {
        self.modes.get(tool).copied().unwrap_or_default()
    }

    /// Every mode that the control item names.
    #[must_use]
    pub fn modes(&self) -> &BTreeMap<String, Mode> {
        &self.modes
    }
}

/// "This one non-GET request may start": granted by the control item, then confirmed by the flags. Not
/// `Clone`.
///
/// ```compile_fail
/// let forged = interlock::Permit { permit_id: todo!(), intent_id: todo!(), deadline_ms: 0 };
/// ```
#[derive(Debug)]
pub struct Permit {
    pub(crate) permit_id: PermitId,
    pub(crate) intent_id: IntentId,
    pub(crate) customer_id: CustomerId,
    pub(crate) deadline_ms: i64,
}

impl Permit {
    /// The permit's id.
    #[must_use]
    pub fn permit_id(&self) -> &PermitId {
        &self.permit_id
    }

    /// The tool call it was granted for.
    #[must_use]
    pub fn intent_id(&self) -> &IntentId {
        &self.intent_id
    }

    /// When the platform has certainly ended the invocation that holds it (ms since 1970).
    #[must_use]
    pub fn deadline_ms(&self) -> i64 {
        self.deadline_ms
    }
}
