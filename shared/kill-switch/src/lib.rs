//! The kill switch: flags in a Redis-compatible store, checked, halted and re-armed in plain commands.
//! Must never know runs, tools, models or AWS, nor depend on anything but the Redis client.

mod check;
mod error;
pub mod keys;
mod switch;
mod write;

pub use check::{Check, Clear, HaltedScope};
pub use error::BadUrl;
pub use keys::Scope;
pub use switch::{Flags, Switch, Timeouts};
pub use write::{FlagHalt, Rearm, Reassert, Watched};
