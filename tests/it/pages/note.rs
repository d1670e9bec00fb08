//! A note after a halt, and what becomes of the events that wait. Must never be asked before a halt.
use super::*;
use ledger::RunStatus;
use types::{EntryState, Mode};

#[test]
fn a_note_is_one_field_after_a_halt_and_never_before() {
    drive(async {
        let mut site = Site::new().await;
        site.work("reply_4411").await;
        let running = site.halt_get("").await;
        running.does_not_say(&["Add a note"]);
        assert_eq!(site.halt_get("/note").await.status, 303);
        let typed = [("note".to_owned(), "they called us".to_owned())];
        let early = site.halt_post("/note", &typed.clone().into()).await;
        assert_eq!(early.status, 409);
        early.says(&["It is not halted."]);
        assert_eq!(site.halt_post("/note/1234", &typed.clone().into()).await.status, 409);
        let notes = async |site: &Site| {
            let rows = Box::pin(site.scene.rows()).await;
            rows.into_iter().filter(|row| row.verb == "note").collect::<Vec<_>>()
        };
        assert_eq!(notes(&site).await.len(), 0, "a note before a halt");

        site.pressed(&running, "/halt", &[]).await;
        let halted = site.halt_get("").await;
        halted.says(&["Add a note…"]);
        let form = site.halt_get("/note").await;
        form.says(&["HALTED since 10:0", "by you", "Add a note", "What happened?"]);
        assert_eq!(site.pressed(&form, "/note", &[("note", " ")]).await.status, 422);
        let done = site.pressed(&form, "/note", &[("note", "<b>they</b> called us")]).await;
        assert_eq!(done.status, 303);
        site.halt_get("?n=noted").await.says(&["Your note is in the log.", "HALTED Nothing in flight."]);
        let rows = notes(&site).await;
        let [row] = rows.as_slice() else { panic!("one note: {rows:?}") };
        assert_eq!(row.because.as_deref(), Some("<b>they</b> called us"));
        assert_eq!((row.actor.as_str(), row.target_id.as_deref()), ("person:demo", Some("agent:global")));

        // A link in a ping can see and halt, and nothing else.
        let signer = web::LinkSigner::from_secret_hex(&site.scene.secrets.link_signing_key).expect("a key");
        let demo = types::PersonId::new("demo").expect("an id");
        let slack = signer.sign(web::LinkKind::Slack, &demo, site.scene.clock.now()).expect("a link");
        let page = site.send(site.http.get(format!("{}{}", site.halt, slack.path()))).await;
        page.says(&["This is a Slack link. It can halt for 24 hours, and never resume."]);
        page.does_not_say(&["Add a note", "Resume the agent"]);
        let sent = site.http.post(format!("{}{}/note", site.halt, slack.path())).header("origin", &site.halt);
        let refused = site.send(sent.header("content-type", FORM).body("note=hello")).await;
        assert_eq!(refused.status, 403);
        assert_eq!(notes(&site).await.len(), 1);
    });
}

/// An event that met a halt waits; the resume page's choice starts it in dry-run, whatever writes.
#[test]
fn what_waits_is_left_alone_or_all_started_in_dry_run_as_the_person_chooses() {
    drive(async {
        for choice in ["leave", "start"] {
            let mut site = Site::new().await;
            for tool in ["append_note", "set_stage"] {
                site.scene.go_live(tool).await;
            }
            site.scene.press_halt(&Scope::Global).await;
            let input = Box::pin(site.scene.begin("reply_4411")).await;
            assert_eq!(Box::pin(site.scene.finish(&input)).await, step::Next::Halted);
            assert_eq!(site.scene.run(&input.run_id).await.status, RunStatus::Held);
            let form = site.halt_get("/resume").await;
            form.says(&[
                "1 event is waiting. Runs that were stopped stay stopped: they are never picked up half-way.",
                "Leave it in the console’s list, where each event is started or discarded",
                "Start it all in dry-run",
                "As before: writes on for notes, stages",
            ]);
            let fields = form.form(&format!("{}/resume", site.key()));
            assert_eq!(fields["waiting"], "leave", "the safe choice holds unless she says otherwise");
            assert_eq!(fields["start"], "dry_run");
            let pin = site.scene.secrets.pin.clone();
            let typed = [
                ("why", "looked at everything"),
                ("pin", pin.as_str()),
                ("waiting", choice),
                ("start", "as_before"),
            ];
            let resumed = site.pressed(&form, "/resume", &typed).await;
            assert_eq!(resumed.status, 303, "{}", resumed.words());
            site.halt_get("").await.says(&["RUNNING The agent can change deals in HubSpot."]);
            let swept = Box::pin(site.scene.sweep_effects()).await;
            if choice == "leave" {
                assert_eq!(swept["waiting_started"], 0);
                assert!(site.scene.asked_for().is_empty());
                assert_eq!(site.scene.run(&input.run_id).await.status, RunStatus::Held);
                continue;
            }
            assert!(resumed.location.ends_with("?n=starting"), "{}", resumed.location);
            site.halt_get("?n=starting")
                .await
                .says(&["What was waiting starts within a minute, in dry-run."]);
            assert_eq!(swept["waiting_started"], 1);
            Box::pin(site.scene.drive()).await;
            let run = site.scene.run(&input.run_id).await;
            assert_eq!(run.status, RunStatus::Done);
            assert!(run.bound.expect("bound").modes.values().all(|mode| *mode == Mode::DryRun));
            assert_eq!(site.scene.sent(), [], "nothing was written, though the tools write");
            let calls = Box::pin(site.scene.calls(&input.run_id)).await;
            assert!(calls.iter().any(|row| row.decision == EntryState::WouldHave), "{calls:?}");
            let rows = Box::pin(site.scene.rows()).await;
            let row = rows.iter().find(|row| row.verb == "start_held").expect("a row of the start");
            assert_eq!(row.actor, "person:demo");
            // The wish is done: what waits later waits for a person.
            assert_eq!(Box::pin(site.scene.sweep_effects()).await["waiting_started"], 0);
        }
    });
}

#[test]
fn a_halt_ends_the_wish_to_start_what_waits() {
    drive(async {
        let mut site = Site::new().await;
        site.scene.press_halt(&Scope::Global).await;
        let input = Box::pin(site.scene.begin("reply_4411")).await;
        assert_eq!(Box::pin(site.scene.finish(&input)).await, step::Next::Halted);
        let form = site.halt_get("/resume").await;
        let pin = site.scene.secrets.pin.clone();
        let typed = [("why", "looked at everything"), ("pin", pin.as_str()), ("waiting", "start")];
        assert_eq!(site.pressed(&form, "/resume", &typed).await.status, 303);
        // Halted and resumed again before the sweep came by, without saying it.
        site.scene.press_halt(&Scope::Global).await;
        assert_eq!(Box::pin(site.scene.sweep_effects()).await["waiting_started"], 0);
        assert!(matches!(site.scene.resume(Scope::Global).await, interlock::Rearmed::Done { .. }));
        assert_eq!(Box::pin(site.scene.sweep_effects()).await["waiting_started"], 0);
        assert!(site.scene.asked_for().is_empty());
        assert_eq!(site.scene.run(&input.run_id).await.status, RunStatus::Held);
    });
}
