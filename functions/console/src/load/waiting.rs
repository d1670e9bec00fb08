//! Reads what waits for a person. Must never list a run that began: those stay halted for good.
use crate::pages::waiting::{CheckRow, HeldRow, Waiting, page as page_of};
use crate::route::Visit;
use ledger::{Opened, Run};
use sight::moment;
use web::Response;

/// The page.
pub(crate) async fn page(visit: &Visit<'_>) -> Response {
    page_with(visit, None, None, 200).await
}

/// The same with what was typed before.
pub(crate) async fn page_with(
    visit: &Visit<'_>,
    typed: Option<(String, String)>,
    error: Option<String>,
    status: u16,
) -> Response {
    let (frame, inbox) = visit.framed().await;
    let view = Waiting {
        held: inbox.held.map(|runs| runs.iter().map(held_row).collect()),
        checks: inbox.checks.map(|opened| opened.iter().map(check_row).collect()),
        halted: !may_start(visit),
        error,
        typed,
    };
    page_of(&frame, &view, status)
}

/// Is the agent armed, as far as both switches say?
// FAIL-CLOSED: a switch that is silent starts nothing from here.
pub(crate) fn may_start(visit: &Visit<'_>) -> bool {
    visit.sight.control.as_ref().is_some_and(interlock::Control::is_armed)
        && visit.sight.seen.flags == web::panel::Flags::Clear
}

fn held_row(run: &Run) -> HeldRow {
    let deal = run.deal.as_ref();
    HeldRow {
        run_id: run.run_id.to_string(),
        event: run.event.line(),
        deal: deal.map(|deal| format!("{} {}", deal.deal_id, deal.deal_name)),
        customer: deal.map(|deal| deal.customer_name.clone()),
        received: moment(run.event.received_ms),
    }
}

fn check_row(opened: &Opened) -> CheckRow {
    let intent = &opened.intent;
    let label = |value: &Option<serde_json::Value>| {
        let value = value.as_ref()?;
        let text = value.get("label").or_else(|| value.get("stage")).and_then(serde_json::Value::as_str);
        text.map(str::to_owned)
    };
    CheckRow {
        run_id: opened.run_id.to_string(),
        intent_id: intent.intent_id.to_string(),
        what: intent.what.clone(),
        target: format!("{} {}", intent.target.kind, intent.target.id),
        sent: intent.sent_ms.map(moment),
        before: label(&intent.before),
        after: label(&intent.after),
    }
}
