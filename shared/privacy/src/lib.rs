//! One person's data in every store: found, exported, erased. Must never forget a place that holds it, nor
//! break the chain.
//!
//! A request is a row of the ledger, so that whoever comes next goes on with it: the audit function's sweep,
//! or the operator's command. [`carry_on`] is its life, stage by stage; each can be run again.

mod black_out;
mod carry;
mod drain;
mod error;
mod export;
mod open;
mod pack;
mod search;

pub use carry::carry_on;
pub use error::PrivacyError;
pub use export::{Exported, export};
pub use open::{Ask, open};
