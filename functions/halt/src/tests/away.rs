//! Away from safe: resuming and adding a phone. Must never pass on less than everything that is asked for.
use super::*;
use types::Mode;

/// The hidden fields of the resume form as the page shows them, and a right reason and PIN.
async fn form_of(rig: &Rig, path: &str) -> String {
    let page = String::from_utf8(rig.get(path).await.body().to_vec()).unwrap();
    let field = |name: &str| {
        let rest = page.split(&format!("name=\"{name}\" value=\"")).nth(1);
        rest.unwrap_or_else(|| panic!("no field {name} in {page}")).split('"').next().unwrap().to_owned()
    };
    format!(
        "epoch={}&generation={}&seq={}&why=The+cause+is+fixed&pin={PIN}",
        field("epoch"),
        field("generation"),
        web::encode_component(&field("seq"))
    )
}

async fn halted_rig() -> (Rig, SignedLink, String) {
    let rig = rig(Up::Both).await;
    let link = rig.link(LinkKind::Person).await;
    rig.post(&format!("{}/halt", link.path()), "").await;
    let path = format!("{}/resume", link.path());
    (rig, link, path)
}

#[tokio::test]
async fn a_reason_and_the_pin_resume_in_dry_run_or_as_before() {
    for (start, mode) in [("", Mode::DryRun), ("&start=as_before", Mode::Live)] {
        let rig = rig(Up::Both).await;
        let link = rig.link(LinkKind::Person).await;
        rig.truth.flip("set_stage", Mode::Live, &Actor::System("test".into()), "", "cli").await.unwrap();
        rig.post(&format!("{}/halt", link.path()), "").await;
        let path = format!("{}/resume", link.path());
        let page = text(&rig.get(&path).await);
        assert!(page.contains("As before: writes on for stages"), "{page}");
        assert!(page.contains("never picked up half-way"), "{page}");
        let response = rig.post(&path, &format!("{}{start}", form_of(&rig, &path).await)).await;
        assert_eq!(response.status(), 303, "{}", text(&response));
        assert!(rig.is_armed().await);
        assert_eq!(rig.truth.control().await.unwrap().modes.get("set_stage"), Some(&mode));
    }
}

#[tokio::test]
async fn each_missing_piece_refuses_a_resume_and_is_logged() {
    let (rig, link, path) = halted_rig().await;
    let good = form_of(&rig, &path).await;
    let epoch = rig.epoch().await;
    let refused = [
        (good.replace("The+cause+is+fixed", "++++ok++++"), 422, "at least 10 characters"),
        (good.replace(PIN, "271829"), 422, "That PIN is not right."),
        (good.replace(PIN, "2718"), 422, "A PIN has 6 digits."),
        (good.replace("epoch=", "epoch=9"), 409, "Somebody pressed HALT"),
        (good.replace("&seq=", "&seq=other"), 409, "Somebody pressed HALT"),
        (good.replace("epoch=", "missing="), 422, "Look again"),
        (String::new(), 422, "at least 10 characters"),
    ];
    for (form, status, words) in &refused {
        let response = rig.post(&path, form).await;
        assert_eq!(response.status(), *status, "{form}");
        let page = text(&response);
        assert!(page.contains(words), "{words}: {page}");
        assert!(!page.contains(PIN), "a PIN is never shown again");
    }
    assert!(
        text(&rig.post(&path, &good.replace(PIN, "1")).await).contains("The cause is fixed"),
        "typed text stays"
    );
    assert_eq!(rig.epoch().await, epoch);
    assert!(!rig.is_armed().await);
    let slack = rig.link(LinkKind::Slack).await;
    assert_eq!(rig.post(&format!("{}/resume", slack.path()), &good).await.status(), 403);
    for header in [Some("cross-site"), Some("same-site"), Some("none"), None] {
        let request = post(&path, &good);
        let request = match header {
            Some(site) => request.with_header("sec-fetch-site", site),
            None => request,
        };
        assert_eq!(answer(&rig.deps, &request).await.status(), 403, "{header:?}");
    }
    assert!(!rig.is_armed().await);
    let rows = rig.deps.ledger.unacknowledged(100).await.unwrap();
    assert!(!rows.is_empty(), "refusals leave rows");
    rig.revoke(&link).await;
    assert_eq!(rig.post(&path, &good).await.status(), 404);
    assert!(!rig.is_armed().await);
}

