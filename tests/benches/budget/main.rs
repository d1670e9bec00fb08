//! How reservations on one day's row stand more and more callers, over the embedded store. Must never be read
//! as a speed of DynamoDB: what carries over is the growth, and how often a caller had to ask again.
//!
//! `cargo bench -p tests --bench budget`
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use budget::{Ask, Budget, Reserve, Used};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use stores::{DataDir, dynamo};
use tokio::task::JoinSet;
use types::{AttemptId, Caps, Clock, Epoch, RunId, UsdNanos};

const CALLERS: [usize; 5] = [1, 4, 16, 64, 256];
/// Reservations of a row of the table, settled each.
const RESERVATIONS: usize = 256;
const USD: UsdNanos = UsdNanos(1_000_000);

/// One caller's share; how often it had to ask again.
async fn calls(budget: Budget, clock: Clock, run_id: RunId, share: usize, asked: Arc<AtomicUsize>) -> usize {
    let mut again = 0;
    for _ in 0..share {
        loop {
            let ask = Ask {
                run_id: run_id.clone(),
                attempt_id: AttemptId::new(format!("a-{}", asked.fetch_add(1, Ordering::SeqCst))).unwrap(),
                tokens: 10,
                usd: USD,
                epoch: Epoch(1),
                deadline_ms: clock.now_ms() + 60_000,
                zone: "Europe/Amsterdam".to_owned(),
                usd_per_day: Some(UsdNanos(i64::MAX / 2)),
                seen: None,
            };
            match budget.reserve(ask).await {
                Ok(Reserve::Reserved(reservation)) => {
                    let used = Used { tokens: 5, usd: UsdNanos(USD.0 / 2) };
                    let _settled = budget.settle(reservation, used).await.unwrap();
                    break;
                }
                Ok(other) => panic!("{other:?}"),
                Err(_) => again += 1,
            }
        }
    }
    again
}

/// So many callers, each with a run of its own, on one day: seconds, and how often they asked again.
async fn measure(endpoint: &str, callers: usize) -> (f64, usize) {
    // A store that is busy is no silent one here: whoever waits, waits.
    let usual = dynamo::client(endpoint);
    let patient = usual.config().to_builder().timeout_config(TimeoutConfig::disabled()).build();
    let client = aws_sdk_dynamodb::Client::from_conf(patient);
    let prefix = format!("bench-{callers}-");
    dynamo::create_tables(&client, &prefix).await.unwrap();
    let clock = Clock::system();
    let budget = Budget::new(client, format!("{prefix}budget"), clock.clone());
    let caps = Caps { tokens_per_run: 1_000_000_000, ..Caps::default() };
    let mut runs = Vec::new();
    for i in 0..callers {
        let run_id = RunId::new(format!("r-{i}")).unwrap();
        budget.open_run(&run_id, &caps, Epoch(1)).await.unwrap();
        runs.push(run_id);
    }
    let asked = Arc::new(AtomicUsize::new(0));
    // The day is open before the clock runs.
    calls(budget.clone(), clock.clone(), runs[0].clone(), 1, Arc::clone(&asked)).await;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for run_id in runs {
        let asked = Arc::clone(&asked);
        tasks.spawn(calls(budget.clone(), clock.clone(), run_id, RESERVATIONS / callers, asked));
    }
    let again = tasks.join_all().await.into_iter().sum();
    let seconds = began.elapsed().as_secs_f64();
    let day = budget.day("Europe/Amsterdam").await.unwrap().unwrap();
    let spent = UsdNanos(USD.0 / 2 * i64::try_from(RESERVATIONS + 1).unwrap());
    assert_eq!((day.spent, day.pending), (spent, UsdNanos::ZERO), "every reservation ended, and once");
    (seconds, again)
}

fn main() {
    let folder = std::env::temp_dir().join(format!("holdfast-bench-budget-{}", std::process::id()));
    let data = DataDir::open_fresh(&folder).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = dynamo::start(&data, 0, dynamo::Expiry::Never).await.unwrap();
        println!("{RESERVATIONS} reservations and settlements on one day's row, embedded store");
        println!("callers  a second  to one caller  asked again");
        let mut alone = None;
        for callers in CALLERS {
            let (seconds, again) = measure(store.endpoint(), callers).await;
            let rate = RESERVATIONS as f64 / seconds;
            let to_one = rate / *alone.get_or_insert(rate);
            let share = again as f64 / RESERVATIONS as f64;
            println!("{callers:>7}  {rate:>8.0}  {to_one:>13.2}  {share:>11.3}");
        }
        store.shutdown().await;
    });
    drop(data);
    std::fs::remove_dir_all(&folder).unwrap();
}
