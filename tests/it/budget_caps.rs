//! The three caps: what trips them, what stops then, and who is told. Must never let a call be made that
//! nobody paid for.
use crate::door::{Door, Fate};
use crate::scene::{Scene, run, says, says_nothing_more};
use config::{Freshness, LAST_GOOD_MS_MAX};
use ledger::RunStatus;
use serde_json::{Value, json};
use standins::{Fault, Matcher};
use step::Next;
use types::{Caps, EntryState, Reason, Scope, UsdNanos};

const VAN_DIJK: &str = "1234";

async fn cap(scene: &Scene, change: impl FnOnce(&mut Caps)) {
    let hot = &scene.house.step.hot;
    let mut caps = Caps::default();
    change(&mut caps);
    hot.put_caps(&caps, hot.get().await.hot.caps_version()).await.expect("caps");
    hot.forget().await;
}

fn reads(calls: usize) -> Value {
    let call = ("get_deal", json!({"deal_id": "4411"}));
    says(&vec![call; calls])
}

/// The answer as if it had used so many tokens of input.
fn using(mut answer: Value, tokens: u64) -> Value {
    answer["usage"]["input_tokens"] = json!(tokens);
    answer
}

fn only_message(scene: &Scene) -> String {
    let messages = scene.standins.slack.messages();
    assert_eq!(messages.len(), 1, "one ping: {messages:?}");
    messages[0].text.clone()
}

/// Halted in both stores: the customer, or everything.
async fn halted_in_both(scene: &Scene, scope: &Scope) {
    let control = scene.control().await;
    let flag = match scope {
        Scope::Global => {
            assert!(!control.is_armed());
            "agent:halted:global".to_owned()
        }
        Scope::Customer(id) => {
            assert!(control.is_armed() && control.halted_customers.contains_key(id));
            format!("agent:halted:customer:{id}")
        }
    };
    assert!(scene.flags::<bool>(&["EXISTS", &flag]).await, "{flag}");
}

#[test]
fn tokens_of_a_run_that_are_used_up_halt_its_customer() {
    run(async {
        let mut scene = Scene::new().await;
        cap(&scene, |caps| caps.tokens_per_run = 16_000).await;
        scene.standins.anthropic.script(vec![using(reads(1), 9_000)]);
        let mut input = scene.begin("reply_4411").await;
        scene.step_to(&mut input, 2).await;
        assert_eq!(scene.finish(&input).await, Next::Halted);
        let calls = scene.standins.anthropic.calls().len();
        assert_eq!(calls, 1, "the call that does not fit is not made");
        let ended = scene.run(&input.run_id).await;
        assert_eq!((ended.status, ended.reason), (RunStatus::Halted, Some(Reason::TokensPerRun)));
        halted_in_both(&scene, &Scope::Customer(Scene::customer(VAN_DIJK))).await;
        let told = only_message(&scene);
        for part in [
            "tokens per run",
            "16000",
            "get_deal deal 4411 (Van Dijk Logistics)",
            "1234",
            input.run_id.as_str(),
        ] {
            assert!(told.contains(part), "{told:?} lacks {part:?}");
        }
        // Her next event is held, everybody else goes on.
        cap(&scene, |_| ()).await;
        let next = scene.begin("stage_changed_4411").await;
        assert_eq!(scene.finish(&next).await, Next::Halted);
        assert_eq!(scene.standins.anthropic.calls().len(), calls);
        let other = scene.begin("reply_4302").await;
        assert_eq!(scene.finish(&other).await, Next::Done);
        assert_eq!(scene.standins.slack.messages().len(), 1);
    });
}

