//! Reads the caps and the day's spend. Must never show a default cap as if it were set.
use super::{made, read};
use crate::days;
use crate::load::today::spend;
use crate::pages::budgets::{Budgets, Typed, page as page_of};
use crate::route::Visit;
use crate::view::{RowView, detail_text};
use audit_log::Query;
use config::Freshness;
use std::collections::BTreeMap;
use types::{Cap, Timestamp};
use web::Response;

/// The page.
pub(crate) async fn page(visit: &Visit<'_>) -> Response {
    page_with(visit, Typed::default(), 200).await
}

/// The same with what was typed before.
pub(crate) async fn page_with(visit: &Visit<'_>, typed: Typed, status: u16) -> Response {
    let trips = Query { verb: Some("trip".to_owned()), limit: 1, ..Query::default() };
    let changes = Query { verb: Some("set_caps".to_owned()), limit: 50, ..Query::default() };
    let ((frame, _), trips, changes) = tokio::join!(
        visit.framed(),
        read(visit.deps, |log| async move { log.search(&trips).await }),
        read(visit.deps, |log| async move { log.search(&changes).await }),
    );
    let usable = visit.hot.as_ref().filter(|loaded| loaded.freshness != Freshness::Unusable);
    let last_trip = trips.and_then(|page| page.rows.into_iter().next()).map(|row| {
        let cap = detail_text(&row, "cap").and_then(|code| Cap::from_code(&code));
        let name = cap.map_or("a cap", crate::pages::budgets::name);
        (RowView::of(row, None).at, name.to_lowercase())
    });
    let view = Budgets {
        caps: usable.map(|loaded| loaded.hot.caps),
        version: usable.map_or(0, |loaded| loaded.hot.caps_version()),
        spend: spend(visit),
        spend_unread: visit.sight.day.is_none(),
        config_away: visit.fresh().is_none(),
        new_day_in: new_day_in(visit),
        changed: changes.map(|page| last_changes(visit, made(page.rows))),
        last_trip,
        typed,
    };
    page_of(&frame, &view, status)
}

/// The newest change of each cap.
fn last_changes(visit: &Visit<'_>, rows: Vec<audit_log::Row>) -> BTreeMap<Cap, (Timestamp, String)> {
    let mut changed = BTreeMap::new();
    for row in rows {
        let target = row.target_id.as_deref().and_then(|id| id.strip_prefix("config:"));
        if let Some(cap) = target.and_then(Cap::from_code) {
            let row = RowView::of(row, visit.sight.people.as_ref());
            changed.entry(cap).or_insert((row.at, row.actor));
        }
    }
    changed
}

fn new_day_in(visit: &Visit<'_>) -> String {
    let (now, zone) = (visit.deps.now(), &visit.sight.seen.zone);
    let end = days::ends(days::date_of(now, zone), zone).unwrap_or(now);
    days::waited(now, end)
}
