//! One store away at a time: what each page says, what waits, and that HALT works. Must never pretend.
use super::log::rig_with_log;
use super::*;
use types::{Caps, Mode, StageRule, Stages};

async fn says(browser: &Browser<'_>, path: &str, parts: &[&str]) {
    let response = browser.get(path).await;
    assert_eq!(response.status(), 200, "{path}");
    let shown = text(&response);
    for part in parts {
        assert!(shown.contains(part), "{path}: no `{part}` in {shown}");
    }
    assert!(String::from_utf8_lossy(response.body()).contains("action=\"/halt\""), "{path}: HALT stays");
}

fn posts(response: &Response) -> Vec<String> {
    let html = String::from_utf8(response.body().to_vec()).unwrap();
    let forms = html.split("<form").skip(1).filter(|form| form.contains("method=\"post\""));
    let action = |form: &str| form.split("action=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let mut all: Vec<String> = forms.map(action).collect();
    all.retain(|action| action != "/halt" && action != "/sign-out");
    all
}

async fn halts(rig: &Rig, browser: &Browser<'_>) {
    assert_eq!(browser.post("/halt", "").await.status(), 303);
    assert!(rig.deps.interlock.switch().read(&[]).await.unwrap().halted_global);
}

#[tokio::test]
async fn without_the_log_pages_say_so_and_no_tool_is_turned_on() {
    let (rig, postgres, folder) = rig_with_log().await;
    let browser = rig.sign_in("marieke").await;
    postgres.shutdown().await.unwrap();
    for path in
        ["/", "/would-have", "/audit", "/drafts", "/tools", "/pipeline", "/budgets", "/people", "/waiting"]
    {
        says(&browser, path, &["The log cannot be read now.", "audit rows wait in the outbox (0)"]).await;
    }
    for path in ["/audit.csv", "/would-have.csv", "/would-have.jsonl", "/pipeline/versions", "/audit/1"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status(), 503, "{path}");
        assert!(text(&answer).contains("HALT works"), "{path}");
    }
    let path = "/tools/append_note/writes";
    says(&browser, path, &["writes cannot be turned on"]).await;
    assert!(posts(&browser.get(path).await).is_empty(), "nothing to press but HALT");
    let on = browser.post(path, &format!("know=1&why=three+quiet+days&pin={PIN}")).await;
    assert_eq!(on.status(), 503, "{}", text(&on));
    assert_eq!(rig.deps.interlock.control().await.unwrap().modes.get("append_note"), None);
    // What leads to safe goes on: its row waits in the outbox.
    let by = Actor::Person(person("marieke"));
    rig.deps.interlock.flip("set_stage", Mode::Live, &by, "three quiet days", "cli").await.unwrap();
    assert_eq!(browser.post("/tools/set_stage/dry", "").await.status(), 303);
    assert_eq!(rig.deps.interlock.control().await.unwrap().modes["set_stage"], Mode::DryRun);
    halts(&rig, &browser).await;
    drop(rig);
    let _ = std::fs::remove_dir_all(folder);
}

