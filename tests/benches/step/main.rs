//! What containment costs: a step by its parts, halt to quiet, permits on one control item, and a plain loop
//! beside it. Must never be a test: it prints, and asserts only that what it measured is what it says.
//!
//! `cargo bench -p tests --bench step`. All stores are real servers on this machine (a real Redis or Valkey
//! if there is one, Postgres, the DynamoDB protocol over SQLite); HubSpot and the model are stand-ins.
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../it/door.rs"]
mod door;
mod function;
mod permits;
mod plain;
mod quiet;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../it/scene.rs"]
mod scene;
mod steps;
mod tally;
#[path = "../watch.rs"]
mod watch;

use std::time::Duration;
use stores::{DataDir, LocalRedis};

/// A Redis of this run's own.
pub struct Redis {
    pub server: LocalRedis,
    _data: DataDir,
    folder: std::path::PathBuf,
}

impl Redis {
    pub async fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("holdfast-bench-{}", uuid::Uuid::new_v4().simple()));
        let data = DataDir::open_fresh(&folder).expect("a folder for the server");
        let server = stores::redis::start(&data, 0).await.expect("a server");
        Self { server, _data: data, folder }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Best effort: it lies in the machine's own folder for such things.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Microseconds.
pub fn us(duration: Duration) -> u128 {
    duration.as_micros()
}

/// The value that this share of all lies below, in per cent.
pub fn percentile(values: &mut [Duration], percent: usize) -> Duration {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    values.get(last * percent / 100).copied().unwrap_or_default()
}

fn main() {
    // `-- steps quiet` runs only these; cargo's own flags begin with a dash.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name);
    let redis = scene::run(Redis::start());
    println!("flags: {:?}", redis.server.kind());
    if wants("steps") {
        scene::run(steps::run(&redis));
    }
    if wants("quiet") {
        scene::run(quiet::run(&redis));
    }
    if wants("permits") {
        scene::run(permits::run(&redis));
    }
    if wants("plain") {
        scene::run(plain::run(&redis));
    }
}
