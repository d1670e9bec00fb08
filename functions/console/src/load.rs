//! What waits for a person, read for every page's menu. Must never fail a page: a silent store is a gap that
//! is named.

pub(crate) mod audit;
pub(crate) mod budgets;
pub(crate) mod data_requests;
pub(crate) mod drafts;
pub(crate) mod examples;
pub(crate) mod pipeline;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod today;
pub(crate) mod tools;
pub(crate) mod waiting;
pub(crate) mod would_have;

use crate::Deps;
use crate::route::Visit;
use crate::view::RowView;
use audit_log::{AuditLog, JudgedFilter, Query};
use interlock::People;
use ledger::{Opened, Run};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use types::{EntryState, Stages, Timestamp};

/// How long a page waits for the log or the tables.
const TIMEOUT: Duration = Duration::from_secs(3);
const DAY_S: i64 = 24 * 60 * 60;
/// How far back refused stages are counted.
const ASKS_DAYS: i64 = 7;
/// What ends a draft.
pub(crate) const DRAFT_ENDS: [&str; 2] = ["draft_sent", "draft_discarded"];

/// A stage that the agent asked for and was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StageAsk {
    pub(crate) stage_id: String,
    pub(crate) times: u64,
}

/// What waits. `None`: the store did not answer.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) drafts: Option<Vec<RowView>>,
    pub(crate) not_judged: Option<u64>,
    pub(crate) asks: Option<Vec<StageAsk>>,
    pub(crate) held: Option<Vec<Run>>,
    pub(crate) checks: Option<Vec<Opened>>,
    pub(crate) outbox: Option<usize>,
}

/// An answer of the log, or nothing when it is away, slow or not set up.
pub(crate) async fn read<'a, T, F>(deps: &'a Deps, ask: impl FnOnce(&'a AuditLog) -> F) -> Option<T>
where
    F: Future<Output = Result<T, audit_log::Error>>,
{
    let log = deps.audit.as_deref()?;
    // Boxed: a page waits for several answers, and each is a large state machine.
    match tokio::time::timeout(TIMEOUT, Box::pin(ask(log))).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the log cannot be read");
            None
        }
        Err(_) => {
            tracing::warn!("the log did not answer in time");
            None
        }
    }
}

/// An answer of the tables, or nothing when they are away or slow.
pub(crate) async fn table<T>(ask: impl Future<Output = Result<T, ledger::LedgerError>>) -> Option<T> {
    match tokio::time::timeout(TIMEOUT, Box::pin(ask)).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the tables cannot be read");
            None
        }
        Err(_) => None,
    }
}

