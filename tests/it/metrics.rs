//! What the functions count, over the whole product, and what the template looks at. Must never look at a
//! count that nobody makes.
use crate::scene::{Scene, run, says, says_nothing_more};
use crate::template::{Made, expanded, list, object};
use config::metrics::{Metric, NAMESPACE, TARGET};
use serde_json::{Value, json};
use standins::{Fault, Matcher};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// Keeps the counts of this thread.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<Vec<(String, u64)>>>);

#[derive(Default)]
struct Seen(String, u64);

impl Visit for Seen {
    fn record_u64(&mut self, _: &Field, value: u64) {
        self.1 = value;
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "metric" {
            value.clone_into(&mut self.0);
        }
    }
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl<S: tracing::Subscriber> Layer<S> for Counts {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == TARGET {
            let mut seen = Seen::default();
            event.record(&mut seen);
            self.0.lock().unwrap().push((seen.0, seen.1));
        }
    }
}

impl Counts {
    fn sum(&self, metric: Metric) -> u64 {
        let counts = self.0.lock().unwrap();
        counts.iter().filter(|(name, _)| name == metric.name()).map(|(_, value)| value).sum()
    }

    fn times(&self, metric: Metric) -> usize {
        self.0.lock().unwrap().iter().filter(|(name, _)| name == metric.name()).count()
    }
}

/// A story in which each count is made, and what is counted is what happened.
#[test]
fn each_count_is_made_when_what_it_counts_happens() {
    let counts = Counts::default();
    let subscriber = tracing_subscriber::registry().with(counts.clone());
    let guard = tracing::subscriber::set_default(subscriber);
    run(async {
        let mut scene = Scene::new().await;
        let (status, _) = scene.post("/hubspot", &[], b"[]").await;
        assert_eq!((status, counts.sum(Metric::WebhooksRefused)), (401, 1));

        scene.standins.anthropic.script(vec![says(&[("delete_note", json!({}))]), says_nothing_more()]);
        let input = scene.begin("reply_4411").await;
        scene.finish(&input).await;
        assert!(counts.sum(Metric::Steps) >= 3, "step 0, a call, the end");
        assert_eq!(counts.sum(Metric::ToolCallsRefused), 1);

        scene.clock.advance_ms(61_000);
        audit::handle(&scene.house.audit, json!({"sweep": "outbox"})).await.expect("a sweep");
        let lag = counts.sum(Metric::OutboxLagMs);
        assert!(lag >= 61_000, "{lag}");
        audit::handle(&scene.house.audit, json!({"sweep": "outbox"})).await.expect("a sweep");
        assert_eq!(counts.times(Metric::OutboxLagMs), 2, "an empty outbox is counted too: 0");
        assert_eq!(counts.sum(Metric::OutboxLagMs), lag);
        assert_eq!((counts.times(Metric::OutboxStuck), counts.sum(Metric::OutboxStuck)), (2, 0));

        halt::handle(&scene.house.halt, json!({"drill": "customer"})).await.expect("a drill");
        assert_eq!((counts.sum(Metric::DrillRuns), counts.sum(Metric::DrillFaults)), (1, 0));
        let halted = halt::handle(&scene.house.halt, json!({"op": "halt", "scope": "global"})).await;
        assert_eq!(halted.expect("an answer")["latched"], true);
        assert_eq!(counts.sum(Metric::Halts), 1, "a drill is no press");
        let drilled = halt::handle(&scene.house.halt, json!({"drill": "customer"})).await.expect("an answer");
        assert_eq!((&drilled["drilled"], counts.sum(Metric::DrillRuns)), (&json!(false), 2));
    });
    drop(guard);
}

#[test]
fn a_switch_that_does_not_answer_and_a_cap_that_trips_are_counted() {
    let counts = Counts::default();
    let subscriber = tracing_subscriber::registry().with(counts.clone());
    let guard = tracing::subscriber::set_default(subscriber);
    run(async {
        let mut scene = Scene::new().await;
        let mut input = scene.begin("reply_4411").await;
        scene.flags::<()>(&["DEL", "agent:armed"]).await;
        scene.step_on(&mut input).await;
        assert_eq!((counts.sum(Metric::SwitchesUnreadable), counts.sum(Metric::Trips)), (1, 0));

        let mut scene = Scene::new().await;
        scene.standins.hubspot.always(Matcher::any().method("GET"), Fault::Status(503));
        let mut input = scene.begin("reply_4411").await;
        assert_eq!(scene.step_on(&mut input).await.next, step::Next::Wait);
        assert_eq!(counts.sum(Metric::SwitchesUnreadable), 1, "a CRM that is away is no switch");

        let mut scene = Scene::new().await;
        let caps = types::Caps { tokens_per_run: 10, ..types::Caps::default() };
        let version = scene.house.console.hot.get().await.hot.caps_version();
        scene.house.console.hot.put_caps(&caps, version).await.expect("saved");
        scene.clock.advance_ms(6_000);
        let input = scene.begin("reply_4411").await;
        scene.finish(&input).await;
        assert_eq!(counts.sum(Metric::Trips), 1);
    });
    drop(guard);
}

