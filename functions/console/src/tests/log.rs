//! The pages that read and judge the log, over a real one. Must never share a database with another test.
use super::*;
use audit_log::AuditLog;
use ledger::{ENTRY_SCHEMA_VERSION, Entry, PartRef, PromptRef, sha256_hex};
use serde_json::json;
use types::{CustomerId, EntryState, IntentId, Mode, Reason, RunId, Target, Timestamp};

const PROMPT: &str = "{\"model\":\"claude-haiku-5-5\",\"messages\":[\"</pre><script>alert(1)</script>\"]}";

pub(super) fn entry(n: i64, verb: &str, state: EntryState) -> Entry {
    let run = RunId::new(format!("r-{n}")).unwrap();
    Entry {
        schema_version: ENTRY_SCHEMA_VERSION,
        entry_id: format!("r-{n}#1"),
        stream: run.to_string(),
        event_no: 1,
        occurred_at: Timestamp::from_millisecond(NOW_MS - n * 60_000).unwrap(),
        actor: Actor::Agent(run.clone()),
        verb: verb.into(),
        target: Target::new("deal", 4_400 + n),
        customer_id: Some(CustomerId::new("1234").unwrap()),
        state,
        reason: Some(if state == EntryState::Refused { Reason::StageNotAllowed } else { Reason::DryRun }),
        mode: Some(if state == EntryState::Applied { Mode::Live } else { Mode::DryRun }),
        tier: Some(if verb == "draft_email" { Tier::Irreversible } else { Tier::SemiReversible }),
        intent_id: Some(IntentId::new(format!("i-{n}")).unwrap()),
        run_id: Some(run),
        step: Some(1),
        before: Some(json!({"stage": "negotiation", "label": "Negotiation"})),
        after: Some(json!({"stage": "closedlost", "label": "Closed Lost"})),
        because: Some("=1+1 <b>they chose another supplier</b>".into()),
        detail: Some(json!({
            "what": "set stage Negotiation → Closed Lost", "request": {"stage": "contractsent"},
            "event": "email_created 5512", "customer": "Van Dijk", "deal": "Rollout",
        })),
        prompt: Some(PromptRef {
            hash: sha256_hex(PROMPT.as_bytes()),
            parts: vec![PartRef {
                hash: sha256_hex(PROMPT.as_bytes()),
                pk: ledger::INLINE.into(),
                sk: PROMPT.into(),
            }],
        }),
        model_version: Some("claude-haiku-5-5".into()),
        config_version: None,
        subjects: vec!["5521".into()],
    }
}

pub(super) fn draft() -> Entry {
    let mut draft = entry(9, "draft_email", EntryState::Drafted);
    draft.before = None;
    draft.after = Some(json!({
        "to": {"contact_id": 5521, "name": "Pieter", "email": "p@hendriks.example"},
        "subject": "Pallets", "body": "Dear Pieter,\n<script>alert(1)</script>",
    }));
    draft
}

/// A rig with a log of its own; the second value must live as long as it is used.
pub(super) async fn rig_with_log() -> (Rig, stores::LocalPostgres, std::path::PathBuf) {
    let mut rig = rig().await;
    let folder = rig.folder.with_extension("log");
    let postgres = stores::postgres::start(&DataDir::open_fresh(&folder).unwrap(), None).await.unwrap();
    let log = AuditLog::connect(postgres.url()).await.unwrap();
    log.migrate().await.unwrap();
    let mut entries: Vec<Entry> = (1..=3).map(|n| entry(n, "set_stage", EntryState::WouldHave)).collect();
    entries.extend([
        entry(4, "set_stage", EntryState::Applied),
        entry(5, "set_stage", EntryState::Refused),
        draft(),
    ]);
    append(&log, &entries).await;
    rig.deps.audit = Some(Arc::new(log));
    (rig, postgres, folder)
}

pub(super) async fn append(log: &AuditLog, entries: &[Entry]) {
    let bytes = |part: PartRef| async move { Ok::<_, std::fmt::Error>(Some(part.sk.into_bytes())) };
    log.append(entries, bytes).await.unwrap();
}

#[tokio::test]
async fn rows_are_read_judged_searched_exported_and_drafts_end() {
    let (rig, postgres, folder) = rig_with_log().await;
    let browser = rig.sign_in("marieke").await;
    judging(&rig, &browser).await;
    searching(&browser).await;
    drafts(&rig, &browser).await;
    examples(&browser).await;
    surprises(&rig, &browser).await;
    stages(&rig, &browser).await;
    drop(rig);
    postgres.shutdown().await.unwrap();
    let _ = std::fs::remove_dir_all(folder);
}

