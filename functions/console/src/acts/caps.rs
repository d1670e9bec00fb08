//! The caps: lower in one step, raise with a reason and a PIN. Must never raise without its row.
use super::pin::{self, PinAnswer};
use crate::entry;
use crate::load::budgets::page_with;
use crate::pages::budgets::{Typed, written};
use crate::pages::problem::{self, Problem};
use crate::route::{Visit, reason_of};
use config::{ConfigError, Put};
use serde_json::json;
use types::{Cap, Caps, EntryState, Reason, Target, UsdNanos};
use web::{Fields, Response};

const CAPS_AWAY: Problem = Problem {
    status: 503,
    happened: "The caps in force cannot be read now, so no change can start from them.",
    means: "Nothing was changed.",
    to_do: "Try again in a minute. HALT works.",
};
const DAY_NOT_CHANGED: Problem = Problem {
    status: 503,
    happened: "The cap is saved, but today's budget did not take it over in time.",
    means: "Today still has the old cap; a new day has the new one.",
    to_do: "Save the same cap again in a minute.",
};

/// Saves one cap.
pub(crate) async fn save(visit: &Visit<'_>, code: &str, form: &Fields) -> Response {
    let Some(cap) = Cap::from_code(code) else { return visit.problem(problem::NO_SUCH_PAGE) };
    let Some(hot) = visit.fresh() else { return visit.problem(CAPS_AWAY) };
    let text = |field: &str| form.get(field).unwrap_or_default().trim().to_owned();
    let mut typed = Typed { cap: Some(cap), value: text("value"), why: text("why"), error: None };
    let Some(new) = changed(hot.caps, cap, &typed.value) else {
        typed.error = Some("This is no number that a cap can have.".to_owned());
        return page_with(visit, typed, 422).await;
    };
    if form.get("version").and_then(|text| text.parse::<i64>().ok()) != Some(hot.caps_version()) {
        typed.error = Some(format!(
            "Somebody changed the caps meanwhile: this one is now {}. Nothing was saved.",
            written(&hot.caps, cap)
        ));
        return page_with(visit, typed, 409).await;
    }
    let raises = is_raise(&hot.caps, &new);
    if raises {
        if reason_of(form, "why").is_none() {
            typed.error = Some("To raise a cap, say in 10 characters or more why.".to_owned());
            return page_with(visit, typed, 422).await;
        }
        let answer = pin::check(visit.deps, &visit.viewer.person, &visit.session.key_id, &text("pin")).await;
        if answer != PinAnswer::Right {
            typed.error = Some(answer.text(&visit.deps.zone()));
            return page_with(visit, typed, 422).await;
        }
    }
    put(visit, cap, (hot.caps, new), hot.caps_version(), reason_of(form, "why")).await
}

async fn put(
    visit: &Visit<'_>,
    cap: Cap,
    (old, new): (Caps, Caps),
    version: i64,
    why: Option<String>,
) -> Response {
    let mut row = entry::of_person(
        visit.deps.now(),
        &visit.viewer.person,
        "set_caps",
        Target::new("config", cap.code()),
    );
    row.before = Some(json!({ "label": written(&old, cap), "caps": old }));
    row.after = Some(json!({ "label": written(&new, cap), "caps": new }));
    row.because = why;
    if entry::before(visit.deps, &row).await.is_err() && is_raise(&old, &new) {
        return visit.problem(problem::NO_ROW);
    }
    match visit.deps.hot.put_caps(&new, version).await {
        Ok(Put::Saved(_) | Put::SavedOver(_)) => {}
        Ok(Put::ChangedMeanwhile) => {
            entry::not_made(visit.deps, &row, EntryState::Failed, Reason::Conflict).await;
            return Response::see_other("/budgets?n=moved");
        }
        Err(ConfigError::MalformedHot { .. }) => {
            entry::not_made(visit.deps, &row, EntryState::Failed, Reason::ConfigUnusable).await;
            return visit.problem(problem::BAD_FORM);
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the caps may not be saved");
            entry::not_made(visit.deps, &row, EntryState::Unknown, Reason::OutcomeUnknown).await;
            return visit.problem(problem::NO_ANSWER);
        }
    }
    if cap == Cap::UsdPerDay {
        let zone = visit.deps.zone();
        if let Err(error) = visit.deps.budget.change_cap(new.usd_per_day, zone.name()).await {
            tracing::error!(error = &error as &dyn std::error::Error, "today's cap was not changed");
            return visit.problem(DAY_NOT_CHANGED);
        }
    }
    Response::see_other("/budgets?n=caps")
}

/// The caps with one changed; `None` for a text that is no such number.
fn changed(caps: Caps, cap: Cap, text: &str) -> Option<Caps> {
    let text = text.trim().trim_start_matches('$').trim();
    Some(match cap {
        Cap::UsdPerDay => Caps { usd_per_day: UsdNanos::parse_usd(text)?, ..caps },
        Cap::TokensPerRun => Caps { tokens_per_run: text.parse().ok()?, ..caps },
        Cap::ToolCallsPerRun => Caps { tool_calls_per_run: text.parse().ok()?, ..caps },
    })
}

fn is_raise(old: &Caps, new: &Caps) -> bool {
    new.usd_per_day > old.usd_per_day
        || new.tokens_per_run > old.tokens_per_run
        || new.tool_calls_per_run > old.tool_calls_per_run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_more_of_a_cap_is_a_raise() {
        let old = Caps::default();
        for (cap, text, raise) in [
            (Cap::UsdPerDay, "25.01", true),
            (Cap::UsdPerDay, "$25", false),
            (Cap::UsdPerDay, "0", false),
            (Cap::TokensPerRun, "40001", true),
            (Cap::TokensPerRun, "1", false),
            (Cap::ToolCallsPerRun, "31", true),
            (Cap::ToolCallsPerRun, "30", false),
        ] {
            let new = changed(old, cap, text).unwrap();
            assert_eq!(is_raise(&old, &new), raise, "{cap} {text}");
        }
        for bad in ["", "-1", "1e3", "all", "1,000", "+5.0.0"] {
            assert_eq!(changed(old, Cap::UsdPerDay, bad), None, "{bad}");
            assert_eq!(changed(old, Cap::TokensPerRun, bad), None, "{bad}");
        }
    }
}
