//! Pages from plain values, and the handler over real wire stores. Must never reach behind the handler but
//! to look.
mod access;
mod away;
mod changes;
mod hostile;
mod log;
mod pages;
mod people;
mod samples;
mod start;
mod walk;

use crate::{Deps, Install, ToolInfo, answer};
use config::{Clients, HotConfig, Settings};
use interlock::{Interlock, ModesAfter, People, Person, PersonKey, RearmAsk, Rearmed, Role};
use kill_switch::{Switch, Timeouts};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stores::{DataDir, LocalDynamo, LocalRedis, LocalSsm};
use tokio::sync::{Semaphore, SemaphorePermit};
use types::{Actor, Clock, Generation, PersonId, Scope, Tier};
use web::{LinkKind, LinkSigner, Pin, PinHash, Request, Response, Sessions, SignedLink, Transport, Zone};

/// 24 July 2026, 16:42:07 in Amsterdam.
const NOW_MS: i64 = 1_784_904_127_000;
const PIN: &str = "271828";
/// A port on which nothing listens.
const NOWHERE: &str = "127.0.0.1:1";
static STORES: AtomicU32 = AtomicU32::new(0);
/// A busy machine is no silent store.
const PATIENT: Timeouts = Timeouts { connect: Duration::from_secs(5), response: Duration::from_secs(5) };
/// One test's stores at a time: pages give a store a quarter of a second.
static TURN: Semaphore = Semaphore::const_new(1);

/// The handler over stores of its own, armed, with one ops person and one reader.
struct Rig {
    deps: Deps,
    clock: Clock,
    dynamo: LocalDynamo,
    _redis: LocalRedis,
    ssm: Option<LocalSsm>,
    folder: std::path::PathBuf,
    _turn: SemaphorePermit<'static>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn person(id: &str) -> PersonId {
    PersonId::new(id).unwrap()
}

fn tool_infos() -> Vec<ToolInfo> {
    let tool = |name: &str, noun: &str, tier| ToolInfo { name: name.into(), noun: noun.into(), tier };
    vec![
        tool("get_deal", "deals", Tier::Read),
        tool("append_note", "notes", Tier::Reversible),
        tool("set_stage", "stages", Tier::SemiReversible),
        tool("schedule_follow_up", "follow-ups", Tier::Reversible),
        tool("draft_email", "emails", Tier::Irreversible),
        tool("ask_human", "questions", Tier::Ask),
    ]
}

async fn deps(dynamo: &str, redis: &str, ssm: &str, clock: &Clock) -> Deps {
    let settings = Settings::from_map(|name| match name {
        "AWS_ENDPOINT_URL_SSM" => Some(ssm.to_owned()),
        "AWS_ENDPOINT_URL_DYNAMODB" => Some(dynamo.to_owned()),
        "TABLE_PREFIX" => Some("t-".to_owned()),
        _ => None,
    });
    let settings = settings.unwrap();
    let clients = Clients::new(&settings).await;
    let client = stores::dynamo::client(dynamo);
    let signer = LinkSigner::generate().unwrap();
    let switch = Arc::new(Switch::new(redis, PATIENT).unwrap());
    Deps {
        interlock: Interlock::new(client.clone(), "t-control", switch, clock.clone(), 0),
        ledger: ledger::Ledger::new(client.clone(), "t-", clock.clone()),
        budget: budget::Budget::new(client, "t-budget", clock.clone()),
        hot: Arc::new(HotConfig::new(&settings, clients.ssm(), clock.clone())),
        audit: None,
        pipelines: None,
        deals: None,
        starter: None,
        sessions: Sessions::derived_from(&signer, Transport::LoopbackHttp),
        signer,
        tools: tool_infos(),
        install: Install {
            company: "Acme Logistics".into(),
            console_url: Some("http://console.example".into()),
            halt_url: Some("http://halt.example".into()),
            hubspot_app_url: None,
        },
        zone: Mutex::new(Zone::new("Europe/Amsterdam").unwrap()),
    }
}

/// No store answers.
async fn away() -> Deps {
    let nowhere = format!("http://{NOWHERE}");
    deps(&nowhere, &format!("redis://{NOWHERE}/"), &nowhere, &Clock::manual(NOW_MS)).await
}

