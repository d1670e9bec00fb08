//! The protocol over a real wire store, embedded. Must never check a balance without checking the whole sum.
//! The names B0 to B7 are broken variants of the protocol; the test so marked is the one that catches it.
use crate::*;
use aws_sdk_dynamodb::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TransactWriteItem,
    },
};
use aws_smithy_http_client::Builder;
use std::{collections::BTreeSet, sync::Arc};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use types::{AttemptId, Cap, Caps, Clock, CustomerId, Epoch, Generation, IntentId, RunId, Scope, UsdNanos};

const AMS: &str = "Europe/Amsterdam";
const CENT: i64 = 10_000_000;

struct Rig {
    client: Client,
    clock: Clock,
    budget: Budget,
}

/// A store of its own and a clock that stands at `now`.
async fn rig(now: &str) -> Rig {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let db = dynoxide::Database::memory().expect("a store");
    #[expect(clippy::disallowed_methods, reason = "a local server for this test")]
    tokio::spawn(dynoxide::server::serve_on(listener, db));
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(Builder::new().build_http())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        .endpoint_url(endpoint);
    let client = Client::from_conf(config.build());
    let key = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash);
    let pk = AttributeDefinition::builder().attribute_name("pk").attribute_type(ScalarAttributeType::S);
    client
        .create_table()
        .table_name("t-budget")
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key.build().expect("a key"))
        .attribute_definitions(pk.build().expect("an attribute"))
        .send()
        .await
        .expect("a table");
    let clock = Clock::manual(ms(now));
    let budget = Budget::new(client.clone(), "t-budget", clock.clone());
    Rig { client, clock, budget }
}

impl Rig {
    /// Another process on the same table and clock.
    fn other_process(&self) -> Budget {
        Budget::new(self.client.clone(), "t-budget", self.clock.clone())
    }

    async fn open_run(&self, tokens: u64, calls: u32) {
        let caps = Caps { tokens_per_run: tokens, tool_calls_per_run: calls, ..Caps::default() };
        let opened = self.budget.open_run(&run(), &caps, Epoch(3)).await.expect("answered");
        assert_eq!(opened, OpenRun::Opened);
    }

    fn ask(&self, attempt: &str, tokens: u64, cents: i64, cap_cents: i64) -> Ask {
        Ask {
            run_id: run(),
            attempt_id: AttemptId::new(attempt).expect("an id"),
            tokens,
            usd: UsdNanos(cents * CENT),
            epoch: Epoch(3),
            deadline_ms: self.clock.now_ms() + 60_000,
            zone: AMS.to_owned(),
            usd_per_day: Some(UsdNanos(cap_cents * CENT)),
            seen: None,
        }
    }

    async fn reserved(&self, ask: Ask) -> Reservation {
        reserved(self.budget.reserve(ask).await)
    }

    /// A day in cents: cap, left, pending, spent; the sum is checked. INVARIANT (I15).
    async fn day(&self) -> (String, [i64; 4]) {
        let day = self.budget.day(AMS).await.expect("answered").expect("a day");
        assert_eq!(day.left.plus(day.pending).plus(day.spent), day.cap, "the books do not balance: {day:?}");
        (day.date, [day.cap, day.left, day.pending, day.spent].map(|usd| usd.0 / CENT))
    }

    async fn tokens(&self) -> i64 {
        self.budget.left(&run(), AMS).await.expect("answered").expect("a run").tokens
    }
}

fn reserved(answer: Result<Reserve, BudgetError>) -> Reservation {
    let answer = answer.expect("answered");
    let Reserve::Reserved(reservation) = answer else { panic!("refused: {answer:?}") };
    reservation
}

fn ms(time: &str) -> i64 {
    time.parse::<types::Timestamp>().expect("a time").as_millisecond()
}

fn run() -> RunId {
    RunId::new("r-1").expect("an id")
}

fn used(tokens: u64, cents: i64) -> Used {
    Used { tokens, usd: UsdNanos(cents * CENT) }
}

