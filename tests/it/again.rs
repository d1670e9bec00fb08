//! Work that a cap, a halt or an error stopped, started again by a person: a new run that sees what the old
//! one did and does none of it again. Must never wake the old one.
use crate::door::Fate;
use crate::scene::{Scene, run, says, says_nothing_more};
use crate::terminal::holdfast;
use ledger::{Again, RunStatus};
use serde_json::{Value, json};
use standins::{Fault, Matcher};
use step::{Next, StepInput};
use types::{Actor, Caps, EntryState, PersonId, Reason, RunId, Scope};

const VAN_DIJK: &str = "1234";
const WHY: &str = "The cap was raised for this customer.";

fn marieke() -> Actor {
    Actor::Person(PersonId::new("marieke").expect("an id"))
}

fn note(because: &str) -> (&'static str, Value) {
    ("append_note", json!({"deal_id": "4411", "text": "They chose another.", "because": because}))
}

async fn calls_per_run(scene: &Scene, calls: u32) {
    let hot = &scene.house.step.hot;
    let caps = Caps { tool_calls_per_run: calls, ..Caps::default() };
    hot.put_caps(&caps, hot.get().await.hot.caps_version()).await.expect("caps");
    hot.forget().await;
}

fn notes_sent(scene: &Scene) -> usize {
    scene.sent().iter().filter(|seen| seen.path.contains("/notes")).count()
}

/// A run whose one call wrote a note, and whose next one found its cap used up.
async fn stopped_by_the_cap(scene: &mut Scene) -> RunId {
    scene.go_live("append_note").await;
    calls_per_run(scene, 1).await;
    let follow_up = json!({
        "deal_id": "4411", "subject": "Call them", "due_date": "2026-12-01", "because": "They asked for it.",
    });
    scene.standins.anthropic.script(vec![
        says(&[note("They wrote so.")]),
        says(&[("schedule_follow_up", follow_up.clone())]),
        // The new run: the same note for another reason, then what was left to do.
        says(&[note("So that it is on file.")]),
        says(&[("schedule_follow_up", follow_up)]),
        says_nothing_more(),
    ]);
    let input = scene.begin("reply_4411").await;
    assert_eq!(scene.finish(&input).await, Next::Halted);
    let ended = scene.run(&input.run_id).await;
    assert_eq!((ended.status, ended.reason), (RunStatus::Halted, Some(Reason::ToolCallsPerRun)));
    assert_eq!(notes_sent(scene), 1);
    input.run_id
}

/// What started, driven to its end.
async fn swept_and_driven(scene: &mut Scene) -> Vec<(RunId, Next)> {
    scene.catch_up();
    scene.clock.advance_ms(120_000);
    scene.sweep_effects().await;
    scene.drive().await
}

#[test]
fn what_a_cap_stopped_goes_on_as_a_new_run_that_does_nothing_twice() {
    run(async {
        let mut scene = Scene::new().await;
        let old = stopped_by_the_cap(&mut scene).await;
        calls_per_run(&scene, 30).await;
        let _ = scene.resume(Scope::Customer(Scene::customer(VAN_DIJK))).await;
        let said = holdfast(&scene, &["--as", "marieke", "again", old.as_str(), "--because", WHY]).await;
        assert_eq!(said.exit_code(), 0, "{said:?}");
        let new = RunId::new(said.json["run_id"].as_str().expect("an id")).expect("an id");
        assert_ne!(new, old);
        let twice = holdfast(&scene, &["--as", "marieke", "again", old.as_str(), "--because", WHY]).await;
        assert_eq!((&twice.json["run_id"], &twice.json["new"]), (&json!(new), &json!(false)));

        assert_eq!(swept_and_driven(&mut scene).await, [(new.clone(), Next::Done)]);
        assert_eq!(scene.run(&old).await.status, RunStatus::Halted, "the old run stays halted");
        assert_eq!(notes_sent(&scene), 1, "the note is not written a second time");
        let told = scene.standins.anthropic.calls()[2].body.clone();
        let told = String::from_utf8(told).expect("text");
        assert!(told.contains("append_note (done)") && told.contains("They chose another."), "{told}");
        let calls = scene.calls(&new).await;
        let seen: Vec<_> =
            calls.iter().map(|row| (row.verb.as_str(), row.decision, row.reason.as_deref())).collect();
        assert_eq!(
            seen,
            [
                ("append_note", EntryState::Refused, Some("done_before")),
                ("schedule_follow_up", EntryState::WouldHave, Some("dry_run")),
            ]
        );
        let rows = scene.rows().await;
        let started: Vec<_> = rows.iter().filter(|row| row.verb == "start_again").collect();
        assert_eq!(started.len(), 1, "once, however often it was asked for");
        assert_eq!((started[0].actor.as_str(), started[0].because.as_deref()), ("person:marieke", Some(WHY)));
        assert_eq!(started[0].run_id.as_deref(), Some(new.as_str()));
    });
}

