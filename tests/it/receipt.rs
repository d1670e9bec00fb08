//! Halt receipts, drills and `holdfast verify-halt`: each halt is followed to its true quiet, and checked
//! against the CRM. Must never take a sweep's time for the moment at which a write ended.
use crate::door::Fate;
use crate::scene::{Scene, run, says, says_nothing_more};
use crate::terminal::holdfast;
use interlock::{
    AtPress, ControlHalt, DRILL_CUSTOMER, DrillFault, FlagsSaid, HowEnded, Made, Receipt, State,
};
use serde_json::{Value, json};
use standins::hubspot::{Kind, Settings};
use standins::{Fault, Matcher};
use step::{Next, StepInput};
use types::{Mode, Reason, Scope};

const VAN_DIJK: &str = "1234";
const BAKKER: &str = "1236";
const DEAL: u64 = 4411;

/// A run that wants to write one note, standing before its first model call, the tool live.
async fn about_to_write(scene: &mut Scene) -> StepInput {
    scene.go_live("append_note").await;
    let note = json!({"deal_id": "4411", "text": "They chose another.", "because": "They wrote so."});
    scene.standins.anthropic.script(vec![says(&[("append_note", note)]), says_nothing_more()]);
    let mut input = scene.begin("reply_4411").await;
    scene.step_to(&mut input, 1).await;
    input
}

async fn sweep(scene: &Scene) -> Value {
    halt::handle(&scene.house.halt, json!({"sweep": "flags"})).await.expect("the sweep of the flags")
}

async fn receipts(scene: &Scene) -> Vec<Receipt> {
    scene.house.halt.interlock.receipts(10).await.expect("receipts")
}

