//! What is too old leaves the log: the personal half of an entry and the prompts that only such entries name.
//! Must never break the chain, nor take what names an erasure's rows.
use crate::append::{fresh_pads, fresh_salt};
use crate::canonical::{canonical_bytes, column};
use crate::error::Error;
use crate::session::{AuditLog, Role, Session};
use crate::subject::{RETENTION, erasing_entry};
use serde::Serialize;
use serde_json::json;
use types::{Actor, Target, Timestamp};

/// Entries of one transaction, each with an entry of its own that names them.
const ROWS: i32 = 5_000;
/// Transactions of one call; the next one goes on from there.
const ROUNDS: u32 = 200;

/// What a retention took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Retained {
    /// Entries whose personal half is gone.
    pub entries: u64,
    /// Prompt parts whose bytes are gone.
    pub parts: u64,
}

impl AuditLog {
    /// Takes out the personal half of every entry that happened before `before`, under entries of the verb
    /// `retention` that name them. The hashes stay, so the chain verifies as before.
    ///
    /// # Errors
    /// [`Error::Retain`]: no answer, or `before` lies within the 183 days that the database keeps whatever it
    /// is asked; and the connection's errors. What was taken until then stays taken; asking again goes on.
    pub async fn retain(&self, before: Timestamp, by: &Actor, at: Timestamp) -> Result<Retained, Error> {
        let session = self.session(Role::Retainer).await?;
        let mut retained = Retained::default();
        for _ in 0..ROUNDS {
            match retain_once(&session, before, by, at).await {
                Ok(None) => break,
                Ok(Some(more)) => {
                    retained.entries = retained.entries.saturating_add(more.entries);
                    retained.parts = retained.parts.saturating_add(more.parts);
                }
                Err(error) => {
                    if let Error::Retain(fault) = &error {
                        self.forget_dead(Role::Retainer, &session, fault).await;
                    }
                    return Err(error);
                }
            }
        }
        Ok(retained)
    }
}

/// One transaction. `None`: nothing is left that is old enough.
async fn retain_once(
    session: &Session,
    before: Timestamp,
    by: &Actor,
    at: Timestamp,
) -> Result<Option<Retained>, Error> {
    let failed = |error: tokio_postgres::Error| Error::Retain(error.into());
    let before_us = before.as_microsecond();
    let scope = session
        .client
        .query("SELECT audit.retention_scope($1, $2)", &[&before_us, &ROWS])
        .await
        .map_err(failed)?;
    let seqs: Vec<i64> = scope.iter().map(|row| row.get(0)).collect();
    if seqs.is_empty() {
        return Ok(None);
    }
    let request = format!("older-than-{}", before.strftime("%Y-%m-%d"));
    let mut entry = erasing_entry(RETENTION, RETENTION, Target::new("log", &request), &seqs, by, at)?;
    if let Some(detail) = entry.detail.as_mut().and_then(serde_json::Value::as_object_mut) {
        detail.insert("before".to_owned(), json!(before));
    }
    let no = i64::try_from(entry.event_no).unwrap_or(i64::MAX);
    let done = session
        .client
        .query_opt(
            "SELECT parts_erased FROM audit.retain($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            &[
                &before_us,
                &ROWS,
                &seqs,
                &column(&request),
                &entry.entry_id,
                &no,
                &at.as_microsecond(),
                &column(&by.to_string()),
                &column(&entry.target.to_string()),
                &canonical_bytes(&entry)?,
                &fresh_salt()?,
                &fresh_pads()?,
            ],
        )
        .await
        .map_err(failed)?;
    // No row: an erasure took some of them meanwhile. The next round asks again.
    Ok(Some(done.map_or_else(Retained::default, |row| Retained {
        entries: u64::try_from(seqs.len()).unwrap_or(u64::MAX),
        parts: row.get::<_, i64>(0).unsigned_abs(),
    })))
}
