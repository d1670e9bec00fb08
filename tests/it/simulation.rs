//! Whole lives of the real functions under a seeded adversary: every request held, every store able to fail,
//! every await a place to die. Must never pass a seed that broke a promise.
//!
//! `SEED=n` lives one seed again and prints its trace if a promise breaks; `SIM_SEEDS=n` lives so many,
//! `MINUTES=n` for so long; `SIM_FROM=n` begins at another seed, `SIM_THREADS=1` leaves the machine to
//! others, `SIM_KIND=drained` lives nothing but that kind.
//!
//! Which checker holds which invariant, and a broken variant of `mutants.rs` that shows it awake:
//!
//! | invariant | checker | shown by |
//! |---|---|---|
//! | I1 nothing begins after "nothing in flight" | `Truth::crm_starts` | `H0` |
//! | I2 nothing takes effect after it | `Truth::crm_applied` | `H8l` |
//! | I3 no permit after a page said "halted" | `Truth::grant` | `H6g` |
//! | I4 a permit, then a flag check, then the write | `Truth::crm_starts` | `H1`, `H7`, `one_flag_check` |
//! | I5 flags silent or not armed: no write | `Truth::crm_starts` | `any_flag_answer` |
//! | I6 any flag of the scope: no write | `Truth::crm_starts` | `any_flag_answer` |
//! | I7 no machine undoes a halt or a resume | `Truth::flags_against_control` | `S1`, `ledger_first` |
//! | I8 a resume acts on what was shown, no old run writes | `Truth::armed`, `Truth::grant` | `H9`, `H11` |
//! | I9 looking changes nothing | `World::bot_changes_nothing` | `look_repairs` |
//! | I10 a customer's halt is hers alone | `Truth::stopped_by_its_own` | `halts_another` |
//! | I11 an answered halt holds | `Truth::grant` | `S3` |
//! | I11 a call of the model is given up | `World::models_given_up` | `deaf_model` |
//! | I12 a day's true cost is within its cap | `Books::within`, `Books::billed` | `B2`, `B4`, `B7` |
//! | I13 tokens and tool calls of a run | `Books::rows`, `Books::billed` | `calls_below_zero` |
//! | I14 one try, one reservation | `Books::sent` | none here, see `money.rs` |
//! | I15 one end each; all adds up | `Books::day` | `B0`, `B1`, `B5` |
//! | I16 a new day 20 hours after the last | `Books::opened` | `midnight_alone` |
//! | I17 a trip halts, and is told once | `Truth::tripped` | `trip_only_tells` |
//! | I18 registered tools, own deal, allowed stage | `Truth::allowed` | `any_stage` |
//! | I19 a dry tool gets no permit | `Truth::grant` | `permit_without_mode` |
//! | I20 nothing irreversible is asked for | `World::check_ends` | none: no code could ask for it |
//! | I21 one effect a call, one true end | `Truth::crm_applied`, `World::calls_ended` | `blind_retry` |
//! | I22 a decision is stored once | `Truth::decision` | `decides_again` |
//! | I23 one run an event, none for our own writes | `World::runs_ended` | `echo_starts` |
//! | I25 one row for each call, numbers without gaps | `World::entries_complete` | `rest_without_rows` |
//! | I25 each row is in the log, once, as it was written | `World::log_is_whole` | `row_twice` |
//! | I25 no row is let go before the log has it | `World::read_the_outbox` | `acknowledged_first` |
//! | I25 a data request has its rows | `World::she_is_forgotten` | `request_without_entry` |
//! | I26 the row before the write | `Truth::crm_starts`, `World::check_ends` | `write_before_row` |
//! | I27 the chain goes on without gaps and verifies | `World::log_is_whole` | `chain_stands_still` |
//! | I28 whoever is forgotten is in no store | `World::she_is_forgotten` | `one_look`, `forgets_runs` |
//! | I29 no secret is in a row | `World::she_is_forgotten` | none here |
//! | I31 no permit outlives its holder | `World::no_permit_outlives_its_invocation` | `permits_never_swept` |
//! | I32 all comes to an end | `World::runs_ended`, `World::reservations_closed` | `reservations_stay` |
//! | I33 one store is enough for a halt | `World::one_store_is_enough` | `halt_needs_flags` |
//!
//! Tokens that a run has not (I13) and one reservation for two tries (I14) are shown by `money.rs`. An edited
//! row, a cut tail, rows in another order and an unsalted commitment (I27) are found over the same Postgres
//! in `audit_log.rs` and in `audit-log`'s own tests, secrets in logs and pages (I29) by `secrets.rs`, roles
//! (I30) in `audit-log`'s tests and `kill_switch.rs`. I24, no decision on what the model or a customer wrote,
//! has no checker of its own: the script writes orders into every text, and all checkers hold whatever it
//! says.
pub mod books;
pub mod chance;
pub mod flags;
pub mod log;
pub mod profiles;
pub mod rig;
pub mod script;
pub mod tables;
pub mod totals;
pub mod truth;
pub mod wire;
pub mod world;