async fn rig() -> Rig {
    let turn = TURN.acquire().await.unwrap();
    let nth = STORES.fetch_add(1, Ordering::SeqCst);
    let folder = std::env::temp_dir().join(format!("holdfast-console-{}-{nth}", std::process::id()));
    let data = DataDir::open_fresh(&folder).unwrap();
    let redis = stores::redis::start_stand_in(&data, 0).unwrap();
    let dynamo = stores::dynamo::start(&data, 0, stores::dynamo::Expiry::Never).await.unwrap();
    let ssm = stores::ssm::start(&data, 0).unwrap();
    stores::dynamo::create_tables(&stores::dynamo::client(dynamo.endpoint()), "t-").await.unwrap();
    let clock = Clock::manual(NOW_MS);
    let deps = deps(dynamo.endpoint(), redis.url(), ssm.endpoint(), &clock).await;
    deps.interlock.init(&Actor::System("test".into())).await.unwrap();
    deps.hot.put_zone("Europe/Amsterdam", 0).await.unwrap();
    let hash = PinHash::of(&Pin::parse(PIN).unwrap()).unwrap();
    let one = |name: &str, role| Person {
        name: name.into(),
        role,
        pin_hash: Some(hash.as_phc().into()),
        pin_wrong: 0,
        pin_window_ms: 0,
        pin_wrong_total: 0,
        keys: BTreeMap::new(),
        revoked_ms: None,
    };
    let people = BTreeMap::from([
        (person("marieke"), one("Marieke", Role::Ops)),
        (person("joris"), one("Joris", Role::Reader)),
    ]);
    assert!(deps.interlock.put_people(&People { people, ..People::default() }).await.unwrap());
    let rig = Rig { deps, clock, dynamo, _redis: redis, ssm: Some(ssm), folder, _turn: turn };
    rig.arm().await;
    rig
}

/// A browser that is signed in.
struct Browser<'a> {
    rig: &'a Rig,
    cookie: String,
}

impl Rig {
    async fn arm(&self) {
        let control = self.deps.interlock.control().await.unwrap();
        let flags = self.deps.interlock.switch().read(&[]).await.unwrap();
        let ask = RearmAsk {
            scope: Scope::Global,
            epoch_shown: control.epoch,
            generation_shown: Generation(0),
            seq_shown: flags.seq_global,
            actor: Actor::System("test".into()),
            because: "the test starts it".into(),
            source: "demo".into(),
            modes: ModesAfter::DryRun,
        };
        assert!(matches!(self.deps.interlock.rearm(&ask).await.unwrap(), Rearmed::Done { .. }));
    }

    /// A person's own link, known to the store.
    async fn link(&self, id: &str) -> SignedLink {
        let signed = self.deps.signer.sign(LinkKind::Person, &person(id), self.clock.now()).unwrap();
        let mut people = self.deps.interlock.people().await.unwrap();
        let key = PersonKey {
            kind: "phone".into(),
            added_ms: NOW_MS,
            added_by: "system:test".into(),
            revoked_ms: None,
        };
        people.people.get_mut(&person(id)).unwrap().keys.insert(signed.link.key_id.to_string(), key);
        assert!(self.deps.interlock.put_people(&people).await.unwrap());
        signed
    }

    async fn sign_in(&self, id: &str) -> Browser<'_> {
        let link = self.link(id).await;
        let response = answer(&self.deps, &post(&link.path(), &format!("pin={PIN}"))).await;
        assert_eq!(response.status(), 303, "{}", text(&response));
        let cookie = response.cookies()[0].split(';').next().unwrap().to_owned();
        Browser { rig: self, cookie }
    }

    /// Everything that a request could change.
    async fn everything(&self) -> String {
        let flags = self.deps.interlock.switch().read(&[]).await;
        let outbox = self.outbox().await;
        let hot = self.deps.hot.get().await.hot;
        let (control, people) = (self.deps.interlock.control().await, self.deps.interlock.people().await);
        format!("{control:?} {flags:?} {people:?} {} {}", outbox.len(), hot.version)
    }

    async fn outbox(&self) -> Vec<ledger::Entry> {
        let rows = self.deps.ledger.unacknowledged(100).await.unwrap();
        rows.into_iter().map(|row| row.entry.unwrap()).collect()
    }
}

impl Browser<'_> {
    async fn get(&self, path: &str) -> Response {
        answer(&self.rig.deps, &Request::new("GET", path).with_header("cookie", &self.cookie)).await
    }

    /// The form token of a page that was just opened.
    async fn token(&self) -> String {
        let page = self.get("/people").await;
        let html = String::from_utf8(page.body().to_vec()).unwrap();
        let value = html.split("name=\"t\" value=\"").nth(1).unwrap();
        value.split('"').next().unwrap().to_owned()
    }

    /// A form sent from our own page, with its token.
    async fn post(&self, path: &str, form: &str) -> Response {
        let form = format!("t={}&{form}", self.token().await);
        self.send(post(path, &form).with_header("sec-fetch-site", "same-origin")).await
    }

    async fn send(&self, request: Request) -> Response {
        answer(&self.rig.deps, &request.with_header("cookie", &self.cookie)).await
    }
}

fn post(path: &str, form: &str) -> Request {
    Request::new("POST", path)
        .with_header("content-type", "application/x-www-form-urlencoded")
        .with_body(form)
}

/// The page's text without tags, one space between words.
fn text(response: &Response) -> String {
    let html = String::from_utf8(response.body().to_vec()).unwrap();
    let body = html.split("<body>").nth(1).unwrap_or(&html).to_owned();
    let words: Vec<&str> =
        body.split('<').map(|part| part.split_once('>').map_or(part, |(_, rest)| rest)).collect();
    words.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}
