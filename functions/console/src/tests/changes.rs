//! What a person can change, each with what it asks for and the row it leaves. Must never pass on half of
//! what is asked.
use super::*;
use config::Put;
use ledger::{Commit, EventRef, Intent, IntentState, Run, RunStatus, Stored};
use serde_json::json;
use std::fmt::Write as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use types::{Cap, Caps, EntryState, IntentId, Mode, RunId, StageRule, Stages, Target, UsdNanos};

const WHY: &str = "why=three+quiet+days";

async fn mode(rig: &Rig, tool: &str) -> Mode {
    rig.deps.interlock.control().await.unwrap().modes.get(tool).copied().unwrap_or_default()
}

#[tokio::test]
async fn writes_are_turned_on_by_tick_reason_and_pin_and_off_by_one_click() {
    let rig = rig().await;
    let browser = rig.sign_in("marieke").await;
    let path = "/tools/append_note/writes";
    for (form, told) in [
        (format!("{WHY}&pin={PIN}"), "Tick that you know"),
        (format!("know=1&why=short&pin={PIN}"), "10 characters or more why it is ready"),
        (format!("know=1&why=++++++++++++++&pin={PIN}"), "10 characters or more why it is ready"),
        (format!("know=1&{WHY}&pin=111111"), "This PIN is wrong"),
        (format!("know=1&{WHY}"), "A PIN has 6 digits"),
    ] {
        let response = browser.post(path, &form).await;
        assert_eq!(response.status(), 422, "{form}");
        assert!(text(&response).contains(told), "{form}: {}", text(&response));
        assert_eq!(mode(&rig, "append_note").await, Mode::DryRun, "{form}");
    }
    let kept = browser.post(path, &format!("know=1&{WHY}&pin=111111")).await;
    assert!(text(&kept).contains("three quiet days"), "what was typed is kept");
    let done = browser.post(path, &format!("know=1&{WHY}&pin={PIN}")).await;
    assert_eq!(done.header("location"), Some("/tools?n=live"));
    assert_eq!(mode(&rig, "append_note").await, Mode::Live);
    assert_eq!(mode(&rig, "set_stage").await, Mode::DryRun, "one tool at a time");
    let log = rig.deps.interlock.control().await.unwrap().log;
    let flip = log.iter().rfind(|entry| entry.verb == "flip").unwrap();
    assert_eq!(
        (flip.actor.to_string().as_str(), flip.because.as_str()),
        ("person:marieke", "three quiet days")
    );
    assert_eq!(browser.post("/tools/append_note/dry", "").await.header("location"), Some("/tools?n=dry"));
    assert_eq!(mode(&rig, "append_note").await, Mode::DryRun);
}

#[tokio::test]
async fn mails_reads_and_unknown_tools_have_no_switch() {
    let rig = rig().await;
    let browser = rig.sign_in("marieke").await;
    for tool in ["draft_email", "get_deal", "ask_human", "send_email"] {
        let path = format!("/tools/{tool}/writes");
        assert_eq!(browser.get(&path).await.status(), 404, "{tool}");
        assert_eq!(browser.post(&path, &format!("know=1&{WHY}&pin={PIN}")).await.status(), 404, "{tool}");
        assert_eq!(mode(&rig, tool).await, Mode::DryRun);
    }
}

#[tokio::test]
async fn a_half_reversible_tool_within_a_day_of_another_needs_a_reason_of_its_own() {
    let rig = rig().await;
    let browser = rig.sign_in("marieke").await;
    let form = format!("know=1&{WHY}&pin={PIN}");
    browser.post("/tools/schedule_follow_up/writes", &form).await;
    let refused = browser.post("/tools/set_stage/writes", &form).await;
    assert_eq!(refused.status(), 422);
    assert!(text(&refused).contains("why not to wait 24 hours"), "{}", text(&refused));
    let over = format!("{form}&over=the+trial+ends+today");
    assert_eq!(browser.post("/tools/set_stage/writes", &over).await.status(), 303);
    let log = rig.deps.interlock.control().await.unwrap().log;
    assert!(log.iter().any(|entry| entry.because.contains("the trial ends today")));
}

