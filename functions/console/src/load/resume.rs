//! Reads what resuming would mean. Must never offer it on half of what the two switches say.
use crate::pages::resume::{Resume, Shown, page as page_of};
use crate::route::Visit;
use sight::moment;
use types::{Cap, Mode};
use web::{Lang, Response};

/// The page.
pub(crate) async fn page(visit: &Visit<'_>) -> Response {
    page_with(visit, String::new(), None, 200).await
}

/// The same with what was typed before.
pub(crate) async fn page_with(
    visit: &Visit<'_>,
    why: String,
    error: Option<String>,
    status: u16,
) -> Response {
    let (frame, inbox) = visit.framed().await;
    if !frame.panel().state.offers_resume() {
        return Response::see_other("/?n=already");
    }
    let control = visit.sight.control.as_ref();
    let live = |(tool, mode): (&String, &Mode)| (*mode == Mode::Live).then(|| tool.clone());
    let view = Resume {
        shown: control
            .zip(visit.sight.flags.as_ref())
            .map(|(control, flags)| Shown { epoch: control.epoch.0, seq: flags.seq_global.clone() }),
        halted: halted(visit),
        wrote: control.map(|control| control.modes.iter().filter_map(live).collect()).unwrap_or_default(),
        held: inbox.held.map(|held| held.len()),
        customers: control.map_or(0, |control| control.halted_customers.len()),
        cap_first: cap_first(visit),
        why,
        error,
    };
    page_of(&frame, &view, status)
}

fn halted(visit: &Visit<'_>) -> String {
    let by = visit.sight.control.as_ref().and_then(|control| control.halted_by.as_ref());
    match by {
        Some(by) if by.reason == "not_yet_armed" => {
            "Nobody has started the agent yet. It starts in dry-run.".to_owned()
        }
        Some(by) => {
            let zone = &visit.sight.seen.zone;
            let who = sight::name_of(&by.by, visit.sight.people.as_ref());
            let at = zone.text(moment(by.at_ms), visit.deps.now(), Lang::En);
            match Cap::from_code(&by.reason) {
                Some(cap) => format!(
                    "Halted at {at} by the cap “{}”.",
                    crate::pages::budgets::name(cap).to_lowercase()
                ),
                None => format!("Halted by {who} at {at}."),
            }
        }
        None => "The flags stop the agent; the control item does not know why.".to_owned(),
    }
}

/// The daily cap stopped it today, and (almost) nothing of the day is left: it would stop again at once.
// FAIL-CLOSED: a budget that does not answer may be used up.
pub(crate) fn cap_first(visit: &Visit<'_>) -> bool {
    visit.sight.cap_holds() != Some(false)
}
