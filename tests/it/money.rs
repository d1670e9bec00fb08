//! Lives of money: reservations, lost answers, dead processes, sweeps, midnights, caps and zones that change,
//! drawn from a seed, over the real store. Must never ask the budget what it thinks of itself: the books are
//! kept here a second time, and compared.
//!
//! | invariant | checker | shown by |
//! |---|---|---|
//! | I12 the true cost of a day is within its cap and in its row | `Life::check_days` | B0, B4, B5, B7 |
//! | I13 tokens and tool calls of a run | `Life::check_run`, `Life::call` | the two `.._below_zero` |
//! | I14 one try, one reservation | `Life::answer` | B6 |
//! | I15 one end each; left, pending, posted add up | `Life::check_days`, `Life::end` | B1, B2, B3 |
//! | I16 a cap is raised once | `Life::check_days` | `raise_twice` |
//! | I16 a new day per 20 hours | `Life::note_open` | `midnight_alone` |
//! | I17 one ping a trip | `Life::trip` | `pings_each_time` |
//! | a day of which nothing is spent trips nothing | `Life::refused` | `trip_on_pending` |
mod life;

use crate::scene::run;
use life::Life;

/// Lives of a run of the tests, and how many a broken variant may live through.
const SEEDS: u64 = 24;
const SEEDS_MUTANT: u64 = 60;

#[test]
fn no_life_of_money_breaks_a_promise() {
    run(async {
        let mut sum = life::Sum::default();
        for seed in 0..SEEDS {
            match Life::new(seed).await.live().await {
                Ok(one) => sum += one,
                Err(broken) => panic!("seed {seed}: {broken}"),
            }
        }
        eprintln!("{SEEDS} lives: {sum:?}");
        let life::Sum { reserved, set_aside, tripped, lost, swept, midnights, caps, zones, pings } = sum;
        for (what, count) in [
            ("reserved", reserved),
            ("set aside", set_aside),
            ("tripped", tripped),
            ("lost", lost),
            ("swept", swept),
            ("midnights", midnights),
            ("caps", caps),
            ("zones", zones),
            ("pings", pings),
        ] {
            assert!(count > 0, "no life had any: {what}");
        }
    });
}

/// What is broken, and in which name.
const MUTANTS: [(&str, &str); 14] = [
    ("B0", "the day is read, compared and written in three steps"),
    ("B1", "a settlement can be applied twice"),
    ("B2", "the sweep gives a dead owner's reservation back"),
    ("B3", "the sweep gives a living owner's reservation back"),
    ("B4", "a lost answer is settled at zero"),
    ("B5", "what was not used is credited to the current day"),
    ("B6", "a retry uses the failed try's reservation"),
    ("B7", "a call may cost more than was reserved for it"),
    ("trip_on_pending", "money that calls under way hold counts as spent"),
    ("tokens_below_zero", "a run's tokens are taken whether it has them or not"),
    ("calls_below_zero", "a run's tool calls are counted and not limited"),
    ("raise_twice", "a cap's change does not ask from which cap it was computed"),
    ("midnight_alone", "a midnight opens a day however short the last one was"),
    ("pings_each_time", "each trip counts as the first"),
];

#[test]
fn every_broken_variant_of_the_budget_is_caught() {
    let mut lives = Vec::new();
    for (name, broken) in MUTANTS {
        types::choose_mutant(Some(name));
        let by = run(async {
            for seed in 0..SEEDS_MUTANT {
                if let Err(broken) = Life::new(seed).await.live().await {
                    return Some(format!("seed {seed}: {broken}"));
                }
            }
            None
        });
        types::choose_mutant(None);
        eprintln!("{name:22} {}", by.as_deref().unwrap_or("LIVES"));
        if by.is_none() {
            lives.push((name, broken));
        }
    }
    eprintln!("{} / {} killed", MUTANTS.len() - lives.len(), MUTANTS.len());
    assert!(lives.is_empty(), "broken variants live: {lives:#?}");
}
