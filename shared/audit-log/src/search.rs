//! Finding rows by deal, customer, person or run. Must never walk the whole log for a deal.
use crate::canonical::{column, person_key};
use crate::error::Error;
use crate::row::{ROW_COLUMNS, ROW_JOINS, Row, row_of};
use crate::session::AuditLog;
use serde::Serialize;
use tokio_postgres::types::ToSql;
use types::{Actor, EntryState, Timestamp};

/// Most rows of one page.
const LIMIT_MAX: u32 = 10_000;
/// Where counting stops.
const COUNT_MAX: i64 = 1_000;
/// What a bare id may be the id of.
const TARGET_KINDS: [&str; 9] =
    ["deal", "customer", "contact", "person", "tool", "event", "config", "run", "request"];
/// The call's first entry, once per call.
const FIRST_OF_ITS_CALL: &str = "(e.intent_id IS NULL OR NOT EXISTS (SELECT FROM audit.entry x \
     WHERE x.intent_id = e.intent_id \
     AND (x.occurred_at, x.event_no, x.seq) < (e.occurred_at, e.event_no, e.seq)))";
/// The place of the first entry of the call that entry `b` belongs to.
pub(crate) const FIRST_SEQ: &str = "coalesce((SELECT a.seq FROM audit.entry a WHERE a.intent_id = \
     b.intent_id \
     ORDER BY a.occurred_at, a.event_no, a.seq LIMIT 1), b.seq)";
/// Entry `b` is the last one of its call.
const LAST_OF_ITS_CALL: &str = "(b.intent_id IS NULL OR NOT EXISTS (SELECT FROM audit.entry x \
     WHERE x.intent_id = b.intent_id \
     AND (x.occurred_at, x.event_no, x.seq) > (b.occurred_at, b.event_no, b.seq)))";
/// How the call of entry `e` ended.
const LAST_STATE: &str = "coalesce((SELECT x.state FROM audit.entry x WHERE x.intent_id = e.intent_id \
     ORDER BY x.occurred_at DESC, x.event_no DESC, x.seq DESC LIMIT 1), e.state)";

/// What to look for; everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// A deal, customer, contact or run id, a mail address, or a whole target (`deal:4411`).
    pub text: Option<String>,
    /// Who did it.
    pub actor: Option<Actor>,
    /// The tool, or `halt`, `flip`, ...
    pub verb: Option<String>,
    /// How it ended: any of these; empty means any.
    pub decisions: Vec<EntryState>,
    /// The stage it leads to (any letter case).
    pub to_stage: Option<String>,
    /// The customer.
    pub customer_id: Option<String>,
    /// What people said of it.
    pub judged: Option<JudgedFilter>,
    /// Called at or after.
    pub from: Option<Timestamp>,
    /// Called before.
    pub until: Option<Timestamp>,
    /// Rows a page; 0 means 25.
    pub limit: u32,
    /// [`Page::next`] of the page before.
    pub cursor: Option<i64>,
}

impl Query {
    /// How few calls end: then their last entries, which an index holds, are walked, and each leads to its
    /// call. `None`: the log is walked from its newest call back, or from what another condition finds.
    fn rare_ends(&self) -> Option<String> {
        let is_rare = |state: &EntryState| match state {
            EntryState::WouldHave
            | EntryState::Refused
            | EntryState::Drafted
            | EntryState::Failed
            | EntryState::Unknown => true,
            EntryState::Opened | EntryState::Applied | EntryState::Halted => false,
        };
        // A term, a day and a judgement find fewer rows than an end does.
        let by_end = self.text.as_deref().is_none_or(|text| text.trim().is_empty())
            && self.until.is_none()
            && matches!(self.judged, None | Some(JudgedFilter::NotYet));
        if !by_end || self.decisions.is_empty() || !self.decisions.iter().all(is_rare) {
            return None;
        }
        // As literals: the indexes hold these states alone, and a value could be any.
        let codes: Vec<String> = self.decisions.iter().map(|state| format!("'{}'", state.code())).collect();
        Some(codes.join(", "))
    }
}

/// Filter by judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JudgedFilter {
    /// Nobody said anything, or took it back.
    NotYet,
    /// Judged, either way.
    Judged,
    /// Judged as expected.
    Expected,
    /// Judged as surprising.
    Surprising,
}

/// Rows, newest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// The cursor of the next page, if there is one.
    pub next: Option<i64>,
}

/// SQL in the making: conditions and their values.
#[derive(Default)]
pub(crate) struct Conditions {
    sql: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Conditions {
    /// Adds a condition; `?` stands for the value.
    fn with(&mut self, sql: &str, value: impl ToSql + Sync + Send + 'static) {
        self.values.push(Box::new(value));
        self.sql.push(sql.replace('?', &format!("${}", self.values.len())));
    }

    pub(crate) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| -> &(dyn ToSql + Sync) { value.as_ref() }).collect()
    }

    fn text(&self) -> String {
        self.sql.join(" AND ")
    }
}

