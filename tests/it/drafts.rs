//! A draft beside its deal as HubSpot has it now. Must never let a person send what was overtaken unseen.
use crate::scene::{Scene, run, says, says_nothing_more, url_event};
use serde_json::json;
use standins::hubspot::Kind;
use standins::{Fault, Matcher};

/// What the page of drafts says, without tags.
async fn drafts(scene: &Scene, session: &str) -> String {
    let event = url_event("GET", "/drafts", &[("cookie", session.to_owned())], b"");
    let answer = console::handle(&scene.house.console, event).await.expect("an answer");
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let html = answer["body"].as_str().expect("a page");
    html.split('<').map(|part| part.split_once('>').map_or(part, |(_, rest)| rest)).collect()
}

#[test]
fn a_draft_says_when_its_deal_has_changed_since_is_gone_or_cannot_be_read() {
    run(Box::pin(async {
        let mut scene = Scene::new().await;
        let mail = json!({"deal_id": "4411", "to_contact_id": "704411", "subject": "Thank you",
            "body": "We will call you.", "because": "They wrote."});
        scene.standins.anthropic.script(vec![says(&[("draft_email", mail)]), says_nothing_more()]);
        assert_eq!(scene.deliver(&Scene::events("reply_4411")).await.0, 200);
        scene.drive().await;
        scene.settle_audit().await;
        let session = scene.sign_in().await;
        let shown = drafts(&scene, &session).await;
        assert!(shown.contains("Thank you") && shown.contains("contact on deal 4411: yes"), "{shown}");
        assert!(shown.contains("The deal is as it was when this was written."), "{shown}");

        scene.clock.advance_ms(60_000);
        let changed = scene.standins.hubspot.edit_by_person(Kind::Deal, 4411, "amount", "9000");
        changed.expect("an edit");
        let shown = drafts(&scene, &session).await;
        assert!(shown.contains("The deal has changed since, last at 10:01:00"), "{shown}");
        scene.clock.advance_ms(60_000);
        scene.standins.hubspot.edit_by_person(Kind::Deal, 4411, "dealstage", "closedlost").expect("an edit");
        let shown = drafts(&scene, &session).await;
        assert!(shown.contains("Its stage became “Closed Lost” at 10:02:00"), "{shown}");

        for (fault, told) in [
            (Fault::Status(503), "HubSpot does not answer. Whether the deal has changed since is not known"),
            (Fault::Status(404), "This deal is not in HubSpot any more."),
        ] {
            scene.standins.hubspot.always(Matcher::any().method("GET").path("/deals/"), fault);
            let shown = drafts(&scene, &session).await;
            assert!(shown.contains(told), "{shown}");
            scene.standins.hubspot.clear_faults();
        }
    }));
}
