//! One demo from start to end. Must never leave a child behind.
use crate::Arguments;
use demo::driver::{Journal, drive};
use demo::first_boot::{LocalSecrets, first_boot};
use demo::report::{ReportError, Totals, last_line, print_run};
use demo::serve::{Handler, serve};
use demo::terminal::Terminal;
use demo::{House, HouseOptions};
use serde_json::Value;
use standins::Standins;
use standins::hubspot::Delivery;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stores::{DataDir, Stack, StackOptions};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use types::{Clock, RunId};

/// The five events of the demo.
const EVENTS: &str = include_str!("../../../../events/hubspot/batch.json");
/// The customer that the demo halts before they arrive, so that a halt is seen too.
const HALTED_CUSTOMER: &str = "1235";
/// How often the outbox is moved to Postgres, where AWS has the stream's doorbell.
const DOORBELL: Duration = Duration::from_millis(400);
/// How often the sweeps run that AWS runs every minute.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How often the audit log's place is signed and kept outside of it, and what is too old leaves it.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(15 * 60);
/// How long the demo waits for its runs: past the third look, at five minutes, for a write of unknown
/// outcome.
const RUNS_WITHIN: Duration = Duration::from_secs(330);
/// How often events that the intake could not store are delivered.
const DELIVERIES_MAX: u64 = 5;
/// How long one waits before the next delivery.
const DELIVER_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// How long a port may still be held by what a killed demo left: its halt page ends by itself.
const PORT_WITHIN: Duration = Duration::from_secs(2);

/// What happened, why, and the next command.
pub(crate) struct Failed {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) next: String,
}

type Outcome<T> = Result<T, Failed>;

fn failed<E: std::fmt::Display>(what: &'static str, next: &'static str) -> impl FnOnce(E) -> Failed {
    move |error| Failed { what: what.to_owned(), why: error.to_string(), next: next.to_owned() }
}

const TRY_FRESH: &str = "try `cargo demo -- --fresh`, or another folder with `--folder`";

/// Logs to stderr, warnings and above unless `RUST_LOG` says else: results stay on stdout.
pub(crate) fn init_logging(lookup: impl Fn(&str) -> Option<String>) {
    let level =
        lookup("RUST_LOG").unwrap_or_else(|| "warn,dynoxide=error,audit_log::session=error".to_owned());
    let filter = tracing_subscriber::EnvFilter::try_new(level).unwrap_or_else(|_| "warn".into());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
}

/// The halt function as a process of its own, so that a stuck demo can still be halted. Its settings are its
/// environment.
pub(crate) async fn halt_function(port: u16) -> Outcome<()> {
    let wrong = failed("the halt page does not start", "start the demo instead: it starts the halt page");
    let deps = Arc::new(halt::Deps::from_env().await.map_err(wrong)?);
    let listener = listen(port).await?;
    let handler: Handler = Arc::new(move |event| {
        let deps = Arc::clone(&deps);
        Box::pin(async move { halt::handle(&deps, event).await.map_err(|error| error.to_string()) })
    });
    tokio::select! {
        served = serve(listener, handler) => served.map_err(failed("the halt page stopped", "start it again")),
        () = parent_gone() => Ok(()),
    }
}

/// The demo holds the other end of this process's input. It closes when the demo ends, however hard; while
/// the demo is only stuck it stays open, and the page can still halt.
async fn parent_gone() {
    let (gone, wait) = tokio::sync::oneshot::channel();
    // WHY NOT: tokio's standard input. Its blocked read would keep the runtime from ending.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = gone.send(());
    });
    let _ = wait.await;
}

/// The demo.
pub(crate) async fn demo(
    arguments: &Arguments,
    terminal: Terminal,
    lookup: &impl Fn(&str) -> Option<String>,
) -> Outcome<()> {
    let began = Instant::now();
    let events = events_of(arguments)?;
    let count: usize = events.iter().map(Vec::len).sum();
    if !terminal.is_json() {
        terminal.say(&first_line(count, lookup));
    }
    let (intake, halt_page, console) = listeners(arguments.port_base).await?;
    let data = if arguments.fresh {
        DataDir::open_fresh(&arguments.folder)
    } else {
        DataDir::open(&arguments.folder)
    };
    let data = data.map_err(failed("the folder cannot be used", "end the other demo, or use `--folder`"))?;
    let folder = data.path().to_owned();
    let running = start(arguments, terminal, lookup, data, &folder).await?;
    drop(halt_page);
    let halt_child = spawn_halt(&running, arguments.port_base.saturating_add(1))?;
    let served = Served::new(&running, intake, console);
    if !terminal.is_json() {
        terminal.say(&running.addresses());
    }
    let work = work(&running, arguments, terminal, &events, began);
    let outcome = tokio::select! {
        done = work => done,
        () = interrupted() => Ok(()),
    };
    served.end();
    running.driver.abort();
    end_child(halt_child).await;
    let stopped = running.stack.shutdown().await;
    outcome?;
    stopped.map_err(failed("a store did not end cleanly", "start the demo again: it cleans up"))
}

