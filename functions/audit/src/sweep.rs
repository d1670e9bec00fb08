//! What nobody acknowledged is delivered again. Must never stop at a row that will never go in.
use crate::{AuditError, Deps, deliver};
use config::metrics::{self, Metric};
use ledger::OutboxRow;
use serde::Serialize;
use std::collections::BTreeSet;

/// Rows of one round.
const ROWS: i32 = 200;
/// Rounds of one invocation; the next sweep goes on from there.
const ROUNDS: u32 = 25;

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Swept {
    /// Rows that are in the log now.
    pub appended: u64,
    /// Rows that were in the log already.
    pub duplicate: u64,
    /// Rows that cannot go in: kept aside, or unreadable for this build.
    pub poison: u64,
    /// Rows still in the outbox (counted up to one round beyond those that cannot be read).
    pub left: u64,
    /// How long the oldest row had waited when the sweep began (ms).
    pub lag_ms: i64,
}

/// Drains the outbox.
pub(crate) async fn sweep(deps: &Deps) -> Result<Swept, AuditError> {
    let mut swept = Swept { lag_ms: report_lag(deps).await?, ..Swept::default() };
    let mut stuck: BTreeSet<String> = BTreeSet::new();
    // The index may still show what was acknowledged a moment ago.
    let mut done: BTreeSet<String> = BTreeSet::new();
    for round in 0..=ROUNDS {
        // Rows that stay are asked for on top, so that they never fill a round.
        let limit = ROWS.saturating_add(i32::try_from(stuck.len()).unwrap_or(i32::MAX));
        let rows = deps.ledger.unacknowledged(limit).await?;
        let fresh: Vec<OutboxRow> = rows
            .into_iter()
            .filter(|row| !stuck.contains(&row.entry_id) && !done.contains(&row.entry_id))
            .collect();
        if fresh.is_empty() || round == ROUNDS {
            swept.left = count(fresh.len()).saturating_add(count(stuck.len()));
            break;
        }
        let delivered = deliver(deps, &fresh).await?;
        swept.appended = swept.appended.saturating_add(delivered.appended);
        swept.duplicate = swept.duplicate.saturating_add(delivered.duplicate);
        swept.poison = swept.poison.saturating_add(delivered.poison);
        stuck.extend(delivered.stuck);
        done.extend(delivered.acknowledged);
    }
    metrics::count(Metric::OutboxStuck, count(stuck.len()));
    tracing::info!(
        appended = swept.appended,
        duplicate = swept.duplicate,
        poison = swept.poison,
        left = swept.left,
        "swept the outbox"
    );
    Ok(swept)
}

/// How long the oldest row has waited (ms), counted before Postgres is asked: the alarm looks at it, and
/// Postgres may be what is away.
async fn report_lag(deps: &Deps) -> Result<i64, AuditError> {
    let oldest = deps.ledger.oldest_unacknowledged_ms().await?;
    let lag_ms = oldest.map_or(0, |at_ms| deps.ledger.clock().now_ms().saturating_sub(at_ms).max(0));
    metrics::count(Metric::OutboxLagMs, u64::try_from(lag_ms).unwrap_or(0));
    tracing::info!(lag_ms, "how long the oldest audit row has waited");
    Ok(lag_ms)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
