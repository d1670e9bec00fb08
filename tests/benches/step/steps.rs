//! One contained step by kind: round trips and microseconds, by whom it waits for. Must never count the
//! model's own time as ours.
use crate::function::Function;
use crate::scene::{Scene, says, says_nothing_more};
use crate::tally::{Tally, Wait, in_a_row, together};
use crate::{Redis, percentile, us};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use step::Next;

/// Runs of one deal and day, with room to the bound of twenty.
const RUNS_A_DAY: u64 = 18;
const DAYS: u64 = 6;
const DAY_MS: i64 = 86_400_000;

/// The steps of one run, in order.
const KINDS: [&str; 8] = [
    "fix the deal",
    "get_deal",
    "append_note",
    "set_stage",
    "schedule_follow_up",
    "draft_email",
    "foreign deal",
    "end",
];

/// The answers that make one run of these steps.
fn script() -> Vec<Value> {
    let because = "The customer wrote so.";
    let deal_id = "4411";
    vec![
        says(&[("get_deal", json!({"deal_id": deal_id}))]),
        says(&[(
            "append_note",
            json!({"deal_id": deal_id, "text": "They chose another.", "because": because}),
        )]),
        says(&[("set_stage", json!({"deal_id": deal_id, "stage": "closedlost", "because": because}))]),
        says(&[(
            "schedule_follow_up",
            json!({"deal_id": deal_id, "due_date": "2027-01-15", "subject": "Call them", "because": because}),
        )]),
        says(&[(
            "draft_email",
            json!({"deal_id": deal_id, "to_contact_id": "704411", "subject": "Thank you", "body": "Dear customer.", "because": because}),
        )]),
        says(&[("append_note", json!({"deal_id": "4302", "text": "Not this one.", "because": because}))]),
        says_nothing_more(),
    ]
}

/// Whom a step waits for.
struct Tallies {
    tables: Tally,
    flags: Tally,
    crm: Tally,
    model: Tally,
}

#[derive(Default)]
struct Kind {
    whole: Vec<Duration>,
    own: Vec<Duration>,
    waits: [Vec<Duration>; 3],
    trips: [usize; 3],
    /// What the last one asked the tables, side by side in brackets.
    asked: String,
    rows: usize,
}

/// The next event of deal 4411's mail: another one each time.
pub fn event(scene: &Scene, nth: u64) -> Vec<Value> {
    let mut events = Scene::events("reply_4411");
    events[0]["eventId"] = json!(4_000_000_000_u64 + nth);
    events[0]["occurredAt"] = json!(scene.clock.now_ms());
    events
}

/// One run step by step: each step's kind and time.
async fn one_run(scene: &mut Scene, function: &Function, nth: u64, mut each: impl FnMut(usize, Duration)) {
    scene.standins.anthropic.script(script());
    let events = event(scene, nth);
    let (status, answer) = scene.deliver(&events).await;
    assert_eq!(status, 200, "{answer}");
    let start = scene.asked_for().pop().expect("a start");
    let mut input = step::StepInput { run_id: start.run_id, n: start.n, customer_id: None };
    for kind in 0.. {
        // The CRM's stand-in counts requests per ten seconds by this clock, which stands still otherwise.
        scene.clock.advance_ms(10_000);
        let (output, took) = function.step(scene, &mut input).await;
        each(kind, took);
        match output.next {
            Next::Continue => {}
            Next::Done => break,
            Next::Wait | Next::Halted => panic!("step {kind}: {output:?}"),
        }
    }
    // A log that does not keep up turns every tool to dry-run.
    scene.settle_audit().await;
}

/// A product whose tables and flags lie behind a tally each, tables first.
async fn behind_tallies(redis: &Redis) -> (Scene, Tally, Tally) {
    let url = redis.server.url().to_owned();
    let flags = Tally::before(&url).await;
    let tables = Tally::before(&Scene::tables_endpoint()).await;
    let (to_flags, to_tables) = (format!("redis://{}/", flags.address), format!("http://{}", tables.address));
    crate::scene::typed::<()>(&url, &["FLUSHALL"]).await.expect("an empty server");
    let scene = Scene::with(|settings| {
        settings.insert("REDIS_URL".to_owned(), to_flags);
        settings.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), to_tables);
    })
    .await;
    (scene, tables, flags)
}

/// What a step that writes a note, live, asks: the operations on the tables, and how often the flags.
pub async fn note_asks(redis: &Redis) -> (Vec<String>, usize) {
    let (mut scene, tables, flags) = behind_tallies(redis).await;
    scene.go_live("append_note").await;
    let function = Function::of(&scene);
    let mut asked = (Vec::new(), 0);
    one_run(&mut scene, &function, 0, |kind, _| {
        let (of_tables, of_flags) = (tables.take(), flags.take());
        if KINDS.get(kind) == Some(&"append_note") {
            asked = (of_tables.into_iter().filter_map(|wait| wait.what).collect(), of_flags.len());
        }
    })
    .await;
    asked
}

