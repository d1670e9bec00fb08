//! The binary of the step function under a Runtime API, killed at every line of its write path, and frozen
//! with a permit in its hand. Must never wait for anything but a deadline that the platform has set.
use crate::door::{Door, Fate, Gate, spawn};
use crate::platform::Function;
use crate::replay::{settle, states};
use crate::scene::{Scene, run};
use interlock::{ControlHalt, DEADLINE_MARGIN_MS, HeldPermit};
use ledger::{IntentState, RunStatus};
use serde_json::json;
use standins::{Fault, Matcher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use step::{Next, StepInput, StepOutput};
use tokio::sync::Semaphore;
use types::{Clock, EntryState, Scope, UsdNanos};

/// How long the platform gives a step here. A permit wants eleven seconds before it.
const STEP_MS: i64 = 25_000;
/// The step of the run in which the note is written: a deal was read and a stage would have been set.
const NOTE_STEP: u32 = 3;
/// So many functions run at once.
static TURN: Semaphore = Semaphore::const_new(3);

/// A product on the machine's clock, and a run that stands before the step that writes a note.
struct Story {
    scene: Scene,
    door: Door,
    input: StepInput,
}

impl Story {
    async fn new() -> Self {
        let (mut scene, door) = Scene::by_the_machines_clock().await;
        scene.go_live("append_note").await;
        let mut input = scene.begin("reply_4411").await;
        scene.step_to(&mut input, NOTE_STEP).await;
        scene.catch_up();
        Self { scene, door, input }
    }

    fn payload(&self) -> serde_json::Value {
        serde_json::to_value(&self.input).expect("JSON")
    }

    /// Whether the page has to name a write.
    async fn is_named(&self) -> bool {
        let control = self.scene.control().await;
        let (live, unknown) = control.writes(&Scope::Global, now_ms());
        !live.is_empty() || !unknown.is_empty()
    }
}

fn now_ms() -> i64 {
    Clock::system().now_ms()
}

/// Returns when the machine's clock says so: the platform's deadline, not a guess.
async fn until(ms: i64) {
    while now_ms() < ms {
        tokio::time::sleep(Duration::from_millis(u64::try_from(ms - now_ms()).unwrap_or(1))).await;
    }
}

/// Where the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Its nth write of the tables is on its way.
    Before(usize),
    /// Its nth write is done, and it does not know yet.
    After(usize),
    /// The CRM has the request and has not done it.
    AtTheCrm,
    /// The CRM has done it, and the answer is on its way.
    DoneAtTheCrm,
}

/// How the run must stand in the end.
#[derive(Debug, PartialEq, Eq)]
struct End {
    status: RunStatus,
    needs_human: bool,
    unknown: usize,
    sent: usize,
    written: usize,
    last_call: EntryState,
}

/// What a write of the tables is, in the order of the write path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    BeforePermit,
    /// The first one after the model has answered.
    Settle,
    Permit,
    Open,
    Outcome,
    PermitBack,
    Later,
}

