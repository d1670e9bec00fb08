//! The demo, driven as a person drives it: a program in a folder, with signals, pipes and browsers.
//! Must never leave a process behind, nor let the settings of whoever runs the tests reach the demo.
use crate::scene::{Scene, repository};
use crate::support::{not_run, variable};
use audit_log::AuditLog;
use serde_json::Value;
use standins::hubspot::Delivery;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use stores::DataDir;

/// How long anything may take before it counts as stuck. No test waits this long when all is well.
const STUCK: Duration = Duration::from_secs(180);
/// The runs that the five events stand for, as the first run names them.
const RUNS: usize = 5;
/// What every row carries, whoever reads it.
const ROW_FIELDS: [&str; 17] = [
    "actor",
    "verb",
    "target_id",
    "before",
    "after",
    "prompt_hash",
    "model_version",
    "occurred_at",
    "run_id",
    "step",
    "mode",
    "tier",
    "decision",
    "reason",
    "config_version",
    "hash",
    "entry_id",
];

/// The built program.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--locked",
            "--quiet",
            "--package",
            "demo",
            "--bin",
            "demo",
            "--message-format",
            "json",
        ])
        .current_dir(repository())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo");
    assert!(built.status.success(), "the demo does not build");
    let messages = String::from_utf8(built.stdout).expect("JSON lines");
    let executable =
        messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|message| {
            let ours = message["target"]["name"] == "demo" && message["executable"].is_string();
            ours.then(|| PathBuf::from(message["executable"].as_str().unwrap_or_default()))
        });
    executable.expect("the demo's program")
});

