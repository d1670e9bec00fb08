//! How fast the audit log takes rows, verifies and answers, on a real Postgres with every commit on disk.
//! Must never measure a log that it did not verify.
//!
//! `cargo bench -p tests --bench audit` appends for some seconds in each way, then lets the log grow and asks
//! at each size. `AUDIT_ROWS=10000,100000,1000000` names the sizes (the last is also what is loaded; ten
//! million take some 5 GB and the time that the rate below says).
#[path = "../rows.rs"]
mod rows;

use audit_log::{AppendResult, AuditLog};
use ledger::{Entry, PartRef};
use rows::{ROWS_PER_DEAL, START_S, entry};
use std::convert::Infallible;
use std::time::{Duration, Instant};
use stores::DataDir;
use types::Timestamp;

/// What one writer chain was measured to take before rows went in batches: eight writers, one row each.
const BASELINE: f64 = 290.0;
/// One way of appending is measured for this long.
const SPELL: Duration = Duration::from_secs(5);

fn main() {
    config::install_tls();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = std::env::temp_dir().join(format!("holdfast-bench-audit-{}", std::process::id()));
    runtime.block_on(async {
        let data = DataDir::open_fresh(&folder).expect("a folder");
        let postgres = stores::postgres::start(&data, None).await.expect("a Postgres");
        println!("{}", postgres.describe());
        appends(&postgres).await;
        sizes(&postgres).await;
        postgres.shutdown().await.expect("an orderly end");
        drop(data);
    });
    std::fs::remove_dir_all(&folder).expect("removed");
}

/// The first sizes of the environment, in order.
fn wanted() -> Vec<u64> {
    let text = std::env::var("AUDIT_ROWS").unwrap_or_else(|_| "10000,100000,1000000".to_owned());
    text.split(',').map(|number| number.trim().parse().expect("AUDIT_ROWS: numbers and commas")).collect()
}

async fn fresh(postgres: &stores::LocalPostgres, name: &str) -> String {
    let url = postgres.create_database(name).await.expect("a database");
    AuditLog::connect(&url).await.expect("a log").migrate().await.expect("migrated");
    url
}

async fn put(log: &AuditLog, entries: &[Entry]) {
    let nothing = |_: PartRef| async { Ok::<_, Infallible>(None) };
    let results = log.append(entries, nothing).await.expect("an answer");
    assert!(results.iter().all(|result| matches!(result, AppendResult::Appended(_))), "every row is new");
}

/// Rows a second, by writers and rows of one statement.
async fn appends(postgres: &stores::LocalPostgres) {
    println!("\nappends: writers x rows of one statement, each statement durable before the next");
    println!("{:>8} {:>6} {:>10} {:>12}", "writers", "rows", "rows/s", "of baseline");
    for (nth, (writers, rows)) in
        [(1, 1), (8, 1), (1, 25), (1, 100), (1, 200), (1, 500), (8, 100)].into_iter().enumerate()
    {
        let url = fresh(postgres, &format!("append{nth}")).await;
        let began = Instant::now();
        let mut all = tokio::task::JoinSet::new();
        for writer in 0..writers {
            let url = url.clone();
            all.spawn(async move {
                let log = AuditLog::connect(&url).await.expect("a log");
                let mut n = 0;
                while began.elapsed() < SPELL {
                    let batch: Vec<Entry> = (n..n + rows).map(|i| entry(writer * 100_000_000 + i)).collect();
                    put(&log, &batch).await;
                    n += rows;
                }
                n
            });
        }
        let done: u64 = all.join_all().await.into_iter().sum();
        let rate = per_second(done, began.elapsed());
        println!("{writers:>8} {rows:>6} {rate:>10.0} {:>11.1}x", rate / BASELINE);
        let verified = AuditLog::connect(&url).await.expect("a log").verify().await.expect("verified");
        assert_eq!((verified.entries.unsigned_abs(), verified.first_bad), (done, None));
    }
}

/// The same questions at each size.
async fn sizes(postgres: &stores::LocalPostgres) {
    println!("\nthe log as it grows");
    println!(
        "{:>10} {:>10} {:>12} {:>12} {:>11} {:>11} {:>11} {:>12}",
        "rows", "appends/s", "verify/s", "extend/s", "why", "why, stage", "why, month", "search page"
    );
    let url = fresh(postgres, "sizes").await;
    let log = AuditLog::connect(&url).await.expect("a log");
    let mut rows = 0;
    for size in wanted() {
        let began = Instant::now();
        let added = size - rows;
        while rows < size {
            let end = size.min(rows + 500);
            put(&log, &(rows..end).map(entry).collect::<Vec<_>>()).await;
            rows = end;
        }
        let appended = per_second(added, began.elapsed());
        analyze(&url).await;
        let began = Instant::now();
        let verified = log.verify().await.expect("verified");
        assert_eq!((verified.entries.unsigned_abs(), verified.first_bad), (rows, None));
        let verify = per_second(rows, began.elapsed());
        let began = Instant::now();
        let (seal, bad) = log.extend(None, 50_000).await.expect("extended");
        assert_eq!(bad, None);
        let extend = per_second(seal.edge.size, began.elapsed());
        let [why, stage, month, page] = questions(&log, rows).await;
        println!(
            "{rows:>10} {appended:>10.0} {verify:>12.0} {extend:>12.0} {:>8.2} ms {:>8.2} ms {:>8.2} ms {:>9.2} ms",
            ms(why),
            ms(stage),
            ms(month),
            ms(page)
        );
    }
}

async fn analyze(url: &str) {
    let (client, connection) =
        tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a connection");
    let asked = async {
        let done = client.batch_execute("VACUUM ANALYZE").await;
        drop(client);
        done
    };
    let (done, _) = tokio::join!(asked, connection);
    done.expect("analyzed");
}

/// The median of each question over deals spread across the whole log.
async fn questions(log: &AuditLog, rows: u64) -> [Duration; 4] {
    let deals = (rows / ROWS_PER_DEAL).max(1);
    let (mut why, mut stage, mut month, mut page) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let from = Timestamp::from_second(START_S).expect("a time");
    let until = Timestamp::from_second(START_S + 31 * 86_400).expect("a time");
    for k in 0..40 {
        let deal = (k * 7_919 % deals).to_string();
        let began = Instant::now();
        let answer = log.why(&deal, None, None, None).await.expect("an answer");
        assert!(answer.is_some(), "deal {deal} was moved");
        why.push(began.elapsed());
        let began = Instant::now();
        let answer = log.why(&deal, Some("closedlost"), None, None).await.expect("an answer");
        assert!(answer.is_some(), "deal {deal} was moved there");
        stage.push(began.elapsed());
        let began = Instant::now();
        log.why(&deal, Some("closedlost"), Some(from), Some(until)).await.expect("an answer");
        month.push(began.elapsed());
        let began = Instant::now();
        let query = audit_log::Query { text: Some(format!("deal:{deal}")), ..audit_log::Query::default() };
        assert!(!log.search(&query).await.expect("a page").rows.is_empty());
        page.push(began.elapsed());
    }
    [why, stage, month, page].map(median)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn per_second(rows: u64, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rows = rows as f64;
    rows / time.as_secs_f64()
}
