//! A real browser, driven over its own pipe: no port, no second process of ours. Must never outlive its test.
//!
//! Chromium's DevTools protocol over `--remote-debugging-pipe`: JSON texts that end with a zero byte, in on
//! descriptor 3 and out on descriptor 4. A shell puts our two pipes there.
use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashMap;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{broadcast, oneshot};

/// How long the browser may be silent: a busy machine is no broken page.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program of this machine.
pub(super) fn program() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"].into_iter().find(|program| {
        let asked = Command::new(program).arg("--version").stderr(Stdio::null()).output();
        asked.is_ok_and(|said| said.status.success())
    })
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

/// One browser with a profile of its own.
pub(super) struct Browser {
    _child: Child,
    stdin: tokio::sync::Mutex<(ChildStdin, u64)>,
    waiting: Waiting,
    events: broadcast::Sender<Value>,
    profile: PathBuf,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

impl Browser {
    /// Starts it, or says that this test cannot run here.
    pub(super) async fn start(test: &str) -> Option<Arc<Self>> {
        let Some(program) = program() else {
            not_run(&format!("pages::{test}"), "no chromium");
            return None;
        };
        let profile = std::env::temp_dir().join(format!("holdfast-chromium-{}", uuid::Uuid::new_v4()));
        let mut command = tokio::process::Command::new("sh");
        command
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null", "sh", program])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--hide-scrollbars", "--force-device-scale-factor=1", "--disable-dev-shm-usage"])
            .args(["--remote-debugging-pipe", "--disable-extensions", "--mute-audio"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("a browser");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = child.stdout.take().expect("a pipe");
        let (events, _) = broadcast::channel(4_096);
        let waiting = Waiting::default();
        spawn(read_all(stdout, Arc::clone(&waiting), events.clone()));
        let stdin = tokio::sync::Mutex::new((stdin, 0));
        Some(Arc::new(Self { _child: child, stdin, waiting, events, profile }))
    }

    async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        let (sender, receiver) = oneshot::channel();
        {
            let mut stdin = self.stdin.lock().await;
            stdin.1 += 1;
            let id = stdin.1;
            let mut message = json!({"id": id, "method": method, "params": params});
            if let Some(session) = session {
                message["sessionId"] = session.into();
            }
            self.waiting.lock().expect("a lock").insert(id, sender);
            let mut bytes = message.to_string().into_bytes();
            bytes.push(0);
            stdin.0.write_all(&bytes).await.expect("the browser listens");
        }
        let answer = tokio::time::timeout(PATIENCE, receiver).await;
        let answer = answer.unwrap_or_else(|_| panic!("{method}: no answer")).expect("the browser lives");
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// A page of its own: no cookie, no history, no cache of another one.
    pub(super) async fn tab(self: &Arc<Self>, (width, height): (u32, u32)) -> Tab {
        let context = self.call(None, "Target.createBrowserContext", json!({})).await;
        let asked = json!({"url": "about:blank", "browserContextId": context["browserContextId"]});
        let target = self.call(None, "Target.createTarget", asked).await;
        let asked = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.call(None, "Target.attachToTarget", asked).await;
        let session = attached["sessionId"].as_str().expect("a session").to_owned();
        let tab = Tab { browser: Arc::clone(self), session };
        for domain in ["Page", "Network", "Runtime"] {
            tab.call(&format!("{domain}.enable"), json!({})).await;
        }
        tab.size((width, height)).await;
        tab
    }
}

async fn read_all(stdout: ChildStdout, waiting: Waiting, events: broadcast::Sender<Value>) {
    let mut stdout = BufReader::new(stdout);
    let mut bytes = Vec::new();
    while let Ok(1..) = stdout.read_until(0, &mut bytes).await {
        let message: Value =
            serde_json::from_slice(bytes.strip_suffix(&[0]).unwrap_or(&bytes)).expect("JSON");
        bytes.clear();
        match message["id"].as_u64() {
            Some(id) => {
                if let Some(sender) = waiting.lock().expect("a lock").remove(&id) {
                    drop(sender.send(message));
                }
            }
            // Nobody listens: nothing is lost that anybody waits for.
            None => drop(events.send(message)),
        }
    }
}

/// One page of the browser.
pub(super) struct Tab {
    browser: Arc<Browser>,
    session: String,
}

impl Tab {
    pub(super) async fn call(&self, method: &str, params: Value) -> Value {
        self.browser.call(Some(&self.session), method, params).await
    }

