//! Reads HubSpot's stages and the list, side by side. Must never call a stage allowed that is not on the
//! list.
use super::{DAY_S, Inbox, asked_stage, earlier, made, read};
use crate::pages::pipeline::{
    Pipeline, StageRow, Version, WhatIf, page as page_of, versions as versions_page,
};
use crate::pages::problem;
use crate::route::Visit;
use crate::view::RowView;
use audit_log::Query;
use config::Freshness;
use sight::moment;
use std::time::Duration;
use types::{EntryState, Stages, Timestamp};
use web::Response;

/// How long a page waits for HubSpot.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Saved lists a page.
const VERSIONS: u32 = 20;
/// Moves of this many days are held against a new list.
const WEEK_DAYS: i64 = 7;
/// The most of them that are looked at.
const MOVES_MAX: u32 = 2_000;

/// HubSpot's own pipelines, or nothing when it is away or not set up.
pub(crate) async fn hubspot(visit: &Visit<'_>) -> Option<Vec<crm::Pipeline>> {
    let reader = visit.deps.pipelines.as_ref()?;
    match tokio::time::timeout(TIMEOUT, reader.deal_pipelines()).await {
        Ok(Ok(pipelines)) => Some(pipelines),
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "HubSpot's pipelines cannot be read");
            None
        }
        Err(_) => None,
    }
}

/// The page.
pub(crate) async fn page(visit: &Visit<'_>) -> Response {
    let version = visit.hot.as_ref().map(|loaded| loaded.hot.version.clone()).unwrap_or_default();
    let ((frame, inbox), pipelines, (changed, in_force)) =
        tokio::join!(visit.framed(), hubspot(visit), last_change(visit, &version));
    let stages = visit.stages();
    let Inbox { asks, .. } = inbox;
    let view = Pipeline {
        rows: rows(&stages, pipelines.as_deref()),
        version: visit.hot.as_ref().map_or(0, |loaded| loaded.hot.stages_version()),
        asks: asks.unwrap_or_default(),
        hubspot_away: pipelines.is_none(),
        config_away: config_away(visit),
        in_force,
        changed,
    };
    page_of(&frame, &view)
}

fn config_away(visit: &Visit<'_>) -> Option<Option<Timestamp>> {
    match visit.hot.as_ref().map(|loaded| loaded.freshness) {
        Some(Freshness::Fresh) => None,
        Some(Freshness::LastGood { since_ms }) => Some(Some(moment(since_ms))),
        Some(Freshness::Unusable) | None => Some(None),
    }
}

/// Who changed the list last, and when a step was first seen to use it.
async fn last_change(visit: &Visit<'_>, version: &str) -> (Option<(Timestamp, String)>, Option<Timestamp>) {
    let query = Query { verb: Some("set_stages".to_owned()), limit: 5, ..Query::default() };
    let page = read(visit.deps, |log| async move { log.search(&query).await }).await;
    let people = visit.sight.people.as_ref();
    let rows = page.map(|page| page.rows).unwrap_or_default();
    let row = made(rows).into_iter().next();
    let changed = row.map(|row| RowView::of(row, people)).map(|row| (row.at, row.actor));
    let Some((at, _)) = &changed else { return (None, None) };
    let since = Query { from: Some(*at), limit: 200, ..Query::default() };
    let used = read(visit.deps, |log| async move { log.search(&since).await }).await;
    let uses = |row: &&audit_log::Row| row.run_id.is_some() && row.config_version.as_deref() == Some(version);
    let first = used.and_then(|page| page.rows.iter().rev().find(uses).map(|row| row.occurred_at));
    (changed, first)
}

