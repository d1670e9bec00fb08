//! The console without script: what it shows, flips, answers and forgets. Must never skip a reason or a PIN.
use super::*;

#[test]
fn the_console_shows_flips_and_answers() {
    drive(async {
        let mut site = Site::new().await;
        let out = site.console_get("/").await;
        assert_eq!(out.status, 401);
        out.does_not_say(&["RUNNING", "HALTED"]);
        site.sign_in().await;
        site.console_get("/would-have").await.says(&["No actions yet."]);
        site.work("reply_4411").await;
        let page = site.console_get("/would-have").await;
        page.says(&["Van Dijk Logistics", "4411", "Negotiation", "Closed Lost", "Did you expect this?"]);
        site.console_get("/").await.says(&["RUNNING", "Van Dijk Logistics"]);
        // Writes on: tick, reason and PIN, all three.
        let path = "/tools/set_stage/writes";
        let form = site.console_get(path).await;
        let pin = site.scene.secrets.pin.clone();
        let know = ("know", "1");
        let why = ("why", "five quiet days");
        for typed in
            [&[why, ("pin", &pin)][..], &[know, ("why", "no"), ("pin", &pin)], &[know, why, ("pin", "1")]]
        {
            let refused = site.filled(&form, path, typed).await;
            assert_eq!(refused.status, 422, "{}", refused.words());
            site.halt_get("").await.says(&["In dry-run: it reads deals and changes nothing."]);
        }
        let done = site.filled(&form, path, &[know, why, ("pin", &pin)]).await;
        assert_eq!((done.status, done.location.as_str()), (303, "/tools?n=live"), "{}", done.words());
        site.halt_get("").await.says(&["The agent can change deals in HubSpot.", "Writes on: stages."]);
        site.scene.clock.advance_ms(6_000);
        site.work("reply_4391").await;
        // The answer to "why", in a sentence.
        let answer = site.console_get("/audit?q=4391&to=qualified").await;
        answer.says(&[
            "On Tuesday 24 November 2026 at 10:0",
            "the agent moved deal 4391",
            "from “New” to “Qualified”.",
            "Because:",
        ]);
        answer.says(&["Writes for set_stage were on, turned on by Demo on Tuesday 24 November 2026."]);
        site.console_get("/audit?q=4460")
            .await
            .says(&["No row for 4460 in this time. The agent did not touch it."]);
        // Back: one click.
        let tools = site.console_get("/tools").await;
        let back = site.filled(&tools, "/tools/set_stage/dry", &[]).await;
        assert_eq!((back.status, back.location.as_str()), (303, "/tools?n=dry"), "{}", back.words());
        site.halt_get("").await.says(&["In dry-run: it reads deals and changes nothing."]);
        // A form from elsewhere, or without its token, changes nothing.
        let mut fields = site.console_get("/tools/set_stage/writes").await.form(path);
        fields.extend(
            [know, why, ("pin", pin.as_str())].map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        fields.insert("t".to_owned(), "none".to_owned());
        assert_ne!(site.console_post(path, &fields).await.status, 303);
        site.halt_get("").await.says(&["In dry-run"]);
    });
}

#[test]
fn a_saved_list_of_stages_holds_within_five_seconds_and_without_a_rebuild() {
    drive(async {
        let mut site = Site::new().await;
        site.sign_in().await;
        // The step function has read the old list just now.
        let old = site.scene.house.step.hot.get().await;
        assert!(old.hot.stages.find("closedlost").is_some_and(|stage| stage.agent_may_move_here));
        let list = site.console_get("/pipeline").await;
        let check = site.filled(&list, "/pipeline/check", &[("s:closedlost", "no")]).await;
        check.says(&["What changes", "− disallow Closed Lost"]);
        let saved = site.filled(&check, "/pipeline/save", &[]).await;
        assert_eq!((saved.status, saved.location.as_str()), (303, "/pipeline?n=stages"), "{}", saved.words());
        site.scene.clock.advance_ms(5_000);
        site.work("reply_4411").await;
        let run_id = Scene::run_of(&Scene::events("reply_4411")[0]);
        let refused =
            site.scene.calls(&run_id).await.into_iter().find(|row| row.verb == "set_stage").expect("a call");
        assert_eq!(refused.decision, types::EntryState::Refused, "{refused:?}");
        site.console_get("/pipeline").await.says(&["“Closed Lost” is not in your list.", "In force since"]);
    });
}

#[test]
fn a_person_is_exported_and_forgotten_from_the_console() {
    run(Box::pin(async {
        let mut site = Site::new().await;
        site.sign_in().await;
        site.work("reply_4411").await;
        let page = site.console_get("/data-requests").await;
        page.says(&["Data requests", "No request yet.", "Your company is the controller"]);
        let her = ("contact", "704411");
        let nobody = site.filled(&page, "/data-requests/export", &[]).await;
        assert_eq!(nobody.status, 422, "{}", nobody.html);
        let zip = site.filled(&page, "/data-requests/export", &[her]).await;
        assert_eq!((zip.status, zip.html.starts_with("PK")), (200, true));
        assert!(
            zip.html.contains("m.vandijk@vandijk-logistics.example") && zip.html.contains("blacked-out.txt")
        );

        let (why, pin) = (("why", "she asked by letter"), site.scene.secrets.pin.clone());
        let path = "/data-requests/erase";
        for wrong in [
            [her, ("why", "short"), ("word", "erase"), ("pin", pin.as_str())],
            [her, why, ("word", "yes"), ("pin", pin.as_str())],
            [her, why, ("word", "erase"), ("pin", "000000")],
            [("contact", "her"), ("email", ""), ("name", "Ann"), ("why", "she asked by letter")],
        ] {
            let answer = site.filled(&page, path, &wrong).await;
            assert_eq!(answer.status, 422, "{wrong:?}: {}", answer.html);
        }
        let open = site.scene.house.audit.ledger.open_requests().await.expect("requests");
        assert_eq!(open, [], "nothing was opened");
        let right = [her, why, ("word", "erase"), ("pin", pin.as_str())];
        let answer = site.filled(&page, path, &right).await;
        assert_eq!((answer.status, answer.location.as_str()), (303, "/data-requests?n=forget"));
        site.console_get("/data-requests").await.says(&[
            "contact 704411",
            "to forget her",
            "by Demo",
            "Looking for",
        ]);
        for _ in 0..2 {
            site.scene.settle_audit().await;
        }
        site.scene.settle_audit().await;
        let page = site.console_get("/data-requests").await;
        page.says(&["Done", "not kept"]);
        assert!(!page.html.contains("704411"), "{}", page.html);
    }));
}
