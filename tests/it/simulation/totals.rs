//! What the lives of a run came to, counted. Must never count what did not happen.
use std::fmt;

/// Faults, in the order of a profile's weights.
pub type Kinds = [u64; 12];

/// Their names.
const KINDS: [&str; 12] = [
    "crash",
    "freeze or thaw",
    "flags away or back",
    "flags wiped",
    "failover",
    "key lost",
    "flags full",
    "replica lags",
    "tables away or back",
    "clock jumps",
    "step twice",
    "configuration away or back",
];

/// One life, or many.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    pub seeds: u64,
    /// Turns of the schedule.
    pub turns: u64,
    pub invocations: u64,
    /// Requests that were held and released.
    pub requests: u64,
    /// Those that were lost, unheard, refused or late.
    pub spoilt: u64,
    pub faults: Kinds,
    /// Invocations that ended at an await, by a crash or at the platform's hands.
    pub crashes: u64,
    pub granted: u64,
    pub refused: u64,
    pub writes: u64,
    pub presses: u64,
    pub in_flight_at_press: u64,
    pub resumes: u64,
    pub looks: u64,
    /// Calls of the model that were paid for, and those that were billed and nobody heard.
    pub reserved: u64,
    pub unheard: u64,
    pub trips: u64,
    /// Days that were opened, and caps that were changed under way.
    pub days: u64,
    pub caps: u64,
    /// Looks and presses that were answered with "nothing in flight".
    pub quiet: u64,
    /// Entries in the log, and outbox rows that it was acknowledged for.
    pub logged: u64,
    pub acknowledged: u64,
    /// Data requests that were done, and rows that held a person when she asked to be forgotten.
    pub forgotten: u64,
    pub canaries: u64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, one: Self) {
        for (sum, one) in self.faults.iter_mut().zip(one.faults) {
            *sum += one;
        }
        for (sum, one) in [
            (&mut self.seeds, one.seeds),
            (&mut self.turns, one.turns),
            (&mut self.invocations, one.invocations),
            (&mut self.requests, one.requests),
            (&mut self.spoilt, one.spoilt),
            (&mut self.crashes, one.crashes),
            (&mut self.granted, one.granted),
            (&mut self.refused, one.refused),
            (&mut self.writes, one.writes),
            (&mut self.presses, one.presses),
            (&mut self.in_flight_at_press, one.in_flight_at_press),
            (&mut self.resumes, one.resumes),
            (&mut self.looks, one.looks),
            (&mut self.quiet, one.quiet),
            (&mut self.reserved, one.reserved),
            (&mut self.unheard, one.unheard),
            (&mut self.trips, one.trips),
            (&mut self.days, one.days),
            (&mut self.caps, one.caps),
            (&mut self.logged, one.logged),
            (&mut self.acknowledged, one.acknowledged),
            (&mut self.forgotten, one.forgotten),
            (&mut self.canaries, one.canaries),
        ] {
            *sum += one;
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} seeds, {} turns, {} invocations", self.seeds, self.turns, self.invocations)?;
        writeln!(f, "{} requests, {} of them spoilt; {} crashes", self.requests, self.spoilt, self.crashes)?;
        let faults: Vec<String> =
            KINDS.iter().zip(self.faults).map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(f, "faults: {}", faults.join(", "))?;
        writeln!(f, "permits: {} granted, {} refused; {} writes", self.granted, self.refused, self.writes)?;
        writeln!(f, "{} presses with {} permits in flight", self.presses, self.in_flight_at_press)?;
        writeln!(f, "{} resumes, {} looks, {} times quiet said", self.resumes, self.looks, self.quiet)?;
        writeln!(
            f,
            "{} entries logged, {} rows acknowledged; {} data requests done, {} rows with her",
            self.logged, self.acknowledged, self.forgotten, self.canaries
        )?;
        write!(
            f,
            "{} calls of the model, {} billed unheard; {} trips, {} days, {} other caps",
            self.reserved, self.unheard, self.trips, self.days, self.caps
        )
    }
}
