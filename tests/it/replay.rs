//! Exactly once: every fault of the CRM, and a step that breaks off at every write of the store. Must never
//! count an outcome that the CRM itself does not show.
use crate::door::{Door, Fate};
use crate::scene::{Scene, run, says, says_nothing_more};
use ledger::{IntentState, RunStatus};
use serde_json::{Value, json};
use standins::{Fault, Matcher};
use starter::Start;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use step::{Next, StepInput};
use types::{EntryState, Reason, RunId, UsdNanos};

/// A tool that writes: its name, its request, and a call of it.
struct Writer {
    tool: &'static str,
    method: &'static str,
    path: &'static str,
    arguments: Value,
}

fn writers() -> [Writer; 3] {
    [
        Writer {
            tool: "append_note",
            method: "POST",
            path: "/notes",
            arguments: json!({"deal_id": "4411", "text": "They chose another.", "because": "They wrote so."}),
        },
        Writer {
            tool: "set_stage",
            method: "PATCH",
            path: "/deals/4411",
            arguments: json!({"deal_id": "4411", "stage": "closedlost", "because": "They wrote so."}),
        },
        Writer {
            tool: "schedule_follow_up",
            method: "POST",
            path: "/tasks",
            arguments: json!({"deal_id": "4411", "due_date": "2026-12-01", "subject": "Call them.",
                              "because": "They asked for it."}),
        },
    ]
}

/// A product in which one tool is live and the model calls it once.
async fn one_write(writer: &Writer) -> (Scene, StepInput) {
    let mut scene = Scene::new().await;
    scene.go_live(writer.tool).await;
    scene
        .standins
        .anthropic
        .script(vec![says(&[(writer.tool, writer.arguments.clone())]), says_nothing_more()]);
    let input = scene.begin("reply_4411").await;
    (scene, input)
}

/// Steps on, waiting and sweeping, until the run ends or a person must look.
pub async fn settle(scene: &mut Scene, input: &StepInput) -> Option<Next> {
    let mut input = input.clone();
    for _ in 0..300 {
        let output = scene.step_on(&mut input).await;
        match output.next {
            Next::Continue => {}
            Next::Wait => {
                scene.clock.advance_ms(i64::from(output.wait_seconds) * 1_000);
                scene.sweep_effects().await;
            }
            Next::Halted | Next::Done => return Some(output.next),
        }
        if states(scene, &input.run_id).await.contains(&IntentState::NeedsHuman) {
            return None;
        }
    }
    panic!("the run did not settle");
}

pub async fn states(scene: &Scene, run_id: &RunId) -> Vec<IntentState> {
    let transcript = scene.house.step.ledger.transcript(run_id).await.expect("a transcript");
    transcript.intents.values().map(|intent| intent.state).collect()
}

/// How a write that met a fault must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Applied,
    /// Known not to be there.
    NotApplied,
    /// Cannot be told from a write that is still to come.
    NeedsHuman,
}

/// One write meets one fault: its end, the requests that were sent, the changes that were made.
async fn meets(writer: &Writer, fault: Fault, late: bool) -> (End, usize, usize) {
    let what = format!("{} meets {fault:?}", writer.tool);
    let (mut scene, input) = one_write(writer).await;
    scene.standins.hubspot.next(Matcher::any().method(writer.method).path(writer.path), fault);
    let mut input = input;
    scene.step_to(&mut input, 1).await;
    let first = scene.step_on(&mut input).await;
    assert_eq!(scene.standins.hubspot.unused_faults(), 0, "{what}: the fault was met");
    if late {
        assert_eq!(first.next, Next::Wait, "{what}");
        // It arrives after the first look, which found nothing.
        scene.clock.advance_ms(5_000);
        scene.sweep_effects().await;
        assert_eq!(scene.standins.hubspot.apply_late().await, 1, "{what}");
    }
    let ended = settle(&mut scene, &input).await;
    let control = scene.control().await;
    assert!(control.in_flight.is_empty(), "{what}: {control:?}");
    let entries = scene.entries(&input.run_id).await;
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.event_no).collect();
    assert_eq!(numbers, (1..=scene.run(&input.run_id).await.event_no).collect::<Vec<_>>(), "{what}");
    let row = scene.calls(&input.run_id).await.pop().expect("a row");
    let end = match (row.decision, row.reason.as_deref()) {
        (EntryState::Applied, _) => End::Applied,
        (EntryState::Failed, Some("not_applied")) => End::NotApplied,
        (EntryState::Unknown, Some("needs_human")) => End::NeedsHuman,
        other => panic!("{what}: {other:?}"),
    };
    // What the page says: nothing is open once the end is known, and a doubt stays on it.
    assert_eq!(control.unknown.len(), usize::from(end == End::NeedsHuman), "{what}");
    assert_eq!(ended.is_none(), end == End::NeedsHuman, "{what}");
    if ended.is_some() {
        assert_eq!(
            scene.run(&input.run_id).await.status,
            RunStatus::Done,
            "{what}: the run goes on afterwards"
        );
    }
    // Long after, nothing is sent again.
    for _ in 0..3 {
        scene.clock.advance_ms(3_600_000);
        scene.sweep_effects().await;
    }
    (end, scene.sent().len(), scene.standins.hubspot.writes().len())
}

