//! The control item: epoch, permits, modes, halt and re-arm over both stores. Must never know a tool or HTTP.
//!
//! Permission is the AND of two stores, a stop is the OR. The control item (one DynamoDB item) is the
//! authority: a halt is one update of it that returns the permits in flight in the same answer. The flags (a
//! Redis-compatible store) are the fast, separate second lock.

mod control;
mod drill;
mod error;
mod forget;
mod halt;
mod mode;
mod people;
mod permit;
mod proof;
mod rearm;
mod receipt;
mod surprise;
mod sweep;
mod update;
mod view;

pub use control::{Control, HaltedBy, HeldPermit, LogEntry, State};
pub use drill::{DRILL_CUSTOMER, Drill, DrillAsk, DrillFault, Drilled};
pub use error::InterlockError;
pub use forget::Forgotten;
pub use halt::{ControlHalt, HaltReport, Press};
pub use mode::Flipped;
pub use people::{People, Person, PersonKey, Role};
pub use permit::{PermitAnswer, PermitAsk};
pub use proof::{Go, Permit};
pub use rearm::{ModesAfter, RearmAsk, Rearmed};
pub use receipt::{
    AtPress, FlagsSaid, HowEnded, LastWrite, Made, PermitEnd, RECEIPT_SCHEMA_VERSION, RECEIPTS_KEPT_MS,
    Receipt, ReceiptBook, ReceiptWrite, WriteEnd,
};
pub use surprise::{SURPRISE_WINDOW, SurpriseLimit};
pub use sweep::FlagSweep;
pub use view::{Recent, RecentAct, RecentCustomer, Standing, View};

use kill_switch::Switch;
use std::sync::Arc;
use types::{Clock, CustomerId, Epoch, Generation, Scope};

/// The partition key of the control item.
const CONTROL_KEY: &str = "control";

/// What is added to an invocation's deadline before anybody believes that the platform has ended it.
pub const DEADLINE_MARGIN_MS: i64 = 5_000;

/// How many permits may be in flight at once (an item holds 400 KB, and a full one must never refuse a halt).
pub const IN_FLIGHT_MAX: usize = 64;
/// How many outcomes may be unknown before no new write starts.
pub const UNKNOWN_MAX: usize = 200;
/// How many log entries the item keeps before it only counts.
pub const LOG_MAX: usize = 100;
/// Past this many halted customers the next customer halt is a global one.
pub const HALTED_CUSTOMERS_MAX: usize = 1_000;

/// Both switches of one install.
#[derive(Debug, Clone)]
pub struct Interlock {
    client: aws_sdk_dynamodb::Client,
    table: String,
    switch: Arc<Switch>,
    clock: Clock,
    replicas: u32,
}

/// What a run is bound to from its step 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The epoch in which it began.
    pub epoch: Epoch,
    /// Its customer's generation then.
    pub generation: Generation,
}

impl Interlock {
    /// Over the `control` table and the flags. `client` must not retry by itself: a repeated halt would count
    /// twice. `replicas` is how many acknowledgements a halt waits for in the flags.
    #[must_use]
    pub fn new(
        client: aws_sdk_dynamodb::Client,
        table: impl Into<String>,
        switch: Arc<Switch>,
        clock: Clock,
        replicas: u32,
    ) -> Self {
        Self { client, table: table.into(), switch, clock, replicas }
    }

    /// The flags, for those who only look.
    #[must_use]
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// The injected clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// An id that has never been used.
    fn fresh_id(&self) -> String {
        uuid::Uuid::new_v4().simple().to_string()
    }
}

/// The flags' word for a scope.
fn flag_scope(scope: &Scope) -> kill_switch::Scope<'_> {
    match scope {
        Scope::Global => kill_switch::Scope::Global,
        Scope::Customer(id) => kill_switch::Scope::Customer(id.as_str()),
    }
}

/// At most 300 bytes of a person's text, cut at a character: the item has little room.
fn short(text: &str) -> String {
    let mut end = text.len().min(300);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// The audit's target of a scope.
fn target_of(scope: &Scope) -> types::Target {
    match scope {
        Scope::Global => types::Target::new("agent", "global"),
        Scope::Customer(id) => types::Target::new("customer", id),
    }
}

/// Whose halt is shown: the customer's own, or the global one.
fn in_force<'a>(control: &'a Control, customer: Option<&CustomerId>) -> Option<(Scope, &'a HaltedBy)> {
    if let Some(by) = &control.halted_by {
        return Some((Scope::Global, by));
    }
    let customer = customer?;
    if types::mutant("halts_another") {
        return control.halted_customers.values().next().map(|by| (Scope::Customer(customer.clone()), by));
    }
    control.halted_customers.get(customer).map(|by| (Scope::Customer(customer.clone()), by))
}