/// The new run was stopped too: the third knows the acts of both.
#[test]
fn a_chain_of_stopped_runs_remembers_every_act() {
    run(async {
        let mut scene = Scene::new().await;
        let first = stopped_by_the_cap(&mut scene).await;
        let _ = scene.resume(Scope::Customer(Scene::customer(VAN_DIJK))).await;
        let ledger = scene.house.step.ledger.clone();
        let Again::New(second) = ledger.start_again(&first, &marieke(), WHY).await.expect("answered") else {
            panic!("a new run")
        };
        drop(scene.press_halt(&Scope::Global).await);
        // It met the halt before it began: it is held, as any event, and no stopped run.
        swept_and_driven(&mut scene).await;
        assert_eq!(scene.run(&second.run_id).await.status, RunStatus::Held);
        let again = ledger.start_again(&second.run_id, &marieke(), WHY).await.expect("answered");
        assert_eq!(again, Again::NotStopped(RunStatus::Held));
        let _ = scene.resume(Scope::Global).await;
        let start = scene.start_held(&second.run_id).await;
        let mut input = StepInput { run_id: start.run_id, n: start.n, customer_id: None };
        scene.step_to(&mut input, 1).await;
        scene.step_on(&mut input).await;
        drop(scene.press_halt(&Scope::Global).await);
        assert_eq!(scene.finish(&input).await, Next::Halted);
        let Again::New(third) = ledger.start_again(&second.run_id, &marieke(), WHY).await.expect("answered")
        else {
            panic!("a new run")
        };
        let acts = |run: &ledger::Run| run.follows.as_ref().map(|follows| follows.acts.clone());
        assert_eq!(acts(&third), acts(&second), "the refused note adds nothing, the first one is kept");
        assert_eq!(acts(&third).map(|acts| acts.len()), Some(1));
    });
}

#[test]
fn a_run_with_an_unanswered_write_is_not_started_again_before_a_person_closed_it() {
    run(async {
        let (mut scene, door) = Scene::behind_a_door().await;
        scene.go_live("append_note").await;
        scene.standins.anthropic.script(vec![says(&[note("They wrote so.")])]);
        scene.standins.hubspot.always(Matcher::any().method("POST"), Fault::Reset);
        let mut input = scene.begin("reply_4411").await;
        scene.step_to(&mut input, 1).await;
        scene.step_on(&mut input).await;
        drop(scene.press_halt(&Scope::Global).await);
        let mut halted = scene.run(&input.run_id).await;
        while halted.status.is_open() {
            scene.step_on(&mut input).await;
            halted = scene.run(&input.run_id).await;
        }
        let again = scene.house.step.ledger.start_again(&input.run_id, &marieke(), WHY).await;
        assert_eq!(again.expect("answered"), Again::Unsettled(1));
        let said = holdfast(&scene, &["again", input.run_id.as_str(), "--because", WHY]).await;
        assert_eq!(said.exit_code(), 1, "{said:?}");

        // A store that does not answer starts nothing, and says so.
        door.rule(|asked| if asked.operation == "Query" { Fate::Lose } else { Fate::Pass });
        assert!(scene.house.step.ledger.start_again(&input.run_id, &marieke(), WHY).await.is_err());
    });
}

#[test]
fn a_run_that_ended_by_itself_or_does_not_exist_is_not_started_again() {
    run(async {
        let mut scene = Scene::new().await;
        scene.standins.anthropic.script(vec![says_nothing_more()]);
        let input = scene.begin("reply_4411").await;
        assert_eq!(scene.finish(&input).await, Next::Done);
        let ledger = scene.house.step.ledger.clone();
        let again = ledger.start_again(&input.run_id, &marieke(), WHY).await.expect("answered");
        assert_eq!(again, Again::NotStopped(RunStatus::Done));
        let nowhere = holdfast(&scene, &["again", "r-00000000000000000000", "--because", WHY]).await;
        assert_eq!(nowhere.exit_code(), 1, "{nowhere:?}");
        assert_eq!(ledger.followed_by(&input.run_id).await.expect("answered"), None);
    });
}
