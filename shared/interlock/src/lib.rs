//! The control item: epoch, permits, modes, halt and re-arm over both stores. Must never know a tool or HTTP.

mod proof;

pub use proof::{Go, Permit};
