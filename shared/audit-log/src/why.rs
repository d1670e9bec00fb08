//! Answers in one piece: why, what was sent, how many. Must never guess what is not there.
use crate::canonical::{digest_from_hex, hex, sha256};
use crate::error::Error;
use crate::row::{Row, time};
use crate::search::Query;
use crate::session::AuditLog;
use serde::Serialize;
use types::{EntryState, Mode, Tier, Timestamp};

/// Why a deal is in the stage it is in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The row that moved it.
    pub row: Row,
    /// What the run had read before, in order.
    pub reads: Vec<Row>,
    /// The flip that had turned the tool's writes on.
    pub turned_on: Option<Row>,
}

/// One tool on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// `2026-03-09`, in the zone asked for.
    pub day: String,
    /// The tool.
    pub verb: String,
    /// Calls that would have been done.
    pub would_have: i64,
    /// Calls that were done.
    pub applied: i64,
    /// Drafts.
    pub drafted: i64,
    /// Refused by the gate.
    pub refused: i64,
    /// Failed, halted, or still open or unknown.
    pub other: i64,
    /// Would-have rows that somebody judged.
    pub judged: i64,
    /// Those judged as surprising.
    pub surprising: i64,
}

/// Where the log ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// Entries.
    pub entries: i64,
    /// When the last one was appended.
    pub appended_at: Option<Timestamp>,
    /// When the last one had happened.
    pub occurred_at: Option<Timestamp>,
    /// Rows that could not be appended and wait for a person.
    pub parked: i64,
}

/// The bytes of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// What the model was sent, byte for byte: its hash was checked just now.
    Exact(Vec<u8>),
    /// Erased, at least in part.
    Erased,
    /// The log has no prompt with this hash.
    Absent,
    /// The stored bytes do not have this hash: somebody changed them.
    Altered,
}

impl AuditLog {
    /// The last move of the deal (to that stage, in that time), with what led to it. `None`: there is none.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn why(
        &self,
        deal_id: &str,
        to_stage: Option<&str>,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Option<Answer>, Error> {
        let query = Query {
            text: Some(format!("deal:{}", deal_id.strip_prefix("deal:").unwrap_or(deal_id))),
            to_stage: to_stage.map(str::to_owned),
            decisions: vec![EntryState::Applied, EntryState::Unknown],
            from,
            until,
            limit: if to_stage.is_some() { 1 } else { 200 },
            ..Query::default()
        };
        let Some(row) = self.search(&query).await?.rows.into_iter().find(|row| row.to_stage.is_some()) else {
            return Ok(None);
        };
        let reads = match &row.run_id {
            None => Vec::new(),
            Some(run) => {
                let mut rows = self.run(run).await?;
                rows.retain(|read| read.tier == Some(Tier::Read) && read.occurred_at <= row.occurred_at);
                rows
            }
        };
        let flips = Query {
            text: Some(format!("tool:{}", row.verb)),
            verb: Some("flip".to_owned()),
            until: Some(row.occurred_at),
            ..Query::default()
        };
        let turned_on = self.search(&flips).await?.rows.into_iter().find(turns_on);
        Ok(Some(Answer { row, reads, turned_on }))
    }

    /// The exact bytes that the model was sent.
    ///
    /// # Errors
    /// [`Error::Read`] and the connection's errors.
    pub async fn prompt_bytes(&self, hash: &str) -> Result<Prompt, Error> {
        let Some(digest) = digest_from_hex(hash) else { return Ok(Prompt::Absent) };
        let parts = self
            .read(
                "a prompt",
                "SELECT part.bytes FROM audit.prompt p LEFT JOIN audit.prompt_part part ON part.hash = \
                p.part_hash \
                 WHERE p.hash = $1 ORDER BY p.ord",
                &[&digest],
            )
            .await?;
        if parts.is_empty() {
            return Ok(Prompt::Absent);
        }
        let parts: Option<Vec<&[u8]>> = parts.iter().map(|row| row.get(0)).collect();
        let Some(bytes) = parts.map(|parts| parts.concat()) else { return Ok(Prompt::Erased) };
        Ok(if sha256(&bytes) == digest { Prompt::Exact(bytes) } else { Prompt::Altered })
    }

