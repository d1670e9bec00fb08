//! Who gets in and what the methods may do. Must never let a look or a foreign form change anything.
use super::*;
use crate::frame::{Admitted, admit};

/// Every page's path.
const PATHS: [&str; 23] = [
    "/",
    "/would-have",
    "/would-have?judged=not_yet",
    "/would-have.csv",
    "/tools",
    "/tools/set_stage/writes",
    "/would-have.jsonl",
    "/would-have/1.jsonl",
    "/tools?days=30",
    "/pipeline/versions",
    "/data-requests",
    "/drafts",
    "/audit",
    "/audit?q=4187&to=closedlost",
    "/audit/1",
    "/pipeline",
    "/budgets",
    "/waiting",
    "/people",
    "/resume",
    "/runs/r-1",
    "/halt?do=halt",
    "/tools/append_note/dry",
];

/// Every change, with a form that would do it.
pub(super) const CHANGES: [(&str, &str); 21] = [
    ("/would-have/judge", "seq=1&judged=expected"),
    ("/tools/append_note/dry", ""),
    ("/tools/append_note/writes", "know=1&why=three+quiet+days&pin=271828"),
    ("/pipeline/check", "version=0&s:x=yes"),
    ("/pipeline/save", "version=0&may=x"),
    ("/budgets/usd_per_day", "version=0&value=5"),
    ("/drafts/1/sent", ""),
    ("/drafts/1/discard", "why=not+good+enough"),
    ("/waiting/discard", "run=r-1"),
    ("/waiting/checked", "run=r-1&intent=i-1&found=there&why=looked+at+it"),
    ("/pipeline/allow", "version=0&allow=x"),
    ("/runs/r-1/again", "why=the+cap+was+too+low"),
    ("/pipeline/restore", "version=0&seq=1"),
    ("/tools/surprises", "version=0&most=0"),
    ("/people/invite", "name=eve&role=ops&pin=271828"),
    ("/people/role", "person=joris&role=ops&pin=271828"),
    ("/waiting/start", "run=r-1"),
    ("/data-requests/export", "contact=5521"),
    ("/data-requests/erase", "contact=5521&why=she+asked+for+it&word=erase&pin=271828"),
    ("/people/revoke", "person=joris&key=x"),
    ("/resume", "epoch=1&seq=x&why=looked+at+it&pin=271828"),
];

#[tokio::test]
async fn without_a_session_nothing_is_shown_and_nothing_is_changed() {
    let rig = rig().await;
    let before = rig.everything().await;
    for path in PATHS {
        let response = answer(&rig.deps, &Request::new("GET", path)).await;
        assert_eq!(response.status(), 401, "{path}");
        assert!(!text(&response).contains("RUNNING"), "{path}: no state for strangers");
    }
    for (path, form) in CHANGES {
        let request = post(path, form).with_header("sec-fetch-site", "same-origin");
        assert_eq!(answer(&rig.deps, &request).await.status(), 401, "{path}");
    }
    assert_eq!(rig.everything().await, before);
}

#[tokio::test]
async fn looking_changes_nothing_whatever_the_path() {
    let rig = rig().await;
    let browser = rig.sign_in("marieke").await;
    let before = rig.everything().await;
    for path in PATHS.into_iter().chain(CHANGES.map(|(path, _)| path)).chain(["/sign-out", "/halt"]) {
        for method in ["GET", "HEAD"] {
            let response = browser.send(Request::new(method, path)).await;
            assert!(
                [200, 303, 404, 503].contains(&response.status()),
                "{method} {path}: {}",
                response.status()
            );
            assert!(method == "GET" || response.body().is_empty(), "{path}");
        }
    }
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        assert_eq!(browser.send(Request::new(method, "/halt")).await.status(), 405);
    }
    assert_eq!(rig.everything().await, before);
}

#[tokio::test]
async fn a_form_from_elsewhere_or_without_its_token_changes_nothing() {
    let rig = rig().await;
    let browser = rig.sign_in("marieke").await;
    let token = browser.token().await;
    let before = rig.everything().await;
    for (path, form) in CHANGES {
        let with = format!("t={token}&{form}");
        for (request, why) in [
            (post(path, &with).with_header("sec-fetch-site", "cross-site"), "cross-site"),
            (post(path, &with).with_header("sec-fetch-site", "same-site"), "same-site"),
            (post(path, &with).with_header("origin", "https://evil.example"), "origin"),
            (post(path, &with).with_header("origin", "null"), "null origin"),
            (post(path, &with), "no header at all"),
            (post(path, form).with_header("sec-fetch-site", "same-origin"), "no token"),
            (
                post(path, &format!("t=AAAA&{form}")).with_header("sec-fetch-site", "same-origin"),
                "a made-up token",
            ),
        ] {
            assert_eq!(browser.send(request).await.status(), 403, "{path}: {why}");
        }
    }
    assert_eq!(rig.everything().await, before);
}

