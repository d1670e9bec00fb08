//! One whole product per test: shared stores, its own tables, database, flags, stand-ins and clock. Must
//! never share state between two tests.
use crate::door::{Door, spawn};
use crate::watch;
use demo::first_boot::{LocalSecrets, first_boot};
use demo::{House, HouseOptions, StepDriver};
use serde_json::{Value, json};
use standins::Standins;
use standins::hubspot::Delivery;
use starter::Start;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use step::{Invocation, Next, StepInput, StepOutput};
use stores::{DataDir, LocalRedis, Stack, StackOptions};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use types::{Clock, InvocationId, RunId};

/// Tuesday 24 November 2026, 10:00 in Amsterdam.
pub const START_MS: i64 = 1_795_510_800_000;

/// How the folders of test processes begin.
const FOLDERS: &str = "holdfast-it-";

/// The stores of this test process, alive as long as it is. A process ends without dropping them: their
/// servers end with it, their folder is left to the next one.
static STORES: LazyLock<(Runtime, Stack)> = LazyLock::new(|| {
    config::install_tls();
    watch::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    sweep_left_folders();
    let folder = std::env::temp_dir().join(format!("{FOLDERS}{}", std::process::id()));
    let data = DataDir::open_fresh(&folder).expect("a folder for the stores");
    // The clock of these tests stands still on one day: by this machine's clock its dedupe rows may have
    // ended long ago.
    let options = StackOptions { expiry: stores::dynamo::Expiry::Never, ..StackOptions::default() };
    let stack = runtime.block_on(Stack::start(data, options, &|line| eprintln!("{line}")));
    (runtime, stack.expect("the embedded stores"))
});

