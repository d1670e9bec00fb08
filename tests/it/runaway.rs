//! Loops that run away: one event a thousand times, a hundred events of one deal, a hundred dear calls. Must
//! never judge by anything but what the model's own side and the day's row count.
use crate::scene::{Scene, run, says_nothing_more};
use serde_json::{Value, json};
use types::{PriceRow, Prices, Rates, UsdNanos};

/// A webhook holds a hundred events at most.
const BATCH: usize = 100;

/// So many different events of one kind.
fn many(name: &str, count: usize) -> Vec<Value> {
    let one = Scene::events(name).remove(0);
    let event = |i: usize| {
        let mut event = one.clone();
        event["eventId"] = json!(9_000_000_000_u64 + i as u64);
        event
    };
    (0..count).map(event).collect()
}

/// Delivered until all of it is admitted, as HubSpot does.
async fn deliver(scene: &Scene, events: &[Value]) {
    for _ in 0..20 {
        let (status, answer) = scene.deliver(events).await;
        if status == 200 {
            return;
        }
        assert_eq!(status, 503, "{answer}");
    }
    panic!("never admitted whole");
}

/// Calls that reached the model, dollars spent of the day, and what nobody may overspend.
async fn spent(scene: &Scene, what: &str) -> (usize, UsdNanos) {
    let hot = scene.house.step.hot.get().await.hot;
    let day = scene.house.step.budget.day(&hot.zone).await.expect("answered").expect("a day");
    let calls = scene.standins.anthropic.calls().len();
    let overshoot = day.spent.minus(day.cap).max(UsdNanos::ZERO);
    eprintln!("{what}: {calls} calls, {} spent of {}, overshoot {overshoot}", day.spent, day.cap);
    assert_eq!((day.pending, overshoot), (UsdNanos::ZERO, UsdNanos::ZERO));
    (calls, day.spent)
}

// INVARIANT (I23)
#[test]
fn one_event_three_thousand_times_is_one_run_and_costs_one_run() {
    run(async {
        let mut scene = Scene::new().await;
        let event = Scene::events("stage_changed_4411").remove(0);
        let mut asked = Vec::new();
        for _ in 0..3_000 / BATCH {
            // What intake does not manage in its time it refuses (503), and the flood goes on.
            let (status, answer) = scene.deliver(&vec![event.clone(); BATCH]).await;
            assert!(status == 200 || status == 503, "{status} {answer}");
            asked.extend(scene.asked_for());
        }
        asked.dedup_by_key(|start| start.name.clone());
        assert_eq!(asked.len(), 1, "the event is started under one name: {asked:?}");
        scene.standins.anthropic.script(vec![says_nothing_more()]);
        let _end = scene.execute(&asked[0]).await;
        let (calls, usd) = spent(&scene, "one event 3,000 times").await;
        assert_eq!(calls, 1);
        assert!(usd > UsdNanos::ZERO);
    });
}

#[test]
fn a_hundred_events_of_one_deal_are_twenty_runs_that_day() {
    run(async {
        let mut scene = Scene::new().await;
        scene.standins.anthropic.script(vec![says_nothing_more(); 100]);
        deliver(&scene, &many("stage_changed_4411", BATCH)).await;
        let ends = scene.drive().await;
        assert_eq!(ends.len(), BATCH, "each is admitted, none is lost");
        let mut refused = 0;
        for (run_id, _) in &ends {
            refused += usize::from(scene.run(run_id).await.reason == Some(types::Reason::RunsPerDeal));
        }
        let (calls, _) = spent(&scene, "100 events of one deal").await;
        assert_eq!((calls, refused), (20, 80));
    });
}

/// A model whose one call costs $0.18, asked for by a hundred runs of a day with $1.00.
// INVARIANT (I12, I17)
#[test]
fn a_hundred_calls_of_eighteen_cents_stop_at_a_dollar() {
    run(async {
        let mut scene = Scene::new().await;
        let hot = scene.house.step.hot.clone();
        let known = hot.get().await.hot;
        // Output is nearly all that costs: 256 tokens are $0.18. That is the least that a useful call is
        // bounded by, so five of them fit into a dollar if the last one is still let through.
        let output = 703_125;
        let tokens = i64::from(model::MAX_TOKENS_USEFUL);
        let rates = Rates { input: 1, cache_write_5m: 1, cache_write_1h: 1, cache_read: 0, output };
        let mut prices: Prices = known.prices.clone();
        prices.0.insert(scene.house.step.model_name.clone(), PriceRow { rates, long_prompt: None });
        hot.put_prices(&prices, known.prices_version()).await.expect("saved");
        let caps = types::Caps { usd_per_day: UsdNanos::from_cents(100), ..types::Caps::default() };
        hot.put_caps(&caps, known.caps_version()).await.expect("saved");
        hot.forget().await;
        let mut answer = says_nothing_more();
        answer["usage"]["output_tokens"] = json!(tokens);
        answer["usage"]["input_tokens"] = json!(1_000);
        scene.standins.anthropic.script(vec![answer; 100]);
        let mut ends = 0;
        for events in ["stage_changed_4411", "reply_4302", "reply_4290", "reply_4377", "reply_4455"] {
            deliver(&scene, &many(events, 20)).await;
            ends += scene.drive().await.len();
        }
        let (calls, usd) = spent(&scene, "100 runs of one call of $0.18 on a day of $1.00").await;
        eprintln!("  {} refused before a byte was sent", ends - calls);
        assert_eq!(ends, 100);
        assert_eq!(
            (calls, usd),
            (5, UsdNanos(5 * (tokens * output + 1_000))),
            "five times what one truly costs"
        );
        assert!(!scene.control().await.is_armed());
        assert_eq!(scene.standins.slack.messages().len(), 1, "one ping");
    });
}
