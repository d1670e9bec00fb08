//! The halt page without script: its words in each state, halting, resuming, and that looking changes
//! nothing. Must never press anything but what the page offers.
use super::*;

/// Each state with its words, and reached as the product reaches it.
#[test]
fn the_halt_page_says_each_state_in_its_own_words() {
    drive(async {
        let site = Site::unarmed().await;
        let page = site.halt_get("").await;
        let start = "Nobody has started the agent. It starts in dry-run: it reads deals and changes nothing.";
        page.says(&[
            "HALTED Not started yet.",
            start,
            "Start in dry-run…",
            "Checked 10:00:00, Amsterdam (UTC+1)",
        ]);
        page.does_not_say(&["Stops the agent for every customer", "RUNNING"]);

        let mut site = Site::new().await;
        let page = site.halt_get("").await;
        page.says(&[
            "RUNNING In dry-run: it reads deals and changes nothing.",
            "Dry-run: notes, stages, follow-ups.",
            "Stops the agent for every customer",
            "Checked 10:00:00, Amsterdam (UTC+1)",
        ]);
        for tool in ["append_note", "set_stage"] {
            site.scene.go_live(tool).await;
        }
        let page = site.halt_get("").await;
        page.says(&[
            "RUNNING The agent can change deals in HubSpot.",
            "Writes on: notes, stages. Dry-run: follow-ups.",
            "Stops the agent for every customer",
        ]);
        for (nth, tool) in ["append_note", "set_stage"].into_iter().enumerate() {
            site.permit(nth, tool).await;
        }
        let after = site.pressed(&page, "/halt", &[]).await;
        assert_eq!((after.status, after.location), (303, site.key()));
        let page = site.halt_get("").await;
        page.says(&[
            "HALTING 2 writes in flight.",
            "Your halt is confirmed. Nothing new will start.",
            "You are done. Just wait.",
            "Note on deal 4411",
            "Stage of deal 4411",
            "seconds at the latest.",
            "Check now",
        ]);
        page.does_not_say(&["Stops the agent for every customer", "Resume the agent"]);
        site.scene.clock.advance_ms(70_000);
        site.scene.sweep_effects().await;
        let page = site.halt_get("").await;
        page.says(&["HALTED Nothing is being sent. Check 1 deal.", "HubSpot never answered for 2 writes."]);
        page.does_not_say(&["Nothing in flight.", "Stops the agent for every customer"]);
    });
}

#[test]
fn the_halt_page_says_who_halted_and_that_it_lasts() {
    drive(async {
        let site = Site::new().await;
        let page = site.halt_get("").await;
        site.pressed(&page, "/halt", &[]).await;
        let page = site.halt_get("").await;
        page.says(&[
            "HALTED Nothing in flight.",
            "The agent is stopped for every customer.",
            "Halted by you at 10:00:00.",
            "You can put the phone down. It stays halted until a person resumes it. Midnight, an update or a restart does not.",
            "Resume the agent… (asks why, and your PIN)",
        ]);
        page.does_not_say(&["Stops the agent for every customer", "RUNNING"]);
        site.scene.clock.advance_ms(86_400_000);
        site.halt_get("").await.says(&["HALTED Nothing in flight.", "Halted by you at 24 Nov 10:00:00."]);

        let mut site = Site::new().await;
        site.cap_a_day(UsdNanos(1_000)).await;
        site.work("reply_4411").await;
        let page = site.halt_get("").await;
        page.says(&[
            "HALTED Nothing in flight.",
            "Halted by the daily budget at 10:00:0",
            "The next model call could have cost more than was left, so it was not made.",
            "A new budget day starts 00:00 Amsterdam. The agent stays halted.",
        ]);
        page.does_not_say(&["Stops the agent for every customer"]);
    });
}

#[test]
fn halting_and_resuming_a_customer_needs_no_script() {
    drive(async {
        let mut site = Site::new().await;
        site.work("reply_4411").await;
        let pin = site.scene.secrets.pin.clone();
        let page = site.halt_get("").await;
        let rest = "/halt";
        // One customer: found by her row, by her number, and by her name.
        page.says(&["Halt one customer only", "Van Dijk Logistics", "No. 1234"]);
        for named in [VAN_DIJK, "Van Dijk Logistics"] {
            let fields = [("scope", "customer"), ("customer", named)];
            let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            assert_eq!(site.halt_post(rest, &fields).await.status, 303);
            let page = site.halt_get("").await;
            page.says(&[
                "RUNNING For everyone except 1 customer.",
                "Halted: Van Dijk Logistics.",
                "HALTED: Van Dijk Logistics (1234) Nothing in flight. By you at",
                "Stops the agent for every customer",
            ]);
            let form = site.halt_get("/resume/1234").await;
            form.says(&["Resume Van Dijk Logistics"]);
            let typed = [("why", "the deal was looked at"), ("pin", pin.as_str())];
            assert_eq!(site.pressed(&form, "/resume/1234", &typed).await.status, 303);
            site.halt_get("").await.says(&["RUNNING In dry-run"]);
        }
        let fields = [("scope", "customer"), ("customer", "nobody at all")];
        let nobody =
            site.halt_post(rest, &fields.map(|(name, value)| (name.into(), value.into())).into()).await;
        assert_eq!(nobody.status, 422);
        nobody.says(&["No customer has that number or name. Nothing was halted.", "RUNNING"]);
    });
}

