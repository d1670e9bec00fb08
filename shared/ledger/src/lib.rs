//! Run state, admission, leases, decisions, intents and the outbox. Must never call the model or a tool, nor know Postgres.

mod entry;

pub use entry::{ENTRY_SCHEMA_VERSION, Entry, PartRef, PromptRef};