#[tokio::test]
async fn a_cap_is_lowered_in_one_step_and_raised_with_reason_and_pin() {
    let rig = rig().await;
    let browser = rig.sign_in("marieke").await;
    let dollars = |cents| Caps { usd_per_day: UsdNanos::from_cents(cents), ..Caps::default() };
    assert_eq!(rig.deps.hot.put_caps(&dollars(2_500), 0).await.unwrap(), Put::Saved(1));
    let path = "/budgets/usd_per_day";
    let lower = browser.post(path, "version=1&value=20").await;
    assert_eq!(lower.header("location"), Some("/budgets?n=caps"), "{}", text(&lower));
    assert_eq!(rig.deps.hot.get().await.hot.caps, dollars(2_000));
    let day = rig.deps.budget.day("Europe/Amsterdam").await.unwrap().unwrap();
    assert_eq!(day.cap, UsdNanos::from_cents(2_000), "the open day has it too");
    for (form, status) in [
        ("version=2&value=30".to_owned(), 422),
        (format!("version=2&value=30&{WHY}"), 422),
        (format!("version=2&value=30&{WHY}&pin=111111"), 422),
        (format!("version=2&value=30&pin={PIN}"), 422),
        (format!("version=1&value=30&{WHY}&pin={PIN}"), 409),
        (format!("version=2&value=-1&{WHY}&pin={PIN}"), 422),
    ] {
        assert_eq!(browser.post(path, &form).await.status(), status, "{form}");
        assert_eq!(rig.deps.hot.get().await.hot.caps, dollars(2_000), "{form}");
    }
    assert_eq!(browser.post(path, &format!("version=2&value=30&{WHY}&pin={PIN}")).await.status(), 303);
    assert_eq!(rig.deps.hot.get().await.hot.caps, dollars(3_000));
    let rows = rig.outbox().await;
    let rows: Vec<_> = rows.iter().filter(|row| row.verb == "set_caps").collect();
    assert_eq!(rows.len(), 2, "one row per change, none for what was refused");
    assert!(rows.iter().all(|row| row.actor.to_string() == "person:marieke"));
    let raise = rows.iter().find(|row| row.because.is_some()).unwrap();
    assert_eq!(raise.target, Target::new("config", Cap::UsdPerDay.code()));
    assert_eq!(raise.after.as_ref().unwrap()["label"], "30.00");
}

