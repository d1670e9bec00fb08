//! One person's data: seeing it, taking it out. Must never break the chain, nor leave a copy behind.
use crate::append::fresh_salt;
use crate::canonical::person_key;
use crate::error::Error;
use crate::row::{ROW_COLUMNS, ROW_JOINS, Row, row_of, time};
use crate::search::FIRST_SEQ;
use crate::session::AuditLog;
use ledger::Entry;
use serde::Serialize;
use serde_json::{Value, json};
use types::{Actor, Target, Timestamp};

/// The verb of an erasure's entry.
pub(crate) const ERASE_SUBJECT: &str = "erase_subject";
/// The verb of the entry under which old personal halves were taken out.
pub(crate) const RETENTION: &str = "retention";

/// What an erasure took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// The place of the erasure's own entry.
    pub seq: i64,
    /// Entries whose personal half is gone.
    pub entries: u64,
    /// Prompt parts whose bytes are gone.
    pub parts: u64,
}

/// What the log holds about a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Export {
    /// The tool calls about her, in order. Other people may be named in them: black them out before it leaves
    /// the house.
    pub rows: Vec<Row>,
    /// Hashes of the prompts that were sent about her, hex.
    pub prompt_hashes: Vec<String>,
}

/// An erasure that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Erasure {
    /// Its entry.
    pub seq: i64,
    /// The request's id.
    pub request: String,
    /// Entries.
    pub entries: i64,
    /// Prompt parts.
    pub parts: i64,
    /// When.
    pub occurred_at: Timestamp,
    /// By whom.
    pub actor: String,
}

impl AuditLog {
    /// What the log holds about the person.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn export_subject(&self, person: &[String]) -> Result<Export, Error> {
        let people = keys(person);
        let sql = format!(
            "SELECT {ROW_COLUMNS} FROM audit.audit_log v {ROW_JOINS} WHERE v.seq IN (\
             SELECT {FIRST_SEQ} FROM audit.subject s JOIN audit.entry b ON b.seq = s.seq WHERE s.person = \
             ANY ($1)) ORDER BY v.seq"
        );
        let found = self.read("a person's rows", &sql, &[&people]).await?;
        let rows = found.iter().map(row_of).collect::<Result<Vec<_>, _>>()?;
        let prompts = self
            .read(
                "a person's prompts",
                "SELECT DISTINCT encode(e.prompt_hash, 'hex') FROM audit.subject s JOIN audit.entry e ON \
                e.seq = s.seq \
                 WHERE s.person = ANY ($1) AND e.prompt_hash IS NOT NULL ORDER BY 1",
                &[&people],
            )
            .await?;
        Ok(Export { rows, prompt_hashes: prompts.iter().map(|row| row.get(0)).collect() })
    }

    /// The erasures so far, newest first.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn erasures(&self) -> Result<Vec<Erasure>, Error> {
        let rows = self
            .read(
                "erasures",
                "SELECT x.seq, x.request, x.entries, x.parts, (extract(epoch FROM e.occurred_at) * \
                1000000)::int8, \
                 e.actor FROM audit.erasure x JOIN audit.entry e ON e.seq = x.seq \
                 WHERE e.verb = 'erase_subject' ORDER BY x.seq DESC LIMIT 1000",
                &[],
            )
            .await?;
        let erasure = |row: &tokio_postgres::Row| {
            let seq = row.get(0);
            Ok(Erasure {
                seq,
                request: row.get(1),
                entries: row.get(2),
                parts: row.get(3),
                occurred_at: time(row.get(4)).ok_or(Error::Unreadable { seq, column: "occurred_at" })?,
                actor: row.get(5),
            })
        };
        rows.iter().map(erasure).collect()
    }
}

fn keys(person: &[String]) -> Vec<String> {
    person.iter().map(|id| person_key(id)).filter(|id| !id.is_empty()).collect()
}

/// The entry of an erasure, or of a retention. INVARIANT (I27): its commitment covers the list of rows, so no
/// other row can point to it.
pub(crate) fn erasing_entry(
    verb: &str,
    stream: &str,
    target: Target,
    seqs: &[i64],
    by: &Actor,
    at: Timestamp,
) -> Result<Entry, Error> {
    let tag = crate::canonical::hex(&fresh_salt()?);
    Ok(Entry {
        event_no: at.as_millisecond().unsigned_abs(),
        detail: Some(json!({ "erased": ranges(seqs) })),
        ..Entry::new(stream, tag, at, by.clone(), verb, target)
    })
}

/// Sorted places as pairs of first and last.
fn ranges(seqs: &[i64]) -> Vec<(i64, i64)> {
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for seq in seqs {
        match ranges.last_mut() {
            Some((_, last)) if last.saturating_add(1) == *seq => *last = *seq,
            _ => ranges.push((*seq, *seq)),
        }
    }
    ranges
}

/// Does the erasure entry with this `detail` name that place?
pub(crate) fn names(detail: Option<&Value>, seq: i64) -> bool {
    named(detail).iter().any(|(first, last)| (*first..=*last).contains(&seq))
}

/// How many places it names.
pub(crate) fn named_count(detail: Option<&Value>) -> i64 {
    let length = |(first, last): &(i64, i64)| last.saturating_sub(*first).saturating_add(1);
    named(detail).iter().map(length).fold(0, i64::saturating_add)
}

fn named(detail: Option<&Value>) -> Vec<(i64, i64)> {
    let ranges = detail.and_then(|detail| detail.get("erased")).cloned().unwrap_or_default();
    serde_json::from_value(ranges).unwrap_or_default()
}