/// Everything that listens, and the house over it.
struct Running {
    stack: Stack,
    _standins: Standins,
    house: Arc<House>,
    variables: BTreeMap<String, String>,
    secrets: LocalSecrets,
    under_way: watch::Receiver<usize>,
    driver: tokio::task::JoinHandle<()>,
    /// Did this start make the folder's control item?
    first_time: bool,
}

impl Running {
    fn variable(&self, name: &str) -> &str {
        self.variables.get(name).map(String::as_str).unwrap_or_default()
    }

    fn addresses(&self) -> String {
        let path = self.secrets.halt_path.as_deref().unwrap_or_default();
        format!(
            "halt page  {}{path}\nconsole    {}{path}   PIN {}",
            self.variable("PUBLIC_HALT_URL"),
            self.variable("PUBLIC_CONSOLE_URL"),
            self.secrets.pin,
        )
    }
}

async fn start(
    arguments: &Arguments,
    terminal: Terminal,
    lookup: &impl Fn(&str) -> Option<String>,
    data: DataDir,
    folder: &Path,
) -> Outcome<Running> {
    let log = move |line: &str| terminal.progress(&format!("  {line}"));
    let options = StackOptions {
        redis_url: lookup("REDIS_URL"),
        database_url: lookup("DATABASE_URL"),
        dynamo_endpoint: lookup("AWS_ENDPOINT_URL_DYNAMODB"),
        ssm_endpoint: lookup("AWS_ENDPOINT_URL_SSM"),
        ..StackOptions::default()
    };
    let stack = Stack::start(data, options, &log).await;
    let stack = stack.map_err(failed("a store does not start", TRY_FRESH))?;
    let clock = Clock::system();
    let now = clock.clone();
    let mut vendors = standins::Options::new(Arc::new(move || now.now_ms()));
    vendors.hubspot_journal = Some(folder.join("hubspot.jsonl"));
    let standins = Standins::start(vendors).await;
    let standins = standins.map_err(failed("a stand-in does not start", TRY_FRESH))?;
    let mut secrets =
        LocalSecrets::of(folder).map_err(failed("the folder's secrets cannot be used", TRY_FRESH))?;
    let variables = variables(arguments, lookup, &stack, &standins, &secrets)?;
    let prefix = variables.get("TABLE_PREFIX").cloned().unwrap_or_default();
    let client = stores::dynamo::client(stack.dynamo.endpoint());
    let tables = stores::dynamo::create_tables(&client, &prefix).await;
    tables.map_err(failed("the tables cannot be made", TRY_FRESH))?;
    let options = HouseOptions { variables: variables.clone(), clock };
    let built = House::build(options).await;
    let (house, asked_for) =
        built.map_err(failed("the functions do not start", "set what is named above"))?;
    let house = Arc::new(house);
    let booted = first_boot(&house, &mut secrets, folder).await;
    let first_time = booted.map_err(failed("the first boot failed", TRY_FRESH))?;
    let journal = Journal::open(&folder.join("executions.jsonl"));
    let journal = journal.map_err(failed("the journal of runs cannot be used", TRY_FRESH))?;
    let (count, under_way) = watch::channel(0);
    let driver = spawn(drive(Arc::clone(&house.step), journal, asked_for, count));
    Ok(Running { stack, _standins: standins, house, variables, secrets, under_way, driver, first_time })
}