impl AuditLog {
    /// One page of rows, newest first.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Unreadable`] and the connection's errors.
    pub async fn search(&self, query: &Query) -> Result<Page, Error> {
        let limit = if query.limit == 0 { 25 } else { query.limit.min(LIMIT_MAX) };
        let mut walk = walk(query);
        walk.since(query);
        if let Some(cursor) = query.cursor {
            walk.conditions.with(&format!("{}.seq < ?", walk.along), cursor);
        }
        walk.conditions.values.push(Box::new(i64::from(limit) + 1));
        let sql = format!(
            "SELECT {ROW_COLUMNS} FROM audit.audit_log v {ROW_JOINS} WHERE v.seq = ANY (ARRAY(\
             SELECT e.seq {} ORDER BY {}.seq DESC LIMIT ${})) ORDER BY v.{} DESC",
            walk.text(),
            walk.along,
            walk.conditions.values.len(),
            walk.place(),
        );
        let found = self.read("rows", &sql, &walk.conditions.values()).await?;
        let mut rows = found.iter().map(row_of).collect::<Result<Vec<_>, _>>()?;
        let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        if more {
            rows.pop();
        }
        let place = |row: &Row| if walk.along == "b" { row.settled_seq } else { row.seq };
        let next = if more { rows.last().map(place) } else { None };
        Ok(Page { rows, next })
    }

    /// How many rows match, wherever a page is; counted up to 1,000.
    ///
    /// # Errors
    /// [`Error::Read`] and the connection's errors.
    pub async fn count(&self, query: &Query) -> Result<u64, Error> {
        let mut walk = walk(query);
        walk.since(query);
        self.counted(&walk).await
    }

    /// How many rows match but lie before `from` (counted up to 1,000); 0 where no `from` is given.
    ///
    /// # Errors
    /// As [`Self::count`].
    pub async fn older(&self, query: &Query) -> Result<u64, Error> {
        let Some(from) = query.from else { return Ok(0) };
        let mut walk = walk(query);
        walk.conditions.with(&at("e.occurred_at <"), from.as_microsecond());
        self.counted(&walk).await
    }

    async fn counted(&self, walk: &Walk) -> Result<u64, Error> {
        let sql = format!(
            "SELECT count(*) FROM (SELECT {} ORDER BY {}.seq DESC LIMIT {COUNT_MAX}) o",
            walk.text(),
            walk.along
        );
        let found = self.read("a count of rows", &sql, &walk.conditions.values()).await?;
        Ok(found.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    }

    /// The would-have log: [`Self::search`] with the decision fixed.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn would_have(&self, query: &Query) -> Result<Page, Error> {
        self.search(&Query { decisions: vec![EntryState::WouldHave], ..query.clone() }).await
    }

    /// Every row of a run, in order.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn run(&self, run_id: &str) -> Result<Vec<Row>, Error> {
        let sql = format!(
            "SELECT {ROW_COLUMNS} FROM audit.audit_log v {ROW_JOINS} WHERE v.run_id = $1 ORDER BY \
            v.occurred_at, v.seq"
        );
        let found = self.read("a run", &sql, &[&column(run_id)]).await?;
        found.iter().map(row_of).collect()
    }

    /// One row, by its place.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn row(&self, seq: i64) -> Result<Option<Row>, Error> {
        let sql = format!("SELECT {ROW_COLUMNS} FROM audit.audit_log v {ROW_JOINS} WHERE v.seq = $1");
        self.read("a row", &sql, &[&seq]).await?.first().map(row_of).transpose()
    }
}

/// A comparison with a time given in microseconds, so that the column stays bare and its index usable.
fn at(comparison: &str) -> String {
    format!("{comparison} timestamptz 'epoch' + ?::int8 * interval '1 microsecond'")
}

/// What is walked, newest first, and what must hold of each call `e` on the way.
pub(crate) struct Walk {
    /// The entry whose place in the log gives the order: the call's first (`e`) or its last (`b`).
    pub(crate) along: &'static str,
    from: String,
    pub(crate) conditions: Conditions,
}

impl Walk {
    /// Nothing from before `from`: neither the call nor, being later, its end.
    fn since(&mut self, query: &Query) {
        let Some(from) = query.from else { return };
        self.conditions.with(&at("e.occurred_at >="), from.as_microsecond());
        if self.along == "b" {
            self.conditions.with(&at("b.occurred_at >="), from.as_microsecond());
        }
    }

    pub(crate) fn text(&self) -> String {
        format!("{} WHERE {}", self.from, self.conditions.text())
    }

    /// The view's column for the place in the log.
    fn place(&self) -> &'static str {
        if self.along == "b" { "settled_seq" } else { "seq" }
    }
}