/// The median of a step that writes a note, live, straight to the servers, the model's own time left out.
pub async fn note_steps(redis: &Redis) -> Duration {
    let url = redis.server.url().to_owned();
    crate::scene::typed::<()>(&url, &["FLUSHALL"]).await.expect("an empty server");
    let mut scene = Scene::with(|settings| drop(settings.insert("REDIS_URL".to_owned(), url))).await;
    let model = Tally::before(&scene.standins.anthropic.url).await;
    let to_model = format!("http://{}", model.address);
    scene.rebuild(|settings| drop(settings.insert("ANTHROPIC_BASE_URL".to_owned(), to_model))).await;
    scene.go_live("append_note").await;
    let function = Function::of(&scene);
    let mut notes = Vec::new();
    for nth in 0..RUNS_A_DAY * DAYS {
        if nth % RUNS_A_DAY == RUNS_A_DAY - 1 {
            scene.clock.advance_ms(DAY_MS);
        }
        drop(model.take());
        one_run(&mut scene, &function, nth, |kind, whole| {
            let thought = together(&model.take());
            if KINDS.get(kind) == Some(&"append_note") {
                notes.push(whole.saturating_sub(thought));
            }
        })
        .await;
    }
    percentile(&mut notes, 50)
}

/// Prints both tables.
pub async fn run(redis: &Redis) {
    for live in [false, true] {
        let mode = if live { "live" } else { "dry-run" };
        println!("\nOne step, {mode}: {} of each kind, the model's own time left out", RUNS_A_DAY * DAYS);
        let mut kinds: BTreeMap<usize, Kind> = BTreeMap::new();
        let mut all = Vec::new();
        let (mut scene, tables, flags) = behind_tallies(redis).await;
        let crm = Tally::before(&scene.standins.hubspot.url).await;
        let model = Tally::before(&scene.standins.anthropic.url).await;
        let (to_crm, to_model) = (format!("http://{}", crm.address), format!("http://{}", model.address));
        scene
            .rebuild(|settings| {
                settings.insert("HUBSPOT_BASE_URL".to_owned(), to_crm);
                settings.insert("ANTHROPIC_BASE_URL".to_owned(), to_model);
            })
            .await;
        let tallies = Tallies { tables, flags, crm, model };
        if live {
            for tool in ["append_note", "schedule_follow_up"] {
                scene.go_live(tool).await;
            }
        }
        let function = Function::of(&scene);
        for day in 0..DAYS {
            for nth in 0..RUNS_A_DAY {
                tallies.clear();
                one_run(&mut scene, &function, day * RUNS_A_DAY + nth, |kind, whole| {
                    let known = kinds.entry(kind).or_default();
                    all.push(known.add(&tallies, whole));
                })
                .await;
            }
            scene.clock.advance_ms(DAY_MS);
        }
        print(&mut kinds);
        println!(
            "all steps: p50 {} us, p95 {} us",
            us(percentile(&mut all, 50)),
            us(percentile(&mut all, 95))
        );
    }
}

impl Tallies {
    fn clear(&self) {
        for tally in [&self.tables, &self.flags, &self.crm, &self.model] {
            drop(tally.take());
        }
    }
}

impl Kind {
    /// Adds one step; its time without the model's.
    fn add(&mut self, tallies: &Tallies, whole: Duration) -> Duration {
        let model = together(&tallies.model.take());
        let mut all: Vec<Wait> = Vec::new();
        for (nth, tally) in [&tallies.tables, &tallies.flags, &tallies.crm].into_iter().enumerate() {
            let waits = tally.take();
            self.trips[nth] += waits.len();
            self.waits[nth].push(together(&waits));
            if nth == 0 {
                self.asked = operations(&waits);
            }
            all.extend(waits);
        }
        self.rows += in_a_row(&all).len();
        let contained = whole.saturating_sub(model);
        self.whole.push(contained);
        self.own.push(contained.saturating_sub(together(&all)));
        contained
    }
}

/// `[GetItem Query UpdateItem] UpdateItem ..`
fn operations(waits: &[Wait]) -> String {
    let name = |wait: &&Wait| wait.what.clone().unwrap_or_else(|| "?".to_owned());
    let row = |row: Vec<&Wait>| match row.as_slice() {
        [one] => name(one),
        several => format!("[{}]", several.iter().map(name).collect::<Vec<_>>().join(" ")),
    };
    in_a_row(waits).into_iter().map(row).collect::<Vec<_>>().join(" ")
}

fn print(kinds: &mut BTreeMap<usize, Kind>) {
    println!(
        "{:<20} {:>9} {:>9} | {:>16} | {:>16} | {:>16} | {:>10}",
        "step", "p50 us", "p95 us", "tables", "flags", "CRM", "own us"
    );
    for (kind, seen) in kinds.iter_mut() {
        let steps = seen.whole.len();
        let part = |nth: usize, waits: &mut Vec<Duration>| {
            let trips = seen.trips[nth] * 10 / steps;
            format!("{}.{} trips {:>5}", trips / 10, trips % 10, us(percentile(waits, 50)))
        };
        let [mut tables, mut flags, mut crm] = seen.waits.clone();
        println!(
            "{:<20} {:>9} {:>9} | {:>16} | {:>16} | {:>16} | {:>10}",
            KINDS.get(*kind).copied().unwrap_or("more"),
            us(percentile(&mut seen.whole, 50)),
            us(percentile(&mut seen.whole, 95)),
            part(0, &mut tables),
            part(1, &mut flags),
            part(2, &mut crm),
            us(percentile(&mut seen.own, 50)),
        );
    }
    println!("\nWhat each asked the tables (side by side in brackets), and all waits in a row:");
    for (kind, seen) in kinds {
        let rows = seen.rows * 10 / seen.whole.len();
        let name = KINDS.get(*kind).copied().unwrap_or("more");
        println!("{name:<20} {}.{} in a row: {}", rows / 10, rows % 10, seen.asked);
    }
}