#[tokio::test]
async fn what_is_reserved_is_set_aside_and_what_is_not_used_goes_back() {
    let rig = rig("2026-11-24T09:00:00Z").await;
    assert!(rig.budget.day(AMS).await.expect("answered").is_none());
    assert!(rig.budget.left(&run(), AMS).await.expect("answered").is_none());
    rig.open_run(1_000, 30).await;
    let again = rig.budget.open_run(&run(), &Caps::default(), Epoch(9)).await.expect("answered");
    assert_eq!(again, OpenRun::Existed { epoch: Epoch(3) }, "its caps and epoch stay");
    let reservation = rig.reserved(rig.ask("a", 600, 31, 2_500)).await;
    assert_eq!((reservation.day(), reservation.tokens()), ("2026-11-24", 600));
    assert_eq!(rig.day().await, ("2026-11-24".into(), [2_500, 2_469, 31, 0]));
    let left = rig.budget.left(&run(), AMS).await.expect("answered").expect("a run");
    assert_eq!((left.tokens, left.calls), (400, 30));
    let day = left.day.expect("a day");
    assert_eq!((day.left, day.pending), (UsdNanos(2_469 * CENT), UsdNanos(31 * CENT)));
    assert_eq!(day.left_under(UsdNanos(2_000 * CENT)), UsdNanos(1_969 * CENT), "a lower cap binds at once");
    assert_eq!(day.left_under(UsdNanos(9_000 * CENT)), UsdNanos(2_469 * CENT), "a higher one does not");
    let settled = rig.budget.settle(reservation, used(250, 12)).await.expect("answered");
    assert_eq!(settled, Settled::Within { usd_left: UsdNanos(2_488 * CENT) });
    assert_eq!((rig.day().await.1, rig.tokens().await), ([2_500, 2_488, 0, 12], 750));
    let day = rig.budget.day(AMS).await.expect("answered").expect("a day");
    assert_eq!(day.last_ms, Some(rig.clock.now_ms()), "the sign of life");
}

