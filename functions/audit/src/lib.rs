//! Carries audit entries from outbox to Postgres, and data requests to their end. Must never acknowledge a
//! row that Postgres does not hold.
//!
//! The stream is the doorbell: it makes rows appear soon. The sweep is the guarantee: a row stays in the
//! outbox until it was appended and acknowledged, however long Postgres is away.

mod checkpoint;
mod error;
mod requests;
mod stream;
mod sweep;
#[cfg(test)]
mod tests;

pub use checkpoint::Checkpointed;
pub use error::{AuditError, StartError};
pub use stream::{BatchItemFailure, StreamAnswer};
pub use sweep::Swept;

use audit_log::{AppendResult, AuditLog, CheckpointKey, CheckpointSigner, Retained};
use config::{Clients, SecretName, Secrets, Settings};
use ledger::{Entry, Ledger, OutboxRow, PartRef};
use serde::Serialize;
use serde_json::Value;
use types::{Actor, Clock, Timestamp};

/// One day.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// What the function works with.
#[derive(Debug)]
pub struct Deps {
    /// The outbox.
    pub ledger: Ledger,
    /// The log.
    pub log: AuditLog,
    /// The log's name in its checkpoints.
    pub origin: String,
    /// Signs checkpoints; none where no key is set.
    pub signer: Option<CheckpointSigner>,
    /// What the last checkpoint may have been signed with: this key, and those before it.
    pub checkpoint_keys: Vec<CheckpointKey>,
    /// How long the personal half of an entry is kept, in days.
    pub retention_days: u32,
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
        let origin = settings.audit_origin();
        let key = secrets.find(SecretName::CheckpointKey).await?;
        let signer = key.map(|key| CheckpointSigner::from_secret_hex(key.expose(), &origin)).transpose()?;
        let old = settings.checkpoint_public_keys.iter().map(|key| CheckpointKey::from_bytes(key, &origin));
        let mut checkpoint_keys = old.collect::<Result<Vec<_>, _>>()?;
        checkpoint_keys.extend(signer.as_ref().map(CheckpointSigner::public));
        Ok(Self {
            ledger: Ledger::new(clients.dynamodb(), &settings.table_prefix, clock),
            log: AuditLog::lazy(database_url.expose())?,
            origin,
            signer,
            checkpoint_keys,
            retention_days: settings.audit_retention_days,
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
    /// To the quarter-hourly schedule.
    Checkpointed(Checkpointed),
    /// To the daily schedule.
    Retained(Retained),
    /// To the operator's command.
    Said(Value),
    /// To the deploy.
    Migrated {
        /// Always true: a migration that failed is an error.
        migrated: bool,
    },
}

/// One invocation: a batch of the outbox's stream, `{"sweep":"outbox"}` each minute, `{"checkpoint":"audit"}`
/// each quarter of an hour, `{"retention":"audit"}` each day, a data request (`{"export":..}`,
/// `{"erase":..}`), or `{"migrate":"audit"}` after a deploy.
///
/// # Errors
/// [`AuditError`]: a payload of another kind, or a store that gave no answer. Nothing is lost: the rows wait.
pub async fn handle(deps: &Deps, event: Value) -> Result<Response, AuditError> {
    let named = |key: &str| event.get(key).and_then(Value::as_str);
    if named("sweep") == Some("outbox") {
        let swept = sweep::sweep(deps).await?;
        Box::pin(requests::sweep(deps)).await;
        return Ok(Response::Swept(swept));
    }
    if named("checkpoint") == Some("audit") {
        return checkpoint::publish(deps).await.map(Response::Checkpointed);
    }
    if named("retention") == Some("audit") {
        return retain(deps).await.map(Response::Retained);
    }
    if named("migrate") == Some("audit") {
        deps.log.migrate().await?;
        return Ok(Response::Migrated { migrated: true });
    }
    if let Some(asked) = event.get("export") {
        return Box::pin(requests::export(deps, asked)).await.map(Response::Said);
    }
    if let Some(asked) = event.get("erase") {
        return Box::pin(requests::erase(deps, asked)).await.map(Response::Said);
    }
    match event.get("Records").and_then(Value::as_array) {
        Some(records) => Ok(Response::Stream(stream::stream(deps, records).await)),
        None => Err(AuditError::Payload),
    }
}

/// Takes the personal half out of entries that are older than the settings say; the database itself refuses
/// to go below its floor.
async fn retain(deps: &Deps) -> Result<Retained, AuditError> {
    let now_ms = deps.ledger.clock().now_ms();
    let kept_ms = i64::from(deps.retention_days).saturating_mul(DAY_MS);
    let before = Timestamp::from_millisecond(now_ms.saturating_sub(kept_ms)).unwrap_or(Timestamp::MIN);
    let by = Actor::System("audit".to_owned());
    let retained = deps.log.retain(before, &by, deps.ledger.clock().now()).await?;
    tracing::info!(
        entries = retained.entries,
        parts = retained.parts,
        "took old personal halves out of the log"
    );
    Ok(retained)
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
    if types::mutant("acknowledged_first") {
        let ids: Vec<String> = entries.iter().map(|entry| entry.entry_id.clone()).collect();
        deps.ledger.acknowledge(&ids).await?;
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