#[test]
fn a_call_that_cost_more_than_its_bound_is_recorded_and_stops_the_agent() {
    run(async {
        let mut scene = Scene::new().await;
        scene.go_live("append_note").await;
        let note = json!({"deal_id": "4411", "text": "A note.", "because": "So."});
        scene.standins.anthropic.script(vec![using(says(&[("append_note", note)]), 90_000)]);
        let input = scene.begin("reply_4411").await;
        assert_eq!(scene.finish(&input).await, Next::Halted);
        assert_eq!(scene.sent(), [], "its answer is not acted upon");
        let left = scene.house.step.budget.left(&input.run_id, "UTC").await.expect("a row").expect("opened");
        assert_eq!(left.tokens, 40_000 - 90_060, "what it really used");
        assert_eq!(scene.standins.slack.messages().len(), 1);
        let zone = scene.house.step.hot.get().await.hot.zone.clone();
        let day = scene.house.step.budget.day(&zone).await.expect("a row").expect("open");
        let hot = scene.house.step.hot.get().await.hot;
        let row = &hot.prices.0[&scene.house.step.model_name];
        let true_cost = UsdNanos(90_000 * row.rates.input + 60 * row.rates.output);
        assert_eq!((day.spent, day.pending), (true_cost, UsdNanos::ZERO));
    });
}

#[test]
fn the_thirty_first_tool_call_is_refused_and_the_rest_is_one_row() {
    run(async {
        let mut scene = Scene::new().await;
        scene.standins.anthropic.script(vec![reads(40)]);
        let input = scene.begin("reply_4411").await;
        assert_eq!(scene.finish(&input).await, Next::Halted);
        let entries = scene.entries(&input.run_id).await;
        let rows = scene.calls(&input.run_id).await;
        assert_eq!(rows.iter().filter(|row| row.decision == EntryState::Applied).count(), 30);
        let refused: Vec<_> = rows.iter().filter(|row| row.decision == EntryState::Refused).collect();
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].reason.as_deref(), Some("tool_calls_per_run"));
        let rest: Vec<_> = entries.iter().filter(|entry| entry.verb == "tool_calls").collect();
        assert_eq!(rest.len(), 1, "the calls behind it have one row together");
        assert_eq!(rest[0].detail.as_ref().and_then(|detail| detail["calls"].as_u64()), Some(9));
        halted_in_both(&scene, &Scope::Customer(Scene::customer(VAN_DIJK))).await;
        let told = only_message(&scene);
        for part in ["tool calls per run", "30 of 30", "Last call: get_deal deal 4411"] {
            assert!(told.contains(part), "{told:?} lacks {part:?}");
        }
    });
}

#[test]
fn thirty_calls_one_by_one_are_made_and_no_more() {
    run(async {
        let mut scene = Scene::new().await;
        cap(&scene, |caps| caps.tokens_per_run = 1_000_000).await;
        scene.standins.anthropic.script((0..33).map(|_| reads(1)).collect());
        let input = scene.begin("reply_4411").await;
        assert_eq!(scene.finish(&input).await, Next::Halted);
        assert_eq!(
            scene.standins.anthropic.calls().len(),
            31,
            "the answer that asks for one more is the last"
        );
        let rows = scene.calls(&input.run_id).await;
        assert_eq!(
            (rows.len(), rows.iter().filter(|row| row.decision == EntryState::Applied).count()),
            (31, 30)
        );
        assert_eq!(scene.run(&input.run_id).await.reason, Some(Reason::ToolCallsPerRun));
        assert!(only_message(&scene).contains("30 of 30"));
    });
}

/// More calls than one transaction of the store holds rows.
#[test]
fn an_answer_of_sixty_calls_is_worked_off_whole() {
    run(async {
        let mut scene = Scene::new().await;
        cap(&scene, |caps| {
            caps.tool_calls_per_run = 100;
            caps.tokens_per_run = 1_000_000;
        })
        .await;
        scene.standins.anthropic.script(vec![reads(60), says_nothing_more()]);
        let input = scene.begin("reply_4411").await;
        assert_eq!(scene.finish(&input).await, Next::Done);
        let numbers: Vec<u64> =
            scene.entries(&input.run_id).await.iter().map(|entry| entry.event_no).collect();
        assert_eq!(numbers, (1..=61).collect::<Vec<_>>());
        assert_eq!(scene.calls(&input.run_id).await.len(), 60);
    });
}

