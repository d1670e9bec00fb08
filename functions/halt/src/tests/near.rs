//! Toward safe: looking and halting. Must never depend on a form, a cookie or a second store.
use super::*;
use crate::handle;
use serde_json::json;
use types::Mode;

#[tokio::test]
async fn one_press_halts_both_switches_and_the_page_says_so() {
    let rig = rig(Up::Both).await;
    let link = rig.link(LinkKind::Person).await;
    assert!(text(&rig.get(&link.path()).await).contains("RUNNING In dry-run"));
    let response = rig.post(&format!("{}/halt?l=nl", link.path()), "scope=global").await;
    assert_eq!(response.status(), 303);
    assert_eq!(response.header("location"), Some(format!("{}?l=nl", link.path()).as_str()));
    let control = rig.truth.control().await.unwrap();
    let flags = rig.truth.switch().read(&[]).await.unwrap();
    assert!(!control.is_armed() && flags.halted_global && flags.armed.is_none());
    let halted_by = control.halted_by.unwrap();
    assert_eq!((halted_by.by.as_str(), halted_by.reason.as_str()), ("person:marieke", "pressed"));
    let page = text(&rig.get(&link.path()).await);
    assert!(page.contains("HALTED Nothing in flight."), "{page}");
    assert!(page.contains("Halted by you at 02:14:07"), "{page}");
}

#[tokio::test]
async fn twenty_presses_are_one_latched_halt_of_the_first_presser() {
    let rig = rig(Up::Both).await;
    let (mine, slack) = (rig.link(LinkKind::Person).await, rig.link(LinkKind::Slack).await);
    rig.post(&format!("{}/halt", mine.path()), "scope=global").await;
    let path = format!("{}/halt", slack.path());
    let mut presses = tokio::task::JoinSet::new();
    let deps = Arc::new(deps(rig.dynamo.endpoint(), rig.redis.url(), &rig.signer, &rig.clock).await);
    for _ in 0..19 {
        let (deps, path) = (Arc::clone(&deps), path.clone());
        presses.spawn(async move { answer(&deps, &post(&path, "scope=global")).await.status() });
    }
    assert!(presses.join_all().await.into_iter().all(|status| status == 303));
    let control = rig.truth.control().await.unwrap();
    assert_eq!(control.halted_by.unwrap().by, "person:marieke");
    let presses: Vec<_> = control.log.iter().filter(|entry| entry.verb == "halt").collect();
    assert_eq!(presses.len(), 20, "every press is logged");
    assert_eq!(presses.iter().filter(|entry| entry.source == "slack_link").count(), 19);
}

#[tokio::test]
async fn a_form_that_cannot_be_read_halts_everything() {
    let requests: [fn(&str) -> Request; 5] = [
        |path| Request::new("POST", path),
        |path| {
            Request::new("POST", path).with_header("content-type", "text/plain").with_body("scope=customer")
        },
        |path| post(path, "scope=%zz"),
        |path| post(path, "scope=unheard-of&customer=1234"),
        |path| post(path, "scope=global").with_header("sec-fetch-site", "cross-site"),
    ];
    for request in requests {
        let rig = rig(Up::Both).await;
        let path = format!("{}/halt", rig.link(LinkKind::Slack).await.path());
        assert_eq!(answer(&rig.deps, &request(&path)).await.status(), 303);
        assert!(!rig.truth.control().await.unwrap().is_armed());
    }
}

#[tokio::test]
async fn one_customer_is_halted_by_number_and_by_name_and_the_rest_runs() {
    let rig = rig(Up::Both).await;
    let link = rig.link(LinkKind::Person).await;
    let act = interlock::RecentAct {
        at_ms: NOW_MS - 9_000,
        tool: "append_note".into(),
        deal_id: "4411".into(),
        what: "note".into(),
        wrote: true,
        customer_name: "Van Dijk Logistics".into(),
        run_id: "r-1".into(),
    };
    rig.truth.note_recent(&customer("1234"), &act).await;
    let path = format!("{}/halt", link.path());
    let refused = rig.post(&path, "scope=customer&customer=Nobody").await;
    assert_eq!(refused.status(), 422);
    assert!(text(&refused).contains("Nothing was halted."));
    assert!(rig.is_armed().await && rig.truth.control().await.unwrap().halted_customers.is_empty());
    for form in ["scope=customer&customer=+van+dijk+LOGISTICS", "scope=customer&customer=77"] {
        assert_eq!(rig.post(&path, form).await.status(), 303, "{form}");
    }
    let control = rig.truth.control().await.unwrap();
    assert!(control.is_armed());
    assert_eq!(
        control.halted_customers.keys().cloned().collect::<Vec<_>>(),
        [customer("1234"), customer("77")]
    );
    let page = text(&rig.get(&link.path()).await);
    assert!(page.contains("RUNNING For everyone except 2 customers."), "{page}");
    assert!(
        page.contains("HALTED: Van Dijk Logistics (1234) Nothing in flight. By you at 02:14:07"),
        "{page}"
    );
}

