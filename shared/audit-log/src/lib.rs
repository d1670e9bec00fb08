//! The audit log in Postgres: append, read, verify, erase. Must never change a row once written.

mod append;
mod canonical;
mod checkpoint;
mod error;
mod found;
mod judge;
mod merkle;
mod migrate;
mod retain;
mod row;
mod search;
mod session;
mod subject;
mod verify;
mod why;

#[cfg(test)]
mod test_postgres;
#[cfg(test)]
mod tests;

pub use append::{AppendResult, Poison};
pub use canonical::canonical_bytes;
pub use checkpoint::{Checkpoint, CheckpointKey, CheckpointSigner, NoteFault, open_checkpoint};
pub use error::{Error, Fault};
pub use found::{Found, Text};
pub use judge::{Judged, Judgement};
pub use merkle::StoredEdge;
pub use retain::Retained;
pub use row::Row;
pub use search::{JudgedFilter, Page, Query};
pub use session::AuditLog;
pub use subject::{Erased, Erasure, Export};
pub use verify::{Damage, Kept, Point, Seal, Verified};
pub use why::{Answer, Count, Lag, Prompt};