#[tokio::test]
async fn a_halt_pressed_after_the_page_was_read_wins() {
    let (rig, link, path) = halted_rig().await;
    let form = form_of(&rig, &path).await;
    rig.post(&format!("{}/halt", link.path()), "").await;
    assert_eq!(rig.post(&path, &form).await.status(), 409);
    assert!(!rig.is_armed().await);
    let fresh = form_of(&rig, &path).await;
    assert_eq!(rig.post(&path, &fresh).await.status(), 303);
    assert!(rig.is_armed().await);
}

#[tokio::test]
async fn five_wrong_pins_close_the_door_for_a_quarter_of_an_hour() {
    let (rig, _, path) = halted_rig().await;
    let good = form_of(&rig, &path).await;
    for nth in 0..5 {
        assert_eq!(rig.post(&path, &good.replace(PIN, "000000")).await.status(), 422, "try {nth}");
    }
    let response = rig.post(&path, &good).await;
    assert_eq!(response.status(), 429, "the right PIN does not open it either");
    assert!(text(&response).contains("Try again after 02:29:07"), "{}", text(&response));
    rig.clock.advance_ms(15 * 60 * 1_000);
    assert_eq!(rig.post(&path, &good).await.status(), 303);
    let people = rig.truth.people().await.unwrap();
    assert_eq!(people.people.get(&marieke()).unwrap().pin_wrong_total, 0, "a right PIN clears the count");
}

#[tokio::test]
async fn parallel_guesses_are_counted_one_by_one() {
    let (rig, _, path) = halted_rig().await;
    let form = form_of(&rig, &path).await.replace(PIN, "000000");
    let deps = Arc::new(deps(rig.dynamo.endpoint(), rig.redis.url(), &rig.signer, &rig.clock).await);
    let mut guesses = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (deps, path, form) = (Arc::clone(&deps), path.clone(), form.clone());
        let request = post(&path, &form).with_header("sec-fetch-site", "same-origin");
        guesses.spawn(async move { answer(&deps, &request).await.status() });
    }
    let judged = guesses.join_all().await.into_iter().filter(|status| *status == 422).count();
    let wrong = rig.truth.people().await.unwrap().people.get(&marieke()).unwrap().pin_wrong;
    assert!(judged <= wrong as usize && wrong <= 5, "{judged} were told, {wrong} were counted");
}

#[tokio::test]
async fn one_customer_is_resumed_alone_and_a_global_resume_leaves_her_halted() {
    let rig = rig(Up::Both).await;
    let link = rig.link(LinkKind::Person).await;
    let base = link.path();
    rig.post(&format!("{base}/halt"), "scope=customer&customer=1234").await;
    rig.post(&format!("{base}/halt"), "scope=global").await;
    let path = format!("{base}/resume");
    assert!(text(&rig.get(&path).await).contains("Halted customers stay halted: 1."));
    let form = form_of(&rig, &path).await;
    assert_eq!(rig.post(&path, &form).await.status(), 303);
    let control = rig.truth.control().await.unwrap();
    assert!(control.is_armed() && control.halted_customers.contains_key(&customer("1234")));
    assert!(rig.truth.switch().read(&["1234".into()]).await.unwrap().customers[0].0, "her flag stands");
    let path = format!("{base}/resume/1234");
    let form = form_of(&rig, &path).await;
    assert_eq!(rig.post(&path, &form.replace(PIN, "000000")).await.status(), 422);
    assert_eq!(rig.post(&path, &form).await.status(), 303);
    assert!(rig.truth.control().await.unwrap().halted_customers.is_empty());
    assert!(rig.is_armed().await);
}

