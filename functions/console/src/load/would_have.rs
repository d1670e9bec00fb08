//! Reads the would-have log for its page and its spreadsheet. Must never show a row of another kind.
use super::{count, read};
use crate::days;
use crate::pages::problem;
use crate::pages::would_have::{Filters, ROWS, WouldHave, csv as csv_of, page as page_of};
use crate::route::Visit;
use crate::view::RowView;
use audit_log::{JudgedFilter, Query};
use types::EntryState;
use web::Response;

/// The most rows of a spreadsheet: an answer of the platform holds 6 MB.
const CSV_ROWS_MAX: u32 = 5_000;
/// Days to choose from.
const DAYS: i32 = 14;

/// The page.
pub(crate) async fn page(visit: &Visit<'_>) -> Response {
    let filters = filters(visit);
    let query = query_of(visit, &filters);
    let ask = query.clone();
    let any = Query { limit: 1, ..Query::default() };
    let ((frame, _), found, total, newest) = tokio::join!(
        visit.framed(),
        read(visit.deps, |log| async move { log.search(&ask).await }),
        count(visit.deps, query),
        read(visit.deps, |log| async move { log.search(&any).await }),
    );
    let people = visit.sight.people.as_ref();
    let today = days::date_of(frame.now, &frame.zone);
    let view = WouldHave {
        filters,
        days: days::last(today, DAYS)
            .into_iter()
            .rev()
            .map(|date| (date.to_string(), days::short(date)))
            .collect(),
        tools: visit.deps.acting().map(|tool| tool.name.clone()).collect(),
        next: found.as_ref().and_then(|page| page.next),
        rows: found.map(|page| page.rows.into_iter().map(|row| RowView::of(row, people)).collect()),
        total,
        last_event: newest.and_then(|page| page.rows.first().map(|row| row.occurred_at)),
    };
    page_of(&frame, &view)
}

/// The same rows as a spreadsheet.
pub(crate) async fn csv(visit: &Visit<'_>) -> Response {
    let query = Query { limit: CSV_ROWS_MAX, cursor: None, ..query_of(visit, &filters(visit)) };
    let Some(page) = read(visit.deps, |log| async move { log.search(&query).await }).await else {
        return visit.problem(problem::CANNOT_READ);
    };
    let people = visit.sight.people.as_ref();
    let rows: Vec<RowView> = page.rows.into_iter().map(|row| RowView::of(row, people)).collect();
    let url = visit.deps.install.console_url.as_deref().unwrap_or_default();
    Response::file("text/csv; charset=utf-8", "would-have.csv", csv_of(&rows, url).into_bytes())
}

pub(crate) fn filters(visit: &Visit<'_>) -> Filters {
    Filters {
        day: visit.query("day"),
        tool: visit.query("tool"),
        customer: visit.query("customer"),
        judged: visit.query("judged"),
        after: visit.query("after"),
    }
}

pub(crate) fn query_of(visit: &Visit<'_>, filters: &Filters) -> Query {
    let zone = &visit.sight.seen.zone;
    let date = days::parse(&filters.day);
    let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
    Query {
        text: filled(&filters.customer),
        verb: filled(&filters.tool),
        decisions: vec![EntryState::WouldHave],
        judged: match filters.judged.as_str() {
            "not_yet" => Some(JudgedFilter::NotYet),
            "expected" => Some(JudgedFilter::Expected),
            "surprising" => Some(JudgedFilter::Surprising),
            _ => None,
        },
        from: date.and_then(|date| days::begins(date, zone)),
        until: date.and_then(|date| days::ends(date, zone)),
        limit: ROWS,
        cursor: filters.after.parse().ok(),
        ..Query::default()
    }
}