/// HubSpot's pipelines, one answer per connection.
pub(super) async fn hubspot() -> crm::PipelineReader {
    config::install_tls();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stage = |id: &str, label: &str, closed: bool| {
        let metadata = json!({"isClosed": closed.to_string()});
        json!({"id": id, "label": label, "metadata": metadata})
    };
    let body = json!({"results": [{"id": "default", "label": "Sales", "stages": [
        stage("new", "New", false),
        stage("contractsent", "Contract sent", false),
        stage("closedwon", "Closed Won", true),
    ]}]});
    let body = body.to_string();
    #[expect(clippy::disallowed_methods, reason = "a test's server ends with its runtime")]
    tokio::spawn(async move {
        loop {
            let Ok((mut socket, _)) = listener.accept().await else { return };
            let mut seen = Vec::new();
            while !seen.windows(4).any(|w| w == b"\r\n\r\n") {
                let mut buffer = [0_u8; 1024];
                match socket.read(&mut buffer).await {
                    Ok(n) if n > 0 => seen.extend_from_slice(&buffer[..n]),
                    _ => break,
                }
            }
            let mut head =
                String::from("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n");
            write!(head, "content-length: {}\r\n\r\n", body.len()).unwrap();
            let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    let config = crm::HubSpotConfig {
        base_url: url,
        api_version: "2026-09".into(),
        token: crm::Secret::new("token"),
        connect_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(2),
    };
    crm::HubSpot::new(&config).unwrap().pipeline_reader()
}

fn allowed(stages: &Stages) -> Vec<String> {
    stages.0.iter().filter(|rule| rule.agent_may_move_here).map(|rule| rule.stage_id.clone()).collect()
}

fn rule(id: &str, may: bool) -> StageRule {
    StageRule {
        stage_id: id.into(),
        label: id.into(),
        pipeline_id: "default".into(),
        agent_may_move_here: may,
        closed: false,
    }
}

#[tokio::test]
async fn a_stage_is_allowed_after_its_difference_was_shown_and_is_in_force_at_once() {
    let mut rig = rig().await;
    rig.deps.pipelines = Some(hubspot().await);
    rig.deps.hot.put_stages(&Stages(vec![rule("new", true)]), 0).await.unwrap();
    let browser = rig.sign_in("marieke").await;
    let page = text(&browser.get("/pipeline").await);
    assert!(page.contains("Contract sent") && page.contains("Closed Won closed"), "{page}");
    let before = rig.everything().await;
    let check =
        browser.post("/pipeline/check", "version=1&s:new=yes&s:contractsent=yes&s:closedwon=no").await;
    let shown = text(&check);
    assert!(shown.contains("+ allow Contract sent contractsent") && !shown.contains("Your PIN"), "{shown}");
    assert_eq!(rig.everything().await, before, "the difference saves nothing");
    let saved = browser.post("/pipeline/save", "version=1&may=new&may=contractsent").await;
    assert_eq!(saved.header("location"), Some("/pipeline?n=stages"), "{}", text(&saved));
    assert_eq!(allowed(&rig.deps.hot.get().await.hot.stages), ["new", "contractsent"]);
    let rows = rig.outbox().await;
    let row = rows.iter().find(|row| row.verb == "set_stages").unwrap();
    assert_eq!(row.before.as_ref().unwrap()["allowed"], json!(["New (new)"]));
    assert_eq!(row.after.as_ref().unwrap()["allowed"], json!(["Contract sent (contractsent)", "New (new)"]));
}

#[tokio::test]
async fn a_closed_stage_asks_for_the_pin_and_a_stage_hubspot_lacks_is_never_allowed() {
    let mut rig = rig().await;
    rig.deps.pipelines = Some(hubspot().await);
    let browser = rig.sign_in("marieke").await;
    let check = browser.post("/pipeline/check", "version=0&s:closedwon=yes").await;
    assert!(text(&check).contains("That asks for your PIN."), "{}", text(&check));
    for form in ["version=0&may=closedwon", "version=0&may=closedwon&pin=111111"] {
        assert_eq!(browser.post("/pipeline/save", form).await.status(), 422, "{form}");
    }
    for form in ["version=0&may=nosuchstage", "version=0&may=new&may=nosuchstage"] {
        assert_eq!(browser.post("/pipeline/save", form).await.status(), 422, "{form}");
    }
    assert!(allowed(&rig.deps.hot.get().await.hot.stages).is_empty());
    let saved = browser.post("/pipeline/save", &format!("version=0&may=closedwon&pin={PIN}")).await;
    assert_eq!(saved.status(), 303, "{}", text(&saved));
    assert_eq!(allowed(&rig.deps.hot.get().await.hot.stages), ["closedwon"]);
}

#[tokio::test]
async fn somebody_else_s_list_is_never_overwritten_and_disallowing_needs_no_hubspot() {
    let rig = rig().await;
    rig.deps.hot.put_stages(&Stages(vec![rule("new", true), rule("lost", true)]), 0).await.unwrap();
    let browser = rig.sign_in("marieke").await;
    let late = browser.post("/pipeline/save", "version=0&may=new").await;
    assert_eq!(late.status(), 409);
    assert!(text(&late).contains("Somebody changed it first"), "{}", text(&late));
    assert_eq!(allowed(&rig.deps.hot.get().await.hot.stages), ["new", "lost"]);
    assert_eq!(browser.post("/pipeline/save", "version=1&may=new&may=lost&may=other").await.status(), 422);
    assert_eq!(browser.post("/pipeline/save", "version=1&may=new").await.status(), 303);
    assert_eq!(allowed(&rig.deps.hot.get().await.hot.stages), ["new"]);
}

pub(super) fn run(name: &str) -> Run {
    let (key, run_id) = ledger::keys_of(name).unwrap();
    let event = EventRef {
        key,
        portal_id: 1,
        kind: "email_created".into(),
        object_id: "5512".into(),
        property: None,
        occurred_ms: NOW_MS,
        received_ms: NOW_MS,
    };
    Run { status: RunStatus::Held, reason: Some(types::Reason::HaltedGlobal), ..Run::queued(run_id, event) }
}

pub(super) async fn held(rig: &Rig, name: &str) -> RunId {
    let run = run(name);
    let _ = rig.deps.ledger.admit(&run).await.unwrap();
    run.run_id
}

#[tokio::test]
async fn held_events_are_started_or_discarded_once_each_with_a_row() {
    let mut rig = rig().await;
    let (starts, mut started) = tokio::sync::mpsc::unbounded_channel();
    rig.deps.starter = Some(starter::Starter::Local(starts));
    let (one, two, three) = (held(&rig, "a").await, held(&rig, "b").await, held(&rig, "c").await);
    let browser = rig.sign_in("marieke").await;
    assert!(text(&browser.get("/waiting").await).contains("Start these 3"));
    let done = browser.post("/waiting/start", &format!("run={one}&run={two}")).await;
    assert_eq!(done.header("location"), Some("/waiting?n=started"), "{}", text(&done));
    let names = [started.try_recv().unwrap().name, started.try_recv().unwrap().name];
    assert_eq!(names, [format!("{one}-2"), format!("{two}-2")]);
    assert_eq!(rig.deps.ledger.run(&one).await.unwrap().status, RunStatus::Queued);
    let again = browser.post("/waiting/start", &format!("run={one}")).await;
    assert_eq!(again.header("location"), Some("/waiting?n=gone"));
    assert!(started.try_recv().is_err(), "nothing is started twice");
    let done = browser.post("/waiting/discard", &format!("run={three}")).await;
    assert_eq!(done.header("location"), Some("/waiting?n=discarded"));
    assert_eq!(rig.deps.ledger.run(&three).await.unwrap().status, RunStatus::Discarded);
    assert!(rig.deps.ledger.held().await.unwrap().is_empty());
    let verbs: Vec<String> = rig.outbox().await.into_iter().map(|row| row.verb).collect();
    assert_eq!(verbs.iter().filter(|verb| *verb == "start_held").count(), 2);
    assert_eq!(verbs.iter().filter(|verb| *verb == "discard_held").count(), 1);
}

#[tokio::test]
async fn while_halted_nothing_is_started_and_a_lost_start_waits_again() {
    let mut rig = rig().await;
    let (starts, started) = tokio::sync::mpsc::unbounded_channel();
    rig.deps.starter = Some(starter::Starter::Local(starts));
    let one = held(&rig, "a").await;
    drop(started);
    let browser = rig.sign_in("marieke").await;
    assert_eq!(browser.post("/waiting/start", &format!("run={one}")).await.status(), 503);
    assert_eq!(rig.deps.ledger.run(&one).await.unwrap().status, RunStatus::Held, "it is not lost");
    browser.post("/halt", "").await;
    let refused = browser.post("/waiting/start", &format!("run={one}")).await;
    assert_eq!(refused.status(), 409);
    assert_eq!(rig.deps.ledger.run(&one).await.unwrap().status, RunStatus::Held);
}

#[tokio::test]
async fn a_run_that_began_is_never_started_again() {
    let rig = rig().await;
    let mut halted = run("d");
    halted.status = RunStatus::Halted;
    let _ = rig.deps.ledger.admit(&halted).await.unwrap();
    let browser = rig.sign_in("marieke").await;
    for act in ["start", "discard"] {
        browser.post(&format!("/waiting/{act}"), &format!("run={}", halted.run_id)).await;
        assert_eq!(rig.deps.ledger.run(&halted.run_id).await.unwrap().status, RunStatus::Halted, "{act}");
    }
}

/// A run with a write that waits for a person.
pub(super) async fn unanswered(rig: &Rig) -> (Run, IntentId) {
    let mut run = run("e");
    run.status = RunStatus::Done;
    let _ = rig.deps.ledger.admit(&run).await.unwrap();
    let mut run = rig.deps.ledger.run(&run.run_id).await.unwrap();
    let intent = needs_human(&run);
    let id = intent.intent_id.clone();
    let commit = Commit { intents: vec![intent], ..Commit::default() };
    assert_eq!(rig.deps.ledger.commit(&mut run, commit).await.unwrap(), Stored::Yes);
    (run, id)
}

#[tokio::test]
async fn a_write_without_an_answer_is_closed_by_a_person_with_a_reason_once() {
    let rig = rig().await;
    let (run, id) = unanswered(&rig).await;
    let browser = rig.sign_in("marieke").await;
    let page = text(&browser.get("/waiting").await);
    assert!(
        page.contains("set stage Negotiation → Closed Lost") && page.contains("HubSpot never answered"),
        "{page}"
    );
    let form = |rest: &str| format!("run={}&intent={id}&{rest}", run.run_id);
    for rest in ["found=there&why=short", "why=looked+at+the+deal", "found=maybe&why=looked+at+the+deal"] {
        assert_eq!(browser.post("/waiting/checked", &form(rest)).await.status(), 422, "{rest}");
    }
    let rest = "found=there&why=looked+at+the+deal";
    assert_eq!(
        browser.post("/waiting/checked", &form(rest)).await.header("location"),
        Some("/waiting?n=checked")
    );
    assert_eq!(
        browser.post("/waiting/checked", &form(rest)).await.header("location"),
        Some("/waiting?n=gone")
    );
    assert!(rig.deps.ledger.open_intents("needs_human", i64::MAX).await.unwrap().is_empty());
    let rows: Vec<_> =
        rig.outbox().await.into_iter().filter(|row| row.intent_id == Some(id.clone())).collect();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].state, rows[0].actor.to_string().as_str()), (EntryState::Applied, "person:marieke"));
    assert_eq!(rows[0].reason, Some(types::Reason::CheckedByHand));
}

