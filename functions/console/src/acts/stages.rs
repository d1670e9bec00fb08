//! The ops lead's list of stages: the difference first, then the save. Must never allow a stage HubSpot does
//! not have.
use super::pin::{self, PinAnswer};
use crate::entry;
use crate::load::pipeline::{allowed_of, hubspot, rows, what_if};
use crate::load::read;
use crate::pages::pipeline::{self as pages, Difference, StageRow};
use crate::pages::problem::{self, Problem};
use crate::route::Visit;
use config::{ConfigError, Put};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use types::{EntryState, Reason, StageRule, Stages, Target};
use web::{Fields, Response};

const CONFIG_AWAY: Problem = Problem {
    status: 503,
    happened: "The list in force cannot be read now, so no change can start from it.",
    means: "Nothing was changed. The agent uses the list it last read.",
    to_do: "Try again in a minute. HALT works.",
};
const NOT_THERE: Problem = Problem {
    status: 422,
    happened: "A stage to allow is not in HubSpot now, is closed to apps, or HubSpot does not answer.",
    means: "Nothing was changed.",
    to_do: "Open the list again. Disallowing stages works without HubSpot.",
};
const TOO_LONG: Problem = Problem {
    status: 422,
    happened: "The list is too long to be kept.",
    means: "Nothing was changed.",
    to_do: "Allow fewer stages.",
};

/// What becomes of a wanted stage that HubSpot does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// Nothing is changed.
    Refuses,
    /// It is left out, and the page says so.
    LeftOut,
}

/// What she wants, against what is.
struct Change {
    rows: Vec<StageRow>,
    difference: Difference,
}

/// Shows what would change. Saves nothing.
pub(crate) async fn check(visit: &Visit<'_>, form: &Fields) -> Response {
    match change_of(visit, form, wanted_by_selects(visit, form), Gone::Refuses).await {
        Ok(change) if change.difference.added.is_empty() && change.difference.removed.is_empty() => {
            Response::see_other("/pipeline?n=same")
        }
        Ok(change) => show(visit, change.difference, 200).await,
        Err(response) => response,
    }
}

/// Shows what an earlier list would change. Saves nothing.
pub(crate) async fn restore(visit: &Visit<'_>, form: &Fields) -> Response {
    let Some(seq) = form.get("seq").and_then(|text| text.parse::<i64>().ok()) else {
        return visit.problem(problem::BAD_FORM);
    };
    let Some(found) = read(visit.deps, |log| async move { log.row(seq).await }).await else {
        return visit.problem(problem::CANNOT_READ);
    };
    let Some(row) = found.filter(|row| row.verb == "set_stages") else {
        return visit.problem(problem::NO_SUCH_PAGE);
    };
    let wanted = allowed_of(&row).into_iter().map(|(_, id)| id).collect();
    match change_of(visit, form, wanted, Gone::LeftOut).await {
        Ok(change) => show(visit, change.difference, 200).await,
        Err(response) => response,
    }
}

async fn show(visit: &Visit<'_>, mut difference: Difference, status: u16) -> Response {
    difference.what_if = what_if(visit, &difference.allowed).await;
    pages::difference(&visit.framed().await.0, &difference, status)
}

/// Saves what was shown.
pub(crate) async fn save(visit: &Visit<'_>, form: &Fields) -> Response {
    let mut change = match change_of(visit, form, wanted_by_list(form), Gone::Refuses).await {
        Ok(change) => change,
        Err(response) => return response,
    };
    if change.difference.added.is_empty() && change.difference.removed.is_empty() {
        return Response::see_other("/pipeline?n=same");
    }
    if change.difference.needs_pin() {
        let pin = form.get("pin").unwrap_or_default();
        let answer = pin::check(visit.deps, &visit.viewer.person, &visit.session.key_id, pin).await;
        if answer != PinAnswer::Right {
            change.difference.error = Some(answer.text(&visit.deps.zone()));
            return show(visit, change.difference, 422).await;
        }
    }
    put(visit, change).await
}

/// Row first, then the list. Only disallowing goes on without a row.
async fn put(visit: &Visit<'_>, change: Change) -> Response {
    let Change { rows, difference } = change;
    let mut row = entry::of_person(
        visit.deps.now(),
        &visit.viewer.person,
        "set_stages",
        Target::new("config", "stages"),
    );
    row.before = Some(labels(rows.iter().filter(|row| row.allowed)));
    row.after = Some(labels(difference.allowed.iter()));
    row.config_version = visit.hot.as_ref().map(|loaded| loaded.hot.version.clone());
    let toward_safe = difference.added.is_empty();
    if entry::before(visit.deps, &row).await.is_err() && !toward_safe {
        return visit.problem(problem::NO_ROW);
    }
    let saved = put_smallest(visit, &rows, &difference).await;
    match saved {
        Ok(Put::Saved(_)) => Response::see_other("/pipeline?n=stages"),
        Ok(Put::SavedOver(_)) => {
            tracing::warn!("two people saved the list of stages within the same moment");
            Response::see_other("/pipeline?n=stages")
        }
        Ok(Put::ChangedMeanwhile) => {
            entry::not_made(visit.deps, &row, EntryState::Failed, Reason::Conflict).await;
            visit.deps.hot.forget().await;
            meanwhile(visit, &difference.allowed).await
        }
        Err(ConfigError::MalformedHot { .. }) => {
            entry::not_made(visit.deps, &row, EntryState::Failed, Reason::ConfigUnusable).await;
            visit.problem(TOO_LONG)
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the list of stages may not be saved");
            entry::not_made(visit.deps, &row, EntryState::Unknown, Reason::OutcomeUnknown).await;
            visit.problem(problem::NO_ANSWER)
        }
    }
}

