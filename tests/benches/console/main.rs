//! How long the console's pages take over a log of a million rows, among them "why Closed Lost in March"
//! asked of a cold console. Must never be a test: it prints, and asserts only that a page is the one it says.
//!
//! `cargo bench -p tests --bench console`. `CONSOLE_ROWS=1000000` is how many rows are loaded first. The
//! stores are real servers on this machine; what is timed is one invocation of the function, from event to
//! answer.
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../it/door.rs"]
mod door;
#[allow(dead_code, reason = "the other benchmark uses the rest")]
#[path = "../rows.rs"]
mod rows;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../it/scene.rs"]
mod scene;
#[path = "../watch.rs"]
mod watch;

use audit_log::{AppendResult, AuditLog};
use ledger::{Entry, PartRef};
use scene::{START_MS, Scene, url_event};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use types::Timestamp;

/// How often each page is asked for.
const ROUNDS: usize = 40;
/// Rows of one statement.
const BATCH: u64 = 500;

fn main() {
    scene::run(Box::pin(measured()));
}

async fn measured() {
    let wanted = std::env::var("CONSOLE_ROWS").unwrap_or_else(|_| "1000000".to_owned());
    let wanted: u64 = wanted.parse().expect("CONSOLE_ROWS: a number");
    let mut scene = Scene::new().await;
    let database = scene.variables["DATABASE_URL"].clone();
    let began = Instant::now();
    load(&database, wanted).await;
    println!("{wanted} rows loaded in {:.0} s; the newest is of now", began.elapsed().as_secs_f64());
    // The asked deals lie all over the log; the month is that of the rows.
    let deals = (wanted / rows::ROWS_PER_DEAL).max(1);
    let month = "from=2026-11-01&until=2026-11-30";
    let why = |k: u64| format!("/audit?q={}&to=closedlost&{month}", k * 7_919 % deals);
    cold(&mut scene, &why(1)).await;
    let session = scene.sign_in().await;
    println!("{:<34} {:>10} {:>10} {:>9}", "page", "p50", "p95", "bytes");
    for (name, says) in [
        ("/", "Needs you"),
        ("/would-have", "Showing 25 of"),
        ("/would-have?judged=not_yet", "Showing 25 of"),
        ("/would-have?day=2026-11-19", "Showing 25 of"),
        ("/would-have?tool=append_note", "Showing 25 of"),
        ("/would-have?tool=set_stage", "Nothing for these"),
        ("/would-have?judged=surprising", "Nothing for these"),
        ("/tools", "When surprises pile up"),
        ("/tools?days=30", "Five days"),
        ("/tools/append_note/writes", "Would have"),
        ("/drafts", "No draft waits."),
        ("/audit", "Showing"),
        ("/audit?to=closedlost&from=2026-11-01&until=2026-11-30", "Closed Lost"),
        ("/audit?verb=halt&from=all", "No row"),
        ("/audit?verb=set_stage", "Showing"),
        ("/pipeline", "May the agent move deals here?"),
        ("/budgets", "When a cap trips"),
        ("/waiting", "No event waits."),
        ("/people", "Add a person"),
    ] {
        page(&scene, &session, name, says, |_| name.to_owned()).await;
    }
    page(&scene, &session, "why Closed Lost in its month", "the agent moved deal", why).await;
}

/// A console that has just started: its first page, and the answer in its second.
async fn cold(scene: &mut Scene, why: &str) {
    let mut first = Vec::new();
    let mut answer = Vec::new();
    for _ in 0..5 {
        scene.rebuild(|_| ()).await;
        let session = scene.sign_in().await;
        let began = Instant::now();
        ask(scene, &session, "/audit").await;
        first.push(began.elapsed());
        let began = Instant::now();
        assert!(ask(scene, &session, why).await.contains("the agent moved deal"), "{why}");
        answer.push(began.elapsed());
    }
    println!("cold, five times: first page p50 {}, then why p50 {}", ms(&mut first, 50), ms(&mut answer, 50));
}

async fn page(scene: &Scene, session: &str, name: &str, says: &str, path: impl Fn(u64) -> String) {
    let mut times = Vec::new();
    let mut bytes = 0;
    for k in 0..ROUNDS {
        let path = path(u64::try_from(k).expect("small"));
        let began = Instant::now();
        let html = ask(scene, session, &path).await;
        times.push(began.elapsed());
        assert!(html.contains(says), "{path} does not say `{says}`: {html}");
        bytes = bytes.max(html.len());
    }
    println!("{:<34} {:>10} {:>10} {:>9}", short(name), ms(&mut times, 50), ms(&mut times, 95), bytes);
}

fn short(name: &str) -> String {
    name.chars().take(34).collect()
}

async fn ask(scene: &Scene, session: &str, path: &str) -> String {
    let event = url_event("GET", path, &[("cookie", session.to_owned())], b"");
    let deps = Arc::clone(&scene.house.console);
    let answer: Value = console::handle(&deps, event).await.expect("an answer");
    assert_eq!(answer["statusCode"], 200, "{path}: {answer}");
    answer["body"].as_str().expect("a body").to_owned()
}

/// The rows, moved so that the last one is of the scene's own hour.
async fn load(database: &str, wanted: u64) {
    let log = AuditLog::connect(database).await.expect("a log");
    let last = rows::entry(wanted - 1).occurred_at.as_millisecond();
    let moved = |n: u64| {
        let mut row = rows::entry(n);
        let at = row.occurred_at.as_millisecond() + START_MS - last;
        row.occurred_at = Timestamp::from_millisecond(at).expect("a time");
        row
    };
    let mut n = 0;
    while n < wanted {
        let end = wanted.min(n + BATCH);
        let batch: Vec<Entry> = (n..end).map(moved).collect();
        let nothing = |_: PartRef| async { Ok::<_, Infallible>(None) };
        let results = log.append(&batch, nothing).await.expect("an answer");
        assert!(results.iter().all(|result| matches!(result, AppendResult::Appended(_))), "every row is new");
        n = end;
    }
    let (client, connection) =
        tokio_postgres::connect(database, tokio_postgres::NoTls).await.expect("a connection");
    let analyzed = async {
        let done = client.batch_execute("VACUUM ANALYZE").await;
        drop(client);
        done
    };
    tokio::join!(analyzed, connection).0.expect("analyzed");
}

/// The time that this share lies below, in per cent.
fn ms(times: &mut [Duration], percent: usize) -> String {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    let time = times.get(last * percent / 100).copied().unwrap_or_default();
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
