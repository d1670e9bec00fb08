//! The gate: tiers, dry-run, the decision, and the only way to an act. Must never know any one tool, nor
//! HTTP.

mod apply;
mod decide;
mod plan;
mod tool;

pub use apply::{ActFailed, Applied, PermitTerms, Trail, TrailError, apply};
pub use decide::{Decision, Standing, decide};
/// Re-exported, so that a tool can name what it is handed without knowing where it comes from.
pub use interlock::Permit;
pub use plan::{Context, OwnWrite, Plan, Refusal};
pub use tool::{Act, ActTier, Answer, Ask, Draft, Kind, Read, ReadBack, Sent, Tool};
