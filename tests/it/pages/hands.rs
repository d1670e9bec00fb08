//! The halt page under a person's hands, in a real browser: keys, taps, no script, no signal, the way back.
//! Must never press for a person what she did not press.
use super::looks::Camera;
use super::*;
use crate::door::Line;

/// The word on the panel.
const WORD: &str = "document.querySelector('#pan h1').textContent.trim()";

impl Camera {
    async fn says(&self, word: &str) {
        self.tab
            .until(&format!("document.querySelector('#pan h1')?.textContent.trim()=={}", json!(word)))
            .await;
    }
}

impl Site {
    async fn epoch(&self) -> types::Epoch {
        self.scene.control().await.epoch
    }

    /// The rows of the audit log that say `halt`.
    async fn halts(&self) -> usize {
        let query =
            audit_log::Query { limit: 200, verb: Some("halt".to_owned()), ..audit_log::Query::default() };
        Box::pin(self.scene.settle_audit()).await;
        self.scene.house.audit.log.search(&query).await.expect("rows").rows.len()
    }
}

#[test]
fn one_tab_and_enter_halt_and_nothing_hides_what_has_the_focus() {
    drive(async {
        let test = "hands::one_tab_and_enter_halt_and_nothing_hides_what_has_the_focus";
        let Some(camera) = Camera::new(test).await else { return };
        let mut site = Site::new().await;
        Box::pin(site.work("reply_4411")).await;
        let url = format!("{}{}", site.halt, site.key());
        for (size, text) in [((390, 844), 16), ((320, 568), 16), ((844, 390), 16), ((390, 844), 32)] {
            camera.tab.size(size).await;
            camera.tab.text(text).await;
            camera.tab.open(&url).await;
            camera.tab.eval("document.querySelector('details').open=true").await;
            // Past the last one the focus leaves the page.
            let all = "document.querySelectorAll('a,button,input:not([type=hidden]),summary').length";
            let all = camera.tab.eval(all).await.as_u64().expect("a number");
            assert!(all > 5, "{all}");
            for nth in 0..all {
                camera.tab.key("Tab").await;
                let seen = "(()=>{const e=document.activeElement,b=e.getBoundingClientRect(),\
                    at=document.elementFromPoint(b.x+b.width/2,b.y+b.height/2);\
                    return [e.outerHTML.slice(0,80),at!==null&&(at===e||e.contains(at)||at.contains(e)),\
                    b.top>=-1&&b.bottom<=innerHeight+1]})()";
                let seen = camera.tab.eval(seen).await;
                assert_eq!(
                    (&seen[1], &seen[2]),
                    (&json!(true), &json!(true)),
                    "{size:?} {text} {nth}: {seen}"
                );
            }
        }
        camera.tab.text(16).await;
        camera.tab.size((390, 844)).await;
        camera.tab.open(&url).await;
        camera.tab.key("Tab").await;
        let focused = camera.tab.eval("document.activeElement.textContent.trim()").await;
        assert_eq!(focused, "HALT Stops the agent for every customer");
        camera.keep("halt-focus").await;
        camera.tab.key("Enter").await;
        camera.says("HALTED").await;
        assert!(!site.scene.control().await.is_armed());
    });
}

#[test]
fn without_script_halting_ends_by_itself_and_a_person_resumes() {
    drive(async {
        let test = "hands::without_script_halting_ends_by_itself_and_a_person_resumes";
        let Some(camera) = Camera::new(test).await else { return };
        let mut site = Site::new().await;
        site.scene.go_live("set_stage").await;
        site.permit(1, "set_stage").await;
        camera.tab.script(false).await;
        camera.tab.open(&format!("{}{}", site.halt, site.key())).await;
        camera.tab.tap(".halt button").await;
        camera.says("HALTING").await;
        site.scene.clock.advance_ms(70_000);
        Box::pin(site.scene.sweep_effects()).await;
        // Nobody touches it: the page asks again.
        camera.says("HALTED").await;
        camera.tab.tap(".low a[href$='/resume']").await;
        camera.tab.until("document.querySelector('textarea')!==null").await;
        camera.tab.tap("textarea").await;
        camera.tab.type_text("the deal was looked at").await;
        camera.tab.tap("input[name=pin]").await;
        camera.tab.type_text(&site.scene.secrets.pin).await;
        camera.tab.tap("button.blue").await;
        camera.says("RUNNING").await;
        assert!(site.scene.control().await.is_armed());
    });
}

