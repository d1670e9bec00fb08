//! The life of an erasure, stage by stage. Must never call a request done while a store still holds her.
use crate::search::{self, Searched};
use crate::{PrivacyError, drain};
use audit_log::AuditLog;
use ledger::{
    Commit, DataRequest, Entry, Intent, IntentState, Ledger, RequestStage, Run, RunStatus, SecondLook,
    Stored, Transcript,
};
use serde_json::json;
use types::{Actor, EntryState, Reason, RequestId, RunId, Subject};

/// Who closes a run for an erasure.
const ACTOR: &str = "data_request";

/// Whether a stage led on.
enum Led {
    On,
    /// It waits for something else: the minute's sweep comes again.
    Waits,
}

/// Carries an erasure as far as it goes until `until_ms`, and returns it as it then is. It waits at
/// [`RequestStage::Showing`] for whoever holds the control item, and at [`RequestStage::Stopping`] for writes
/// on their way.
///
/// # Errors
/// [`PrivacyError`] when a store gave no answer: the request stands where it stood, and goes on when asked
/// again.
// INVARIANT (I28): every store that can hold her is one of the stages.
pub async fn carry_on(
    ledger: &Ledger,
    log: &AuditLog,
    id: &RequestId,
    until_ms: i64,
) -> Result<Option<DataRequest>, PrivacyError> {
    loop {
        let Some(mut request) = ledger.request(id).await? else { return Ok(None) };
        if !request.is_due(ledger.clock().now_ms()) || ledger.clock().now_ms() >= until_ms {
            return Ok(Some(request));
        }
        let more = || ledger.clock().now_ms() < until_ms;
        let led = match request.stage {
            RequestStage::Opened => {
                search::from_log(log, &mut request).await?;
                request.stage = RequestStage::Finding;
                Led::On
            }
            RequestStage::Finding => {
                if search::page(ledger, &mut request).await? == Searched::Through {
                    request.stage = RequestStage::Stopping;
                }
                Led::On
            }
            RequestStage::Stopping => stop(ledger, &mut request).await?,
            RequestStage::Erasing => erase(ledger, log, &mut request, &more).await?,
            RequestStage::Showing | RequestStage::Done => return Ok(Some(request)),
        };
        // Somebody else went on with it meanwhile: what is stored is what counts.
        if !ledger.save_request(&mut request, &[]).await? {
            continue;
        }
        if matches!(led, Led::Waits) {
            return Ok(Some(request));
        }
    }
}

/// Closes her runs. A step that holds one may still store something until its invocation has certainly ended.
async fn stop(ledger: &Ledger, request: &mut DataRequest) -> Result<Led, PrivacyError> {
    let mut waits = false;
    for run_id in request.runs.clone() {
        let Some(mut run) = ledger.find_run(&run_id).await? else { continue };
        if run.status.is_open() || run.status == RunStatus::Held {
            let until_ms = run.claim.as_ref().map_or(0, |claim| claim.until_ms);
            if close(ledger, &mut run).await? == Stored::Raced {
                waits = true;
                continue;
            }
            request.wait_until_ms = request.wait_until_ms.max(until_ms);
        }
        // FAIL-CLOSED: a write that has no end yet is read back by its row, which must stay until then.
        let transcript = ledger.transcript(&run_id).await?;
        waits |= transcript.intents.values().any(|intent| match intent.state {
            IntentState::Planned | IntentState::Open | IntentState::Unknown => true,
            IntentState::NeedsHuman | IntentState::Closed => false,
        });
    }
    if waits || ledger.clock().now_ms() < request.wait_until_ms {
        return Ok(Led::Waits);
    }
    if request.second_look == SecondLook::Due && !types::mutant("one_look") {
        request.second_look = SecondLook::Taken;
        request.stage = RequestStage::Finding;
        return Ok(Led::On);
    }
    for run_id in request.runs.clone() {
        let Some(mut run) = ledger.find_run(&run_id).await? else { continue };
        let ours = run.reason == Some(Reason::SubjectErased);
        if ours && tell_of_calls(ledger, &mut run).await? == Stored::Raced {
            return Ok(Led::Waits);
        }
    }
    request.stage = RequestStage::Showing;
    Ok(Led::On)
}

/// Calls of the step in hand that the model decided on and that no row tells of yet. A planned one has its
/// row, and its end from the minute's sweep.
fn without_a_row(run: &Run, transcript: &Transcript) -> u64 {
    let Some(decision) = transcript.decisions.get(&run.n) else { return 0 };
    let cap = Some(Reason::ToolCallsPerRun);
    let known = |index: usize| transcript.intents.get(&(run.n, index));
    let calls = 0..decision.calls.len();
    // Whatever stands behind the call that found the cap used up has its one row already.
    let found_no_call_left = |call: &Intent| call.outcome.as_ref().is_some_and(|end| end.reason == cap);
    if calls.clone().filter_map(known).any(found_no_call_left) {
        return 0;
    }
    let bare = calls.filter(|index| known(*index).is_none()).count();
    decision.calls_dropped.saturating_add(u64::try_from(bare).unwrap_or(u64::MAX))
}