#[test]
fn dollars_of_the_day_that_are_used_up_halt_everything_and_name_the_last_call() {
    run(async {
        let mut scene = Scene::new().await;
        scene.standins.anthropic.script(vec![reads(1)]);
        let mut input = scene.begin("reply_4411").await;
        scene.step_to(&mut input, 2).await;
        // The ops lead lowers the cap to what is spent and a millionth: the next reservation does not fit.
        let zone = scene.house.step.hot.get().await.hot.zone.clone();
        let spent = scene.house.step.budget.day(&zone).await.expect("a row").expect("open").spent;
        assert!(spent > UsdNanos::ZERO);
        cap(&scene, |caps| caps.usd_per_day = spent.plus(UsdNanos(1_000))).await;
        assert_eq!(scene.finish(&input).await, Next::Halted);
        assert_eq!(scene.standins.anthropic.calls().len(), 1);
        halted_in_both(&scene, &Scope::Global).await;
        let told = only_message(&scene);
        for part in ["Halted: dollars per day", "Last call: get_deal deal 4411 (Van Dijk Logistics)"] {
            assert!(told.contains(part), "{told:?} lacks {part:?}");
        }
        let control = scene.control().await;
        assert_eq!(control.halted_by.expect("by whom").reason, "usd_per_day");
        let other = scene.begin("reply_4302").await;
        assert_eq!(scene.finish(&other).await, Next::Halted);
        assert_eq!(scene.standins.anthropic.calls().len(), 1, "nobody asks the model");
        // Midnight does not undo it.
        scene.clock.advance_ms(26 * 60 * 60 * 1_000);
        scene.sweep_effects().await;
        scene.settle_audit().await;
        let next_day = scene.begin("reply_4290").await;
        assert_eq!(scene.finish(&next_day).await, Next::Halted);
        assert!(!scene.control().await.is_armed());
        assert_eq!(scene.standins.slack.messages().len(), 1);
    });
}

/// Runs of several customers meet the same used-up day at once.
#[test]
fn a_cap_that_several_runs_trip_at_once_is_told_once() {
    run(async {
        let mut scene = Scene::new().await;
        cap(&scene, |caps| caps.usd_per_day = UsdNanos(1_000)).await;
        let mut inputs = Vec::new();
        for events in ["reply_4411", "reply_4302", "reply_4290", "reply_4377"] {
            let mut input = scene.begin(events).await;
            scene.step_to(&mut input, 1).await;
            inputs.push(input);
        }
        let steps: Vec<_> = inputs.iter().map(|input| scene.spawn_step(input)).collect();
        for step in steps {
            step.await.expect("no panic").expect("an answer");
        }
        scene.sweep_effects().await;
        halted_in_both(&scene, &Scope::Global).await;
        assert!(only_message(&scene).contains("dollars per day"));
        assert_eq!(scene.standins.anthropic.calls().len(), 0);
    });
}

#[test]
fn without_slack_the_halt_stands_and_the_ping_comes_once_when_slack_is_back() {
    for fault in
        [Fault::Status(500), Fault::Reset, Fault::Status429 { policy: String::new() }, Fault::Html502]
    {
        run(async {
            let mut scene = Scene::new().await;
            cap(&scene, |caps| caps.usd_per_day = UsdNanos(1_000)).await;
            scene.standins.slack.always(Matcher::any(), fault.clone());
            let input = scene.begin("reply_4411").await;
            assert_eq!(scene.finish(&input).await, Next::Halted, "{fault:?}");
            halted_in_both(&scene, &Scope::Global).await;
            scene.clock.advance_ms(60_000);
            scene.sweep_effects().await;
            assert!(scene.standins.slack.messages().is_empty(), "{fault:?}");
            scene.standins.slack.clear_faults();
            for _ in 0..3 {
                scene.clock.advance_ms(60_000);
                scene.sweep_effects().await;
            }
            assert!(only_message(&scene).contains("dollars per day"), "{fault:?}");
        });
    }
}