#[tokio::test]
async fn each_refusal_has_its_own_answer_and_only_a_used_up_cap_trips() {
    let rig = rig("2026-11-24T09:00:00Z").await;
    let ask = |attempt| rig.ask(attempt, 600, 31, 2_500);
    assert!(matches!(rig.budget.reserve(ask("a")).await, Ok(Reserve::NoRun)));
    rig.open_run(1_000, 30).await;
    let unknown_cap = Ask { usd_per_day: None, ..ask("a") };
    assert!(matches!(rig.other_process().reserve(ask("z")).await, Ok(Reserve::Reserved(_))));
    let known_cap = rig.budget.reserve(Ask { tokens: 1, ..unknown_cap }).await;
    assert!(matches!(known_cap, Ok(Reserve::Reserved(_))), "cap unreadable: the last known one counts");
    let refused = rig.budget.reserve(Ask { epoch: Epoch(4), ..ask("b") }).await;
    assert!(matches!(refused, Ok(Reserve::OtherEpoch { epoch: Epoch(3) })));
    let refused = rig.budget.reserve(Ask { deadline_ms: rig.clock.now_ms(), ..ask("b") }).await;
    assert!(matches!(refused, Ok(Reserve::PastDeadline)));
    for bad in [
        Ask { usd: UsdNanos(-1), ..ask("b") },
        Ask { usd: UsdNanos(0), ..ask("b") },
        Ask { tokens: 0, ..ask("b") },
    ] {
        assert!(matches!(rig.budget.reserve(bad).await, Err(BudgetError::Amount)));
    }
    assert!(matches!(
        rig.budget.reserve(Ask { zone: "Mars".into(), ..ask("b") }).await,
        Err(BudgetError::Zone)
    ));
    let (left, asked) = (Amount::Tokens(399), Amount::Tokens(600));
    match rig.budget.reserve(ask("b")).await {
        Ok(Reserve::Tripped { cap: Cap::TokensPerRun, left: l, asked: a }) => {
            assert_eq!((l, a), (left, asked))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        (rig.day().await.1, rig.tokens().await),
        ([2_500, 2_438, 62, 0], 399),
        "nothing was taken by a refusal"
    );
}

#[tokio::test]
async fn without_any_cap_nothing_is_reserved() {
    let rig = rig("2026-11-24T09:00:00Z").await;
    rig.open_run(1_000, 30).await;
    let refused = rig.budget.reserve(Ask { usd_per_day: None, ..rig.ask("a", 1, 1, 0) }).await;
    assert!(matches!(refused, Ok(Reserve::NoCap)));
}

#[tokio::test]
async fn when_the_day_refuses_the_run_gets_its_tokens_back() {
    let rig = rig("2026-11-24T09:00:00Z").await;
    rig.open_run(1_000, 30).await;
    let kept = rig.reserved(rig.ask("a", 100, 90, 100)).await;
    match rig.budget.reserve(rig.ask("b", 600, 31, 100)).await {
        Ok(Reserve::SetAside { left, pending, asked }) => {
            assert_eq!([left, pending, asked].map(|usd| usd.0 / CENT), [10, 90, 31]);
        }
        other => panic!("{other:?}"),
    }
    let never = rig.budget.reserve(rig.ask("c", 600, 101, 100)).await;
    assert!(matches!(never, Ok(Reserve::Tripped { cap: Cap::UsdPerDay, .. })), "no wait helps: {never:?}");
    assert_eq!((rig.day().await.1, rig.tokens().await), ([100, 10, 90, 0], 900));
    let _settled = rig.budget.settle(kept, used(100, 20)).await.expect("answered");
    let again = rig.reserved(rig.ask("b", 600, 31, 100)).await;
    let _settled = rig.budget.charge_in_full(again).await.expect("answered");
    assert_eq!((rig.day().await.1, rig.tokens().await), ([100, 49, 0, 51], 300));
    match rig.budget.reserve(rig.ask("d", 100, 50, 100)).await {
        Ok(Reserve::Tripped { cap: Cap::UsdPerDay, left, asked }) => {
            assert_eq!((left.to_string(), asked.to_string()), ("$0.49".into(), "$0.50".into()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.tokens().await, 300);
}

/// B0 (read, compare, write). INVARIANT (I12).
#[tokio::test]
async fn a_thousand_at_once_on_a_nearly_empty_cap_none_over_and_none_starved() {
    let rig = rig("2026-11-24T09:00:00Z").await;
    rig.open_run(10_000_000, 30).await;
    let gate = Arc::new(Semaphore::new(32));
    let mut tries = JoinSet::new();
    for i in 0..1_000 {
        let (budget, gate) = (rig.budget.clone(), gate.clone());
        let ask = rig.ask(&format!("a-{i}"), 10, 31, 300);
        tries.spawn(async move {
            let _turn = gate.acquire().await.expect("open");
            budget.reserve(ask).await
        });
    }
    let (mut held, mut wait) = (Vec::new(), 0);
    while let Some(answer) = tries.join_next().await {
        let answer = answer.expect("no panic").expect("answered");
        wait += u32::from(matches!(answer, Reserve::SetAside { .. }));
        if let Reserve::Reserved(reservation) = answer {
            held.push(reservation);
        }
    }
    assert_eq!((held.len(), wait), (9, 991), "as many as fit, and everybody has an answer");
    assert_eq!(rig.day().await.1, [300, 21, 279, 0]);
    assert_eq!(rig.tokens().await, 10_000_000 - 90);
    for reservation in held {
        let _settled = rig.budget.settle(reservation, used(10, 1)).await.expect("answered");
    }
    assert_eq!((rig.day().await.1, rig.tokens().await), ([300, 291, 0, 9], 10_000_000 - 90));
}

/// B1 (a settle that can be applied twice). INVARIANT (I15).
#[tokio::test]
async fn a_reservation_is_settled_once_however_often_it_is_tried() {
    let rig = rig("2026-11-24T09:00:00Z").await;
    rig.open_run(1_000, 30).await;
    let first = rig.reserved(rig.ask("a", 600, 31, 2_500)).await;
    // A process that died after R2 was applied asks again with the same id.
    let second = reserved(rig.other_process().reserve(rig.ask("a", 600, 31, 2_500)).await);
    assert_eq!((rig.day().await.1, rig.tokens().await), ([2_500, 2_469, 31, 0], 400), "taken once");
    let _settled = rig.budget.settle(first, used(100, 1)).await.expect("answered");
    let again = rig.budget.settle(second, used(100, 1)).await.expect("answered");
    assert_eq!(again, Settled::AlreadyEnded);
    assert_eq!((rig.day().await.1, rig.tokens().await), ([2_500, 2_499, 0, 1], 900));
    // Asked again after midnight: the day of the first asking pays, and pays once.
    rig.clock.advance_ms(14 * 3_600_000 - 1_000);
    let late = rig.ask("b", 600, 31, 2_500);
    let _lost = reserved(rig.other_process().reserve(late.clone()).await);
    rig.clock.advance_ms(2_000);
    let found = rig.reserved(late).await;
    assert_eq!((found.day(), rig.tokens().await), ("2026-11-24", 300));
    assert_eq!(rig.day().await, ("2026-11-25".into(), [2_500, 2_500, 0, 0]));
}

/// B2, B3 (the sweeper gives orphans back; the owner may live). INVARIANT (I15).
#[tokio::test]
async fn an_orphan_is_posted_in_full_after_deadline_and_margin_and_never_given_back() {
    let rig = rig("2026-11-24T09:00:00Z").await;
    rig.open_run(1_000, 30).await;
    assert_eq!(rig.budget.sweep_orphans(rig.clock.now_ms()).await.expect("answered"), 0, "no day yet");
    let orphan = rig.reserved(rig.ask("a", 600, 31, 2_500)).await;
    let over_ms = orphan.deadline_ms() + MARGIN_MS;
    assert_eq!(rig.budget.sweep_orphans(over_ms).await.expect("answered"), 0, "its owner may live");
    assert_eq!(rig.day().await.1, [2_500, 2_469, 31, 0]);
    assert_eq!(rig.budget.sweep_orphans(over_ms + 1).await.expect("answered"), 1);
    assert_eq!(rig.budget.sweep_orphans(over_ms + 1).await.expect("answered"), 0);
    assert_eq!((rig.day().await.1, rig.tokens().await), ([2_500, 2_469, 0, 31], 400));
    // The owner turns up after all: it ended already.
    let late = rig.budget.settle(orphan, used(1, 1)).await.expect("answered");
    assert_eq!(late, Settled::AlreadyEnded);
    assert_eq!((rig.day().await.1, rig.tokens().await), ([2_500, 2_469, 0, 31], 400));
}

/// What was posted is counted in the hour in which it was, however it was posted.
#[tokio::test]
async fn the_hours_of_a_day_add_up_to_what_was_spent() {
    let rig = rig("2026-11-24T09:59:00Z").await;
    rig.open_run(9_000, 30).await;
    let early = rig.reserved(rig.ask("a", 300, 31, 2_500)).await;
    let _settled = rig.budget.settle(early, used(200, 7)).await.expect("answered");
    rig.clock.advance_ms(60_000);
    let lost = rig.reserved(rig.ask("b", 300, 31, 2_500)).await;
    let _settled = rig.budget.charge_in_full(lost).await.expect("answered");
    let orphan = rig.reserved(rig.ask("c", 300, 31, 2_500)).await;
    rig.clock.advance_ms(3_600_000);
    assert_eq!(rig.budget.sweep_orphans(rig.clock.now_ms()).await.expect("answered"), 1, "{orphan:?}");
    let day = rig.budget.day(AMS).await.expect("answered").expect("a day");
    let at = |time: &str, cents: i64| (ms(time), UsdNanos(cents * CENT));
    let hours =
        [at("2026-11-24T09:00:00Z", 7), at("2026-11-24T10:00:00Z", 31), at("2026-11-24T11:00:00Z", 31)];
    assert_eq!(day.hours.into_iter().collect::<Vec<_>>(), hours);
    assert_eq!(day.spent, UsdNanos(69 * CENT));
}

/// B4 (a lost answer settled at zero). INVARIANT (I12).
#[tokio::test]
async fn a_lost_answer_costs_everything_set_aside_and_a_negative_price_too() {
    let rig = rig("2026-11-24T09:00:00Z").await;
    rig.open_run(1_000, 30).await;
    let lost = rig.reserved(rig.ask("a", 300, 31, 2_500)).await;
    let _settled = rig.budget.charge_in_full(lost).await.expect("answered");
    assert_eq!((rig.day().await.1, rig.tokens().await), ([2_500, 2_469, 0, 31], 700));
    let odd = rig.reserved(rig.ask("b", 300, 31, 2_500)).await;
    let _settled = rig.budget.settle(odd, used(0, -500)).await.expect("answered");
    assert_eq!(rig.day().await.1, [2_500, 2_438, 0, 62]);
}

/// B5 (a refund credited to the current day).
#[tokio::test]
async fn a_call_reserved_before_midnight_belongs_to_that_day() {
    let rig = rig("2026-11-24T22:59:59Z").await;
    rig.open_run(1_000, 30).await;
    let late = rig.reserved(rig.ask("a", 300, 31, 2_500)).await;
    let last_ms = rig.clock.now_ms();
    rig.clock.advance_ms(2_000);
    assert_eq!(rig.day().await, ("2026-11-25".into(), [2_500, 2_500, 0, 0]), "shown before it is opened");
    let shown = rig.budget.day(AMS).await.expect("answered").expect("a day");
    assert_eq!(shown.last_ms, Some(last_ms), "the sign of life outlasts midnight");
    let early = rig.reserved(rig.ask("b", 300, 40, 2_500)).await;
    assert_eq!((late.day(), early.day()), ("2026-11-24", "2026-11-25"));
    let _settled = rig.budget.settle(late, used(10, 1)).await.expect("answered");
    assert_eq!(rig.day().await, ("2026-11-25".into(), [2_500, 2_460, 40, 0]));
    let before = crate::day::view("2026-11-24", &rig.budget.read_day("2026-11-24").await.expect("there"));
    let before = before.expect("a day");
    assert_eq!((before.left, before.pending, before.spent).0, UsdNanos(2_499 * CENT));
    assert_eq!((before.pending, before.spent), (UsdNanos(0), UsdNanos(CENT)));
    drop(early);
}

/// B6 (a retry re-uses the failed attempt's reservation). INVARIANT (I14).
#[tokio::test]
async fn one_attempt_id_pays_for_one_try() {
    let rig = rig("2026-11-24T09:00:00Z").await;
    rig.open_run(2_000, 30).await;
    let first = rig.reserved(rig.ask("a", 300, 31, 2_500)).await;
    let second = rig.budget.reserve(rig.ask("a", 300, 31, 2_500)).await;
    assert!(matches!(second, Ok(Reserve::AttemptReused)), "{second:?}");
    let dearer = rig.other_process().reserve(rig.ask("a", 300, 99, 2_500)).await;
    assert!(matches!(dearer, Ok(Reserve::AttemptReused)), "{dearer:?}");
    assert_eq!((rig.day().await.1, rig.tokens().await), ([2_500, 2_469, 31, 0], 1_700));
    let _settled = rig.budget.charge_in_full(first).await.expect("answered");
    // Used up and asked again: it pays again.
    let _third = rig.reserved(rig.ask("a", 300, 31, 2_500)).await;
    assert_eq!(rig.day().await.1, [2_500, 2_438, 31, 31]);
}

/// B7 (a call may cost more than reserved): nothing can prevent it, and the books stay honest.
#[tokio::test]
async fn an_overshoot_is_recorded_in_full_and_the_next_reservation_trips() {
    let rig = rig("2026-11-24T09:00:00Z").await;
    rig.open_run(1_000, 30).await;
    let reservation = rig.reserved(rig.ask("a", 600, 31, 40)).await;
    let settled = rig.budget.settle(reservation, used(1_050, 45)).await.expect("answered");
    let (tokens_over, usd_over, usd_left) = (450, UsdNanos(14 * CENT), UsdNanos(-5 * CENT));
    assert_eq!(settled, Settled::Overshot { tokens_over, usd_over, usd_left });
    assert_eq!((rig.day().await.1, rig.tokens().await), ([40, -5, 0, 45], -50));
    let next = rig.budget.reserve(rig.ask("b", 1, 1, 40)).await;
    assert!(matches!(next, Ok(Reserve::Tripped { cap: Cap::TokensPerRun, .. })), "{next:?}");
}

#[tokio::test]
async fn a_crash_between_run_and_day_costs_the_run_its_tokens_and_the_day_nothing() {
    let rig = rig("2026-11-24T09:00:00Z").await;
    rig.open_run(1_000, 30).await;
    let first = rig.reserved(rig.ask("a", 100, 31, 2_500)).await;
    let _settled = rig.budget.charge_in_full(first).await.expect("answered");
    let _taken = rig.budget.take_tokens(&rig.ask("b", 600, 31, 2_500), "2026-11-24").await.expect("R1");
    assert_eq!((rig.day().await.1, rig.tokens().await), ([2_500, 2_469, 0, 31], 300));
    // The same invocation asks again with the same id: it goes on where it stopped.
    let same = rig.reserved(rig.ask("b", 600, 31, 2_500)).await;
    assert_eq!((rig.day().await.1, rig.tokens().await), ([2_500, 2_438, 31, 31], 300));
    let _settled = rig.budget.settle(same, used(1, 1)).await.expect("answered");
    assert_eq!((rig.day().await.1, rig.tokens().await), ([2_500, 2_468, 0, 32], 899));
}

/// INVARIANT (I16).
#[tokio::test]
async fn a_change_of_the_cap_binds_the_next_reservation_and_makes_no_money() {
    let rig = rig("2026-11-24T09:00:00Z").await;
    rig.open_run(10_000, 30).await;
    let held = rig.reserved(rig.ask("a", 10, 60, 100)).await;
    let raise = |cents: i64| rig.budget.change_cap(UsdNanos(cents * CENT), AMS);
    let usd = |cents: i64| UsdNanos(cents * CENT);
    assert_eq!(raise(150).await.expect("answered"), CapChange::Changed { old: usd(100), left: usd(90) });
    assert_eq!(raise(150).await.expect("answered"), CapChange::Unchanged, "raised once");
    assert_eq!(rig.day().await.1, [150, 90, 60, 0]);
    assert_eq!(raise(50).await.expect("answered"), CapChange::Changed { old: usd(150), left: usd(-10) });
    let refused = rig.budget.reserve(rig.ask("b", 10, 51, 50)).await;
    assert!(matches!(refused, Ok(Reserve::Tripped { cap: Cap::UsdPerDay, .. })), "{refused:?}");
    let waits = rig.budget.reserve(rig.ask("b", 10, 1, 50)).await;
    assert!(matches!(waits, Ok(Reserve::SetAside { .. })), "{waits:?}");
    assert_eq!(rig.day().await.1, [50, -10, 60, 0]);
    let _settled = rig.budget.settle(held, used(10, 20)).await.expect("answered");
    assert_eq!(rig.day().await.1, [50, 30, 0, 20]);
    // Many people at once: each difference is added once.
    let mut changes = JoinSet::new();
    for cents in [200, 300, 400, 500, 200, 300] {
        let budget = rig.budget.clone();
        changes.spawn(async move { budget.change_cap(UsdNanos(cents * CENT), AMS).await });
    }
    while let Some(change) = changes.join_next().await {
        let _outcome = change.expect("no panic").expect("answered");
    }
    let [cap, left, pending, spent] = rig.day().await.1;
    assert_eq!((left + spent, pending, spent), (cap, 0, 20));
    // The next day begins with the last known cap when the configured one cannot be read.
    rig.budget.change_cap(usd(77), AMS).await.expect("answered");
    rig.clock.advance_ms(24 * 3_600_000);
    let ask = Ask { usd_per_day: None, ..rig.ask("n", 10, 1, 0) };
    let _next_day = rig.reserved(ask).await;
    assert_eq!(rig.day().await, ("2026-11-25".into(), [77, 76, 1, 0]));
}

/// INVARIANT (I16): a cap lowered in the configuration binds even before the open day has learned of it.
#[tokio::test]
async fn the_lower_of_the_configured_and_the_open_days_cap_binds() {
    let rig = rig("2026-11-24T09:00:00Z").await;
    rig.open_run(10_000, 30).await;
    let spent = rig.reserved(rig.ask("a", 10, 60, 100)).await;
    let _settled = rig.budget.charge_in_full(spent).await.expect("answered");
    match rig.budget.reserve(rig.ask("b", 10, 30, 80)).await {
        Ok(Reserve::Tripped { cap: Cap::UsdPerDay, left, .. }) => {
            assert_eq!(left, Amount::Usd(UsdNanos(20 * CENT)))
        }
        other => panic!("{other:?}"),
    }
    let _fits = rig.reserved(rig.ask("c", 10, 20, 80)).await;
    assert_eq!(rig.day().await.1, [100, 20, 20, 60]);
    let refused = rig.budget.reserve(rig.ask("d", 10, 30, 500)).await;
    assert!(matches!(refused, Ok(Reserve::SetAside { .. })), "a higher one does not: {refused:?}");
    assert_eq!(rig.tokens().await, 9_980);
}

#[tokio::test]
async fn a_change_of_zone_opens_no_second_day() {
    let rig = rig("2026-11-24T12:00:00Z").await;
    rig.open_run(10_000, 30).await;
    let spent = rig.reserved(rig.ask("a", 10, 90, 100)).await;
    let _settled = rig.budget.charge_in_full(spent).await.expect("answered");
    let auckland = |attempt| Ask { zone: "Pacific/Auckland".into(), ..rig.ask(attempt, 10, 20, 100) };
    let refused = rig.budget.reserve(auckland("b")).await;
    assert!(matches!(refused, Ok(Reserve::Tripped { cap: Cap::UsdPerDay, .. })), "{refused:?}");
    rig.clock.advance_ms(20 * 3_600_000 - 1);
    assert!(matches!(rig.budget.reserve(auckland("c")).await, Ok(Reserve::Tripped { .. })));
    rig.clock.advance_ms(1);
    assert_eq!(rig.reserved(auckland("d")).await.day(), "2026-11-25");
    // Back west, where it is still the day before: that one is closed.
    let west = Ask { zone: "Pacific/Honolulu".into(), ..rig.ask("e", 10, 20, 100) };
    assert_eq!(rig.reserved(west).await.day(), "2026-11-25");
}

#[tokio::test]
async fn a_day_is_opened_once_by_many_at_midnight_and_never_anew() {
    let rig = rig("2026-11-24T12:00:00Z").await;
    rig.open_run(10_000, 30).await;
    let _yesterday = rig.reserved(rig.ask("a", 10, 1, 100)).await;
    rig.clock.advance_ms(24 * 3_600_000);
    let mut tries = JoinSet::new();
    for i in 0..40 {
        let (budget, ask) = (rig.other_process(), rig.ask(&format!("n-{i}"), 10, 10, 100));
        tries.spawn(async move { budget.reserve(ask).await });
    }
    let mut held = 0;
    while let Some(answer) = tries.join_next().await {
        held += u32::from(matches!(answer.expect("no panic").expect("answered"), Reserve::Reserved(_)));
    }
    assert_eq!((held, rig.day().await), (10, ("2026-11-25".into(), [100, 0, 100, 0])));
    // Somebody deletes the day's row: its budget is not handed out a second time.
    let row = aws_sdk_dynamodb::types::AttributeValue::S("day#2026-11-25".into());
    rig.client.delete_item().table_name("t-budget").key("pk", row).send().await.expect("deleted");
    let refused = rig.budget.reserve(rig.ask("z", 10, 1, 100)).await;
    assert!(matches!(refused, Err(BudgetError::DayBroken { .. })), "{refused:?}");
}

#[tokio::test]
async fn an_orphan_of_an_older_day_is_found_after_the_sweeper_was_away() {
    let rig = rig("2026-11-20T12:00:00Z").await;
    rig.open_run(10_000, 30).await;
    let _orphan = rig.reserved(rig.ask("old", 10, 5, 100)).await;
    for i in 0..4 {
        rig.clock.advance_ms(24 * 3_600_000);
        let reservation = rig.reserved(rig.ask(&format!("d-{i}"), 10, 1, 100)).await;
        let _settled = rig.budget.settle(reservation, used(10, 1)).await.expect("answered");
    }
    assert_eq!(rig.budget.sweep_orphans(rig.clock.now_ms()).await.expect("answered"), 1);
    assert_eq!(rig.budget.sweep_orphans(rig.clock.now_ms()).await.expect("answered"), 0);
    let old = crate::day::view("2026-11-20", &rig.budget.read_day("2026-11-20").await.expect("there"));
    assert_eq!(old.map(|day| (day.pending, day.spent)).expect("a day"), (UsdNanos(0), UsdNanos(5 * CENT)));
}

/// INVARIANT (I13).
#[tokio::test]
async fn a_tool_call_is_counted_once_and_the_last_one_is_the_last() {
    let rig = rig("2026-11-24T09:00:00Z").await;
    let intent = |i: u32| IntentId::new(format!("i-{i}")).expect("an id");
    assert_eq!(rig.budget.take_call(&run(), &intent(1)).await.expect("answered"), TakeCall::NoRun);
    rig.open_run(1_000, 3).await;
    let mut answers = Vec::new();
    for i in [1, 2, 1, 2, 3, 4, 3, 1] {
        answers.push(rig.budget.take_call(&run(), &intent(i)).await.expect("answered"));
    }
    let (left, asked) = (Amount::Calls(0), Amount::Calls(1));
    let tripped = TakeCall::Tripped { cap: Cap::ToolCallsPerRun, left, asked };
    use TakeCall::{AlreadyTaken, Taken};
    let expected = [Taken, Taken, AlreadyTaken, AlreadyTaken, Taken, tripped, AlreadyTaken, AlreadyTaken];
    assert_eq!(answers, expected);
}

/// INVARIANT (I17).
#[tokio::test]
async fn a_trip_is_first_once_per_limit_scope_epoch_and_generation() {
    let rig = rig("2026-11-24T09:00:00Z").await;
    let customer = Scope::Customer(CustomerId::new("1234").expect("an id"));
    let mut tries = JoinSet::new();
    for _ in 0..20 {
        let budget = rig.budget.clone();
        tries.spawn(async move {
            budget.trip_once(Cap::UsdPerDay, &Scope::Global, Epoch(3), Generation(0)).await.expect("answered")
        });
    }
    assert_eq!(tries.join_all().await.into_iter().filter(|first| *first).count(), 1);
    let others = [
        (Cap::TokensPerRun, Scope::Global, 3, 0),
        (Cap::UsdPerDay, customer.clone(), 3, 0),
        (Cap::UsdPerDay, Scope::Global, 4, 0),
        (Cap::TokensPerRun, customer, 3, 1),
    ];
    for (cap, scope, epoch, generation) in others {
        let (epoch, generation) = (Epoch(epoch), Generation(generation));
        assert!(rig.budget.trip_once(cap, &scope, epoch, generation).await.expect("answered"));
        let part: TransactWriteItem = rig.budget.trip_part(cap, &scope, epoch, generation).expect("a part");
        let again = rig.client.transact_write_items().transact_items(part).send().await;
        assert!(again.is_err(), "the part refuses what was tripped already");
    }
    let part =
        rig.budget.trip_part(Cap::ToolCallsPerRun, &Scope::Global, Epoch(3), Generation(0)).expect("a part");
    rig.client.transact_write_items().transact_items(part).send().await.expect("the first");
    let again = rig.budget.trip_once(Cap::ToolCallsPerRun, &Scope::Global, Epoch(3), Generation(0)).await;
    assert!(!again.expect("answered"));
}

/// Any order of asking, settling, losing, sweeping, cap changes and midnights keeps every day's books.
#[tokio::test]
async fn whatever_happens_every_day_balances_and_no_day_gives_out_more_than_its_cap() {
    for mut seed in [1_u64, 20, 300] {
        let rig = rig("2026-03-27T12:00:00Z").await;
        rig.open_run(1_000_000_000, 30).await;
        let (mut held, mut dates, mut cap_cents) = (Vec::new(), BTreeSet::new(), 200_i64);
        for i in 0..150 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (what, amount) = ((seed >> 40) % 10, i64::try_from((seed >> 50) % 60).expect("small") + 1);
            match what {
                0..=3 => match rig.budget.reserve(rig.ask(&format!("a-{i}"), 10, amount, cap_cents)).await {
                    Ok(Reserve::Reserved(reservation)) => held.push((reservation, amount)),
                    Ok(Reserve::Tripped { cap: Cap::UsdPerDay, .. } | Reserve::SetAside { .. }) => {}
                    other => panic!("{other:?}"),
                },
                4 | 5 if !held.is_empty() => {
                    let (reservation, reserved) = held.swap_remove(0);
                    let cost = used(10, reserved / 2);
                    let _settled = rig.budget.settle(reservation, cost).await.expect("answered");
                }
                6 if !held.is_empty() => {
                    let lost = held.swap_remove(0).0;
                    let _settled = rig.budget.charge_in_full(lost).await.expect("answered");
                }
                7 => {
                    let swept = rig.budget.sweep_orphans(rig.clock.now_ms()).await.expect("answered");
                    assert!(swept <= u32::try_from(held.len()).expect("small"));
                }
                8 => {
                    cap_cents = 100 + amount * 4;
                    rig.budget.change_cap(UsdNanos(cap_cents * CENT), AMS).await.expect("answered");
                }
                _ => rig.clock.advance_ms(amount * 600_000),
            }
            if let Ok(Some(open)) = rig.budget.read_open().await {
                dates.insert(open.day.date.to_string());
            }
            for date in &dates {
                let day =
                    crate::day::view(date, &rig.budget.read_day(date).await.expect("there")).expect("a day");
                assert_eq!(day.left.plus(day.pending).plus(day.spent), day.cap, "{day:?}");
            }
        }
        assert!(dates.len() > 2, "midnights were passed: {dates:?}");
    }
}
