//! Inviting people, roles and new PINs. Must never show an invitation twice.
use super::*;

/// The invitation's token on the page that was just answered.
fn token_of(response: &Response) -> String {
    let html = String::from_utf8(response.body().to_vec()).unwrap();
    let at = html.split("value=\"http://halt.example/a/").nth(1).unwrap();
    at.split('"').next().unwrap().to_owned()
}

async fn known(rig: &Rig, id: &str) -> Person {
    rig.deps.interlock.people().await.unwrap().people.get(&person(id)).cloned().unwrap()
}

#[tokio::test]
async fn somebody_new_is_invited_with_a_pin_and_the_link_is_in_no_row() {
    let rig = rig().await;
    let browser = rig.sign_in("marieke").await;
    let form = "name=Sanne+de+Wit&role=ops";
    for (form, told) in [
        (format!("{form}&pin=111111"), "This PIN is wrong"),
        (form.to_owned(), "A PIN has 6 digits"),
        (format!("name=%E2%80%AEeve&role=ops&pin={PIN}"), "A name is one line"),
        (format!("name=Joris&pin={PIN}"), "Somebody of this name is there already"),
    ] {
        let refused = browser.post("/people/invite", &form).await;
        assert_eq!(refused.status(), 422, "{form}");
        assert!(text(&refused).contains(told), "{form}: {}", text(&refused));
    }
    assert_eq!(rig.deps.interlock.people().await.unwrap().people.len(), 2, "nobody was added");
    assert!(rig.outbox().await.iter().all(|row| row.verb != "invite"));

    let page = browser.post("/people/invite", &format!("{form}&pin={PIN}")).await;
    assert_eq!(page.status(), 200, "{}", text(&page));
    assert!(text(&page).contains("she chooses her PIN there"), "{}", text(&page));
    assert!(String::from_utf8_lossy(page.body()).contains("<svg class=\"qr\""), "a code to scan");
    let token = token_of(&page);
    let link = rig.deps.signer.verifier().verify(&token, rig.clock.now()).unwrap();
    assert_eq!((link.kind, link.person.as_str()), (LinkKind::Invite, "sanne-de-wit"));
    let fifteen = rig.clock.now_ms() + 15 * 60_000;
    assert!(link.until.unwrap().as_millisecond() <= fifteen, "it ends after 15 minutes");
    let sanne = known(&rig, "sanne-de-wit").await;
    assert!(sanne.keys.is_empty() && sanne.pin_hash.is_none(), "the invitation gives no key by itself");
    assert_eq!(sanne.role, Role::Ops);
    let rows = rig.outbox().await;
    let row = rows.iter().find(|row| row.verb == "invite").unwrap();
    assert_eq!(
        (row.actor.to_string(), row.target.to_string()),
        ("person:marieke".into(), "person:sanne-de-wit".into())
    );
    assert!(!format!("{rows:?}").contains(&token), "the secret is in no row");
    assert!(!String::from_utf8_lossy(browser.get("/people").await.body()).contains(&token), "shown once");
}

#[tokio::test]
async fn another_phone_keeps_the_pin_and_a_new_pin_is_given_by_somebody_else() {
    let rig = rig().await;
    let browser = rig.sign_in("marieke").await;
    let before = known(&rig, "joris").await;
    let phone = browser.post("/people/invite", &format!("person=joris&pin={PIN}")).await;
    assert!(text(&phone).contains("she types the PIN she has"), "{}", text(&phone));
    assert_eq!(known(&rig, "joris").await, before, "only the phone's own form adds a key");
    let own = browser.post("/people/invite", &format!("person=marieke&new_pin=1&pin={PIN}")).await;
    assert_eq!(own.status(), 422);
    assert!(known(&rig, "marieke").await.pin_hash.is_some());
    let new = browser.post("/people/invite", &format!("person=joris&new_pin=1&pin={PIN}")).await;
    assert!(text(&new).contains("she chooses her PIN there"), "{}", text(&new));
    assert_eq!(known(&rig, "joris").await.pin_hash, None);
    let gone = browser.post("/people/invite", &format!("person=nobody&pin={PIN}")).await;
    assert_eq!(gone.status(), 422);
}

#[tokio::test]
async fn the_last_who_can_resume_stays_ops() {
    let rig = rig().await;
    let browser = rig.sign_in("marieke").await;
    let down = format!("person=marieke&role=reader&pin={PIN}");
    let refused = browser.post("/people/role", &down).await;
    assert_eq!(refused.status(), 422);
    assert!(text(&refused).contains("She is the last who can resume"), "{}", text(&refused));
    assert_eq!(browser.post("/people/role", "person=joris&role=ops&pin=111111").await.status(), 422);
    assert_eq!(known(&rig, "joris").await.role, Role::Reader);
    let up = browser.post("/people/role", &format!("person=joris&role=ops&pin={PIN}")).await;
    assert_eq!(up.header("location"), Some("/people?n=role"), "{}", text(&up));
    let _ = rig.link("joris").await;
    assert_eq!(browser.post("/people/role", &down).await.status(), 303, "now somebody else can");
    let rows = rig.outbox().await;
    let row =
        rows.iter().find(|row| row.verb == "set_role" && row.target.to_string() == "person:joris").unwrap();
    assert_eq!(row.after.as_ref().unwrap()["label"], "ops: everything");
}