/// `seconds` before.
pub(crate) fn earlier(at: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(at.as_second().saturating_sub(seconds)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// How many rows match, counted up to 1,000.
pub(crate) async fn count(deps: &Deps, query: Query) -> Option<u64> {
    read(deps, |log| async move { log.count(&query).await }).await
}

/// Everything that waits, side by side.
pub(crate) async fn inbox(deps: &Deps, people: Option<&People>, stages: &Stages) -> Inbox {
    let not_judged = Query {
        judged: Some(JudgedFilter::NotYet),
        decisions: vec![EntryState::WouldHave],
        ..Query::default()
    };
    let (drafts, not_judged, asks, held, checks, outbox) = tokio::join!(
        waiting_drafts(deps, people),
        count(deps, not_judged),
        stage_asks(deps, stages),
        table(deps.ledger.held()),
        table(deps.ledger.open_intents("needs_human", i64::MAX)),
        table(deps.ledger.unacknowledged(100)),
    );
    Inbox { drafts, not_judged, asks, held, checks, outbox: outbox.map(|rows| rows.len()) }
}

/// Drafts that nobody sent or threw away, newest first.
async fn waiting_drafts(deps: &Deps, people: Option<&People>) -> Option<Vec<RowView>> {
    // Outbox first: an end that moves from there to the log meanwhile is then seen in at least one of them.
    let outbox = table(deps.ledger.unacknowledged(100)).await.unwrap_or_default();
    let fresh = outbox
        .iter()
        .filter_map(|row| row.entry.as_ref().ok())
        .filter(|entry| DRAFT_ENDS.contains(&entry.verb.as_str()) && entry.state == EntryState::Applied);
    let mut ended: BTreeSet<String> = fresh.filter_map(|entry| draft_named(entry.detail.as_ref())).collect();
    for verb in DRAFT_ENDS {
        let query = Query {
            verb: Some(verb.to_owned()),
            decisions: vec![EntryState::Applied],
            limit: 500,
            ..Query::default()
        };
        let page = read(deps, |log| async move { log.search(&query).await }).await?;
        ended.extend(page.rows.iter().filter_map(|row| draft_named(row.detail.as_ref())));
    }
    // By their verb, so that a log of millions without a draft is not walked to its end.
    let Some(tool) = deps.tools.iter().find(|tool| tool.tier == types::Tier::Irreversible) else {
        return Some(Vec::new());
    };
    let query = Query {
        verb: Some(tool.name.clone()),
        decisions: vec![EntryState::Drafted],
        limit: 200,
        ..Query::default()
    };
    let page = read(deps, |log| async move { log.search(&query).await }).await?;
    let waits = page.rows.into_iter().filter(|row| {
        row.erased_on_request.is_none() && row.intent_id.as_ref().is_some_and(|id| !ended.contains(id))
    });
    Some(waits.map(|row| RowView::of(row, people)).collect())
}

fn draft_named(detail: Option<&serde_json::Value>) -> Option<String> {
    detail?.get("draft")?.as_str().map(str::to_owned)
}

/// The stage that a row moves its deal to, or was asked to.
pub(crate) fn asked_stage(row: &audit_log::Row) -> Option<String> {
    let asked = row.detail.as_ref().and_then(|detail| detail.pointer("/request/stage"));
    asked.and_then(serde_json::Value::as_str).map(str::to_owned).or_else(|| row.to_stage.clone())
}

/// Stages that were asked for in the last week, refused, and are still not allowed.
async fn stage_asks(deps: &Deps, stages: &Stages) -> Option<Vec<StageAsk>> {
    let query = Query {
        verb: Some("set_stage".to_owned()),
        decisions: vec![EntryState::Refused],
        from: Some(earlier(deps.now(), ASKS_DAYS * DAY_S)),
        limit: 500,
        ..Query::default()
    };
    let page = read(deps, |log| async move { log.search(&query).await }).await?;
    let mut times: BTreeMap<String, u64> = BTreeMap::new();
    for row in page.rows.iter().filter(|row| row.reason.as_deref() == Some("stage_not_allowed")) {
        if let Some(stage) = asked_stage(row) {
            let seen = times.entry(stage).or_default();
            *seen = seen.saturating_add(1);
        }
    }
    let allowed = |id: &str| stages.find(id).is_some_and(|rule| rule.agent_may_move_here);
    let mut asks: Vec<StageAsk> = times
        .into_iter()
        .filter(|(stage_id, _)| !allowed(stage_id))
        .map(|(stage_id, times)| StageAsk { stage_id, times })
        .collect();
    asks.sort_by_key(|ask| std::cmp::Reverse(ask.times));
    Some(asks)
}

/// Only the changes that were made: one that failed, or may have, has a second row that says so.
pub(crate) fn made(rows: Vec<audit_log::Row>) -> Vec<audit_log::Row> {
    let ends = [EntryState::Failed, EntryState::Unknown];
    let not: Vec<String> = rows
        .iter()
        .filter(|row| ends.contains(&row.decision))
        .filter_map(|row| row.entry_id.strip_suffix(&format!("-{}", row.decision.code())).map(str::to_owned))
        .collect();
    let made = |row: &audit_log::Row| row.decision == EntryState::Applied && !not.contains(&row.entry_id);
    rows.into_iter().filter(made).collect()
}

/// People and keys.
pub(crate) async fn people(visit: &Visit<'_>) -> web::Response {
    let (frame, _) = visit.framed().await;
    let typed = crate::pages::people::Typed::default();
    crate::pages::people::page(&frame, visit.sight.people.as_ref(), &typed, 200)
}