#[tokio::test]
async fn either_store_alone_takes_a_halt_and_the_page_says_which() {
    let rig_one = rig(Up::OnlyControl).await;
    let link = rig_one.link(LinkKind::Person).await;
    assert!(text(&rig_one.get(&link.path()).await).contains("UNKNOWN Treat it as RUNNING."));
    assert_eq!(rig_one.post(&format!("{}/halt", link.path()), "").await.status(), 303);
    let page = text(&rig_one.get(&link.path()).await);
    assert!(
        page.contains("HALTED Nothing in flight.") && page.contains("The other is tried again."),
        "{page}"
    );

    drop(rig_one);
    let rig_two = rig(Up::OnlyFlags).await;
    let link = rig_two.link(LinkKind::Person).await;
    assert_eq!(rig_two.post(&format!("{}/halt", link.path()), "").await.status(), 303);
    let response = rig_two.get(&link.path()).await;
    let page = text(&response);
    assert!(page.contains("STOPPING One switch confirmed."), "{page}");
    assert!(page.contains("unknown, finished in 65 seconds at the latest"), "{page}");
    assert!(!page.contains("Nothing in flight"), "{page}");
    assert!(rig_two.truth.switch().read(&[]).await.unwrap().halted_global);
}

#[tokio::test]
async fn when_neither_store_answers_the_press_is_not_confirmed_and_other_ways_are_shown() {
    let rig = rig(Up::Neither).await;
    let link = rig.link(LinkKind::Person).await;
    let page = text(&rig.get(&link.path()).await);
    assert!(page.contains("UNKNOWN Treat it as RUNNING. Neither switch answers."), "{page}");
    let response = rig.post(&format!("{}/halt", link.path()), "").await;
    assert_eq!(response.status(), 503);
    let page = text(&response);
    assert!(page.contains("NOT CONFIRMED The agent may still be running."), "{page}");
    assert!(page.contains("revoke the app’s access token") && page.contains("06 1234 5678"), "{page}");
}

#[tokio::test]
async fn looking_changes_nothing_whatever_the_path_method_or_query() {
    let rig = rig(Up::Both).await;
    let mut paths = Vec::new();
    for kind in [LinkKind::Person, LinkKind::Slack, LinkKind::Invite] {
        let base = rig.link(kind).await.path();
        for rest in ["", "/", "/halt", "/resume", "/resume/1234", "/fails", "/%68alt", "/nothing"] {
            paths.push(format!("{base}{rest}"));
        }
    }
    paths.push("/".into());
    paths.push("/s/demo/halt".into());
    let before = rig.everything().await;
    for path in &paths {
        for query in ["", "?do=halt", "?scope=global&pin=271828", "?_method=POST", "?l=nl&welcome=1"] {
            for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "get"] {
                let request = Request::new(method, &format!("{path}{query}"))
                    .with_header("x-http-method-override", "POST")
                    .with_header("content-type", "application/x-www-form-urlencoded")
                    .with_body("scope=global");
                let response = answer(&rig.deps, &request).await;
                if !matches!(method, "GET" | "HEAD") {
                    assert_eq!(response.status(), 405, "{method} {path}");
                }
                if method == "HEAD" {
                    assert!(response.body().is_empty());
                }
            }
        }
    }
    assert_eq!(rig.everything().await, before);
}

#[tokio::test]
async fn a_link_that_was_taken_back_or_is_none_shows_and_changes_nothing() {
    let rig = rig(Up::Both).await;
    let link = rig.link(LinkKind::Person).await;
    rig.revoke(&link).await;
    let before = rig.everything().await;
    let token = &link.token;
    let foreign =
        LinkSigner::generate().unwrap().sign(LinkKind::Person, &marieke(), rig.clock.now()).unwrap();
    for path in [link.path(), foreign.path(), "/s/demo".into(), format!("/p/{token}"), format!("/a/{token}")]
    {
        for (method, rest) in [("GET", ""), ("POST", "/halt"), ("GET", "/fails"), ("GET", "/resume")] {
            let response = answer(&rig.deps, &Request::new(method, &format!("{path}{rest}"))).await;
            assert_eq!(response.status(), 404, "{method} {rest}");
            let body = String::from_utf8(response.body().to_vec()).unwrap();
            assert!(body.starts_with("This link does not work any more."), "{body}");
            for hidden in ["RUNNING", "HALTED", "06 1234", "console.example", "Marieke"] {
                assert!(!body.contains(hidden), "{hidden}: {body}");
            }
        }
    }
    assert_eq!(rig.everything().await, before);
}

