//! The three caps. Must never default to "no limit".
use crate::{UsdNanos, mode::codes};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cap {
    /// Input and output tokens of one run.
    TokensPerRun,
    /// Tool calls of one run, refused ones included.
    ToolCallsPerRun,
    /// Dollars reserved on one day in the ops lead's zone.
    UsdPerDay,
}
codes!(Cap {
    TokensPerRun = "tokens_per_run",
    ToolCallsPerRun = "tool_calls_per_run",
    UsdPerDay = "usd_per_day"
});

/// The limits in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caps {
    /// Tokens, input and output together.
    pub tokens_per_run: u64,
    /// Tool calls, refused ones included.
    pub tool_calls_per_run: u32,
    /// Nano-dollars a day.
    pub usd_per_day: UsdNanos,
}

impl Default for Caps {
    fn default() -> Self {
        Self { tokens_per_run: 40_000, tool_calls_per_run: 30, usd_per_day: UsdNanos::from_cents(2_500) }
    }
}
