//! The function over real wire stores, each test its own. Must never reach for a store behind the handler's
//! back except to look, or to do what a person with redis-cli does.
mod away;
mod looks;
mod near;

use crate::{Deps, Install, answer};
use config::{Clients, HotConfig, Secrets, Settings};
use interlock::{Interlock, ModesAfter, People, Person, PersonKey, RearmAsk, Rearmed, Role};
use kill_switch::{Switch, Timeouts};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use stores::{DataDir, LocalDynamo, LocalRedis};
use tokio::sync::{Semaphore, SemaphorePermit};
use types::{Actor, Clock, CustomerId, Epoch, Generation, PersonId, Scope};
use web::{LinkKind, LinkSigner, Pin, PinHash, Request, Response, SignedLink, Zone};

/// 24 July 2026, 02:14:07 in Amsterdam.
const NOW_MS: i64 = 1_784_852_047_000;
const PIN: &str = "271828";
/// A port on which nothing listens.
const NOWHERE: &str = "127.0.0.1:1";
static STORES: AtomicU32 = AtomicU32::new(0);
/// A busy machine is no silent store.
const PATIENT: Timeouts = Timeouts { connect: Duration::from_secs(5), response: Duration::from_secs(5) };
/// One test's stores at a time: pages give a store a quarter of a second.
static TURN: Semaphore = Semaphore::const_new(1);

/// Which stores answer.
#[derive(Clone, Copy, PartialEq)]
enum Up {
    Both,
    OnlyControl,
    OnlyFlags,
    Neither,
}

struct Rig {
    deps: Deps,
    /// The same stores, both reachable.
    truth: Interlock,
    signer: LinkSigner,
    clock: Clock,
    redis: LocalRedis,
    dynamo: LocalDynamo,
    folder: std::path::PathBuf,
    _turn: SemaphorePermit<'static>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn marieke() -> PersonId {
    PersonId::new("marieke").unwrap()
}

fn interlock(dynamo: &str, redis: &str, clock: &Clock) -> Interlock {
    let switch = Arc::new(Switch::new(redis, PATIENT).unwrap());
    Interlock::new(stores::dynamo::client(dynamo), "t-control", switch, clock.clone(), 0)
}

async fn deps(dynamo: &str, redis: &str, signer: &LinkSigner, clock: &Clock) -> Deps {
    let secret = signer.secret_hex();
    let settings = Settings::from_map(|name| match name {
        "LINK_SIGNING_KEY" => Some(secret.clone()),
        "AWS_ENDPOINT_URL_SSM" | "AWS_ENDPOINT_URL_DYNAMODB" => Some(format!("http://{NOWHERE}")),
        _ => None,
    });
    let settings = settings.unwrap();
    let clients = Clients::new(&settings).await;
    let client = stores::dynamo::client(dynamo);
    Deps {
        interlock: interlock(dynamo, redis, clock),
        budget: budget::Budget::new(client.clone(), "t-budget", clock.clone()),
        ledger: ledger::Ledger::new(client, "t-", clock.clone()),
        verifier: signer.verifier(),
        secrets: Secrets::new(&settings, clients.ssm(), clock.clone()),
        hot: HotConfig::new(&settings, clients.ssm(), clock.clone()),
        zone: Mutex::new(Zone::new("Europe/Amsterdam").unwrap()),
        install: Install {
            company: "Acme Logistics".into(),
            deputy_name: Some("Joris".into()),
            deputy_phone: Some("06 1234 5678".into()),
            halt_url: Some("https://halt.example".into()),
            console_url: Some("https://console.example".into()),
            hubspot_app_url: Some("https://app.hubspot.com".into()),
        },
    }
}

/// Deps whose stores never answer: for pages that are rendered from values.
async fn blind_deps() -> (Deps, LinkSigner) {
    let (signer, clock) = (LinkSigner::generate().unwrap(), Clock::manual(NOW_MS));
    (deps(&format!("http://{NOWHERE}"), &format!("redis://{NOWHERE}/"), &signer, &clock).await, signer)
}

