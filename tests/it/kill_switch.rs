//! The kill switch over real handlers: halted, disarmed, silent and resumed at every point of a step. Must
//! never take an absent flag for a yes.
use crate::door::{Line, spawn};
use crate::scene::{Scene, run, says, says_nothing_more, typed};
use crate::servers::{HALT_RULES, RealRedis, STEP_RULES};
use interlock::{
    ControlHalt, IN_FLIGHT_MAX, LOG_MAX, ModesAfter, PermitAnswer, PermitAsk, RearmAsk, Rearmed, Standing,
    State,
};
use kill_switch::{Check, FlagHalt, HaltedScope, Rearm, Reassert, Switch, Timeouts};
use ledger::{IntentState, RunStatus};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use step::{Next, StepInput};
use types::{
    Actor, CustomerId, EntryState, Epoch, Generation, IntentId, PersonId, Reason, RunId, Scope, UsdNanos,
};

const FLAG: &str = "agent:halted:global";
const ARMED: &str = "agent:armed";
/// Whose deal 4411 is.
const VAN_DIJK: &str = "1234";
/// Whose deal 4302 is.
const BAKKER: &str = "1236";
const TRY: Duration = Duration::from_secs(2);

fn van_dijk() -> Scope {
    Scope::Customer(Scene::customer(VAN_DIJK))
}

fn note_call() -> Value {
    says(&[(
        "append_note",
        json!({"deal_id": "4411", "text": "They chose another.", "because": "They wrote so."}),
    )])
}

/// A run that wants to write one note, standing before its first model call, the tool live.
async fn about_to_write(scene: &mut Scene) -> StepInput {
    scene.go_live("append_note").await;
    scene.standins.anthropic.script(vec![note_call(), says_nothing_more()]);
    let mut input = scene.begin("reply_4411").await;
    scene.step_to(&mut input, 1).await;
    input
}

/// Halted for good if it had begun, else held for a person; and nothing reached the CRM.
async fn stopped(scene: &mut Scene, input: &mut StepInput, reason: Reason) {
    let had_begun = scene.run(&input.run_id).await.bound.is_some();
    assert_eq!(scene.step_on(input).await.next, Next::Halted);
    let ended = scene.run(&input.run_id).await;
    let status = if had_begun { RunStatus::Halted } else { RunStatus::Held };
    assert_eq!((ended.status, ended.reason), (status, Some(reason)));
    assert_eq!(scene.sent(), []);
}

async fn standing(scene: &Scene, customer: Option<&str>) -> Standing {
    let customer = customer.map(Scene::customer);
    scene.house.step.interlock.check(None, customer.as_ref()).await
}

fn ask(scope: Scope, epoch: Epoch, generation: Generation, seq: &str) -> RearmAsk {
    RearmAsk {
        scope,
        epoch_shown: epoch,
        generation_shown: generation,
        seq_shown: seq.to_owned(),
        actor: Actor::Person(PersonId::new("demo").expect("an id")),
        because: "checked everything".to_owned(),
        source: "page".to_owned(),
        modes: ModesAfter::DryRun,
    }
}

#[test]
fn after_init_nothing_runs_until_a_person_arms_and_then_starts_what_waited() {
    run(async {
        let mut scene = Scene::unarmed().await;
        let control = scene.control().await;
        assert_eq!(control.state, State::Halted);
        assert_eq!(control.halted_by.expect("by whom").reason, "not_yet_armed");
        let input = scene.begin("reply_4411").await;
        assert_eq!(scene.finish(&input).await, Next::Halted);
        assert_eq!(scene.run(&input.run_id).await.status, RunStatus::Held);
        assert!(matches!(scene.resume(Scope::Global).await, Rearmed::Done { .. }));
        scene.sweep_effects().await;
        scene.settle_audit().await;
        assert!(scene.asked_for().is_empty(), "arming starts no held run by itself");
        assert_eq!(scene.standins.anthropic.calls().len(), 0);
        let start = scene.start_held(&input.run_id).await;
        assert_eq!(start.name, format!("{}-2", input.run_id));
        assert_eq!(scene.execute(&start).await, Next::Done);
        assert_eq!(scene.run(&input.run_id).await.status, RunStatus::Done);
    });
}

#[test]
fn a_flag_set_by_hand_stops_at_the_next_step_whatever_its_value_and_outlives_its_deletion() {
    for value in ["1", "0", "false", "", "no", "\u{0}"] {
        run(async {
            let mut scene = Scene::new().await;
            let mut input = scene.begin("reply_4411").await;
            scene.step_to(&mut input, 2).await;
            let before = scene.control().await;
            let calls = scene.standins.anthropic.calls().len();
            scene.flags::<()>(&["SET", FLAG, value]).await;
            stopped(&mut scene, &mut input, Reason::HaltedGlobal).await;
            assert_eq!(scene.standins.anthropic.calls().len(), calls, "{value:?}: no call of the model");
            let after = scene.control().await;
            assert_eq!((after.state, after.epoch), (State::Halted, before.epoch.next()), "{value:?}");
            assert_eq!(after.halted_by.expect("by whom").reason, "flag_set");
            scene.flags::<()>(&["DEL", FLAG]).await;
            assert!(matches!(standing(&scene, None).await, Standing::Halted { scope: Scope::Global, .. }));
            scene.clock.advance_ms(61_000);
            scene.settle_audit().await;
            assert!(scene.flags::<bool>(&["EXISTS", FLAG]).await, "the sweep sets it again");
        });
    }
}

