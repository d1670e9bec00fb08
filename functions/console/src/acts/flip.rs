//! One tool, one mode. Must never turn writes on without tick, reason and PIN; back to dry-run is one click.
use super::pin::{self, PinAnswer};
use crate::load::tools::{counts, recent_flip, writes_with};
use crate::pages::problem::{self, Problem};
use crate::pages::tool_writes::Typed;
use crate::route::{Visit, reason_of};
use interlock::Flipped;
use types::Mode;
use web::{Fields, Response};

/// Nothing to decide by.
const NO_EVIDENCE: Problem = Problem {
    status: 503,
    happened: "The log cannot be read now, so nobody can see what this tool would have done.",
    means: "Nothing was changed. The tool stays in dry-run.",
    to_do: "Try again when the log can be read. Back to dry-run and HALT work.",
};

/// Back to dry-run: one click, nothing asked.
pub(crate) async fn to_dry(visit: &Visit<'_>, name: &str) -> Response {
    let Some(tool) = visit.deps.acting().find(|tool| tool.name == name) else {
        return visit.problem(problem::NO_SUCH_PAGE);
    };
    let because = "back to dry-run";
    match visit.deps.interlock.flip(&tool.name, Mode::DryRun, &visit.actor(), because, "console").await {
        Ok(Flipped::Done) => Response::see_other("/tools?n=dry"),
        Ok(Flipped::Already | Flipped::LogFull) => Response::see_other("/tools?n=already"),
        Err(_) => visit.problem(problem::NO_ANSWER),
    }
}

/// Writes on, from the next run.
pub(crate) async fn to_live(visit: &Visit<'_>, name: &str, form: &Fields) -> Response {
    let Some(tool) = visit.deps.acting().find(|tool| tool.name == name).cloned() else {
        return visit.problem(problem::NO_SUCH_PAGE);
    };
    // FAIL-CLOSED: a log that is set up and silent shows no surprise of this tool.
    if visit.deps.audit.is_some() && counts(visit).await.is_none() {
        return visit.problem(NO_EVIDENCE);
    }
    let text = |field: &str| form.get(field).unwrap_or_default().trim().to_owned();
    let mut typed = Typed {
        ticked: form.get("know") == Some("1"),
        why: text("why"),
        overrides: text("over"),
        error: None,
    };
    let recent = recent_flip(visit, &tool).is_some();
    let why = reason_of(form, "why");
    let overrides = reason_of(form, "over");
    let missing = match (typed.ticked, &why, recent && overrides.is_none()) {
        (false, _, _) => Some("Tick that you know what it changes."),
        (true, None, _) => Some("Say in 10 characters or more why it is ready."),
        (true, Some(_), true) => Some("Say in 10 characters or more why not to wait 24 hours."),
        (true, Some(_), false) => None,
    };
    if let Some(missing) = missing {
        typed.error = Some(missing.to_owned());
        return writes_with(visit, name, typed, 422).await;
    }
    let answer = pin::check(visit.deps, &visit.viewer.person, &visit.session.key_id, &text("pin")).await;
    if answer != PinAnswer::Right {
        typed.error = Some(answer.text(&visit.deps.zone()));
        return writes_with(visit, name, typed, 422).await;
    }
    let because = match overrides.filter(|_| recent) {
        Some(over) => format!("{} | not waiting 24 h: {over}", why.unwrap_or_default()),
        None => why.unwrap_or_default(),
    };
    match visit.deps.interlock.flip(&tool.name, Mode::Live, &visit.actor(), &because, "console").await {
        Ok(Flipped::Done) => Response::see_other("/tools?n=live"),
        Ok(Flipped::Already) => Response::see_other("/tools?n=already"),
        Ok(Flipped::LogFull) => visit.problem(problem::NO_ROW),
        Err(_) => visit.problem(problem::NO_ANSWER),
    }
}