async fn judging(rig: &Rig, browser: &Browser<'_>) {
    let page = browser.get("/would-have").await;
    let shown = text(&page);
    assert!(shown.contains("Would-have log 3") && shown.contains("Showing 3 of 3."), "{shown}");
    assert!(shown.contains("Set stage Negotiation → Closed Lost"), "{shown}");
    assert!(!String::from_utf8_lossy(page.body()).contains("<b>they chose"));
    let seqs: Vec<i64> = rig
        .deps
        .audit
        .as_ref()
        .unwrap()
        .would_have(&audit_log::Query::default())
        .await
        .unwrap()
        .rows
        .iter()
        .map(|row| row.seq)
        .collect();
    let form = |rest: &str| format!("seq={}&{rest}", seqs[0]);
    let with = format!("t={}&{}", browser.token().await, form("judged=surprising&note=Jansen+again"));
    let from_view = post("/would-have/judge", &with)
        .with_header("sec-fetch-site", "same-origin")
        .with_header("referer", "http://console.example/would-have?tool=set_stage&n=undone");
    let said = browser.send(from_view).await;
    assert_eq!(said.header("location"), Some("/would-have?tool=set_stage&n=judged"), "{}", text(&said));
    let shown = text(&browser.get("/would-have?judged=surprising").await);
    assert!(
        shown.contains("⚠ Surprising")
            && shown.contains("“Jansen again”")
            && shown.contains("Showing 1 of 1"),
        "{shown}"
    );
    assert!(
        text(&browser.get("/tools/set_stage/writes").await)
            .contains("Not quiet yet. 1 surprise today, and 2 of")
    );
    browser.post("/would-have/judge", &form("judged=withdrawn")).await;
    assert!(text(&browser.get("/would-have?judged=surprising").await).contains("Nothing for these filters."));
    let all = format!("seq={}&seq={}&seq={}&judged=expected", seqs[0], seqs[1], seqs[2]);
    assert_eq!(browser.post("/would-have/judge", &all).await.status(), 303);
    assert!(text(&browser.get("/would-have?judged=expected").await).contains("Showing 3 of 3."));
    let many = format!("seq={}&seq={}&judged=surprising", seqs[0], seqs[1]);
    assert_eq!(browser.post("/would-have/judge", &many).await.status(), 422, "surprises are told one by one");
    let rows = rig.outbox().await;
    assert_eq!(rows.iter().filter(|row| row.verb == "judge" && row.because.is_none()).count(), 3);
    let csv = browser.get("/would-have.csv?tool=set_stage").await;
    let csv = String::from_utf8(csv.body().to_vec()).unwrap();
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(csv.contains("\"'=1+1 <b>they chose"), "{csv}");
}

async fn searching(browser: &Browser<'_>) {
    let why = text(&browser.get("/audit?q=4404&to=closedlost").await);
    assert!(why.contains("the agent moved deal 4404"), "{why}");
    let none = text(&browser.get("/audit?q=4999").await);
    assert!(none.contains("No row for 4999 in this time. The agent did not touch it."), "{none}");
    let hash = sha256_hex(PROMPT.as_bytes());
    let prompt = browser.get(&format!("/prompts/{hash}")).await;
    assert!(text(&prompt).contains("exact bytes the model was sent"), "{}", text(&prompt));
    assert!(!String::from_utf8_lossy(prompt.body()).contains("<script>"));
    let raw = browser.get(&format!("/prompts/{hash}.json")).await;
    assert_eq!(raw.body(), PROMPT.as_bytes(), "byte for byte");
    assert_eq!(browser.get(&format!("/prompts/{}", "0".repeat(64))).await.status(), 404);
    let json = browser.get("/audit.json?q=4404").await;
    let json: serde_json::Value = serde_json::from_slice(json.body()).unwrap();
    assert_eq!(json["rows"].as_array().map(Vec::len), Some(1));
    let run = text(&browser.get("/runs/r-4").await);
    assert!(run.contains("Run r-4") && run.contains("set_stage"), "{run}");
    let pipeline = text(&browser.get("/pipeline").await);
    assert!(pipeline.contains("The agent asked for it 1 time in a week and was refused."), "{pipeline}");
    let today = text(&browser.get("/").await);
    assert!(
        today.contains("Needs you") && today.contains("Read the drafts") && today.contains("Last actions"),
        "{today}"
    );
    for path in
        ["/", "/would-have", "/audit", "/tools", "/drafts", "/pipeline", "/budgets", "/runs/r-4", "/audit/1"]
    {
        let response = browser.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert!(response.wire_bytes() <= 60_000, "{path}: {}", response.wire_bytes());
    }
}