#[test]
fn a_flag_that_is_deleted_before_anybody_looked_leaves_nothing() {
    run(async {
        let mut scene = Scene::new().await;
        let mut input = scene.begin("reply_4411").await;
        scene.step_to(&mut input, 2).await;
        let before = scene.control().await;
        scene.flags::<()>(&["SET", FLAG, "1"]).await;
        scene.flags::<()>(&["DEL", FLAG]).await;
        assert_eq!(scene.finish(&input).await, Next::Done);
        assert_eq!(scene.control().await, before);
    });
}

#[test]
fn one_customers_flag_stops_her_alone() {
    run(async {
        let mut scene = Scene::new().await;
        let mut hers = scene.begin("reply_4411").await;
        scene.step_to(&mut hers, 2).await;
        let mut others = scene.begin("reply_4302").await;
        scene.step_to(&mut others, 2).await;
        scene.flags::<()>(&["SET", &format!("agent:halted:customer:{VAN_DIJK}"), "0"]).await;
        stopped(&mut scene, &mut hers, Reason::HaltedCustomer).await;
        assert_eq!(scene.finish(&others).await, Next::Done);
        let control = scene.control().await;
        assert!(control.is_armed());
        let halted: Vec<&str> = control.halted_customers.keys().map(CustomerId::as_str).collect();
        assert_eq!(halted, [VAN_DIJK]);
        assert!(matches!(standing(&scene, Some(BAKKER)).await, Standing::Go(_)));
        assert!(matches!(standing(&scene, Some(VAN_DIJK)).await, Standing::Halted { .. }));
    });
}

#[test]
fn a_wiped_flag_store_parks_and_latches_nothing() {
    run(async {
        let mut scene = Scene::new().await;
        let mut input = about_to_write(&mut scene).await;
        let before = scene.control().await;
        let armed: String = scene.flags(&["GET", ARMED]).await;
        scene.flags::<()>(&["FLUSHALL"]).await;
        let calls = scene.standins.anthropic.calls().len();
        for _ in 0..3 {
            let output = scene.step_on(&mut input).await;
            assert_eq!((output.next, output.n), (Next::Wait, 1));
            scene.clock.advance_ms(i64::from(output.wait_seconds) * 1_000);
        }
        assert_eq!((scene.sent(), scene.standins.anthropic.calls().len()), (vec![], calls));
        assert_eq!(scene.control().await, before, "a wipe halts nobody for good");
        // Restored from a backup of the same epoch, it goes on where it stood.
        scene.flags::<()>(&["SET", ARMED, &armed]).await;
        assert_eq!(scene.finish(&input).await, Next::Done);
        assert_eq!(scene.sent().len(), 1);
    });
}

#[test]
fn a_run_that_was_bound_before_a_wipe_does_not_go_on_after_the_resume() {
    run(async {
        let mut scene = Scene::new().await;
        scene.go_live("append_note").await;
        let mut input = scene.begin("reply_4411").await;
        scene.step_to(&mut input, 2).await;
        scene.flags::<()>(&["FLUSHALL"]).await;
        assert_eq!(scene.step_on(&mut input).await.next, Next::Wait);
        assert!(matches!(scene.resume(Scope::Global).await, Rearmed::Done { .. }));
        stopped(&mut scene, &mut input, Reason::OldEpoch).await;
        let fresh = scene.begin("reply_4302").await;
        assert_eq!(scene.finish(&fresh).await, Next::Done);
    });
}

#[test]
fn another_epoch_in_the_arming_key_is_no_yes() {
    run(async {
        let mut scene = Scene::new().await;
        let mut input = about_to_write(&mut scene).await;
        for armed in ["0", "99", "true", "", "-1"] {
            scene.flags::<()>(&["SET", ARMED, armed]).await;
            assert_eq!(scene.step_on(&mut input).await.next, Next::Wait, "{armed:?}");
            scene.clock.advance_ms(15_000);
        }
        assert_eq!(scene.sent(), []);
    });
}

/// Each way to halt, while the model is being asked.
#[test]
fn a_halt_drops_the_call_of_the_model_and_charges_it_in_full() {
    for (how, reason) in [
        ("press", Reason::HaltedGlobal),
        ("customer", Reason::HaltedCustomer),
        ("flag", Reason::HaltedGlobal),
        ("customer flag", Reason::HaltedCustomer),
    ] {
        run(async {
            let mut scene = Scene::new().await;
            let mut input = about_to_write(&mut scene).await;
            let zone = scene.house.step.hot.get().await.hot.zone.clone();
            scene.standins.anthropic.hold();
            let step = scene.spawn_step(&input);
            scene.standins.anthropic.wait_until_held(1).await;
            let reserved = scene.house.step.budget.day(&zone).await.expect("the day").expect("open").pending;
            assert!(reserved > UsdNanos::ZERO);
            match how {
                "press" => drop(scene.press_halt(&Scope::Global).await),
                "customer" => drop(scene.press_halt(&van_dijk()).await),
                "flag" => scene.flags::<()>(&["SET", FLAG, "1"]).await,
                _ => scene.flags::<()>(&["SET", &format!("agent:halted:customer:{VAN_DIJK}"), "1"]).await,
            }
            let output = step.await.expect("no panic").expect("an answer");
            assert_eq!((output.next, output.n), (Next::Wait, 1), "{how}");
            // The request was dropped, not waited for.
            scene.standins.anthropic.wait_until_none_held().await;
            let day = scene.house.step.budget.day(&zone).await.expect("the day").expect("open");
            assert_eq!((day.spent, day.pending), (reserved, UsdNanos::ZERO), "{how}");
            let transcript = scene.house.step.ledger.transcript(&input.run_id).await.expect("a transcript");
            assert!(transcript.decisions.is_empty() && transcript.intents.is_empty(), "{how}");
            scene.standins.anthropic.release();
            stopped(&mut scene, &mut input, reason).await;
            // It asked the model in the epoch that is over: no person may start it again.
            assert_eq!(scene.run(&input.run_id).await.status, RunStatus::Halted, "{how}");
            assert_eq!(scene.calls(&input.run_id).await.len(), 0, "{how}");
            assert_eq!(scene.standins.anthropic.calls().len(), 1, "{how}");
        });
    }
}

