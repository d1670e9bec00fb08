//! "Did you expect this?" Must never change an earlier word: a new one is added.
use super::surprise;
use crate::entry;
use crate::load::read;
use crate::pages::problem;
use crate::route::Visit;
use audit_log::Judged;
use serde_json::json;
use types::Target;
use web::{Fields, Response};

/// The most rows of one judgement: a page.
const ROWS_MAX: usize = 25;

/// Stores a judgement of one row, or of every open row of a page.
pub(crate) async fn judge(visit: &Visit<'_>, form: &Fields) -> Response {
    let seqs = form.iter().filter(|(name, _)| *name == "seq").map(|(_, value)| value.parse::<i64>());
    let seqs: Result<Vec<i64>, _> = seqs.collect();
    let (Ok(seqs), Some(judged)) = (seqs, form.get("judged").and_then(Judged::from_code)) else {
        return visit.problem(problem::BAD_FORM);
    };
    if seqs.is_empty() || seqs.len() > ROWS_MAX || (seqs.len() > 1 && judged != Judged::Expected) {
        return visit.problem(problem::BAD_FORM);
    }
    let note: Option<String> = form.get("note").map(|text| text.trim().chars().take(300).collect());
    let note = note.filter(|text| !text.is_empty());
    // The note may quote a customer: it stays with the judgement, which an erasure reaches.
    let target = seqs.first().map(ToString::to_string).unwrap_or_default();
    let mut row =
        entry::of_person(visit.deps.now(), &visit.viewer.person, "judge", Target::new("row", target));
    row.detail = Some(json!({ "rows": seqs, "judged": judged.code() }));
    if entry::before(visit.deps, &row).await.is_err() {
        return visit.problem(problem::NO_ROW);
    }
    let (person, at) = (&visit.viewer.person, visit.deps.now());
    let surprise = seqs.first().copied().filter(|_| judged == Judged::Surprising);
    let done =
        read(visit.deps, |log| async move { log.judge(&seqs, person, judged, note.as_deref(), at).await });
    match done.await {
        Some(0) => visit.problem(problem::BAD_FORM),
        Some(_) => match (surprise, judged) {
            (Some(seq), _) => match surprise::keep(visit, seq).await {
                Ok(true) => back(visit, "fellback"),
                Ok(false) => back(visit, "judged"),
                Err(problem) => visit.problem(problem),
            },
            (None, Judged::Withdrawn) => back(visit, "undone"),
            (None, Judged::Expected | Judged::Surprising) => back(visit, "judged"),
        },
        None => {
            entry::not_made(visit.deps, &row, types::EntryState::Failed, types::Reason::OutcomeUnknown).await;
            visit.problem(problem::NO_ANSWER)
        }
    }
}

/// Back to the view it was judged in, as the browser names it (its own origin only).
fn back(visit: &Visit<'_>, notice: &str) -> Response {
    let referer = visit.request.header("referer").unwrap_or_default();
    let path = referer.split_once("://").and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..)));
    let path = path.filter(|path| path.starts_with("/would-have")).unwrap_or("/would-have");
    let path = path.split("n=").next().unwrap_or(path).trim_end_matches(['?', '&']);
    let joint = if path.contains('?') { '&' } else { '?' };
    Response::see_other(&format!("{path}{joint}n={notice}"))
}
