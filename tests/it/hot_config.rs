//! Hot configuration: changed without a rebuild, kept while it cannot be read, and never a default that
//! writes. Must never use the cache of the one who saved it to show that others see it.
use crate::budget_caps::with_parameters_behind_a_door;
use crate::scene::{Scene, run, says, says_nothing_more};
use config::{Clients, Freshness, HotConfig, LAST_GOOD_MS_MAX, Settings};
use ledger::RunStatus;
use serde_json::{Value, json};
use step::Next;
use types::{EntryState, Mode, Stages};

/// The configuration as another process sees it: the console's.
async fn elsewhere(scene: &Scene) -> HotConfig {
    let settings = Settings::from_map(|name| scene.variables.get(name).cloned()).expect("settings");
    let clients = Clients::new(&settings).await;
    HotConfig::new(&settings, clients.ssm(), scene.clock.clone())
}

/// The ops lead ticks or unticks a stage.
async fn tick(hot: &HotConfig, stage: &str, on: bool) {
    hot.forget().await;
    let known = hot.get().await.hot;
    let mut stages = known.stages.clone();
    for rule in stages.0.iter_mut().filter(|rule| rule.stage_id == stage) {
        rule.agent_may_move_here = on;
    }
    hot.put_stages(&stages, known.stages_version()).await.expect("saved");
}

fn moves() -> Value {
    says(&[("set_stage", json!({"deal_id": "4411", "stage": "closedlost", "because": "They wrote so."}))])
}

/// Steps a fresh run to its one `set_stage`: state, reason and configuration of its row.
async fn set_stage(
    scene: &mut Scene,
    events: &str,
    deal: &str,
) -> (EntryState, Option<String>, Option<String>) {
    let call = json!({"deal_id": deal, "stage": "closedlost", "because": "They wrote so."});
    scene.standins.anthropic.script(vec![says(&[("set_stage", call)]), says_nothing_more()]);
    let mut input = scene.begin(events).await;
    scene.step_to(&mut input, 2).await;
    let row = scene.calls(&input.run_id).await.pop().expect("a row");
    assert_eq!(scene.finish(&input).await, Next::Done);
    (row.decision, row.reason, row.config_version)
}

#[test]
fn a_stage_that_is_unticked_is_refused_within_five_seconds_and_allowed_again_when_ticked() {
    run(async {
        let mut scene = Scene::new().await;
        let console = elsewhere(&scene).await;
        let (state, _, before) = set_stage(&mut scene, "reply_4411", "4411").await;
        assert_eq!(state, EntryState::WouldHave);
        tick(&console, "closedlost", false).await;
        scene.clock.advance_ms(4_999);
        let (state, ..) = set_stage(&mut scene, "reply_4302", "4302").await;
        assert_eq!(state, EntryState::WouldHave, "the list of at most five seconds ago");
        scene.clock.advance_ms(1);
        let (state, reason, after) = set_stage(&mut scene, "reply_4290", "4290").await;
        assert_eq!((state, reason.as_deref()), (EntryState::Refused, Some("stage_not_allowed")));
        assert_ne!(before, after, "the row names the version that it was decided under");
        tick(&console, "closedlost", true).await;
        scene.clock.advance_ms(5_000);
        let (state, ..) = set_stage(&mut scene, "reply_4377", "4377").await;
        assert_eq!(state, EntryState::WouldHave);
    });
}

/// A run that has begun does not keep its old list either.
#[test]
fn a_stage_that_is_unticked_stops_a_live_move_of_a_run_under_way() {
    run(async {
        let mut scene = Scene::new().await;
        scene.go_live("set_stage").await;
        let console = elsewhere(&scene).await;
        let read = says(&[("get_deal", json!({"deal_id": "4411"}))]);
        scene.standins.anthropic.script(vec![read, moves(), says_nothing_more()]);
        let mut input = scene.begin("reply_4411").await;
        scene.step_to(&mut input, 2).await;
        tick(&console, "closedlost", false).await;
        scene.clock.advance_ms(5_000);
        assert_eq!(scene.finish(&input).await, Next::Done);
        let row = scene.calls(&input.run_id).await.pop().expect("a row");
        assert_eq!((row.decision, row.reason.as_deref()), (EntryState::Refused, Some("stage_not_allowed")));
        assert_eq!(scene.sent(), []);
    });
}

