//! Reads drafts for their page. Must never change one.
use crate::pages::drafts::{Draft, Drafts, page as page_of};
use crate::pages::problem;
use crate::route::{Visit, number_of};
use crate::view::RowView;
use types::RunId;
use web::Response;

/// The list, with one draft open.
pub(crate) async fn page(visit: &Visit<'_>, open: Option<i64>) -> Response {
    page_with(visit, open, String::new(), None, 200).await
}

/// The same with what was typed before.
pub(crate) async fn page_with(
    visit: &Visit<'_>,
    open: Option<i64>,
    why: String,
    error: Option<String>,
    status: u16,
) -> Response {
    let (frame, inbox) = visit.framed().await;
    let rows = inbox.drafts;
    let open = open.or_else(|| rows.as_ref().and_then(|rows| rows.first().map(|row| row.seq)));
    let row = rows.as_ref().and_then(|rows| rows.iter().find(|row| Some(row.seq) == open));
    let deal_url = match row {
        Some(row) => deal_url(visit, row).await,
        None => None,
    };
    page_of(&frame, &Drafts { rows, open, deal_url, error, why }, status)
}

/// One draft at its address, or its text to copy. One that was sent or thrown away is a row of the audit.
pub(crate) async fn at(visit: &Visit<'_>, name: &str) -> Response {
    let Some((seq, kind)) = number_of(name) else { return visit.problem(problem::NO_SUCH_PAGE) };
    let drafts = super::waiting_drafts(visit.deps, visit.sight.people.as_ref()).await;
    let Some(drafts) = drafts else { return visit.problem(problem::CANNOT_READ) };
    let Some(row) = drafts.iter().find(|row| row.seq == seq) else {
        return Response::see_other(&format!("/audit/{seq}"));
    };
    match kind {
        None => page(visit, Some(seq)).await,
        Some("txt") => {
            let draft = Draft::of(row);
            Response::text(
                200,
                &format!("{}\n\n{}\n", web::visible_line(&draft.subject), web::visible(&draft.body)),
            )
        }
        Some(_) => visit.problem(problem::NO_SUCH_PAGE),
    }
}

/// The deal at HubSpot, where people send from.
pub(crate) async fn deal_url(visit: &Visit<'_>, row: &RowView) -> Option<String> {
    let app = visit.deps.install.hubspot_app_url.as_ref()?;
    let run = RunId::new(row.run_id.clone()?).ok()?;
    let portal = super::table(visit.deps.ledger.run(&run)).await?.event.portal_id;
    let deal = web::encode_component(row.deal_id.as_ref()?);
    Some(format!("{app}/contacts/{portal}/record/0-3/{deal}"))
}