/// Each function is named by what counts in it, and by nothing else.
#[test]
fn each_count_is_made_by_the_function_it_is_named_for() {
    for metric in Metric::ALL {
        let mut makers = BTreeSet::new();
        for (path, text) in crate::tree::ending(".rs") {
            if path.starts_with("functions/") && text.contains(&format!("Metric::{}", metric.name())) {
                makers.insert(path.split('/').nth(1).unwrap_or_default().to_owned());
            }
        }
        assert_eq!(makers, BTreeSet::from([metric.function().to_owned()]), "{}", metric.name());
    }
}

/// What AWS itself counts, as far as this template looks at it, each with its dimension.
const OF_AWS: [(&str, &str, &[&str]); 3] = [
    (
        "AWS/Lambda",
        "FunctionName",
        &["Invocations", "Errors", "Throttles", "Duration", "IteratorAge", "Url5xxCount"],
    ),
    (
        "AWS/States",
        "StateMachineArn",
        &["ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed", "ExecutionThrottled"],
    ),
    ("AWS/ElastiCache", "CacheClusterId", &["DatabaseMemoryUsagePercentage", "ReplicationLag"]),
];

/// Metrics that are looked at and that nobody makes.
pub fn not_counted(made: &Made) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut look = |place: &str, namespace: &str, metric: &str, dimension: (&str, &str)| {
        let ours = Metric::ALL.iter().find(|known| namespace == NAMESPACE && known.name() == metric);
        let ours = ours
            .is_some_and(|known| dimension == ("FunctionName", &format!("holdfast-{}", known.function())));
        let aws = OF_AWS
            .iter()
            .any(|(space, by, known)| *space == namespace && *by == dimension.0 && known.contains(&metric));
        if !ours && !aws {
            wrong.push(format!("{place}: nobody counts {namespace} {metric} by {dimension:?}"));
        }
    };
    for (name, alarm) in made.of_type("AWS::CloudWatch::Alarm") {
        let text = |field: &str| alarm[field].as_str().unwrap_or_default();
        let [dimension] = list(&alarm["Dimensions"])[..] else { panic!("{name}: one dimension") };
        let dimension = (dimension["Name"].as_str().unwrap(), dimension["Value"].as_str().unwrap());
        look(name, text("Namespace"), text("MetricName"), dimension);
    }
    for (name, board) in made.of_type("AWS::CloudWatch::Dashboard") {
        let body: Value =
            serde_json::from_str(board["DashboardBody"].as_str().expect("text")).expect("a board is JSON");
        for widget in list(&body["widgets"]) {
            for metric in list(&widget["properties"]["metrics"]) {
                let text = |at: usize| metric[at].as_str().unwrap_or_default();
                look(name, text(0), text(1), (text(2), text(3)));
            }
        }
    }
    wrong
}

#[test]
fn every_alarm_and_every_picture_looks_at_something_that_is_counted() {
    let name = "metrics::every_alarm_and_every_picture_looks_at_something_that_is_counted";
    let Some(template) = expanded(name) else { return };
    let made = Made::of(&template, &[]);
    assert_eq!(not_counted(&made), Vec::<String>::new());
    let looked_at: BTreeSet<&str> = made
        .of_type("AWS::CloudWatch::Alarm")
        .filter_map(|(_, alarm)| alarm["MetricName"].as_str())
        .collect();
    let board = made.properties("Overview")["DashboardBody"].as_str().expect("a board");
    for metric in Metric::ALL {
        assert!(
            looked_at.contains(metric.name()) || board.contains(metric.name()),
            "nobody looks at {}",
            metric.name()
        );
    }
    // What is missing is as bad as what is wrong, for these.
    for alarm in ["DrillMissing", "HaltQuiet", "StepQuiet", "OutboxOld"] {
        assert_eq!(made.properties(alarm)["TreatMissingData"], "breaching", "{alarm}");
    }
    let quiet: BTreeMap<_, _> = object(&template["Resources"])
        .into_iter()
        .filter(|(_, one)| one["Type"] == "AWS::CloudWatch::Alarm")
        .map(|(name, one)| (name.as_str(), one["Properties"]["ActionsEnabled"].clone()))
        .collect();
    assert!(
        quiet.values().all(|enabled| *enabled == json!({"Fn::If": ["IsSetUp", true, false]})),
        "{quiet:?}"
    );
}
