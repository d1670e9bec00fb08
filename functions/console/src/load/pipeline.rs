//! Reads HubSpot's stages and the list, side by side. Must never call a stage allowed that is not on the
//! list.
use super::{Inbox, read};
use crate::pages::pipeline::{Pipeline, StageRow, page as page_of};
use crate::route::Visit;
use crate::view::RowView;
use audit_log::Query;
use config::Freshness;
use sight::moment;
use std::time::Duration;
use types::{Stages, Timestamp};
use web::Response;

/// How long a page waits for HubSpot.
const TIMEOUT: Duration = Duration::from_secs(3);

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
    let row = rows.into_iter().find(|row| row.decision == types::EntryState::Applied);
    let changed = row.map(|row| RowView::of(row, people)).map(|row| (row.at, row.actor));
    let Some((at, _)) = &changed else { return (None, None) };
    let since = Query { from: Some(*at), limit: 200, ..Query::default() };
    let used = read(visit.deps, |log| async move { log.search(&since).await }).await;
    let uses = |row: &&audit_log::Row| row.run_id.is_some() && row.config_version.as_deref() == Some(version);
    let first = used.and_then(|page| page.rows.iter().rev().find(uses).map(|row| row.occurred_at));
    (changed, first)
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
