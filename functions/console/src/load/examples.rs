//! Surprising rows as examples for the agent: what it saw, what it would have done, what it should have done.
//! Must never hand out a row that nobody called surprising.
use super::{read, would_have};
use crate::pages::problem;
use crate::route::{Visit, number_of};
use audit_log::{Judged, JudgedFilter, Prompt, Query, Row};
use serde_json::{Value, json};
use types::EntryState;
use web::Response;

/// The shape of a line; another one gets another name.
const FORMAT: &str = "holdfast-example/1";
/// The most rows of one file.
const ROWS_MAX: u32 = 200;
/// The most bytes of one file: an answer of the platform holds 6 MB, and JSON in JSON takes more.
const BYTES_MAX: usize = 2_500_000;

/// All of them that match the address, newest first. A last line says where the next file begins.
pub(crate) async fn all(visit: &Visit<'_>) -> Response {
    let filters = would_have::filters(visit);
    let query = Query {
        judged: Some(JudgedFilter::Surprising),
        limit: ROWS_MAX,
        ..would_have::query_of(visit, &filters)
    };
    let Some(page) = read(visit.deps, |log| async move { log.search(&query).await }).await else {
        return visit.problem(problem::CANNOT_READ);
    };
    let mut lines = String::new();
    let mut next = page.next;
    let mut last = None;
    for row in &page.rows {
        let Some(line) = example(visit, row).await else { return visit.problem(problem::CANNOT_READ) };
        if !lines.is_empty() && lines.len().saturating_add(line.len()) > BYTES_MAX {
            next = last;
            break;
        }
        lines.push_str(&line);
        last = Some(row.seq);
    }
    if let Some(next) = next {
        let address = address(visit, &filters.address("/would-have.jsonl", &next.to_string()));
        lines.push_str(&format!("{}\n", json!({ "format": FORMAT, "next": address })));
    }
    file("examples.jsonl", lines)
}

/// One of them.
pub(crate) async fn one(visit: &Visit<'_>, name: &str) -> Response {
    let Some((seq, Some("jsonl"))) = number_of(name) else { return visit.problem(problem::NO_SUCH_PAGE) };
    let Some(found) = read(visit.deps, |log| async move { log.row(seq).await }).await else {
        return visit.problem(problem::CANNOT_READ);
    };
    let surprising = |row: &Row| {
        let judged = row.judgement.as_ref().is_some_and(|said| said.judged == Judged::Surprising);
        judged && row.decision == EntryState::WouldHave
    };
    let Some(row) = found.filter(surprising) else { return visit.problem(problem::NO_SUCH_PAGE) };
    match example(visit, &row).await {
        Some(line) => file(&format!("example-{seq}.jsonl"), line),
        None => visit.problem(problem::CANNOT_READ),
    }
}

fn file(name: &str, lines: String) -> Response {
    Response::file("application/jsonl", name, lines.into_bytes())
}

fn address(visit: &Visit<'_>, path: &str) -> String {
    format!("{}{path}", visit.deps.install.console_url.as_deref().unwrap_or_default())
}

/// One line. `None`: the log is away.
async fn example(visit: &Visit<'_>, row: &Row) -> Option<String> {
    let saw = match row.prompt_hash.clone() {
        Some(hash) => read(visit.deps, |log| async move { log.prompt_bytes(&hash).await }).await?,
        None => Prompt::Absent,
    };
    let people = visit.sight.people.as_ref();
    let said = row.judgement.as_ref();
    let line = json!({
        "format": FORMAT,
        "tool": row.verb,
        "saw": saw_of(&saw),
        "saw_is": match saw {
            Prompt::Exact(_) => "what the model was sent",
            Prompt::Erased => "erased",
            Prompt::Absent => "not kept",
            Prompt::Altered => "altered",
        },
        "would_have": {
            "what": row.detail.as_ref().and_then(|detail| detail.get("what")),
            "request": row.detail.as_ref().and_then(|detail| detail.get("request")),
            "before": row.before,
            "after": row.after,
            "because": row.because,
        },
        "should_have": said.and_then(|said| said.note.clone()),
        "judged_by": said.map(|said| sight::name_of(&format!("person:{}", said.person), people)),
        "judged_at": said.map(|said| said.at.to_string()),
        "at": row.occurred_at.to_string(),
        "model": row.model_version,
        "prompt_hash": row.prompt_hash,
        "address": address(visit, &format!("/audit/{}", row.seq)),
    });
    Some(format!("{line}\n"))
}

/// System text and messages: the tools' schemas are the same for all.
fn saw_of(prompt: &Prompt) -> Value {
    let Prompt::Exact(bytes) = prompt else { return Value::Null };
    match serde_json::from_slice::<Value>(bytes) {
        Ok(request) => json!({ "system": request.get("system"), "messages": request.get("messages") }),
        Err(_) => Value::from(String::from_utf8_lossy(bytes).into_owned()),
    }
}
