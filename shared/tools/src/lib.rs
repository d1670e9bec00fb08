//! The agent's six tools, one file each, and their registry. Must never call storage, read configuration, or
//! hold a tool that cannot be taken back.
//!
//! To add a tool: one file here, one line in `registry.rs`, then `BLESS=1 cargo test -p tools` writes its
//! snapshot.

mod append_note;
mod arguments;
mod ask_human;
mod draft_email;
mod get_deal;
mod links;
#[cfg(test)]
mod loopback;
mod outcome;
mod ports;
mod registry;
mod schedule_follow_up;
mod schema;
mod set_stage;
mod text;

// The traits of the gate name it; this is the only thing here that comes from the interlock.
use gate::Permit;

pub use ports::Ports;
pub use registry::{Registry, ToolSpec, registry};
