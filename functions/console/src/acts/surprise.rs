//! The limit of surprises: kept at each judgement, set by a person. Must never turn anything on.
use super::pin::{self, PinAnswer};
use crate::entry;
use crate::load::{read, tools as load};
use crate::pages::problem::{self, Problem};
use crate::pages::tools::LimitTyped;
use crate::route::{Visit, reason_of};
use interlock::{Flipped, SURPRISE_WINDOW};
use serde_json::json;
use types::{Actor, EntryState, Mode, Reason, Target};
use web::{Fields, Response};

/// Who flips a tool back when its surprises pass the limit.
const ACTOR: &str = "surprise_limit";

/// The judgement is saved, and the tool could not be put back.
const NOT_BACK: Problem = Problem {
    status: 503,
    happened: "Your judgement is saved, but this tool could not be held against the limit of surprises.",
    means: "A store did not answer: the tool may still write.",
    to_do: "Put it back in dry-run on the page Tools, or press HALT.",
};

/// Puts the tool of a row that was just called surprising back in dry-run, if that was one too many. True
/// when it did.
// FAIL-CLOSED: surprises that cannot be counted are too many.
pub(crate) async fn keep(visit: &Visit<'_>, seq: i64) -> Result<bool, Problem> {
    let row = read(visit.deps, |log| async move { log.row(seq).await }).await.flatten();
    let Some(row) = row else { return Err(NOT_BACK) };
    let Some(tool) = visit.deps.acting().find(|tool| tool.name == row.verb) else { return Ok(false) };
    let Ok(control) = visit.deps.interlock.control().await else { return Err(NOT_BACK) };
    if control.modes.get(&tool.name).copied().unwrap_or_default() != Mode::Live {
        return Ok(false);
    }
    let (limit, count) =
        tokio::join!(visit.deps.interlock.surprise_limit(), load::surprising(visit, &tool.name));
    let Ok(limit) = limit else { return Err(NOT_BACK) };
    let because = match count {
        Some(count) if count <= u64::from(limit.most) => return Ok(false),
        Some(count) => {
            format!(
                "{count} of the last {SURPRISE_WINDOW} judged are surprising, the limit is {}",
                limit.most
            )
        }
        None => "its surprises cannot be counted".to_owned(),
    };
    let actor = Actor::System(ACTOR.to_owned());
    match visit.deps.interlock.flip(&tool.name, Mode::DryRun, &actor, &because, "console").await {
        Ok(Flipped::Done | Flipped::LogFull) => Ok(true),
        Ok(Flipped::Already) => Ok(false),
        Err(_) => Err(NOT_BACK),
    }
}

/// Sets the limit: lower in one step, higher with a reason and a PIN.
pub(crate) async fn set(visit: &Visit<'_>, form: &Fields) -> Response {
    let text = |field: &str| form.get(field).unwrap_or_default().trim().chars().take(300).collect::<String>();
    let mut typed = LimitTyped { most: text("most"), why: text("why"), error: None };
    let most = typed.most.parse::<u32>().ok().filter(|most| *most <= SURPRISE_WINDOW);
    let Some(most) = most else {
        typed.error = Some(format!("A whole number from 0 to {SURPRISE_WINDOW}."));
        return load::page_with(visit, typed, 422).await;
    };
    let Ok(seen) = visit.deps.interlock.surprise_limit().await else {
        return visit.problem(problem::NO_ANSWER);
    };
    if form.get("version").and_then(|text| text.parse::<u64>().ok()) != Some(seen.version) {
        typed.error =
            Some(format!("Somebody changed it meanwhile: it is {} now. Nothing was saved.", seen.most));
        return load::page_with(visit, typed, 409).await;
    }
    let because = reason_of(form, "why");
    if most > seen.most {
        if because.is_none() {
            typed.error = Some("To bear more surprises, say in 10 characters or more why.".to_owned());
            return load::page_with(visit, typed, 422).await;
        }
        let pin = form.get("pin").unwrap_or_default();
        let answer = pin::check(visit.deps, &visit.viewer.person, &visit.session.key_id, pin).await;
        if answer != PinAnswer::Right {
            typed.error = Some(answer.text(&visit.deps.zone()));
            return load::page_with(visit, typed, 422).await;
        }
    }
    let target = Target::new("config", "surprise_limit");
    let mut row = entry::of_person(visit.deps.now(), &visit.viewer.person, "set_surprise_limit", target);
    row.before = Some(json!({ "label": seen.most.to_string() }));
    row.after = Some(json!({ "label": most.to_string() }));
    row.because = because;
    if entry::before(visit.deps, &row).await.is_err() && most > seen.most {
        return visit.problem(problem::NO_ROW);
    }
    match visit.deps.interlock.put_surprise_limit(seen, most).await {
        Ok(true) => Response::see_other("/tools?n=limit"),
        Ok(false) => {
            entry::not_made(visit.deps, &row, EntryState::Failed, Reason::Conflict).await;
            Response::see_other("/tools?n=moved")
        }
        Err(_) => {
            entry::not_made(visit.deps, &row, EntryState::Unknown, Reason::OutcomeUnknown).await;
            visit.problem(problem::NO_ANSWER)
        }
    }
}