/// The functions' environment: what the reader's own names, else the embedded part or the stand-in.
fn variables(
    arguments: &Arguments,
    lookup: &impl Fn(&str) -> Option<String>,
    stack: &Stack,
    standins: &Standins,
    secrets: &LocalSecrets,
) -> Outcome<BTreeMap<String, String>> {
    let base = |offset: u16| format!("http://127.0.0.1:{}", arguments.port_base.saturating_add(offset));
    let signer = web::LinkSigner::from_secret_hex(&secrets.link_signing_key)
        .map_err(failed("the folder's signing key cannot be used", TRY_FRESH))?;
    let hubspot = standins::hubspot::Settings::default();
    let defaults = [
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", stack.dynamo.endpoint().to_owned()),
        ("AWS_ENDPOINT_URL_SSM", stack.ssm.endpoint().to_owned()),
        ("REDIS_URL", stack.redis.url().to_owned()),
        ("DATABASE_URL", stack.postgres.url().to_owned()),
        ("TABLE_PREFIX", "holdfast-".to_owned()),
        ("HUBSPOT_CLIENT_SECRET", secrets.hubspot_client_secret.clone()),
        ("HUBSPOT_APP_ID", hubspot.app_id.to_string()),
        ("HUBSPOT_TARGET_URL", format!("{}/hubspot", base(0))),
        ("PUBLIC_HALT_URL", base(1)),
        ("PUBLIC_CONSOLE_URL", base(2)),
        ("LINK_SIGNING_KEY", secrets.link_signing_key.clone()),
        ("LINK_PUBLIC_KEY", signer.verifier().to_hex()),
        ("CHECKPOINT_KEY", secrets.checkpoint_key.clone()),
        ("COMPANY_NAME", "Demo".to_owned()),
    ];
    let mut variables: BTreeMap<String, String> =
        defaults.into_iter().map(|(name, value)| (name.to_owned(), lookup(name).unwrap_or(value))).collect();
    for name in [
        "MODEL",
        "HUBSPOT_API_VERSION",
        "REDIS_REPLICAS",
        "DEPUTY_NAME",
        "DEPUTY_PHONE",
        "AWS_ACCESS_KEY_ID",
        "CHECKPOINT_PUBLIC_KEY",
        "AUDIT_RETENTION_DAYS",
        "AUDIT_LAG_MINUTES_MAX",
    ] {
        if let Some(value) = lookup(name) {
            variables.insert(name.to_owned(), value);
        }
    }
    // A real key replaces the stand-in; without one the stand-in's own address and key are used.
    let real = [
        ("HUBSPOT_TOKEN", "HUBSPOT_BASE_URL", hubspot.token.as_str(), standins.hubspot.url.as_str()),
        (
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_BASE_URL",
            standins::anthropic::API_KEY,
            standins.anthropic.url.as_str(),
        ),
    ];
    for (key, address, local_key, local_address) in real {
        let given = lookup(key);
        if let Some(url) = lookup(address).or_else(|| given.is_none().then(|| local_address.to_owned())) {
            variables.insert(address.to_owned(), url);
        }
        variables.insert(key.to_owned(), given.unwrap_or_else(|| local_key.to_owned()));
    }
    let slack = format!("{}{}", standins.slack.url, standins::slack::WEBHOOK_PATH);
    variables.insert("SLACK_WEBHOOK_URL".to_owned(), lookup("SLACK_WEBHOOK_URL").unwrap_or(slack));
    Ok(variables)
}

/// The servers and timers of this process.
struct Served(Vec<tokio::task::JoinHandle<()>>);

impl Served {
    fn new(running: &Running, intake: TcpListener, console: TcpListener) -> Self {
        let house = Arc::clone(&running.house);
        let intake_handler: Handler = Arc::new(move |event| {
            let house = Arc::clone(&house);
            Box::pin(async move { house.deliver(event).await.map_err(|error| error.to_string()) })
        });
        let deps = Arc::clone(&running.house.console);
        let console_handler: Handler = Arc::new(move |event| {
            let deps = Arc::clone(&deps);
            Box::pin(async move { console::handle(&deps, event).await.map_err(|error| error.to_string()) })
        });
        let (doorbell, minute) = (Arc::clone(&running.house), Arc::clone(&running.house));
        let quarter = Arc::clone(&running.house);
        Self(vec![
            spawn(async move { report_end("intake", serve(intake, intake_handler).await) }),
            spawn(async move { report_end("console", serve(console, console_handler).await) }),
            spawn(async move {
                loop {
                    doorbell.sweep_outbox().await;
                    tokio::time::sleep(DOORBELL).await;
                }
            }),
            spawn(async move {
                loop {
                    minute.sweep().await;
                    tokio::time::sleep(SWEEP_EVERY).await;
                }
            }),
            spawn(async move {
                loop {
                    tokio::time::sleep(CHECKPOINT_EVERY).await;
                    quarter.checkpoint().await;
                    // Daily in AWS. Nothing is old enough most of the time, and asking costs one query.
                    quarter.retain().await;
                }
            }),
        ])
    }

