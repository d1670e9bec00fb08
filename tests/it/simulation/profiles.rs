//! Kinds of lives: what happens often, and what goes wrong. Must never leave a kind of fault without a
//! profile.
use super::script::START_MS;
use super::world::story::Story;
use super::world::trail::Trail;
use super::world::{Money, Profile};

/// Everything a little.
pub const MIXED: Profile = Profile {
    name: "mixed",
    turns: 260,
    events: 3,
    begin: 70,
    jobs: [10, 12, 22, 8, 6, 16, 4, 6, 4, 3],
    faults: [20, 14, 6, 4, 4, 4, 3, 6, 6, 6, 10, 2],
    fault: 25,
    lost: [8, 10, 6],
    crm: [30, 60, 60, 60],
    eager: false,
    as_before: 600,
    story: None,
    money: None,
    trail: None,
};

/// Nothing fails but what people do.
pub const PEOPLE: Profile = Profile {
    name: "people",
    begin: 110,
    jobs: [6, 16, 22, 10, 6, 20, 6, 4, 4, 2],
    fault: 4,
    lost: [0, 0, 0],
    crm: [0, 0, 0, 0],
    eager: true,
    ..MIXED
};

/// Writes that the CRM does not answer.
pub const UNANSWERED: Profile = Profile {
    name: "unanswered",
    begin: 50,
    jobs: [24, 6, 22, 10, 4, 10, 0, 2, 0, 3],
    fault: 20,
    faults: [30, 20, 0, 0, 0, 0, 0, 0, 0, 4, 20, 0],
    lost: [2, 4, 2],
    crm: [120, 200, 250, 60],
    eager: true,
    ..MIXED
};

/// The flags lose what they can.
pub const FLAGS: Profile = Profile {
    name: "flags",
    begin: 90,
    jobs: [4, 20, 20, 10, 4, 22, 4, 2, 8, 0],
    faults: [6, 6, 14, 8, 12, 10, 6, 14, 8, 4, 4, 0],
    fault: 35,
    crm: [0, 0, 20, 20],
    eager: true,
    ..MIXED
};

/// Invocations die, freeze and come twice.
pub const CRASHES: Profile = Profile {
    name: "crashes",
    begin: 40,
    jobs: [24, 6, 14, 6, 2, 8, 0, 4, 0, 6],
    faults: [50, 24, 2, 0, 0, 0, 0, 0, 2, 6, 30, 1],
    fault: 45,
    lost: [6, 16, 6],
    crm: [30, 80, 60, 30],
    eager: true,
    ..MIXED
};

/// A claim is overtaken by everything that its rival does.
pub const LATE_CLAIM: Profile =
    Profile { name: "late claim", story: Some(Story::ClaimComesLate), ..UNANSWERED };

