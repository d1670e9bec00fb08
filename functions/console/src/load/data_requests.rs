//! Reads the data requests. Must never look for anybody on a GET.
use super::table;
use crate::pages::data_requests::{DataRequests, Row, Typed, page as page_of};
use crate::route::Visit;
use jiff::ToSpan as _;
use ledger::DataRequest;
use sight::{moment, name_of};
use web::Response;

/// Requests on the page.
const ROWS: i32 = 50;

/// The page.
pub(crate) async fn page(visit: &Visit<'_>) -> Response {
    page_with(visit, Typed::default(), None, 200).await
}

/// The same with what was typed before.
pub(crate) async fn page_with(
    visit: &Visit<'_>,
    typed: Typed,
    error: Option<String>,
    status: u16,
) -> Response {
    let ((frame, _), requests) = tokio::join!(visit.framed(), table(visit.deps.ledger.requests(ROWS)));
    let people = visit.sight.people.as_ref();
    let zone = visit.deps.zone();
    let row = |request: DataRequest| {
        let opened = moment(request.opened_ms);
        // The law counts in months, as the calendar has them.
        let due = opened.in_tz(zone.name()).and_then(|at| at.checked_add(1.month())).ok();
        Row {
            opened,
            due: due.map(|at| at.timestamp()),
            by: name_of(&request.opened_by.to_string(), people),
            request,
        }
    };
    let requests = requests.map(|requests| requests.into_iter().map(row).collect());
    page_of(&frame, &DataRequests { requests, error, typed }, status)
}
