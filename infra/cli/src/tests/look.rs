//! What only looks: doctor, why, verify.
use super::{Rig, Typist, run_in, text};
use crate::{Line, Report, Status};
use audit_log::AppendResult;
use config::{Clients, HotConfig};
use ledger::{ENTRY_SCHEMA_VERSION, Entry};
use serde_json::json;
use standins::hubspot::{HubSpot, Settings};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use types::{Actor, Clock, EntryState, Mode, RunId, StageRule, Stages, Target, Tier, Timestamp};

fn status_of(report: &Report, wanted: &str) -> Option<(Status, String)> {
    report.lines.iter().find_map(|line| match line {
        Line::Item { status, about, text, .. } if about == wanted => Some((*status, text.clone())),
        Line::Item { .. } | Line::Text(_) | Line::Copy(_) => None,
    })
}

async fn hubspot(change: impl FnOnce(&mut Settings)) -> standins::Running<HubSpot> {
    config::install_tls();
    let mut settings = Settings::default();
    change(&mut settings);
    let clock = Clock::system();
    HubSpot::new(settings, Arc::new(move || clock.now_ms())).start().await.unwrap()
}

/// The environment of a whole install against that HubSpot.
async fn whole(rig: &mut Rig, hubspot: &standins::Running<HubSpot>) {
    let settings = Settings::default();
    for (name, value) in [
        ("HUBSPOT_BASE_URL", hubspot.url.clone()),
        ("HUBSPOT_TOKEN", settings.token.clone()),
        ("HUBSPOT_APP_ID", settings.app_id.to_string()),
        ("HUBSPOT_CLIENT_SECRET", "canary-secret".to_owned()),
        ("HUBSPOT_TARGET_URL", "https://hooks.example/hubspot".to_owned()),
        ("ANTHROPIC_API_KEY", "canary-key".to_owned()),
        ("SLACK_WEBHOOK_URL", "https://slack.example/canary".to_owned()),
    ] {
        rig.variables.insert(name, value);
    }
    let settings = rig.settings().await;
    let hot = HotConfig::new(&settings, Clients::new(&settings).await.ssm(), Clock::system());
    let rule = StageRule {
        stage_id: "closedlost".into(),
        label: "Closed Lost".into(),
        pipeline_id: "default".into(),
        agent_may_move_here: true,
        closed: true,
    };
    hot.put_stages(&Stages(vec![rule]), 0).await.unwrap();
}

#[tokio::test]
async fn a_whole_install_passes_and_no_secret_is_shown() {
    let mut rig = Rig::running().await.with_postgres().await;
    let hubspot = hubspot(|_| ()).await;
    whole(&mut rig, &hubspot).await;
    let report = rig.run("doctor").await;
    assert_eq!(report.json["fail"], 0, "{}", text(&report));
    for about in
        ["switch store", "control item", "tables", "link keys", "hot config", "caps", "model", "token scopes"]
    {
        assert_eq!(
            status_of(&report, about).map(|(status, _)| status),
            Some(Status::Ok),
            "{about}: {}",
            text(&report)
        );
    }
    for about in ["own app", "stages", "clock", "webhook", "Slack", "audit log"] {
        assert_eq!(
            status_of(&report, about).map(|(status, _)| status),
            Some(Status::Ok),
            "{about}: {}",
            text(&report)
        );
    }
    assert_eq!(status_of(&report, "last drill").unwrap(), (Status::Warn, "none on record".into()));
    assert!(!format!("{report:?}").contains("canary"), "{report:?}");
    assert!(hubspot.writes().is_empty() && hubspot.forbidden_calls().is_empty());
}