/// The lists as they were saved, newest first.
pub(crate) async fn versions(visit: &Visit<'_>) -> Response {
    let query = Query {
        verb: Some("set_stages".to_owned()),
        limit: VERSIONS,
        cursor: visit.query("after").parse().ok(),
        ..Query::default()
    };
    let ((frame, _), found) =
        tokio::join!(visit.framed(), read(visit.deps, |log| async move { log.search(&query).await }));
    let Some(found) = found else { return visit.problem(problem::CANNOT_READ) };
    let people = visit.sight.people.as_ref();
    let version = |row: audit_log::Row| {
        let labels = allowed_of(&row).into_iter().map(|(label, _)| label).collect();
        let row = RowView::of(row, people);
        Version { seq: row.seq, at: row.at, by: row.actor, labels }
    };
    let next = found.next;
    let rows: Vec<Version> = made(found.rows).into_iter().map(version).collect();
    let saved = visit.fresh().map(config::Hot::stages_version);
    versions_page(&frame, &rows, saved, next)
}

/// Label and id of each stage that a saved list allows.
pub(crate) fn allowed_of(row: &audit_log::Row) -> Vec<(String, String)> {
    let allowed = row.after.as_ref().and_then(|after| after.get("allowed")?.as_array());
    let texts = allowed.into_iter().flatten().filter_map(serde_json::Value::as_str);
    // An id holds no space, so whatever the label is, the last one begins the id.
    let pairs = texts.filter_map(|text| text.strip_suffix(')')?.rsplit_once(" ("));
    pairs.map(|(label, id)| (label.to_owned(), id.to_owned())).collect()
}

/// What last week's moves would have met with another list. `None`: the log is away.
pub(crate) async fn what_if(visit: &Visit<'_>, allowed: &[StageRow]) -> Option<WhatIf> {
    let query = Query {
        verb: Some("set_stage".to_owned()),
        from: Some(earlier(visit.deps.now(), WEEK_DAYS * DAY_S)),
        limit: MOVES_MAX,
        ..Query::default()
    };
    let page = read(visit.deps, |log| async move { log.search(&query).await }).await?;
    let may = |stage: &str| allowed.iter().any(|row| row.id.eq_ignore_ascii_case(stage));
    let mut seen = WhatIf { cut: page.next.is_some(), ..WhatIf::default() };
    for row in &page.rows {
        let Some(stage) = asked_stage(row) else { continue };
        match row.decision {
            EntryState::Applied | EntryState::WouldHave | EntryState::Unknown => {
                seen.moves = seen.moves.saturating_add(1);
                seen.refused = seen.refused.saturating_add(u64::from(!may(&stage)));
            }
            EntryState::Refused if row.reason.as_deref() == Some("stage_not_allowed") => {
                seen.allowed = seen.allowed.saturating_add(u64::from(may(&stage)));
            }
            EntryState::Refused
            | EntryState::Opened
            | EntryState::Drafted
            | EntryState::Failed
            | EntryState::Halted => {}
        }
    }
    Some(seen)
}

/// HubSpot's stages in its order, then what is only on the list.
pub(crate) fn rows(stages: &Stages, pipelines: Option<&[crm::Pipeline]>) -> Vec<StageRow> {
    let mut rows = Vec::new();
    for pipeline in pipelines.unwrap_or_default() {
        for stage in &pipeline.stages {
            let rule = stages.find(&stage.id);
            rows.push(StageRow {
                id: stage.id.clone(),
                label: stage.label.clone(),
                pipeline: pipeline.label.clone(),
                pipeline_id: pipeline.id.clone(),
                allowed: rule.is_some_and(|rule| rule.agent_may_move_here),
                listed: rule.is_some(),
                closed: stage.closed,
                exists: Some(stage.writable && is_plain(&stage.id)),
            });
        }
    }
    let seen = |id: &str, rows: &[StageRow]| rows.iter().any(|row| row.id.eq_ignore_ascii_case(id));
    for rule in &stages.0 {
        if seen(&rule.stage_id, &rows) {
            continue;
        }
        rows.push(StageRow {
            id: rule.stage_id.clone(),
            label: rule.label.clone(),
            pipeline: rule.pipeline_id.clone(),
            pipeline_id: rule.pipeline_id.clone(),
            allowed: rule.agent_may_move_here,
            listed: true,
            closed: rule.closed,
            exists: pipelines.is_some().then_some(false),
        });
    }
    rows
}

/// An id as HubSpot makes them. Another one is shown, and cannot be allowed.
fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}