/// The writes of the step that nobody kills.
async fn lines_of_the_step() -> Vec<Line> {
    let story = Story::new().await;
    story.door.open();
    let function = Function::start(&story.scene).await;
    let answer = function.invoke(story.payload(), now_ms() + STEP_MS).await.expect("it lives");
    let output: StepOutput = serde_json::from_value(answer.expect("an answer")).expect("a step's answer");
    assert_eq!((output.next, output.n), (Next::Continue, NOTE_STEP + 1));
    assert_eq!((story.scene.sent().len(), story.scene.standins.hubspot.writes().len()), (1, 1));
    let mut seen = Line::BeforePermit;
    let writes = story.door.asked().into_iter().filter(crate::door::Asked::is_write);
    let mut of_the_budget = 0;
    let lines: Vec<Line> = writes
        .map(|asked| {
            of_the_budget += usize::from(asked.body.contains("-budget\""));
            seen = match seen {
                // Two reserve, the next one settles.
                Line::BeforePermit if of_the_budget == 3 => Line::Settle,
                Line::Settle => Line::BeforePermit,
                _ if asked.body.contains("SET #inflight.#p = :held") => Line::Permit,
                Line::Permit if asked.body.contains(r#"\"state\":\"open\""#) => Line::Open,
                Line::Open => Line::Outcome,
                Line::Outcome => Line::PermitBack,
                Line::PermitBack => Line::Later,
                same => same,
            };
            seen
        })
        .collect();
    for line in [Line::Settle, Line::Permit, Line::Open, Line::Outcome, Line::PermitBack] {
        assert_eq!(lines.iter().filter(|seen| **seen == line).count(), 1, "{line:?} in {lines:?}");
    }
    lines
}

/// Kills the process there, then does what the platform and the minute's sweep do.
async fn killed_at(cut: Cut, lines: Arc<Vec<Line>>) {
    let turn = TURN.acquire().await.expect("open");
    let mut story = Story::new().await;
    let gate = Gate::new();
    let reached = Arc::clone(&gate);
    let count = AtomicUsize::new(0);
    story.door.rule(move |asked| {
        let nth = if asked.is_write() { count.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
        match cut {
            Cut::Before(at) if at == nth => Fate::Keep(Arc::clone(&gate)),
            Cut::After(at) if at == nth => Fate::Hold(Arc::clone(&gate)),
            _ => Fate::Pass,
        }
    });
    let note = Matcher::any().method("POST").path("/notes");
    match cut {
        Cut::Before(_) | Cut::After(_) => {}
        Cut::AtTheCrm => story.scene.standins.hubspot.next(note, Fault::Delay(600_000)),
        Cut::DoneAtTheCrm => story.scene.standins.hubspot.next(note, Fault::ApplyThenDelay(600_000)),
    }
    let function = Function::start(&story.scene).await;
    let deadline_ms = now_ms() + STEP_MS;
    let mut answer = function.invoke(story.payload(), deadline_ms);
    tokio::select! {
        () = reached.reached() => {}
        () = arrived(&story.scene, cut) => {}
        early = &mut answer => panic!("{cut:?}: the step ended before it was killed: {early:?}"),
    }
    function.kill().await;
    // A request that was still on its way in the machine is not one that a living process sends.
    story.door.open();
    let held = match cut {
        Cut::Before(at) => matches!(lines[at - 1], Line::Open | Line::Outcome | Line::PermitBack),
        Cut::After(at) => matches!(lines[at - 1], Line::Permit | Line::Open | Line::Outcome),
        Cut::AtTheCrm | Cut::DoneAtTheCrm => true,
    };
    assert_eq!(story.is_named().await, held, "{cut:?}: the permit it held is on the page");
    drop(turn);
    until(deadline_ms + DEADLINE_MARGIN_MS + 1).await;
    let turn = TURN.acquire().await.expect("open");
    assert_eq!(story.is_named().await, held, "{cut:?}: until somebody knows what became of it");
    let ended = taken_up_again(&mut story).await;
    drop(turn);
    judge(&mut story, cut, &lines, ended.is_none()).await;
}

/// Returns when the CRM is where the process is to be killed.
async fn arrived(scene: &Scene, cut: Cut) {
    loop {
        match cut {
            Cut::AtTheCrm if !scene.sent().is_empty() => return,
            Cut::DoneAtTheCrm if !scene.standins.hubspot.writes().is_empty() => return,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// A fresh process sweeps, and takes the same step; what must wait for minutes goes on on a moved clock.
async fn taken_up_again(story: &mut Story) -> Option<Next> {
    let function = Function::start(&story.scene).await;
    let swept = function.invoke(json!({"sweep": "effects"}), now_ms() + 60_000).await.expect("it lives");
    swept.expect("a sweep");
    for _ in 0..20 {
        let answer = function.invoke(story.payload(), now_ms() + 60_000).await.expect("it lives");
        let output: StepOutput = serde_json::from_value(answer.expect("an answer")).expect("a step's answer");
        story.input = StepInput { run_id: output.run_id, n: output.n, customer_id: output.customer_id };
        match output.next {
            Next::Continue => {}
            Next::Wait => {
                story.scene.catch_up();
                return settle(&mut story.scene, &story.input).await;
            }
            Next::Halted | Next::Done => {
                story.scene.catch_up();
                return Some(output.next);
            }
        }
    }
    panic!("the run does not end");
}

async fn judge(story: &mut Story, cut: Cut, lines: &[Line], needs_human: bool) {
    let scene = &mut story.scene;
    // Long after, nothing is sent again, and whatever an ended invocation left is picked up.
    for _ in 0..3 {
        scene.clock.advance_ms(3_600_000);
        scene.sweep_effects().await;
    }
    let run = scene.run(&story.input.run_id).await;
    let entries = scene.entries(&story.input.run_id).await;
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.event_no).collect();
    assert_eq!(numbers, (1..=run.event_no).collect::<Vec<_>>(), "{cut:?}: an entry is missing or doubled");
    let zone = scene.house.step.hot.get().await.hot.zone.clone();
    let day = scene.house.step.budget.day(&zone).await.expect("the day").expect("open");
    assert_eq!(day.pending, UsdNanos::ZERO, "{cut:?}: a reservation stays open");
    let control = scene.control().await;
    assert!(control.in_flight.is_empty(), "{cut:?}: a permit stays in flight");
    for state in states(scene, &story.input.run_id).await {
        assert!(
            matches!(state, IntentState::Closed | IntentState::NeedsHuman),
            "{cut:?}: {state:?} is silent"
        );
    }
    let calls = scene.calls(&story.input.run_id).await;
    let verbs: Vec<&str> = calls.iter().map(|row| row.verb.as_str()).collect();
    assert_eq!(verbs, ["get_deal", "set_stage", "append_note"], "{cut:?}");
    let end = End {
        status: run.status,
        needs_human,
        unknown: control.unknown.len(),
        sent: scene.sent().len(),
        written: scene.standins.hubspot.writes().len(),
        last_call: calls[2].decision,
    };
    assert_eq!(end, expected(cut, lines, run.status), "{cut:?}");
}

/// At most one effect, and never a silent one.
fn expected(cut: Cut, lines: &[Line], status: RunStatus) -> End {
    let applied = End {
        status: RunStatus::Done,
        needs_human: false,
        unknown: 0,
        sent: 1,
        written: 1,
        last_call: EntryState::Applied,
    };
    // The row says that the request may be out: nobody sends it again, a person looks.
    let in_doubt = |sent| End {
        status,
        needs_human: true,
        unknown: 1,
        sent,
        written: 0,
        last_call: EntryState::Unknown,
    };
    match cut {
        Cut::AtTheCrm => in_doubt(1),
        Cut::After(at) if lines[at - 1] == Line::Open => in_doubt(0),
        Cut::Before(_) | Cut::After(_) | Cut::DoneAtTheCrm => applied,
    }
}

#[test]
fn a_step_that_is_killed_at_any_line_of_its_write_path_has_one_effect_at_most() {
    run(async {
        let lines = Arc::new(lines_of_the_step().await);
        let mut cuts = vec![Cut::AtTheCrm, Cut::DoneAtTheCrm, Cut::Before(1)];
        cuts.extend((1..=lines.len()).map(Cut::After));
        // After one write and before the next is one place, unless something outside lies between.
        let outside = |line: Line| !matches!(line, Line::BeforePermit | Line::Later);
        cuts.extend((2..=lines.len()).filter(|nth| outside(lines[nth - 1])).map(Cut::Before));
        println!("killed at {} places: {lines:?}", cuts.len());
        let all: Vec<_> = cuts.into_iter().map(|cut| spawn(killed_at(cut, Arc::clone(&lines)))).collect();
        let mut failed = 0;
        for one in all {
            // Each has said what it found; the others are not hidden behind it.
            failed += usize::from(one.await.is_err());
        }
        assert_eq!(failed, 0, "places with another end");
    });
}

/// What becomes of a process that was frozen with a permit in its hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The platform ends it at its deadline.
    Killed,
    /// It wakes up after its deadline and gets the next invocation.
    Thawed,
    /// The same, and HALT was pressed meanwhile.
    ThawedAfterHalt,
}

/// Permit held, row open, request not sent: there it is frozen.
async fn frozen(then: Then) {
    let mut story = Story::new().await;
    let gate = story.door.hold(|asked| asked.body.contains(r#"\"state\":\"open\""#));
    let function = Function::start(&story.scene).await;
    let deadline_ms = now_ms() + STEP_MS;
    let answer = function.invoke(story.payload(), deadline_ms);
    gate.reached().await;
    function.freeze();
    gate.open();
    let held: Vec<HeldPermit> = story.scene.control().await.in_flight.into_values().collect();
    assert_eq!(held.len(), 1, "{then:?}");
    if then == Then::ThawedAfterHalt {
        let report = story.scene.press_halt(&Scope::Global).await;
        let ControlHalt::Latched(control) = report.control else { panic!("{report:?}") };
        assert_eq!(control.writes(&Scope::Global, now_ms()).0.len(), 1, "listed by the halt's own answer");
    }
    until(deadline_ms).await;
    assert!(story.is_named().await, "{then:?}: the page does not say that nothing is in flight");
    if then == Then::Killed {
        function.kill().await;
        until(deadline_ms + DEADLINE_MARGIN_MS + 1).await;
        assert!(story.is_named().await, "nor later");
        assert_eq!(taken_up_again(&mut story).await, None, "a person looks");
        assert_eq!(story.scene.sent(), []);
        return;
    }
    until(deadline_ms + DEADLINE_MARGIN_MS + 1).await;
    if then == Then::ThawedAfterHalt {
        story.scene.catch_up();
        story.scene.sweep_effects().await;
    }
    function.thaw();
    let old = answer.await.expect("it lives");
    assert_eq!(story.scene.sent(), [], "{then:?}: the permit of the old invocation is void: {old:?}");
    let next = function.invoke(story.payload(), now_ms() + 60_000).await.expect("it lives");
    let output: StepOutput = serde_json::from_value(next.expect("an answer")).expect("a step's answer");
    story.scene.catch_up();
    if then == Then::ThawedAfterHalt {
        assert_eq!((output.next, story.scene.sent().len()), (Next::Halted, 0));
        assert!(story.is_named().await, "and a person is told which deal to look at");
        return;
    }
    // Did it learn in time that its row was stored? Then it took it back, and this one wrote on a permit of
    // its own; else the row says that the request may be out, and a person looks.
    let ended = match output.next {
        Next::Wait => settle(&mut story.scene, &story.input).await,
        next => Some(next),
    };
    let writes = story.scene.standins.hubspot.writes().len();
    assert_eq!((story.scene.sent().len(), writes), (usize::from(ended.is_some()), writes), "{ended:?}");
}

#[test]
fn a_process_that_was_frozen_with_a_permit_writes_nothing_after_its_deadline() {
    run(async {
        let ways = [Then::Killed, Then::Thawed, Then::ThawedAfterHalt];
        for one in ways.map(|then| spawn(frozen(then))) {
            one.await.expect("as the platform has it");
        }
    });
}