#[test]
fn a_malformed_list_leaves_the_last_good_one_in_force_for_fifteen_minutes() {
    for bad in ["", "null", "[", "{\"stages\":[]}", "[{\"stage_id\":\"*\"}]", "[1]"] {
        run(async {
            let mut scene = Scene::new().await;
            let good = scene.house.step.hot.get().await;
            assert_eq!(good.freshness, Freshness::Fresh);
            let settings = Settings::from_map(|name| scene.variables.get(name).cloned()).expect("settings");
            let saved = Clients::new(&settings)
                .await
                .ssm()
                .put_parameter()
                .name(format!("{}stages", settings.parameter_path()))
                .value(if bad.is_empty() { " " } else { bad })
                .overwrite(true)
                .send()
                .await;
            saved.expect("saved by hand");
            let since_ms = scene.clock.now_ms();
            scene.clock.advance_ms(LAST_GOOD_MS_MAX - 60_000);
            let kept = scene.house.step.hot.get().await;
            assert!(matches!(kept.freshness, Freshness::LastGood { .. }), "{bad:?}: {:?}", kept.freshness);
            assert_eq!(kept.hot.stages, good.hot.stages, "{bad:?}");
            let (state, ..) = set_stage(&mut scene, "reply_4411", "4411").await;
            assert_eq!(state, EntryState::WouldHave, "{bad:?}: it is still used");
            scene.clock.advance_ms(since_ms + LAST_GOOD_MS_MAX - scene.clock.now_ms());
            assert_eq!(scene.house.step.hot.get().await.freshness, Freshness::Unusable, "{bad:?}");
            let calls = scene.standins.anthropic.calls().len();
            let mut late = scene.begin("reply_4302").await;
            scene.step_to(&mut late, 1).await;
            assert_eq!(scene.step_on(&mut late).await.next, Next::Wait, "{bad:?}");
            assert_eq!(scene.standins.anthropic.calls().len(), calls, "{bad:?}: no model is asked");
            // Repaired, it counts at the next look.
            tick_whole(&elsewhere(&scene).await, &good.hot.stages).await;
            scene.clock.advance_ms(15_000);
            assert_eq!(scene.finish(&late).await, Next::Done, "{bad:?}");
        });
    }
}

/// Saves the list over whatever is there, as a person does in the parameter store.
async fn tick_whole(hot: &HotConfig, stages: &Stages) {
    for version in 1..10 {
        if matches!(hot.put_stages(stages, version).await.expect("an answer"), config::Put::Saved(_)) {
            return;
        }
    }
    panic!("the list could not be repaired");
}

#[test]
fn a_silent_parameter_store_is_bridged_for_fifteen_minutes() {
    run(async {
        let (mut scene, parameters) = with_parameters_behind_a_door().await;
        scene.house.step.hot.get().await;
        parameters.shut();
        scene.clock.advance_ms(5 * 60_000);
        let (state, ..) = set_stage(&mut scene, "reply_4411", "4411").await;
        assert_eq!(state, EntryState::WouldHave);
        scene.clock.advance_ms(10 * 60_000);
        let mut late = scene.begin("reply_4302").await;
        scene.step_to(&mut late, 1).await;
        assert_eq!(scene.step_on(&mut late).await.next, Next::Wait);
        parameters.open();
        scene.clock.advance_ms(15_000);
        assert_eq!(scene.finish(&late).await, Next::Done);
    });
}

#[test]
fn nothing_configured_means_no_stage_and_every_tool_dry() {
    run(async {
        let mut scene = Scene::new().await;
        // Functions that look where nobody has saved anything.
        let empty = elsewhere_empty(&scene).await;
        let step = std::sync::Arc::get_mut(&mut scene.house.step).expect("nobody else holds it");
        step.hot = std::sync::Arc::new(empty);
        let loaded = scene.house.step.hot.get().await;
        assert_eq!((loaded.freshness, loaded.hot.stages.0.len()), (Freshness::Fresh, 0));
        let note = json!({"deal_id": "4411", "text": "A note.", "because": "So."});
        let task = json!({"deal_id": "4411", "due_date": "2026-12-01", "subject": "Call.", "because": "So."});
        scene.standins.anthropic.script(vec![
            moves(),
            says(&[("append_note", note)]),
            says(&[("schedule_follow_up", task)]),
            says_nothing_more(),
        ]);
        let input = scene.begin("reply_4411").await;
        assert_eq!(scene.finish(&input).await, Next::Done);
        let rows = scene.calls(&input.run_id).await;
        let seen: Vec<_> =
            rows.iter().map(|row| (row.verb.as_str(), row.decision, row.reason.as_deref())).collect();
        assert_eq!(
            seen,
            [
                ("set_stage", EntryState::Refused, Some("stage_not_allowed")),
                ("append_note", EntryState::WouldHave, Some("dry_run")),
                ("schedule_follow_up", EntryState::WouldHave, Some("dry_run")),
            ]
        );
        assert!(rows[1..].iter().all(|row| row.mode == Some(Mode::DryRun)));
        assert_eq!(scene.run(&input.run_id).await.status, RunStatus::Done);
        assert_eq!(scene.sent(), []);
    });
}

/// Configuration below a path where nothing was ever saved.
async fn elsewhere_empty(scene: &Scene) -> HotConfig {
    let other = format!("{}empty-", scene.prefix);
    let settings = Settings::from_map(|name| match name {
        "TABLE_PREFIX" => Some(other.clone()),
        name => scene.variables.get(name).cloned(),
    });
    let settings = settings.expect("settings");
    let clients = Clients::new(&settings).await;
    HotConfig::new(&settings, clients.ssm(), scene.clock.clone())
}