/// A folder in which the five events have been dealt with, and what was printed then.
static FIRST: LazyLock<(Place, String)> = LazyLock::new(|| {
    let place = Place::new();
    let output = run(&place, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    (place, text(&output.stdout))
});

/// A folder in which notes and stages write, and no event has been seen.
static LIVE: LazyLock<Place> = LazyLock::new(|| {
    let place = Place::new();
    let mut demo = Serving::start(&place, &["--events", &events_file("privacy_deletion")]);
    demo.turn_writes_on(&["append_note", "set_stage"]);
    assert_eq!(demo.end("TERM").code(), Some(0));
    place
});

/// How the folders of these tests begin.
const FOLDERS: &str = "holdfast-demo-";

/// Removes what ended test processes left: a folder that nobody works in, and that is no longer young.
static LEFT: LazyLock<()> = LazyLock::new(|| {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(FOLDERS);
        let age = entry.metadata().ok().and_then(|known| known.modified().ok()?.elapsed().ok());
        let old = age.is_some_and(|age| age > Duration::from_secs(3_600));
        if ours && old && DataDir::open(entry.path().join("data")).is_ok() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
});

/// One folder of a demo; gone at the end.
struct Place {
    root: PathBuf,
}

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        LazyLock::force(&LEFT);
        let name = format!("{FOLDERS}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let root = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).expect("a folder");
        Self { root }
    }

    /// A copy of everything that `of` holds.
    fn copy(of: &Self) -> Self {
        let place = Self::new();
        // With owners and modes: a private cluster belongs to another user when root started it.
        let copied = Command::new("cp").arg("-a").arg(of.folder()).arg(place.folder()).status();
        assert!(copied.expect("cp").success());
        place
    }

    fn folder(&self) -> PathBuf {
        self.root.join("data")
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.root.join(name);
        std::fs::write(&path, content).expect("a file");
        path.display().to_string()
    }

    fn secrets(&self) -> Value {
        let bytes = std::fs::read(self.folder().join("secrets.json")).expect("secrets");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    /// The processes that work for this folder: those that name it, and the children that its stores noted.
    fn processes(&self) -> Vec<String> {
        let folder = self.folder().display().to_string();
        let noted: BTreeSet<String> = std::fs::read_dir(self.folder().join("pids"))
            .into_iter()
            .flatten()
            .filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok())
            .filter_map(|text| text.split_whitespace().next().map(str::to_owned))
            .collect();
        let shown = Command::new("ps").args(["-A", "-ww", "-o", "pid=,stat=,args="]).output().expect("ps");
        let alive = |line: &&str| {
            let mut words = line.split_whitespace();
            let (pid, state) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            !state.starts_with('Z') && (line.contains(&folder) || noted.contains(pid))
        };
        text(&shown.stdout).lines().filter(alive).map(str::to_owned).collect()
    }

    /// Every entry of this folder's audit log. The demo must have ended.
    fn log(&self) -> Log {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let data = DataDir::open(self.folder()).expect("the folder");
            let postgres = stores::postgres::start(&data, None).await.expect("the cluster");
            let verified =
                AuditLog::connect(postgres.url()).await.expect("the log").verify().await.expect("a reading");
            let (client, connection) =
                tokio_postgres::connect(postgres.url(), tokio_postgres::NoTls).await.expect("the cluster");
            let reading = async { drop(connection.await) };
            spawn(reading);
            let sql = "SELECT entry_id, stream, event_no, intent_id, state FROM audit.entry ORDER BY seq";
            let rows = client.query(sql, &[]).await.expect("entries");
            let entries = rows
                .iter()
                .map(|row| LogEntry {
                    entry_id: row.get(0),
                    stream: row.get(1),
                    event_no: row.get(2),
                    intent_id: row.get(3),
                    state: row.get(4),
                })
                .collect();
            drop(client);
            postgres.shutdown().await.expect("an end");
            Log { entries, verified }
        })
    }

    /// The writes that the CRM's stand-in took over its API, from its journal.
    fn writes(&self) -> Vec<CrmWrite> {
        let text = std::fs::read_to_string(self.folder().join("hubspot.jsonl")).expect("the journal");
        text.lines().filter_map(|line| CrmWrite::of(&serde_json::from_str(line).expect("JSON"))).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

struct LogEntry {
    entry_id: String,
    stream: String,
    event_no: i64,
    intent_id: Option<String>,
    state: String,
}

struct Log {
    entries: Vec<LogEntry>,
    verified: audit_log::Verified,
}

impl Log {
    /// No entry missing, none twice, none altered.
    fn assert_whole(&self) {
        assert_eq!(self.verified.first_bad, None);
        assert_eq!(usize::try_from(self.verified.entries), Ok(self.entries.len()));
        let ids: BTreeSet<&str> = self.entries.iter().map(|entry| entry.entry_id.as_str()).collect();
        assert_eq!(ids.len(), self.entries.len(), "an entry is there twice");
        let mut runs: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.stream.starts_with("r-")) {
            runs.entry(&entry.stream).or_default().push(entry.event_no);
        }
        for (run, mut numbers) in runs {
            numbers.sort_unstable();
            let whole: Vec<i64> = (1..).take(numbers.len()).collect();
            assert_eq!(numbers, whole, "the entries of {run}");
        }
    }

    /// The states of one tool call, oldest first.
    fn states_of(&self, intent_id: &str) -> Vec<&str> {
        let of_call = self.entries.iter().filter(|entry| entry.intent_id.as_deref() == Some(intent_id));
        of_call.map(|entry| entry.state.as_str()).collect()
    }
}

/// One write that the CRM took.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct CrmWrite {
    method: String,
    target: String,
    body: String,
    intent_id: String,
}

impl CrmWrite {
    fn of(line: &Value) -> Option<Self> {
        let seen = &line["wrote"]["seen"];
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let intent_id = word(&seen["headers"]["x-holdfast-intent"]);
        // A note carries the moment of its try; the text is what must not come twice.
        let body: Value = serde_json::from_str(seen["body"].as_str()?).ok()?;
        let text = &body["properties"]["hs_note_body"];
        let body = if text.is_string() { word(text) } else { body.to_string() };
        let target = word(&seen["target"]);
        Some(Self { method: word(&seen["method"]), target, body, intent_id })
    }
}

/// A demo that was told to go on serving.
struct Serving {
    child: Child,
    folder: PathBuf,
    base: u16,
    lines: Receiver<String>,
    said: Vec<String>,
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
}

