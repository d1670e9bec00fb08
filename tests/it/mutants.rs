//! Deliberately broken builds: every protocol with one piece taken out, which the simulation must catch. Must
//! never let one live without a reason.
use crate::simulation::profiles::{
    BETWEEN, CRASHES, CROSSING, CUSTOMERS, DRAINED, EPOCHS, FLAGS, FLIPPING, FORGETTING, FORGOTTEN, FROZEN,
    IN_HAND, LATE, LATE_CLAIM, LOSING, MIXED, MOMENT, MONEY, OLDER, OVERTAKEN, PEOPLE, REPAIRING, RESUMING,
    SHORT_DAY, SWEEPING, TYPING, UNANSWERED, profile_of,
};
use crate::simulation::world::Profile;
use crate::simulation::{in_still_time, one};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A broken variant, what is broken in it, and how many random seeds it may live through.
struct Mutant {
    name: &'static str,
    /// The invariant that it breaks.
    shows: &'static str,
    broken: &'static str,
    seeds: u64,
    /// The kind of life in which it shows; none, if it shows in every kind.
    life: Option<Profile>,
}

const fn mutant(name: &'static str, shows: &'static str, broken: &'static str, seeds: u64) -> Mutant {
    Mutant { name, shows, broken, seeds, life: None }
}

/// One that shows in few lives of every kind, and in many of this one.
const fn shy(
    name: &'static str,
    shows: &'static str,
    broken: &'static str,
    seeds: u64,
    life: Profile,
) -> Mutant {
    Mutant { name, shows, broken, seeds, life: Some(life) }
}

/// To add one: ask `types::mutant("name")` in the product where the piece is, and name it here.
///
/// T1f, the permit as a transaction over several items that the page finds by a query, has no counterpart
/// here: the permits are part of the one control item, so there is nothing to query. Its failure, a list of
/// permits in flight that is older than the halt, is H6g.
const MUTANTS: [Mutant; 58] = [
    shy("H0", "I1", "the switch is looked at before the act and never again; no permit", 5, MOMENT),
    mutant(
        "H1",
        "I4",
        "the flags are looked at once more, but no permit is held while the request is out",
        100,
    ),
    mutant("H6g", "I3", "the page reads the permits in flight from a copy that may be old", 400),
    shy("H7", "I4", "a permit runs out by its own timer, not with the invocation", 5, FROZEN),
    shy("H8l", "I2", "a write whose outcome is unknown is forgotten", 300, LATE),
    shy("H9", "I8", "a run is not bound to the epoch it began in", 25, EPOCHS),
    shy("H11", "I8", "a resume takes whatever epoch and press it finds", 100, RESUMING),
    shy("S1", "I7", "the page believes a flag that no replica has", 5, FORGETTING),
    shy("press_gives_way", "I11", "a press is content that somebody else pressed", 5, CROSSING),
    mutant("S3", "I11", "a press reads the control item instead of halting it", 100),
    shy(
        "sweep_without_token",
        "I7",
        "the sweep halts what is being resumed: no look at the mark",
        10,
        SWEEPING,
    ),
    shy("sweep_without_watch", "I7", "the sweep halts what is being resumed: no WATCH", 10, SWEEPING),
    shy("ledger_first", "I7", "the control item is armed before the flags are", 5, BETWEEN),
    shy("no_halt_seq", "I8", "a resume does not see a press that only the flags have", 5, LOSING),
    shy("repair_without_epoch", "I7", "a flag seen long ago halts what was resumed since", 5, REPAIRING),
    shy(
        "repair_at_first_sight",
        "I7",
        "a flag that was read before a resume halts what was resumed",
        5,
        OLDER,
    ),
    shy("permit_without_epoch", "I8", "a permit asks for no epoch", 5, OVERTAKEN),
    shy("one_flag_check", "I4", "no flag check after the permit", 100, RESUMING),
    shy("blind_retry", "I21", "a write without an answer is sent again", 100, UNANSWERED),
    shy("retry_missing_outcome", "I21", "a write without an outcome row is sent again", 100, UNANSWERED),
    shy(
        "immediate_read_back",
        "I21",
        "a note that is not there at the first look was never written",
        100,
        UNANSWERED,
    ),
    shy("reads_beside_the_claim", "I21", "what was read before the claim is taken for all", 5, LATE_CLAIM),
    // One for each checker that none of these shows to be awake.
    shy(
        "any_flag_answer",
        "I5",
        "whatever the flags answer after the permit, the write goes out",
        150,
        FLAGS,
    ),
    shy("any_flag_answer", "I6", "the same, under a flag", 150, RESUMING),
    shy("permit_without_mode", "I19", "a permit does not ask whether the tool is live", 150, FLIPPING),
    shy("look_repairs", "I9", "a look at the page copies a flag into the control item", 100, TYPING),
    shy("halts_another", "I10", "a halt of one customer stops the next one too", 100, CUSTOMERS),
    shy("deaf_model", "I11", "a call of the model is not given up at a halt", 100, RESUMING),
    shy("any_stage", "I18", "a deal may be moved to any stage that the list names", 200, MIXED),
    shy("decides_again", "I22", "a stored decision is not replayed: the model is asked again", 100, CRASHES),
    shy("echo_starts", "I23", "our own writes start runs", 100, PEOPLE),
    shy("rest_without_rows", "I25", "the calls that an ended run leaves behind have no rows", 100, CRASHES),
    mutant("write_before_row", "I26", "a write goes out before its row says so", 100),
    shy("permits_never_swept", "I31", "nobody moves a dead invocation's permit", 100, CRASHES),
    shy("reservations_stay", "I32", "nobody closes a dead invocation's reservation", 100, CRASHES),
    // Of money; `money.rs` has more of them, against the budget alone.
    shy("calls_below_zero", "I13", "a run's tool calls are counted and not limited", 100, MIXED),
    shy("B0", "I15", "the day is read, compared and written in three steps", 100, MONEY),
    shy("B1", "I15", "a settlement can be applied twice", 100, MONEY),
    shy("B5", "I15", "what was not used is credited to the current day", 100, MONEY),
    shy("B2", "I12", "the sweep gives a dead owner's reservation back", 300, MONEY),
    shy("B3", "I12", "the sweep gives a living owner's reservation back", 300, MONEY),
    shy("B4", "I12", "a lost answer is settled at zero", 300, MONEY),
    shy("B7", "I12", "a call may cost more than was reserved for it", 25, MONEY),
    shy("midnight_alone", "I16", "a midnight opens a day however short the last one was", 25, SHORT_DAY),
    shy("trip_only_tells", "I17", "a trip is told and halts nothing", 25, MONEY),
    // Of the way into the log, and out of every store; `audit-log`'s own tests have more of them in its SQL.
    shy("acknowledged_first", "I25", "a row is acknowledged before the log has it", 50, DRAINED),
    shy("row_twice", "I25", "an entry that the log has is appended again", 10, DRAINED),
    shy("chain_stands_still", "I27", "each entry follows the first one", 10, DRAINED),
    shy("erased_without_rows", "I25", "calls of a run that an erasure closes have no row", 300, FORGOTTEN),
    shy("request_without_entry", "I25", "a data request leaves no entry", 25, FORGOTTEN),
    shy("one_look", "I28", "what a step had in hand while her runs were looked for stays", 25, IN_HAND),
    shy("forgets_runs", "I28", "an erasure leaves her runs' rows", 100, FORGOTTEN),
    shy("forgets_prompts", "I28", "an erasure leaves what the model was sent", 100, FORGOTTEN),
    shy("forgets_drafts", "I28", "an erasure leaves the tool calls' texts", 200, FORGOTTEN),
    shy("forgets_halt_page", "I28", "an erasure leaves the control table", 200, FORGOTTEN),
    shy("erasure_keeps_names", "I28", "an erasure leaves the list of whom entries are about", 100, FORGOTTEN),
    shy("erasure_keeps_prompts", "I28", "an erasure leaves the log's prompts", 100, FORGOTTEN),
    mutant("halt_needs_flags", "I33", "a press waits for the flags before it halts the control item", 100),
];