#[test]
fn a_halt_without_signal_is_sent_again_until_it_lands_and_a_lost_page_says_so() {
    drive(async {
        let test = "hands::a_halt_without_signal_is_sent_again_until_it_lands_and_a_lost_page_says_so";
        let Some(camera) = Camera::new(test).await else { return };
        let site = Site::new().await;
        let line = Line::to(&site.halt).await;
        let url = format!("http://{}{}", line.address, site.key());
        camera.tab.open(&url).await;
        let before = site.epoch().await;
        // Nobody touches it, and its server is gone: after a while it says that it knows nothing.
        line.cut();
        camera.says("NO CONTACT").await;
        let words = camera.tab.words().await;
        assert!(words.contains("Last contact 10:00:00: RUNNING") && words.contains("HALT Stops"), "{words}");
        let no_contact = camera.in_every_look("13-no-contact").await;
        line.mend();
        camera.says("RUNNING").await;

        // The server is gone between the look and the tap.
        line.cut();
        camera.tab.tap(".halt button").await;
        camera.says("NOT CONFIRMED").await;
        let words = camera.tab.words().await;
        for part in
            ["Your HALT is sent again every 2 seconds. Try ", "Last contact 10:00:00: RUNNING", "Call Joris"]
        {
            assert!(words.contains(part), "no `{part}` in {words}");
        }
        let not_confirmed = camera.in_every_look("12-not-confirmed").await;
        assert_eq!(site.epoch().await, before, "nothing arrived");
        line.mend();
        camera.says("HALTED").await;
        assert!(!site.scene.control().await.is_armed(), "the press that was sent again landed");

        // A page that was halted and loses contact offers HALT again: the agent may run by now.
        line.cut();
        camera.says("NO CONTACT").await;
        assert!(camera.tab.eval("document.querySelector('.halt button')!==null").await == true);
        camera.still_keeps_rules("13-no-contact", &no_contact).await;
        camera.still_keeps_rules("12-not-confirmed", &not_confirmed).await;
    });
}

#[test]
fn a_press_that_waits_for_its_answer_says_so() {
    drive(async {
        let test = "hands::a_press_that_waits_for_its_answer_says_so";
        let Some(camera) = Camera::new(test).await else { return };
        let door = Door::to(&Scene::tables_endpoint()).await;
        let site = Site::over_servers(None, &door).await;
        camera.tab.open(&format!("{}{}", site.halt, site.key())).await;
        let gate = door.hold(|asked| asked.operation == "UpdateItem");
        camera.tab.tap(".halt button").await;
        gate.reached().await;
        assert_eq!(camera.tab.eval(WORD).await, "SENDING");
        let sending = camera.in_every_look("11-sending").await;
        gate.open();
        camera.says("HALTED").await;
        camera.still_keeps_rules("11-sending", &sending).await;
    });
}

#[test]
fn the_way_back_never_shows_an_old_state_and_a_press_elsewhere_is_seen() {
    drive(async {
        let test = "hands::the_way_back_never_shows_an_old_state_and_a_press_elsewhere_is_seen";
        let Some(camera) = Camera::new(test).await else { return };
        let site = Site::new().await;
        let url = format!("{}{}", site.halt, site.key());
        camera.tab.open(&url).await;
        camera.says("RUNNING").await;
        camera.tab.open(&format!("{url}/fails")).await;
        site.scene.press_halt(&Scope::Global).await;
        let mut events = camera.tab.events();
        camera.tab.eval("history.back()").await;
        events.until("Page.loadEventFired").await;
        assert_eq!(camera.tab.eval(WORD).await, "HALTED");
        // And a page that is only looked at hears of a resume and of the next press.
        assert!(matches!(site.scene.resume(Scope::Global).await, interlock::Rearmed::Done { .. }));
        camera.says("RUNNING").await;
        camera.tab.eval("document.querySelector('details').open=true").await;
        camera.tab.tap("#c").await;
        camera.tab.type_text("Van Dijk").await;
        let van_dijk = Scope::Customer(Scene::customer(VAN_DIJK));
        site.scene.press_halt(&van_dijk).await;
        camera.tab.until("document.body.innerText.includes('For everyone except 1 customer.')").await;
        let typed = "document.activeElement.value+document.querySelector('details').open";
        assert_eq!(camera.tab.eval(typed).await, "Van Dijktrue", "a field in use was replaced");
    });
}