#[tokio::test]
async fn missing_scopes_fail_more_warn_and_a_lost_stage_fails() {
    for (change, status, says) in [
        (
            (|s: &mut Settings| s.scopes.retain(|scope| scope != "sales-email-read")) as fn(&mut Settings),
            Status::Fail,
            "missing: sales-email-read",
        ),
        (
            |s: &mut Settings| s.scopes.push("crm.objects.custom.write".into()),
            Status::Warn,
            "more than needed: crm.objects.custom.write",
        ),
    ] {
        let mut rig = Rig::running().await;
        let hubspot = hubspot(change).await;
        whole(&mut rig, &hubspot).await;
        rig.variables.insert("HUBSPOT_APP_ID", "7".to_owned());
        let report = rig.run("doctor").await;
        assert_eq!(status_of(&report, "token scopes").unwrap(), (status, says.into()));
        assert_eq!(status_of(&report, "own app").unwrap().0, Status::Fail);
        assert_eq!(report.exit_code(), 1);
        let settings = rig.settings().await;
        let hot = HotConfig::new(&settings, Clients::new(&settings).await.ssm(), Clock::system());
        let mut stages = hot.get().await.hot.stages.clone();
        stages.0[0].stage_id = "gone".into();
        hot.put_stages(&stages, 1).await.unwrap();
        let (status, says) = status_of(&rig.run("doctor").await, "stages").unwrap();
        assert!(status == Status::Fail && says.contains("is not in HubSpot"), "{says}");
    }
}

/// A switch store that says this of itself.
async fn store_that_says(info: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    let serve = async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            #[expect(clippy::disallowed_methods, reason = "a test's connection ends with its runtime")]
            tokio::spawn(async move {
                let mut buffer = [0; 4_096];
                while let Ok(n) = stream.read(&mut buffer).await {
                    let asked = String::from_utf8_lossy(&buffer[..n]).to_uppercase();
                    for _ in 0..asked.matches("INFO").count() {
                        let answer = format!("${}\r\n{info}\r\n", info.len());
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                    if n == 0 {
                        return;
                    }
                }
            });
        }
        #[expect(unreachable_code, reason = "names the type of a server that never ends")]
        Ok::<(), Infallible>(())
    };
    #[expect(clippy::disallowed_methods, reason = "a test's server ends with its runtime")]
    tokio::spawn(serve);
    url
}

#[tokio::test]
async fn a_store_that_can_forget_a_halt_fails() {
    let mut rig = Rig::running().await;
    for (info, status, says) in [
        ("maxmemory_policy:allkeys-lru\r\ncluster_enabled:0\r\n", Status::Fail, "allkeys-lru"),
        ("maxmemory_policy:noeviction\r\ncluster_enabled:1\r\n", Status::Fail, "cluster mode"),
        ("cluster_enabled:0\r\n", Status::Fail, "does not say its maxmemory_policy"),
        ("maxmemory_policy:noeviction\r\n", Status::Warn, "does not say whether"),
        ("maxmemory_policy:noeviction\r\ncluster_enabled:0\r\n", Status::Ok, "not a cluster"),
    ] {
        rig.variables.insert("REDIS_URL", store_that_says(info).await);
        let found = status_of(&rig.run("doctor").await, "switch store").unwrap();
        assert!(found.0 == status && found.1.contains(says), "{info} {found:?}");
    }
    let silent = run_in(&rig.without("REDIS_URL"), &["doctor"], &mut Typist::default()).await;
    assert_eq!(status_of(&silent, "switch store").unwrap().0, Status::Fail);
}

#[tokio::test]
async fn an_install_without_anything_names_each_gap() {
    let rig = Rig::new().await;
    let report = rig.run("doctor").await;
    assert_eq!(report.exit_code(), 1);
    for about in ["control item", "link keys", "people", "model", "token scopes", "webhook", "audit log"] {
        assert_eq!(
            status_of(&report, about).map(|(status, _)| status),
            Some(Status::Fail),
            "{about}: {}",
            text(&report)
        );
    }
    let mut nothing = rig.variables.clone();
    nothing.insert("TABLE_PREFIX", "other-".to_owned());
    let report = run_in(&nothing, &["doctor"], &mut Typist::default()).await;
    let (status, says) = status_of(&report, "tables").unwrap();
    assert!(status == Status::Fail && says.contains("other-outbox"), "{says}");
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_773_752_400 + second).unwrap()
}

