//! The halt page and the console as a browser without script sees them, and how they look in a real one.
//! Must never press anything but what the page offers.
use crate::scene::{Scene, repository, run, says, says_nothing_more};
use crate::support::{not_run, variable};
use demo::serve::{Handler, serve};
use interlock::{PermitAnswer, PermitAsk, Standing};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use types::{Caps, IntentId, RunId, Scope, UsdNanos};

/// Van Dijk Logistics, whose deal 4411 is.
const VAN_DIJK: &str = "1234";
/// How a browser sends a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// One product behind real HTTP, and a browser that runs no script.
struct Site {
    scene: Scene,
    halt: String,
    console: String,
    camera: String,
    http: reqwest::Client,
    session: Arc<Mutex<String>>,
}

/// An answer, as a browser without script sees it.
struct Page {
    status: u16,
    location: String,
    html: String,
}

impl Page {
    /// The words on the page: no tags, no style, entities as characters, one blank between words.
    fn words(&self) -> String {
        let mut text = String::new();
        let mut rest = self.html.as_str();
        while let Some((before, after)) = rest.split_once('<') {
            text.push_str(before);
            let (tag, tail) = after.split_once('>').unwrap_or((after, ""));
            let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
            rest = match name.as_str() {
                "style" | "script" | "template" => {
                    tail.split_once(&format!("</{name}>")).map_or("", |(_, tail)| tail)
                }
                "b" | "i" | "time" | "a" | "code" | "s" | "del" | "ins" | "small" | "span" | "em"
                | "strong" | "" => tail,
                _ => {
                    text.push(' ');
                    tail
                }
            };
        }
        text.push_str(rest);
        let text =
            text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn says(&self, parts: &[&str]) {
        let words = self.words();
        for part in parts {
            assert!(words.contains(part), "no `{part}` in: {words}");
        }
    }

    #[track_caller]
    fn does_not_say(&self, parts: &[&str]) {
        let words = self.words();
        for part in parts {
            assert!(!words.contains(part), "`{part}` in: {words}");
        }
    }

    /// What a browser would send for the form with this action, untouched.
    #[track_caller]
    fn form(&self, action: &str) -> BTreeMap<String, String> {
        let forms = self.html.split("<form").skip(1).filter_map(|form| form.split("</form>").next());
        let mut ours = forms.filter(|form| {
            let tag = form.split('>').next().unwrap_or_default();
            attribute(tag, "action").is_some_and(|found| found == action)
        });
        let form = ours.next().unwrap_or_else(|| panic!("no form for {action} in {}", self.html));
        let mut fields = BTreeMap::new();
        let mut select = None;
        for tag in form.split('<').skip(1).filter_map(|part| part.split('>').next()) {
            let name = || attribute(tag, "name").unwrap_or_default();
            let value = || attribute(tag, "value").unwrap_or_default();
            if tag.starts_with("input ") {
                let kind = attribute(tag, "type").unwrap_or_default();
                if kind == "hidden" || (kind == "radio" && tag.ends_with(" checked")) {
                    fields.insert(name(), value());
                }
            } else if tag.starts_with("select ") {
                select = Some(name());
            } else if let (true, Some(name)) = (tag.starts_with("option "), &select)
                && tag.ends_with(" selected")
            {
                fields.insert(name.clone(), value());
            }
        }
        fields
    }
}

/// An attribute of a tag, entities as characters.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let value = rest.split('"').next().unwrap_or_default();
    Some(value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
}

fn encoded(fields: &BTreeMap<String, String>) -> String {
    let pair = |(name, value): (&String, &String)| {
        format!("{}={}", web::encode_component(name), web::encode_component(value))
    };
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}

impl Site {
    async fn new() -> Self {
        Self::over(async |settings| Scene::with(|variables| variables.extend(settings)).await).await
    }

