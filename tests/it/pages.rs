//! The halt page and the console as a browser without script sees them, and how they look in a real one.
//! Must never press anything but what the page offers.
mod browser;
mod console;
mod halting;
mod hands;
mod hostile;
mod looks;
mod note;
mod rules;
mod states;

use crate::door::Door;
use crate::scene::{Scene, repository, run, says, says_nothing_more};
use crate::servers::RealRedis;
use crate::support::{not_run, variable};
use demo::serve::{Handler, serve};
use interlock::{PermitAnswer, PermitAsk, Standing};
use serde_json::{Value, json};
use standins::{Fault, Matcher};
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
            let name = tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric);
            let name: String = name.collect();
            rest = match name.as_str() {
                "style" | "script" | "template" if !tag.starts_with('/') => {
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

    /// One that nobody has started yet.
    async fn unarmed() -> Self {
        Self::over(async |settings| {
            let mut scene = Scene::unarmed().await;
            scene.rebuild(|variables| variables.extend(settings)).await;
            scene
        })
        .await
    }

    /// Its tables behind this door, its flags in a real server if there is one.
    async fn over_servers(redis: Option<&RealRedis>, door: &Door) -> Self {
        let servers = [
            ("AWS_ENDPOINT_URL_DYNAMODB", Some(door.url.clone())),
            ("REDIS_URL", redis.map(|real| real.redis.url().to_owned())),
        ];
        let servers = servers.into_iter().filter_map(|(name, url)| Some((name.to_owned(), url?)));
        Self::over(async |settings| {
            Scene::with(|variables| variables.extend(settings.into_iter().chain(servers))).await
        })
        .await
    }

    /// The product that `made` makes of these settings.
    async fn over(made: impl AsyncFnOnce(BTreeMap<String, String>) -> Scene) -> Self {
        let halt_listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let console_listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("an address"));
        let (halt, console) = (url(&halt_listener), url(&console_listener));
        let addresses = [("PUBLIC_HALT_URL", &halt), ("PUBLIC_CONSOLE_URL", &console)];
        let addresses = addresses.into_iter().map(|(name, url)| (name.to_owned(), url.clone()));
        let deputy = [("DEPUTY_NAME", "Joris"), ("DEPUTY_PHONE", "06 1234 5678")];
        let deputy = deputy.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
        let mut scene = Box::pin(made(addresses.chain(deputy).collect())).await;
        // The stand-in takes HubSpot's place; its pages for people are HubSpot's all the same.
        let deps = Arc::get_mut(&mut scene.house.halt).expect("nobody else has it yet");
        deps.install.hubspot_app_url = Some("https://app.hubspot.com".to_owned());
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
            Box::pin(async move { ::console::handle(&deps, event).await.map_err(|error| error.to_string()) })
        });
        let session = Arc::new(Mutex::new(String::new()));
        for (listener, handler) in [(halt_listener, halt_handler), (console_listener, console_handler)] {
            spawn(async { serve(listener, handler).await.expect("a server") });
        }
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let http = http.timeout(Duration::from_secs(60)).build().expect("a client");
        Self { scene, halt, console, http, session }
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