    fn end(self) {
        for task in self.0 {
            task.abort();
        }
    }
}

fn report_end(what: &str, ended: std::io::Result<()>) {
    if let Err(error) = ended {
        tracing::error!(what, %error, "a server of the demo stopped");
    }
}

/// Delivers the events, waits for their runs, prints the log.
async fn work(
    running: &Running,
    arguments: &Arguments,
    terminal: Terminal,
    events: &[Vec<Value>],
    began: Instant,
) -> Outcome<()> {
    let delivery = Delivery::new(
        &running.secrets.hubspot_client_secret,
        running.variable("HUBSPOT_TARGET_URL"),
        &format!("http://127.0.0.1:{}/hubspot", arguments.port_base),
    );
    let mut runs: Vec<RunId> = Vec::new();
    let mut known: BTreeSet<RunId> = BTreeSet::new();
    if running.first_time && arguments.events.is_empty() {
        halt_one(running).await?;
    }
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build();
    let http = http.map_err(failed("the events could not be delivered", TRY_FRESH))?;
    for batch in events {
        deliver(running, &delivery, &http, batch).await?;
        for run_id in run_ids(batch) {
            if known.insert(run_id.clone()) {
                runs.push(run_id);
            }
        }
    }
    wait_for_runs(running, terminal).await?;
    running.house.sweep_outbox().await;
    running.house.checkpoint().await;
    let mut totals = Totals::default();
    for run_id in &runs {
        match print_run(&running.house, terminal, run_id, &mut totals).await {
            Ok(()) => {}
            // An event can start nothing: the echo of the agent's own write, for one.
            Err(ReportError::Ledger(ledger::LedgerError::NoRun { .. })) => {
                terminal
                    .progress("an event started no run: it is the agent's own write, or nothing to work on");
            }
            Err(error) => return Err(failed("the log could not be printed", TRY_FRESH)(error)),
        }
    }
    let tenths = u64::try_from(began.elapsed().as_millis() / 100).unwrap_or(u64::MAX);
    if !terminal.is_json() {
        terminal.say(&last_line(&totals, tenths));
    }
    if arguments.serve {
        terminal.progress("serving until Ctrl-C; webhooks are taken on the intake port");
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Delivers one batch; what was not stored is sent again, as HubSpot does, only sooner.
async fn deliver(
    running: &Running,
    delivery: &Delivery,
    http: &reqwest::Client,
    batch: &[Value],
) -> Outcome<()> {
    let mut tries = 0_u64;
    loop {
        let batch = standins::hubspot::with_attempt(batch, tries);
        let request = delivery.sign(&batch, running.house.clock.now_ms());
        let status = delivery.send(http, &request).await;
        let status = status.map_err(failed("the events could not be delivered", TRY_FRESH))?;
        tries = tries.saturating_add(1);
        if status == 200 {
            return Ok(());
        }
        if status < 500 || tries >= DELIVERIES_MAX {
            let refused = failed("the events were not taken", TRY_FRESH);
            return Err(refused(format!("the intake answered with status {status}")));
        }
        tokio::time::sleep(DELIVER_AGAIN_AFTER).await;
    }
}

/// Halts one customer, so that her event is met by a halt. It latches, as every halt does.
async fn halt_one(running: &Running) -> Outcome<()> {
    let customer = types::CustomerId::new(HALTED_CUSTOMER);
    let customer = customer.map_err(failed("the demo's customer", TRY_FRESH))?;
    let press = interlock::Press {
        actor: types::Actor::System("demo".to_owned()),
        source: "demo".to_owned(),
        because: "to show a halt".to_owned(),
    };
    running.house.halt.interlock.halt(&types::Scope::Customer(customer), &press).await;
    Ok(())
}

/// Waits until nothing is under way, and says so while it takes long.
async fn wait_for_runs(running: &Running, terminal: Terminal) -> Outcome<()> {
    let mut under_way = running.under_way.clone();
    let began = Instant::now();
    loop {
        // The first look comes after the driver had its turn with what was just asked for.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let open = *under_way.borrow_and_update();
        if open == 0 {
            return Ok(());
        }
        if began.elapsed() > RUNS_WITHIN {
            return Err(Failed {
                what: format!("{open} runs did not end"),
                why: "see the lines above; a halted switch or a silent store parks runs".to_owned(),
                next: "start the demo again: they go on".to_owned(),
            });
        }
        if tokio::time::timeout(Duration::from_secs(2), under_way.changed()).await.is_err() {
            let seconds = began.elapsed().as_secs();
            terminal
                .progress(&format!("waiting for {open} runs, {seconds} s of {} s", RUNS_WITHIN.as_secs()));
        }
    }
}

/// The runs that a batch stands for, started now or before: the id follows from the event.
fn run_ids(batch: &[Value]) -> Vec<RunId> {
    let body = Value::from(batch.to_vec()).to_string();
    let events = crm::webhook::parse(body.as_bytes(), crm::webhook::Limits::default()).unwrap_or_default();
    let id = |event: &crm::webhook::Event| ledger::keys_of(&event.key_text()).ok().map(|(_, run_id)| run_id);
    events.iter().flatten().filter(|event| starts_a_run(event)).filter_map(id).collect()
}

fn starts_a_run(event: &crm::webhook::Event) -> bool {
    use crm::webhook::EventKind;
    match event.kind() {
        EventKind::EmailCreated { .. } | EventKind::DealCreated { .. } => true,
        EventKind::DealChanged { property, .. } => property == "dealstage",
        EventKind::PrivacyDeletion { .. } | EventKind::ConversationMessage { .. } | EventKind::Ignored => {
            false
        }
    }
}

fn events_of(arguments: &Arguments) -> Outcome<Vec<Vec<Value>>> {
    let wrong = "give files that hold a JSON array of HubSpot events; see events/hubspot";
    let read = |text: &str| serde_json::from_str::<Vec<Value>>(text);
    if arguments.events.is_empty() {
        return Ok(vec![read(EVENTS).map_err(failed("the demo's events cannot be read", wrong))?]);
    }
    let mut batches = Vec::new();
    for path in &arguments.events {
        let text = std::fs::read_to_string(path).map_err(failed("an events file cannot be read", wrong))?;
        batches.push(read(&text).map_err(failed("an events file is no JSON array", wrong))?);
    }
    Ok(batches)
}

fn first_line(events: usize, lookup: &impl Fn(&str) -> Option<String>) -> String {
    let real: Vec<&str> =
        [("HUBSPOT_TOKEN", "HubSpot"), ("ANTHROPIC_API_KEY", "Anthropic"), ("SLACK_WEBHOOK_URL", "Slack")]
            .into_iter()
            .filter_map(|(name, service)| lookup(name).map(|_| service))
            .collect();
    let leaves =
        if real.is_empty() { "nothing leaves here".to_owned() } else { format!("real: {}", real.join(", ")) };
    format!("holdfast demo: {events} events, embedded stores, no AWS account, {leaves}")
}

async fn listeners(base: u16) -> Outcome<(TcpListener, TcpListener, TcpListener)> {
    Ok((listen(base).await?, listen(base.saturating_add(1)).await?, listen(base.saturating_add(2)).await?))
}

async fn listen(port: u16) -> Outcome<TcpListener> {
    let began = Instant::now();
    loop {
        match TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => return Ok(listener),
            Err(_) if began.elapsed() < PORT_WITHIN => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => {
                return Err(Failed {
                    what: format!("port {port} cannot be used"),
                    why: error.to_string(),
                    next: "end what listens there, or move all three with `--port-base N`".to_owned(),
                });
            }
        }
    }
}

fn spawn_halt(running: &Running, port: u16) -> Outcome<Child> {
    let wrong = "start the demo again";
    let program = std::env::current_exe().map_err(failed("the halt page's program is not found", wrong))?;
    Command::new(program)
        .args(["--halt-function", "--port-base", &port.to_string()])
        .envs(&running.variables)
        .stdin(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed("the halt page does not start", wrong))
}

async fn end_child(mut child: Child) {
    if let Err(error) = child.kill().await {
        tracing::debug!(%error, "the halt page's process was gone already");
    }
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[expect(clippy::disallowed_methods, reason = "this process is not a Lambda: nothing freezes it")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(work)
}