#[test]
fn twenty_presses_at_once_and_a_double_tap_are_one_halt_and_every_press_has_its_row() {
    drive(async {
        let site = Site::new().await;
        let press = || {
            let fields = BTreeMap::from([("scope".to_owned(), "global".to_owned())]);
            let site = &site;
            async move { site.halt_post("/halt", &fields).await.status }
        };
        let mut all = Vec::new();
        for _ in 0..20 {
            all.push(press());
        }
        let answers = join_all(all).await;
        assert_eq!(answers, [303; 20]);
        let first = site.scene.control().await.halted_by.expect("by whom");
        assert_eq!(site.halts().await, 20);
        // One halt, of the first presser, whoever presses after her.
        site.scene.clock.advance_ms(5_000);
        assert_eq!(press().await, 303);
        assert_eq!(site.scene.control().await.halted_by, Some(first));
        assert_eq!(site.halts().await, 21);

        let test = "hands::twenty_presses_at_once_and_a_double_tap_are_one_halt_and_every_press_has_its_row";
        let Some(camera) = Camera::new(test).await else { return };
        let site = Site::new().await;
        let before = site.epoch().await;
        camera.tab.open(&format!("{}{}", site.halt, site.key())).await;
        camera.tab.tap(".halt button").await;
        camera
            .tab
            .call(
                "Input.dispatchMouseEvent",
                json!({"type": "mousePressed", "x": 195, "y": 400,
            "button": "left", "clickCount": 1}),
            )
            .await;
        camera
            .tab
            .call(
                "Input.dispatchMouseEvent",
                json!({"type": "mouseReleased", "x": 195, "y": 400,
            "button": "left", "clickCount": 1}),
            )
            .await;
        camera.says("HALTED").await;
        let presses = site.epoch().await.0 - before.0;
        assert_eq!(
            site.halts().await,
            usize::try_from(presses).expect("a number"),
            "every press has its row"
        );
    });
}

/// All of them at once, their answers in order.
async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, answer) in &mut futures {
            if answer.is_none()
                && let std::task::Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *answer = Some(ready);
            }
        }
        let done = futures.iter().all(|(_, answer)| answer.is_some());
        if done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    futures.into_iter().filter_map(|(_, answer)| answer).collect()
}

#[test]
fn a_link_of_a_ping_that_tries_to_resume_is_refused_and_logged() {
    drive(async {
        let site = Site::new().await;
        site.scene.press_halt(&Scope::Global).await;
        let signer = web::LinkSigner::from_secret_hex(&site.scene.secrets.link_signing_key).expect("a key");
        let demo = types::PersonId::new("demo").expect("an id");
        let slack = signer.sign(web::LinkKind::Slack, &demo, site.scene.clock.now()).expect("a link");
        let url = format!("{}{}/resume", site.halt, slack.path());
        let refused = async |site: &Site| {
            let rows = Box::pin(site.scene.rows()).await;
            rows.into_iter()
                .filter(|row| row.verb == "resume" && row.decision == types::EntryState::Refused)
                .count()
        };
        assert_eq!(site.send(site.http.get(&url)).await.status, 403);
        assert_eq!(refused(&site).await, 0, "looking leaves no row");
        let body = format!("why=looked+at+everything&pin={}", site.scene.secrets.pin);
        let sent = site.http.post(&url).header("origin", &site.halt).header("content-type", FORM).body(body);
        assert_eq!(site.send(sent).await.status, 403);
        let rows = Box::pin(site.scene.rows()).await;
        let said: Vec<_> = rows.iter().map(|row| (&row.verb, &row.actor, row.decision)).collect();
        assert_eq!(refused(&site).await, 1, "{said:?}");
        assert!(!site.scene.control().await.is_armed());
    });
}