#[tokio::test]
async fn a_token_is_of_one_session_and_ends_after_four_hours() {
    let rig = rig().await;
    let (mine, hers) = (rig.sign_in("marieke").await, rig.sign_in("joris").await);
    let request = |token: &str| {
        post("/tools/append_note/dry", &format!("t={token}")).with_header("sec-fetch-site", "same-origin")
    };
    assert_eq!(mine.send(request(&hers.token().await)).await.status(), 403);
    let token = mine.token().await;
    assert_eq!(mine.send(request(&token)).await.status(), 303);
    rig.clock.advance_ms(4 * 3_600 * 1_000);
    assert_eq!(mine.send(request(&token)).await.status(), 403);
}

#[tokio::test]
async fn a_reader_can_halt_and_change_nothing_else() {
    let rig = rig().await;
    let browser = rig.sign_in("joris").await;
    let before = rig.everything().await;
    for (path, form) in CHANGES {
        assert_eq!(browser.post(path, form).await.status(), 403, "{path}");
    }
    assert_eq!(rig.everything().await, before);
    let response = browser.post("/halt", "back=%2Ftools").await;
    assert_eq!((response.status(), response.header("location")), (303, Some("/tools?n=halted")));
    let control = rig.deps.interlock.control().await.unwrap();
    assert!(!control.is_armed());
    assert_eq!(control.halted_by.unwrap().by, "person:joris");
}

#[tokio::test]
async fn halt_is_refused_for_no_form_s_sake() {
    for form in ["", "t=stale", "k=%zz", "back=https://evil.example"] {
        let rig = rig().await;
        let browser = rig.sign_in("marieke").await;
        let response = browser.send(post("/halt", form)).await;
        assert_eq!(response.status(), 303, "{form}");
        assert!(response.header("location").unwrap().starts_with("/"), "{form}");
        assert!(!rig.deps.interlock.control().await.unwrap().is_armed(), "{form}");
        assert!(rig.deps.interlock.switch().read(&[]).await.unwrap().halted_global, "{form}");
    }
}