#[test]
fn a_flag_store_that_falls_silent_during_the_call_drops_it_too() {
    run(async {
        let mut scene = Scene::new().await;
        let line = Line::to(scene.redis.url()).await;
        scene.rebuild(|settings| drop(settings.insert("REDIS_URL".to_owned(), line.url()))).await;
        let mut input = about_to_write(&mut scene).await;
        scene.standins.anthropic.hold();
        let step = scene.spawn_step(&input);
        scene.standins.anthropic.wait_until_held(1).await;
        line.cut();
        assert_eq!(step.await.expect("no panic").expect("an answer").next, Next::Wait);
        scene.standins.anthropic.wait_until_none_held().await;
        scene.standins.anthropic.release();
        assert_eq!(scene.step_on(&mut input).await.next, Next::Wait, "parked, not halted");
        assert!(scene.control().await.is_armed());
        line.mend();
        assert_eq!(scene.finish(&input).await, Next::Done);
        assert_eq!(scene.sent().len(), 1, "the run was not lost either");
    });
}

/// The answer is stored, the halt comes, nothing acts on the answer.
#[test]
fn a_halt_between_the_decision_and_the_act_stops_the_act() {
    for by_flag in [false, true] {
        run(async {
            let (mut scene, door) = Scene::behind_a_door().await;
            let mut input = about_to_write(&mut scene).await;
            let gate = door
                .hold(|asked| asked.operation == "TransactWriteItems" && asked.body.contains("decision#"));
            let step = scene.spawn_step(&input);
            gate.reached().await;
            if by_flag {
                scene.flags::<()>(&["SET", FLAG, "1"]).await;
            } else {
                drop(scene.press_halt(&Scope::Global).await);
            }
            gate.open();
            let output = step.await.expect("no panic").expect("an answer");
            assert_eq!(output.next, Next::Halted);
            assert_eq!(scene.sent(), []);
            let calls = scene.calls(&input.run_id).await;
            assert_eq!(calls.len(), 1, "the call that the model made has its row");
            assert_eq!((calls[0].verb.as_str(), calls[0].decision), ("append_note", EntryState::Halted));
            assert_eq!(scene.run(&input.run_id).await.status, RunStatus::Halted);
            assert!(!scene.control().await.is_armed(), "by flag: {by_flag}");
            assert_eq!(scene.step_on(&mut input).await.next, Next::Halted, "also when asked again");
        });
    }
}

/// P1 is granted, the halt lands in the flags only, P2 refuses.
#[test]
fn a_halt_that_only_the_flags_have_stops_a_write_that_holds_its_permit() {
    for flag in [FLAG.to_owned(), format!("agent:halted:customer:{VAN_DIJK}")] {
        run(async {
            let (mut scene, door) = Scene::behind_a_door().await;
            let mut input = about_to_write(&mut scene).await;
            let gate = door.hold(|asked| asked.body.contains("SET #inflight.#p = :held"));
            let step = scene.spawn_step(&input);
            gate.reached().await;
            assert_eq!(scene.control().await.in_flight.len(), 1, "the permit is held");
            scene.flags::<()>(&["SET", &flag, "1"]).await;
            gate.open();
            let output = step.await.expect("no panic").expect("an answer");
            assert_eq!(output.next, Next::Wait, "the next look closes it");
            let reason = if flag == FLAG { Reason::HaltedGlobal } else { Reason::HaltedCustomer };
            stopped(&mut scene, &mut input, reason).await;
            let control = scene.control().await;
            assert!(control.in_flight.is_empty() && control.unknown.is_empty(), "the permit was given back");
            let calls = scene.calls(&input.run_id).await;
            assert_eq!(calls.len(), 1);
            assert_eq!(
                (calls[0].decision, calls[0].reason.as_deref()),
                (EntryState::Halted, Some(reason.code()))
            );
        });
    }
}

