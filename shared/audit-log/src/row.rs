//! One row of the log as people read it. Must never show more than the database still holds.
use crate::canonical::hex;
use crate::error::Error;
use crate::judge::{Judged, Judgement};
use serde::Serialize;
use serde_json::Value;
use types::{EntryState, Mode, Tier, Timestamp};

/// One tool call (or one halt, flip, change): the first entry says who did what, the last one how it ended.
/// Texts may be hostile: whoever shows them escapes them. U+0000 is shown as U+FFFD.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its place in the log; stays the same when the outcome comes in.
    pub seq: i64,
    /// `agent:<run>`, `person:<id>`, `system:<part>`.
    pub actor: String,
    /// The tool, or `halt`, `flip`, ...
    pub verb: String,
    /// `deal:4411`; none once erased.
    pub target_id: Option<String>,
    /// What was there.
    pub before: Option<Value>,
    /// What is, or would be, there.
    pub after: Option<Value>,
    /// SHA-256 of the request that the model was sent, hex; see [`crate::AuditLog::prompt_bytes`].
    pub prompt_hash: Option<String>,
    /// The model, as it names itself.
    pub model_version: Option<String>,
    /// When it was called.
    pub occurred_at: Timestamp,
    /// The run.
    pub run_id: Option<String>,
    /// The step in the run.
    pub step: Option<i64>,
    /// The tool's mode then.
    pub mode: Option<Mode>,
    /// The tool's tier.
    pub tier: Option<Tier>,
    /// The state of the last entry.
    pub decision: EntryState,
    /// Why, as a code.
    pub reason: Option<String>,
    /// The hot configuration then.
    pub config_version: Option<String>,
    /// The chain's hash at the last entry, hex.
    pub hash: String,
    /// When the last entry happened.
    pub settled_at: Timestamp,
    /// The place of the last entry.
    pub settled_seq: i64,
    /// The id of the first entry.
    pub entry_id: String,
    /// Joins the entries.
    pub intent_id: Option<String>,
    /// Whose deal.
    pub customer_id: Option<String>,
    /// The stage it leads to, lower case.
    pub to_stage: Option<String>,
    /// The agent's own line, or the person's reason.
    pub because: Option<String>,
    /// Arguments, the exact request, and what else belongs to the row.
    pub detail: Option<Value>,
    /// The request after which its personal data was erased.
    pub erased_on_request: Option<String>,
    /// What a person said of it last.
    pub judgement: Option<Judgement>,
}

/// The select list that [`row_of`] reads, for `FROM audit.audit_log v` with [`ROW_JOINS`].
pub(crate) const ROW_COLUMNS: &str = "v.seq, v.actor, v.verb, v.target_id, v.before::text, v.after::text, \
     v.prompt_hash, \
     v.model_version, (extract(epoch FROM v.occurred_at) * 1000000)::int8, v.run_id, v.step, v.mode, \
     v.tier, v.decision, \
     v.reason, v.config_version, v.hash, (extract(epoch FROM v.settled_at) * 1000000)::int8, \
     v.settled_seq, v.entry_id, \
     v.intent_id, v.customer_id, v.to_stage, v.because, v.detail::text, x.request, j.person, j.judged, \
     j.note, \
     (extract(epoch FROM j.at) * 1000000)::int8";

/// The joins that [`ROW_COLUMNS`] needs.
pub(crate) const ROW_JOINS: &str = "LEFT JOIN audit.erasure x ON x.seq = v.erased_by \
     LEFT JOIN LATERAL (SELECT * FROM audit.judgement y WHERE y.seq = v.seq ORDER BY y.id DESC LIMIT 1) j \
     ON true";

/// Reads one row of [`ROW_COLUMNS`].
pub(crate) fn row_of(row: &tokio_postgres::Row) -> Result<Row, Error> {
    let seq: i64 = row.get(0);
    let bad = |column: &'static str| Error::Unreadable { seq, column };
    let json = |index: usize, column: &'static str| {
        let text: Option<&str> = row.get(index);
        text.map(serde_json::from_str::<Value>).transpose().map_err(|_| bad(column))
    };
    let code = |index: usize| row.get::<_, Option<String>>(index);
    Ok(Row {
        seq,
        actor: row.get(1),
        verb: row.get(2),
        target_id: row.get(3),
        before: json(4, "before")?,
        after: json(5, "after")?,
        prompt_hash: row.get(6),
        model_version: row.get(7),
        occurred_at: time(row.get(8)).ok_or(bad("occurred_at"))?,
        run_id: row.get(9),
        step: row.get(10),
        mode: code(11).map(|c| Mode::from_code(&c).ok_or(bad("mode"))).transpose()?,
        tier: code(12).map(|c| Tier::from_code(&c).ok_or(bad("tier"))).transpose()?,
        decision: EntryState::from_code(row.get(13)).ok_or(bad("state"))?,
        reason: row.get(14),
        config_version: row.get(15),
        hash: row.get(16),
        settled_at: time(row.get(17)).ok_or(bad("occurred_at"))?,
        settled_seq: row.get(18),
        entry_id: row.get(19),
        intent_id: row.get(20),
        customer_id: row.get(21),
        to_stage: row.get(22),
        because: row.get(23),
        detail: json(24, "detail")?,
        erased_on_request: row.get(25),
        judgement: judgement_of(row).map_err(|()| bad("judged"))?,
    })
}

fn judgement_of(row: &tokio_postgres::Row) -> Result<Option<Judgement>, ()> {
    let Some(person) = row.get::<_, Option<String>>(26) else { return Ok(None) };
    let judged = Judged::from_code(row.get(27)).ok_or(())?;
    if judged == Judged::Withdrawn {
        return Ok(None);
    }
    Ok(Some(Judgement { person, judged, note: row.get(28), at: time(row.get(29)).ok_or(())? }))
}

/// A timestamp from microseconds.
pub(crate) fn time(us: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(us).ok()
}

/// A digest column as hex.
pub(crate) fn hex_column(row: &tokio_postgres::Row, index: usize) -> String {
    hex(row.get::<_, &[u8]>(index))
}