/// Armed, with one person who has a PIN; the handler sees the stores that are `up`.
async fn rig(up: Up) -> Rig {
    let turn = TURN.acquire().await.unwrap();
    let nth = STORES.fetch_add(1, Ordering::SeqCst);
    let folder = std::env::temp_dir().join(format!("holdfast-halt-{}-{nth}", std::process::id()));
    let data = DataDir::open_fresh(&folder).unwrap();
    let redis = stores::redis::start_stand_in(&data, 0).unwrap();
    let dynamo = stores::dynamo::start(&data, 0, stores::dynamo::Expiry::Never).await.unwrap();
    stores::dynamo::create_tables(&stores::dynamo::client(dynamo.endpoint()), "t-").await.unwrap();
    let (signer, clock) = (LinkSigner::generate().unwrap(), Clock::manual(NOW_MS));
    let truth = interlock(dynamo.endpoint(), redis.url(), &clock);
    truth.init(&Actor::System("test".into())).await.unwrap();
    let hash = PinHash::of(&Pin::parse(PIN).unwrap()).unwrap();
    let person = Person {
        name: "Marieke".into(),
        role: Role::Ops,
        pin_hash: Some(hash.as_phc().into()),
        pin_wrong: 0,
        pin_window_ms: 0,
        pin_wrong_total: 0,
        keys: BTreeMap::new(),
        revoked_ms: None,
    };
    let people = People { people: BTreeMap::from([(marieke(), person)]), ..People::default() };
    assert!(truth.put_people(&people).await.unwrap());
    let nowhere = (format!("http://{NOWHERE}"), format!("redis://{NOWHERE}/"));
    let dynamo_url = if matches!(up, Up::Both | Up::OnlyControl) { dynamo.endpoint() } else { &nowhere.0 };
    let redis_url = if matches!(up, Up::Both | Up::OnlyFlags) { redis.url() } else { &nowhere.1 };
    let deps = deps(dynamo_url, redis_url, &signer, &clock).await;
    let rig = Rig { deps, truth, signer, clock, redis, dynamo, folder, _turn: turn };
    rig.arm().await;
    rig
}

impl Rig {
    async fn arm(&self) {
        let control = self.truth.control().await.unwrap();
        let flags = self.truth.switch().read(&[]).await.unwrap();
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
        assert!(matches!(self.truth.rearm(&ask).await.unwrap(), Rearmed::Done { .. }));
    }

    /// A link, known to the store.
    async fn link(&self, kind: LinkKind) -> SignedLink {
        let signed = self.signer.sign(kind, &marieke(), self.clock.now()).unwrap();
        if kind == LinkKind::Person {
            let mut people = self.truth.people().await.unwrap();
            let key = PersonKey {
                kind: "phone".into(),
                added_ms: NOW_MS,
                added_by: "test".into(),
                revoked_ms: None,
            };
            let person = people.people.get_mut(&marieke()).unwrap();
            person.keys.insert(signed.link.key_id.to_string(), key);
            assert!(self.truth.put_people(&people).await.unwrap());
        }
        signed
    }

    async fn revoke(&self, link: &SignedLink) {
        let mut people = self.truth.people().await.unwrap();
        let person = people.people.get_mut(&marieke()).unwrap();
        person.keys.get_mut(link.link.key_id.as_str()).unwrap().revoked_ms = Some(NOW_MS);
        assert!(self.truth.put_people(&people).await.unwrap());
    }

    async fn get(&self, path: &str) -> Response {
        answer(&self.deps, &Request::new("GET", path)).await
    }

    /// A form sent from our own page.
    async fn post(&self, path: &str, form: &str) -> Response {
        answer(&self.deps, &post(path, form).with_header("sec-fetch-site", "same-origin")).await
    }

    async fn epoch(&self) -> Epoch {
        self.truth.control().await.unwrap().epoch
    }

    async fn is_armed(&self) -> bool {
        let flags = self.truth.switch().read(&[]).await.unwrap();
        let control = self.truth.control().await.unwrap();
        control.is_armed() && !flags.halted_global && flags.armed == Some(control.epoch.0)
    }

    /// Everything that a request could change.
    async fn everything(&self) -> String {
        let flags = self.truth.switch().read(&["1234".into()]).await;
        let outbox = self.deps.ledger.unacknowledged(100).await.map(|rows| rows.len());
        format!("{:?} {flags:?} {:?} {outbox:?}", self.truth.control().await, self.truth.people().await)
    }
}

fn post(path: &str, form: &str) -> Request {
    Request::new("POST", path)
        .with_header("content-type", "application/x-www-form-urlencoded")
        .with_body(form)
}

fn customer(id: &str) -> CustomerId {
    CustomerId::new(id).unwrap()
}

/// The page's text without tags, style and script, one space between words.
fn text(response: &Response) -> String {
    let html = String::from_utf8(response.body().to_vec()).unwrap();
    let body = html.split("<body>").nth(1).unwrap_or(&html).split("<template").next().unwrap().to_owned();
    let words: String = body
        .split('<')
        .map(|part| part.split_once('>').map_or(part, |(_, rest)| rest))
        .collect::<Vec<_>>()
        .join(" ");
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
