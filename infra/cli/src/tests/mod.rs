//! Whole subcommands over real wire stores and a strict stand-in for HubSpot. Must never reach a store behind
//! the command's back except to look, or to do what somebody else does meanwhile.
mod away;
mod data;
mod look;
mod stop;

use crate::{Arguments, Ask, Line, Report};
use clap::Parser as _;
use interlock::Interlock;
use kill_switch::{Switch, Timeouts};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use stores::{DataDir, LocalDynamo, LocalPostgres, LocalRedis, LocalSsm};
use types::{Clock, PersonId};

/// A port on which nothing listens.
pub(super) const NOWHERE: &str = "127.0.0.1:1";
const PIN: &str = "271828";
const PATIENT: Timeouts = Timeouts { connect: Duration::from_secs(5), response: Duration::from_secs(5) };
static RIGS: AtomicU32 = AtomicU32::new(0);

/// Stores of its own, and the environment that names them.
pub(super) struct Rig {
    pub(super) variables: BTreeMap<&'static str, String>,
    pub(super) dynamo: LocalDynamo,
    pub(super) redis: LocalRedis,
    _ssm: LocalSsm,
    pub(super) postgres: Option<LocalPostgres>,
    data: Option<DataDir>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(data) = self.data.take() {
            let _ = std::fs::remove_dir_all(data.path());
        }
    }
}

impl Rig {
    /// Tables and stores, nothing set up yet.
    pub(super) async fn new() -> Self {
        let nth = RIGS.fetch_add(1, Ordering::SeqCst);
        let folder = std::env::temp_dir().join(format!("holdfast-cli-{}-{nth}", std::process::id()));
        let data = DataDir::open_fresh(&folder).unwrap();
        let redis = stores::redis::start_stand_in(&data, 0).unwrap();
        let dynamo = stores::dynamo::start(&data, 0, stores::dynamo::Expiry::Never).await.unwrap();
        let ssm = stores::ssm::start(&data, 0).unwrap();
        stores::dynamo::create_tables(&stores::dynamo::client(dynamo.endpoint()), "t-").await.unwrap();
        let variables = BTreeMap::from([
            ("TABLE_PREFIX", "t-".to_owned()),
            ("AWS_REGION", "eu-west-1".to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamo.endpoint().to_owned()),
            ("AWS_ENDPOINT_URL_SSM", ssm.endpoint().to_owned()),
            ("REDIS_URL", redis.url().to_owned()),
            ("PUBLIC_HALT_URL", "https://halt.example".to_owned()),
        ]);
        Self { variables, dynamo, redis, _ssm: ssm, postgres: None, data: Some(data) }
    }

    /// Set up, with Marieke's link and PIN.
    pub(super) async fn ready() -> Self {
        let mut rig = Self::new().await;
        let made = rig.run_typing("init --name Marieke --pin-stdin", &[PIN]).await;
        assert_eq!(made.exit_code(), 0, "{made:?}");
        rig.keep_keys(&made);
        rig
    }

    /// Set up and running.
    pub(super) async fn running() -> Self {
        let rig = Self::ready().await;
        let started = rig.run_quoted(&["resume", "--yes", "--because", "the install was checked"]).await;
        assert_eq!(started.exit_code(), 0, "{started:?}");
        rig
    }

    pub(super) async fn with_postgres(mut self) -> Self {
        let postgres = stores::postgres::start(self.data.as_ref().unwrap(), None).await.unwrap();
        self.variables.insert("DATABASE_URL", postgres.url().to_owned());
        self.log().await.migrate().await.unwrap();
        self.postgres = Some(postgres);
        self
    }

    pub(super) async fn log(&self) -> audit_log::AuditLog {
        audit_log::AuditLog::connect(&self.variables["DATABASE_URL"]).await.unwrap()
    }

    fn keep_keys(&mut self, made: &Report) {
        for (variable, field) in
            [("LINK_SIGNING_KEY", "link_signing_key"), ("LINK_PUBLIC_KEY", "link_public_key")]
        {
            self.variables.insert(variable, made.json[field].as_str().unwrap().to_owned());
        }
    }