#[test]
fn a_model_without_a_price_is_never_asked() {
    run(async {
        let mut scene = Scene::new().await;
        let hot = scene.house.step.hot.clone();
        let known = hot.get().await.hot;
        let mut prices = known.prices.clone();
        prices.0.remove(&scene.house.step.model_name).expect("it had one");
        hot.put_prices(&prices, known.prices_version()).await.expect("saved");
        never_asked(&mut scene).await;
    });
}

#[test]
fn a_model_that_nobody_knows_is_never_asked() {
    run(async {
        let tomorrow = "claude-of-tomorrow".to_owned();
        let mut scene = Scene::with(|settings| drop(settings.insert("MODEL".to_owned(), tomorrow))).await;
        never_asked(&mut scene).await;
    });
}

async fn never_asked(scene: &mut Scene) {
    let input = scene.begin("reply_4411").await;
    assert_eq!(scene.finish(&input).await, Next::Done);
    let ended = scene.run(&input.run_id).await;
    assert_eq!((ended.status, ended.reason), (RunStatus::Failed, Some(Reason::ModelWithoutPrice)));
    assert_eq!(scene.standins.anthropic.calls().len(), 0);
    assert!(scene.rows().await.iter().any(|row| row.reason.as_deref() == Some("model_without_price")));
}

/// A product whose parameters lie behind a door.
pub async fn with_parameters_behind_a_door() -> (Scene, Door) {
    let parameters = Door::to(Scene::ssm_endpoint()).await;
    let url = parameters.url.clone();
    let scene = Scene::with(|settings| drop(settings.insert("AWS_ENDPOINT_URL_SSM".to_owned(), url))).await;
    (scene, parameters)
}

#[test]
fn without_usable_configuration_no_model_is_asked_and_the_run_waits() {
    run(async {
        let (mut scene, parameters) = with_parameters_behind_a_door().await;
        let mut input = scene.begin("reply_4411").await;
        scene.step_to(&mut input, 1).await;
        parameters.shut();
        scene.clock.advance_ms(LAST_GOOD_MS_MAX);
        assert_eq!(scene.house.step.hot.get().await.freshness, Freshness::Unusable);
        assert_eq!(scene.step_on(&mut input).await.next, Next::Wait);
        assert_eq!(scene.standins.anthropic.calls().len(), 0);
        parameters.open();
        scene.clock.advance_ms(15_000);
        assert_eq!(scene.finish(&input).await, Next::Done);
    });
}

/// The answer was stored while the configuration was good; by the time it is acted on, it is not.
#[test]
fn without_usable_configuration_a_live_tool_is_dry() {
    run(async {
        let (mut scene, tables) = Scene::behind_a_door().await;
        let parameters = Door::to(Scene::ssm_endpoint()).await;
        let url = parameters.url.clone();
        scene.rebuild(|settings| drop(settings.insert("AWS_ENDPOINT_URL_SSM".to_owned(), url))).await;
        scene.go_live("append_note").await;
        let note = json!({"deal_id": "4411", "text": "A note.", "because": "So."});
        scene.standins.anthropic.script(vec![says(&[("append_note", note)]), says_nothing_more()]);
        let mut input = scene.begin("reply_4411").await;
        scene.step_to(&mut input, 1).await;
        let mut decided = false;
        tables.rule(move |asked| {
            let deciding = asked.body.contains("decision#");
            decided |= deciding;
            if decided && !deciding && asked.is_write() { Fate::Lose } else { Fate::Pass }
        });
        assert!(scene.step(&input).await.is_err(), "it breaks off after its decision");
        tables.open();
        parameters.shut();
        scene.clock.advance_ms(LAST_GOOD_MS_MAX);
        assert_eq!(scene.step_on(&mut input).await.next, Next::Continue);
        let row = scene.calls(&input.run_id).await.pop().expect("a row");
        assert_eq!((row.decision, row.reason.as_deref()), (EntryState::WouldHave, Some("config_unusable")));
        assert_eq!(scene.sent(), []);
    });
}
