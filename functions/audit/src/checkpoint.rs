//! Publishes where the log stands, signed, outside the database. Must never sign what does not follow the
//! last checkpoint.
//!
//! Each one goes into the ledger's table, which the database's owner cannot edit, and the first of a day also
//! to people's channel. Between two of them the new rows are recomputed, so a log that was written anew is
//! not signed but reported.
use crate::{AuditError, DAY_MS, Deps};
use audit_log::{Seal, open_checkpoint};
use ledger::{Notice, StoredCheckpoint};
use serde::Serialize;

/// Rows that one invocation reads at most; the next one goes on from there.
const ROWS: i64 = 100_000;

/// What became of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "checkpoint")]
pub enum Checkpointed {
    /// Signed and stored.
    Published {
        /// Entries it covers.
        size: i64,
        /// The signed note.
        note: String,
    },
    /// Nothing new since the last one.
    Unchanged {
        /// Entries that the last one covers.
        size: i64,
    },
    /// The log is damaged; people were told, nothing was signed beyond the good part.
    Damaged {
        /// The first bad row.
        seq: i64,
        /// What is wrong with it.
        what: String,
    },
    /// This install has no key to sign with.
    NoKey,
}

pub(crate) async fn publish(deps: &Deps) -> Result<Checkpointed, AuditError> {
    let Some(signer) = &deps.signer else {
        tracing::warn!("no `CHECKPOINT_KEY` is set: a cut-off end of the audit log cannot be found");
        return Ok(Checkpointed::NoKey);
    };
    let last = deps.ledger.last_checkpoint().await?;
    let from = last.as_ref().map(|last| trusted(deps, last)).transpose()?;
    let (seal, bad) = deps.log.extend(from.as_ref(), ROWS).await?;
    let seen = from.as_ref().map_or(0, |from| from.point.seq);
    if let Some((seq, damage)) = bad {
        let what = damage.to_string();
        tracing::error!(seq, what, "the audit log is damaged; no checkpoint is signed");
        deps.ledger.report_damage(seq, &what).await?;
        return Ok(Checkpointed::Damaged { seq, what });
    }
    if seal.point.seq == seen {
        return Ok(Checkpointed::Unchanged { size: seen });
    }
    let (size, at_ms) = (seal.point.seq, deps.ledger.clock().now_ms());
    let note = signer.sign(size, &seal.root().ok_or(audit_log::Error::Seal)?);
    let body = serde_json::to_value(&seal).map_err(|_| audit_log::Error::Seal)?;
    let stored = StoredCheckpoint { size, note: note.clone(), seal: body, at_ms };
    let is_new_day = last.is_none_or(|last| last.at_ms.div_euclid(DAY_MS) != at_ms.div_euclid(DAY_MS));
    let notice = is_new_day.then(|| Notice::Checkpoint { note: note.clone() });
    deps.ledger.put_checkpoint(&stored, notice.as_ref()).await?;
    tracing::info!(size, "published a checkpoint of the audit log");
    Ok(Checkpointed::Published { size, note })
}

/// What the last checkpoint goes on from: believed only if our own signature covers it.
// FAIL-CLOSED: an edited row of the ledger would let us sign a log that was written anew.
fn trusted(deps: &Deps, last: &StoredCheckpoint) -> Result<Seal, AuditError> {
    let origin = deps.origin.as_str();
    let note = open_checkpoint(&last.note, &deps.checkpoint_keys, origin)
        .map_err(|fault| AuditError::LastCheckpoint { size: last.size, fault })?;
    let seal: Option<Seal> = serde_json::from_value(last.seal.clone()).ok();
    let seal = seal.filter(|seal| note.size == seal.point.seq && seal.root().as_ref() == Some(&note.root));
    seal.ok_or(AuditError::LastCheckpoint { size: last.size, fault: audit_log::NoteFault::NotACheckpoint })
}
