//! Held events and unanswered writes. Must never start a run that began before a halt, nor send a write
//! again.
use crate::entry;
use crate::load::waiting::{may_start, page_with};
use crate::pages::problem;
use crate::route::{Visit, reason_of};
use ledger::{Commit, Entry, IntentOutcome, IntentState, LedgerError, Run, RunStatus, Stored};
use serde_json::json;
use starter::Start;
use types::{EntryState, Reason, RunId};
use web::{Fields, Response};

/// The most runs of one form: a page.
const RUNS_MAX: usize = 30;

/// What became of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Became {
    Changed,
    /// It was not waiting any more.
    Gone,
}

/// Starts held events, one or all that were shown.
pub(crate) async fn start(visit: &Visit<'_>, form: &Fields) -> Response {
    if !may_start(visit) {
        let error = "The agent is halted, so nothing was started. Resume it first.".to_owned();
        return page_with(visit, None, Some(error), 409).await;
    }
    if visit.deps.starter.is_none() {
        return page_with(visit, None, Some("Nothing can be started from here.".to_owned()), 503).await;
    }
    each(visit, form, true).await
}

/// Throws held events away, one or all that were shown.
pub(crate) async fn discard(visit: &Visit<'_>, form: &Fields) -> Response {
    each(visit, form, false).await
}

