//! What was read from the two switches, as plain values. Must never hold a guess where there was no answer.
use crate::Zone;
use std::collections::BTreeSet;
use types::{Cap, CustomerId, Mode, Timestamp};

/// Who halted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The person whose page this is.
    You,
    /// Somebody or something else, by name.
    Name(String),
    /// A cap that was reached.
    Cap(Cap),
    /// A flag that was set by hand and then copied.
    Flag,
}

/// What the control item said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// No usable answer.
    Silent,
    /// As it was first put there: nobody has started the agent.
    NotYetArmed,
    /// Armed.
    Armed,
    /// Halted.
    Halted {
        /// By whom.
        by: By,
        /// When.
        at: Timestamp,
    },
}

/// What the flags said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flags {
    /// No usable answer.
    Silent,
    /// No flag, and the arming key carries the control item's epoch (or the control item gave none to
    /// compare).
    Clear,
    /// The global flag exists.
    Halted,
    /// No flag and no usable arming key.
    Disarmed,
    /// No flag, and the arming key carries another epoch.
    OtherEpoch,
}

/// One write that was permitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The tool.
    pub tool: String,
    /// The deal's id.
    pub deal: String,
    /// The customer's name, if it is known.
    pub customer: Option<String>,
    /// Whose deal it is.
    pub customer_id: CustomerId,
    /// When it has certainly ended.
    pub until: Timestamp,
}

/// One customer that is halted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaltedCustomer {
    /// Her id.
    pub id: CustomerId,
    /// Her name, if it is known.
    pub name: Option<String>,
    /// By whom.
    pub by: By,
    /// When.
    pub at: Timestamp,
}

impl HaltedCustomer {
    /// Her name, or her number where it is not known.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.id.as_str())
    }
}

/// Everything a panel is made of. Where the control item was silent, the lists are empty and mean nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When the answers were in.
    pub now: Timestamp,
    /// The company's zone.
    pub zone: Zone,
    /// The control item.
    pub control: Control,
    /// The flags.
    pub flags: Flags,
    /// The last sign of life, if it could be read.
    pub life: Option<Timestamp>,
    /// The tools that can write, and whether they do.
    pub modes: Vec<(String, Mode)>,
    /// Permits that may still be writing.
    pub in_flight: Vec<Write>,
    /// Writes whose outcome is not known.
    pub unknown: Vec<Write>,
    /// Customers that are halted.
    pub customers: Vec<HaltedCustomer>,
}

impl Seen {
    /// Nothing was answered.
    #[must_use]
    pub fn nothing(now: Timestamp, zone: Zone) -> Self {
        Self {
            now,
            zone,
            control: Control::Silent,
            flags: Flags::Silent,
            life: None,
            modes: Vec::new(),
            in_flight: Vec::new(),
            unknown: Vec::new(),
            customers: Vec::new(),
        }
    }

    /// How many deals have a write whose outcome is not known.
    #[must_use]
    pub fn deals_to_check(&self) -> usize {
        self.unknown.iter().map(|write| write.deal.as_str()).collect::<BTreeSet<_>>().len()
    }

    /// Whole seconds since the last sign of life; a sign from the future (clocks differ) was just now.
    #[must_use]
    pub fn life_seconds(&self) -> Option<i64> {
        self.life.map(|life| self.now.as_second().saturating_sub(life.as_second()).max(0))
    }
}
