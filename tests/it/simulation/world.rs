//! One world: the real functions in their environments, everything that they ask for held, and a seeded
//! schedule that decides what happens next. Must never do anything that its seed did not say.
mod end;
mod forget;
pub mod story;
pub mod trail;
mod turns;

use super::chance::Chance;
use super::flags::Flags;
use super::rig::{HALTS, INTAKE, Rig, SECRET, STEPS, TARGET};
use super::script::{self, DEALS, WRITING};
use super::tables;
use super::totals::Totals;
use super::truth::Truth;
use super::wire::{Answer, Call, Crm, Held, http};
use dynoxide::Database;
use forget::Her;
use serde_json::{Value, json};
use standins::Running;
use standins::hubspot::{Delivery, HubSpot};
use starter::Start;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use story::Story;
use trail::{Outbox, Trail};
use types::{Actor as Who, InvocationId, Mode, PersonId};

/// How long an invocation may take, and how much later the platform may end it (ms).
const INVOCATION_MS: i64 = 60_000;
const LATE_KILL_MS: i64 = 1_900;
/// How long a write may still arrive at the CRM after it was sent (ms).
const LATE_WRITE_MS: i64 = 600_000;
/// How far the ledger client's clock may be off (ms).
const SKEW_MS: i64 = 1_400;

type Work = Pin<Box<dyn Future<Output = Result<Value, String>>>>;

/// Wakes one actor.
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What an invocation is for.
#[derive(Debug, Clone)]
pub enum Job {
    Step {
        execution: Option<usize>,
    },
    Effects,
    SweepFlags,
    Look {
        by: usize,
    },
    Press {
        scope: String,
    },
    Resume {
        scope: String,
    },
    Flip,
    /// Something that follows links and presses nothing.
    Bot,
    Deliver {
        events: Vec<Value>,
    },
    Restart,
    Stream {
        numbers: BTreeSet<String>,
    },
    SweepOutbox,
    /// She asked to be forgotten, or for a copy.
    Forget,
    Copy,
}

/// One invocation under way.
struct Actor {
    env: usize,
    job: Job,
    work: Work,
    bell: Arc<Bell>,
    /// The event at which it began.
    began: u64,
    /// When the platform ends it (true time).
    ends_ms: i64,
    frozen: bool,
    sleeping: bool,
}

/// One execution of the state machine.
#[derive(Debug, Clone)]
struct Execution {
    input: Value,
    due_ms: i64,
    running: bool,
    ended: bool,
}

/// What a person saw when she last looked.
#[derive(Debug, Clone, Default)]
struct Seen {
    at: u64,
    answer: Value,
}

/// How often what happens, in a thousand turns or as weights.
#[derive(Debug, Clone)]
pub struct Profile {
    pub name: &'static str,
    pub turns: u32,
    pub events: u32,
    /// How often a turn begins something new rather than going on.
    pub begin: u32,
    /// Weights: effects sweep, flags sweep, look, press global, press customer, resume fresh, resume stale,
    /// flip, hand, edit.
    pub jobs: [u32; 10],
    /// Weights of faults: crash, freeze, kill flags, wipe, fail over, lose key, full, lag, tables down, jump,
    /// duplicate, config.
    pub faults: [u32; 12],
    pub fault: u32,
    /// Fates of a request in a thousand: lost before, lost after, refused.
    pub lost: [u32; 3],
    /// Fates of a write at the CRM in a thousand: lost before, applied unheard, late, refused.
    pub crm: [u32; 4],
    /// All tools live, valid calls only.
    pub eager: bool,
    /// Resumes restore the modes.
    pub as_before: u32,
    /// What happens first.
    pub story: Option<Story>,
    /// Dear calls, a tight cap, and days that go by.
    pub money: Option<Money>,
    /// The outbox is drained, into a log of its own.
    pub trail: Option<Trail>,
}

/// How a life of money goes.
#[derive(Debug, Clone, Copy)]
pub struct Money {
    pub begins_ms: i64,
    /// In a thousand turns: how often hours pass, and how often the ops lead saves another cap or zone.
    pub hours: u32,
    pub saves: u32,
}

/// Why a seed failed: what was broken, and what happened before.
#[derive(Debug)]
pub struct Violation {
    pub seed: u64,
    pub what: Vec<String>,
    pub trace: Vec<String>,
}

impl Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, what, trace } = self;
        writeln!(f, "SEED={seed} breaks {what:#?}\n{}\nSEED={seed} breaks {what:#?}", trace.join("\n"))
    }
}

