//! The model's side of a run: request bytes, one HTTP try, its answer, its price. Must never retry.

mod answer;
mod body;
mod client;
mod error;
mod frozen;
mod input;
mod message;
mod prompt;
mod refused;
mod schema;
mod text;
mod turn;
mod usage;

pub use body::{Body, MAX_TOKENS_USEFUL, MAX_TOKENS_USUAL, Part, Previous, fit_max_tokens, upper_bound};
pub use client::{ApiKey, Messages, Timeouts, VERSION, Watch};
pub use error::ModelError;
pub use frozen::{Frozen, ToolSpec};
pub use input::{Input, Malformed};
pub use message::{ToolResult, assistant, tool_result, tool_results, user_text};
pub use prompt::{UNTRUSTED_BYTES_MAX, system_text, untrusted};
pub use turn::{Answer, CALLS_MAX, Call, Charge, Receipt, SPEND_LIMIT, Settlement, Stop, Turn};
pub use usage::Usage;
