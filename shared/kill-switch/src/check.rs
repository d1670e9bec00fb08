//! The answers of a flag check. Must never say "clear" on doubt.

/// "No flag was set for these scopes, just now." Built only by a check, consumed by its one use; not `Clone`.
///
/// ```compile_fail
/// let forged = kill_switch::Clear { epoch: 1, customer: None };
/// ```
#[derive(Debug)]
#[must_use = "a clear check is only worth something together with the control item"]
pub struct Clear {
    pub(crate) epoch: u64,
    pub(crate) customer: Option<String>,
}

impl Clear {
    /// The epoch that the arming key carried.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The customer whose flag was looked at besides the global one.
    #[must_use]
    pub fn customer(&self) -> Option<&str> {
        self.customer.as_deref()
    }
}

/// Whose flag exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HaltedScope {
    /// `agent:halted:global`.
    Global,
    /// The customer's flag.
    Customer,
}

/// What the switch store said. Only `Halted` closes a run; `Disarmed` and `Unreachable` park it, so that a
/// blip never latches a halt.
#[derive(Debug)]
#[must_use = "an unread check is no check"]
pub enum Check {
    /// The arming key carries an epoch and no flag exists.
    Clear(Clear),
    /// A flag exists.
    Halted(HaltedScope),
    /// No flag, but no arming key either, or one that is not a number: wiped, replaced, failed over.
    Disarmed,
    /// No usable answer in time.
    Unreachable,
}
