//! Ten thousand races between a halt and writers in other processes, over a real Redis and the DynamoDB wire
//! protocol. Must never call a race won before the control item says that nothing is in flight.
mod judge;
mod writer;

use crate::child;
use crate::scene::run;
use crate::servers::RealRedis;
use interlock::{Control, ControlHalt, Interlock, ModesAfter, Press, RearmAsk, Rearmed, Standing, State};
use judge::{Race, Writer};
use kill_switch::{FlagHalt, Switch, Timeouts};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use types::{Actor, Clock, CustomerId, PermitId, PersonId, Scope};

/// The one tool that is live.
const TOOL: &str = "append_note";
const THIS_TEST: &str = "races::after_nothing_in_flight_no_write_starts_in_ten_thousand_races";
/// Processes that write, and customers that each of them writes for.
const PROCESSES: usize = 4;
const CUSTOMERS_EACH: usize = 4;
const RACES: usize = 10_000;
/// Longer than this nothing here takes, unless it is stuck.
const STUCK: Duration = Duration::from_secs(30);

/// Where the switches of the raced install answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Install {
    dynamo: String,
    table: String,
    redis: String,
}

impl Install {
    fn interlock(&self) -> Interlock {
        self.over(&self.redis)
    }

    /// The same control item, with flags somewhere else.
    fn over(&self, redis: &str) -> Interlock {
        // A machine that is busy with races is no silent store.
        let patient = Timeouts { connect: Duration::from_secs(2), response: Duration::from_secs(2) };
        let switch = Switch::new(redis, patient).expect("an address");
        let client = stores::dynamo::client(&self.dynamo);
        Interlock::new(client, &self.table, Arc::new(switch), Clock::system(), 0)
    }
}

/// What a child of this test is told.
#[derive(Debug, Serialize, Deserialize)]
enum Part {
    /// Writes for these customers until it is stopped, again and again.
    Write { install: Install, sink: String, customers: Vec<String> },
    /// Presses HALT when it is told to.
    Press { install: Install, sink: String },
}

/// What one writer did in one race.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Tally {
    writes: usize,
    refused: BTreeMap<String, usize>,
    /// A switch told it that it is halted.
    stopped: bool,
}

impl Tally {
    fn refused(&mut self, why: &str) {
        *self.refused.entry(why.to_owned()).or_default() += 1;
    }
}

fn customer(name: &str) -> CustomerId {
    CustomerId::new(name).expect("a customer id")
}

async fn send(to: &mut (impl AsyncWrite + Unpin), text: &str) {
    // Who is gone hears nothing: the other side finds out when it reads.
    let _ = to.write_all(format!("{text}\n").as_bytes()).await;
}

async fn line(from: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
    let mut text = String::new();
    let count = from.read_line(&mut text).await.ok()?;
    (count > 0).then(|| text.trim_end().to_owned())
}

/// How a halt reaches the stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Both,
    FlagsOnly,
    ControlOnly,
    /// The process that presses is killed meanwhile.
    Killed,
}

/// The next number of a sequence that looks like none.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn how(&mut self, scope: &Scope) -> How {
        match self.below(100) {
            0..=11 => How::FlagsOnly,
            12..=23 => How::ControlOnly,
            24..=29 if *scope == Scope::Global => How::Killed,
            _ => How::Both,
        }
    }
}

/// What all races came to.
#[derive(Debug, Default)]
struct Totals {
    races: usize,
    presses: BTreeMap<How, usize>,
    /// Presses whose process was killed: where they had landed by then.
    killed: BTreeMap<&'static str, usize>,
    writes: usize,
    refused: BTreeMap<String, usize>,
    in_flight: BTreeMap<usize, usize>,
    looks: usize,
    not_stopped: usize,
    violations: Vec<String>,
}

