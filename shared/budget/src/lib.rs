//! Caps: reserved before, settled after, tripped when used up. Must never see the model or the gate.
//!
//! Money is integer nano-dollars. The store cannot compute inside a condition, so a row keeps what is *left*,
//! and every change is one conditional update of one row: reserve takes, settle gives back what was not
//! used, once.
//! INVARIANT (I15): on each day `left + pending + posted = cap`, to the nano-dollar.

mod calendar;
mod day;
mod error;
mod reservation;
mod reserve;
mod row;
mod run;
mod settle;
mod sweep;
mod trip;

#[cfg(test)]
mod tests;

pub use day::{CapChange, DayView, SeenDay};
pub use error::{BudgetError, StoreFailure};
pub use reservation::{Reservation, Used};
pub use reserve::{Amount, Ask, Reserve};
pub use run::{Left, OpenRun, TakeCall};
pub use settle::Settled;
pub use sweep::MARGIN_MS;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};
use types::{AttemptId, Clock};

/// The budget table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Budget {
    client: aws_sdk_dynamodb::Client,
    table: Arc<str>,
    clock: Clock,
    /// Tries whose reservation this process has handed out and not ended.
    handed: Arc<Mutex<HashSet<AttemptId>>>,
}

impl Budget {
    /// The budget in `table` (prefix included).
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, table: impl Into<String>, clock: Clock) -> Self {
        Self { client, table: table.into().into(), clock, handed: Arc::default() }
    }
}
