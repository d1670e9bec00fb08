//! What a human did with a draft. Must never send one.
use crate::entry;
use crate::load::{self, drafts::page_with};
use crate::pages::problem;
use crate::route::{Visit, reason_of};
use crate::view::RowView;
use serde_json::json;
use types::{CustomerId, RunId, Target};
use web::{Fields, Response};

/// She sent it, from HubSpot.
pub(crate) async fn sent(visit: &Visit<'_>, seq: &str) -> Response {
    ended(visit, seq, "draft_sent", None, "sent").await
}

/// She does not want it.
pub(crate) async fn discard(visit: &Visit<'_>, seq: &str, form: &Fields) -> Response {
    let why = form.get("why").unwrap_or_default().to_owned();
    let Some(reason) = reason_of(form, "why") else {
        let error = "Say in 10 characters or more why.".to_owned();
        return page_with(visit, seq.parse().ok(), why, Some(error), 422).await;
    };
    ended(visit, seq, "draft_discarded", Some(reason), "thrown").await
}

/// The entry is the change: a draft waits until one says that it ended.
async fn ended(visit: &Visit<'_>, seq: &str, verb: &str, because: Option<String>, notice: &str) -> Response {
    let Ok(seq) = seq.parse::<i64>() else { return visit.problem(problem::NO_SUCH_PAGE) };
    let stages = visit.stages();
    let inbox = load::inbox(visit.deps, visit.sight.people.as_ref(), &stages).await;
    let Some(drafts) = inbox.drafts else { return visit.problem(problem::CANNOT_READ) };
    let Some(draft) = drafts.iter().find(|row| row.seq == seq) else {
        return Response::see_other("/drafts?n=gone");
    };
    let row = entry_of(visit, draft, verb, because);
    match entry::before(visit.deps, &row).await {
        Ok(()) => Response::see_other(&format!("/drafts?n={notice}")),
        Err(_) => visit.problem(problem::NO_ROW),
    }
}

fn entry_of(visit: &Visit<'_>, draft: &RowView, verb: &str, because: Option<String>) -> ledger::Entry {
    let target = Target::new("deal", draft.deal_id.as_deref().unwrap_or("unknown"));
    let mut row = entry::of_person(visit.deps.now(), &visit.viewer.person, verb, target);
    let text = |pointer: &str| {
        let after = draft.row.after.as_ref();
        after.and_then(|after| after.pointer(pointer)).and_then(|value| match value {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => None,
        })
    };
    row.because = because;
    row.run_id = draft.run_id.clone().and_then(|id| RunId::new(id).ok());
    row.customer_id = draft.row.customer_id.clone().and_then(|id| CustomerId::new(id).ok());
    row.detail = Some(json!({
        "draft": draft.row.intent_id,
        "customer": draft.customer,
        "deal": draft.deal_name,
    }));
    row.subjects = [text("/to/contact_id"), text("/to/email")].into_iter().flatten().collect();
    row
}
