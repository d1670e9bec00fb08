//! Reads the audit for its pages and files. Must never cut a window of time without saying so.
use super::{earlier, read};
use crate::days;
use crate::pages::audit::{self as pages, Answer, Audit, Filters, PromptView, ROWS};
use crate::pages::problem;
use crate::route::{Visit, number_of};
use crate::view::RowView;
use audit_log::{Prompt, Query};
use serde_json::json;
use types::Timestamp;
use web::Response;

/// The most rows of a file: an answer of the platform holds 6 MB.
const FILE_ROWS_MAX: u32 = 3_000;
/// The window when nobody asked for one.
const DAYS: i64 = 30;
/// What people do, besides the tools.
const VERBS: [&str; 19] = [
    "halt",
    "resume",
    "flip",
    "trip",
    "set_stages",
    "set_caps",
    "draft_sent",
    "draft_discarded",
    "start_held",
    "discard_held",
    "judge",
    "invite",
    "enrol",
    "set_role",
    "set_surprise_limit",
    "revoke",
    "open_erase",
    "erase_subject",
    "export_subject",
];

/// The page.
pub(crate) async fn page(visit: &Visit<'_>) -> Response {
    let filters = filters(visit);
    let query = query_of(visit, &filters);
    let before = query.clone();
    let ((frame, _), found, older, answer) = tokio::join!(
        visit.framed(),
        read(visit.deps, |log| async move { log.search(&query).await }),
        read(visit.deps, |log| async move { log.older(&before).await }),
        answer(visit, &filters),
    );
    let people = visit.sight.people.as_ref();
    let tools = visit.deps.tools.iter().map(|tool| tool.name.clone());
    let stages = visit.stages().0.into_iter().map(|rule| (rule.stage_id, rule.label)).collect();
    let view = Audit {
        filters,
        verbs: tools.chain(VERBS.map(str::to_owned)).collect(),
        stages,
        answer,
        next: found.as_ref().and_then(|page| page.next),
        older: older.unwrap_or_default(),
        rows: found.map(|page| page.rows.into_iter().map(|row| RowView::of(row, people)).collect()),
    };
    pages::page(&frame, &view)
}

/// "Why was this deal moved?", when the filters ask about one deal and its stage.
async fn answer(visit: &Visit<'_>, filters: &Filters) -> Option<Answer> {
    let deal = filters.q.strip_prefix("deal:").unwrap_or(&filters.q).to_owned();
    let digits = !deal.is_empty() && deal.bytes().all(|b| b.is_ascii_digit());
    let about_stages = matches!(filters.verb.as_str(), "" | "set_stage");
    if !digits || !about_stages || !filters.after.is_empty() {
        return None;
    }
    let to = (!filters.to.is_empty()).then(|| filters.to.clone());
    let (from, until) = window(visit, filters);
    let found =
        read(visit.deps, |log| async move { log.why(&deal, to.as_deref(), from, until).await }).await??;
    let people = visit.sight.people.as_ref();
    Some(Answer {
        row: RowView::of(found.row, people),
        reads: found.reads.into_iter().map(|row| RowView::of(row, people)).collect(),
        turned_on: found.turned_on.map(|row| RowView::of(row, people)),
    })
}

/// The rows as a spreadsheet.
pub(crate) async fn csv(visit: &Visit<'_>) -> Response {
    let Some(rows) = all(visit).await else { return visit.problem(problem::CANNOT_READ) };
    let people = visit.sight.people.as_ref();
    let rows: Vec<RowView> = rows.into_iter().map(|row| RowView::of(row, people)).collect();
    let url = visit.deps.install.console_url.as_deref().unwrap_or_default();
    Response::file("text/csv; charset=utf-8", "audit.csv", pages::csv(&rows, url).into_bytes())
}

/// The rows as JSON.
pub(crate) async fn json(visit: &Visit<'_>) -> Response {
    let Some(rows) = all(visit).await else { return visit.problem(problem::CANNOT_READ) };
    file("audit.json", &json!({ "rows": rows }))
}

async fn all(visit: &Visit<'_>) -> Option<Vec<audit_log::Row>> {
    let query = Query { limit: FILE_ROWS_MAX, cursor: None, ..query_of(visit, &filters(visit)) };
    read(visit.deps, |log| async move { log.search(&query).await }).await.map(|page| page.rows)
}

/// One row, as a page or as JSON.
pub(crate) async fn row(visit: &Visit<'_>, name: &str) -> Response {
    let Some((seq, kind)) = number_of(name) else { return visit.problem(problem::NO_SUCH_PAGE) };
    let Some(found) = read(visit.deps, |log| async move { log.row(seq).await }).await else {
        return visit.problem(problem::CANNOT_READ);
    };
    let Some(row) = found else { return visit.problem(problem::NO_SUCH_PAGE) };
    match kind {
        None => {
            let (frame, _) = visit.framed().await;
            pages::one(&frame, &RowView::of(row, visit.sight.people.as_ref()))
        }
        Some("json") => file(&format!("row-{seq}.json"), &json!(row)),
        Some(_) => visit.problem(problem::NO_SUCH_PAGE),
    }
}

/// The exact bytes that the model was sent, as a page or as they were.
pub(crate) async fn prompt(visit: &Visit<'_>, name: &str) -> Response {
    let (hash, kind) = name.split_once('.').map_or((name, None), |(hash, kind)| (hash, Some(kind)));
    let hash = hash.to_ascii_lowercase();
    if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return visit.problem(problem::NO_SUCH_PAGE);
    }
    let asked = hash.clone();
    let Some(found) = read(visit.deps, |log| async move { log.prompt_bytes(&asked).await }).await else {
        return visit.problem(problem::CANNOT_READ);
    };
    if let (Some("json"), Prompt::Exact(bytes)) = (kind, &found) {
        return Response::file("application/json", &format!("prompt-{hash}.json"), bytes.clone());
    }
    let view = match found {
        Prompt::Exact(bytes) => PromptView::Exact(String::from_utf8_lossy(&bytes).into_owned()),
        Prompt::Erased => PromptView::Erased,
        Prompt::Absent => PromptView::Absent,
        Prompt::Altered => PromptView::Altered,
    };
    let (frame, _) = visit.framed().await;
    pages::prompt(&frame, &hash, &view)
}

pub(crate) fn file(name: &str, value: &serde_json::Value) -> Response {
    let bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    Response::file("application/json", name, bytes)
}

fn filters(visit: &Visit<'_>) -> Filters {
    Filters {
        q: visit.query("q"),
        verb: visit.query("verb"),
        to: visit.query("to"),
        from: visit.query("from"),
        until: visit.query("until"),
        after: visit.query("after"),
    }
}

/// From when until when: 30 days unless the address says otherwise.
fn window(visit: &Visit<'_>, filters: &Filters) -> (Option<Timestamp>, Option<Timestamp>) {
    let zone = &visit.sight.seen.zone;
    let from = match filters.from.as_str() {
        "all" => None,
        text => match days::parse(text) {
            Some(date) => days::begins(date, zone),
            None => Some(earlier(visit.deps.now(), DAYS * 24 * 60 * 60)),
        },
    };
    (from, days::parse(&filters.until).and_then(|date| days::ends(date, zone)))
}

fn query_of(visit: &Visit<'_>, filters: &Filters) -> Query {
    let (from, until) = window(visit, filters);
    let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
    Query {
        text: filled(&filters.q),
        verb: filled(&filters.verb),
        to_stage: filled(&filters.to),
        from,
        until,
        limit: ROWS,
        cursor: filters.after.parse().ok(),
        ..Query::default()
    }
}
