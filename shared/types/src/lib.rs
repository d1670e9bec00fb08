//! The words every crate shares: ids, money, tiers, modes, reasons, the clock. Must never do I/O.

mod actor;
mod caps;
mod clock;
mod ids;
mod mode;
mod money;
mod mutant;
mod prices;
mod reason;
mod scope;
mod stages;
pub mod subject;
mod text;

pub use actor::{Actor, Target};
pub use caps::{Cap, Caps};
pub use clock::Clock;
pub use ids::{
    AttemptId, CustomerId, DealId, Epoch, EventKey, Generation, IdError, IntentId, InvocationId, PermitId,
    PersonId, RequestId, RunId,
};
pub use jiff::Timestamp;
pub use mode::{EntryState, Mode, Tier};
pub use money::UsdNanos;
#[cfg(feature = "mutants")]
pub use mutant::choose_mutant;
pub use mutant::mutant;
pub use prices::{PriceRow, Prices, Rates, price};
pub use reason::Reason;
pub use scope::Scope;
pub use stages::{StageRule, Stages};
pub use subject::{Finder, Known, Subject};
pub use text::{csv_field, is_name, visible, visible_line};