use profiles::{named, profile_of};
use rig::Rig;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use totals::Totals;
use world::{Profile, Violation, World};

/// How many lives a run of the tests lives.
const SEEDS: u64 = 1_000;

/// A task of this thread's runtime.
#[expect(clippy::disallowed_methods, reason = "a test is not a Lambda: nothing freezes it")]
pub fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}

/// Runs a body on a runtime of its own, whose time stands still until the schedule moves it.
pub fn in_still_time<T>(body: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        // Whatever was sent on a socket of this process is there at the next look: look every time.
        .event_interval(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        // As long as somebody is ready the runtime never moves time by itself.
        let spinner = spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        let answer = body().await;
        spinner.abort();
        answer
    })
}

/// One life, in a product of its own.
pub async fn one(seed: u64, profile: Profile) -> Result<Totals, Violation> {
    // The AWS client's waits between its tries are drawn from this thread's generator.
    fastrand::seed(seed);
    let mut rig = Rig::build(&profile).await;
    World::new(&mut rig, seed, profile).await.live(seed).await
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Which seeds are lived: every thread takes the next one.
#[derive(Debug)]
struct Plan {
    next: AtomicU64,
    last: u64,
    until: Option<Instant>,
    broken: AtomicBool,
}

impl Plan {
    fn of_environment() -> Self {
        if let Some(seed) = number("SEED") {
            return Self { next: seed.into(), last: seed, until: None, broken: false.into() };
        }
        let first = number("SIM_FROM").unwrap_or(0);
        let until = number("MINUTES").map(|minutes| Instant::now() + Duration::from_secs(minutes * 60));
        let seeds = number("SIM_SEEDS").unwrap_or(if until.is_some() { u64::MAX / 2 } else { SEEDS });
        Self { next: first.into(), last: first + seeds - 1, until, broken: false.into() }
    }

    fn take(&self) -> Option<u64> {
        let over = self.until.is_some_and(|until| Instant::now() >= until);
        let seed = self.next.fetch_add(1, Ordering::SeqCst);
        (seed <= self.last && !over && !self.broken.load(Ordering::SeqCst)).then_some(seed)
    }

    fn live(&self) -> Result<Totals, Box<Violation>> {
        in_still_time(async || {
            let mut sum = Totals::default();
            let kind = std::env::var("SIM_KIND").ok().map(|name| named(&name));
            while let Some(seed) = self.take() {
                let life = one(seed, kind.clone().unwrap_or_else(|| profile_of(seed))).await;
                self.broken.fetch_or(life.is_err(), Ordering::SeqCst);
                sum += life.map_err(Box::new)?;
                if self.until.is_some() && sum.seeds % 500 == 0 {
                    eprintln!("at seed {seed}:\n{sum}");
                }
            }
            Ok(sum)
        })
    }
}

#[test]
fn no_seed_breaks_a_promise() {
    let plan = Arc::new(Plan::of_environment());
    let threads: Vec<_> = (0..number("SIM_THREADS").unwrap_or(2))
        .map(|_| {
            let plan = Arc::clone(&plan);
            std::thread::spawn(move || plan.live())
        })
        .collect();
    let mut sum = Totals::default();
    for thread in threads {
        match thread.join().unwrap() {
            Ok(totals) => sum += totals,
            Err(violation) => panic!("{violation}"),
        }
    }
    eprintln!("{sum}");
    assert!(sum.seeds < 20 || sum.writes > sum.seeds, "hardly anything was written: {sum}");
    let logged = sum.logged > sum.seeds && sum.forgotten > 1 && sum.canaries > sum.forgotten;
    assert!(sum.seeds < 100 || logged, "hardly anything was logged, or erased: {sum}");
}