    /// The product that `made` makes of these settings.
    async fn over(made: impl AsyncFnOnce(BTreeMap<String, String>) -> Scene) -> Self {
        let halt_listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let console_listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let camera_listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("an address"));
        let (halt, console, camera) = (url(&halt_listener), url(&console_listener), url(&camera_listener));
        let addresses = [("PUBLIC_HALT_URL", &halt), ("PUBLIC_CONSOLE_URL", &console)];
        let settings = addresses.into_iter().map(|(name, url)| (name.to_owned(), url.clone())).collect();
        let scene = Box::pin(made(settings)).await;
        // As its process does before the first request, in a company whose zone is known by then.
        scene.house.halt.hot.forget().await;
        scene.house.halt.refresh_zone().await;
        let deps = Arc::clone(&scene.house.halt);
        let halt_handler: Handler = Arc::new(move |event| {
            let deps = Arc::clone(&deps);
            Box::pin(async move { halt::handle(&deps, event).await.map_err(|error| error.to_string()) })
        });
        let deps = Arc::clone(&scene.house.console);
        let console_handler: Handler = Arc::new(move |event| {
            let deps = Arc::clone(&deps);
            Box::pin(async move { console::handle(&deps, event).await.map_err(|error| error.to_string()) })
        });
        let session = Arc::new(Mutex::new(String::new()));
        let shown = camera_of(Arc::clone(&halt_handler), Arc::clone(&console_handler), Arc::clone(&session));
        for (listener, handler) in
            [(halt_listener, halt_handler), (console_listener, console_handler), (camera_listener, shown)]
        {
            spawn(async { serve(listener, handler).await.expect("a server") });
        }
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let http = http.timeout(Duration::from_secs(60)).build().expect("a client");
        Self { scene, halt, console, camera, http, session }
    }