#[tokio::test]
async fn a_page_that_outlived_its_session_still_halts() {
    let rig = rig().await;
    let page = rig.sign_in("marieke").await.get("/tools").await;
    let html = String::from_utf8(page.body().to_vec()).unwrap();
    let key = html.split("name=\"k\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    rig.clock.advance_ms(13 * 3_600 * 1_000);
    let forged = answer(&rig.deps, &post("/halt", "k=AAAA")).await;
    assert_eq!(forged.status(), 401);
    assert!(text(&forged).contains("NOT HALTED"));
    let response = answer(&rig.deps, &post("/halt", &format!("k={key}"))).await;
    assert_eq!(response.status(), 303);
    assert_eq!(rig.deps.interlock.control().await.unwrap().halted_by.unwrap().by, "person:marieke");
}

#[tokio::test]
async fn a_cross_site_halt_is_refused_and_says_so() {
    let rig = rig().await;
    let browser = rig.sign_in("marieke").await;
    let response = browser.send(post("/halt", "").with_header("sec-fetch-site", "cross-site")).await;
    assert_eq!(response.status(), 403);
    assert!(text(&response).starts_with("NOT HALTED"));
    assert!(rig.deps.interlock.control().await.unwrap().is_armed());
}

#[tokio::test]
async fn a_link_alone_signs_nobody_in_and_wrong_pins_are_counted() {
    let rig = rig().await;
    let link = rig.link("marieke").await;
    let page = answer(&rig.deps, &Request::new("GET", &link.path())).await;
    assert!(page.cookies().is_empty() && text(&page).contains("Your PIN"), "{}", text(&page));
    for left in (0..5).rev() {
        let wrong = answer(&rig.deps, &post(&link.path(), "pin=111111")).await;
        assert_eq!(wrong.status(), 422);
        assert!(wrong.cookies().is_empty());
        let told = if left == 0 { "Wait 15 minutes".to_owned() } else { format!("Tries left: {left}") };
        assert!(text(&wrong).contains(&told), "{}", text(&wrong));
    }
    let right = format!("pin={PIN}");
    assert_eq!(
        answer(&rig.deps, &post(&link.path(), &right)).await.status(),
        429,
        "also the right one waits"
    );
    rig.clock.advance_ms(15 * 60 * 1_000);
    assert_eq!(answer(&rig.deps, &post(&link.path(), &right)).await.status(), 303);
    let known = rig.deps.interlock.people().await.unwrap();
    assert_eq!(
        known.people.get(&person("marieke")).unwrap().pin_wrong_total,
        0,
        "a right one clears the count"
    );
}

#[tokio::test]
async fn slack_links_invitations_and_forged_links_sign_nobody_in() {
    let rig = rig().await;
    for kind in [LinkKind::Slack, LinkKind::Invite] {
        let link = rig.deps.signer.sign(kind, &person("marieke"), rig.clock.now()).unwrap();
        let path = format!("/s/{}", link.token);
        assert_eq!(answer(&rig.deps, &Request::new("GET", &path)).await.status(), 404);
        assert_eq!(answer(&rig.deps, &post(&path, &format!("pin={PIN}"))).await.status(), 404);
    }
    let other = LinkSigner::generate().unwrap();
    let forged = other.sign(LinkKind::Person, &person("marieke"), rig.clock.now()).unwrap();
    assert_eq!(answer(&rig.deps, &post(&forged.path(), &format!("pin={PIN}"))).await.status(), 404);
}

#[tokio::test]
async fn revoking_a_key_ends_its_session_at_once() {
    let rig = rig().await;
    let link = rig.link("joris").await;
    let lost = answer(&rig.deps, &post(&link.path(), &format!("pin={PIN}"))).await;
    let cookie = lost.cookies()[0].split(';').next().unwrap().to_owned();
    let lost = Browser { rig: &rig, cookie };
    assert_eq!(lost.get("/tools").await.status(), 200);
    let ops = rig.sign_in("marieke").await;
    let form = format!("person=joris&key={}", link.link.key_id);
    assert_eq!(ops.post("/people/revoke", &form).await.header("location"), Some("/people?n=revoked"));
    assert_eq!(lost.get("/tools").await.status(), 401);
    assert_eq!(answer(&rig.deps, &post(&link.path(), &format!("pin={PIN}"))).await.status(), 404);
    let rows = rig.outbox().await;
    let row = rows.iter().find(|row| row.verb == "revoke").unwrap();
    assert_eq!(
        (row.actor.to_string().as_str(), row.target.to_string().as_str()),
        ("person:marieke", "person:joris")
    );
}

#[tokio::test]
async fn when_every_store_is_away_the_pages_say_so_and_changes_wait() {
    let deps = away().await;
    let link = deps.signer.sign(LinkKind::Person, &person("marieke"), deps.now()).unwrap();
    let (session, cookie) = deps.sessions.begin(&person("marieke"), &link.link.key_id, deps.now()).unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    for path in ["/", "/would-have", "/budgets", "/pipeline", "/waiting", "/people"] {
        let response = answer(&deps, &Request::new("GET", path).with_header("cookie", &cookie)).await;
        let page = text(&response);
        assert_eq!(response.status(), 200, "{path}");
        assert!(page.contains("UNKNOWN Treat it as RUNNING. Neither switch answers."), "{path}: {page}");
        assert!(page.contains("The log cannot be read now."), "{path}: {page}");
        assert!(page.contains("Your role cannot be read now."), "{path}: {page}");
        assert!(String::from_utf8_lossy(response.body()).contains("action=\"/halt\""), "{path}: HALT stays");
    }
    let budgets = answer(&deps, &Request::new("GET", "/budgets").with_header("cookie", &cookie)).await;
    assert!(text(&budgets).contains("Spend unknown: no model call is made."));
    let token = deps.sessions.form_token(&session, deps.now());
    let flip = post("/tools/append_note/dry", &format!("t={token}"))
        .with_header("sec-fetch-site", "same-origin")
        .with_header("cookie", &cookie);
    assert_eq!(answer(&deps, &flip).await.status(), 403, "a role that cannot be read changes nothing");
    let halt = post("/halt", "").with_header("cookie", &cookie);
    let response = answer(&deps, &halt).await;
    assert_eq!(response.status(), 503);
    assert!(text(&response).contains("NOT CONFIRMED The agent may still be running."), "{}", text(&response));
}

#[test]
fn an_unknown_person_is_nobody_and_a_silent_store_gives_no_power() {
    let session = web::Session {
        session_id: "s".into(),
        person: person("marieke"),
        key_id: LinkSigner::generate()
            .unwrap()
            .sign(LinkKind::Person, &person("marieke"), samples::now())
            .unwrap()
            .link
            .key_id,
        until_s: 0,
    };
    assert_eq!(admit(&session, Some(&People::default())), Admitted::Revoked);
    let Admitted::Yes(viewer) = admit(&session, None) else { panic!("a silent store says nothing") };
    assert!(!viewer.may_change && !viewer.known);
}