#[tokio::test]
async fn a_silent_switch_refuses_a_resume() {
    for up in [Up::OnlyControl, Up::OnlyFlags] {
        let rig = rig(up).await;
        let link = rig.link(LinkKind::Person).await;
        rig.post(&format!("{}/halt", link.path()), "").await;
        let path = format!("{}/resume", link.path());
        let epoch = rig.epoch().await;
        let form = format!("epoch={epoch}&generation=0&seq=&why=The+cause+is+fixed&pin={PIN}");
        assert!(rig.post(&path, &form).await.status() >= 409);
        assert_eq!(rig.epoch().await, epoch);
    }
}

#[tokio::test]
async fn a_reader_and_a_person_without_pin_can_halt_and_not_resume() {
    let (rig, link, path) = halted_rig().await;
    let good = form_of(&rig, &path).await;
    for change in [(|person| person.role = Role::Reader) as fn(&mut Person), |person| {
        person.role = Role::Ops;
        person.pin_hash = None;
    }] {
        let mut people = rig.truth.people().await.unwrap();
        change(people.people.get_mut(&marieke()).unwrap());
        assert!(rig.truth.put_people(&people).await.unwrap());
        assert_eq!(rig.post(&path, &good).await.status(), 403);
        assert_eq!(rig.post(&format!("{}/halt", link.path()), "").await.status(), 303);
    }
    assert!(!rig.is_armed().await);
}

#[tokio::test]
async fn an_invitation_makes_one_phone_once_and_only_by_its_button() {
    let rig = rig(Up::Both).await;
    let mut people = rig.truth.people().await.unwrap();
    people.people.get_mut(&marieke()).unwrap().pin_hash = None;
    assert!(rig.truth.put_people(&people).await.unwrap());
    let invite = rig.link(LinkKind::Invite).await;
    let path = invite.path();
    assert!(text(&rig.get(&path).await).contains("Add this phone for Marieke"));
    assert_eq!(rig.post(&path, "pin=12345").await.status(), 422);
    let cross = post(&path, "pin=123456").with_header("sec-fetch-site", "cross-site");
    assert_eq!(answer(&rig.deps, &cross).await.status(), 403);
    let response = rig.post(&path, "pin=123456").await;
    assert_eq!(response.status(), 303);
    let page = response.header("location").unwrap().to_owned();
    assert!(page.starts_with("/s/") && page.ends_with("&welcome=1"), "{page}");
    let shown = rig.get(&page).await;
    assert!(text(&shown).contains("This is your halt page."), "{}", text(&shown));
    assert_eq!(rig.post(&path, "pin=123456").await.status(), 404, "used up");
    assert_eq!(rig.get(&path).await.status(), 404, "used up");
    let person = rig.truth.people().await.unwrap().people.remove(&marieke()).unwrap();
    assert_eq!(person.keys.len(), 1);
    assert!(PinHash::from_phc(&person.pin_hash.unwrap()).matches(&Pin::parse("123456").unwrap()));
}

#[tokio::test]
async fn an_invitation_never_replaces_a_pin_and_ends_by_itself() {
    let rig = rig(Up::Both).await;
    let path = rig.link(LinkKind::Invite).await.path();
    assert_eq!(rig.post(&path, "pin=123456").await.status(), 422, "not her PIN");
    let person = rig.truth.people().await.unwrap().people.remove(&marieke()).unwrap();
    assert_eq!((person.pin_wrong, person.keys.len()), (1, 0));
    assert_eq!(rig.post(&path, &format!("pin={PIN}")).await.status(), 303);
    let late = rig.link(LinkKind::Invite).await.path();
    rig.clock.advance_ms(web::INVITE_SECONDS * 1_000);
    assert_eq!(rig.post(&late, &format!("pin={PIN}")).await.status(), 404);
}
