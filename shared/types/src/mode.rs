//! Tiers, modes and the states of an audit entry: small closed sets. Must never gain a default that writes.
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! codes {
    ($name:ident { $($variant:ident = $code:literal),+ $(,)? }) => {
        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable snake_case code that logs, rows and pages use.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// The value with this code.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.code())
            }
        }
    };
}
pub(crate) use codes;

/// How hard it is to take a tool's effect back. An irreversible act is only ever drafted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Reads, changes nothing.
    Read,
    /// Asks a person, changes nothing in the CRM.
    Ask,
    /// Can be taken back whole (a note).
    Reversible,
    /// Can be set back, but something may have been set off meanwhile (a stage).
    SemiReversible,
    /// Cannot be taken back (a sent mail): drafted only, a human sends.
    Irreversible,
}
codes!(Tier {
    Read = "read",
    Ask = "ask",
    Reversible = "reversible",
    SemiReversible = "semi_reversible",
    Irreversible = "irreversible"
});

/// Whether a tool writes. Absent means dry-run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Plans, writes the would-have log, changes nothing.
    #[default]
    DryRun,
    /// Writes to the CRM.
    Live,
}
codes!(Mode { DryRun = "dry_run", Live = "live" });

/// The state an audit entry records. One entry per state, joined by intent id, never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// An intent row exists; the act has not been answered.
    Opened,
    /// Done (a write the CRM confirmed, a read, a question asked, a person's change).
    Applied,
    /// Would have been done: the tool is in dry-run.
    WouldHave,
    /// Put before a human, who alone can send it.
    Drafted,
    /// Not allowed by the gate.
    Refused,
    /// Tried, and known not to have happened.
    Failed,
    /// Stopped by a halt.
    Halted,
    /// The CRM never answered; read back later.
    Unknown,
}
codes!(EntryState {
    Opened = "opened",
    Applied = "applied",
    WouldHave = "would_have",
    Drafted = "drafted",
    Refused = "refused",
    Failed = "failed",
    Halted = "halted",
    Unknown = "unknown"
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_means_dry_run() {
        assert_eq!(Mode::default(), Mode::DryRun);
    }

    #[test]
    fn codes_are_those_that_serde_writes() {
        for state in EntryState::ALL {
            assert_eq!(serde_json::to_value(state).ok(), Some(state.code().into()));
            assert_eq!(EntryState::from_code(state.code()), Some(*state));
        }
        for tier in Tier::ALL {
            assert_eq!(serde_json::to_value(tier).ok(), Some(tier.code().into()));
        }
    }
}