/// Who caught it: the first seed in which its promise broke. The same life without the mutant
/// must keep every promise, or it was not the mutant that was caught.
fn caught(mutant: &Mutant) -> Option<String> {
    in_still_time(async || {
        for seed in 0..mutant.seeds {
            let life = || mutant.life.clone().unwrap_or_else(|| profile_of(seed));
            types::choose_mutant(Some(mutant.name));
            let broken = one(seed, life()).await;
            types::choose_mutant(None);
            let Err(violation) = broken else { continue };
            let of_it = |what: &&String| what.split(':').next() == Some(mutant.shows);
            let Some(what) = violation.what.iter().find(of_it) else { continue };
            if let Err(whole) = one(seed, life()).await {
                panic!("without {}: {whole}", mutant.name);
            }
            return Some(format!("seed {seed}: {what}"));
        }
        None
    })
}

#[test]
fn every_broken_variant_is_caught() {
    let tried: Vec<&Mutant> = MUTANTS
        .iter()
        .filter(|mutant| only().is_none_or(|names| names.split(',').any(|name| name == mutant.name)))
        .collect();
    let next = AtomicUsize::new(0);
    let lives = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while let Some(mutant) = tried.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let by = caught(mutant);
                    eprintln!("{:22} {}", mutant.name, by.as_deref().unwrap_or("LIVES"));
                    if by.is_none() {
                        lives.lock().unwrap().push((mutant.name, mutant.broken));
                    }
                }
            });
        }
    });
    let lives = lives.into_inner().unwrap();
    eprintln!("{} / {} killed", tried.len() - lives.len(), tried.len());
    assert!(!tried.is_empty() && lives.is_empty(), "broken variants live: {lives:#?}");
}

/// `MUTANT=name,name` tries these.
fn only() -> Option<String> {
    std::env::var("MUTANT").ok()
}

/// What cargo links a package's own targets with, each with its features.
fn linked(package: &str, edges: &str) -> Vec<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(crate::tree::root()).args([
        "tree",
        "--offline",
        "--prefix",
        "none",
        "--format",
        "{p} {f}",
    ]);
    let output = cargo.args(["--package", package, "--edges", edges]).output().expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text.lines().filter(|line| line.starts_with("types v")).map(str::to_owned).collect()
}

#[test]
fn no_build_that_runs_for_real_knows_a_broken_variant() {
    for package in ["intake", "step", "halt", "audit", "console", "cli", "demo"] {
        let types = linked(package, "normal,build");
        assert!(!types.is_empty(), "{package}");
        assert!(types.iter().all(|line| !line.contains("mutants")), "{package}: {types:?}");
    }
    let here = linked("tests", "normal,build,dev");
    assert!(here.iter().any(|line| line.contains("mutants")), "the tests have them: {here:?}");
}