    /// Tool calls per tool and day, oldest day first; `zone` is a name such as `Europe/Berlin`.
    ///
    /// # Errors
    /// [`Error::Read`] (an unknown zone, too) and the connection's errors.
    pub async fn counts(&self, from: Timestamp, until: Timestamp, zone: &str) -> Result<Vec<Count>, Error> {
        let rows = self
            .read(
                "counts",
                "SELECT to_char(e.occurred_at AT TIME ZONE $3::text, 'YYYY-MM-DD') AS day, e.verb, \
                   count(*) FILTER (WHERE e.state = 'would_have'), count(*) FILTER (WHERE e.state = \
                   'applied'), \
                   count(*) FILTER (WHERE e.state = 'drafted'), count(*) FILTER (WHERE e.state = 'refused'), \
                   count(*) FILTER (WHERE e.state IN ('opened', 'failed', 'halted', 'unknown')), \
                   count(*) FILTER (WHERE j.judged <> 'withdrawn'), count(*) FILTER (WHERE j.judged = \
                   'surprising') \
                 FROM audit.entry e LEFT JOIN audit.judgement_now j ON j.seq = (SELECT a.seq FROM \
                 audit.entry a \
                   WHERE a.intent_id = e.intent_id ORDER BY a.occurred_at, a.event_no, a.seq LIMIT 1) \
                 WHERE e.intent_id IS NOT NULL \
                   AND e.occurred_at >= timestamptz 'epoch' + $1::int8 * interval '1 microsecond' \
                   AND e.occurred_at < timestamptz 'epoch' + $2::int8 * interval '1 microsecond' \
                   AND NOT EXISTS (SELECT FROM audit.entry x WHERE x.intent_id = e.intent_id \
                     AND (x.occurred_at, x.event_no, x.seq) > (e.occurred_at, e.event_no, e.seq)) \
                 GROUP BY 1, 2 ORDER BY 1, 2",
                &[&from.as_microsecond(), &until.as_microsecond(), &zone],
            )
            .await?;
        let count = |row: &tokio_postgres::Row| Count {
            day: row.get(0),
            verb: row.get(1),
            would_have: row.get(2),
            applied: row.get(3),
            drafted: row.get(4),
            refused: row.get(5),
            other: row.get(6),
            judged: row.get(7),
            surprising: row.get(8),
        };
        Ok(rows.iter().map(count).collect())
    }

    /// Where the log ends. How far it is behind is known from the outbox's oldest row, not from here.
    ///
    /// # Errors
    /// [`Error::Read`] and the connection's errors.
    pub async fn lag(&self) -> Result<Lag, Error> {
        let rows = self
            .read(
                "the end of the log",
                "SELECT h.seq, (extract(epoch FROM h.appended_at) * 1000000)::int8, \
                   (extract(epoch FROM e.occurred_at) * 1000000)::int8, (SELECT count(*) FROM audit.parked) \
                 FROM audit.head h LEFT JOIN audit.entry e ON e.seq = h.seq",
                &[],
            )
            .await?;
        let row = rows.first();
        let at = |index: usize| row.and_then(|row| row.get::<_, Option<i64>>(index)).and_then(time);
        Ok(Lag {
            entries: row.map_or(0, |row| row.get(0)),
            appended_at: at(1),
            occurred_at: at(2),
            parked: row.map_or(0, |row| row.get(3)),
        })
    }

    /// Rows that could not be appended: entry id, why, SHA-256 of the whole row (hex), oldest first.
    ///
    /// # Errors
    /// [`Error::Read`] and the connection's errors.
    pub async fn parked(&self) -> Result<Vec<(String, String, String)>, Error> {
        let rows = self
            .read(
                "parked rows",
                "SELECT entry_id, why, content FROM audit.parked ORDER BY parked_at, entry_id LIMIT 1000",
                &[],
            )
            .await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1), hex(row.get(2)))).collect())
    }
}

/// Did this flip turn writes on?
fn turns_on(row: &Row) -> bool {
    let live = Mode::Live.code();
    let says_live = |after: &serde_json::Value| {
        after.as_str() == Some(live) || after.get("mode").and_then(serde_json::Value::as_str) == Some(live)
    };
    row.mode == Some(Mode::Live) || row.after.as_ref().is_some_and(says_live)
}