    /// The same stores without one of them.
    pub(super) fn without(&self, variable: &'static str) -> BTreeMap<&'static str, String> {
        let mut variables = self.variables.clone();
        let scheme = if variable == "REDIS_URL" { "redis" } else { "http" };
        variables.insert(variable, format!("{scheme}://{NOWHERE}"));
        variables
    }

    pub(super) async fn run(&self, words: &str) -> Report {
        self.run_typing(words, &[]).await
    }

    pub(super) async fn run_quoted(&self, words: &[&str]) -> Report {
        run_in(&self.variables, words, &mut Typist::default()).await
    }

    pub(super) async fn run_typing(&self, words: &str, typed: &[&str]) -> Report {
        let words: Vec<&str> = words.split(' ').collect();
        run_in(&self.variables, &words, &mut Typist::of(typed)).await
    }

    /// Both switches, for looking and for what others do.
    pub(super) fn interlock(&self) -> Interlock {
        interlock_at(self.dynamo.endpoint(), self.redis.url())
    }

    pub(super) fn ledger(&self) -> ledger::Ledger {
        ledger::Ledger::new(stores::dynamo::client(self.dynamo.endpoint()), "t-", Clock::system())
    }

    pub(super) async fn settings(&self) -> config::Settings {
        config::Settings::from_map(|name| self.variables.get(name).cloned()).unwrap()
    }

    /// Does a step's check let anything through?
    pub(super) async fn is_armed(&self) -> bool {
        let flags = self.interlock().switch().read(&[]).await.unwrap();
        let control = self.interlock().control().await.unwrap();
        control.is_armed() && !flags.halted_global && flags.armed == Some(control.epoch.0)
    }

    /// Verbs of the rows in the outbox.
    pub(super) async fn verbs(&self) -> Vec<String> {
        let rows = self.ledger().unacknowledged(100).await.unwrap();
        rows.into_iter().map(|row| row.entry.unwrap().verb).collect()
    }
}

pub(super) fn interlock_at(dynamo: &str, redis: &str) -> Interlock {
    let switch = Arc::new(Switch::new(redis, PATIENT).unwrap());
    Interlock::new(stores::dynamo::client(dynamo), "t-control", switch, Clock::system(), 0)
}

pub(super) async fn run_in(
    variables: &BTreeMap<&'static str, String>,
    words: &[&str],
    ask: &mut dyn Ask,
) -> Report {
    let words = std::iter::once("holdfast").chain(words.iter().copied());
    let arguments = Arguments::try_parse_from(words).unwrap();
    crate::run(&arguments, &|name| variables.get(name).cloned(), ask).await
}

/// Somebody at the terminal, who types these lines; nobody, if there are none.
#[derive(Default)]
pub(super) struct Typist {
    typed: VecDeque<String>,
    pub(super) shown: Vec<String>,
    /// Done while she reads, before she types.
    pub(super) meanwhile: Option<Box<dyn FnOnce()>>,
}

impl Typist {
    pub(super) fn of(typed: &[&str]) -> Self {
        Self { typed: typed.iter().map(|line| (*line).to_owned()).collect(), ..Self::default() }
    }
}

impl Ask for Typist {
    fn progress(&mut self, line: &str) {
        self.shown.push(line.to_owned());
    }

    fn ask(&mut self, _question: &str) -> Option<String> {
        if let Some(meanwhile) = self.meanwhile.take() {
            meanwhile();
        }
        self.typed.pop_front()
    }

    fn ask_hidden(&mut self, question: &str) -> Option<String> {
        self.ask(question)
    }

    fn read_line(&mut self) -> Option<String> {
        self.typed.pop_front()
    }
}

/// The report's text, as one line.
pub(super) fn text(report: &Report) -> String {
    let line = |line: &Line| match line {
        Line::Text(text) | Line::Copy(text) => text.clone(),
        Line::Item { status, about, text, todo } => {
            format!("{} {about} {text} {}", status.word(), todo.as_deref().unwrap_or_default())
        }
    };
    report.lines.iter().map(line).collect::<Vec<_>>().join(" | ")
}

pub(super) fn why(report: &Report) -> &str {
    report.failed.as_ref().map_or("", |three| three.why.as_str())
}

pub(super) fn marieke() -> PersonId {
    PersonId::new("marieke").unwrap()
}