#[test]
fn a_write_whose_answer_was_lost_is_found_and_never_sent_again() {
    for writer in writers() {
        let met = run(meets(&writer, Fault::ApplyThenReset, false));
        assert_eq!(met, (End::Applied, 1, 1), "{}", writer.tool);
    }
}

/// Ten seconds pass for real: the client's own timeout.
#[test]
fn a_write_that_is_answered_too_late_is_found_and_never_sent_again() {
    let [note, ..] = writers();
    assert_eq!(run(meets(&note, Fault::ApplyThenDelay(10_800), false)), (End::Applied, 1, 1));
}

#[test]
fn a_write_that_arrives_late_is_found_by_a_later_look() {
    for writer in writers() {
        assert_eq!(run(meets(&writer, Fault::LateApply, true)), (End::Applied, 1, 1), "{}", writer.tool);
    }
}

#[test]
fn a_write_that_never_arrived_is_not_sent_again_either() {
    for writer in writers() {
        // A stage has a history that tells; a note that is not there may still be on its way.
        let end = if writer.tool == "set_stage" { End::NotApplied } else { End::NeedsHuman };
        for fault in [Fault::Reset, Fault::Status(500), Fault::Status(503), Fault::Html502, Fault::Garbage] {
            assert_eq!(run(meets(&writer, fault.clone(), false)), (end, 1, 0), "{} {fault:?}", writer.tool);
        }
    }
}

#[test]
fn a_write_that_was_put_off_is_sent_once_more_and_done_once() {
    for writer in writers() {
        let fault = Fault::Status429 { policy: "TEN_SECONDLY_ROLLING".to_owned() };
        assert_eq!(run(meets(&writer, fault, false)), (End::Applied, 2, 1), "{}", writer.tool);
    }
}

/// A person moves the deal while the agent's own write is in doubt.
#[test]
fn a_persons_change_meanwhile_is_a_conflict_and_stays() {
    run(async {
        let [_, stage, _] = writers();
        let (mut scene, mut input) = one_write(&stage).await;
        scene.standins.hubspot.next(Matcher::any().method("PATCH").path("/deals/4411"), Fault::Reset);
        scene.step_to(&mut input, 1).await;
        assert_eq!(scene.step_on(&mut input).await.next, Next::Wait);
        scene.clock.advance_ms(1_000);
        let edited = scene.standins.hubspot.edit_by_person(
            standins::hubspot::Kind::Deal,
            4_411,
            "dealstage",
            "contractsent",
        );
        edited.expect("an edit");
        assert_eq!(settle(&mut scene, &input).await, Some(Next::Done));
        let row = scene.calls(&input.run_id).await.pop().expect("a row");
        assert_eq!((row.decision, row.reason.as_deref()), (EntryState::Failed, Some("conflict")));
        assert_eq!(scene.sent().len(), 1);
        let kind = standins::hubspot::Kind::Deal;
        assert_eq!(
            scene.standins.hubspot.property(kind, 4_411, "dealstage").as_deref(),
            Some("contractsent")
        );
    });
}