async fn drafts(rig: &Rig, browser: &Browser<'_>) {
    let page = browser.get("/drafts").await;
    let shown = text(&page);
    assert!(shown.contains("To Pieter p@hendriks.example") && shown.contains("I sent it"), "{shown}");
    assert!(!String::from_utf8_lossy(page.body()).contains("<script>"));
    let html = String::from_utf8(page.body().to_vec()).unwrap();
    let seq = html.split("href=\"/drafts/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let copied = browser.get(&format!("/drafts/{seq}.txt")).await;
    assert!(text(&copied).starts_with("Pallets Dear Pieter,"));
    let short = browser.post(&format!("/drafts/{seq}/discard"), "why=no").await;
    assert_eq!(short.status(), 422);
    let sent = browser.post(&format!("/drafts/{seq}/sent"), "").await;
    assert_eq!(sent.header("location"), Some("/drafts?n=sent"), "{}", text(&sent));
    // The row is still in the outbox, and the draft has ended all the same.
    assert!(text(&browser.get("/drafts").await).contains("No draft waits."));
    let rows = rig.outbox().await;
    let row = rows.iter().find(|row| row.verb == "draft_sent").unwrap();
    assert_eq!(row.subjects, ["5521", "p@hendriks.example"]);
    append(rig.deps.audit.as_ref().unwrap(), &rows).await;
    let ids: Vec<String> = rows.iter().map(|row| row.entry_id.clone()).collect();
    rig.deps.ledger.acknowledge(&ids).await.unwrap();
    assert!(text(&browser.get("/drafts").await).contains("No draft waits."), "also once the log has it");
    assert_eq!(
        browser.post(&format!("/drafts/{seq}/sent"), "").await.header("location"),
        Some("/drafts?n=gone")
    );
    assert_eq!(
        browser.get(&format!("/drafts/{seq}")).await.header("location"),
        Some(format!("/audit/{seq}").as_str())
    );
}

/// The places of the would-have rows, newest first.
pub(super) async fn would_have(rig: &Rig) -> Vec<i64> {
    let log = rig.deps.audit.as_ref().unwrap();
    let page = log.would_have(&audit_log::Query::default()).await.unwrap();
    page.rows.iter().map(|row| row.seq).collect()
}

async fn examples(browser: &Browser<'_>) {
    let rig = browser.rig;
    let seq = would_have(rig).await[0];
    assert_eq!(browser.get(&format!("/would-have/{seq}.jsonl")).await.status(), 404, "she expected it");
    assert!(browser.get("/would-have.jsonl").await.body().is_empty());
    let form = format!("seq={seq}&judged=surprising&note=Ask+first%3B+%3D1%2B1");
    assert_eq!(browser.post("/would-have/judge", &form).await.status(), 303);
    let one = browser.get(&format!("/would-have/{seq}.jsonl")).await;
    assert!(one.header("content-disposition").unwrap().contains("attachment"));
    let all = browser.get("/would-have.jsonl?tool=set_stage").await;
    assert_eq!(one.body(), all.body(), "one row is one line, alone or among all");
    let lines = String::from_utf8(all.body().to_vec()).unwrap();
    assert_eq!(lines.lines().count(), 1);
    let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(line["should_have"], "Ask first; =1+1");
    assert_eq!((&line["judged_by"], &line["tool"]), (&json!("Marieke"), &json!("set_stage")));
    assert_eq!(line["would_have"]["after"]["label"], "Closed Lost");
    assert_eq!(line["saw"]["messages"][0], "</pre><script>alert(1)</script>", "what the model was sent");
    assert!(browser.get("/would-have.jsonl?tool=append_note").await.body().is_empty(), "as filtered");
}

async fn surprises(rig: &Rig, browser: &Browser<'_>) {
    let seqs = would_have(rig).await;
    let writes = |mode| async move {
        let by = Actor::Person(person("marieke"));
        rig.deps.interlock.flip("set_stage", mode, &by, "three quiet days", "console").await.unwrap()
    };
    let mode = || async { rig.deps.interlock.control().await.unwrap().modes["set_stage"] };
    let judge = |seq: i64| async move {
        let form = format!("seq={seq}&judged=surprising");
        browser.post("/would-have/judge", &form).await.header("location").map(str::to_owned)
    };
    // One row is surprising already; two more are borne, the third is one too many.
    let limit = browser.post("/tools/surprises", "version=0&most=2").await;
    assert_eq!(limit.header("location"), Some("/tools?n=limit"), "{}", text(&limit));
    writes(Mode::Live).await;
    assert_eq!(judge(seqs[1]).await.as_deref(), Some("/would-have?n=judged"));
    assert_eq!(mode().await, Mode::Live, "two of 50 are within a limit of two");
    assert_eq!(judge(seqs[2]).await.as_deref(), Some("/would-have?n=fellback"));
    assert_eq!(mode().await, Mode::DryRun);
    let log = rig.deps.interlock.control().await.unwrap().log;
    let flip = log.iter().rfind(|entry| entry.verb == "flip").unwrap();
    assert_eq!(flip.actor.to_string(), "system:surprise_limit");
    assert_eq!(flip.because, "3 of the last 50 judged are surprising, the limit is 2");
    assert!(text(&browser.get("/tools").await).contains("more than 2 of its last 50"));
    // A tool that only says what it would do is not flipped, and nothing turns it on again.
    assert_eq!(judge(seqs[0]).await.as_deref(), Some("/would-have?n=judged"));
    assert_eq!(mode().await, Mode::DryRun);
    for (form, status) in [
        ("version=1&most=9".to_owned(), 422),
        ("version=1&most=9&why=it+was+one+bad+day&pin=111111".to_owned(), 422),
        ("version=0&most=1".to_owned(), 409),
        ("version=1&most=51".to_owned(), 422),
        (format!("version=1&most=9&why=it+was+one+bad+day&pin={PIN}"), 303),
    ] {
        assert_eq!(browser.post("/tools/surprises", &form).await.status(), status, "{form}");
    }
    assert_eq!(rig.deps.interlock.surprise_limit().await.unwrap().most, 9);
}

async fn stages(rig: &Rig, browser: &Browser<'_>) {
    let rule = |id: &str, may| types::StageRule {
        stage_id: id.into(),
        label: format!("{id} (x)"),
        pipeline_id: "default".into(),
        agent_may_move_here: may,
        closed: false,
    };
    let list = types::Stages(vec![rule("negotiation", true), rule("closedlost", true), rule("old", false)]);
    rig.deps.hot.put_stages(&list, 0).await.unwrap();
    let without = browser.post("/pipeline/check", "version=1&s:negotiation=yes").await;
    let shown = text(&without);
    assert!(shown.contains("− disallow closedlost (x) closedlost"), "{shown}");
    assert!(
        shown.contains("With this list 4 of last week’s 4 moves would have been refused."),
        "three that it would have made, one that it made: {shown}"
    );
    assert_eq!(browser.post("/pipeline/save", "version=1&may=negotiation").await.status(), 303);
    append_outbox(rig).await;
    let versions = browser.get("/pipeline/versions").await;
    assert!(text(&versions).contains("negotiation (x)") && text(&versions).contains("Marieke"));
    let html = String::from_utf8(versions.body().to_vec()).unwrap();
    let seq = html.split("name=\"seq\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(browser.post("/pipeline/save", "version=2&may=").await.status(), 422);
    rig.deps.hot.put_stages(&types::Stages(vec![rule("other", true)]), 2).await.unwrap();
    let late = browser.post("/pipeline/restore", &format!("version=2&seq={seq}")).await;
    assert_eq!(late.status(), 409, "somebody changed it meanwhile");
    let restored = browser.post("/pipeline/restore", &format!("version=3&seq={seq}")).await;
    let shown = text(&restored);
    assert!(shown.contains("negotiation of that list is left out"), "HubSpot is away: {shown}");
    assert!(shown.contains("− disallow other (x) other"), "{shown}");
    assert_eq!(rig.deps.hot.get().await.hot.stages.0[0].stage_id, "other", "showing saves nothing");
}

/// Carries the outbox into the log, as the audit function does.
pub(super) async fn append_outbox(rig: &Rig) {
    let rows = rig.outbox().await;
    append(rig.deps.audit.as_ref().unwrap(), &rows).await;
    let ids: Vec<String> = rows.iter().map(|row| row.entry_id.clone()).collect();
    rig.deps.ledger.acknowledge(&ids).await.unwrap();
}