/// The one row of the calls that nobody works off any more; the run is past their step then, so that whoever
/// comes again finds none.
// INVARIANT (I25): their decision, which may be younger than the run's end, is about to be erased.
async fn tell_of_calls(ledger: &Ledger, run: &mut Run) -> Result<Stored, PrivacyError> {
    let calls = without_a_row(run, &ledger.transcript(&run.run_id).await?);
    if calls == 0 || types::mutant("erased_without_rows") {
        return Ok(Stored::Yes);
    }
    let detail = json!({ "calls": calls });
    let entry = Entry { detail: Some(detail), ..closed_entry(ledger, run, "tool_calls") };
    run.n = run.n.saturating_add(1);
    Ok(ledger.commit(run, Commit { entries: vec![entry], ..Commit::default() }).await?)
}

/// Ends a run with its entry; it is never picked up again.
async fn close(ledger: &Ledger, run: &mut Run) -> Result<Stored, PrivacyError> {
    run.status = RunStatus::Discarded;
    run.reason = Some(Reason::SubjectErased);
    run.claim = None;
    run.ended_ms = Some(ledger.clock().now_ms());
    let status = json!({ "status": run.status.code() });
    let entry = Entry { detail: Some(status), ..closed_entry(ledger, run, "run") };
    let stored = ledger.commit(run, Commit { entries: vec![entry], ..Commit::default() }).await?;
    if let (Stored::Yes, Some(deal)) = (stored, &run.deal) {
        ledger.release(&deal.customer_id, &run.run_id).await;
    }
    Ok(stored)
}

fn closed_entry(ledger: &Ledger, run: &mut Run, verb: &str) -> Entry {
    let target = run.target();
    Entry {
        state: EntryState::Halted,
        reason: Some(Reason::SubjectErased),
        ..Entry::of_run(run, ledger.clock().now(), Actor::System(ACTOR.to_owned()), verb, target)
    }
}

/// The log first, because it needs what lies in the tables; then the tables; then a last look.
async fn erase(
    ledger: &Ledger,
    log: &AuditLog,
    request: &mut DataRequest,
    more: &(dyn Fn() -> bool + Sync),
) -> Result<Led, PrivacyError> {
    drain::drain(ledger, log).await?;
    if !search::log_texts(log, request, more).await? {
        return Ok(Led::On);
    }
    let found = search::found(log, request).await?;
    let id = request.request_id.to_string();
    let erased = log.erase_found(&found, &id, &request.opened_by, ledger.clock().now()).await?;
    request.counts.entries = erased.entries;
    request.counts.parts = erased.parts;
    request.counts.rows = request.counts.rows.saturating_add(tables(ledger, request).await?);
    request.counts.runs = u64::try_from(request.runs.len()).unwrap_or(u64::MAX);
    // What came into the outbox meanwhile is about her too.
    drain::drain(ledger, log).await?;
    if !log.scope(&found).await?.is_empty() {
        return Ok(Led::On);
    }
    finish(ledger, request);
    Ok(Led::On)
}

/// Outbox rows that never got into the log, messages to people, and her runs.
async fn tables(ledger: &Ledger, request: &DataRequest) -> Result<u64, PrivacyError> {
    let finder = request.subject.finder();
    let mut rows = 0_u64;
    for row in ledger.look_through_outbox().await? {
        let of_run = row.pk.split_once('#').is_some_and(|(run, _)| is_run(&request.runs, run));
        if of_run || search::is_about(&row, &request.subject, &finder) {
            ledger.erase_outbox_row(&row).await?;
            rows = rows.saturating_add(1);
        }
    }
    for ping in ledger.pings().await? {
        let text = ping.body.to_string();
        if finder.is_in(&text) || request.runs.iter().any(|run| text.contains(run.as_str())) {
            ledger.drop_ping(&ping.id).await?;
            rows = rows.saturating_add(1);
        }
    }
    if types::mutant("forgets_runs") {
        return Ok(rows);
    }
    for run_id in &request.runs {
        rows = rows.saturating_add(ledger.erase_run(run_id, &request.request_id).await?);
    }
    Ok(rows)
}

fn is_run(runs: &std::collections::BTreeSet<RunId>, id: &str) -> bool {
    runs.iter().any(|run| run.as_str() == id)
}

/// The row forgets whom it was about, and keeps that it was done.
fn finish(ledger: &Ledger, request: &mut DataRequest) {
    let finder = request.subject.finder();
    let ids: Vec<String> = request.subject.people();
    let names_her = |text: &String| finder.is_in(text) || ids.iter().any(|id| text.contains(id.as_str()));
    request.because = request.because.take().filter(|text| !names_her(text));
    request.subject = Subject::default();
    request.runs.clear();
    request.found.clear();
    request.cursor = None;
    request.stage = RequestStage::Done;
    request.done_ms = Some(ledger.clock().now_ms());
    tracing::info!(request_id = %request.request_id, "a data request is done");
}
