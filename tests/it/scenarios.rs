//! One file, one story: what happens, and what must be in the log, at the CRM and in Slack afterwards. Must
//! never pass a story whose file says less than it expects.
use crate::scene::{Scene, repository, run};
use serde::Deserialize;
use serde_json::Value;
use standins::{Fault, Matcher};
use types::{EntryState, Mode, Reason, RunId, Scope};

/// A story.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Story {
    /// One sentence.
    story: String,
    /// The webhook file, without its ending.
    events: String,
    /// How often the batch is delivered.
    #[serde(default = "once")]
    deliveries: usize,
    /// Tools that are live before the events arrive.
    #[serde(default)]
    live: Vec<String>,
    /// Customers that are halted before the events arrive.
    #[serde(default)]
    halted: Vec<String>,
    /// Caps, where not the product's own.
    caps: Option<types::Caps>,
    /// Stages that the ops lead took off the list.
    #[serde(default)]
    stages_off: Vec<String>,
    /// What the model answers, verbatim, before its own wits take over.
    #[serde(default)]
    model: Vec<Value>,
    /// Faults of the CRM, each for the next matching request.
    #[serde(default)]
    crm_faults: Vec<CrmFault>,
    /// What must be true afterwards.
    expect: Expect,
}

fn once() -> usize {
    1
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CrmFault {
    method: String,
    path: String,
    status: u16,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    /// Runs that were started.
    runs: usize,
    /// Every tool call's row, in order, over all runs in the order of the events.
    calls: Vec<Call>,
    /// How each run ended.
    ends: Vec<(String, Option<Reason>)>,
    /// Non-GET requests that changed a record, as `deals/4411` or `notes`.
    #[serde(default)]
    writes: Vec<String>,
    /// Texts that the Slack messages hold, in order.
    #[serde(default)]
    slack: Vec<String>,
    /// Is everything halted afterwards?
    #[serde(default)]
    halted_global: bool,
    /// Customers that are halted afterwards.
    #[serde(default)]
    halted_customers: Vec<String>,
    /// Writes whose outcome is unknown until a person looked.
    #[serde(default)]
    unknown_permits: usize,
    /// Calls that reached the model.
    model_calls: Option<usize>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Call {
    verb: String,
    state: EntryState,
    #[serde(default)]
    reason: Option<Reason>,
    #[serde(default)]
    mode: Option<Mode>,
    /// `deal:4411`.
    target: String,
    /// The value that `after` holds under `stage`, `note`, ... (its first text).
    #[serde(default)]
    after: Option<String>,
}

fn check(file: &str) {
    let path = repository().join(format!("tests/scenarios/{file}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let story: Story =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    run(tell(&story));
}

async fn tell(story: &Story) {
    let mut scene = Scene::new().await;
    prepare(&scene, story).await;
    let events = Scene::events(&story.events);
    for _ in 0..story.deliveries {
        let (status, answer) = scene.deliver(&events).await;
        assert_eq!(status, 200, "{}: {answer}", story.story);
    }
    let started = scene.drive().await;
    let mut runs: Vec<RunId> = Vec::new();
    for (run_id, _) in &started {
        if !runs.contains(run_id) {
            runs.push(run_id.clone());
        }
    }
    let order: Vec<RunId> = events.iter().map(Scene::run_of).collect();
    runs.sort_by_key(|run_id| order.iter().position(|known| known == run_id));
    let expect = &story.expect;
    assert_eq!(runs.len(), expect.runs, "{}: {runs:?}", story.story);
    let (mut calls, mut ends) = (Vec::new(), Vec::new());
    for run_id in &runs {
        calls.extend(scene.calls(run_id).await.iter().map(call_of));
        let run = scene.house.step.ledger.run(run_id).await.expect("the run");
        ends.push((run.status.code().to_owned(), run.reason));
    }
    assert_eq!(calls, expect.calls, "{}", story.story);
    assert_eq!(ends, expect.ends, "{}", story.story);
    look_outside(&scene, story).await;
}

async fn prepare(scene: &Scene, story: &Story) {
    for tool in &story.live {
        scene.go_live(tool).await;
    }
    for customer in &story.halted {
        scene.press_halt(&Scope::Customer(Scene::customer(customer))).await;
    }
    let hot = &scene.house.step.hot;
    if let Some(caps) = &story.caps {
        let version = hot.get().await.hot.caps_version();
        hot.put_caps(caps, version).await.expect("caps");
    }
    if !story.stages_off.is_empty() {
        let known = hot.get().await.hot;
        let mut stages = known.stages.clone();
        for rule in &mut stages.0 {
            rule.agent_may_move_here &= !story.stages_off.contains(&rule.stage_id);
        }
        hot.put_stages(&stages, known.stages_version()).await.expect("stages");
    }
    hot.forget().await;
    scene.standins.anthropic.script(story.model.clone());
    for fault in &story.crm_faults {
        let matcher = Matcher::any().method(&fault.method).path(&fault.path);
        let fault = match fault.status {
            429 => Fault::Status429 { policy: "TEN_SECONDLY_ROLLING".to_owned() },
            status => Fault::Status(status),
        };
        scene.standins.hubspot.next(matcher, fault);
    }
}

/// What the CRM, Slack and the switches saw.
async fn look_outside(scene: &Scene, story: &Story) {
    let expect = &story.expect;
    let writes: Vec<String> = scene
        .standins
        .hubspot
        .writes()
        .iter()
        .map(|seen| seen.target.clone().unwrap_or_default())
        .map(|target| match target.split_once('/') {
            Some((kind @ ("notes" | "tasks"), _)) => kind.to_owned(),
            _ => target,
        })
        .collect();
    assert_eq!(writes, expect.writes, "{}: writes at the CRM", story.story);
    assert!(scene.standins.hubspot.forbidden_calls().is_empty(), "{}", story.story);
    let messages = scene.standins.slack.messages();
    assert_eq!(messages.len(), expect.slack.len(), "{}: {messages:?}", story.story);
    for (message, text) in messages.iter().zip(&expect.slack) {
        assert!(
            format!("{message:?}").contains(text.as_str()),
            "{}: {message:?} lacks {text:?}",
            story.story
        );
    }
    let control = scene.house.halt.interlock.control().await.expect("the control item");
    assert_eq!(!control.is_armed(), expect.halted_global, "{}", story.story);
    let halted: Vec<String> = control.halted_customers.keys().map(ToString::to_string).collect();
    assert_eq!(halted, expect.halted_customers, "{}", story.story);
    assert!(control.in_flight.is_empty(), "{}", story.story);
    assert_eq!(control.unknown.len(), expect.unknown_permits, "{}", story.story);
    if let Some(count) = expect.model_calls {
        assert_eq!(scene.standins.anthropic.calls().len(), count, "{}: model calls", story.story);
    }
    let verified = scene.house.audit.log.verify().await.expect("verified");
    assert!(verified.first_bad.is_none(), "{}: {verified:?}", story.story);
}

fn call_of(row: &audit_log::Row) -> Call {
    let first_text = |value: &Value| {
        let object = value.as_object()?;
        ["stage", "note", "subject", "question"]
            .iter()
            .find_map(|key| Some(object.get(*key)?.as_str()?.to_owned()))
    };
    Call {
        verb: row.verb.clone(),
        state: row.decision,
        reason: row.reason.as_deref().and_then(Reason::from_code),
        mode: row.mode,
        target: row.target_id.clone().unwrap_or_default(),
        after: match row.verb.as_str() {
            "set_stage" => row.after.as_ref().and_then(first_text),
            _ => None,
        },
    }
}

macro_rules! stories {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })+

        /// A file that no test reads would be a promise that nobody keeps.
        #[test]
        fn every_story_is_told() {
            let told = [$(stringify!($name)),+];
            for file in std::fs::read_dir(repository().join("tests/scenarios")).expect("the stories") {
                let name = file.expect("a file").file_name().into_string().expect("a name");
                let name = name.trim_end_matches(".json");
                assert!(told.contains(&name), "tests/scenarios/{name}.json is told by no test: add it to `stories!`");
            }
        }
    };
}

stories! {
    ask_human,
    cap_trip_calls,
    cap_trip_day,
    crm_429,
    crm_5xx,
    draft_email,
    duplicate_batch,
    foreign_deal,
    halted_customer,
    happy_triage,
    hostile_record,
    injection,
    live_triage,
    model_refusal,
    model_truncated,
    quiet_deal,
    unknown_stage,
    unknown_tool,
}
