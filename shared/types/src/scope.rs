//! What a halt covers. Must never be widened or narrowed by text from outside.
use crate::CustomerId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Everything, or one customer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every customer, including those first seen later.
    Global,
    /// One customer.
    Customer(CustomerId),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::Customer(id) => write!(f, "customer:{id}"),
        }
    }
}