#[test]
fn resuming_asks_for_a_reason_and_a_pin_and_leaves_a_customers_halt() {
    drive(async {
        let mut site = Site::new().await;
        site.work("reply_4411").await;
        let pin = site.scene.secrets.pin.clone();
        let rest = "/halt";
        // Everything; her halt stays when the whole is resumed.
        let fields =
            [("scope", "customer"), ("customer", VAN_DIJK)].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(site.halt_post(rest, &fields.into()).await.status, 303);
        let page = site.halt_get("").await;
        assert_eq!(site.pressed(&page, rest, &[]).await.status, 303);
        site.halt_get("").await.says(&["HALTED Nothing in flight."]);
        let form = site.halt_get("/resume").await;
        form.says(&[
            "HALTED since",
            "by you",
            "Halted customers stay halted: 1.",
            "Why is it safe to resume?",
        ]);
        let wrong = if pin == "000000" { "000001" } else { "000000" };
        for (why, pin, status, told) in [
            ("short", pin.as_str(), 422, "10"),
            ("looked at everything", wrong, 422, "PIN"),
            ("looked at everything", "12", 422, "6"),
        ] {
            let refused = site.pressed(&form, "/resume", &[("why", why), ("pin", pin)]).await;
            assert_eq!(refused.status, status, "{}", refused.words());
            refused.says(&[told]);
            assert!(refused.html.contains(why), "what was typed is gone");
            site.halt_get("").await.says(&["HALTED Nothing in flight."]);
        }
        let rows = Box::pin(site.scene.rows()).await;
        let refused = rows.iter().filter(|row| row.reason.as_deref() == Some("resume_refused"));
        assert_eq!(refused.count(), 3, "each refused resume has its row in the log");
        let typed = [("why", "looked at everything"), ("pin", pin.as_str())];
        let mut foreign = form.form(&format!("{}/resume", site.key()));
        foreign.extend(typed.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let elsewhere =
            site.http.post(format!("{}{}/resume", site.halt, site.key())).header("content-type", FORM);
        let elsewhere = elsewhere.header("origin", "https://elsewhere.example").body(encoded(&foreign));
        assert_eq!(site.send(elsewhere).await.status, 403);
        assert_eq!(site.pressed(&form, "/resume", &typed).await.status, 303);
        site.halt_get("")
            .await
            .says(&["RUNNING For everyone except 1 customer.", "Halted: Van Dijk Logistics."]);
        // A form that was open since before another press resumes nothing.
        let page = site.halt_get("").await;
        site.pressed(&page, rest, &[]).await;
        let stale = site.pressed(&form, "/resume", &typed).await;
        assert_eq!(stale.status, 409, "{}", stale.words());
        site.halt_get("").await.says(&["HALTED Nothing in flight."]);
    });
}

#[test]
fn reading_changes_nothing_whatever_the_query() {
    drive(async {
        let mut site = Site::new().await;
        site.work("reply_4411").await;
        site.sign_in().await;
        let (before, rows) = (site.switches().await, site.scene.rows().await.len());
        let queries = [
            "?do=halt",
            "?scope=global",
            "?scope=customer&customer=1234",
            "?halt",
            "?halt=1&pin=000000",
            "?method=POST&_method=POST",
            "?l=nl&l=en",
            "?%00=%ff",
            "?welcome=<script>",
            "?resume=1&why=because+I+can",
        ];
        let pages = ["", "/", "/halt", "/resume", "/resume/1234", "/fails"];
        let agents = ["Slackbot-LinkExpanding 1.0", "Mozilla/5.0", "WhatsApp/2.23"];
        let console = [
            "/",
            "/halt",
            "/tools/append_note/writes",
            "/pipeline/save",
            "/budgets",
            "/people",
            "/resume",
            "/sign-out",
        ];
        let halt = pages.iter().map(|page| format!("{}{}{page}", site.halt, site.key()));
        let console = console.iter().map(|page| format!("{}{page}", site.console));
        for (n, url) in halt.chain(console).enumerate() {
            for (m, query) in queries.iter().enumerate() {
                for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
                    let request =
                        self_sent(&site, method, &format!("{url}{query}"), agents[(n + m) % agents.len()]);
                    let page = site.send(request).await;
                    assert!(page.status < 500, "{url}{query}: {} {}", page.status, page.html);
                }
            }
        }
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
            for url in [format!("{}{}/halt", site.halt, site.key()), format!("{}/halt", site.console)] {
                assert_eq!(site.send(self_sent(&site, method.clone(), &url, agents[0])).await.status, 405);
            }
        }
        assert_eq!(site.switches().await, before, "a reading changed a switch");
        assert_eq!(site.scene.rows().await.len(), rows, "a reading left a row");
    });
}

fn self_sent(site: &Site, method: reqwest::Method, url: &str, agent: &str) -> reqwest::RequestBuilder {
    let request = site.http.request(method, url).header("cookie", site.cookie()).header("user-agent", agent);
    request.header("purpose", "prefetch").header("sec-purpose", "prefetch;prerender")
}