impl Totals {
    fn print(&self, took: Duration) {
        let count = |map: &BTreeMap<String, usize>| {
            let each: Vec<_> = map.iter().map(|(what, count)| format!("{what} {count}")).collect();
            each.join(", ")
        };
        let presses = self.presses.iter().map(|(how, count)| (format!("{how:?}"), *count)).collect();
        let killed = self.killed.iter().map(|(at, count)| ((*at).to_owned(), *count)).collect();
        let held: usize = self.in_flight.iter().map(|(held, count)| held * count).sum();
        println!("halt races: {} in {:.1} s", self.races, took.as_secs_f64());
        println!("  presses: {}", count(&presses));
        println!("  of the killed ones had landed: {}", count(&killed));
        println!("  writes: {}; refused: {}", self.writes, count(&self.refused));
        println!("  permits in flight at the press: {held}, by press {:?}", self.in_flight);
        println!("  looks that were too early for the sentence: {}", self.looks);
        println!("  violations: {}", self.violations.len());
    }
}

/// The raced install, seen from the one who presses.
struct Field {
    install: Install,
    both: Interlock,
    /// Its flags do not answer.
    control_only: Interlock,
    writers: Vec<Arc<Writer>>,
    pressers: TcpListener,
    totals: std::sync::Mutex<Totals>,
}

fn pressed() -> Press {
    let actor = Actor::Person(PersonId::new("demo").expect("an id"));
    Press { actor, source: "page".to_owned(), because: "pressed".to_owned() }
}

fn flag_scope(scope: &Scope) -> kill_switch::Scope<'_> {
    match scope {
        Scope::Global => kill_switch::Scope::Global,
        Scope::Customer(id) => kill_switch::Scope::Customer(id.as_str()),
    }
}

fn is_halted(control: &Control, scope: &Scope) -> bool {
    match scope {
        Scope::Global => control.state == State::Halted,
        Scope::Customer(id) => control.halted_customers.contains_key(id),
    }
}

impl Field {
    async fn control(&self) -> Control {
        self.both.control().await.expect("the control item")
    }

    /// One press against writers that write as fast as they can, to the sentence and past it; then the
    /// resume.
    async fn race(&self, scope: &Scope, writers: &[Arc<Writer>], how: How, mut dice: Dice) {
        let race = Arc::new(Race::default());
        for writer in writers {
            writer.begin(&race).await;
        }
        let head_start = dice.below(writers.len() as u64 + 2) as usize;
        let mut arrived = race.arrived.subscribe();
        let started = tokio::time::timeout(STUCK, arrived.wait_for(|count| *count >= head_start)).await;
        drop(started.expect("the writers write").expect("the race lives"));
        for _ in 0..dice.below(60) {
            tokio::task::yield_now().await;
        }
        let answer = self.press(scope, how, &race, &mut dice).await;
        let at_press = answer.as_ref().map(|control| of_scope(control, scope));
        race.confirm(at_press.clone());
        let seen = self.until_quiet(scope).await;
        race.hush();
        let mut tallies = Vec::new();
        for writer in writers {
            let stopped = tokio::time::timeout(STUCK, writer.stopped()).await;
            tallies.push(stopped.unwrap_or_else(|_| panic!("{} does not stop", writer.name())));
        }
        self.count(how, &tallies, at_press.map(|listed| listed.len()), &race);
        self.resume(scope, seen).await;
    }

    fn count(&self, how: How, tallies: &[Tally], at_press: Option<usize>, race: &Race) {
        let mut totals = self.totals.lock().unwrap();
        totals.races += tallies.len();
        *totals.presses.entry(how).or_default() += 1;
        if let Some(count) = at_press {
            *totals.in_flight.entry(count).or_default() += 1;
        }
        for tally in tallies {
            totals.writes += tally.writes;
            totals.not_stopped += usize::from(!tally.stopped);
            for (why, count) in &tally.refused {
                *totals.refused.entry(why.clone()).or_default() += count;
            }
        }
        let found = std::mem::take(&mut *race.violations.lock().unwrap());
        totals.violations.extend(found.into_iter().map(|what| format!("{how:?}: {what}")));
    }