fn entry(event_no: u64, verb: &str, state: EntryState) -> Entry {
    let run = RunId::new("r-1").unwrap();
    Entry {
        schema_version: ENTRY_SCHEMA_VERSION,
        entry_id: format!("r-1#{event_no}"),
        stream: "r-1".into(),
        event_no,
        occurred_at: at(i64::try_from(event_no).unwrap()),
        actor: Actor::Agent(run.clone()),
        verb: verb.into(),
        target: Target::new("deal", "4187"),
        customer_id: None,
        state,
        reason: None,
        mode: Some(Mode::Live),
        tier: None,
        intent_id: None,
        run_id: Some(run),
        step: Some(1),
        before: None,
        after: None,
        because: None,
        detail: None,
        prompt: None,
        model_version: Some("claude-haiku-5-5".into()),
        config_version: None,
        subjects: Vec::new(),
    }
}

#[tokio::test]
async fn why_a_deal_was_moved_is_answered_in_sentences_and_the_log_verifies() {
    let rig = Rig::ready().await.with_postgres().await;
    let mut flip = entry(1, "flip", EntryState::Applied);
    (flip.entry_id, flip.stream, flip.run_id, flip.step) = ("control#1".into(), "control".into(), None, None);
    (flip.actor, flip.target) = (Actor::Person(super::marieke()), Target::new("tool", "set_stage"));
    flip.after = Some("live".into());
    let mut read = entry(2, "get_deal", EntryState::Applied);
    read.tier = Some(Tier::Read);
    read.detail = Some(json!({"what": "read deal 4187"}));
    let mut moved = entry(3, "set_stage", EntryState::Applied);
    moved.tier = Some(Tier::SemiReversible);
    moved.before = Some(json!({"stage": "negotiation", "label": "Negotiation"}));
    moved.after = Some(json!({"stage": "closedlost", "label": "Closed Lost"}));
    moved.because = Some("they bought elsewhere\u{1b}[31m".into());
    let log = rig.log().await;
    let fetched = |_: ledger::PartRef| std::future::ready(Ok::<_, Infallible>(None));
    let appended = log.append(&[flip, read, moved], fetched).await.unwrap();
    assert!(appended.iter().all(|one| matches!(one, AppendResult::Appended(_))), "{appended:?}");

    let answer = rig.run("why deal 4187 --to closedlost --from 2026-03-01 --until 2026-03-31").await;
    let said = text(&answer);
    assert_eq!((answer.exit_code(), &answer.json["found"]), (0, &json!(true)), "{said}");
    assert!(
        said.contains(
            "the agent moved deal 4187 from \u{201c}Negotiation\u{201d} to \u{201c}Closed Lost\u{201d}."
        ),
        "{said}"
    );
    assert!(said.contains("Because: \u{201c}they bought elsewhere"), "{said}");
    assert!(said.contains("It had read: read deal 4187."), "{said}");
    assert!(said.contains("Writes for set_stage were turned on by Marieke at 17 Mar"), "{said}");
    let (out, _) = crate::Terminal::new(crate::Color::Never, false, |_| None).render(&answer);
    assert!(!out.contains('\u{1b}'), "{out}");
    for elsewhere in ["why deal 4187 --until 2026-03-16", "why deal 4187 --to won", "why deal 418"] {
        assert_eq!(rig.run(elsewhere).await.json["found"], false, "{elsewhere}");
    }

    let verified = rig.run("verify").await;
    assert_eq!((verified.exit_code(), &verified.json["entries"]), (0, &json!(3)), "{verified:?}");
    let head =
        format!("{}:{}", verified.json["head"]["seq"], verified.json["head"]["hash"].as_str().unwrap());
    assert_eq!(rig.run_quoted(&["verify", "--against", &head]).await.exit_code(), 0);
    let beyond = rig.run_quoted(&["verify", "--against", &format!("9:{}", "ab".repeat(32))]).await;
    assert_eq!((beyond.exit_code(), &beyond.json["first_bad"]["seq"]), (1, &json!(4)), "{beyond:?}");
}
