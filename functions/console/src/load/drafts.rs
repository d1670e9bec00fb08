//! Reads drafts for their page. Must never change one.
use crate::pages::drafts::{DealNow, Draft, Drafts, page as page_of};
use crate::pages::problem;
use crate::route::{Visit, number_of};
use crate::view::RowView;
use crm::CrmError;
use std::time::Duration;
use types::{DealId, RunId, Timestamp};
use web::Response;

/// How long a page waits for the deal.
const TIMEOUT: Duration = Duration::from_secs(3);

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
    let (deal_url, deal) = match row {
        Some(row) => tokio::join!(deal_url(visit, row), deal_now(visit, row)),
        None => (None, DealNow::NotAsked),
    };
    page_of(&frame, &Drafts { rows, open, deal_url, deal, error, why }, status)
}

/// The draft's deal as it is now, held against what it was.
async fn deal_now(visit: &Visit<'_>, row: &RowView) -> DealNow {
    let id = row.deal_id.as_ref().and_then(|id| DealId::new(id).ok());
    let (Some(reader), Some(id)) = (visit.deps.deals.as_ref(), id) else { return DealNow::NotAsked };
    let deal = match tokio::time::timeout(TIMEOUT, Box::pin(reader.get_deal(&id))).await {
        Ok(Ok(deal)) => deal,
        Ok(Err(CrmError::NotFound { .. })) => return DealNow::Gone,
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a draft's deal cannot be read");
            return DealNow::Away;
        }
        Err(_) => return DealNow::Away,
    };
    let contact = row.row.after.as_ref().and_then(|after| after.pointer("/to/contact_id"));
    let contact = contact.map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
    let label = |id: &str| visit.stages().label(id).to_owned();
    let later = |at: &Timestamp| *at > row.at;
    let newest = deal.stage_history.first().and_then(|change| Some((change.at?, label(&change.stage))));
    DealNow::Read {
        on_deal: deal.contact_ids.iter().any(|id| Some(id.to_string()) == contact),
        stage: newest.filter(|(at, _)| later(at)),
        changed: deal.updated_at.filter(later),
    }
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