    /// Presses; the control item's own answer, where it gave one.
    async fn press(&self, scope: &Scope, how: How, race: &Race, dice: &mut Dice) -> Option<Control> {
        match how {
            How::Both => {
                let report = self.both.halt(scope, &pressed()).await;
                let ControlHalt::Latched(control) = report.control else { panic!("{report:?}") };
                Some(*control)
            }
            How::ControlOnly => {
                Some(self.control_only.trip(scope, &pressed()).await.expect("the control item"))
            }
            How::FlagsOnly => {
                let token = uuid::Uuid::new_v4().to_string();
                let said = self.both.switch().halt(&flag_scope(scope), &token, 0, STUCK).await;
                assert_eq!(said, FlagHalt::Confirmed { acks: 0 });
                // The next look of anybody copies it; here it is that of one more step.
                race.confirm(None);
                let customer = match scope {
                    Scope::Global => None,
                    Scope::Customer(id) => Some(id),
                };
                let standing = self.both.check(None, customer).await;
                assert!(matches!(standing, Standing::Halted { .. }), "{standing:?}");
                None
            }
            How::Killed => {
                let landed = self.kill_a_press(dice).await;
                *self.totals.lock().unwrap().killed.entry(landed).or_default() += 1;
                let control = self.control().await;
                if is_halted(&control, scope) {
                    return Some(control);
                }
                // Nobody was told that it is halted, so the person presses again.
                Box::pin(self.press(scope, How::Both, race, dice)).await
            }
        }
    }