impl Serving {
    /// Starts it and waits until it has dealt with its events.
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut demo = Self::begin(place, arguments);
        demo.wait_for("serving until Ctrl-C");
        demo
    }

    /// Starts it, and waits for nothing.
    fn begin(place: &Place, arguments: &[&str]) -> Self {
        config::install_tls();
        let base = three_ports();
        let out = File::create(place.root.join("stdout")).expect("a file");
        let mut child = command(place, base)
            .arg("--serve")
            .args(arguments)
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the demo");
        let (sender, lines) = channel();
        let errors = BufReader::new(child.stderr.take().expect("a pipe"));
        std::thread::spawn(move || {
            errors.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self {
            child,
            folder: place.folder(),
            base,
            lines,
            said: Vec::new(),
            runtime: tokio::runtime::Runtime::new().expect("a runtime"),
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .timeout(Duration::from_secs(30))
                .build()
                .expect("a client"),
        }
    }

    /// Waits for a line of its progress.
    fn wait_for(&mut self, part: &str) {
        let began = Instant::now();
        loop {
            match self.lines.recv_timeout(STUCK.saturating_sub(began.elapsed())) {
                Ok(line) => {
                    self.said.push(line);
                    if self.said.last().is_some_and(|line| line.contains(part)) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {
                    panic!("the demo never said `{part}`, but:\n{}", self.said.join("\n"))
                }
            }
        }
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Ends it with a signal and waits for its end.
    fn end(&mut self, name: &str) -> ExitStatus {
        self.signal(name);
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return status;
            }
            assert!(began.elapsed() < STUCK, "the demo did not end at SIG{name}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn url(&self, offset: u16, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.base + offset)
    }

    fn secrets(&self) -> Value {
        let bytes = std::fs::read(self.folder.join("secrets.json")).expect("secrets");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    fn page(&self) -> String {
        self.secrets()["halt_path"].as_str().expect("a path").to_owned()
    }

    /// Status, `location` or the cookie, and the body.
    fn send(&self, request: reqwest::RequestBuilder) -> (u16, String, String) {
        self.runtime.block_on(async {
            let answer = request.send().await.expect("an answer");
            let header = |name: &str| {
                answer
                    .headers()
                    .get(name)
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or_default()
                    .to_owned()
            };
            let (status, cookie) = (answer.status().as_u16(), header("set-cookie"));
            let word = if cookie.is_empty() { header("location") } else { cookie };
            (status, word, answer.text().await.expect("a body"))
        })
    }

    /// Hands the intake port a signed webhook, as HubSpot does.
    fn deliver(&self, events: &[Value]) -> u16 {
        let secret = self.secrets()["hubspot_client_secret"].as_str().expect("a secret").to_owned();
        let target = self.url(0, "/hubspot");
        let delivery = Delivery::new(&secret, &target, &target);
        let request = delivery.sign(events, types::Clock::system().now_ms());
        self.runtime.block_on(delivery.send(&self.http, &request)).expect("an answer")
    }

    fn halt_page(&self) -> String {
        let (status, _, body) = self.send(self.http.get(self.url(1, &self.page())));
        assert_eq!(status, 200, "{body}");
        body
    }

    /// A session of the console.
    fn sign_in(&self) -> String {
        let pin = self.secrets()["pin"].as_str().expect("a PIN").to_owned();
        let form = self
            .http
            .post(self.url(2, &self.page()))
            .header("origin", self.url(2, ""))
            .body(format!("pin={pin}"));
        let (status, cookie, body) =
            self.send(form.header("content-type", "application/x-www-form-urlencoded"));
        assert_eq!(status, 303, "{body}");
        cookie.split(';').next().unwrap_or_default().to_owned()
    }

    fn console(&self, path: &str, cookie: &str) -> String {
        let (status, _, body) = self.send(self.http.get(self.url(2, path)).header("cookie", cookie));
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Turns tools live on the console, as a person does.
    fn turn_writes_on(&self, tools: &[&str]) {
        let cookie = self.sign_in();
        let pin = self.secrets()["pin"].as_str().expect("a PIN").to_owned();
        for tool in tools {
            let path = format!("/tools/{tool}/writes");
            let token = field(&self.console(&path, &cookie), "t");
            let body = format!("t={token}&know=1&why=ready+for+this+test&over=both+at+once+here&pin={pin}");
            let form = self
                .http
                .post(self.url(2, &path))
                .header("cookie", &cookie)
                .header("origin", self.url(2, ""));
            let form = form.header("content-type", "application/x-www-form-urlencoded").body(body);
            let (status, location, body) = self.send(form);
            assert_eq!((status, location.as_str()), (303, "/tools?n=live"), "{body}");
        }
    }

    /// Looks until `found` is content.
    fn until<T>(&self, what: &str, mut found: impl FnMut(&Self) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            assert!(began.elapsed() < STUCK, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The value of a hidden field, ready for a form.
fn field(page: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.split_once(&start).unwrap_or_else(|| panic!("no field `{name}` in {page}"));
    web::encode_component(rest.split('"').next().unwrap_or_default())
}

#[expect(clippy::disallowed_methods, reason = "nothing freezes a test")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn events_file(name: &str) -> String {
    repository().join(format!("events/hubspot/{name}.json")).display().to_string()
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(sent.expect("kill").success(), "SIG{name}");
}

/// Three ports in a row that nobody listens on.
fn three_ports() -> u16 {
    loop {
        let Ok(first) = TcpListener::bind(("127.0.0.1", 0)) else { continue };
        let base = first.local_addr().expect("an address").port();
        let next = |offset: u16| base.checked_add(offset).map(|port| TcpListener::bind(("127.0.0.1", port)));
        if matches!((next(1), next(2)), (Some(Ok(_)), Some(Ok(_)))) {
            return base;
        }
    }
}

/// The demo in this folder, with nothing of our environment but where programs are.
fn command(place: &Place, base: u16) -> Command {
    let mut command = Command::new(&*PROGRAM);
    command.env_clear().env("LANG", "C.UTF-8").stdin(Stdio::null()).current_dir(&place.root);
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = variable(name) {
            command.env(name, value);
        }
    }
    command.args(["--port-base", &base.to_string()]).arg("--folder").arg(place.folder());
    command
}

/// Runs it to its end. Another program may take a port between our look and its start: then again.
fn run(place: &Place, arguments: &[&str]) -> Output {
    loop {
        let output = command(place, three_ports()).args(arguments).output().expect("the demo");
        if !text(&output.stderr).contains("cannot be used\n      Address already in use") {
            return output;
        }
    }
}

/// What was printed, without what differs from start to start: the addresses' ports and the wall time.
fn told(stdout: &str) -> Vec<String> {
    let mut lines: Vec<String> = stdout.lines().filter(|line| !is_address(line)).map(str::to_owned).collect();
    if let Some(last) = lines.last_mut() {
        *last = last.rsplit_once(". ").map_or_else(
            || last.clone(),
            |(before, _)| before.rsplit_once(". ").map_or(before, |(b, _)| b).to_owned(),
        );
    }
    lines
}

fn is_address(line: &str) -> bool {
    line.starts_with("halt page ") || line.starts_with("console ")
}

/// The runs that were printed, by their headings.
fn headings(stdout: &str) -> Vec<&str> {
    stdout.lines().filter(|line| line.starts_with("r-")).collect()
}

/// A start that failed says what, why and what next, and nothing else that looks like it.
fn assert_three_lines(output: &Output) {
    let stderr = text(&output.stderr);
    let lines: Vec<&str> = stderr.lines().collect();
    let [.., what, why, next] = lines.as_slice() else { panic!("fewer than three lines: {stderr}") };
    assert!(
        what.starts_with("FAIL  ") && why.starts_with("      ") && next.starts_with("      "),
        "{stderr}"
    );
    assert_eq!(lines.iter().filter(|line| line.starts_with("FAIL")).count(), 1, "{stderr}");
    assert_eq!(output.status.code(), Some(1), "{stderr}");
}

#[test]
fn the_first_run_prints_five_runs_and_counts_them() {
    let (place, stdout) = &*FIRST;
    let runs = headings(stdout);
    assert_eq!(runs.len(), RUNS, "{stdout}");
    for deal in ["deal 4411", "deal 4302", "deal 4391", "deal 4455", "deal 4290"] {
        assert_eq!(runs.iter().filter(|run| run.contains(deal)).count(), 1, "{deal} in {stdout}");
    }
    let first = "holdfast demo: 5 events, embedded stores, no AWS account, nothing leaves here";
    assert_eq!(stdout.lines().next(), Some(first));
    let last = stdout.lines().last().unwrap_or_default();
    assert!(last.starts_with("5 runs: 3 dry-run, 1 with a refusal, 1 halted. 0 writes. $0.00"), "{last}");
    assert!(last.ends_with(" s"), "{last}");
    assert_eq!(place.writes(), [], "a write reached the CRM in dry-run");
    assert_eq!(place.processes(), Vec::<String>::new());
}

/// The rows of runs, by name, in no order: those of one start depend on nothing but its events.
fn of_runs(log: &Log) -> BTreeSet<&str> {
    let ours = log.entries.iter().filter(|entry| entry.stream.starts_with("r-"));
    ours.map(|entry| entry.entry_id.as_str()).collect()
}

#[test]
fn a_second_run_prints_the_same_runs_and_adds_no_row() {
    let (first, stdout) = &*FIRST;
    let place = Place::copy(first);
    let before = place.log();
    before.assert_whole();
    let again = run(&place, &[]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!(told(&text(&again.stdout)), told(stdout));
    let json = [run(&place, &["--json"]), run(&place, &["--json"])];
    assert_eq!(text(&json[0].stdout), text(&json[1].stdout), "two runs are not byte-equal");
    let after = place.log();
    after.assert_whole();
    // The control item's own log may reach Postgres with the second start only: rows of runs are compared.
    assert_eq!(of_runs(&after), of_runs(&before), "a duplicate event left a row");
    for line in text(&json[0].stdout).lines() {
        let row: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ROW_FIELDS {
            assert!(row.get(field).is_some(), "no `{field}` in {line}");
        }
    }
    // No call has two entries here: each entry of a run is a row.
    assert_eq!(text(&json[0].stdout).lines().count(), of_runs(&after).len());
}

#[test]
fn a_fresh_start_forgets_what_was_there() {
    let place = Place::copy(&FIRST.0);
    let (old, before) = (place.secrets(), place.log());
    let output = run(&place, &["--fresh"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let new = place.secrets();
    for name in ["halt_path", "hubspot_client_secret", "link_signing_key"] {
        assert_ne!(new[name], old[name], "{name}");
    }
    assert!(text(&output.stdout).contains("1 halted"), "the first boot's halt is not shown again");
    let after = place.log();
    after.assert_whole();
    assert_eq!(of_runs(&after).len(), of_runs(&before).len(), "rows of the earlier demo are still there");
    assert_ne!(after.verified.head, before.verified.head);
}

#[test]
fn no_line_is_wider_than_eighty_columns_and_a_pipe_gets_no_escape_byte() {
    let (place, stdout) = &*FIRST;
    for line in stdout.lines().filter(|line| !is_address(line)) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(!stdout.contains('\u{1b}'), "an escape byte in a pipe");
    let place = Place::copy(place);
    let script = |settings: &[(&str, &str)]| {
        let mut command = command(&place, three_ports());
        let line: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| format!("'{}'", word.to_string_lossy()))
            .collect();
        let file = place.root.join("typescript");
        command = Command::new("script");
        command
            .args(["-qec", &line.join(" ")])
            .arg(&file)
            .stdin(Stdio::null())
            .env_clear()
            .env("LANG", "C.UTF-8");
        command.env("TERM", "xterm-256color").env("PATH", variable("PATH").unwrap_or_default());
        command.envs(settings.iter().copied()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().ok()?;
        let mut seen = Vec::new();
        File::open(&file).ok()?.read_to_end(&mut seen).ok()?;
        (status.success() && text(&seen).contains("5 runs:")).then(|| text(&seen))
    };
    let Some(colored) = script(&[]) else {
        not_run("demo::colour_on_a_terminal", "no `script` that lends a terminal");
        return;
    };
    assert!(colored.contains("\u{1b}[33mDRY"), "no colour on a terminal: {colored}");
    for setting in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = script(&[setting]).expect("a run");
        // What `script` itself writes on top and below holds none either.
        assert!(!plain.contains('\u{1b}'), "an escape byte under {setting:?}: {plain}");
    }
}

#[test]
fn a_second_process_in_the_same_folder_is_refused() {
    let place = Place::copy(&FIRST.0);
    let mut demo = Serving::start(&place, &[]);
    for arguments in [&[] as &[&str], &["--fresh"]] {
        let second = run(&place, arguments);
        assert_three_lines(&second);
        assert!(text(&second.stderr).contains("FAIL  the folder cannot be used"), "{}", text(&second.stderr));
    }
    assert!(demo.halt_page().contains("RUNNING"), "the first one is disturbed");
    assert_eq!(demo.end("TERM").code(), Some(0));
    place.log().assert_whole();
}

#[test]
fn what_cannot_be_used_is_named() {
    let place = Place::new();
    let usage = run(&place, &["--no-such-flag"]);
    assert_eq!(usage.status.code(), Some(2), "{}", text(&usage.stderr));
    let no_json = place.file("no.json", "{\"eventId\":");
    let object = place.file("object.json", "{}");
    let missing = place.root.join("missing.json").display().to_string();
    for (file, what) in [
        (&missing, "FAIL  an events file cannot be read"),
        (&no_json, "FAIL  an events file is no JSON array"),
        (&object, "FAIL  an events file is no JSON array"),
    ] {
        let output = run(&place, &["--events", file]);
        assert_three_lines(&output);
        assert!(text(&output.stderr).contains(what), "{}", text(&output.stderr));
        assert!(!place.folder().exists(), "a folder was made for nothing");
    }
    let foreign = Place::new();
    std::fs::create_dir_all(foreign.folder()).expect("a folder");
    std::fs::write(foreign.folder().join("diary.txt"), "mine").expect("a file");
    for arguments in [&[] as &[&str], &["--fresh"]] {
        assert_three_lines(&run(&foreign, arguments));
    }
    assert_eq!(
        std::fs::read_to_string(foreign.folder().join("diary.txt")).expect("it is still there"),
        "mine"
    );
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let base = taken.local_addr().expect("an address").port();
    let output = command(&place, base).output().expect("the demo");
    assert_three_lines(&output);
    assert!(
        text(&output.stderr).contains(&format!("port {base} cannot be used")),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn ones_own_events_are_taken_instead() {
    let place = Place::copy(&FIRST.0);
    let one = run(&place, &["--events", &events_file("reply_4377")]);
    assert_eq!(one.status.code(), Some(0), "{}", text(&one.stderr));
    let stdout = text(&one.stdout);
    assert!(
        stdout.starts_with("holdfast demo: 1 events,") || stdout.starts_with("holdfast demo: 1 event,"),
        "{stdout}"
    );
    assert_eq!(headings(&stdout).len(), 1, "{stdout}");
    assert!(headings(&stdout)[0].contains("deal 4377"), "{stdout}");
    // The echo of the agent's own write starts nothing, and is no failure.
    let echo = run(&place, &["--events", &events_file("own_write_4411")]);
    assert_eq!(echo.status.code(), Some(0), "{}", text(&echo.stderr));
    assert!(text(&echo.stdout).contains("0 runs: "), "{}", text(&echo.stdout));
}

#[test]
fn a_signal_ends_every_child() {
    let place = Place::copy(&FIRST.0);
    for name in ["TERM", "INT"] {
        let mut demo = Serving::start(&place, &[]);
        assert!(place.processes().len() >= 3, "the children are not seen: {:?}", place.processes());
        let (halt, console) = (demo.base + 1, demo.base + 2);
        assert_eq!(demo.end(name).code(), Some(0), "SIG{name}");
        assert_eq!(place.processes(), Vec::<String>::new(), "after SIG{name}");
        for port in [demo.base, halt, console] {
            TcpListener::bind(("127.0.0.1", port))
                .unwrap_or_else(|error| panic!("{port} after SIG{name}: {error}"));
        }
    }
    // While it starts, and killed hard: what it had started ends by itself, and its ports are free again.
    for (name, moment) in
        [("TERM", "ssm: "), ("INT", "postgres: "), ("KILL", "postgres: "), ("KILL", "serving until")]
    {
        let mut demo = Serving::begin(&place, &[]);
        demo.wait_for(moment);
        let base = demo.base;
        demo.end(name);
        demo.until(&format!("nothing is left after SIG{name} at `{moment}`"), |_| {
            let free = (base..base + 3).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
            (place.processes().is_empty() && free).then_some(())
        });
    }
    place.log().assert_whole();
}

#[test]
fn a_served_demo_takes_webhooks_and_shows_its_pages() {
    let place = Place::copy(&FIRST.0);
    let mut demo = Serving::start(&place, &[]);
    let session = demo.sign_in();
    let (status, _, _) = demo.send(demo.http.post(demo.url(0, "/hubspot")).body("[]"));
    assert_eq!(status, 401, "an unsigned webhook");
    assert!(!demo.console("/would-have", &session).contains("4377"));
    assert_eq!(demo.deliver(&Scene::events("reply_4377")), 200);
    demo.until("the run of 4377 is in the log", |demo| {
        let run = Scene::run_of(&Scene::events("reply_4377")[0]);
        let (status, _, body) =
            demo.send(demo.http.get(demo.url(2, &format!("/runs/{run}"))).header("cookie", &session));
        (status == 200 && body.contains("4377") && body.contains("draft_email")).then_some(())
    });
    assert!(demo.halt_page().contains("For everyone except 1 customer."));
    let halt = demo.http.post(demo.url(1, &format!("{}/halt", demo.page()))).body("scope=global");
    let halt = halt.header("content-type", "application/x-www-form-urlencoded");
    let (status, location, body) = demo.send(halt);
    assert_eq!((status, location), (303, demo.page()), "{body}");
    let page = demo.halt_page();
    assert!(page.contains("HALTED") && page.contains("Nothing in flight."), "{page}");
    assert!(demo.console("/", &session).contains("HALTED"));
    // The halt latches: over a restart, and for what comes in meanwhile.
    assert_eq!(demo.deliver(&Scene::events("reply_4187")), 200);
    assert_eq!(demo.end("TERM").code(), Some(0));
    let mut demo = Serving::start(&place, &["--events", &events_file("reply_4187")]);
    assert!(demo.halt_page().contains("HALTED"));
    let stdout = std::fs::read_to_string(place.root.join("stdout")).expect("what it printed");
    assert!(stdout.contains("  HALT  halt check"), "{stdout}");
    assert_eq!(demo.end("INT").code(), Some(0));
    place.log().assert_whole();
}

#[test]
fn a_stuck_demo_can_still_be_halted() {
    let place = Place::copy(&FIRST.0);
    let mut demo = Serving::start(&place, &[]);
    assert!(demo.halt_page().contains("RUNNING"));
    demo.signal("STOP");
    let halt = demo.http.post(demo.url(1, &format!("{}/halt", demo.page()))).body("scope=global");
    let (status, _, body) = demo.send(halt.header("content-type", "application/x-www-form-urlencoded"));
    let page = demo.halt_page();
    demo.signal("CONT");
    assert_eq!(status, 303, "{body}");
    assert!(page.contains("One switch confirmed."), "{page}");
    demo.until("the other switch has it too", |demo| {
        let page = demo.halt_page();
        (page.contains("HALTED") && page.contains("Nothing in flight.")).then_some(())
    });
    assert_eq!(demo.end("TERM").code(), Some(0));
}

/// A number that looks like chance and is the same for the same seed.
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Starts each killed demo again, so many at a time.
fn go_on(killed: Vec<(u64, Place)>, side_by_side: usize) -> Vec<(u64, Place, Output)> {
    // A claim of the dead process lasts a minute: some wait for that side by side, few enough for a small
    // machine.
    let waiting = std::sync::Mutex::new(killed);
    let ended = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..side_by_side {
            scope.spawn(|| {
                while let Some((delay, place)) = { waiting.lock().expect("a lock").pop() } {
                    let output = run(&place, &[]);
                    ended.lock().expect("a lock").push((delay, place, output));
                }
            });
        }
    });
    ended.into_inner().expect("a lock")
}

#[test]
fn a_demo_that_is_killed_at_any_moment_goes_on_where_it_was() {
    const MOMENTS: u64 = 14;
    const SIDE_BY_SIDE: usize = 7;
    let seed = variable("SEED").and_then(|seed| seed.parse().ok()).unwrap_or(7_u64);
    let calm = Place::copy(&LIVE);
    let began = Instant::now();
    let reference = run(&calm, &[]);
    let whole = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    assert_eq!(reference.status.code(), Some(0), "{}", text(&reference.stderr));
    let reference = text(&reference.stdout);
    let expected: BTreeSet<CrmWrite> = calm.writes().into_iter().collect();
    assert_eq!(expected.len(), 3, "two stages and a note: {expected:?}");
    calm.log().assert_whole();
    let step = whole / (MOMENTS - 2);
    let killed: Vec<(u64, Place)> = (0..MOMENTS)
        .map(|moment| {
            let delay = 50 + moment * step + mixed(seed ^ (moment << 32)) % step.max(1);
            let place = Place::copy(&LIVE);
            let mut demo = Serving::begin(&place, &[]);
            std::thread::sleep(Duration::from_millis(delay));
            demo.end("KILL");
            (delay, place)
        })
        .collect();
    let ended = go_on(killed, SIDE_BY_SIDE);
    assert_eq!(u64::try_from(ended.len()), Ok(MOMENTS));
    let mut open = 0;
    for (delay, place, output) in ended {
        let stdout = text(&output.stdout);
        let story = format!("killed after {delay} ms (SEED={seed}):\n{stdout}\n{}", text(&output.stderr));
        let writes = place.writes();
        let distinct: BTreeSet<CrmWrite> = writes.iter().cloned().collect();
        assert_eq!(writes.len(), distinct.len(), "a write came twice: {writes:?}\n{story}");
        let log = place.log();
        log.assert_whole();
        for write in &writes {
            assert_eq!(log.states_of(&write.intent_id).first(), Some(&"opened"), "{write:?}\n{story}");
        }
        if text(&output.stderr).contains("FAIL  1 runs did not end") {
            // It died between "about to write" and the write. Whether the CRM has it may be said only when
            // the CRM was asked for minutes: until then the call stays open, and nothing is sent again.
            open += 1;
            assert_three_lines(&output);
            let missing: Vec<&CrmWrite> = expected.difference(&distinct).collect();
            assert!(distinct.is_subset(&expected) && !missing.is_empty(), "{story}");
            let states = |write: &&CrmWrite| log.states_of(&write.intent_id);
            assert!(missing.iter().any(|write| states(write).first() == Some(&"opened")), "{story}");
            assert!(!missing.iter().any(|write| states(write).contains(&"applied")), "{story}");
            continue;
        }
        assert_eq!(output.status.code(), Some(0), "{story}");
        assert_eq!(headings(&stdout), headings(&reference), "{story}");
        assert_eq!(distinct, expected, "{story}");
        for write in &writes {
            assert_eq!(log.states_of(&write.intent_id), ["opened", "applied"], "{write:?}\n{story}");
        }
    }
    assert!(open < MOMENTS / 2, "{open} of {MOMENTS} did not end");
}

/// Every file below a folder with its content, the secrets' own aside.
fn files(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.file_name().is_some_and(|name| name != "secrets.json")
            && let Ok(bytes) = std::fs::read(&path)
        {
            found.push((path, bytes));
        }
    }
}

#[test]
fn nothing_that_a_demo_logs_or_stores_holds_a_secret() {
    let place = Place::new();
    let mut command = command(&place, three_ports());
    // What its own code and its clients say at their most talkative.
    let output = command.env("RUST_LOG", "trace").output().expect("the demo");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let secrets = place.secrets();
    let of = |name: &str| secrets[name].as_str().expect("a secret").to_owned();
    let slack = standins::slack::WEBHOOK_PATH.to_owned();
    let settings = standins::hubspot::Settings::default();
    let canaries = [
        ("the signing key", of("link_signing_key")),
        ("the client secret", of("hubspot_client_secret")),
        ("the CRM's token", settings.token),
        ("the model's key", standins::anthropic::API_KEY.to_owned()),
        ("the Slack address", slack),
    ];
    let mut written =
        vec![(PathBuf::from("stdout"), output.stdout), (PathBuf::from("stderr"), output.stderr)];
    let logged = text(&written[1].1).lines().filter(|line| line.contains("TRACE")).count();
    assert!(logged > 100, "it was talkative: {logged} lines");
    files(&place.folder(), &mut written);
    assert!(written.len() > 20, "{} files", written.len());
    let mut hits = Vec::new();
    for (path, bytes) in &written {
        let content = String::from_utf8_lossy(bytes);
        for (name, canary) in &canaries {
            if content.contains(canary.as_str()) {
                hits.push(format!("{name} in {}", path.display()));
            }
        }
    }
    assert!(hits.is_empty(), "{hits:#?}");
    // The PIN is printed once, on purpose: it is the demo's own. Nowhere else.
    let pin = of("pin");
    let shown = text(&written[1].1).lines().filter(|line| line.contains(&pin)).count();
    assert!(shown <= 1, "the PIN is in {shown} lines of the log");
}
