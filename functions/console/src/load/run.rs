//! Reads one run from the tables and the log, and puts both into one order. Must never change the run.
use super::waiting::may_start;
use super::{audit::file, read, table};
use crate::pages::problem;
use crate::pages::run::{RunPage, StartAgain, Step, page as page_of};
use crate::route::Visit;
use crate::view::RowView;
use ledger::{Decision, Run, Transcript};
use serde_json::json;
use sight::moment;
use types::{RunId, Timestamp, UsdNanos};
use web::Response;

/// The page, or the raw rows.
pub(crate) async fn page(visit: &Visit<'_>, name: &str) -> Response {
    page_with(visit, name, None, 200).await
}

/// The same with the reason that was typed for starting it again, and why it was not.
pub(crate) async fn page_with(
    visit: &Visit<'_>,
    name: &str,
    refused: Option<(String, String)>,
    status: u16,
) -> Response {
    let (id, raw) = name.strip_suffix(".json").map_or((name, false), |id| (id, true));
    let Ok(run_id) = RunId::new(id) else { return visit.problem(problem::NO_SUCH_PAGE) };
    let (run, followed_by, transcript, rows) = tokio::join!(
        table(visit.deps.ledger.run(&run_id)),
        table(visit.deps.ledger.followed_by(&run_id)),
        table(visit.deps.ledger.transcript(&run_id)),
        read(visit.deps, |log| async move { log.run(id).await }),
    );
    if run.is_none() && rows.is_none() {
        return visit.problem(problem::CANNOT_READ);
    }
    if raw {
        let decisions = transcript.map(|t| t.decisions.into_values().collect::<Vec<_>>());
        return file(&format!("{run_id}.json"), &json!({ "run": run, "decisions": decisions, "rows": rows }));
    }
    let people = visit.sight.people.as_ref();
    let log_missing = rows.is_none();
    let rows: Vec<RowView> =
        rows.unwrap_or_default().into_iter().map(|row| RowView::of(row, people)).collect();
    let (frame, _) = visit.framed().await;
    let transcript = transcript.unwrap_or_default();
    let mut view = view_of(visit, &run_id, run.as_ref(), &transcript, rows, log_missing);
    view.again = again(visit, run.as_ref(), followed_by.flatten(), refused);
    page_of(&frame, &view, status)
}

fn view_of(
    visit: &Visit<'_>,
    run_id: &RunId,
    run: Option<&Run>,
    transcript: &Transcript,
    rows: Vec<RowView>,
    log_missing: bool,
) -> RunPage {
    let deal = run.and_then(|run| run.deal.as_ref());
    let decisions: Vec<&Decision> = transcript.decisions.values().collect();
    let app = visit.deps.install.hubspot_app_url.as_ref();
    let url = |run: &Run| {
        let deal = run.deal.as_ref()?;
        Some(format!("{}/contacts/{}/record/0-3/{}", app?, run.event.portal_id, deal.deal_id))
    };
    RunPage {
        run_id: run_id.to_string(),
        status: run
            .map(|run| (run.status.code().to_owned(), run.reason.map(|reason| reason.code().to_owned()))),
        deal: deal.map(|deal| format!("Deal {} {}", deal.deal_id, deal.deal_name)),
        customer: deal.map(|deal| deal.customer_name.clone()),
        usd: decisions.iter().fold(UsdNanos::ZERO, |sum, decision| sum.plus(decision.usd)),
        tokens: decisions.iter().fold(0, |sum, decision| sum.saturating_add(decision.tokens)),
        calls: decisions.iter().map(|decision| decision.calls.len()).sum(),
        steps: steps(run, &decisions, &rows),
        log_missing,
        deal_url: run.and_then(url),
        follows: run.and_then(|run| run.follows.as_ref()).map(|follows| follows.run_id.to_string()),
        again: StartAgain::No,
    }
}

/// May this run be started again, and was it?
fn again(
    visit: &Visit<'_>,
    run: Option<&Run>,
    followed_by: Option<Run>,
    refused: Option<(String, String)>,
) -> StartAgain {
    if let Some(new) = followed_by {
        return StartAgain::Done(new.run_id.to_string());
    }
    if !run.is_some_and(|run| run.status.is_stopped()) && refused.is_none() {
        return StartAgain::No;
    }
    let (typed, error) = refused.unzip();
    StartAgain::Offer { typed: typed.unwrap_or_default(), error, halted: !may_start(visit) }
}

/// Event, then step by step: what the model asked for, then what became of each call.
fn steps(run: Option<&Run>, decisions: &[&Decision], rows: &[RowView]) -> Vec<Step> {
    let mut steps: Vec<Step> = run.map(event_step).into_iter().collect();
    let mut left: Vec<&RowView> = rows.iter().collect();
    for decision in decisions {
        let step = i64::from(decision.step);
        let (mine, later): (Vec<&RowView>, Vec<&RowView>) =
            left.into_iter().partition(|row| row.row.step.is_some_and(|at| at <= step) && row.verb != "run");
        let at = mine.first().map(|row| row.at);
        steps.push(model_step(decision, at));
        steps.extend(mine.into_iter().map(row_step));
        left = later;
    }
    steps.extend(left.into_iter().map(row_step));
    steps
}

fn event_step(run: &Run) -> Step {
    Step {
        at: Some(moment(run.event.received_ms)),
        part: "Event".to_owned(),
        text: format!("HubSpot: {}", run.event.line()),
        seq: None,
        result: None,
        prompt_hash: None,
    }
}

fn model_step(decision: &Decision, at: Option<Timestamp>) -> Step {
    let calls: Vec<&str> = decision.calls.iter().map(|call| call.name.as_str()).collect();
    let asks = if calls.is_empty() {
        "asks for nothing more".to_owned()
    } else {
        format!("asks: {}", calls.join(", then "))
    };
    let dropped = match decision.calls_dropped {
        0 => String::new(),
        n => format!(", {n} more not looked at"),
    };
    let ends = decision.ends.map(|reason| format!(" (ends: {reason})")).unwrap_or_default();
    let said = if decision.text.trim().is_empty() {
        String::new()
    } else {
        format!(" Says: “{}”", decision.text.trim())
    };
    Step {
        at,
        part: "Model".to_owned(),
        text: format!(
            "{asks}{dropped}{ends}. {} tokens, {}, {}.{said}",
            decision.tokens, decision.usd, decision.model_version
        ),
        seq: None,
        result: None,
        prompt_hash: Some(decision.prompt.hash.clone()),
    }
}

fn row_step(row: &RowView) -> Step {
    let what = match (&row.what.before, &row.what.after) {
        (Some(before), Some(after)) => format!("{} {before} → {after}", row.what.words),
        (None, Some(after)) => format!("{} → {after}", row.what.words),
        (_, None) => row.what.words.clone(),
    };
    let reason = row.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let because = row.because.as_ref().map(|because| format!(" Because: “{because}”")).unwrap_or_default();
    Step {
        at: Some(row.at),
        part: row.verb.clone(),
        text: format!("{what}{reason}.{because}"),
        seq: Some(row.seq),
        result: Some(row.result()),
        prompt_hash: None,
    }
}