#[tokio::test]
async fn a_halt_is_taken_from_a_link_whose_revocation_cannot_be_read() {
    let rig = rig(Up::OnlyFlags).await;
    let link = rig.link(LinkKind::Person).await;
    rig.revoke(&link).await;
    assert_eq!(rig.post(&format!("{}/halt", link.path()), "").await.status(), 303);
    assert!(rig.truth.switch().read(&[]).await.unwrap().halted_global);
}

#[tokio::test]
async fn a_flag_set_by_hand_and_an_emptied_store_are_shown_as_what_they_are() {
    let rig = rig(Up::Both).await;
    let link = rig.link(LinkKind::Person).await;
    assert!(rig.truth.switch().set_if_absent(&kill_switch::Scope::Global).await);
    let page = text(&rig.get(&link.path()).await);
    assert!(
        page.contains("STOPPING Set directly in the switch store.") && page.contains("HALT Stops the agent"),
        "{page}"
    );
    // A handler that sees an empty store in place of the flags.
    let empty_folder = std::env::temp_dir().join(format!("holdfast-halt-empty-{}", std::process::id()));
    let empty = stores::redis::start_stand_in(&DataDir::open_fresh(&empty_folder).unwrap(), 0).unwrap();
    let wiped = deps(rig.dynamo.endpoint(), empty.url(), &rig.signer, &rig.clock).await;
    let page = text(&answer(&wiped, &Request::new("GET", &link.path())).await);
    assert!(page.contains("HALTED The switch store was emptied."), "{page}");
    let _ = std::fs::remove_dir_all(empty_folder);
}

#[tokio::test]
async fn the_sweep_sets_missing_flags_and_moves_the_log_to_the_outbox() {
    let rig = rig(Up::OnlyControl).await;
    let link = rig.link(LinkKind::Person).await;
    rig.post(&format!("{}/halt", link.path()), "").await;
    assert!(!rig.truth.switch().read(&[]).await.unwrap().halted_global);
    rig.clock.advance_ms(61_000);
    let healthy = deps(rig.dynamo.endpoint(), rig.redis.url(), &rig.signer, &rig.clock).await;
    let before = rig.truth.control().await.unwrap().log.len();
    let swept = handle(&healthy, json!({"sweep": "flags"})).await.unwrap();
    assert_eq!((swept["asserted"].as_u64(), swept["moved"].as_u64()), (Some(1), Some(before as u64)));
    assert!(rig.truth.switch().read(&[]).await.unwrap().halted_global);
    assert!(rig.truth.control().await.unwrap().log.is_empty());
    let rows = healthy.ledger.unacknowledged(100).await.unwrap();
    let receipts = rows.iter().filter(|row| row.entry.as_ref().unwrap().verb == "halt_receipt").count();
    assert_eq!((rows.len() - receipts, receipts), (before, 1), "the log, and the receipt of its one halt");
    let again = handle(&healthy, json!({"sweep": "flags"})).await.unwrap();
    assert_eq!(again["moved"], 0);
}

#[tokio::test]
async fn the_operators_command_looks_halts_and_resumes_without_the_url() {
    let rig = rig(Up::Both).await;
    let status = handle(&rig.deps, json!({"op": "status"})).await.unwrap();
    assert_eq!((status["state"].as_str(), status["word"].as_str()), (Some("running_dry"), Some("RUNNING")));
    rig.truth.flip("append_note", Mode::Live, &Actor::System("test".into()), "", "cli").await.unwrap();
    let halted =
        handle(&rig.deps, json!({"op": "halt", "scope": "global", "person": "marieke"})).await.unwrap();
    assert_eq!((halted["latched"].as_bool(), halted["flags"].as_str()), (Some(true), Some("confirmed")));
    let status = handle(&rig.deps, json!({"op": "status"})).await.unwrap();
    let resume = |epoch: u64| {
        json!({"op": "resume", "scope": "global", "because": "the cause is fixed",
            "epoch": epoch, "seq": status["seq"], "as_before": true})
    };
    let epoch = status["epoch"].as_u64().unwrap();
    let stale = handle(&rig.deps, resume(epoch - 1)).await.unwrap();
    assert_eq!((stale["resumed"].as_bool(), rig.is_armed().await), (Some(false), false));
    let resumed = handle(&rig.deps, resume(epoch)).await.unwrap();
    assert_eq!((resumed["resumed"].as_bool(), rig.is_armed().await), (Some(true), true));
    let status = handle(&rig.deps, json!({"op": "status"})).await.unwrap();
    assert_eq!(status["state"], "running_writes");
    for bad in [
        json!({}),
        json!({"op": "unheard-of"}),
        json!({"op": "halt", "scope": "everyone"}),
        json!({"sweep": "x"}),
    ] {
        assert!(handle(&rig.deps, bad).await.is_err());
    }
    assert!(rig.is_armed().await);
}