async fn each(visit: &Visit<'_>, form: &Fields, start: bool) -> Response {
    let ids = form.iter().filter(|(name, _)| *name == "run").map(|(_, value)| RunId::new(value));
    let ids: Result<Vec<RunId>, _> = ids.collect();
    let Some(ids) = ids.ok().filter(|ids| !ids.is_empty() && ids.len() <= RUNS_MAX) else {
        return visit.problem(problem::BAD_FORM);
    };
    let mut changed = 0_usize;
    for id in &ids {
        let became = if start { start_one(visit, id).await } else { discard_one(visit, id).await };
        match became {
            Ok(Became::Changed) => changed = changed.saturating_add(1),
            Ok(Became::Gone) => {}
            Err(error) => {
                tracing::error!(error = &*error, run_id = %id, "a waiting event could not be changed");
                let error =
                    format!("A store did not answer after {changed} of {}. Look at the list.", ids.len());
                return page_with(visit, None, Some(error), 503).await;
            }
        }
    }
    let notice = match (changed, start) {
        (0, _) => "gone",
        (_, true) => "started",
        (_, false) => "discarded",
    };
    Response::see_other(&format!("/waiting?n={notice}"))
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn start_one(visit: &Visit<'_>, id: &RunId) -> Result<Became, Failed> {
    let Some(held) = held(visit, id).await? else { return Ok(Became::Gone) };
    let Some(starter) = &visit.deps.starter else { return Ok(Became::Gone) };
    let entry = entry_of(visit, &held, "start_held");
    let mut run = held.clone();
    run.requeue();
    let start = Start { name: run.execution_name(), run_id: run.run_id.clone(), n: run.n };
    let start = async { starter.start(&start).await.map(drop).map_err(Failed::from) };
    let started = visit.deps.ledger.start_held(held, run, entry, start).await?;
    Ok(if started { Became::Changed } else { Became::Gone })
}

async fn discard_one(visit: &Visit<'_>, id: &RunId) -> Result<Became, Failed> {
    let Some(mut run) = held(visit, id).await? else { return Ok(Became::Gone) };
    let mut entry = entry_of(visit, &run, "discard_held");
    entry.reason = Some(Reason::Discarded);
    run.status = RunStatus::Discarded;
    run.reason = Some(Reason::Discarded);
    run.ended_ms = Some(visit.deps.now().as_millisecond());
    Ok(if stored(visit, &mut run, entry).await? { Became::Changed } else { Became::Gone })
}

/// The run, if it still waits and never began.
async fn held(visit: &Visit<'_>, id: &RunId) -> Result<Option<Run>, LedgerError> {
    let run = visit.deps.ledger.find_run(id).await?;
    Ok(run.filter(|run| run.status == RunStatus::Held && run.bound.is_none()))
}

/// The change and its entry, both or neither. False when somebody was first.
async fn stored(visit: &Visit<'_>, run: &mut Run, entry: Entry) -> Result<bool, LedgerError> {
    let commit = Commit { entries: vec![entry], ..Commit::default() };
    Ok(visit.deps.ledger.commit(run, commit).await? == Stored::Yes)
}

fn entry_of(visit: &Visit<'_>, run: &Run, verb: &str) -> Entry {
    let deal = run.deal.as_ref();
    let mut entry = entry::of_person(visit.deps.now(), &visit.viewer.person, verb, run.target());
    entry.run_id = Some(run.run_id.clone());
    entry.customer_id = deal.map(|deal| deal.customer_id.clone());
    entry.subjects = deal.map(|deal| deal.subjects.clone()).unwrap_or_default();
    entry.detail = Some(json!({
        "event": run.event.line(),
        "customer": deal.map(|deal| deal.customer_name.clone()),
        "deal": deal.map(|deal| deal.deal_name.clone()),
    }));
    entry
}

/// "I checked it": a person says what became of a write that nobody answered.
pub(crate) async fn checked(visit: &Visit<'_>, form: &Fields) -> Response {
    let text = |field: &str| form.get(field).unwrap_or_default().to_owned();
    let (intent_id, typed) = (text("intent"), text("why"));
    let state = match form.get("found") {
        Some("there") => Some(EntryState::Applied),
        Some("absent") => Some(EntryState::Failed),
        Some(_) | None => None,
    };
    let (Some(state), Some(why)) = (state, reason_of(form, "why")) else {
        let error = "Choose what you found, and say in 10 characters or more how you checked.".to_owned();
        return page_with(visit, Some((intent_id, typed)), Some(error), 422).await;
    };
    let Ok(run_id) = RunId::new(text("run")) else { return visit.problem(problem::BAD_FORM) };
    match close(visit, &run_id, &intent_id, state, why).await {
        Ok(Became::Changed) => Response::see_other("/waiting?n=checked"),
        Ok(Became::Gone) => Response::see_other("/waiting?n=gone"),
        Err(error) => {
            tracing::error!(error = &*error, %run_id, "a checked write could not be closed");
            visit.problem(problem::NO_ANSWER)
        }
    }
}

/// Ends the tool call: row and entry together, then its permits are forgotten.
// INVARIANT (I21): an end is only ever said once, and nothing is sent again.
async fn close(
    visit: &Visit<'_>,
    run_id: &RunId,
    intent_id: &str,
    state: EntryState,
    why: String,
) -> Result<Became, Failed> {
    let mut run = visit.deps.ledger.run(run_id).await?;
    let transcript = visit.deps.ledger.transcript(run_id).await?;
    let found = transcript.intents.into_values().find(|intent| intent.intent_id.as_str() == intent_id);
    let Some(mut intent) = found.filter(|intent| intent.state == IntentState::NeedsHuman) else {
        return Ok(Became::Gone);
    };
    let tell = if state == EntryState::Applied {
        "Done; a person checked it."
    } else {
        "Not done; a person checked it."
    };
    intent.state = IntentState::Closed;
    intent.read_back_ms = None;
    intent.outcome = Some(IntentOutcome {
        state,
        reason: Some(Reason::CheckedByHand),
        tell: tell.to_owned(),
        is_error: state != EntryState::Applied,
    });
    let mut entry = entry_of(visit, &run, &intent.tool);
    entry.target = intent.target.clone();
    entry.state = state;
    entry.reason = Some(Reason::CheckedByHand);
    entry.mode = intent.mode;
    entry.tier = intent.tier;
    entry.intent_id = Some(intent.intent_id.clone());
    entry.step = Some(intent.step);
    entry.before = intent.before.clone();
    entry.after = intent.after.clone();
    entry.because = Some(why);
    let id = intent.intent_id.clone();
    let commit = Commit { intents: vec![intent], entries: vec![entry], ..Commit::default() };
    if visit.deps.ledger.commit(&mut run, commit).await? == Stored::Raced {
        return Ok(Became::Gone);
    }
    visit.deps.interlock.resolve(&id).await?;
    Ok(Became::Changed)
}