pub struct World<'a> {
    rig: &'a mut Rig,
    pub profile: Profile,
    chance: Chance,
    db: Database,
    flags: Flags,
    truth: Arc<Mutex<Truth>>,
    crm: Running<HubSpot>,
    delivery: Delivery,
    actors: Vec<Actor>,
    executions: Vec<Execution>,
    names: BTreeSet<String>,
    /// Event bodies that HubSpot knows of; delivered once at least.
    events: Vec<Value>,
    open_events: Vec<Value>,
    seen: [Seen; 2],
    /// Writes whose client is gone, and until when they may arrive.
    late: Vec<(Crm, i64)>,
    known_crm: BTreeSet<u64>,
    /// The reservation that each call of the model was sent with.
    model_calls: BTreeMap<u64, Option<String>>,
    /// Calls of the model that their step must give up, because it heard of a halt.
    to_cancel: Vec<u64>,
    /// Checks that met a flag and are still to be answered by so many commands.
    hearing: BTreeMap<usize, usize>,
    stale: VecDeque<Value>,
    outbox: Outbox,
    her: Option<Her>,
    flags_down: bool,
    tables_down: bool,
    calm: bool,
    true_ms: i64,
    skew_ms: i64,
    invocations: u64,
    trace: Vec<String>,
    totals: Totals,
}

impl<'a> World<'a> {
    pub async fn new(rig: &'a mut Rig, seed: u64, profile: Profile) -> Self {
        let now = rig.clock.now_ms();
        rig.clock.advance_ms(profile.begins_ms() - now);
        while rig.starts.try_recv().is_ok() {}
        let clock = rig.clock.clone();
        let stand_in = HubSpot::new(
            standins::hubspot::Settings { requests_per_window: 100_000, ..Default::default() },
            Arc::new(move || clock.now_ms()),
        );
        let crm = stand_in.start().await.expect("the CRM");
        let mut chance = Chance::new(seed);
        {
            let mut wires = rig.net.lock();
            wires.held.clear();
            wires.busy = 0;
            wires.crm = Some(crm.url.trim_start_matches("http://").parse().unwrap());
            wires.bad_reads = if chance.of_1000(300) { 30 } else { 0 };
            wires.config_answers = true;
            wires.purse = profile.money.map(|_| script::Purse::drawn(&mut chance));
            wires.chance = Chance::new(seed ^ 0xabcd);
        }
        let db = tables::fresh();
        let mut world = Self {
            rig,
            profile,
            chance,
            db,
            crm,
            flags: Flags::default(),
            truth: Arc::default(),
            delivery: Delivery::new(SECRET, TARGET, TARGET),
            actors: Vec::new(),
            executions: Vec::new(),
            names: BTreeSet::new(),
            events: Vec::new(),
            open_events: Vec::new(),
            seen: Default::default(),
            late: Vec::new(),
            known_crm: BTreeSet::new(),
            model_calls: BTreeMap::new(),
            to_cancel: Vec::new(),
            hearing: BTreeMap::new(),
            stale: VecDeque::new(),
            outbox: Outbox::default(),
            her: None,
            flags_down: false,
            tables_down: false,
            calm: true,
            true_ms: 0,
            skew_ms: 0,
            invocations: 0,
            trace: Vec::new(),
            totals: Totals { seeds: 1, ..Totals::default() },
        };
        world.create_tables();
        if world.profile.trail.is_some_and(|trail| trail.forget > 0) {
            world.she_writes();
        }
        world
    }

    fn create_tables(&mut self) {
        let key = |names: &[&str]| {
            let kinds = ["HASH", "RANGE"];
            Value::from(
                names
                    .iter()
                    .zip(kinds)
                    .map(|(n, k)| json!({"AttributeName": n, "KeyType": k}))
                    .collect::<Vec<_>>(),
            )
        };
        let kinds = |names: &[(&str, &str)]| {
            Value::from(
                names
                    .iter()
                    .map(|(n, k)| json!({"AttributeName": n, "AttributeType": k}))
                    .collect::<Vec<_>>(),
            )
        };
        let index = |name: &str, keys: &[&str]| json!([{"IndexName": name, "KeySchema": key(keys), "Projection": {"ProjectionType": "ALL"}}]);
        let tables = [
            json!({"TableName": "sim-control", "KeySchema": key(&["pk"]), "AttributeDefinitions": kinds(&[("pk", "S")])}),
            json!({"TableName": "sim-budget", "KeySchema": key(&["pk"]), "AttributeDefinitions": kinds(&[("pk", "S")])}),
            json!({"TableName": "sim-runs", "KeySchema": key(&["pk", "sk"]),
                   "AttributeDefinitions": kinds(&[("pk", "S"), ("sk", "S"), ("queue", "S"), ("at", "N")]),
                   "GlobalSecondaryIndexes": index("queue", &["queue", "at"])}),
            json!({"TableName": "sim-outbox", "KeySchema": key(&["pk"]),
                   "AttributeDefinitions": kinds(&[("pk", "S"), ("unack", "S"), ("at", "N")]),
                   "GlobalSecondaryIndexes": index("unacknowledged", &["unack", "at"])}),
        ];
        for mut table in tables {
            table["BillingMode"] = "PAY_PER_REQUEST".into();
            let (status, answer) = tables::ask(&self.db, "CreateTable", &table.to_string());
            assert_eq!(status, 200, "{answer}");
        }
    }