#[test]
fn a_step_that_is_invoked_twice_acts_once_and_the_second_waits() {
    run(async {
        let [note, ..] = writers();
        let (mut scene, mut input) = one_write(&note).await;
        scene.step_to(&mut input, 1).await;
        scene.standins.anthropic.hold();
        let first = scene.spawn_step(&input);
        scene.standins.anthropic.wait_until_held(1).await;
        let second = scene.step(&input).await.expect("an answer");
        assert_eq!((second.next, second.n), (Next::Wait, 1));
        assert!(second.wait_seconds >= 60, "until the first one's platform has certainly ended it");
        scene.standins.anthropic.release();
        assert_eq!(first.await.expect("no panic").expect("an answer").next, Next::Continue);
        assert_eq!(scene.standins.anthropic.calls().len(), 1);
        // The replay of a step that is over does nothing more.
        let replayed = scene.step(&input).await.expect("an answer");
        assert_eq!((replayed.next, replayed.n), (Next::Continue, 2));
        assert_eq!(scene.finish(&input).await, Next::Done);
        assert_eq!((scene.sent().len(), scene.standins.hubspot.writes().len()), (1, 1));
    });
}

#[test]
fn ten_invocations_of_each_step_at_once_still_do_everything_once() {
    run(async {
        let [note, ..] = writers();
        let (mut scene, mut input) = one_write(&note).await;
        for _ in 0..100 {
            let all: Vec<_> = (0..10).map(|_| scene.spawn_step(&input)).collect();
            let mut furthest = input.clone();
            let mut ended = false;
            for one in all {
                // One that meets another's commit breaks off, as it should.
                let Ok(output) = one.await.expect("no panic") else { continue };
                ended |= output.next == Next::Done;
                if output.n > furthest.n {
                    furthest =
                        StepInput { run_id: output.run_id, n: output.n, customer_id: output.customer_id };
                }
            }
            input = furthest;
            if ended {
                break;
            }
            scene.clock.advance_ms(70_000);
            scene.sweep_effects().await;
        }
        assert_eq!(scene.run(&input.run_id).await.status, RunStatus::Done);
        assert_eq!((scene.sent().len(), scene.standins.hubspot.writes().len()), (1, 1));
        assert_eq!(scene.standins.anthropic.calls().len(), 2);
        assert_eq!(scene.calls(&input.run_id).await.len(), 1);
    });
}

#[test]
fn two_runs_of_one_customer_never_overlap() {
    run(async {
        let mut scene = Scene::new().await;
        let mut first = scene.begin("reply_4411").await;
        let second = scene.begin("stage_changed_4411").await;
        scene.step_to(&mut first, 2).await;
        let calls = scene.standins.anthropic.calls().len();
        for _ in 0..3 {
            let output = scene.step(&second).await.expect("an answer");
            assert_eq!((output.next, output.n), (Next::Wait, 0));
        }
        assert_eq!(scene.standins.anthropic.calls().len(), calls);
        // Another customer's run is not kept waiting.
        let mut other = scene.begin("reply_4302").await;
        scene.step_to(&mut other, 2).await;
        assert_eq!(scene.finish(&first).await, Next::Done);
        assert_eq!(scene.finish(&second).await, Next::Done);
    });
}

#[test]
fn the_lease_of_a_run_that_died_runs_out() {
    run(async {
        let mut scene = Scene::new().await;
        let mut dead = scene.begin("reply_4411").await;
        let second = scene.begin("stage_changed_4411").await;
        scene.step_to(&mut dead, 2).await;
        scene.clock.advance_ms(120_000);
        assert_eq!(scene.step(&second).await.expect("an answer").next, Next::Wait);
        scene.clock.advance_ms(6_000);
        assert_eq!(scene.finish(&second).await, Next::Done);
    });
}

#[test]
fn a_run_that_is_parked_for_an_hour_ends_where_a_person_sees_it() {
    for begun in [false, true] {
        run(async {
            let mut scene = Scene::new().await;
            let mut input = scene.begin("reply_4411").await;
            if begun {
                scene.step_to(&mut input, 2).await;
            }
            scene.flags::<()>(&["FLUSHALL"]).await;
            let since = scene.clock.now_ms();
            assert_eq!(scene.finish(&input).await, Next::Halted);
            let parked_ms = scene.clock.now_ms() - since;
            assert!((3_600_000..3_700_000).contains(&parked_ms), "{parked_ms}");
            let ended = scene.run(&input.run_id).await;
            let status = if begun { RunStatus::Halted } else { RunStatus::Held };
            assert_eq!((ended.status, ended.reason), (status, Some(Reason::ParkedTooLong)));
            assert!(scene.control().await.is_armed(), "a silent store halts nobody else");
            let rows = scene.rows().await;
            assert!(rows.iter().any(|row| row.reason.as_deref() == Some("parked_too_long")));
        });
    }
}