/// Holders of permits stand still while the sweeps go on.
pub const FROZEN: Profile = Profile {
    name: "frozen",
    begin: 90,
    jobs: [40, 2, 14, 8, 0, 10, 0, 0, 0, 0],
    faults: [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    fault: 60,
    lost: [0, 0, 0],
    crm: [0, 0, 0, 0],
    as_before: 1_000,
    story: Some(Story::HolderSleeps),
    ..CRASHES
};

/// Presses while the tables are away and the replica lags, failovers, resumes on old pages.
pub const LOSING: Profile = Profile {
    name: "losing",
    begin: 140,
    jobs: [2, 4, 14, 26, 4, 20, 4, 2, 0, 0],
    faults: [0, 0, 0, 0, 20, 0, 0, 30, 40, 0, 0, 0],
    fault: 70,
    lost: [0, 0, 0],
    story: Some(Story::ResumeOnAnOldPage),
    ..FLAGS
};

/// The flags are full when somebody presses.
pub const FULL: Profile = Profile {
    name: "full",
    faults: [4, 4, 8, 4, 4, 4, 40, 10, 20, 2, 2, 0],
    story: Some(Story::PressOnFullFlags),
    ..FLAGS
};

/// A failover forgets what was pressed.
pub const FORGETTING: Profile =
    Profile { name: "forgetting", story: Some(Story::FailoverForgetsAPress), ..LOSING };

/// People halt and resume all the time, sweeps run, keys are typed.
pub const RESUMING: Profile = Profile {
    name: "resuming",
    begin: 170,
    jobs: [2, 26, 20, 16, 4, 30, 4, 2, 8, 0],
    as_before: 1_000,
    ..PEOPLE
};

/// Sweeps of the flags in the middle of resumes.
pub const SWEEPING: Profile = Profile {
    name: "sweeping",
    events: 1,
    begin: 300,
    jobs: [0, 50, 12, 10, 0, 30, 0, 0, 0, 0],
    as_before: 1_000,
    story: Some(Story::SweepsMeetResumes),
    ..PEOPLE
};

/// A halt and its resume between two steps of a run.
pub const EPOCHS: Profile = Profile {
    name: "epochs",
    begin: 120,
    jobs: [2, 0, 26, 14, 2, 36, 0, 0, 0, 0],
    faults: [20, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    fault: 15,
    as_before: 1_000,
    story: Some(Story::RunOutlivesResume),
    ..PEOPLE
};

/// Tools are flipped all the time.
pub const FLIPPING: Profile =
    Profile { name: "flipping", begin: 120, jobs: [2, 2, 4, 2, 0, 6, 0, 60, 0, 0], ..PEOPLE };

/// One customer after the other is halted.
pub const CUSTOMERS: Profile =
    Profile { name: "customers", begin: 90, jobs: [2, 2, 4, 0, 30, 4, 0, 2, 0, 0], ..PEOPLE };

/// Keys are typed, pages are looked at.
pub const TYPING: Profile =
    Profile { name: "typing", begin: 250, jobs: [0, 0, 4, 2, 0, 20, 0, 0, 60, 0], ..PEOPLE };

/// A flag is copied late.
pub const REPAIRING: Profile =
    Profile { name: "repairing", story: Some(Story::RepairMeetsResume), ..RESUMING };

/// The flags are read before a resume, the control item after it.
pub const OLDER: Profile = Profile { name: "older flag", story: Some(Story::FlagIsOlder), ..RESUMING };

/// Two presses at once, one of them on one customer.
pub const CROSSING: Profile = Profile { name: "crossing", story: Some(Story::PressesCross), ..CUSTOMERS };

/// A permit is granted late.
pub const OVERTAKEN: Profile = Profile { name: "overtaken", story: Some(Story::PermitMeetsResume), ..EPOCHS };

/// Every write arrives after its sender gave up; people press and look meanwhile.
pub const LATE: Profile = Profile {
    name: "late",
    begin: 90,
    jobs: [6, 4, 30, 24, 4, 10, 0, 0, 0, 0],
    fault: 4,
    crm: [0, 0, 900, 0],
    as_before: 1_000,
    ..UNANSWERED
};

/// Dear calls under a tight cap, with crashes, lost answers and caps that change.
pub const MONEY: Profile = Profile {
    name: "money",
    events: 4,
    begin: 60,
    jobs: [30, 6, 16, 2, 2, 26, 0, 2, 0, 2],
    faults: [40, 16, 4, 2, 0, 0, 0, 0, 4, 10, 20, 4],
    fault: 30,
    lost: [10, 60, 10],
    crm: [10, 20, 20, 20],
    eager: true,
    as_before: 1_000,
    money: Some(Money { begins_ms: START_MS, hours: 12, saves: 25 }),
    ..MIXED
};

/// The night of a day of 25 hours.
pub const LONG_DAY: Profile =
    Profile { name: "long day", money: Some(Money { begins_ms: OCTOBER_MS, hours: 30, saves: 20 }), ..MONEY };

/// The night of a day of 23 hours.
pub const SHORT_DAY: Profile =
    Profile { name: "short day", money: Some(Money { begins_ms: MARCH_MS, hours: 30, saves: 20 }), ..MONEY };

/// 24 October and 28 March 2026, 20:00 in Amsterdam: the clocks change in the night.
const OCTOBER_MS: i64 = 1_792_864_800_000;
const MARCH_MS: i64 = 1_774_724_400_000;

impl Profile {
    /// When a life of this kind begins.
    pub fn begins_ms(&self) -> i64 {
        self.money.map_or(START_MS, |money| money.begins_ms)
    }
}

/// A halt in the last moment.
pub const MOMENT: Profile = Profile { name: "moment", story: Some(Story::WriteMeetsHalt), ..RESUMING };

/// A look in the middle of a resume.
pub const BETWEEN: Profile = Profile { name: "between", story: Some(Story::StepMeetsResume), ..RESUMING };

/// The outbox is drained into the log, by the stream and by the sweep, over a wire that breaks.
pub const DRAINED: Profile = Profile {
    name: "drained",
    lost: [12, 20, 12],
    trail: Some(Trail { stream: 60, sweep: 25, away: 6, lapse: 6, forget: 0, copy: 0 }),
    ..CRASHES
};

/// A person asks to be forgotten in the middle of it, and for a copy.
pub const FORGOTTEN: Profile = Profile {
    name: "forgotten",
    events: 4,
    eager: false,
    story: Some(Story::SheHasWritten),
    trail: Some(Trail { stream: 60, sweep: 25, away: 4, lapse: 6, forget: 5, copy: 3 }),
    ..DRAINED
};

/// She is forgotten while a step holds what it has read of her.
pub const IN_HAND: Profile =
    Profile { name: "in hand", turns: 120, story: Some(Story::StepMeetsErasure), ..FORGOTTEN };

/// Every kind.
const LIVES: [Profile; 29] = [
    LATE_CLAIM, MIXED, OLDER, PEOPLE, MONEY, UNANSWERED, LONG_DAY, FLAGS, SHORT_DAY, CRASHES, CROSSING,
    FROZEN, LOSING, FULL, FORGETTING, RESUMING, REPAIRING, SWEEPING, EPOCHS, OVERTAKEN, LATE, MOMENT,
    BETWEEN, FLIPPING, CUSTOMERS, TYPING, DRAINED, FORGOTTEN, IN_HAND,
];

/// The profile of a seed.
pub fn profile_of(seed: u64) -> Profile {
    LIVES[usize::try_from(seed % LIVES.len() as u64).unwrap()].clone()
}

/// The kind of that name.
pub fn named(name: &str) -> Profile {
    LIVES.into_iter().find(|profile| profile.name == name).unwrap_or_else(|| panic!("no kind is {name:?}"))
}
