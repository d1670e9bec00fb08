//! Reads modes, counts and flips for the tools' pages. Must never guess a mode that the control item did not
//! say.
use super::read;
use crate::pages::problem;
use crate::pages::tool_writes::{Day, ToolWrites, Typed, page as writes_page};
use crate::pages::tools::{ToolRow, Tools, page as page_of};
use crate::route::Visit;
use crate::view::RowView;
use crate::{ToolInfo, days};
use audit_log::{Count, Judged, JudgedFilter, Query};
use sight::moment;
use types::{Mode, Tier};
use web::Response;

/// Days that decide.
const DAYS: i32 = 5;
/// How long two tools that can only partly be undone are kept apart (ms).
const APART_MS: i64 = 24 * 60 * 60 * 1_000;

/// Counts per tool and day of the last five days, today included.
pub(crate) async fn counts(visit: &Visit<'_>) -> Option<Vec<Count>> {
    let (zone, now) = (visit.sight.seen.zone.clone(), visit.deps.now());
    let today = days::date_of(now, &zone);
    let from = days::begins(days::before(today, DAYS.saturating_sub(1)), &zone)?;
    let until = days::ends(today, &zone)?;
    read(visit.deps, |log| async move { log.counts(from, until, zone.name()).await }).await
}

/// The page.
pub(crate) async fn page(visit: &Visit<'_>) -> Response {
    let flips = Query { verb: Some("flip".to_owned()), limit: 20, ..Query::default() };
    let ((frame, _), counts, changes) = tokio::join!(
        visit.framed(),
        counts(visit),
        read(visit.deps, |log| async move { log.search(&flips).await }),
    );
    let people = visit.sight.people.as_ref();
    let mut rows = Vec::new();
    for info in &visit.deps.tools {
        let surprising = if info.acts() { surprising(visit, &info.name).await } else { None };
        rows.push(row(visit, info, counts.as_deref(), surprising));
    }
    let changes = changes.map(|page| page.rows.into_iter().map(|row| RowView::of(row, people)).collect());
    page_of(&frame, &Tools { rows, changes })
}

fn row(visit: &Visit<'_>, info: &ToolInfo, counts: Option<&[Count]>, surprising: Option<u64>) -> ToolRow {
    let control = visit.sight.control.as_ref();
    let people = visit.sight.people.as_ref();
    let of_tool = |counts: &[Count]| {
        let mine = counts.iter().filter(|count| count.verb == info.name);
        mine.fold((0_i64, 0_i64), |(would, did), count| {
            let done = if info.tier == Tier::Irreversible { count.drafted } else { count.applied };
            (would.saturating_add(count.would_have), did.saturating_add(done))
        })
    };
    ToolRow {
        info: info.clone(),
        mode: control.map(|control| control.modes.get(&info.name).copied().unwrap_or_default()),
        since: control
            .and_then(|control| control.mode_changes.get(&info.name))
            .map(|by| (moment(by.at_ms), sight::name_of(&by.by, people))),
        five_days: counts.map(of_tool),
        surprising,
    }
}

/// How many of the last 50 judged rows were surprising.
async fn surprising(visit: &Visit<'_>, tool: &str) -> Option<u64> {
    let query = Query {
        verb: Some(tool.to_owned()),
        judged: Some(JudgedFilter::Judged),
        limit: 50,
        ..Query::default()
    };
    let page = read(visit.deps, |log| async move { log.search(&query).await }).await?;
    let is = |row: &&audit_log::Row| row.judgement.as_ref().is_some_and(|j| j.judged == Judged::Surprising);
    u64::try_from(page.rows.iter().filter(is).count()).ok()
}

/// The page that turns writes on.
pub(crate) async fn writes(visit: &Visit<'_>, name: &str) -> Response {
    writes_with(visit, name, Typed::default(), 200).await
}

/// The same with what was typed before.
pub(crate) async fn writes_with(visit: &Visit<'_>, name: &str, typed: Typed, status: u16) -> Response {
    let Some(info) = visit.deps.acting().find(|tool| tool.name == name) else {
        return visit.problem(problem::NO_SUCH_PAGE);
    };
    let ((frame, _), counts, notes) = tokio::join!(visit.framed(), counts(visit), notes(visit, name));
    let view = ToolWrites {
        name: info.name.clone(),
        days: counts.map(|counts| days_of(visit, name, &counts, &notes)),
        stages_allowed: visit
            .hot
            .as_ref()
            .map(|loaded| loaded.hot.stages.0.iter().filter(|rule| rule.agent_may_move_here).count()),
        recent: recent_flip(visit, info),
        typed,
    };
    writes_page(&frame, &view, status)
}

/// What people wrote about surprising rows, with the row's day.
async fn notes(visit: &Visit<'_>, tool: &str) -> Vec<(String, String)> {
    let zone = visit.sight.seen.zone.clone();
    let query = Query {
        verb: Some(tool.to_owned()),
        judged: Some(JudgedFilter::Surprising),
        limit: 50,
        ..Query::default()
    };
    let page = read(visit.deps, |log| async move { log.search(&query).await }).await;
    let note = |row: audit_log::Row| {
        let note = row.judgement.and_then(|judgement| judgement.note)?;
        Some((days::date_of(row.occurred_at, &zone).to_string(), note))
    };
    page.map(|page| page.rows.into_iter().filter_map(note).collect()).unwrap_or_default()
}

fn days_of(visit: &Visit<'_>, tool: &str, counts: &[Count], notes: &[(String, String)]) -> Vec<Day> {
    let today = days::date_of(visit.deps.now(), &visit.sight.seen.zone);
    let day = |date: jiff::civil::Date| {
        let key = date.to_string();
        let count = counts.iter().find(|count| count.verb == tool && count.day == key);
        Day {
            name: if date == today { "Today".to_owned() } else { days::short(date) },
            would_have: count.map_or(0, |count| count.would_have),
            judged: count.map_or(0, |count| count.judged),
            surprising: count.map_or(0, |count| count.surprising),
            notes: notes
                .iter()
                .filter(|(day, _)| *day == key)
                .map(|(_, note)| note.clone())
                .take(5)
                .collect(),
        }
    };
    days::last(today, DAYS).into_iter().map(day).collect()
}

/// Another tool that was turned on within the last 24 hours, when this one can only partly be undone.
pub(crate) fn recent_flip(visit: &Visit<'_>, info: &ToolInfo) -> Option<String> {
    if info.tier != Tier::SemiReversible {
        return None;
    }
    let control = visit.sight.control.as_ref()?;
    let since = visit.deps.now().as_millisecond().saturating_sub(APART_MS);
    let live = |tool: &str| control.modes.get(tool) == Some(&Mode::Live);
    let recent = control
        .mode_changes
        .iter()
        .find(|(tool, by)| tool.as_str() != info.name && live(tool) && by.at_ms > since);
    recent.map(|(tool, _)| tool.clone())
}