pub(super) fn needs_human(run: &Run) -> Intent {
    Intent {
        intent_id: run.intent_id(1, 0).unwrap(),
        step: 1,
        index: 0,
        args_hash: "x".into(),
        tool: "set_stage".into(),
        state: IntentState::NeedsHuman,
        tier: Some(Tier::SemiReversible),
        mode: Some(Mode::Live),
        target: Target::new("deal", "4302"),
        customer_id: None,
        before: Some(json!({"label": "Negotiation"})),
        after: Some(json!({"label": "Closed Lost"})),
        request: None,
        because: None,
        what: "set stage Negotiation → Closed Lost".into(),
        outcome: None,
        sent_ms: Some(NOW_MS - 60_000),
        read_backs: 4,
        read_back_ms: None,
    }
}

#[tokio::test]
async fn resuming_asks_for_reason_and_pin_and_a_press_meanwhile_wins() {
    let rig = rig().await;
    let browser = rig.sign_in("marieke").await;
    assert_eq!(browser.get("/resume").await.header("location"), Some("/?n=already"), "nothing is halted");
    browser.post("/halt", "").await;
    let page = browser.get("/resume").await;
    let html = String::from_utf8(page.body().to_vec()).unwrap();
    let value = |name: &str| {
        let rest = html.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let shown = format!("epoch={}&seq={}&modes=dry", value("epoch"), value("seq"));
    for rest in ["why=it+is+safe+now", "why=short&pin=271828", "why=it+is+safe+now&pin=111111"] {
        assert_eq!(browser.post("/resume", &format!("{shown}&{rest}")).await.status(), 422, "{rest}");
    }
    browser.post("/halt", "").await;
    let late = browser.post("/resume", &format!("{shown}&why=it+is+safe+now&pin={PIN}")).await;
    assert_eq!(late.status(), 409, "{}", text(&late));
    assert!(!rig.deps.interlock.control().await.unwrap().is_armed());
    let control = rig.deps.interlock.control().await.unwrap();
    let flags = rig.deps.interlock.switch().read(&[]).await.unwrap();
    let shown = format!("epoch={}&seq={}&modes=dry", control.epoch, flags.seq_global);
    let done = browser.post("/resume", &format!("{shown}&why=it+is+safe+now&pin={PIN}")).await;
    assert_eq!(done.header("location"), Some("/?n=resumed"), "{}", text(&done));
    assert!(rig.deps.interlock.control().await.unwrap().is_armed());
}

#[tokio::test]
async fn when_the_row_cannot_be_written_nothing_leads_away_from_safe() {
    let rig = rig().await;
    rig.deps.hot.put_caps(&Caps::default(), 0).await.unwrap();
    let browser = rig.sign_in("marieke").await;
    let client = stores::dynamo::client(rig.dynamo.endpoint());
    client.delete_table().table_name("t-outbox").send().await.unwrap();
    let raise = browser.post("/budgets/usd_per_day", &format!("version=1&value=99&{WHY}&pin={PIN}")).await;
    assert_eq!(raise.status(), 503);
    assert!(text(&raise).contains("Its row in the audit log could not be written. Nothing was changed."));
    assert_eq!(rig.deps.hot.get().await.hot.caps, Caps::default());
    let lower = browser.post("/budgets/usd_per_day", "version=1&value=9").await;
    assert_eq!(lower.status(), 303, "toward safe goes on: {}", text(&lower));
    assert_eq!(rig.deps.hot.get().await.hot.caps.usd_per_day, UsdNanos::from_cents(900));
    assert_eq!(browser.post("/halt", "").await.status(), 303);
}
