//! Who did it, and to what. Must never hold a key, a PIN or an address.
use crate::{PersonId, RunId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who did it. Printed as `agent:<run>`, `person:<id>`, `system:<part>`: the text of the audit's `actor`
/// column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The agent, in this run.
    Agent(RunId),
    /// A person, by her id.
    Person(PersonId),
    /// A part of the product, by name (`cap`, `sweep`, `intake`).
    System(String),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(run) => write!(f, "agent:{run}"),
            Self::Person(person) => write!(f, "person:{person}"),
            Self::System(part) => write!(f, "system:{part}"),
        }
    }
}

/// What an entry is about. Printed as `deal:4411`: the text of the audit's `target_id` column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// `deal`, `customer`, `tool`, `agent`, `config`, `person`, `event`, `day`.
    pub kind: String,
    /// The id within its kind.
    pub id: String,
}

impl Target {
    /// A target of that kind.
    #[must_use]
    pub fn new(kind: &str, id: impl fmt::Display) -> Self {
        Self { kind: kind.to_owned(), id: id.to_string() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}