    pub(super) async fn size(&self, (width, height): (u32, u32)) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 900});
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Dark or light, and no motion, so that two pictures of one state are alike.
    pub(super) async fn dark(&self, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// The text size that a person has set: 16 is everybody's, 32 is 200 %.
    pub(super) async fn text(&self, pixels: u32) {
        let sizes = json!({"fontSizes": {"standard": pixels, "fixed": pixels}});
        self.call("Page.setFontSizes", sizes).await;
    }

    pub(super) async fn script(&self, runs: bool) {
        self.call("Emulation.setScriptExecutionDisabled", json!({"value": !runs})).await;
    }

    /// Its events from now on.
    pub(super) fn events(&self) -> Events {
        Events { all: self.browser.events.subscribe(), session: self.session.clone() }
    }

    /// Opens a page and returns when it stands.
    pub(super) async fn open(&self, url: &str) {
        let mut events = self.events();
        let opened = self.call("Page.navigate", json!({"url": url})).await;
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
        events.until("Page.loadEventFired").await;
    }

    /// The value of an expression; a promise is waited for.
    #[track_caller]
    pub(super) fn eval(&self, expression: &str) -> impl Future<Output = Value> + '_ {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        async move {
            let answer = self.call("Runtime.evaluate", asked).await;
            assert!(answer["exceptionDetails"].is_null(), "{answer}");
            answer["result"]["value"].clone()
        }
    }

    /// Waits until an expression is true.
    pub(super) async fn until(&self, expression: &str) {
        let began = Instant::now();
        while self.eval(expression).await != true {
            assert!(began.elapsed() < PATIENCE, "never true: {expression}; {}", self.words().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What a person reads.
    pub(super) async fn words(&self) -> String {
        let text = self.eval("document.body.innerText").await;
        text.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The page as it stands, without its script: a state that passes can be looked at for long.
    pub(super) async fn still(&self) -> String {
        let copy = "(()=>{const d=document.documentElement.cloneNode(true);\
            d.querySelectorAll('script').forEach(e=>e.remove());return '<!DOCTYPE html>'+d.outerHTML})()";
        self.eval(copy).await.as_str().expect("a page").to_owned()
    }

    /// Shows such a copy.
    pub(super) async fn show(&self, still: &str) {
        self.open("about:blank").await;
        let tree = self.call("Page.getFrameTree", json!({})).await;
        let asked = json!({"frameId": tree["frameTree"]["frame"]["id"], "html": still});
        self.call("Page.setDocumentContent", asked).await;
    }

    pub(super) async fn key(&self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            _ => panic!("no such key here: {key}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event =
                json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Types into what has the focus.
    pub(super) async fn type_text(&self, text: &str) {
        self.call("Input.insertText", json!({"text": text})).await;
    }

    /// Taps the middle of the first element of that selector, where a person's thumb would.
    pub(super) async fn tap(&self, selector: &str) {
        let find = format!(
            "(()=>{{const e=document.querySelector({});e.scrollIntoView({{block:'center'}});\
             const r=e.getBoundingClientRect();return [r.x+r.width/2,r.y+r.height/2]}})()",
            json!(selector)
        );
        let at = self.eval(&find).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// A picture of the first screen.
    pub(super) async fn picture(&self) -> Vec<u8> {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"})).await;
        STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64")
    }
}

/// What a page told since somebody began to listen.
pub(super) struct Events {
    all: broadcast::Receiver<Value>,
    session: String,
}

impl Events {
    /// The next event of that name.
    pub(super) async fn until(&mut self, method: &str) -> Value {
        let wait = async {
            loop {
                let event = self.all.recv().await.expect("the browser lives");
                if event["sessionId"] == self.session.as_str() && event["method"] == method {
                    return event["params"].clone();
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {method}"))
    }

    /// Every event of these names so far.
    pub(super) fn so_far(&mut self, methods: &[&str]) -> Vec<Value> {
        let all = std::iter::from_fn(|| self.all.try_recv().ok());
        let ours = all.filter(|event| event["sessionId"] == self.session.as_str());
        let asked = ours.filter(|event| event["method"].as_str().is_some_and(|name| methods.contains(&name)));
        asked.map(|event| event["params"].clone()).collect()
    }
}
