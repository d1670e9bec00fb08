//! Which state was seen: pure and total. Must never say that the agent stands still without evidence.
use super::{By, Control, Flags, Seen, Word};
use crate::Lang;
use types::{Cap, Mode};

/// A sign of life this old or younger means that the agent may be running, in seconds.
pub(super) const LIFE_SECONDS: i64 = 60;

/// The rows of the table of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// 0: nobody has started the agent.
    NotStarted,
    /// 1: running, at least one tool writes.
    RunningWrites,
    /// 2: running, every tool in dry-run.
    RunningDry,
    /// 3: running, some customers halted.
    RunningExcept,
    /// 4: halted, writes in flight.
    Halting,
    /// 5: halted, nothing in flight.
    Halted,
    /// 6: the same, by the daily budget.
    HaltedByCap,
    /// 7: halted, nothing in flight, outcomes unknown.
    HaltedUnknown,
    /// 8: a switch is silent and the agent has given no sign of life for a minute.
    Stopped,
    /// 9: a switch is silent and the agent may be running.
    Unknown,
    /// 10: the flags are gone.
    Emptied,
    /// 10c: a flag set by hand, not yet copied.
    StoppingByHand,
    /// 10b: a flag is set and the control item is silent.
    StoppingOneSwitch,
    /// 11: tapped, no reply yet (the page's script).
    Sending,
    /// 12: no switch confirmed, or no reply.
    NotConfirmed,
    /// 13: no fresh answer (the page's script).
    NoContact,
}

impl State {
    /// Every state, in the order of the table.
    pub const ALL: [Self; 16] = [
        Self::NotStarted,
        Self::RunningWrites,
        Self::RunningDry,
        Self::RunningExcept,
        Self::Halting,
        Self::Halted,
        Self::HaltedByCap,
        Self::HaltedUnknown,
        Self::Stopped,
        Self::Unknown,
        Self::Emptied,
        Self::StoppingByHand,
        Self::StoppingOneSwitch,
        Self::Sending,
        Self::NotConfirmed,
        Self::NoContact,
    ];

    /// The state of what was seen.
    #[must_use]
    pub fn of(seen: &Seen) -> Self {
        match (&seen.control, seen.flags) {
            // INVARIANT (I1): halted and nothing in flight is said from the control item alone, from one
            // answer of it.
            (Control::Halted { .. } | Control::NotYetArmed, _) => Self::halted(seen),
            (Control::Armed, Flags::Halted) => Self::StoppingByHand,
            // INVARIANT (I5): an emptied switch store is a stop, not a permission.
            (Control::Armed, Flags::Disarmed | Flags::OtherEpoch) => Self::Emptied,
            (Control::Armed, Flags::Clear) => Self::running(seen),
            (Control::Silent, Flags::Halted) => Self::StoppingOneSwitch,
            // FAIL-CLOSED: with neither switch there is nothing to go by.
            (Control::Silent, Flags::Silent) => Self::Unknown,
            (Control::Armed, Flags::Silent)
            | (Control::Silent, Flags::Clear | Flags::Disarmed | Flags::OtherEpoch) => Self::one_silent(seen),
        }
    }

    fn halted(seen: &Seen) -> Self {
        if !seen.in_flight.is_empty() {
            return Self::Halting;
        }
        if !seen.unknown.is_empty() {
            return Self::HaltedUnknown;
        }
        match &seen.control {
            Control::NotYetArmed => Self::NotStarted,
            Control::Halted { by: By::Cap(Cap::UsdPerDay), .. } => Self::HaltedByCap,
            Control::Halted { .. } | Control::Armed | Control::Silent => Self::Halted,
        }
    }

    fn running(seen: &Seen) -> Self {
        if !seen.customers.is_empty() {
            return Self::RunningExcept;
        }
        let writes = seen.modes.iter().any(|(_, mode)| *mode == Mode::Live);
        if writes { Self::RunningWrites } else { Self::RunningDry }
    }

    fn one_silent(seen: &Seen) -> Self {
        // FAIL-CLOSED: STOPPED needs evidence. A permit that has not ended is a sign of life too.
        let still = seen.life_seconds().is_some_and(|seconds| seconds > LIFE_SECONDS);
        if still && seen.in_flight.is_empty() { Self::Stopped } else { Self::Unknown }
    }

    /// The word in capitals.
    #[must_use]
    pub const fn word(self, lang: Lang) -> &'static str {
        let word = match self {
            Self::RunningWrites | Self::RunningDry | Self::RunningExcept => Word::Running,
            Self::Halting => Word::Halting,
            Self::NotStarted | Self::Halted | Self::HaltedByCap | Self::HaltedUnknown | Self::Emptied => {
                Word::Halted
            }
            Self::Stopped => Word::Stopped,
            Self::StoppingByHand | Self::StoppingOneSwitch => Word::Stopping,
            Self::Unknown => Word::Unknown,
            Self::Sending => Word::Sending,
            Self::NotConfirmed => Word::NotConfirmed,
            Self::NoContact => Word::NoContact,
        };
        word.text(lang)
    }

    /// Whether the HALT control belongs on the page. Where the halt is latched it is gone, and nothing
    /// takes its place.
    #[must_use]
    pub const fn offers_halt(self) -> bool {
        match self {
            Self::RunningWrites
            | Self::RunningDry
            | Self::RunningExcept
            | Self::Stopped
            | Self::Unknown
            | Self::StoppingByHand
            | Self::Sending
            | Self::NotConfirmed
            | Self::NoContact => true,
            Self::NotStarted
            | Self::Halting
            | Self::Halted
            | Self::HaltedByCap
            | Self::HaltedUnknown
            | Self::Emptied
            | Self::StoppingOneSwitch => false,
        }
    }

    /// Whether a person can resume from here.
    #[must_use]
    pub const fn offers_resume(self) -> bool {
        match self {
            Self::NotStarted | Self::Halted | Self::HaltedByCap | Self::HaltedUnknown | Self::Emptied => true,
            Self::RunningWrites
            | Self::RunningDry
            | Self::RunningExcept
            | Self::Halting
            | Self::Stopped
            | Self::Unknown
            | Self::StoppingByHand
            | Self::StoppingOneSwitch
            | Self::Sending
            | Self::NotConfirmed
            | Self::NoContact => false,
        }
    }

    /// A stable code for the page's script, the command line and tests.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::RunningWrites => "running_writes",
            Self::RunningDry => "running_dry",
            Self::RunningExcept => "running_except",
            Self::Halting => "halting",
            Self::Halted => "halted",
            Self::HaltedByCap => "halted_by_cap",
            Self::HaltedUnknown => "halted_unknown",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
            Self::Emptied => "emptied",
            Self::StoppingByHand => "stopping_by_hand",
            Self::StoppingOneSwitch => "stopping_one_switch",
            Self::Sending => "sending",
            Self::NotConfirmed => "not_confirmed",
            Self::NoContact => "no_contact",
        }
    }
}