pub(crate) fn walk(query: &Query) -> Walk {
    let Some(ends) = query.rare_ends() else {
        let mut conditions = conditions(query);
        conditions.sql.push(FIRST_OF_ITS_CALL.to_owned());
        if !query.decisions.is_empty() {
            let codes: Vec<&str> = query.decisions.iter().map(|state| state.code()).collect();
            conditions.with(&format!("{LAST_STATE} = ANY (?)"), codes);
        }
        return Walk { along: "e", from: "FROM audit.entry e".to_owned(), conditions };
    };
    let mut conditions = conditions(query);
    conditions.sql.push(format!("b.state IN ({ends}) AND {LAST_OF_ITS_CALL}"));
    // OFFSET 0: one call after the other, or the planner reads every entry to join them at once.
    let from = format!(
        "FROM audit.entry b CROSS JOIN LATERAL (SELECT f.* FROM audit.entry f WHERE f.seq = {FIRST_SEQ} \
         OFFSET 0) e"
    );
    Walk { along: "b", from, conditions }
}

/// A condition on the erasable half.
/// WHY NOT a join: where nothing is asked of that half, a planner that expects few rows reads all of it.
fn of_payload(column: &str) -> String {
    format!("e.seq IN (SELECT p.seq FROM audit.payload p WHERE p.{column} = ?)")
}

fn conditions(query: &Query) -> Conditions {
    let mut all = Conditions::default();
    if let Some(text) = query.text.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        let ids = Ids::of(text);
        // One search term, four meanings, each with its own index.
        all.values.push(Box::new(ids.targets));
        all.values.push(Box::new(ids.bare));
        all.values.push(Box::new(ids.persons));
        all.sql.push(format!(
            "e.seq IN (SELECT seq FROM audit.payload WHERE target_id = ANY ($1) \
             UNION SELECT seq FROM audit.payload WHERE customer_id = ANY ($2) \
             UNION SELECT seq FROM audit.entry WHERE run_id = ANY ($2) \
             UNION SELECT {FIRST_SEQ} \
             FROM audit.subject s JOIN audit.entry b ON b.seq = s.seq WHERE s.person = ANY ($3))"
        ));
    }
    if let Some(actor) = &query.actor {
        all.with("e.actor = ?", column(&actor.to_string()));
    }
    if let Some(verb) = &query.verb {
        all.with("e.verb = ?", column(verb));
    }
    if let Some(stage) = &query.to_stage {
        all.with(&of_payload("to_stage"), column(&stage.to_lowercase()));
    }
    if let Some(customer) = &query.customer_id {
        all.with(&of_payload("customer_id"), column(customer));
    }
    if let Some(until) = query.until {
        all.with(&at("e.occurred_at <"), until.as_microsecond());
    }
    if let Some(judged) = query.judged {
        all.sql.push(judged_condition(judged).to_owned());
    }
    all
}

const fn judged_condition(filter: JudgedFilter) -> &'static str {
    match filter {
        JudgedFilter::NotYet => {
            "coalesce((SELECT judged FROM audit.judgement j WHERE j.seq = e.seq ORDER BY j.id DESC LIMIT \
            1), 'withdrawn') \
             = 'withdrawn'"
        }
        JudgedFilter::Judged => {
            "e.seq IN (SELECT seq FROM audit.judgement) AND (SELECT judged FROM audit.judgement j WHERE j.seq = e.seq ORDER BY j.id DESC LIMIT 1) <> \
            'withdrawn'"
        }
        JudgedFilter::Expected => {
            "e.seq IN (SELECT seq FROM audit.judgement) AND (SELECT judged FROM audit.judgement j WHERE j.seq = e.seq ORDER BY j.id DESC LIMIT 1) = \
            'expected'"
        }
        JudgedFilter::Surprising => {
            "e.seq IN (SELECT seq FROM audit.judgement) AND (SELECT judged FROM audit.judgement j WHERE j.seq = e.seq ORDER BY j.id DESC LIMIT 1) = \
            'surprising'"
        }
    }
}

/// What one search term may mean.
struct Ids {
    targets: Vec<String>,
    bare: Vec<String>,
    persons: Vec<String>,
}

impl Ids {
    fn of(text: &str) -> Self {
        let text = column(text);
        let (kind, bare) = text.split_once(':').unwrap_or(("", &text));
        let mut targets = vec![text.clone()];
        if kind.is_empty() {
            targets.extend(TARGET_KINDS.iter().map(|kind| format!("{kind}:{text}")));
        }
        let persons = vec![person_key(&text), person_key(bare), format!("contact:{}", person_key(bare))];
        // `deal:4411` asks for a deal, not for the customer with the same number.
        let bare = match kind {
            "" | "customer" | "run" => vec![text.clone(), bare.to_owned()],
            _ => vec![text.clone()],
        };
        Self { targets, bare, persons }
    }
}
