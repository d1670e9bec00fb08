//! Resuming from the console: a reason, a PIN, and only on what the page showed. Must never wake an old run.
use super::pin::{self, PinAnswer};
use crate::load::resume::{cap_first, page_with};
use crate::pages::problem;
use crate::route::{Visit, reason_of};
use interlock::{ModesAfter, RearmAsk, Rearmed};
use types::{Epoch, Generation, Scope};
use web::{Fields, Response};

/// Resumes everything but the customers that are halted by themselves.
// INVARIANT (I8): the epoch and the press counter of the page decide; a HALT pressed meanwhile wins.
pub(crate) async fn resume(visit: &Visit<'_>, form: &Fields) -> Response {
    let text = |field: &str| form.get(field).unwrap_or_default().trim().to_owned();
    let Ok(epoch) = text("epoch").parse::<u64>() else { return visit.problem(problem::BAD_FORM) };
    if cap_first(visit) {
        let error = "The daily budget is used up. Raise the cap first, or wait for the new day.".to_owned();
        return page_with(visit, text("why"), Some(error), 409).await;
    }
    let Some(because) = reason_of(form, "why") else {
        let error = "Say in 10 characters or more why it is safe to resume.".to_owned();
        return page_with(visit, text("why"), Some(error), 422).await;
    };
    let answer = pin::check(visit.deps, &visit.viewer.person, &visit.session.key_id, &text("pin")).await;
    if answer != PinAnswer::Right {
        return page_with(visit, text("why"), Some(answer.text(&visit.deps.zone())), 422).await;
    }
    let ask = RearmAsk {
        scope: Scope::Global,
        epoch_shown: Epoch(epoch),
        generation_shown: Generation::default(),
        seq_shown: form.get("seq").and_then(web::decode_component).unwrap_or_default(),
        actor: visit.actor(),
        because,
        source: "console".to_owned(),
        modes: if form.get("modes") == Some("before") { ModesAfter::AsBefore } else { ModesAfter::DryRun },
    };
    match visit.deps.interlock.rearm(&ask).await {
        Ok(Rearmed::Done { .. }) => Response::see_other("/?n=resumed"),
        Ok(Rearmed::NotHalted) => Response::see_other("/?n=already"),
        Ok(Rearmed::PressedAgain) => {
            let error =
                "Somebody pressed HALT or resumed meanwhile. Nothing was resumed. Look again.".to_owned();
            page_with(visit, text("why"), Some(error), 409).await
        }
        Ok(Rearmed::FlagsSilent) => {
            let error = "One of the two switches does not answer. The agent stays halted.".to_owned();
            page_with(visit, text("why"), Some(error), 503).await
        }
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "it is not known whether it was resumed"
            );
            visit.problem(problem::NO_ANSWER)
        }
    }
}