    /// A global press by a process that is killed meanwhile: where it had landed by then.
    async fn kill_a_press(&self, dice: &mut Dice) -> &'static str {
        let sink = self.pressers.local_addr().expect("an address").to_string();
        let mut presser = child::start(THIS_TEST, &Part::Press { install: self.install.clone(), sink });
        let (mut stream, _) = self.pressers.accept().await.expect("a presser");
        send(&mut stream, "press").await;
        tokio::time::sleep(Duration::from_micros(dice.below(60_000))).await;
        presser.kill().await.expect("killed");
        let flags = self.both.switch().read(&[]).await.expect("the flags");
        match (is_halted(&self.control().await, &Scope::Global), flags.halted_global) {
            (false, false) => "nowhere",
            (false, true) => "in the flags",
            (true, false) => "in the control item",
            (true, true) => "in both",
        }
    }

    /// Returns when the page of that scope would say "Halted. Nothing in flight.", and what it saw.
    async fn until_quiet(&self, scope: &Scope) -> Control {
        let began = Instant::now();
        loop {
            let control = self.control().await;
            let (live, unknown) = control.writes(scope, Clock::system().now_ms());
            if is_halted(&control, scope) && live.is_empty() && unknown.is_empty() {
                return control;
            }
            assert!(began.elapsed() < STUCK, "{scope:?} does not get quiet: {control:?}");
            self.totals.lock().unwrap().looks += 1;
            // The page looks every second; this is enough to be early, and leaves the writers their time.
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    async fn resume(&self, scope: &Scope, mut control: Control) {
        for _ in 0..5 {
            let asked: Vec<String> = match scope {
                Scope::Global => Vec::new(),
                Scope::Customer(id) => vec![id.to_string()],
            };
            let flags = self.both.switch().read(&asked).await.expect("the flags");
            let (generation, seq) = match scope {
                Scope::Global => (types::Generation::default(), flags.seq_global),
                Scope::Customer(id) => (control.generation(id), flags.customers[0].1.clone()),
            };
            let ask = RearmAsk {
                scope: scope.clone(),
                epoch_shown: control.epoch,
                generation_shown: generation,
                seq_shown: seq,
                actor: pressed().actor,
                because: "the next race".to_owned(),
                source: "page".to_owned(),
                modes: ModesAfter::AsBefore,
            };
            // The press of a killed process may arrive late, and then the page is read again.
            if let Rearmed::Done { .. } = self.both.rearm(&ask).await.expect("an answer") {
                return;
            }
            control = self.control().await;
        }
        panic!("{scope:?} cannot be resumed");
    }

    /// What the minute's sweep does to the log, without the rows: the item stays small.
    async fn shorten_the_log(&self) {
        let (entries, folded) = self.both.log().await.expect("the log");
        assert!(self.both.drop_log(&entries, folded).await.expect("an answer"));
    }

    async fn all_races(&self) {
        let mut dice = Dice(uuid::Uuid::new_v4().as_u64_pair().0);
        let mut round = 0;
        while self.totals.lock().unwrap().races < RACES {
            round += 1;
            if round % 10 == 0 {
                let mut racing = Vec::new();
                for writer in &self.writers {
                    let scope = Scope::Customer(customer(writer.name()));
                    let (how, dice) = (dice.how(&scope), Dice(dice.below(u64::MAX)));
                    racing.push(
                        async move { self.race(&scope, std::slice::from_ref(writer), how, dice).await },
                    );
                }
                all(racing).await;
            } else {
                let how = dice.how(&Scope::Global);
                self.race(&Scope::Global, &self.writers, how, Dice(dice.below(u64::MAX))).await;
            }
            if round % 3 == 0 || round % 10 == 0 {
                self.shorten_the_log().await;
            }
            if round % 100 == 0 {
                let totals = self.totals.lock().unwrap();
                eprintln!("halt races: {} of {RACES}, {} violations", totals.races, totals.violations.len());
            }
        }
    }
}

/// Runs them beside each other, on this task.
async fn all(mut racing: Vec<impl Future<Output = ()>>) {
    let mut racing: Vec<_> = racing.drain(..).map(|race| Some(Box::pin(race))).collect();
    std::future::poll_fn(|context| {
        for slot in &mut racing {
            if slot.as_mut().is_some_and(|race| race.as_mut().poll(context).is_ready()) {
                *slot = None;
            }
        }
        if racing.iter().all(Option::is_none) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

fn of_scope(control: &Control, scope: &Scope) -> HashSet<String> {
    let within = |customer_id: &CustomerId| match scope {
        Scope::Global => true,
        Scope::Customer(id) => customer_id == id,
    };
    let held = control.in_flight.iter().filter(|(_, held)| within(&held.customer_id));
    held.map(|(id, _): (&PermitId, _)| id.to_string()).collect()
}

/// The part of a process that was started by this test.
async fn play(part: Part) {
    match part {
        Part::Write { install, sink, customers } => writer::run(&install, &sink, &customers).await,
        Part::Press { install, sink } => {
            let stream = tokio::net::TcpStream::connect(sink).await.expect("the parent");
            let mut stream = tokio::io::BufReader::new(stream);
            if line(&mut stream).await.as_deref() == Some("press") {
                drop(install.interlock().halt(&Scope::Global, &pressed()).await);
            }
        }
    }
}

#[test]
fn after_nothing_in_flight_no_write_starts_in_ten_thousand_races() {
    if let Some(part) = child::part::<Part>() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(play(part));
    }
    run(async {
        let Some(real) = RealRedis::start(THIS_TEST).await else { return };
        // Each write on disk before its answer is another test's; here it would only be slow.
        real.typed::<()>(&["CONFIG", "SET", "appendfsync", "no"]).await.expect("faster");
        let scene = real.scene().await;
        scene.go_live(TOOL).await;
        let install = Install {
            dynamo: scene.variables["AWS_ENDPOINT_URL_DYNAMODB"].clone(),
            table: format!("{}control", scene.prefix),
            redis: real.redis.url().to_owned(),
        };
        let began = Instant::now();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let sink = listener.local_addr().expect("an address").to_string();
        let names: Vec<String> = (0..PROCESSES * CUSTOMERS_EACH).map(|nth| format!("c{nth:02}")).collect();
        let children: Vec<_> = names
            .chunks(CUSTOMERS_EACH)
            .map(|own| {
                let (install, sink, customers) = (install.clone(), sink.clone(), own.to_vec());
                child::start(THIS_TEST, &Part::Write { install, sink, customers })
            })
            .collect();
        let field = Field {
            both: install.interlock(),
            // A port on which nothing listens.
            control_only: install.over("redis://127.0.0.1:1/"),
            writers: judge::writers(&listener, names.len()).await,
            pressers: TcpListener::bind("127.0.0.1:0").await.expect("a port"),
            totals: std::sync::Mutex::default(),
            install,
        };
        field.all_races().await;
        drop(children);
        let totals = field.totals.lock().unwrap();
        totals.print(began.elapsed());
        assert_eq!(totals.violations, Vec::<String>::new());
        assert_eq!(totals.not_stopped, 0, "writers that no switch stopped");
        assert!(totals.races >= RACES);
    });
}