#[tokio::test]
async fn without_the_configuration_the_last_list_is_shown_and_nothing_is_saved() {
    let mut rig = rig().await;
    let rule = StageRule {
        stage_id: "new".into(),
        label: "New".into(),
        pipeline_id: "default".into(),
        agent_may_move_here: true,
        closed: false,
    };
    rig.deps.hot.put_stages(&Stages(vec![rule]), 0).await.unwrap();
    rig.deps.hot.put_caps(&Caps::default(), 0).await.unwrap();
    assert_eq!(rig.deps.hot.get().await.hot.stages_version(), 1);
    rig.ssm.take().unwrap().shutdown().await;
    rig.clock.advance_ms(6_000);
    let browser = rig.sign_in("marieke").await;
    says(&browser, "/pipeline", &["Showing the list of 16:42:07", "Changes cannot be saved now.", "New"])
        .await;
    says(&browser, "/budgets", &["The caps cannot be saved now.", "$25.00"]).await;
    for path in ["/pipeline", "/budgets"] {
        assert_eq!(posts(&browser.get(path).await), Vec::<String>::new(), "{path}: nothing to send");
    }
    for (path, form) in [
        ("/pipeline/save", "version=1&may=new"),
        ("/pipeline/check", "version=1"),
        ("/budgets/usd_per_day", "version=1&value=9"),
    ] {
        let answer = browser.post(path, form).await;
        assert_eq!(answer.status(), 503, "{path}: {}", text(&answer));
    }
    rig.clock.advance_ms(16 * 60_000);
    says(&browser, "/pipeline", &["The list cannot be read.", "Changes cannot be saved now."]).await;
    says(&browser, "/budgets", &["The caps cannot be read.", "No model call is made without them."]).await;
    halts(&rig, &browser).await;
}

#[tokio::test]
async fn without_the_tables_nobody_may_change_and_one_switch_still_halts() {
    let mut rig = rig().await;
    let browser = rig.sign_in("marieke").await;
    let cookie = browser.cookie.clone();
    let nowhere = format!("http://{NOWHERE}");
    let gone = deps(&nowhere, rig._redis.url(), rig.ssm.as_ref().unwrap().endpoint(), &rig.clock).await;
    let signer = std::mem::replace(&mut rig.deps.signer, LinkSigner::generate().unwrap());
    rig.deps = Deps { sessions: Sessions::derived_from(&signer, Transport::LoopbackHttp), signer, ..gone };
    let browser = Browser { rig: &rig, cookie };
    says(&browser, "/budgets", &["Spend unknown: no model call is made.", "Your role cannot be read now."])
        .await;
    says(&browser, "/people", &["People and keys cannot be read now."]).await;
    says(&browser, "/waiting", &["The tables cannot be read now."]).await;
    says(&browser, "/tools", &["The limit cannot be read now", "Unknown"]).await;
    says(&browser, "/data-requests", &["Your role cannot be read now."]).await;
    for path in ["/", "/tools", "/budgets", "/pipeline", "/people", "/waiting", "/data-requests"] {
        assert_eq!(posts(&browser.get(path).await), Vec::<String>::new(), "{path}: nothing to send");
    }
    halts(&rig, &browser).await;
    let page = text(&browser.get("/").await);
    assert!(page.contains("STOPPING") || page.contains("STOPPED") || page.contains("HALT"), "{page}");
}

#[tokio::test]
async fn without_hubspot_names_are_missing_and_stages_are_only_taken_off() {
    let mut rig = rig().await;
    let config = crm::HubSpotConfig {
        base_url: format!("http://{NOWHERE}"),
        api_version: "2026-09".into(),
        token: crm::Secret::new("token"),
        connect_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_secs(1),
    };
    config::install_tls();
    rig.deps.pipelines = Some(crm::HubSpot::new(&config).unwrap().pipeline_reader());
    let rule = |id: &str, may| StageRule {
        stage_id: id.into(),
        label: id.into(),
        pipeline_id: "default".into(),
        agent_may_move_here: may,
        closed: false,
    };
    rig.deps.hot.put_stages(&Stages(vec![rule("new", true), rule("won", false)]), 0).await.unwrap();
    let browser = rig.sign_in("marieke").await;
    says(&browser, "/pipeline", &["HubSpot does not answer; names are missing.", "You can disallow stages"])
        .await;
    assert_eq!(browser.post("/pipeline/save", "version=1&may=new&may=won").await.status(), 422);
    assert_eq!(browser.post("/pipeline/save", "version=1").await.status(), 303, "taking off works");
    assert!(!rig.deps.hot.get().await.hot.stages.0.iter().any(|rule| rule.agent_may_move_here));
    halts(&rig, &browser).await;
}