    fn key(&self) -> String {
        self.scene.secrets.halt_path.clone().expect("a halt page")
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Page {
        let answer = request.send().await.expect("an answer");
        let header = |name: &str| {
            answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let cookie = header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        if !cookie.is_empty() {
            *self.session.lock().expect("a lock") = cookie;
        }
        let (status, location) = (answer.status().as_u16(), header("location"));
        Page { status, location, html: answer.text().await.expect("a body") }
    }

    fn cookie(&self) -> String {
        self.session.lock().expect("a lock").clone()
    }

    /// A page of the halt function; `rest` comes after the key.
    async fn halt_get(&self, rest: &str) -> Page {
        self.send(self.http.get(format!("{}{}{rest}", self.halt, self.key()))).await
    }

    async fn halt_post(&self, rest: &str, fields: &BTreeMap<String, String>) -> Page {
        let request =
            self.http.post(format!("{}{}{rest}", self.halt, self.key())).header("origin", &self.halt);
        self.send(request.header("content-type", FORM).body(encoded(fields))).await
    }

    /// Presses the one button of the form, having filled in `typed`, and looks at the halt page again.
    #[track_caller]
    fn pressed<'a>(
        &'a self,
        page: &Page,
        rest: &'a str,
        typed: &[(&str, &str)],
    ) -> impl Future<Output = Page> + 'a {
        let mut fields = page.form(&format!("{}{rest}", self.key()));
        fields.extend(typed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        async move { self.halt_post(rest, &fields).await }
    }

    async fn console_get(&self, path: &str) -> Page {
        self.send(self.http.get(format!("{}{path}", self.console)).header("cookie", self.cookie())).await
    }

    async fn console_post(&self, path: &str, fields: &BTreeMap<String, String>) -> Page {
        let request = self.http.post(format!("{}{path}", self.console)).header("origin", &self.console);
        let request = request.header("cookie", self.cookie()).header("content-type", FORM);
        self.send(request.body(encoded(fields))).await
    }

    /// Fills in the form for `path` that `page` shows and sends it.
    async fn filled(&self, page: &Page, path: &str, typed: &[(&str, &str)]) -> Page {
        let mut fields = page.form(path);
        fields.extend(typed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.console_post(path, &fields).await
    }

    async fn sign_in(&self) {
        let key = self.key();
        let page = self.console_get(&key).await;
        let answer = self.filled(&page, &key, &[("pin", &self.scene.secrets.pin)]).await;
        assert_eq!((answer.status, answer.location.as_str()), (303, "/"), "{}", answer.html);
    }

    /// The five events of the demo, run to their end, and the log filled.
    async fn work(&mut self, events: &str) {
        assert_eq!(Box::pin(self.scene.deliver(&Scene::events(events))).await.0, 200);
        Box::pin(self.scene.drive()).await;
        Box::pin(self.scene.settle_audit()).await;
    }

    /// Everything that a press or a resume would change.
    async fn switches(&self) -> String {
        let interlock = &self.scene.house.halt.interlock;
        let control = interlock.control().await.expect("the control item");
        let flags = interlock.switch().read(&[VAN_DIJK.to_owned()]).await.expect("the flags");
        let hot = self.scene.house.step.hot.get().await.hot.version.clone();
        format!("{control:?} {flags:?} {hot}")
    }

    /// A permit for a write on deal 4411 that stays in flight.
    async fn permit(&self, nth: usize, tool: &str) {
        let (step, customer) = (&self.scene.house.step, Scene::customer(VAN_DIJK));
        let Standing::Go(go) = step.interlock.check(None, Some(&customer)).await else { panic!("not clear") };
        let run_id = RunId::new("r-00000000000000000000").expect("an id");
        let intent_id = IntentId::new(format!("i-{nth:020}")).expect("an id");
        let ask = PermitAsk {
            run_id: &run_id,
            intent_id: &intent_id,
            tool,
            target: "deal:4411",
            customer_id: &customer,
            invocation_deadline_ms: self.scene.clock.now_ms() + 60_000,
            request_ms_max: 10_000,
        };
        let granted = step.interlock.permit(&go, &ask).await.expect("an answer");
        assert!(matches!(granted, PermitAnswer::Granted(_)), "{granted:?}");
    }

    /// What a day may cost.
    async fn cap_a_day(&self, usd: UsdNanos) {
        let hot = &self.scene.house.step.hot;
        let caps = Caps { usd_per_day: usd, ..Caps::default() };
        hot.put_caps(&caps, hot.get().await.hot.caps_version()).await.expect("caps");
        hot.forget().await;
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing freezes a test")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

/// A test's body, off the test thread's small stack.
fn drive(body: impl Future<Output = ()>) {
    run(Box::pin(body));
}

/// Each state with its words, and reached as the product reaches it.
#[test]
fn the_halt_page_says_each_state_in_its_own_words() {
    drive(async {
        let site = Site::over(async |settings| {
            let mut scene = Scene::unarmed().await;
            scene.rebuild(|variables| variables.extend(settings)).await;
            scene
        })
        .await;
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

/// What a browser must never make of a record's text.
const HOSTILE: [&str; 8] = [
    "<script>alert",
    "<img src=x",
    "</title><script",
    "<b>& Co",
    "<b>&amp; Co",
    "\u{202e}",
    "\u{1b}",
    "\u{2066}",
];

#[test]
fn a_hostile_record_is_text_on_every_page() {
    drive(async {
        let mut site = Site::new().await;
        // The model repeats what the record and the mail say, in every text that it may write.
        let text =
            "<script>alert('note')</script> <img src=x onerror=alert(1)> \u{202e}\u{1b}[2J</title><script>";
        let note = json!({"deal_id": "4499", "text": text, "because": text});
        let mail = json!({"deal_id": "4499", "to_contact_id": "704499", "subject": "<script>alert(2)</script>",
            "body": text, "because": text});
        let question = json!({"deal_id": "4499", "question": text, "because": text});
        let calls = [("get_deal", json!({"deal_id": "4499"})), ("append_note", note), ("draft_email", mail)];
        let calls = calls.into_iter().chain([("ask_human", question)]);
        let answers = calls.map(|call| says(&[call])).chain([says_nothing_more()]);
        site.scene.standins.anthropic.script(answers.collect());
        site.work("reply_4499").await;
        site.sign_in().await;
        let run_id = Scene::run_of(&Scene::events("reply_4499")[0]);
        let calls = site.scene.calls(&run_id).await;
        let verbs: Vec<&str> = calls.iter().map(|row| row.verb.as_str()).collect();
        assert_eq!(verbs, ["get_deal", "append_note", "draft_email", "ask_human"], "{calls:?}");
        let mut paths: Vec<String> = [
            "/",
            "/would-have",
            "/tools",
            "/drafts",
            "/audit",
            "/audit?q=4499",
            "/pipeline",
            "/budgets",
            "/waiting",
            "/people",
        ]
        .map(str::to_owned)
        .into();
        paths.push("/audit?q=%3Cscript%3Ealert(1)%3C/script%3E".to_owned());
        paths.push("/would-have?customer=%3Cimg%20src=x%20onerror=alert(1)%3E".to_owned());
        paths.push(format!("/runs/{run_id}"));
        for call in &calls {
            paths.push(format!("/audit/{}", call.seq));
            paths.extend(call.prompt_hash.as_ref().map(|hash| format!("/prompts/{hash}")));
        }
        let mut seen = 0;
        for path in paths {
            let page = site.console_get(&path).await;
            assert_eq!(page.status, 200, "{path}");
            for part in HOSTILE {
                assert!(!page.html.contains(part), "{part:?} is alive on {path}");
            }
            assert!(page.html.len() <= 60 * 1024, "{path} is heavy: {}", page.html.len());
            seen += usize::from(page.html.contains("&lt;script"));
        }
        assert!(seen > 2, "the hostile text is nowhere to be seen");
        for rest in ["", "/fails", "/resume"] {
            let page = site.halt_get(rest).await;
            for part in HOSTILE {
                assert!(!page.html.contains(part), "{part:?} is alive on the halt page {rest}");
            }
        }
    });
}

// How the pages look.

/// The sizes that a phone and a desk have.
const PHONE: (u32, u32) = (390, 844);
const DESK: (u32, u32) = (1280, 800);

/// `/shot/<width>x<height>/halt/..` and the same of the console: a page in a frame of exactly that size, with
/// what a browser measured of it. `/halt/..` and `/console/..`: the page itself, signed in, free to be
/// framed.
fn camera_of(halt: Handler, console: Handler, session: Arc<Mutex<String>>) -> Handler {
    Arc::new(move |mut event: Value| {
        let (halt, console, session) = (Arc::clone(&halt), Arc::clone(&console), Arc::clone(&session));
        Box::pin(async move {
            let path = event["rawPath"].as_str().unwrap_or_default().to_owned();
            if let Some(shot) = path.strip_prefix("/shot/") {
                let query = event["rawQueryString"].as_str().unwrap_or_default();
                return Ok(frame_of(shot, query));
            }
            let (handler, rest) = match (path.strip_prefix("/halt"), path.strip_prefix("/console")) {
                (Some(rest), _) => (halt, rest),
                (None, Some(rest)) => (console, rest),
                (None, None) => return Err(format!("nothing at {path}")),
            };
            event["rawPath"] = rest.into();
            event["requestContext"]["http"]["path"] = rest.into();
            event["cookies"] = Value::from(vec![session.lock().expect("a lock").clone()]);
            let mut answer = handler(event).await?;
            // A frame is the only way to give a page a phone's width; everything else of the policy stays.
            if let Some(policy) = answer["headers"]["content-security-policy"].as_str() {
                let policy = policy.replace("frame-ancestors 'none'", "frame-ancestors 'self'");
                answer["headers"]["content-security-policy"] = policy.into();
            }
            Ok(answer)
        })
    })
}

fn frame_of(shot: &str, query: &str) -> Value {
    let (size, path) = shot.split_once('/').unwrap_or((shot, ""));
    let (width, height) = size.split_once('x').unwrap_or_default();
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    let html = format!(
        "<!doctype html><title>shot</title><style>body{{margin:0}}iframe{{border:0;display:block}}</style>\
         <iframe width={width} height={height} src='/{path}{query}'></iframe><pre id=m hidden></pre><script>\
         onload=()=>{{const f=document.querySelector('iframe'),d=f.contentDocument,r=d.documentElement,\
         h=[...d.querySelectorAll('button')].find(b=>b.textContent.startsWith('HALT')),\
         b=h?h.getBoundingClientRect():null,t=e=>e.tagName+':'+(e.getAttribute('href')||e.name||e.className);\
         m.textContent=JSON.stringify({{wide:r.scrollWidth,tall:r.scrollHeight,title:d.title,\
         halt:b&&{{top:b.top,bottom:b.bottom,height:b.height,width:b.width}},\
         out:[...d.querySelectorAll('main *,header *,nav *')].filter(e=>e.getBoundingClientRect().right>{width}+1\
         &&e.closest('nav')===null).map(t).slice(0,5),\
         alien:d.querySelectorAll('img,iframe,object,embed,link[rel=stylesheet],script[src]').length,\
         h1:d.querySelectorAll('h1').length}})}}</script>"
    );
    json!({"statusCode": 200, "headers": {"content-type": "text/html; charset=utf-8"}, "body": html})
}

/// Chromium, or Chrome.
fn chromium() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"].into_iter().find(|program| {
        let asked = Command::new(program).arg("--version").stderr(Stdio::null()).output();
        asked.is_ok_and(|said| said.status.success())
    })
}

/// Takes pictures, and measures.
struct Camera {
    program: &'static str,
    folder: PathBuf,
}

/// What the browser measured.
struct Measured(Value);

impl Camera {
    fn new(program: &'static str) -> Self {
        let folder = repository().join("tests/output");
        std::fs::create_dir_all(&folder).expect("a folder");
        Self { program, folder }
    }

    /// Runs the browser once, with a profile of its own, and returns what it printed.
    async fn browse(&self, (width, height): (u32, u32), url: String, what: String) -> String {
        let profile = std::env::temp_dir().join(format!("holdfast-chromium-{}", uuid::Uuid::new_v4()));
        let mut command = tokio::process::Command::new(self.program);
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--hide-scrollbars", "--force-device-scale-factor=1", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!("--window-size={},{}", width, height))
            .args([what, url])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let began = Instant::now();
        let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await;
        let _ = std::fs::remove_dir_all(&profile);
        let output = output.unwrap_or_else(|_| panic!("the browser hangs since {:?}", began.elapsed()));
        String::from_utf8_lossy(&output.expect("a browser").stdout).into_owned()
    }

    /// One page in one size: a picture in `tests/output/`, and what the browser measured.
    async fn take(&self, site: &Site, size: (u32, u32), page: &str, name: &str) -> Measured {
        let (width, height) = size;
        let file = self.folder.join(format!("{name}-{width}x{height}.png"));
        let url = format!("{}/shot/{width}x{height}{page}", site.camera);
        let _ = std::fs::remove_file(&file);
        self.browse(size, url.clone(), format!("--screenshot={}", file.display())).await;
        let picture = std::fs::read(&file).unwrap_or_else(|error| panic!("no picture of {name}: {error}"));
        assert_eq!(png_size(&picture), Some(size), "{name}");
        let shown = self.browse(size, url, "--dump-dom".to_owned()).await;
        let measured =
            shown.split_once("<pre id=\"m\" hidden=\"\">").and_then(|(_, rest)| rest.split_once("</pre>"));
        let (measured, _) = measured.unwrap_or_else(|| panic!("nothing was measured of {name}: {shown}"));
        let measured = measured.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let measured: Value =
            serde_json::from_str(&measured).unwrap_or_else(|error| panic!("{error}: {measured}"));
        assert_eq!(measured["out"], json!([]), "{name} at {width}: beyond the edge: {measured}");
        assert!(
            measured["wide"].as_u64() <= Some(width.into()),
            "{name} scrolls sideways at {width}: {measured}"
        );
        assert_eq!(measured["alien"], 0, "{name}: {measured}");
        assert_eq!(measured["h1"], 1, "{name}: {measured}");
        Measured(measured)
    }

    /// The tracked picture, made anew when `BLESS=1`.
    fn bless(&self, taken: &str, tracked: &str) {
        let tracked = repository().join("docs").join(tracked);
        if variable("BLESS").as_deref() == Some("1") {
            std::fs::create_dir_all(tracked.parent().expect("a folder")).expect("a folder");
            std::fs::copy(self.folder.join(taken), &tracked).expect("a picture");
        }
        let picture =
            std::fs::read(&tracked).unwrap_or_else(|error| panic!("{}: {error}; BLESS=1", tracked.display()));
        assert!(png_size(&picture).is_some() && picture.len() <= 200_000, "{}", tracked.display());
    }
}

impl Measured {
    /// The HALT button stands whole in the first screen.
    fn halt_is_in_sight(&self, name: &str, height: u32) -> f64 {
        let halt = &self.0["halt"];
        let number =
            |field: &str| halt[field].as_f64().unwrap_or_else(|| panic!("{name} has no HALT: {}", self.0));
        assert!(number("height") >= 150.0, "{name}: {}", self.0);
        assert!(number("top") >= 0.0 && number("bottom") <= f64::from(height) + 0.5, "{name}: {}", self.0);
        number("top")
    }

    fn no_halt(&self, name: &str) {
        assert!(self.0["halt"].is_null(), "{name}: {}", self.0);
    }
}

/// Width and height from a PNG's header.
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let number =
        |at: usize| bytes.get(at..at + 4).and_then(|part| part.try_into().ok()).map(u32::from_be_bytes);
    bytes.starts_with(b"\x89PNG").then(|| Some((number(16)?, number(20)?)))?
}

#[test]
fn the_halt_page_fits_a_phone_in_every_state() {
    let Some(program) = chromium() else {
        not_run("pages::the_halt_page_fits_a_phone_in_every_state", "no chromium");
        return;
    };
    drive(async {
        let camera = Camera::new(program);
        let mut tops = Vec::new();
        let mut site = Site::new().await;
        let key = format!("/halt{}", site.key());
        let shot = async |site: &Site, name: &str, size: (u32, u32)| {
            camera.take(site, size, &format!("/halt{}", site.key()), &format!("halt-{name}")).await
        };
        site.work("batch").await;
        let dry = shot(&site, "2-dry-run", PHONE).await;
        tops.push(("2-dry-run", dry.halt_is_in_sight("2-dry-run", PHONE.1)));
        for tool in ["append_note", "set_stage"] {
            site.scene.go_live(tool).await;
        }
        let running = shot(&site, "1-running", PHONE).await;
        tops.push(("1-running", running.halt_is_in_sight("1-running", PHONE.1)));
        camera.bless("halt-1-running-390x844.png", "halt-page.png");
        shot(&site, "1-running", DESK).await.halt_is_in_sight("1-running", DESK.1);
        shot(&site, "1-running", (320, 568)).await.halt_is_in_sight("1-running", 568);
        site.scene.press_halt(&Scope::Customer(Scene::customer(VAN_DIJK))).await;
        let except = shot(&site, "3-except", PHONE).await;
        tops.push(("3-except", except.halt_is_in_sight("3-except", PHONE.1)));
        camera.take(&site, PHONE, &format!("{key}/resume/1234"), "halt-resume-customer").await;
        let dutch = camera.take(&site, PHONE, &format!("{key}?l=nl"), "halt-3-dutch").await;
        tops.push(("3-dutch", dutch.halt_is_in_sight("3-dutch", PHONE.1)));
        let resumed = site.scene.resume(Scope::Customer(Scene::customer(VAN_DIJK))).await;
        assert!(matches!(resumed, interlock::Rearmed::Done { .. }), "{resumed:?}");
        site.permit(1, "set_stage").await;
        site.scene.press_halt(&Scope::Global).await;
        shot(&site, "4-halting", PHONE).await.no_halt("4-halting");
        site.scene.clock.advance_ms(70_000);
        site.scene.sweep_effects().await;
        shot(&site, "7-unknown", PHONE).await.no_halt("7-unknown");

        let site = Site::new().await;
        let page = site.halt_get("").await;
        site.pressed(&page, "/halt", &[]).await;
        shot(&site, "5-halted", PHONE).await.no_halt("5-halted");
        shot(&site, "5-halted", DESK).await.no_halt("5-halted");
        let key = format!("/halt{}", site.key());
        camera.take(&site, PHONE, &format!("{key}/resume"), "halt-resume").await;
        camera.take(&site, PHONE, &format!("{key}/fails"), "halt-fails").await;

        let mut site = Site::new().await;
        site.cap_a_day(UsdNanos(1_000)).await;
        site.work("reply_4411").await;
        shot(&site, "6-cap", PHONE).await.no_halt("6-cap");

        let highest = tops.iter().map(|(_, top)| *top).fold(f64::MAX, f64::min);
        let lowest = tops.iter().map(|(_, top)| *top).fold(f64::MIN, f64::max);
        assert!(lowest - highest <= 12.0, "HALT moves between states: {tops:?}");
    });
}

#[test]
fn the_console_fits_a_phone_and_a_desk() {
    let Some(program) = chromium() else {
        not_run("pages::the_console_fits_a_phone_and_a_desk", "no chromium");
        return;
    };
    drive(async {
        let camera = Camera::new(program);
        let mut site = Site::new().await;
        camera.take(&site, PHONE, &format!("/console{}", site.key()), "console-sign-in").await;
        site.sign_in().await;
        for events in ["batch", "reply_4377", "reply_4499"] {
            site.work(events).await;
        }
        let run_id = Scene::run_of(&Scene::events("reply_4411")[0]);
        let moved =
            site.scene.calls(&run_id).await.into_iter().find(|row| row.verb == "set_stage").expect("a call");
        let pages = [
            ("today", "/".to_owned()),
            ("would-have", "/would-have".to_owned()),
            ("tools", "/tools".to_owned()),
            ("writes", "/tools/set_stage/writes".to_owned()),
            ("drafts", "/drafts".to_owned()),
            ("audit", "/audit?q=4411".to_owned()),
            ("row", format!("/audit/{}", moved.seq)),
            ("run", format!("/runs/{run_id}")),
            ("pipeline", "/pipeline".to_owned()),
            ("budgets", "/budgets".to_owned()),
            ("waiting", "/waiting".to_owned()),
            ("people", "/people".to_owned()),
        ];
        for (name, path) in pages {
            for size in [DESK, PHONE] {
                camera.take(&site, size, &format!("/console{path}"), &format!("console-{name}")).await;
            }
        }
        camera.bless("console-would-have-1280x800.png", "would-have.png");
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
