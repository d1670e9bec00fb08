//! Reads modes, counts and flips for the tools' pages. Must never guess a mode that the control item did not
//! say.
use super::read;
use crate::pages::chart::{ToolDay, ToolDays};
use crate::pages::problem;
use crate::pages::tool_writes::{Day, ToolWrites, Typed, page as writes_page};
use crate::pages::tools::{LimitTyped, ToolRow, Tools, page as page_of};
use crate::route::Visit;
use crate::view::RowView;
use crate::{ToolInfo, days};
use audit_log::{Count, Judged, JudgedFilter, Query};
use sight::moment;
use types::{Mode, Tier};
use web::Response;

/// Days that decide.
pub(crate) const FIVE: i32 = 5;
/// Days of the long chart.
const MONTH: i32 = 30;
/// How long two tools that can only partly be undone are kept apart (ms).
const APART_MS: i64 = 24 * 60 * 60 * 1_000;

/// Counts per tool and day of the last five days, today included.
pub(crate) async fn counts(visit: &Visit<'_>) -> Option<Vec<Count>> {
    counts_of(visit, FIVE).await
}

async fn counts_of(visit: &Visit<'_>, back: i32) -> Option<Vec<Count>> {
    let (zone, now) = (visit.sight.seen.zone.clone(), visit.deps.now());
    let today = days::date_of(now, &zone);
    let from = days::begins(days::before(today, back.saturating_sub(1)), &zone)?;
    let until = days::ends(today, &zone)?;
    read(visit.deps, |log| async move { log.counts(from, until, zone.name()).await }).await
}

/// The page.
pub(crate) async fn page(visit: &Visit<'_>) -> Response {
    page_with(visit, LimitTyped::default(), 200).await
}

/// The same with what was typed before.
pub(crate) async fn page_with(visit: &Visit<'_>, typed: LimitTyped, status: u16) -> Response {
    let back = if visit.query("days") == "30" { MONTH } else { FIVE };
    let flips = Query { verb: Some("flip".to_owned()), limit: 20, ..Query::default() };
    let ((frame, _), counts, changes, limit) = tokio::join!(
        visit.framed(),
        counts_of(visit, back),
        read(visit.deps, |log| async move { log.search(&flips).await }),
        visit.deps.interlock.surprise_limit(),
    );
    let today = days::date_of(visit.deps.now(), &visit.sight.seen.zone);
    let five: Option<Vec<Count>> = counts.as_ref().map(|counts| last_five(counts, today));
    let people = visit.sight.people.as_ref();
    let mut rows = Vec::new();
    for info in &visit.deps.tools {
        let surprising = if info.acts() { surprising(visit, &info.name).await } else { None };
        rows.push(row(visit, info, five.as_deref(), surprising));
    }
    let changes = changes.map(|page| page.rows.into_iter().map(|row| RowView::of(row, people)).collect());
    let tools: Option<Vec<ToolDays>> = counts.map(|counts| tool_days(visit, &counts, today, back));
    let view = Tools { rows, changes, tools, long: back == MONTH, limit: limit.ok(), typed };
    page_of(&frame, &view, status)
}

fn last_five(counts: &[Count], today: jiff::civil::Date) -> Vec<Count> {
    let from = days::before(today, FIVE.saturating_sub(1)).to_string();
    counts.iter().filter(|count| count.day >= from).cloned().collect()
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
pub(crate) async fn surprising(visit: &Visit<'_>, tool: &str) -> Option<u64> {
    let query = Query {
        verb: Some(tool.to_owned()),
        judged: Some(JudgedFilter::Judged),
        limit: interlock::SURPRISE_WINDOW,
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
        no_log: visit.deps.audit.is_none(),
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
    days::last(today, FIVE).into_iter().map(day).collect()
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

/// Each acting tool's last days, oldest first.
pub(crate) fn tool_days(
    visit: &Visit<'_>,
    counts: &[Count],
    today: jiff::civil::Date,
    back: i32,
) -> Vec<ToolDays> {
    let day_of = |tool: &str, date: jiff::civil::Date| {
        let key = date.to_string();
        let count = counts.iter().find(|count| count.verb == tool && count.day == key);
        ToolDay {
            day: days::two_letters(date),
            short: days::numbers(date),
            long: days::short(date),
            would_have: count.map_or(0, |count| count.would_have),
            did: count.map_or(0, |count| count.applied),
            surprising: count.map_or(0, |count| count.surprising),
        }
    };
    visit
        .deps
        .acting()
        .map(|tool| ToolDays {
            name: capital(&tool.noun),
            days: days::last(today, back).into_iter().map(|date| day_of(&tool.name, date)).collect(),
        })
        .collect()
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|c| c.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}", characters.as_str())
}