/// With every known stage, for its label; a list that is too long keeps those that matter.
async fn put_smallest(
    visit: &Visit<'_>,
    rows: &[StageRow],
    difference: &Difference,
) -> Result<Put, ConfigError> {
    let rule = |row: &StageRow| StageRule {
        stage_id: row.id.clone(),
        label: row.label.chars().take(80).collect(),
        pipeline_id: row.pipeline_id.clone(),
        agent_may_move_here: difference.allowed.iter().any(|allowed| allowed.id == row.id),
        closed: row.closed,
    };
    let all = Stages(rows.iter().map(rule).collect());
    match visit.deps.hot.put_stages(&all, difference.version).await {
        Err(ConfigError::MalformedHot { .. }) => {
            let only = Stages(difference.allowed.iter().map(rule).collect());
            visit.deps.hot.put_stages(&only, difference.version).await
        }
        answer => answer,
    }
}

async fn meanwhile(visit: &Visit<'_>, yours: &[StageRow]) -> Response {
    let now = visit.deps.hot.get().await.hot.stages.clone();
    let theirs: Vec<StageRow> = rows(&now, None).into_iter().filter(|row| row.allowed).collect();
    pages::changed_meanwhile(&visit.framed().await.0, yours, &theirs)
}

fn labels<'a>(rows: impl Iterator<Item = &'a StageRow>) -> Value {
    let mut labels: Vec<String> = rows.map(|row| format!("{} ({})", row.label, row.id)).collect();
    labels.sort();
    // `label` is what a row of the audit shows.
    json!({ "label": labels.join(", "), "allowed": labels })
}

/// The stages that the selects say yes to; or the list in force and the one to allow besides.
fn wanted_by_selects(visit: &Visit<'_>, form: &Fields) -> BTreeSet<String> {
    if let Some(besides) = form.get("allow") {
        let now = visit.stages().0.into_iter().filter(|rule| rule.agent_may_move_here);
        return now.map(|rule| rule.stage_id).chain([besides.to_owned()]).collect();
    }
    let yes = form.iter().filter(|(_, value)| *value == "yes");
    yes.filter_map(|(name, _)| name.strip_prefix("s:").map(str::to_owned)).collect()
}

fn wanted_by_list(form: &Fields) -> BTreeSet<String> {
    form.iter().filter(|(name, _)| *name == "may").map(|(_, value)| value.to_owned()).collect()
}

/// The difference between the list in force and what is wanted, checked against HubSpot.
// INVARIANT (I18): a stage is allowed by its id, and only one that HubSpot has at this moment.
async fn change_of(
    visit: &Visit<'_>,
    form: &Fields,
    mut wanted: BTreeSet<String>,
    gone: Gone,
) -> Result<Change, Response> {
    let Some(hot) = visit.fresh() else { return Err(visit.problem(CONFIG_AWAY)) };
    let Some(version) = form.get("version").and_then(|text| text.parse::<i64>().ok()) else {
        return Err(visit.problem(problem::BAD_FORM));
    };
    let rows = rows(&hot.stages, hubspot(visit).await.as_deref());
    let mut left_out = Vec::new();
    if gone == Gone::LeftOut {
        let there = |id: &str| {
            let row = rows.iter().find(|row| row.id.eq_ignore_ascii_case(id));
            row.is_some_and(|row| row.allowed || row.exists == Some(true))
        };
        (wanted, left_out) = split(wanted, there);
    }
    let is_wanted = |row: &&StageRow| wanted.iter().any(|id| id.eq_ignore_ascii_case(&row.id));
    let allowed: Vec<StageRow> = rows.iter().filter(is_wanted).cloned().collect();
    if version != hot.stages_version() {
        return Err(pages::changed_meanwhile(
            &visit.framed().await.0,
            &allowed,
            &rows.iter().filter(|row| row.allowed).cloned().collect::<Vec<_>>(),
        ));
    }
    let added: Vec<StageRow> = allowed.iter().filter(|row| !row.allowed).cloned().collect();
    let removed = rows.iter().filter(|row| row.allowed && !is_wanted(row)).cloned().collect();
    // FAIL-CLOSED: what HubSpot does not confirm is not allowed.
    if allowed.len() != wanted.len() || added.iter().any(|row| row.exists != Some(true)) {
        return Err(visit.problem(NOT_THERE));
    }
    let difference =
        Difference { version, added, removed, allowed, gone: left_out, what_if: None, error: None };
    Ok(Change { rows, difference })
}

/// Those that are there, and those that are not.
fn split(wanted: BTreeSet<String>, there: impl Fn(&str) -> bool) -> (BTreeSet<String>, Vec<String>) {
    let (kept, gone): (Vec<String>, Vec<String>) = wanted.into_iter().partition(|id| there(id));
    (kept.into_iter().collect(), gone)
}
