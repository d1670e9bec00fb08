//! Carries audit entries from outbox to Postgres. Must never acknowledge a row that Postgres does not hold.
//!
//! The stream is the doorbell: it makes rows appear soon. The sweep is the guarantee: a row stays in the
//! outbox until it was appended and acknowledged, however long Postgres is away.

mod error;
mod stream;
mod sweep;
#[cfg(test)]
mod tests;

pub use error::{AuditError, StartError};
pub use stream::{BatchItemFailure, StreamAnswer};
pub use sweep::Swept;

use audit_log::{AppendResult, AuditLog};
use config::{Clients, SecretName, Secrets, Settings};
use ledger::{Entry, Ledger, OutboxRow, PartRef};
use serde::Serialize;
use serde_json::Value;
use types::Clock;

/// What the function works with.
#[derive(Debug)]
pub struct Deps {
    /// The outbox.
    pub ledger: Ledger,
    /// The log.
    pub log: AuditLog,
}

impl Deps {
    /// As the environment says. Postgres is not asked: it may be away, and the outbox waits.
    ///
    /// # Errors
    /// Settings that cannot be read, with every problem named.
    pub async fn from_env() -> Result<Self, lambda_runtime::Error> {
        let settings = Settings::from_env()?;
        let clients = Clients::new(&settings).await;
        Ok(Self::from_settings(&settings, &clients, Clock::system()).await?)
    }

    /// The same from settings that were read already.
    ///
    /// # Errors
    /// [`StartError`] when the database's address is missing or wrong.
    pub async fn from_settings(
        settings: &Settings,
        clients: &Clients,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let secrets = Secrets::new(settings, clients.ssm(), clock.clone());
        let database_url = secrets.get(SecretName::DatabaseUrl).await?;
        Ok(Self {
            ledger: Ledger::new(clients.dynamodb(), &settings.table_prefix, clock),
            log: AuditLog::lazy(database_url.expose())?,
        })
    }
}

/// What an invocation answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Response {
    /// To the outbox's stream.
    Stream(StreamAnswer),
    /// To the schedule.
    Swept(Swept),
    /// To the deploy.
    Migrated {
        /// Always true: a migration that failed is an error.
        migrated: bool,
    },
}

/// One invocation: a batch of the outbox's stream, `{"sweep":"outbox"}`, or `{"migrate":"audit"}` after a
/// deploy.
///
/// # Errors
/// [`AuditError`]: a payload of another kind, or a store that gave no answer. Nothing is lost: the rows wait.
pub async fn handle(deps: &Deps, event: Value) -> Result<Response, AuditError> {
    let named = |key: &str| event.get(key).and_then(Value::as_str);
    if named("sweep") == Some("outbox") {
        return sweep::sweep(deps).await.map(Response::Swept);
    }
    if named("migrate") == Some("audit") {
        deps.log.migrate().await?;
        return Ok(Response::Migrated { migrated: true });
    }
    match event.get("Records").and_then(Value::as_array) {
        Some(records) => Ok(Response::Stream(stream::stream(deps, records).await)),
        None => Err(AuditError::Payload),
    }
}

/// What became of some outbox rows.
#[derive(Debug, Default)]
struct Delivered {
    appended: u64,
    duplicate: u64,
    /// Kept aside in the log, or left in the outbox: see `stuck`.
    poison: u64,
    /// Ids of rows that stay in the outbox, because this build cannot read them.
    stuck: Vec<String>,
    /// Ids of rows that were acknowledged.
    acknowledged: Vec<String>,
}

/// Appends the rows, then acknowledges what Postgres holds.
async fn deliver(deps: &Deps, rows: &[OutboxRow]) -> Result<Delivered, AuditError> {
    let mut delivered = Delivered::default();
    let mut entries: Vec<Entry> = Vec::with_capacity(rows.len());
    for row in rows {
        match &row.entry {
            Ok(entry) => entries.push(entry.clone()),
            Err(why) => {
                // FAIL-CLOSED: left where it is, for a build that can read it. It blocks nothing.
                tracing::error!(entry_id = row.entry_id, why, "an outbox row cannot be read");
                delivered.poison = delivered.poison.saturating_add(1);
                delivered.stuck.push(row.entry_id.clone());
            }
        }
    }
    let fetch = |part: PartRef| async move { deps.ledger.part(&part).await };
    let results = deps.log.append(&entries, fetch).await?;
    for (entry, result) in entries.iter().zip(results) {
        let (count, held) = match &result {
            AppendResult::Appended(_) => (&mut delivered.appended, true),
            AppendResult::Duplicate(_) => (&mut delivered.duplicate, true),
            AppendResult::Poison(poison) => (&mut delivered.poison, poison.is_parked()),
        };
        *count = count.saturating_add(1);
        let ids = if held { &mut delivered.acknowledged } else { &mut delivered.stuck };
        ids.push(entry.entry_id.clone());
    }
    // INVARIANT (I25): only now, after the commit in Postgres.
    deps.ledger.acknowledge(&delivered.acknowledged).await?;
    Ok(delivered)
}