/// The intent row is durable, the halt comes, P1 refuses.
#[test]
fn a_halt_before_the_permit_refuses_it() {
    run(async {
        let (mut scene, door) = Scene::behind_a_door().await;
        let mut input = about_to_write(&mut scene).await;
        let gate = door.hold(|asked| {
            asked.operation == "TransactWriteItems" && asked.body.contains(r#"\"state\":\"planned\""#)
        });
        let step = scene.spawn_step(&input);
        gate.reached().await;
        let report = scene.press_halt(&Scope::Global).await;
        let ControlHalt::Latched(at_halt) = &report.control else { panic!("{report:?}") };
        assert!(at_halt.in_flight.is_empty(), "nothing was under way, and the answer says so");
        gate.open();
        step.await.expect("no panic").expect("an answer");
        stopped(&mut scene, &mut input, Reason::HaltedGlobal).await;
    });
}

/// A write that is under way is in the halt's own answer, and nothing else is ever sent.
#[test]
fn a_halt_lists_the_write_that_is_under_way() {
    run(async {
        let (mut scene, door) = Scene::behind_a_door().await;
        let mut input = about_to_write(&mut scene).await;
        let gate = door.hold(|asked| {
            asked.operation == "TransactWriteItems" && asked.body.contains(r#"\"state\":\"open\""#)
        });
        let step = scene.spawn_step(&input);
        gate.reached().await;
        let report = scene.press_halt(&Scope::Global).await;
        let ControlHalt::Latched(at_halt) = &report.control else { panic!("{report:?}") };
        let (live, unknown) = at_halt.writes(&Scope::Global, scene.clock.now_ms());
        assert_eq!((live.len(), unknown.len()), (1, 0));
        assert_eq!((live[0].run_id.clone(), live[0].target.as_str()), (input.run_id.clone(), "deal:4411"));
        let (others, _) = at_halt.writes(&Scope::Customer(Scene::customer(BAKKER)), scene.clock.now_ms());
        assert!(others.is_empty(), "another customer's page does not show it");
        gate.open();
        let output = step.await.expect("no panic").expect("an answer");
        input.n = output.n;
        let control = scene.control().await;
        assert!(control.in_flight.is_empty() && control.unknown.is_empty());
        assert_eq!(scene.sent().len(), 1);
        assert_eq!(scene.step_on(&mut input).await.next, Next::Halted);
        assert_eq!(scene.sent().len(), 1, "nothing more");
        let states: Vec<EntryState> =
            scene.calls(&input.run_id).await.iter().map(|row| row.decision).collect();
        assert_eq!(states, [EntryState::Applied], "one row a call, in its last state");
    });
}

/// Granted permits and a halt race; the halt's answer holds every permit that is ever used.
#[test]
fn no_permit_escapes_the_answer_of_a_halt() {
    for round in 0..6 {
        run(async {
            let scene = Scene::new().await;
            scene.go_live("append_note").await;
            let mut asking = Vec::new();
            for nth in 0..12 {
                let deps = Arc::clone(&scene.house.step);
                let deadline_ms = scene.clock.now_ms() + 60_000;
                asking.push(spawn(async move { one_permit(&deps, nth, deadline_ms).await }));
            }
            for _ in 0..round * 40 {
                tokio::task::yield_now().await;
            }
            let report = scene.press_halt(&Scope::Global).await;
            let ControlHalt::Latched(at_halt) = report.control else { panic!("{report:?}") };
            for asked in asking {
                if let Some(permit_id) = asked.await.expect("no panic") {
                    assert!(at_halt.in_flight.contains_key(&permit_id), "round {round}: {permit_id} escaped");
                }
            }
            let late = one_permit(&scene.house.step, 99, scene.clock.now_ms() + 60_000).await;
            assert_eq!(late, None, "none after the answer");
        });
    }
}

/// One permit for a write on deal 4411; it is kept.
async fn one_permit(deps: &step::Deps, nth: usize, deadline_ms: i64) -> Option<types::PermitId> {
    let customer = Scene::customer(VAN_DIJK);
    let Standing::Go(go) = deps.interlock.check(None, Some(&customer)).await else { return None };
    let run_id = RunId::new("r-00000000000000000000").expect("an id");
    let intent_id = IntentId::new(format!("i-{nth:020}")).expect("an id");
    let ask = PermitAsk {
        run_id: &run_id,
        intent_id: &intent_id,
        tool: "append_note",
        target: "deal:4411",
        customer_id: &customer,
        invocation_deadline_ms: deadline_ms,
        request_ms_max: 10_000,
    };
    match deps.interlock.permit(&go, &ask).await.expect("an answer") {
        PermitAnswer::Granted(permit) => Some(permit.permit_id().clone()),
        PermitAnswer::Refused(_) => None,
    }
}

#[test]
fn the_sixty_fifth_permit_is_refused_and_a_halt_lists_all_others() {
    run(async {
        let scene = Scene::new().await;
        scene.go_live("append_note").await;
        let deadline_ms = scene.clock.now_ms() + 60_000;
        let mut granted = BTreeSet::new();
        for nth in 0..IN_FLIGHT_MAX {
            granted.insert(one_permit(&scene.house.step, nth, deadline_ms).await.expect("a permit"));
        }
        assert_eq!(one_permit(&scene.house.step, 64, deadline_ms).await, None);
        let report = scene.press_halt(&Scope::Global).await;
        let ControlHalt::Latched(at_halt) = report.control else { panic!("{report:?}") };
        assert_eq!(at_halt.in_flight.into_keys().collect::<BTreeSet<_>>(), granted);
    });
}

#[test]
fn a_resume_on_what_is_no_longer_so_is_refused() {
    run(async {
        let scene = Scene::new().await;
        let interlock = &scene.house.halt.interlock;
        drop(scene.press_halt(&Scope::Global).await);
        let shown = scene.control().await;
        let seq = interlock.switch().read(&[]).await.expect("the flags").seq_global;
        // A second press, which both operators' pages do not show yet.
        drop(scene.press_halt(&Scope::Global).await);
        let late =
            interlock.rearm(&ask(Scope::Global, shown.epoch, Generation(0), &seq)).await.expect("an answer");
        assert_eq!(late, Rearmed::PressedAgain, "an old epoch");
        let now = scene.control().await;
        let late =
            interlock.rearm(&ask(Scope::Global, now.epoch, Generation(0), &seq)).await.expect("an answer");
        assert_eq!(late, Rearmed::PressedAgain, "an old press counter");
        // A press that reached the flags alone.
        let seq = interlock.switch().read(&[]).await.expect("the flags").seq_global;
        let pressed = interlock.switch().halt(&kill_switch::Scope::Global, "a-fresh-token", 0, TRY).await;
        assert_eq!(pressed, FlagHalt::Confirmed { acks: 0 });
        let late =
            interlock.rearm(&ask(Scope::Global, now.epoch, Generation(0), &seq)).await.expect("an answer");
        assert_eq!(late, Rearmed::PressedAgain, "pressed in the flags meanwhile");
        assert!(!scene.control().await.is_armed());
        assert!(scene.flags::<bool>(&["EXISTS", FLAG]).await);
        // Two operators with the same page: one resumes, the other is told.
        let seq = interlock.switch().read(&[]).await.expect("the flags").seq_global;
        let same = ask(Scope::Global, now.epoch, Generation(0), &seq);
        let (one, two) = tokio::join!(interlock.rearm(&same), interlock.rearm(&same));
        let (one, two) = (one.expect("an answer"), two.expect("an answer"));
        let done = [&one, &two].into_iter().filter(|answer| matches!(answer, Rearmed::Done { .. })).count();
        assert!(done <= 1, "{one:?} {two:?}");
        let page = interlock.rearm(&same).await.expect("an answer");
        assert!(matches!(page, Rearmed::PressedAgain | Rearmed::NotHalted) || done == 0, "{page:?}");
    });
}

#[test]
fn a_halt_always_beats_a_resume_that_runs_beside_it() {
    for round in 0..12 {
        run(async {
            let scene = Scene::new().await;
            let interlock = scene.house.halt.clone();
            drop(scene.press_halt(&Scope::Global).await);
            let shown = scene.control().await;
            let seq = interlock.interlock.switch().read(&[]).await.expect("the flags").seq_global;
            let ask = ask(Scope::Global, shown.epoch, Generation(0), &seq);
            let resume = spawn(async move { interlock.interlock.rearm(&ask).await.expect("an answer") });
            for _ in 0..round * 30 {
                tokio::task::yield_now().await;
            }
            let report = scene.press_halt(&Scope::Global).await;
            let resumed = resume.await.expect("no panic");
            assert!(matches!(report.control, ControlHalt::Latched(_)), "{report:?}");
            assert!(!scene.control().await.is_armed(), "round {round}: {resumed:?} beat the halt");
            assert!(matches!(standing(&scene, None).await, Standing::Halted { .. }), "round {round}");
            // And the sweep brings the flags to the same word.
            scene.clock.advance_ms(61_000);
            scene.settle_audit().await;
            assert!(scene.flags::<bool>(&["EXISTS", FLAG]).await, "round {round}: {resumed:?}");
        });
    }
}

#[test]
fn a_customers_halt_survives_a_global_halt_its_resume_and_a_wipe() {
    run(async {
        let scene = Scene::new().await;
        drop(scene.press_halt(&van_dijk()).await);
        drop(scene.press_halt(&Scope::Global).await);
        scene.flags::<()>(&["FLUSHALL"]).await;
        assert!(matches!(scene.resume(Scope::Global).await, Rearmed::Done { .. }));
        let flag = format!("agent:halted:customer:{VAN_DIJK}");
        assert!(scene.flags::<bool>(&["EXISTS", &flag]).await, "the resume sets her flag again");
        assert!(matches!(standing(&scene, Some(VAN_DIJK)).await, Standing::Halted { .. }));
        assert!(matches!(standing(&scene, Some(BAKKER)).await, Standing::Go(_)));
        assert!(matches!(scene.resume(van_dijk()).await, Rearmed::Done { .. }));
        assert!(matches!(standing(&scene, Some(VAN_DIJK)).await, Standing::Go(_)));
    });
}

#[test]
fn a_run_from_before_a_resume_never_goes_on() {
    for scope in [Scope::Global, van_dijk()] {
        run(async {
            let mut scene = Scene::new().await;
            scene.go_live("append_note").await;
            scene.go_live("set_stage").await;
            let mut input = scene.begin("reply_4411").await;
            scene.step_to(&mut input, 2).await;
            drop(scene.press_halt(&scope).await);
            assert!(matches!(scene.resume(scope.clone()).await, Rearmed::Done { .. }));
            if scope == Scope::Global {
                for tool in ["append_note", "set_stage"] {
                    scene.go_live(tool).await;
                }
            }
            stopped(&mut scene, &mut input, Reason::OldEpoch).await;
            assert_eq!(scene.step_on(&mut input).await.next, Next::Halted);
            assert_eq!(scene.sent(), []);
        });
    }
}

/// A step that broke off after its decision was stored is replayed after a halt and its resume.
#[test]
fn a_decision_from_before_a_resume_is_never_acted_on() {
    run(async {
        let (mut scene, door) = Scene::behind_a_door().await;
        let mut input = about_to_write(&mut scene).await;
        let mut decided = false;
        door.rule(move |asked| {
            decided |= asked.body.contains("decision#");
            if decided && !asked.body.contains("decision#") {
                crate::door::Fate::Lose
            } else {
                crate::door::Fate::Pass
            }
        });
        assert!(scene.step(&input).await.is_err(), "it breaks off after its decision");
        door.open();
        let transcript = scene.house.step.ledger.transcript(&input.run_id).await.expect("a transcript");
        assert_eq!(transcript.decisions.len(), 1);
        drop(scene.press_halt(&Scope::Global).await);
        assert!(matches!(scene.resume(Scope::Global).await, Rearmed::Done { .. }));
        scene.go_live("append_note").await;
        // The dead invocation's claim runs out first.
        scene.clock.advance_ms(70_000);
        let next = scene.step_on(&mut input).await.next;
        assert_eq!(scene.sent(), [], "{next:?}");
        let run = scene.run(&input.run_id).await;
        assert_eq!((next, run.status, run.reason), (Next::Halted, RunStatus::Halted, Some(Reason::OldEpoch)));
    });
}

#[test]
fn a_halt_lands_in_the_flags_when_the_tables_are_silent() {
    run(async {
        let (mut scene, door) = Scene::behind_a_door().await;
        let mut input = about_to_write(&mut scene).await;
        door.shut();
        let report = scene.press_halt(&Scope::Global).await;
        assert!(matches!(report.control, ControlHalt::Failed(_)), "no word more than what is known");
        assert_eq!(report.flags, FlagHalt::Confirmed { acks: 0 });
        assert!(scene.step(&input).await.is_err(), "without the tables nothing runs");
        assert!(matches!(
            standing(&scene, Some(VAN_DIJK)).await,
            Standing::Halted { scope: Scope::Global, .. }
        ));
        door.open();
        stopped(&mut scene, &mut input, Reason::HaltedGlobal).await;
        assert!(!scene.control().await.is_armed(), "the first look copied it");
    });
}

#[test]
fn a_halt_lands_in_the_tables_when_the_flags_are_silent() {
    run(async {
        let mut scene = Scene::new().await;
        let line = Line::to(scene.redis.url()).await;
        scene.rebuild(|settings| drop(settings.insert("REDIS_URL".to_owned(), line.url()))).await;
        let mut input = about_to_write(&mut scene).await;
        line.cut();
        let report = scene.press_halt(&Scope::Global).await;
        assert_eq!(report.flags, FlagHalt::Failed);
        assert!(matches!(report.control, ControlHalt::Latched(_)));
        stopped(&mut scene, &mut input, Reason::HaltedGlobal).await;
        assert!(!typed::<bool>(scene.redis.url(), &["EXISTS", FLAG]).await.expect("the flags"));
        line.mend();
        // Past the minute in which the arming of the first boot may still be settling.
        scene.clock.advance_ms(61_000);
        scene.settle_audit().await;
        assert!(scene.flags::<bool>(&["EXISTS", FLAG]).await, "the sweep tells the flags");
    });
}

#[test]
fn a_full_log_never_refuses_a_halt_and_no_press_is_lost() {
    run(async {
        let scene = Scene::new().await;
        scene.settle_audit().await;
        let before = scene.control().await;
        let presses = LOG_MAX + 7;
        for nth in 0..presses {
            let report = scene.press_halt(&Scope::Global).await;
            let ControlHalt::Latched(item) = report.control else { panic!("press {nth}: {report:?}") };
            assert_eq!(item.epoch.0, before.epoch.0 + nth as u64 + 1);
        }
        let full = scene.control().await;
        assert_eq!((full.log.len(), full.log_folded), (LOG_MAX, 7));
        // Resuming and a customer's halt find it full too.
        assert!(matches!(scene.resume(Scope::Global).await, Rearmed::Done { .. }));
        let report = scene.press_halt(&van_dijk()).await;
        assert!(matches!(report.control, ControlHalt::Latched(_)), "{report:?}");
        let folded = scene.control().await.log_folded;
        assert_eq!(folded, 9);
        scene.settle_audit().await;
        let moved = scene.control().await;
        assert_eq!((moved.log.len(), moved.log_folded), (0, 0), "the sweep made room");
        let query = audit_log::Query { limit: 500, ..audit_log::Query::default() };
        let rows = scene.house.audit.log.search(&query).await.expect("rows").rows;
        let halts: Vec<_> = rows.iter().filter(|row| row.verb == "halt").collect();
        assert_eq!(
            halts.len(),
            LOG_MAX + 1,
            "each logged press, and one row for those that were only counted"
        );
        let counted: Vec<_> = halts.iter().filter(|row| row.because.as_deref() != Some("pressed")).collect();
        assert_eq!(counted.len(), 1, "{counted:?}");
        assert!(format!("{:?} {:?}", counted[0].because, counted[0].detail).contains('9'), "{counted:?}");
    });
}

#[test]
fn a_flag_of_another_type_than_text_stops_too() {
    run(async {
        let name = "kill_switch::a_flag_of_another_type_than_text_stops_too";
        let Some(real) = RealRedis::start(name).await else { return };
        for make in [
            ["RPUSH", FLAG, "x"].as_slice(),
            &["SADD", FLAG, "x"],
            &["HSET", FLAG, "a", "b"],
            &["SETBIT", FLAG, "0", "0"],
        ] {
            real.typed::<()>(&["FLUSHALL"]).await.expect("an empty server");
            let mut scene = real.scene().await;
            let mut input = scene.begin("reply_4411").await;
            scene.step_to(&mut input, 2).await;
            real.typed::<()>(make).await.expect("a flag");
            stopped(&mut scene, &mut input, Reason::HaltedGlobal).await;
            assert!(!scene.control().await.is_armed(), "{make:?}");
        }
    });
}

#[test]
fn a_paused_flag_store_parks_the_run_and_its_late_answers_are_not_believed() {
    run(async {
        let name = "kill_switch::a_paused_flag_store_parks_the_run_and_its_late_answers_are_not_believed";
        let Some(real) = RealRedis::start(name).await else { return };
        let mut scene = real.scene().await;
        let mut input = about_to_write(&mut scene).await;
        real.signal("-STOP");
        // The one deadline is the client's own; a check that waited for the server would never return.
        assert!(matches!(
            scene.house.step.interlock.switch().check(Some(VAN_DIJK)).await,
            Check::Unreachable
        ));
        let calls = scene.standins.anthropic.calls().len();
        let output = scene.step_on(&mut input).await;
        assert_eq!((output.next, output.n), (Next::Wait, 1));
        assert!(scene.run(&input.run_id).await.parked_since_ms.is_some());
        assert_eq!((scene.sent(), scene.standins.anthropic.calls().len()), (vec![], calls));
        real.signal("-CONT");
        real.typed::<()>(&["SET", FLAG, "1"]).await.expect("a flag");
        let switch = scene.house.step.interlock.switch();
        assert!(
            matches!(switch.check(None).await, Check::Halted(HaltedScope::Global)),
            "not an answer of before"
        );
        real.typed::<()>(&["DEL", FLAG]).await.expect("no flag");
        assert_eq!(scene.finish(&input).await, Next::Done);
        assert_eq!(scene.sent().len(), 1);
    });
}

/// P1 granted, then the flag store falls silent: nothing is sent, the call is tried again later.
#[test]
fn a_flag_store_that_falls_silent_after_the_permit_stops_the_write() {
    run(async {
        let name = "kill_switch::a_flag_store_that_falls_silent_after_the_permit_stops_the_write";
        let Some(real) = RealRedis::start(name).await else { return };
        let url = real.redis.url().to_owned();
        let (mut scene, door) = Scene::behind_a_door().await;
        scene.rebuild(|settings| drop(settings.insert("REDIS_URL".to_owned(), url))).await;
        let armed: String = typed(scene.redis.url(), &["GET", ARMED]).await.expect("the epoch");
        real.typed::<()>(&["SET", ARMED, &armed]).await.expect("armed");
        let mut input = about_to_write(&mut scene).await;
        let gate = door.hold(|asked| asked.body.contains("SET #inflight.#p = :held"));
        let step = scene.spawn_step(&input);
        gate.reached().await;
        real.signal("-STOP");
        gate.open();
        assert_eq!(step.await.expect("no panic").expect("an answer").next, Next::Wait);
        assert_eq!(scene.sent(), []);
        let transcript = scene.house.step.ledger.transcript(&input.run_id).await.expect("a transcript");
        assert!(transcript.intents.values().all(|intent| intent.state == IntentState::Planned));
        assert!(scene.control().await.in_flight.is_empty(), "the permit was given back");
        real.signal("-CONT");
        input.n = 1;
        assert_eq!(scene.finish(&input).await, Next::Done);
        assert_eq!(scene.sent().len(), 1, "tried again, once");
    });
}

async fn refused(url: &str, command: &[&str]) {
    let answer = typed::<redis::Value>(url, command).await;
    let error = answer.expect_err(&format!("{command:?} must be refused"));
    assert_eq!(error.code(), Some("NOPERM"), "{command:?}: {error}");
}

#[test]
fn the_steps_own_user_can_add_a_stop_and_nothing_else() {
    run(async {
        let Some(real) =
            RealRedis::start("kill_switch::the_steps_own_user_can_add_a_stop_and_nothing_else").await
        else {
            return;
        };
        real.user("step", STEP_RULES).await;
        let url = real.url_of("step");
        let switch = Switch::new(&url, Timeouts::default()).expect("an address");
        assert!(matches!(switch.check(Some(VAN_DIJK)).await, Check::Disarmed));
        real.typed::<()>(&["SET", ARMED, "7"]).await.expect("armed");
        assert!(matches!(switch.check(Some(VAN_DIJK)).await, Check::Clear(clear) if clear.epoch() == 7));
        for command in [
            ["SET", FLAG, "0"].as_slice(),
            &["SETNX", ARMED, "8"],
            &["SET", ARMED, "8"],
            &["DEL", ARMED],
            &["GET", "agent:halt_seq:global"],
            &["SETNX", "agent:halt_seq:global", "1"],
            &["GET", "other"],
        ] {
            refused(&url, command).await;
        }
        assert!(switch.set_if_absent(&kill_switch::Scope::Customer(VAN_DIJK)).await);
        assert!(matches!(switch.check(Some(VAN_DIJK)).await, Check::Halted(HaltedScope::Customer)));
        assert!(matches!(switch.check(Some(BAKKER)).await, Check::Clear(_)));
        let flag = format!("agent:halted:customer:{VAN_DIJK}");
        for command in [
            ["DEL", &flag].as_slice(),
            &["UNLINK", &flag],
            &["SET", &flag, "1"],
            &["GETDEL", &flag],
            &["GETEX", &flag, "EX", "1"],
            &["GETSET", &flag, "1"],
            &["EXPIRE", &flag, "1"],
            &["PEXPIREAT", &flag, "1"],
            &["RENAME", &flag, "agent:halted:x"],
            &["MOVE", &flag, "0"],
            &["COPY", &flag, "agent:halted:x"],
            &["FLUSHALL"],
            &["FLUSHDB"],
            &["SWAPDB", "0", "0"],
            &["EVAL", "return redis.call('del', KEYS[1])", "1", &flag],
            &["SCRIPT", "LOAD", "return 1"],
            &["FUNCTION", "LIST"],
            &["CONFIG", "SET", "maxmemory", "1"],
            &["ACL", "SETUSER", "step", "+@all"],
            &["SHUTDOWN", "NOSAVE"],
            &["REPLICAOF", "127.0.0.1", "1"],
            &["KEYS", "*"],
            &["MULTI"],
        ] {
            refused(&url, command).await;
        }
        assert!(matches!(switch.check(Some(VAN_DIJK)).await, Check::Halted(HaltedScope::Customer)));
    });
}

#[test]
fn the_halt_functions_user_can_halt_resume_and_sweep_and_no_more() {
    run(async {
        let Some(real) =
            RealRedis::start("kill_switch::the_halt_functions_user_can_halt_resume_and_sweep_and_no_more")
                .await
        else {
            return;
        };
        real.user("halt", HALT_RULES).await;
        let url = real.url_of("halt");
        let switch = Switch::new(&url, Timeouts::default()).expect("an address");
        let global = kill_switch::Scope::Global;
        let customer = kill_switch::Scope::Customer(VAN_DIJK);
        real.typed::<()>(&["SET", ARMED, "7"]).await.expect("armed");
        assert_eq!(switch.halt(&global, "t1", 0, TRY).await, FlagHalt::Confirmed { acks: 0 });
        assert_eq!(switch.halt(&customer, "t2", 0, TRY).await, FlagHalt::Confirmed { acks: 0 });
        assert_eq!(
            switch.halt(&customer, "t2", 1, TRY).await,
            FlagHalt::TooFewAcks { acks: 0 },
            "no replica here"
        );
        let flags = switch.read(&[VAN_DIJK.to_owned()]).await.expect("the flags");
        assert_eq!((flags.armed, flags.halted_global, flags.seq_global.as_str()), (None, true, "t1"));
        assert_eq!(flags.customers, [(true, "t2".to_owned())]);
        let halted = [VAN_DIJK.to_owned()];
        assert_eq!(switch.rearm(&global, "t0", 8, &halted, "rearm:1:a", TRY).await, Rearm::PressedAgain);
        assert_eq!(switch.rearm(&global, "t1", 8, &halted, "rearm:1:a", TRY).await, Rearm::Done);
        assert!(matches!(switch.check(None).await, Check::Clear(clear) if clear.epoch() == 8));
        assert!(matches!(switch.check(Some(VAN_DIJK)).await, Check::Halted(HaltedScope::Customer)));
        let watched = switch.watch(&global, TRY).await.expect("a watch");
        assert_eq!(watched.assert_halted(&global).await, Reassert::Asserted);
        assert!(switch.info("server").await.is_some_and(|text| text.contains("redis_version")));
        for command in [
            ["FLUSHALL"].as_slice(),
            &["CONFIG", "GET", "*"],
            &["EVAL", "return 1", "0"],
            &["KEYS", "*"],
            &["EXPIRE", FLAG, "1"],
            &["RENAME", FLAG, "agent:x"],
            &["SET", "other", "1"],
            &["ACL", "LIST"],
            &["SHUTDOWN", "NOSAVE"],
        ] {
            refused(&url, command).await;
        }
    });
}

/// A full server refuses `SET`, and still the halt takes the permission away.
#[test]
fn a_full_flag_store_still_halts() {
    run(async {
        let Some(real) = RealRedis::start("kill_switch::a_full_flag_store_still_halts").await else { return };
        let mut scene = real.scene().await;
        let mut input = about_to_write(&mut scene).await;
        real.typed::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await.expect("full");
        let full = real.typed::<()>(&["SET", "x", "1"]).await.expect_err("no room");
        assert_eq!(full.code(), Some("OOM"));
        let report = scene.press_halt(&Scope::Global).await;
        assert_eq!(report.flags, FlagHalt::Confirmed { acks: 0 });
        assert!(!real.typed::<bool>(&["EXISTS", ARMED]).await.expect("an answer"));
        stopped(&mut scene, &mut input, Reason::HaltedGlobal).await;
    });
}

/// A full server takes a press only in part; a resume on a page from before that press must not win over it.
#[test]
fn a_press_on_a_full_flag_store_is_seen_by_a_resume_on_an_older_page() {
    run(async {
        let name = "kill_switch::a_press_on_a_full_flag_store_is_seen_by_a_resume_on_an_older_page";
        let Some(real) = RealRedis::start(name).await else { return };
        real.user("halt", HALT_RULES).await;
        let switch = Switch::new(&real.url_of("halt"), Timeouts::default()).expect("an address");
        for (scope, in_part) in [
            (kill_switch::Scope::Global, FlagHalt::Confirmed { acks: 0 }),
            (kill_switch::Scope::Customer(VAN_DIJK), FlagHalt::Failed),
        ] {
            let pressed = switch.halt(&scope, "t1", 0, TRY).await;
            assert_eq!(pressed, FlagHalt::Confirmed { acks: 0 });
            real.typed::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await.expect("full");
            assert_eq!(switch.halt(&scope, "t2", 0, TRY).await, in_part, "{scope:?}");
            real.typed::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await.expect("room again");
            let resumed = switch.rearm(&scope, "t1", 8, &[], "rearm:1:a", TRY).await;
            assert_eq!(resumed, Rearm::PressedAgain, "{scope:?}");
        }
        assert!(!matches!(switch.check(None).await, Check::Clear(_)));
    });
}
