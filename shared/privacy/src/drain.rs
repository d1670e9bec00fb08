//! The outbox before an erasure: what waits is brought into the log, where the erasure reaches it. Must never
//! acknowledge a row that the log does not hold.
use crate::PrivacyError;
use audit_log::{AppendResult, AuditLog};
use ledger::{Entry, Ledger, PartRef};

/// Rows of one round.
const ROWS: i32 = 200;
/// Rounds, so that a busy install cannot keep one erasure for ever.
const ROUNDS: u32 = 50;

/// Delivers what waits. A row delivered by two at once is appended once.
pub(crate) async fn drain(ledger: &Ledger, log: &AuditLog) -> Result<(), PrivacyError> {
    let mut stuck = 0_i32;
    for _ in 0..ROUNDS {
        let rows = ledger.unacknowledged(ROWS.saturating_add(stuck)).await?;
        let entries: Vec<Entry> = rows.into_iter().filter_map(|row| row.entry.ok()).collect();
        let fetch = |part: PartRef| async move { ledger.part(&part).await };
        let results = log.append(&entries, fetch).await?;
        let held = |result: &AppendResult| match result {
            AppendResult::Appended(_) | AppendResult::Duplicate(_) => true,
            AppendResult::Poison(poison) => poison.is_parked(),
        };
        let (in_log, left): (Vec<_>, Vec<_>) =
            entries.iter().zip(&results).partition(|(_, result)| held(result));
        let ids: Vec<String> = in_log.into_iter().map(|(entry, _)| entry.entry_id.clone()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        // INVARIANT (I25): only now, after the commit in Postgres.
        ledger.acknowledge(&ids).await?;
        stuck = i32::try_from(left.len()).unwrap_or(ROWS);
    }
    Ok(())
}