/// Removes what ended test processes left, some hundred megabytes each. A folder in use is locked; one that
/// is younger than ten minutes may be about to be.
fn sweep_left_folders() {
    let Ok(found) = std::fs::read_dir(std::env::temp_dir()) else { return };
    for entry in found.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(FOLDERS);
        let age = entry.metadata().ok().and_then(|known| known.modified().ok()?.elapsed().ok());
        if is_ours
            && age.is_some_and(|age| age > Duration::from_secs(600))
            && DataDir::open(entry.path()).is_ok()
        {
            // Best effort: whatever stays is only in the way.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Runs a test's body on the runtime that the stores live on.
pub fn run<T>(body: impl Future<Output = T>) -> T {
    STORES.0.block_on(body)
}

/// Has a body run on that runtime and waits for it, from within another one. The stores must have started.
pub fn beside<T: Send + 'static>(body: impl Future<Output = T> + Send + 'static) -> T {
    let (answer, heard) = std::sync::mpsc::channel();
    drop(STORES.0.spawn(async move { drop(answer.send(body.await)) }));
    heard.recv().expect("it is answered")
}

/// An empty database of the real Postgres: its URL.
pub async fn database(name: &str) -> String {
    STORES.1.postgres.create_database(name).await.expect("a database")
}

/// One whole product.
pub struct Scene {
    pub house: House,
    pub standins: Standins,
    pub clock: Clock,
    pub driver: StepDriver,
    pub secrets: LocalSecrets,
    pub redis: LocalRedis,
    pub prefix: String,
    pub delivery: Delivery,
    pub variables: BTreeMap<String, String>,
    pub folder: PathBuf,
    invocations: u64,
}

impl Scene {
    /// A product as after its first boot: armed, everything in dry-run, the CRM's stages allowed.
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// The same with other settings.
    pub async fn with(change: impl FnOnce(&mut BTreeMap<String, String>)) -> Self {
        Self::built(change, true, START_MS).await
    }

    /// A product that `holdfast init` has put there and nobody has armed.
    pub async fn unarmed() -> Self {
        Self::built(|_| (), false, START_MS).await
    }

    /// A product whose tables lie behind a door.
    pub async fn behind_a_door() -> (Self, Door) {
        let door = Door::to(STORES.1.dynamo.endpoint()).await;
        let url = door.url.clone();
        let scene =
            Self::with(|settings| drop(settings.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), url))).await;
        (scene, door)
    }

    /// The same at the hour that this machine has, for processes that read its clock.
    pub async fn by_the_machines_clock() -> (Self, Door) {
        let door = Door::to(STORES.1.dynamo.endpoint()).await;
        let url = door.url.clone();
        let change = |settings: &mut BTreeMap<String, String>| {
            settings.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), url);
        };
        (Self::built(change, true, Clock::system().now_ms()).await, door)
    }

    /// Moves this product's clock to the machine's.
    pub fn catch_up(&self) {
        self.clock.advance_ms(Clock::system().now_ms() - self.clock.now_ms());
    }

    async fn built(change: impl FnOnce(&mut BTreeMap<String, String>), armed: bool, at_ms: i64) -> Self {
        let stack = &STORES.1;
        let name = format!("t{}", uuid::Uuid::new_v4().simple());
        let folder = std::env::temp_dir().join(format!("{FOLDERS}{}-{name}", std::process::id()));
        let data = DataDir::open_fresh(&folder).expect("a folder for this test");
        let redis = stores::redis::start_stand_in(&data, 0).expect("flags of this test");
        let clock = Clock::manual(at_ms);
        let now = clock.clone();
        let options = standins::Options::new(Arc::new(move || now.now_ms()));
        let standins = Standins::start(options).await.expect("stand-ins");
        let mut secrets = LocalSecrets::of(&folder).expect("secrets");
        let prefix = format!("{name}-");
        let database = database(&name).await;
        let mut variables = variables(stack, &standins, &redis, &secrets, &prefix, database);
        change(&mut variables);
        for name in config::SecretName::ALL.iter().map(|secret| secret.variable()) {
            // An address without a password is no secret.
            let value = variables.get(name).filter(|value| !value.contains("://") || value.contains('@'));
            value.into_iter().for_each(|value| watch::secret(name, value));
        }
        let client = stores::dynamo::client(&variables["AWS_ENDPOINT_URL_DYNAMODB"]);
        stores::dynamo::create_tables(&client, &prefix).await.expect("tables");
        let options = HouseOptions { variables: variables.clone(), clock: clock.clone() };
        let (house, driver) = House::build(options).await.expect("the house");
        if !armed {
            // The demo arms only what it put there itself.
            let init = types::Actor::System("init".to_owned());
            assert!(house.halt.interlock.init(&init).await.expect("the control item"));
        }
        first_boot(&house, &mut secrets, &folder).await.expect("the first boot");
        let target = variables["HUBSPOT_TARGET_URL"].clone();
        let delivery = Delivery::new(&secrets.hubspot_client_secret, &target, &target);
        Self {
            house,
            standins,
            clock,
            driver,
            secrets,
            redis,
            prefix,
            delivery,
            variables,
            folder,
            invocations: 0,
        }
    }

    /// The same stores and outside world, the functions built anew with other settings: a new deployment.
    pub async fn rebuild(&mut self, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        change(&mut self.variables);
        let options = HouseOptions { variables: self.variables.clone(), clock: self.clock.clone() };
        (self.house, self.driver) = House::build(options).await.expect("the house");
    }

    /// Where the tables answer, past every door.
    pub fn dynamo() -> aws_sdk_dynamodb::Client {
        stores::dynamo::client(&Self::tables_endpoint())
    }

    /// The address of the tables, past every door.
    pub fn tables_endpoint() -> String {
        STORES.1.dynamo.endpoint().to_owned()
    }

    /// Where the parameters answer.
    pub fn ssm_endpoint() -> &'static str {
        STORES.1.ssm.endpoint()
    }

    /// One command to this test's flags, as a person types it.
    pub async fn flags<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        typed(&self.variables["REDIS_URL"], command)
            .await
            .unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Begins an invocation of the step function beside this test.
    pub fn spawn_step(&mut self, input: &StepInput) -> JoinHandle<Result<StepOutput, step::StepError>> {
        let invocation = self.invocation();
        let deps = Arc::clone(&self.house.step);
        let payload = serde_json::to_value(input).expect("JSON");
        spawn(async move {
            let answer = step::handle(&deps, payload, &invocation).await?;
            Ok(serde_json::from_value(answer).expect("a step's answer"))
        })
    }

    /// Delivers a webhook file of one event; the input of its run's first step.
    pub async fn begin(&mut self, events: &str) -> StepInput {
        let (status, answer) = self.deliver(&Self::events(events)).await;
        assert_eq!(status, 200, "{answer}");
        let starts = self.asked_for();
        let [start] = starts.as_slice() else { panic!("one start, not {starts:?}") };
        StepInput { run_id: start.run_id.clone(), n: start.n, customer_id: None }
    }

    /// One step, as the state machine takes it: `input` becomes that of the next one.
    pub async fn step_on(&mut self, input: &mut StepInput) -> StepOutput {
        let output = self.step(input).await.unwrap_or_else(|error| panic!("a step broke off: {error:?}"));
        *input =
            StepInput { run_id: output.run_id.clone(), n: output.n, customer_id: output.customer_id.clone() };
        output
    }

    /// Steps until the run stands before step `n`.
    pub async fn step_to(&mut self, input: &mut StepInput, n: u32) {
        while input.n < n {
            assert_eq!(self.step_on(input).await.next, Next::Continue, "step {}", input.n);
        }
    }

    /// The run as it is stored.
    pub async fn run(&self, run_id: &RunId) -> ledger::Run {
        self.house.step.ledger.run(run_id).await.expect("the run")
    }

    /// Starts a run that is held, as the console does for a person.
    pub async fn start_held(&mut self, run_id: &RunId) -> Start {
        let mut run = self.run(run_id).await;
        assert_eq!(run.status, ledger::RunStatus::Held);
        run.requeue();
        let stored =
            self.house.step.ledger.commit(&mut run, ledger::Commit::default()).await.expect("stored");
        assert_eq!(stored, ledger::Stored::Yes);
        let start = Start { name: run.execution_name(), run_id: run_id.clone(), n: run.n };
        self.house.step.starter.start(&start).await.expect("started");
        self.asked_for().pop().expect("one start")
    }

    /// The entries of a run that Postgres does not have yet, in their own order.
    pub async fn entries(&self, run_id: &RunId) -> Vec<ledger::Entry> {
        let rows = self.house.step.ledger.unacknowledged(1_000).await.expect("the outbox");
        let entries = rows.into_iter().map(|row| row.entry.expect("a readable entry"));
        let mut entries: Vec<_> = entries.filter(|entry| entry.stream == run_id.as_str()).collect();
        entries.sort_by_key(|entry| entry.event_no);
        entries
    }

    /// The control item.
    pub async fn control(&self) -> interlock::Control {
        self.house.halt.interlock.control().await.expect("the control item")
    }

    /// Requests that could have changed the CRM, whatever became of them.
    pub fn sent(&self) -> Vec<standins::hubspot::Seen> {
        self.standins.hubspot.requests().into_iter().filter(|seen| seen.method != "GET").collect()
    }

    /// Hands intake a signed webhook, as a function URL would: status and answer.
    pub async fn deliver(&self, events: &[Value]) -> (u16, Value) {
        let request = self.delivery.sign(events, self.clock.now_ms());
        self.post("/hubspot", &request.headers, &request.body).await
    }

    /// Hands intake a request that was signed elsewhere.
    pub async fn post_signed(&self, request: &standins::hubspot::SignedRequest) -> (u16, Value) {
        self.post("/hubspot", &request.headers, &request.body).await
    }

    /// Signs in at the console as the demo's person does: the cookie.
    pub async fn sign_in(&self) -> String {
        let key = self.secrets.halt_path.clone().expect("a link");
        let headers = [
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("sec-fetch-site", "same-origin".to_owned()),
        ];
        let body = format!("pin={}", self.secrets.pin);
        let event = url_event("POST", &key, &headers, body.as_bytes());
        let answer = console::handle(&self.house.console, event).await.expect("an answer");
        let cookie = answer["cookies"][0].as_str().unwrap_or_else(|| panic!("not signed in: {answer}"));
        cookie.split(';').next().expect("a cookie").to_owned()
    }

    /// Hands intake any request.
    pub async fn post(&self, path: &str, headers: &[(&'static str, String)], body: &[u8]) -> (u16, Value) {
        self.ask("POST", path, headers, body).await
    }

    /// Hands intake a request of any method.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> (u16, Value) {
        let answer = self.house.deliver(url_event(method, path, headers, body)).await.expect("an answer");
        let status =
            answer["statusCode"].as_u64().and_then(|code| u16::try_from(code).ok()).expect("a status");
        let body = answer["body"].as_str().unwrap_or_default();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// The executions that were asked for and not driven yet.
    pub fn asked_for(&mut self) -> Vec<Start> {
        std::iter::from_fn(|| self.driver.try_recv().ok()).collect()
    }

    /// Drives everything that was asked for to its end, one execution after another; waiting moves the
    /// clock.
    pub async fn drive(&mut self) -> Vec<(RunId, Next)> {
        let mut ends = Vec::new();
        loop {
            let starts = self.asked_for();
            if starts.is_empty() {
                return ends;
            }
            for start in starts {
                let end = self.execute(&start).await;
                ends.push((start.run_id, end));
            }
        }
    }

    /// Drives one execution to its end.
    pub async fn execute(&mut self, start: &Start) -> Next {
        let input = StepInput { run_id: start.run_id.clone(), n: start.n, customer_id: None };
        self.finish(&input).await
    }

    /// Steps until the run ends; waiting moves the clock and sweeps.
    pub async fn finish(&mut self, input: &StepInput) -> Next {
        let mut input = input.clone();
        for _ in 0..2_000 {
            let output = self.step_on(&mut input).await;
            match output.next {
                Next::Continue => {}
                Next::Wait => {
                    self.clock.advance_ms(i64::from(output.wait_seconds) * 1_000);
                    self.sweep_effects().await;
                }
                Next::Halted | Next::Done => return output.next,
            }
        }
        panic!("the run {} did not end", input.run_id);
    }

    /// One invocation of the step function.
    pub async fn step(&mut self, input: &StepInput) -> Result<StepOutput, step::StepError> {
        let invocation = self.invocation();
        let payload = serde_json::to_value(input).expect("JSON");
        let answer = step::handle(&self.house.step, payload, &invocation).await?;
        Ok(serde_json::from_value(answer).expect("a step's answer"))
    }

    /// A fresh invocation with sixty seconds before it.
    pub fn invocation(&mut self) -> Invocation {
        self.invocations += 1;
        Invocation {
            id: InvocationId::new(format!("inv-{}", self.invocations)).expect("an id"),
            deadline_ms: self.clock.now_ms() + 60_000,
        }
    }

    /// The minute's sweep of the step function.
    pub async fn sweep_effects(&mut self) -> Value {
        let invocation = self.invocation();
        step::handle(&self.house.step, json!({"sweep": "effects"}), &invocation).await.expect("a sweep")
    }

    /// Moves the control item's log and the outbox on to Postgres.
    pub async fn settle_audit(&self) {
        halt::handle(&self.house.halt, json!({"sweep": "flags"})).await.expect("the sweep of the flags");
        audit::handle(&self.house.audit, json!({"sweep": "outbox"})).await.expect("the sweep of the outbox");
    }

    /// Every row of the audit log, oldest first.
    pub async fn rows(&self) -> Vec<audit_log::Row> {
        self.settle_audit().await;
        let query = audit_log::Query { limit: 200, ..audit_log::Query::default() };
        let mut rows = self.house.audit.log.search(&query).await.expect("rows").rows;
        rows.reverse();
        rows
    }

    /// The rows of tool calls of a run, oldest first.
    pub async fn calls(&self, run_id: &RunId) -> Vec<audit_log::Row> {
        self.settle_audit().await;
        let rows = self.house.audit.log.run(run_id.as_str()).await.expect("rows");
        rows.into_iter().filter(|row| row.intent_id.is_some()).collect()
    }

    /// Turns a tool live, as the console does.
    pub async fn go_live(&self, tool: &str) {
        let actor = types::Actor::Person(types::PersonId::new("demo").expect("an id"));
        let flipped = self
            .house
            .halt
            .interlock
            .flip(tool, types::Mode::Live, &actor, "ready for this test", "test")
            .await;
        assert_eq!(flipped.expect("flipped"), interlock::Flipped::Done);
    }

    /// Presses HALT, as the page does.
    pub async fn press_halt(&self, scope: &types::Scope) -> interlock::HaltReport {
        let press = interlock::Press {
            actor: types::Actor::Person(types::PersonId::new("demo").expect("an id")),
            source: "page".to_owned(),
            because: "pressed".to_owned(),
        };
        self.house.halt.interlock.halt(scope, &press).await
    }

    /// Resumes a scope on what both stores show now, in dry-run.
    pub async fn resume(&self, scope: types::Scope) -> interlock::Rearmed {
        let interlock = &self.house.halt.interlock;
        let control = interlock.control().await.expect("the control item");
        let (generation, seq) = match &scope {
            types::Scope::Global => {
                let flags = interlock.switch().read(&[]).await.expect("the flags");
                (types::Generation::default(), flags.seq_global)
            }
            types::Scope::Customer(id) => {
                let flags = interlock.switch().read(&[id.to_string()]).await.expect("the flags");
                (control.generation(id), flags.customers[0].1.clone())
            }
        };
        let ask = interlock::RearmAsk {
            scope,
            epoch_shown: control.epoch,
            generation_shown: generation,
            seq_shown: seq,
            actor: types::Actor::Person(types::PersonId::new("demo").expect("an id")),
            because: "checked everything".to_owned(),
            source: "page".to_owned(),
            modes: interlock::ModesAfter::DryRun,
        };
        interlock.rearm(&ask).await.expect("an answer")
    }

    /// A customer's id.
    pub fn customer(id: &str) -> types::CustomerId {
        types::CustomerId::new(id).expect("a customer id")
    }

    /// The run that an event stands for.
    pub fn run_of(event: &Value) -> RunId {
        let body = Value::from(vec![event.clone()]).to_string();
        let events = crm::webhook::parse(body.as_bytes(), crm::webhook::Limits::default()).expect("an array");
        let event = events[0].as_ref().expect("an event");
        ledger::keys_of(&event.key_text()).expect("keys").1
    }

    /// The text of the webhook file `events/hubspot/<name>.json`.
    pub fn events(name: &str) -> Vec<Value> {
        let path = repository().join(format!("events/hubspot/{name}.json"));
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).expect("a JSON array")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // The folder holds only this test's flags.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The repository's root.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// One command to a Redis, as a person types it.
pub async fn typed<T: redis::FromRedisValue>(url: &str, command: &[&str]) -> redis::RedisResult<T> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut typed = redis::cmd(command[0]);
    typed.arg(&command[1..]);
    typed.query_async(&mut connection).await
}

/// The model's answer that makes these tool calls.
pub fn says(calls: &[(&str, Value)]) -> Value {
    let blocks: Vec<Value> = calls
        .iter()
        .map(|(name, input)| {
            let id = format!("toolu_{}", uuid::Uuid::new_v4().simple());
            json!({"type": "tool_use", "id": id, "name": name, "input": input})
        })
        .collect();
    standins::anthropic::message(&Value::from(blocks), "tool_use")
}

/// The model's answer that ends a run.
pub fn says_nothing_more() -> Value {
    standins::anthropic::message(&json!([{"type": "text", "text": "Done."}]), "end_turn")
}

/// The event that a function URL makes of a request.
pub fn url_event(method: &str, path: &str, headers: &[(&'static str, String)], body: &[u8]) -> Value {
    let headers: BTreeMap<&str, &String> = headers.iter().map(|(name, value)| (*name, value)).collect();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    json!({
        "version": "2.0", "rawPath": path, "rawQueryString": query, "headers": headers,
        "requestContext": {"domainName": "127.0.0.1", "requestId": "test", "http": {"method": method, "path": path}},
        "body": String::from_utf8_lossy(body), "isBase64Encoded": false,
    })
}

fn variables(
    stack: &Stack,
    standins: &Standins,
    redis: &LocalRedis,
    secrets: &LocalSecrets,
    prefix: &str,
    database: String,
) -> BTreeMap<String, String> {
    let hubspot = standins::hubspot::Settings::default();
    let signer = web::LinkSigner::from_secret_hex(&secrets.link_signing_key).expect("a key");
    let slack = format!("{}{}", standins.slack.url, standins::slack::WEBHOOK_PATH);
    [
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", stack.dynamo.endpoint().to_owned()),
        ("AWS_ENDPOINT_URL_SSM", stack.ssm.endpoint().to_owned()),
        ("REDIS_URL", redis.url().to_owned()),
        ("DATABASE_URL", database),
        ("TABLE_PREFIX", prefix.to_owned()),
        ("HUBSPOT_TOKEN", hubspot.token.clone()),
        ("HUBSPOT_BASE_URL", standins.hubspot.url.clone()),
        ("HUBSPOT_CLIENT_SECRET", secrets.hubspot_client_secret.clone()),
        ("HUBSPOT_APP_ID", hubspot.app_id.to_string()),
        ("HUBSPOT_TARGET_URL", "http://127.0.0.1:8786/hubspot".to_owned()),
        ("ANTHROPIC_API_KEY", standins::anthropic::API_KEY.to_owned()),
        ("ANTHROPIC_BASE_URL", standins.anthropic.url.clone()),
        ("SLACK_WEBHOOK_URL", slack),
        ("PUBLIC_HALT_URL", "http://127.0.0.1:8787".to_owned()),
        ("PUBLIC_CONSOLE_URL", "http://127.0.0.1:8788".to_owned()),
        ("LINK_SIGNING_KEY", secrets.link_signing_key.clone()),
        ("LINK_PUBLIC_KEY", signer.verifier().to_hex()),
        ("CHECKPOINT_KEY", secrets.checkpoint_key.clone()),
        ("COMPANY_NAME", "CRM agent".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