/// The one receipt there is.
async fn receipt(scene: &Scene) -> Receipt {
    let mut all = receipts(scene).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

async fn rows_of(scene: &Scene, verb: &str) -> Vec<audit_log::Row> {
    scene.rows().await.into_iter().filter(|row| row.verb == verb).collect()
}

/// Writes to the CRM with the app's own token, past everything that contains the agent.
async fn write_as_our_app(scene: &Scene, method: reqwest::Method, path: &str, body: &Value) {
    let url = format!("{}/crm/objects/2026-09/{path}", scene.standins.hubspot.url);
    let client = reqwest::Client::new();
    let request = client.request(method, url).bearer_auth(Settings::default().token).json(body);
    let answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
}

#[test]
fn an_idle_halt_is_quiet_when_the_control_item_says_so_and_is_filed_once() {
    run(async {
        let scene = Scene::new().await;
        let report = scene.press_halt(&Scope::Global).await;
        let ControlHalt::Latched(at_halt) = &report.control else { panic!("{report:?}") };
        let left = receipt(&scene).await;
        assert_eq!((left.made, &left.writes), (Made::ByPress, &vec![]), "left by the request that halted");
        assert_eq!((left.scope.clone(), left.source.as_str()), (Scope::Global, "page"));
        assert_eq!(left.actor.to_string(), "person:demo");
        assert_eq!((left.pressed_ms, left.control_ms), (report.pressed_ms, report.control_ms));
        assert_eq!((left.flags_ms, left.epoch), (report.flags_ms, Some(at_halt.epoch)));
        assert!(matches!(left.flags, FlagsSaid::Confirmed { .. }), "{:?}", left.flags);
        assert_eq!((left.quiet_ms, left.quiet_exact), (report.control_ms, true));
        assert!(!left.filed);
        scene.clock.advance_ms(60_000);
        for _ in 0..2 {
            let filed = rows_of(&scene, "halt_receipt").await;
            assert_eq!(filed.len(), 1);
            let detail = filed[0].detail.as_ref().expect("the receipt");
            assert_eq!((&detail["id"], &detail["quiet_ms"]), (&json!(left.id), &json!(report.control_ms)));
            assert_eq!(filed[0].target_id.as_deref(), Some("agent:global"));
        }
        let halts = rows_of(&scene, "halt").await;
        assert_eq!(halts[0].entry_id, format!("control#{}", left.id), "the receipt names its press");
        assert_eq!(receipt(&scene).await.resumed_ms, None);
        scene.clock.advance_ms(1_000);
        assert!(matches!(scene.resume(Scope::Global).await, interlock::Rearmed::Done { .. }));
        sweep(&scene).await;
        assert_eq!(receipt(&scene).await.resumed_ms, Some(scene.clock.now_ms()));
        assert_eq!(
            scene.house.halt.interlock.receipt(&left.id).await.expect("read").map(|r| r.filed),
            Some(true)
        );
        assert_eq!(scene.house.halt.interlock.receipt("none").await.expect("read"), None);
    });
}

#[test]
fn a_halt_in_mid_write_is_quiet_when_the_write_has_ended() {
    run(async {
        let (mut scene, door) = Scene::behind_a_door().await;
        let input = about_to_write(&mut scene).await;
        let gate = door.hold(|asked| {
            asked.operation == "TransactWriteItems" && asked.body.contains(r#"\"state\":\"open\""#)
        });
        let step = scene.spawn_step(&input);
        gate.reached().await;
        scene.clock.advance_ms(1_000);
        let pressed_ms = scene.clock.now_ms();
        drop(scene.press_halt(&Scope::Customer(Scene::customer(VAN_DIJK))).await);
        sweep(&scene).await;
        let open = receipt(&scene).await;
        assert_eq!((open.quiet_ms, open.filed), (None, false), "a permit is held");
        let write = &open.writes[0];
        assert_eq!((write.run_id.clone(), write.tool.as_str()), (input.run_id.clone(), "append_note"));
        assert_eq!((write.target.as_str(), write.at_press), ("deal:4411", AtPress::InFlight));
        assert!(write.deadline_ms > pressed_ms && write.end.is_none());
        assert!(open.last_model_call_ms.is_some_and(|at_ms| at_ms < pressed_ms), "{open:?}");
        scene.clock.advance_ms(2_000);
        gate.open();
        step.await.expect("no panic").expect("an answer");
        // The sweep comes half a minute later; the receipt keeps the moment itself.
        scene.clock.advance_ms(30_000);
        sweep(&scene).await;
        let done = receipt(&scene).await;
        let end = done.writes[0].end.clone().expect("an end");
        assert_eq!((end.how, end.at_ms, end.exact), (HowEnded::Applied, pressed_ms + 2_000, true));
        assert_eq!((done.quiet_ms, done.quiet_exact, done.filed), (Some(pressed_ms + 2_000), true, true));
        let last = done.last_write_after.expect("the write that was under way");
        assert_eq!(
            (last.at_ms, last.intent_id),
            (pressed_ms + 2_000, Some(done.writes[0].intent_id.clone()))
        );
        assert_eq!(scene.sent().len(), 1);
    });
}

#[test]
fn an_unknown_write_keeps_a_halt_from_quiet_until_it_is_resolved() {
    run(async {
        let (mut scene, door) = Scene::behind_a_door().await;
        let input = about_to_write(&mut scene).await;
        let gate = door.hold(|asked| {
            asked.operation == "TransactWriteItems" && asked.body.contains(r#"\"state\":\"open\""#)
        });
        scene.standins.hubspot.next(Matcher::any().method("POST").path("/notes"), Fault::LateApply);
        let step = scene.spawn_step(&input);
        gate.reached().await;
        let pressed_ms = scene.clock.now_ms();
        drop(scene.press_halt(&Scope::Global).await);
        scene.clock.advance_ms(1_000);
        gate.open();
        step.await.expect("no panic").expect("an answer");
        sweep(&scene).await;
        let open = receipt(&scene).await;
        assert_eq!((open.quiet_ms, open.filed), (None, false), "nobody knows what became of it");
        assert_eq!((open.writes[0].unknown_ms, &open.writes[0].end), (Some(pressed_ms + 1_000), &None));
        assert_eq!(holdfast(&scene, &["verify-halt", "--last"]).await.json["verdict"], "not_quiet");
        assert_eq!(scene.standins.hubspot.apply_late().await, 1);
        scene.clock.advance_ms(9_000);
        scene.sweep_effects().await;
        scene.clock.advance_ms(20_000);
        sweep(&scene).await;
        let done = receipt(&scene).await;
        let end = done.writes[0].end.clone().expect("an end");
        assert_eq!((end.how, end.reason), (HowEnded::Applied, Some(Reason::OutcomeUnknown)));
        assert_eq!(
            (end.at_ms, end.exact),
            (pressed_ms + 10_000, true),
            "read back nine seconds after the drop"
        );
        assert_eq!((done.quiet_ms, done.filed), (Some(pressed_ms + 10_000), true));
    });
}

#[test]
fn a_permit_that_was_given_back_unused_ends_as_that() {
    run(async {
        let (mut scene, door) = Scene::behind_a_door().await;
        let input = about_to_write(&mut scene).await;
        let gate = door.hold(|asked| asked.body.contains("SET #inflight.#p = :held"));
        let step = scene.spawn_step(&input);
        gate.reached().await;
        drop(scene.press_halt(&Scope::Global).await);
        gate.open();
        step.await.expect("no panic").expect("an answer");
        sweep(&scene).await;
        let done = receipt(&scene).await;
        let ends: Vec<_> = done.writes.iter().filter_map(|write| Some(write.end.as_ref()?.how)).collect();
        assert_eq!((ends, done.last_write_after), (vec![HowEnded::Unused], None));
        assert_eq!(scene.sent(), []);
    });
}

#[test]
fn a_lost_receipt_refuses_no_halt_and_is_made_from_the_log() {
    run(async {
        let (scene, door) = Scene::behind_a_door().await;
        door.rule(|asked| {
            let of_a_receipt = asked.operation == "PutItem" && asked.body.contains("receipt#");
            if of_a_receipt { Fate::Lose } else { Fate::Pass }
        });
        let report = scene.press_halt(&Scope::Global).await;
        assert!(matches!(report.control, ControlHalt::Latched(_)), "{report:?}");
        door.open();
        assert_eq!(receipts(&scene).await, []);
        assert_eq!(sweep(&scene).await["receipts_made"], 1);
        let made = receipt(&scene).await;
        assert_eq!((made.made, made.flags, made.control_ms), (Made::FromLog, FlagsSaid::NotRecorded, None));
        assert_eq!((made.source.as_str(), made.pressed_ms), ("page", report.pressed_ms));
        assert_eq!((made.quiet_ms.is_some(), made.quiet_exact), (true, false), "quiet at the latest");
        assert!(!made.filed, "the press may still be leaving its own");
        scene.clock.advance_ms(60_000);
        assert_eq!(rows_of(&scene, "halt_receipt").await.len(), 1);
        assert_eq!(sweep(&scene).await["receipts_made"], 0);
        assert_eq!(rows_of(&scene, "halt").await.len(), 1, "the log moved on as ever");
    });
}

#[test]
fn a_flag_set_by_hand_and_a_tripped_cap_leave_receipts_too() {
    run(async {
        let mut scene = Scene::new().await;
        let mut input = about_to_write(&mut scene).await;
        scene.flags::<()>(&["SET", "agent:halted:global", "1"]).await;
        assert_eq!(scene.step_on(&mut input).await.next, Next::Halted);
        let copied = receipt(&scene).await;
        assert_eq!((copied.source.as_str(), copied.flags), ("flag", FlagsSaid::CameFromThem));
        let press = interlock::Press {
            actor: types::Actor::System("cap".to_owned()),
            source: "cap".to_owned(),
            because: "usd_per_day".to_owned(),
        };
        let bakker = Scope::Customer(Scene::customer(BAKKER));
        scene.house.step.interlock.trip(&bakker, &press).await.expect("tripped");
        let all = receipts(&scene).await;
        let tripped = all.iter().find(|one| one.source == "cap").expect("a receipt");
        assert_eq!((all.len(), &tripped.scope, tripped.flags), (2, &bakker, FlagsSaid::Set));
    });
}

#[test]
fn verify_halt_is_clean_until_a_write_of_ours_lies_between_quiet_and_resume() {
    run(async {
        let mut scene = Scene::new().await;
        let input = about_to_write(&mut scene).await;
        assert_eq!(scene.finish(&input).await, Next::Done);
        assert_eq!(scene.sent().len(), 1, "a rightful write before the halt");
        scene.clock.advance_ms(10_000);
        drop(scene.press_halt(&Scope::Global).await);
        scene.settle_audit().await;
        let before = receipt(&scene).await.last_write_before.expect("the rightful write");
        assert_eq!((before.run_id, before.target.as_str()), (input.run_id.to_string(), "deal:4411"));
        assert!(before.intent_id.is_some(), "found in its run");
        scene.clock.advance_ms(60_000);
        scene
            .standins
            .hubspot
            .edit_by_person(Kind::Deal, DEAL, "dealstage", "contractsent")
            .expect("a person's edit");
        let clean = holdfast(&scene, &["verify-halt", "--last"]).await;
        assert_eq!((clean.exit_code(), &clean.json["verdict"]), (0, &json!("clean")), "{clean:?}");
        assert!(
            clean.json["checked"]["deals"].as_u64() >= Some(1)
                && clean.json["checked"]["notes"].as_u64() >= Some(1)
        );

        scene.standins.hubspot.always(Matcher::any().method("GET").path("/deals/"), Fault::Status(503));
        let unread = holdfast(&scene, &["verify-halt"]).await;
        assert_eq!((unread.exit_code(), &unread.json["verdict"]), (1, &json!("not_verified")));
        assert!(format!("{unread:?}").contains("HubSpot, deal 4411"), "{unread:?}");
        scene.standins.hubspot.clear_faults();

        let stage = json!({"properties": {"dealstage": "closedlost"}});
        write_as_our_app(&scene, reqwest::Method::PATCH, "deals/4411", &stage).await;
        let note = json!({
            "properties": {"hs_note_body": "planted<br>[agent i-planted]",
                           "hs_timestamp": "2020-01-01T00:00:00Z"},
            "associations": [{"to": {"id": "4411"},
                              "types": [{"associationCategory": "HUBSPOT_DEFINED",
                                         "associationTypeId": 214}]}],
        });
        write_as_our_app(&scene, reqwest::Method::POST, "notes", &note).await;
        scene.clock.advance_ms(60_000);
        assert!(matches!(scene.resume(Scope::Global).await, interlock::Rearmed::Done { .. }));
        scene.clock.advance_ms(60_000);
        let later = json!({"properties": {"dealstage": "closedwon"}});
        write_as_our_app(&scene, reqwest::Method::PATCH, "deals/4411", &later).await;
        let id = receipt(&scene).await.id;
        let found = holdfast(&scene, &["verify-halt", "--receipt", &id]).await;
        assert_eq!((found.exit_code(), &found.json["verdict"]), (1, &json!("write_found")), "{found:?}");
        let named: Vec<&str> = found.json["checked"]["found"]
            .as_array()
            .expect("writes")
            .iter()
            .filter_map(|w| w["what"].as_str())
            .collect();
        assert_eq!(named.len(), 2, "the write after the resume is rightful: {named:?}");
        assert_eq!(named[0], "stage set to closedlost");
        assert!(named[1].starts_with("note "), "{named:?}");
        assert_eq!(holdfast(&scene, &["verify-halt", "--receipt", "none"]).await.exit_code(), 1);
    });
}

#[test]
fn the_drill_of_the_schedule_touches_its_own_customer_alone() {
    run(async {
        let mut scene = Scene::new().await;
        let mut input = about_to_write(&mut scene).await;
        drop(scene.press_halt(&Scope::Customer(Scene::customer(BAKKER))).await);
        let before = scene.control().await;
        let answer = halt::handle(&scene.house.halt, json!({"drill": "customer"})).await.expect("an answer");
        assert_eq!((&answer["drilled"], &answer["passed"]), (&json!(true), &json!(true)), "{answer}");
        let after = scene.control().await;
        assert_eq!((after.epoch, &after.modes), (before.epoch, &before.modes), "tools stay in their modes");
        assert_eq!(after.modes.get("append_note"), Some(&Mode::Live));
        assert_eq!(after.halted_customers, before.halted_customers, "one stays halted, no other is");
        for id in [VAN_DIJK, BAKKER] {
            let id = Scene::customer(id);
            assert_eq!(after.generation(&id), before.generation(&id));
        }
        let drill = scene.house.halt.interlock.last_drill().await.expect("read").expect("a drill");
        assert_eq!(drill.scope, Scope::Customer(Scene::customer(DRILL_CUSTOMER)));
        assert_eq!(drill.flag_check.as_deref(), Some("halted_customer"));
        assert_eq!(drill.permit.as_deref(), Some("halted_customer"));
        assert!(drill.quiet_ms.is_some() && drill.resumed_ms.is_some() && drill.fault.is_none(), "{drill:?}");
        let rows = rows_of(&scene, "drill").await;
        assert_eq!(rows.len(), 1);
        let detail = rows[0].detail.as_ref().expect("its times");
        assert_eq!(
            (&detail["receipt_id"], &detail["resumed_ms"]),
            (&json!(drill.receipt_id), &json!(drill.resumed_ms))
        );
        let receipt =
            scene.house.halt.interlock.receipt(&drill.receipt_id).await.expect("read").expect("a receipt");
        assert_eq!((receipt.source.as_str(), receipt.resumed_ms), ("drill", drill.resumed_ms));
        // A run that was under way never noticed.
        assert_eq!(scene.step_on(&mut input).await.next, Next::Continue);
        assert_eq!(scene.sent().len(), 1);
    });
}

#[test]
fn a_drill_never_resumes_a_press_that_is_not_its_own() {
    run(async {
        let (scene, door) = Scene::behind_a_door().await;
        let gate = door.hold(|asked| asked.body.contains("SET #inflight.#p = :held"));
        let deps = std::sync::Arc::clone(&scene.house.halt);
        let drill =
            crate::door::spawn(async move { halt::handle(&deps, json!({"drill": "customer"})).await });
        gate.reached().await;
        let of_drills = Scope::Customer(Scene::customer(DRILL_CUSTOMER));
        drop(scene.press_halt(&of_drills).await);
        gate.open();
        let answer = drill.await.expect("no panic").expect("an answer");
        assert_eq!((&answer["passed"], &answer["drill"]["fault"]), (&json!(false), &json!("pressed_again")));
        assert!(scene.control().await.halted_customers.contains_key(&Scene::customer(DRILL_CUSTOMER)));
        // The next drill takes it from there.
        let answer = halt::handle(&scene.house.halt, json!({"drill": "customer"})).await.expect("an answer");
        assert_eq!(answer["passed"], true, "{answer}");
        assert!(scene.control().await.halted_customers.is_empty());
    });
}

#[test]
fn a_drill_that_the_flags_do_not_confirm_is_a_fault_and_stays_halted() {
    run(async {
        let mut scene = Scene::new().await;
        scene
            .rebuild(|settings| {
                drop(settings.insert("REDIS_URL".to_owned(), "redis://127.0.0.1:1/".to_owned()))
            })
            .await;
        let answer = halt::handle(&scene.house.halt, json!({"drill": "customer"})).await.expect("an answer");
        assert_eq!(
            (&answer["passed"], &answer["drill"]["fault"]),
            (&json!(false), &json!(DrillFault::FlagsSilent))
        );
        assert!(scene.control().await.halted_customers.contains_key(&Scene::customer(DRILL_CUSTOMER)));
    });
}

#[test]
fn a_global_drill_must_be_asked_for_and_agreed_to_and_resumes_in_dry_run() {
    run(async {
        let scene = Scene::new().await;
        scene.go_live("append_note").await;
        let before = scene.control().await;
        let nobody = holdfast(&scene, &["drill", "--global"]).await;
        assert_eq!(nobody.exit_code(), 2, "{nobody:?}");
        assert_eq!(scene.control().await, before, "nothing was touched");
        let own = holdfast(&scene, &["drill"]).await;
        assert_eq!((own.exit_code(), scene.control().await.epoch), (0, before.epoch), "{own:?}");
        let all = holdfast(&scene, &["drill", "--global", "--yes"]).await;
        assert_eq!((all.exit_code(), &all.json["passed"]), (0, &json!(true)), "{all:?}");
        assert_eq!(
            (&all.json["drill"]["flag_check"], &all.json["drill"]["permit"]),
            (&json!("halted_global"), &json!("halted_global"))
        );
        let after = scene.control().await;
        assert_eq!((after.state, after.epoch), (State::Armed, before.epoch.next().next()));
        assert_eq!(after.modes.get("append_note"), Some(&Mode::DryRun));
        assert_eq!(rows_of(&scene, "drill").await.len(), 2);
        drop(scene.press_halt(&Scope::Global).await);
        let halted = scene.control().await;
        let refused = holdfast(&scene, &["drill"]).await;
        assert_eq!((refused.exit_code(), &refused.json["why"]), (1, &json!("not_running")));
        assert_eq!(scene.control().await, halted, "nothing was touched");
    });
}