    fn truth(&self) -> std::sync::MutexGuard<'_, Truth> {
        self.truth.lock().unwrap()
    }

    fn note(&mut self, what: impl Display) {
        let (at, event) = (self.true_ms, self.truth().event);
        self.trace.push(format!("{at:>8} ms  #{event:<5} {what}"));
    }

    fn broken(&self) -> bool {
        !self.truth().violations.is_empty()
    }

    /// The whole life of the world.
    pub async fn live(mut self, seed: u64) -> Result<Totals, Violation> {
        let name = self.profile.name;
        self.note(format_args!("a life of the kind \"{name}\""));
        self.begin().await;
        if let Some(story) = self.profile.story {
            self.tell(story).await;
        }
        self.calm = false;
        for _ in 0..self.profile.turns {
            self.totals.turns += 1;
            self.turn().await;
            if self.broken() {
                break;
            }
        }
        if !self.broken() {
            self.end().await;
        }
        let (violations, granted, writes) = {
            let truth = self.truth();
            (truth.violations.clone(), truth.granted, truth.writes)
        };
        {
            let truth = Arc::clone(&self.truth);
            let truth = truth.lock().unwrap();
            self.totals.reserved = truth.books.reserved();
            self.totals.days = truth.books.days();
            self.totals.trips = truth.books.trips();
            self.totals.caps = truth.books.caps;
        }
        self.totals.logged = self.logged();
        self.totals.granted = granted;
        self.totals.writes = writes;
        self.totals.invocations = self.invocations;
        let trace = std::mem::take(&mut self.trace);
        self.drop_everything().await;
        if violations.is_empty() { Ok(self.totals) } else { Err(Violation { seed, what: violations, trace }) }
    }

    async fn drop_everything(&mut self) {
        self.actors.clear();
        self.rig.net.lock().held.clear();
        self.settle().await;
    }

    /// Put, armed and flipped by people, while nothing fails.
    async fn begin(&mut self) {
        let deps = Arc::clone(&self.rig.halts[0]);
        let person = who();
        self.spawn(HALTS.start, Job::Flip, async move {
            deps.interlock.init(&person).await.map(Value::from).map_err(|error| error.to_string())
        });
        self.quiesce().await;
        self.look(0);
        self.quiesce().await;
        self.resume(0, "global", false);
        self.quiesce().await;
        for tool in WRITING {
            if self.profile.eager || self.chance.of_1000(750) {
                self.flip(tool, Mode::Live);
                self.quiesce().await;
            }
        }
    }

    /// Lets everything through until nobody is at work.
    async fn quiesce(&mut self) {
        for _ in 0..2_000 {
            self.settle().await;
            if self.broken() || (self.actors.is_empty() && self.rig.net.lock().held.is_empty()) {
                return;
            }
            let first = self.sorted().first().copied();
            match first {
                Some(id) => self.release(id, Fate::Pass),
                None => self.advance(250).await,
            }
        }
        panic!("nobody comes to rest: {:?}", self.actors.iter().map(|a| &a.job).collect::<Vec<_>>());
    }

    /// Polls everybody until all wait for something that is held, or for time.
    async fn settle(&mut self) {
        let (mut idle, mut last) = (0, u64::MAX);
        loop {
            let mut moved = self.poll_all();
            let (activity, busy) = {
                let wires = self.rig.net.lock();
                (wires.activity, wires.busy)
            };
            moved |= activity != last || busy > 0;
            last = activity;
            idle = if moved { 0 } else { idle + 1 };
            if idle > self.patience() {
                break;
            }
            tokio::task::yield_now().await;
        }
        for actor in &mut self.actors {
            actor.sleeping = true;
        }
        self.new_writes();
        self.new_model_calls();
        self.models_given_up();
        while let Ok(start) = self.rig.starts.try_recv() {
            self.started(&start);
        }
    }

    /// How many idle looks mean that everybody waits: few when all are known to, many when one may just be
    /// slow.
    fn patience(&self) -> u32 {
        let wires = self.rig.net.lock();
        let waits =
            |actor: &Actor| actor.frozen || actor.sleeping || wires.held.iter().any(|h| h.env == actor.env);
        if self.actors.iter().all(waits) { 10 } else { 250 }
    }

    fn poll_all(&mut self) -> bool {
        let mut moved = false;
        let mut index = 0;
        while index < self.actors.len() {
            let actor = &mut self.actors[index];
            if actor.frozen || !actor.bell.0.swap(false, Ordering::SeqCst) {
                index += 1;
                continue;
            }
            moved = true;
            actor.sleeping = false;
            let waker = Waker::from(Arc::clone(&actor.bell));
            match actor.work.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => index += 1,
                Poll::Ready(answer) => {
                    let actor = self.actors.remove(index);
                    self.answered(actor, answer);
                }
            }
        }
        moved
    }

    /// Writes to the CRM that have just begun.
    fn new_writes(&mut self) {
        let begun: Vec<(usize, Crm)> = {
            let wires = self.rig.net.lock();
            let fresh = wires.held.iter().filter_map(|held| match &held.call {
                Call::Crm(crm) if !self.known_crm.contains(&held.id) => {
                    Some((held.id, held.env, crm.clone()))
                }
                Call::Crm(_)
                | Call::Table { .. }
                | Call::Flags { .. }
                | Call::Model { .. }
                | Call::Log { .. } => None,
            });
            let fresh: Vec<_> = fresh.collect();
            self.known_crm.extend(fresh.iter().map(|(id, ..)| *id));
            fresh.into_iter().map(|(_, env, crm)| (env, crm)).collect()
        };
        for (env, crm) in begun {
            self.truth().crm_starts(env, &crm);
            self.note(format_args!("env {env} sends {} {} ({:?})", crm.method, crm.path, crm.intent));
        }
    }

    /// Calls of the model that have just begun.
    // INVARIANT (I14): each is paid for before it leaves.
    fn new_model_calls(&mut self) {
        let begun: Vec<(u64, usize)> = {
            let wires = self.rig.net.lock();
            let calls = wires.held.iter().filter(|held| matches!(held.call, Call::Model { .. }));
            let fresh = calls.filter(|held| !self.model_calls.contains_key(&held.id));
            fresh.map(|held| (held.id, held.env)).collect()
        };
        for (id, env) in begun {
            let paid = self.truth().books.sent(env);
            let paid = paid.map_err(|what| self.truth().violations.push(format!("I14: {what}"))).ok();
            self.model_calls.insert(id, paid);
        }
    }

    // INVARIANT (I11): a step that hears of a halt while the model thinks gives the call up at once.
    fn models_given_up(&mut self) {
        let wires = self.rig.net.lock();
        let frozen = |env: usize| self.actors.iter().any(|actor| actor.env == env && actor.frozen);
        let still = |id: &u64| wires.held.iter().find(|held| held.id == *id && !held.answer.is_closed());
        let (waiting, kept): (Vec<_>, Vec<_>) = self
            .to_cancel
            .iter()
            .filter_map(still)
            .map(|held| (held.id, held.env))
            .partition(|(_, env)| frozen(*env));
        drop(wires);
        self.to_cancel = waiting.into_iter().map(|(id, _)| id).collect();
        for (_, env) in kept {
            self.truth()
                .violations
                .push(format!("I11: env {env} heard of a halt and still waits for the model"));
        }
    }

    /// A check may arrive in pieces: once the last one of a check that met a flag is heard, the calls of the
    /// model that this step has out must go.
    fn hears(
        &mut self,
        env: usize,
        pipeline: &[super::flags::Command],
        done: &super::flags::Done,
        heard: bool,
    ) {
        let left = match (&done.checked, self.hearing.remove(&env)) {
            _ if !heard => return,
            (Some(checked), _) if !checked.flagged => return,
            (Some(_), _) => pipeline[0].len().saturating_sub(1 + pipeline.len()),
            (None, Some(left)) => left.saturating_sub(pipeline.len()),
            (None, None) => return,
        };
        if left > 0 {
            self.hearing.insert(env, left);
        } else {
            let calls = self.model_calls_of(env);
            self.to_cancel.extend(calls);
        }
    }

    /// The calls of the model that an environment has out.
    fn model_calls_of(&self, env: usize) -> Vec<u64> {
        let wires = self.rig.net.lock();
        let of_env = |held: &&Held| held.env == env && matches!(held.call, Call::Model { .. });
        wires.held.iter().filter(of_env).map(|held| held.id).collect()
    }

    fn started(&mut self, start: &Start) {
        if !self.names.insert(start.name.clone()) {
            return;
        }
        let input = json!({"run_id": start.run_id, "n": start.n});
        self.note(format_args!("execution {} begins", start.name));
        let due_ms = self.true_ms;
        self.executions.push(Execution { input, due_ms, running: false, ended: false });
    }

    fn spawn(&mut self, env: usize, job: Job, work: impl Future<Output = Result<Value, String>> + 'static) {
        self.invocations += 1;
        let began = {
            let mut truth = self.truth();
            truth.event += 1;
            let began = truth.event;
            truth.proofs.insert(env, super::truth::Proofs { began, ..Default::default() });
            truth.books.begins(env);
            began
        };
        let ends_ms = self.true_ms + INVOCATION_MS + self.chance.between(0, LATE_KILL_MS);
        self.note(format_args!("env {env} begins {job:?}"));
        let bell = Arc::new(Bell(AtomicBool::new(true)));
        let work = Box::pin(work);
        self.actors.push(Actor { env, job, work, bell, began, ends_ms, frozen: false, sleeping: false });
    }

    /// Somewhere that nobody is at work and nothing is on its way from: a request counts as that of whoever
    /// is there.
    fn free(&self, mut envs: std::ops::Range<usize>) -> Option<usize> {
        let wires = self.rig.net.lock();
        let taken = |env: usize| {
            self.actors.iter().any(|actor| actor.env == env) || wires.held.iter().any(|held| held.env == env)
        };
        envs.find(|env| !taken(*env))
    }

    fn invocation(&self) -> step::Invocation {
        step::Invocation {
            id: InvocationId::new(format!("inv-{}", self.invocations + 1)).unwrap(),
            deadline_ms: self.rig.clock.now_ms() + INVOCATION_MS,
        }
    }

    /// The next invocation of an execution, or a second one of the same.
    fn step(&mut self, index: usize, twice: bool) -> bool {
        let Some(env) = self.free(STEPS) else { return false };
        let (deps, invocation) = (Arc::clone(&self.rig.steps[env]), self.invocation());
        let input = self.executions[index].input.clone();
        self.executions[index].running |= !twice;
        let execution = (!twice).then_some(index);
        self.spawn(env, Job::Step { execution }, async move {
            step::handle(&deps, input, &invocation).await.map_err(|error| format!("{error:?}"))
        });
        true
    }

    fn sweep_effects(&mut self) -> bool {
        let Some(env) = self.free(STEPS) else { return false };
        let (deps, invocation) = (Arc::clone(&self.rig.steps[env]), self.invocation());
        self.spawn(env, Job::Effects, async move {
            step::handle(&deps, json!({"sweep": "effects"}), &invocation)
                .await
                .map_err(|error| format!("{error:?}"))
        });
        true
    }

    fn ask_halt(&mut self, job: Job, event: Value) -> Option<usize> {
        let env = self.free(HALTS)?;
        let deps = Arc::clone(&self.rig.halts[env - HALTS.start]);
        self.spawn(env, job, async move {
            halt::handle(&deps, event).await.map_err(|error| format!("{error:?}"))
        });
        Some(env)
    }

    fn look(&mut self, by: usize) {
        let customer = DEALS[self.chance.below(DEALS.len())].1;
        self.ask_halt(Job::Look { by }, json!({"op": "status", "customer": customer}));
    }

    fn press(&mut self, scope: &str) {
        self.totals.presses += 1;
        let in_flight = self.truth().control.in_flight.len() as u64;
        self.totals.in_flight_at_press += in_flight;
        let named = if scope == "global" { scope.to_owned() } else { format!("customer:{scope}") };
        let ask = json!({"op": "halt", "scope": named, "because": self.reason()});
        self.ask_halt(Job::Press { scope: scope.to_owned() }, ask);
    }

    /// Resumes on what that person saw last.
    fn resume(&mut self, by: usize, scope: &str, as_before: bool) {
        let seen = self.seen[by].clone();
        if seen.answer["epoch"].is_null() {
            return;
        }
        let mut ask = json!({"op": "resume", "because": "looked at everything", "epoch": seen.answer["epoch"],
                             "as_before": as_before});
        if scope == "global" {
            ask["scope"] = "global".into();
            ask["seq"] = seen.answer["seq"].clone();
        } else {
            ask["scope"] = format!("customer:{scope}").into();
            ask["generation"] = seen.answer["halted_customers"][scope].as_u64().unwrap_or(0).into();
            ask["seq"] = seen.answer["customer_seq"].as_str().unwrap_or_default().into();
        }
        if ask["seq"].is_null() {
            return;
        }
        self.totals.resumes += 1;
        if let Some(env) = self.ask_halt(Job::Resume { scope: scope.to_owned() }, ask)
            && let Some(proofs) = self.truth().proofs.get_mut(&env)
        {
            proofs.resume = Some((scope.to_owned(), seen.at));
        }
    }

    /// A link preview, a scanner, a crawler: every path of the halt page, by every method that only looks.
    fn bot(&mut self) {
        let method = *self.chance.pick(&["GET", "HEAD", "OPTIONS"]);
        let link = self.chance.pick(&self.rig.links).clone();
        let rest =
            *self.chance.pick(&["", "/halt", "/halt?scope=global", "/resume", "/resume/global", "/fails"]);
        let event = crate::scene::url_event(method, &format!("{link}{rest}"), &[], b"");
        self.ask_halt(Job::Bot, event);
    }

    // INVARIANT (I9): whoever only looks changes nothing.
    fn bot_changes_nothing(&self, env: usize, what: &str) {
        if self.actors.iter().any(|actor| actor.env == env && matches!(actor.job, Job::Bot)) {
            self.truth().violations.push(format!("I9: a look at the page asked for {what}"));
        }
    }

    fn flip(&mut self, tool: &'static str, mode: Mode) {
        let Some(env) = self.free(HALTS) else { return };
        let deps = Arc::clone(&self.rig.halts[env - HALTS.start]);
        self.spawn(env, Job::Flip, async move {
            let flipped = deps.interlock.flip(tool, mode, &who(), "for this seed", "test").await;
            flipped.map(|flipped| Value::from(format!("{flipped:?}"))).map_err(|error| error.to_string())
        });
    }

    fn deliver(&mut self, events: Vec<Value>) {
        if self.free(INTAKE..INTAKE + 1).is_none() {
            return;
        }
        let request = self.delivery.sign(&events, self.rig.clock.now_ms());
        let headers: BTreeMap<&str, &String> =
            request.headers.iter().map(|(name, value)| (*name, value)).collect();
        let event = json!({
            "version": "2.0", "rawPath": "/hubspot", "rawQueryString": "", "headers": headers,
            "requestContext": {"domainName": "127.0.0.1", "requestId": "sim",
                               "http": {"method": "POST", "path": "/hubspot"}},
            "body": String::from_utf8_lossy(&request.body), "isBase64Encoded": false,
        });
        let deps = Arc::clone(&self.rig.intake);
        self.spawn(INTAKE, Job::Deliver { events }, async move {
            intake::handle(&deps, event).await.map_err(|error| format!("{error:?}"))
        });
    }

    /// An invocation has answered.
    fn answered(&mut self, actor: Actor, answer: Result<Value, String>) {
        let shown = match &answer {
            Ok(value) => value.to_string().chars().take(240).collect::<String>(),
            Err(error) => format!("broke off: {}", error.chars().take(200).collect::<String>()),
        };
        self.note(format_args!("env {} ends {:?}: {shown}", actor.env, actor.job));
        match (actor.job, answer) {
            (Job::Step { execution: Some(index) }, answer) => self.stepped(index, answer),
            (Job::Look { by }, Ok(answer)) => self.looked(by, actor.began, answer),
            (Job::Press { scope }, Ok(answer)) => self.pressed(&scope, actor.began, &answer),
            (Job::Resume { scope }, Ok(answer)) if answer["resumed"] == true => {
                let truth = Arc::clone(&self.truth);
                truth.lock().unwrap().says_running(&scope, actor.began, &self.flags);
            }
            (Job::Deliver { events }, Ok(answer)) if answer["statusCode"] == 200 => {
                self.open_events.retain(|open| !events.contains(open));
            }
            (Job::Stream { numbers }, Ok(answer)) => self.stream_answered(&numbers, &answer),
            _ => {}
        }
    }

    /// What the state machine makes of a step's answer.
    fn stepped(&mut self, index: usize, answer: Result<Value, String>) {
        let now = self.true_ms;
        let execution = &mut self.executions[index];
        execution.running = false;
        let Ok(answer) = answer else {
            execution.due_ms = now + 2_000;
            return;
        };
        let wait = answer["wait_seconds"].as_i64().unwrap_or(0) * 1_000;
        match answer["next"].as_str().unwrap_or_default() {
            "continue" => execution.due_ms = now,
            "wait" => execution.due_ms = now + wait,
            _ => execution.ended = true,
        }
        execution.input =
            json!({"run_id": answer["run_id"], "n": answer["n"], "customer_id": answer["customer_id"]});
    }

    fn looked(&mut self, by: usize, began: u64, answer: Value) {
        self.totals.looks += 1;
        let state = answer["state"].as_str().unwrap_or_default().to_owned();
        let mut truth = self.truth.lock().unwrap();
        if ["halted", "halted_by_cap", "not_started"].contains(&state.as_str()) {
            self.totals.quiet += 1;
            truth.says_quiet("global", began);
        }
        if ["halted", "halted_by_cap", "halting", "halted_unknown"].contains(&state.as_str()) {
            truth.says_halted("global", began, true, false);
        }
        // What began before this moment may be on the page; what begins after it is not.
        let at = truth.event;
        drop(truth);
        self.seen[by] = Seen { at, answer };
    }

    fn pressed(&mut self, scope: &str, began: u64, answer: &Value) {
        let latched = answer["latched"] == true;
        let mut truth = self.truth.lock().unwrap();
        if latched || answer["flags"] == "confirmed" {
            truth.says_halted(scope, began, latched, true);
        }
        if latched && answer["in_flight"] == 0 && answer["unknown"] == 0 {
            truth.says_quiet(scope, began);
        }
    }

    /// Moves time on, true and told, and ends whom the platform ends.
    pub async fn advance(&mut self, ms: i64) {
        let until = self.true_ms + ms;
        while self.true_ms < until {
            let ends = self.actors.iter().map(|actor| actor.ends_ms);
            let late = self.late.iter().map(|(_, due)| *due);
            let stop = ends.chain(late).filter(|at| *at > self.true_ms).chain([until]).min().unwrap_or(until);
            let by = stop - self.true_ms;
            self.rig.clock.advance_ms(by);
            tokio::time::advance(Duration::from_millis(u64::try_from(by).unwrap())).await;
            self.true_ms = stop;
            self.kill_overdue();
            self.late_writes_due().await;
            self.settle().await;
        }
    }

    fn kill_overdue(&mut self) {
        while let Some(index) = self.actors.iter().position(|actor| actor.ends_ms <= self.true_ms) {
            self.kill(index, "the platform ends", 0);
        }
    }

    /// Drops an invocation at the await where it stands.
    fn kill(&mut self, index: usize, why: &str, next_after_ms: i64) {
        let actor = self.actors.remove(index);
        self.note(format_args!("{why} env {} at {:?}", actor.env, actor.job));
        self.totals.crashes += 1;
        if let Job::Step { execution: Some(index) } = actor.job {
            let execution = &mut self.executions[index];
            execution.running = false;
            execution.due_ms = self.true_ms + next_after_ms;
        }
        drop(actor.work);
    }

    async fn late_writes_due(&mut self) {
        while let Some(index) = self.late.iter().position(|(_, due)| *due <= self.true_ms) {
            self.late_write(index).await;
        }
    }

    async fn late_write(&mut self, index: usize) {
        let (crm, _) = self.late.remove(index);
        if self.chance.of_1000(600) {
            self.note(format_args!("the CRM applies late: {:?}", crm.intent));
            self.apply(crm, None);
            self.settle().await;
        }
    }

    /// The CRM does what it was asked for; `held` is who listens.
    fn apply(&mut self, crm: Crm, held: Option<Held>) {
        let truth = Arc::clone(&self.truth);
        let intent = crm.intent.clone().unwrap_or_default();
        let heard = held.is_some();
        let held = held.unwrap_or_else(|| {
            let (answer, _) = tokio::sync::oneshot::channel();
            Held { id: 0, env: 0, call: Call::Crm(crm), answer }
        });
        self.rig.net.apply_crm(held, heard, move |status| {
            if (200..300).contains(&status) {
                truth.lock().unwrap().crm_applied(&intent);
            }
        });
    }

    /// Held requests in an order that does not depend on the machine.
    fn sorted(&self) -> Vec<u64> {
        let wires = self.rig.net.lock();
        let rank = |held: &Held| match held.call {
            Call::Table { .. } => 0,
            Call::Flags { .. } => 1,
            Call::Model { .. } => 2,
            Call::Crm(_) => 3,
            Call::Log { .. } => 4,
        };
        let frozen = |held: &Held| self.actors.iter().any(|actor| actor.env == held.env && actor.frozen);
        let mut all: Vec<_> = wires.held.iter().map(|h| (frozen(h), h.env, rank(h), h.id)).collect();
        all.sort_unstable();
        all.into_iter().map(|(.., id)| id).collect()
    }

    /// Lets one request meet its fate.
    pub fn release(&mut self, id: u64, fate: Fate) {
        let held = {
            let mut wires = self.rig.net.lock();
            let index = wires.held.iter().position(|held| held.id == id).expect("it is held");
            wires.held.remove(index)
        };
        self.totals.requests += 1;
        self.totals.spoilt += u64::from(fate != Fate::Pass);
        let gone = held.answer.is_closed();
        let env = held.env;
        match held.call.clone() {
            Call::Table { operation, body } => self.release_table(held, &operation, &body, fate),
            Call::Flags { connection, pipeline } => {
                let fate = if self.flags_down { Fate::Lose } else { fate };
                self.note_flags(env, &pipeline, fate, gone);
                if matches!(fate, Fate::Lose | Fate::Refuse) || self.flags.is_broken(env, connection) {
                    return;
                }
                let (bytes, done) = self.flags.run(env, connection, &pipeline);
                if done.wrote {
                    self.bot_changes_nothing(env, "a flag");
                }
                let heard = fate == Fate::Pass && !gone;
                let truth = Arc::clone(&self.truth);
                let mut truth = truth.lock().unwrap();
                if self.flags.split.contains(&env) {
                    truth.reason_to_halt();
                }
                truth.flags_done(env, &done, &self.flags, heard);
                drop(truth);
                self.hears(env, &pipeline, &done, heard);
                if heard {
                    drop(held.answer.send(Answer::Bytes(bytes)));
                }
            }
            Call::Model { body } => self.release_model(held, &body, fate),
            Call::Crm(crm) => self.release_crm(held, crm, fate, gone),
            Call::Log { connection, bytes, about } => {
                self.release_log(held, connection, &bytes, &about, fate);
            }
        }
    }

    fn note_flags(&mut self, env: usize, pipeline: &[super::flags::Command], fate: Fate, gone: bool) {
        let words = |command: &Vec<Vec<u8>>| {
            command
                .iter()
                .map(|part| String::from_utf8_lossy(part).into_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let all: Vec<String> = pipeline.iter().map(words).collect();
        self.note(format_args!(
            "env {env} flags {fate:?}{}: {}",
            if gone { " (gone)" } else { "" },
            all.join("; ")
        ));
    }

    fn release_table(&mut self, held: Held, operation: &str, body: &str, fate: Fate) {
        let fate = if self.tables_down { Fate::Lose } else { fate };
        let gone = held.answer.is_closed();
        match fate {
            Fate::Lose => {
                self.note(format_args!("env {} {operation} is lost", held.env));
                return;
            }
            Fate::Refuse => {
                let body = json!({"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
                                  "message": "slow down"});
                self.note(format_args!("env {} {operation} is refused", held.env));
                drop(held.answer.send(Answer::Table(400, body.to_string())));
                return;
            }
            Fate::Pass | Fate::LoseAnswer => {}
        }
        if tables::is_write(operation) {
            self.bot_changes_nothing(held.env, operation);
        }
        let (status, mut answer) = tables::ask(&self.db, operation, body);
        let heard = fate == Fate::Pass && !gone;
        let request: Value = serde_json::from_str(body).unwrap();
        let parsed: Value = serde_json::from_str(&answer).unwrap();
        self.note_table(held.env, operation, &request, status, heard);
        if status != 200 && request["UpdateExpression"] == "SET #inflight.#p = :held" {
            self.totals.refused += 1;
        }
        if status == 200 && tables::is_write(operation) {
            if parsed["Attributes"]["pk"]["S"] == "control" {
                self.stale.push_front(parsed["Attributes"].clone());
                self.stale.truncate(6);
            }
            let truth = Arc::clone(&self.truth);
            let mut truth = truth.lock().unwrap();
            truth.table_done(held.env, operation, &request, &parsed, heard);
            truth.flags_against_control(&self.flags);
            drop(truth);
            if body.contains("sim-budget") {
                self.read_the_books(held.env);
            }
            if body.contains("sim-outbox") {
                self.read_the_outbox();
            }
        } else if let Some(stale) = self.stale_answer(operation, &request, parsed) {
            answer = stale;
        }
        if heard {
            drop(held.answer.send(Answer::Table(status, answer)));
        }
    }

    /// The rows of the budget, whoever changed one of them.
    fn read_the_books(&mut self, env: usize) {
        let (_, rows) = tables::ask(&self.db, "Scan", r#"{"TableName":"sim-budget"}"#);
        let mut rows: Value = serde_json::from_str(&rows).expect("rows");
        let Value::Array(rows) = rows["Items"].take() else { return };
        let mut truth = self.truth();
        let wrong = truth.books.rows(env, &rows);
        truth.wrong(wrong);
    }

    fn note_table(&mut self, env: usize, operation: &str, request: &Value, status: u16, heard: bool) {
        let key =
            request["Key"]["pk"]["S"].as_str().or(request["Item"]["pk"]["S"].as_str()).unwrap_or_default();
        let what = request["UpdateExpression"].as_str().unwrap_or_default();
        let parts: Vec<String> = request["TransactItems"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|part| {
                let item = &part["Put"]["Item"];
                let body: Value =
                    serde_json::from_str(item["body"]["S"].as_str().unwrap_or("null")).unwrap_or_default();
                format!(
                    "{}/{}={}",
                    item["pk"]["S"].as_str().unwrap_or("?"),
                    item["sk"]["S"].as_str().unwrap_or(""),
                    body["state"].as_str().or(body["status"].as_str()).unwrap_or("")
                )
            })
            .collect();
        self.note(format_args!(
            "env {env} {operation} {key} {what} {} -> {status}{}",
            parts.join(" "),
            if heard { "" } else { " (unheard)" }
        ));
    }

    /// An eventually consistent read of the control item may show an older one.
    fn stale_answer(&mut self, operation: &str, request: &Value, mut answer: Value) -> Option<String> {
        let old = self.stale.get(1 + self.chance.below(4))?.clone();
        match operation {
            "GetItem" if request["ConsistentRead"] != true && answer["Item"]["pk"]["S"] == "control" => {
                answer["Item"] = old;
            }
            "BatchGetItem" if request["RequestItems"]["sim-control"]["ConsistentRead"] != true => {
                let items = answer["Responses"]["sim-control"].as_array_mut()?;
                let control = items.iter_mut().find(|item| item["pk"]["S"] == "control")?;
                *control = old;
            }
            _ => return None,
        }
        Some(answer.to_string())
    }

    fn release_model(&mut self, held: Held, body: &str, fate: Fate) {
        self.note(format_args!("env {} model {fate:?}", held.env));
        let purse = self.rig.net.lock().purse.clone();
        let used = purse.as_ref().map_or(script::Used::USUAL, |purse| purse.used(&mut self.chance, body));
        if matches!(fate, Fate::Pass | Fate::LoseAnswer)
            && let Some(paid) = self.model_calls.get(&held.id).cloned().flatten()
        {
            self.totals.unheard += u64::from(fate != Fate::Pass || held.answer.is_closed());
            let cost = used.cost(purse.is_some());
            self.note(format_args!("{paid} is billed {cost} for {used:?}"));
            let mut truth = self.truth();
            let wrong = truth.books.billed(&paid, cost, used.tokens());
            truth.wrong(wrong);
        }
        match fate {
            Fate::Lose | Fate::LoseAnswer => {}
            Fate::Refuse => {
                let error =
                    json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
                drop(held.answer.send(http(529, &error.to_string())));
            }
            Fate::Pass => {
                let answer = script::answer(&mut self.chance, body, self.profile.eager);
                let mut answer = self.repeats(answer, body);
                used.write(&mut answer["usage"]);
                drop(held.answer.send(http(200, &answer.to_string())));
            }
        }
    }

    fn release_crm(&mut self, held: Held, crm: Crm, fate: Fate, gone: bool) {
        let [before, unheard, late, refused] =
            if self.calm || fate == Fate::Pass && gone { [0; 4] } else { self.profile.crm };
        let rest = 1_000 - before - unheard - late - refused;
        let fate = self.chance.weighted(&[before, unheard, late, refused, rest]);
        let due = self.true_ms + self.chance.between(1, LATE_WRITE_MS);
        if gone {
            self.late.push((crm, due));
            return;
        }
        self.note(format_args!("the CRM meets {:?} with {fate:?}", crm.intent));
        match fate {
            Some(0) => {}
            Some(1) => self.apply(crm, None),
            Some(2) => self.late.push((crm, due)),
            Some(3) => {
                let body = json!({"status": "error", "message": "too many", "category": "RATE_LIMITS",
                                  "policyName": "TEN_SECONDLY_ROLLING"});
                drop(held.answer.send(http(429, &body.to_string())));
            }
            _ => self.apply(crm, Some(held)),
        }
    }
}

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Pass,
    Lose,
    LoseAnswer,
    Refuse,
}

fn who() -> Who {
    Who::Person(PersonId::new("demo").unwrap())
}
