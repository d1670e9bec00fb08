//! The names of the flags, in one place. Must never be spelled anywhere else.

/// Holds the epoch in which the agent is armed. Its absence is a stop.
pub const ARMED: &str = "agent:armed";

/// The key whose mere existence halts that scope, whatever its value or type.
#[must_use]
pub fn halted(scope: &Scope<'_>) -> String {
    match scope {
        Scope::Global => "agent:halted:global".to_owned(),
        Scope::Customer(id) => format!("agent:halted:customer:{id}"),
    }
}

/// The key that changes with every press, so that a re-arm can see a press made after the page was read.
#[must_use]
pub fn halt_seq(scope: &Scope<'_>) -> String {
    match scope {
        Scope::Global => "agent:halt_seq:global".to_owned(),
        Scope::Customer(id) => format!("agent:halt_seq:customer:{id}"),
    }
}

/// Everything, or one customer (her id).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Every customer.
    Global,
    /// The customer with this id.
    Customer(&'a str),
}