/// One more reply on the same deal, as an event of its own.
async fn another_reply(scene: &mut Scene, nth: usize) -> Start {
    let mut event = Scene::events("reply_4411")[0].clone();
    event["eventId"] = json!(3_029_370_000_u64 + nth as u64);
    event["occurredAt"] = json!(scene.clock.now_ms());
    let (status, answer) = scene.deliver(&[event]).await;
    assert_eq!(status, 200, "{answer}");
    scene.asked_for().pop().expect("a start")
}

/// A run breaks off at its `nth` write of the tables and is tried again by the platform until it ends.
async fn broken_at(scene: &mut Scene, door: &Door, nth: usize, lost: &Fate) -> Option<Broken> {
    // Another day for each, so that no count of runs or dollars of the day is in the way.
    scene.clock.advance_ms(24 * 60 * 60 * 1_000);
    let start = another_reply(scene, nth).await;
    let (sent, written) = (scene.sent().len(), scene.standins.hubspot.writes().len());
    let unknown = scene.control().await.unknown.len();
    let count = Arc::new(AtomicUsize::new(0));
    let (counter, fate) = (Arc::clone(&count), lost.clone());
    let opening = Arc::new(AtomicUsize::new(0));
    let opens = Arc::clone(&opening);
    door.rule(move |asked| {
        if !asked.is_write() || counter.fetch_add(1, Ordering::SeqCst) + 1 != nth {
            return Fate::Pass;
        }
        opens.fetch_add(usize::from(asked.body.contains(r#"\"state\":\"open\""#)), Ordering::SeqCst);
        fate.clone()
    });
    let mut input = StepInput { run_id: start.run_id, n: 0, customer_id: None };
    let mut needs_human = false;
    for _ in 0..300 {
        // The platform tries a step again that broke off.
        let Ok(output) = scene.step(&input).await else { continue };
        input = StepInput { run_id: output.run_id, n: output.n, customer_id: output.customer_id };
        match output.next {
            Next::Continue => {}
            Next::Wait => {
                scene.clock.advance_ms(i64::from(output.wait_seconds) * 1_000);
                scene.sweep_effects().await;
                needs_human = states(scene, &input.run_id).await.contains(&IntentState::NeedsHuman);
            }
            Next::Halted | Next::Done => break,
        }
        if needs_human {
            break;
        }
    }
    let reached = count.load(Ordering::SeqCst) >= nth;
    door.open();
    // Whatever an ended invocation left is picked up.
    scene.clock.advance_ms(130_000);
    scene.sweep_effects().await;
    scene.sweep_effects().await;
    let control = scene.control().await;
    let zone = scene.house.step.hot.get().await.hot.zone.clone();
    let pending = scene.house.step.budget.day(&zone).await.expect("the day").expect("open").pending;
    let entries = scene.entries(&input.run_id).await;
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.event_no).collect();
    let ended = scene.run(&input.run_id).await;
    assert_eq!(
        numbers,
        (1..=ended.event_no).collect::<Vec<_>>(),
        "write {nth}: an entry is missing or doubled"
    );
    assert_eq!(pending, UsdNanos::ZERO, "write {nth}: a reservation stays open");
    assert!(control.in_flight.is_empty(), "write {nth}: a permit stays in flight");
    let calls = scene.calls(&input.run_id).await;
    reached.then(|| Broken {
        opening: opening.load(Ordering::SeqCst) > 0,
        status: ended.status,
        needs_human,
        unknown: control.unknown.len() - unknown,
        calls: calls.into_iter().map(|row| (row.verb, row.decision)).collect(),
        sent: scene.sent().len() - sent,
        written: scene.standins.hubspot.writes().len() - written,
    })
}

/// How a broken run stands in the end.
#[derive(Debug, PartialEq, Eq)]
struct Broken {
    /// The lost write was the row that says "the request goes out next".
    opening: bool,
    status: RunStatus,
    needs_human: bool,
    unknown: usize,
    calls: Vec<(String, EntryState)>,
    sent: usize,
    written: usize,
}

fn breaks_at_every_write(lost: &Fate) {
    run(async {
        let (mut scene, door) = Scene::behind_a_door().await;
        scene.go_live("append_note").await;
        let mut nth = 1;
        while let Some(broken) = broken_at(&mut scene, &door, nth, lost).await {
            let verbs: Vec<&str> = broken.calls.iter().map(|(verb, _)| verb.as_str()).collect();
            assert_eq!(verbs, ["get_deal", "set_stage", "append_note"], "write {nth}: {broken:?}");
            let whole = !(broken.opening && matches!(lost, Fate::LoseAnswer));
            if whole {
                assert_eq!(
                    (broken.status, broken.needs_human, broken.unknown, broken.sent, broken.written),
                    (RunStatus::Done, false, 0, 1, 1),
                    "write {nth}: {broken:?}"
                );
                let states: Vec<EntryState> = broken.calls.iter().map(|(_, state)| *state).collect();
                let all = [EntryState::Applied, EntryState::WouldHave, EntryState::Applied];
                assert_eq!(states, all, "write {nth}: {broken:?}");
            } else {
                // The row says that the request may be out; it is not, and nobody sends it: a person looks.
                assert_eq!(
                    (broken.needs_human, broken.unknown, broken.sent, broken.written),
                    (true, 0, 0, 0),
                    "write {nth}: {broken:?}"
                );
            }
            nth += 1;
        }
        assert!(nth > 40, "the whole run was broken, not only {nth} writes of it");
    });
}

#[test]
fn a_run_that_breaks_off_before_any_write_of_the_tables_ends_the_same() {
    breaks_at_every_write(&Fate::Lose);
}

#[test]
fn a_run_that_breaks_off_after_any_write_of_the_tables_ends_the_same() {
    breaks_at_every_write(&Fate::LoseAnswer);
}

/// The first answer is lost, and the client of the tables repeats the write by itself: it is known as done.
#[test]
fn a_run_whose_client_repeats_any_write_of_the_tables_ends_the_same() {
    breaks_at_every_write(&Fate::LoseFirstAnswer);
}

/// A run behind a door that wants to write one note, live.
async fn about_to_note() -> (Scene, Door, Writer, StepInput) {
    let [note, ..] = writers();
    let (mut scene, door) = Scene::behind_a_door().await;
    scene.go_live(note.tool).await;
    let call = (note.tool, note.arguments.clone());
    scene.standins.anthropic.script(vec![says(&[call]), says_nothing_more()]);
    let input = scene.begin("reply_4411").await;
    (scene, door, note, input)
}

/// Nothing but its own look at the clock lies between a process that wakes up late and the CRM.
#[test]
fn a_request_whose_time_is_over_before_it_leaves_is_not_sent() {
    run(async {
        let (mut scene, door, _, mut input) = about_to_note().await;
        scene.step_to(&mut input, 1).await;
        let gate = door.hold(|asked| asked.body.contains(r#"\"state\":\"open\""#));
        let step = scene.spawn_step(&input);
        gate.reached().await;
        // The platform has ended this invocation by now; whoever still runs is late.
        scene.clock.advance_ms(60_000);
        gate.open();
        assert_eq!(step.await.expect("no panic").expect("an answer").next, Next::Wait);
        assert_eq!(scene.sent(), [], "its permit is no longer believed by anybody");
        assert!(scene.control().await.in_flight.is_empty(), "and it was given back");
        door.open();
        assert_eq!(scene.finish(&input).await, Next::Done);
        assert_eq!((scene.sent().len(), scene.standins.hubspot.writes().len()), (1, 1), "sent later, once");
        assert_eq!(scene.calls(&input.run_id).await.len(), 1);
    });
}

/// A sweep that was slow finds in its list what another one has settled meanwhile.
#[test]
fn two_sweeps_at_once_give_a_call_one_end() {
    run(async {
        let (mut scene, door, note, mut input) = about_to_note().await;
        scene
            .standins
            .hubspot
            .next(Matcher::any().method(note.method).path(note.path), Fault::ApplyThenReset);
        scene.step_to(&mut input, 1).await;
        assert_eq!(scene.step_on(&mut input).await.next, Next::Wait);
        scene.clock.advance_ms(6_000);
        let gate = door.hold(|asked| asked.operation == "Query" && asked.body.contains("open_intent"));
        let (deps, invocation) = (Arc::clone(&scene.house.step), scene.invocation());
        let slow =
            async { step::handle(&deps, json!({"sweep": "effects"}), &invocation).await.expect("a sweep") };
        let quick = async {
            gate.reached().await;
            assert_eq!(scene.sweep_effects().await["resolved"], 1);
            gate.open();
        };
        let (slow, ()) = tokio::join!(slow, quick);
        assert_eq!(slow["resolved"], 0);
        door.open();
        assert_eq!(scene.finish(&input).await, Next::Done);
        let entries = scene.entries(&input.run_id).await;
        let ends = |entry: &&ledger::Entry| entry.intent_id.is_some() && entry.state == EntryState::Applied;
        assert_eq!(entries.iter().filter(ends).count(), 1, "{entries:#?}");
    });
}

/// A run whose decision is stored and whose invocation then died: nothing that it wanted to write arrived.
async fn decided_and_died(scene: &mut Scene, door: &Door, calls: &[(&str, Value)]) -> StepInput {
    scene.standins.anthropic.script(vec![says(calls), says_nothing_more()]);
    let mut input = scene.begin("reply_4411").await;
    scene.step_to(&mut input, 1).await;
    let mut decided = false;
    door.rule(move |asked| {
        let fate = if decided { Fate::Lose } else { Fate::Pass };
        decided |= asked.is_write() && asked.body.contains("decision#");
        fate
    });
    scene.step(&input).await.expect_err("it breaks off behind its decision");
    door.open();
    let transcript = scene.house.step.ledger.transcript(&input.run_id).await.expect("a transcript");
    assert_eq!(transcript.decisions.get(&1).map(|decision| decision.calls.len()), Some(calls.len()));
    // Its claim runs out with its deadline.
    scene.clock.advance_ms(70_000);
    input
}

/// Each call of the run's first decision: how it ended, once each; and the summary row's count.
async fn ends_of(scene: &Scene, run_id: &RunId) -> (Vec<(String, EntryState, String)>, Vec<u64>) {
    let entries = scene.entries(run_id).await;
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.event_no).collect();
    assert_eq!(numbers, (1..=scene.run(run_id).await.event_no).collect::<Vec<_>>(), "no gap");
    let transcript = scene.house.step.ledger.transcript(run_id).await.expect("a transcript");
    let calls = transcript.intents.range((1, 0)..(2, 0)).map(|(_, intent)| {
        let ends: Vec<_> =
            entries.iter().filter(|entry| entry.intent_id.as_ref() == Some(&intent.intent_id)).collect();
        assert_eq!(ends.len(), 1, "{intent:?}: {ends:?}");
        let reason = ends[0].reason.map(|reason| reason.to_string()).unwrap_or_default();
        (intent.tool.clone(), ends[0].state, reason)
    });
    let summaries = entries.iter().filter(|entry| entry.verb == "tool_calls");
    let counts = summaries.filter_map(|entry| entry.detail.as_ref()?["calls"].as_u64());
    (calls.collect(), counts.collect())
}

fn three_calls() -> [(&'static str, Value); 3] {
    let [note, stage, _] = writers();
    [("get_deal", json!({"deal_id": "4411"})), (note.tool, note.arguments), (stage.tool, stage.arguments)]
}

/// The same end for each of the three calls.
fn all_three(state: EntryState, reason: &str) -> Vec<(String, EntryState, String)> {
    three_calls().iter().map(|(tool, _)| ((*tool).to_owned(), state, reason.to_owned())).collect()
}

#[test]
fn the_calls_of_a_dead_invocation_have_their_rows_when_a_halt_comes_first() {
    run(async {
        let (mut scene, door) = Scene::behind_a_door().await;
        let input = decided_and_died(&mut scene, &door, &three_calls()).await;
        scene.press_halt(&types::Scope::Global).await;
        assert_eq!(scene.finish(&input).await, Next::Halted);
        assert_eq!(
            ends_of(&scene, &input.run_id).await,
            (all_three(EntryState::Halted, "halted_global"), vec![])
        );
    });
}

#[test]
fn the_calls_of_a_dead_invocation_have_their_rows_when_the_hour_of_parking_is_over() {
    run(async {
        let (mut scene, door) = Scene::behind_a_door().await;
        let input = decided_and_died(&mut scene, &door, &three_calls()).await;
        scene.flags::<()>(&["FLUSHALL"]).await;
        assert_eq!(scene.finish(&input).await, Next::Halted);
        let ends = ends_of(&scene, &input.run_id).await;
        assert_eq!(ends, (all_three(EntryState::Halted, "parked_too_long"), vec![]));
    });
}

#[test]
fn the_calls_behind_one_that_a_person_must_look_at_have_their_rows() {
    run(async {
        let mut scene = Scene::new().await;
        let [note, stage, _] = writers();
        scene.go_live(note.tool).await;
        let calls = [(note.tool, note.arguments), (stage.tool, stage.arguments), ("get_deal", json!({}))];
        scene.standins.anthropic.script(vec![says(&calls), says_nothing_more()]);
        let mut input = scene.begin("reply_4411").await;
        scene.standins.hubspot.next(Matcher::any().method(note.method).path(note.path), Fault::Reset);
        scene.step_to(&mut input, 1).await;
        assert_eq!(settle(&mut scene, &input).await, None, "a person must look");
        assert_eq!(scene.finish(&input).await, Next::Done);
        let ended = scene.run(&input.run_id).await;
        assert_eq!((ended.status, ended.reason), (RunStatus::Failed, Some(Reason::NeedsHuman)));
        let entries = scene.entries(&input.run_id).await;
        for behind in ["set_stage", "get_deal"] {
            let rows: Vec<_> =
                entries.iter().filter(|entry| entry.verb == behind && entry.step == Some(1)).collect();
            assert_eq!(rows.len(), 1, "{behind}: {rows:?}");
            assert_eq!((rows[0].state, rows[0].reason), (EntryState::Refused, Some(Reason::NeedsHuman)));
        }
    });
}

/// One answer with seventy calls: thirty are taken, one finds none left, and 39 share a row.
async fn trips_and_breaks_at(nth: usize, lost: &Fate) -> bool {
    let (mut scene, door) = Scene::behind_a_door().await;
    let calls: Vec<_> = (0..70).map(|_| ("delete_deal", json!({"deal_id": "4411"}))).collect();
    scene.standins.anthropic.script(vec![says(&calls)]);
    let mut input = scene.begin("reply_4411").await;
    scene.step_to(&mut input, 1).await;
    let (mut decided, fate) = (false, lost.clone());
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    door.rule(move |asked| {
        let counts = asked.is_write() && decided && !asked.body.contains("calls_left");
        decided |= asked.is_write() && asked.body.contains("decision#");
        let hit = counts && counter.fetch_add(1, Ordering::SeqCst) + 1 == nth;
        if hit { fate.clone() } else { Fate::Pass }
    });
    let mut next = None;
    for _ in 0..20 {
        // The platform tries a step again that broke off.
        let Ok(output) = scene.step(&input).await else { continue };
        next = Some(output.next);
        match output.next {
            Next::Continue => {}
            Next::Wait => scene.clock.advance_ms(i64::from(output.wait_seconds) * 1_000),
            Next::Halted | Next::Done => break,
        }
    }
    assert_eq!(next, Some(Next::Halted), "write {nth}");
    door.open();
    let (ends, summaries) = ends_of(&scene, &input.run_id).await;
    assert_eq!((ends.len(), summaries), (31, vec![39]), "write {nth}");
    assert_eq!(ends[30].2, "tool_calls_per_run", "write {nth}");
    let customer = Scene::customer("1234");
    let halted = scene.control().await.halted_customers;
    assert!(halted.contains_key(&customer), "write {nth}: the cap halted its customer");
    count.load(Ordering::SeqCst) >= nth
}

#[test]
fn a_trip_that_breaks_off_at_any_write_leaves_one_row_for_each_call_and_one_for_the_rest() {
    for lost in [Fate::Lose, Fate::LoseAnswer] {
        run(async {
            let mut nth = 1;
            while trips_and_breaks_at(nth, &lost).await {
                nth += 1;
            }
            assert!(nth > 5, "only {nth} writes were broken");
        });
    }
}
