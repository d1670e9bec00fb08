//! `holdfast checked`: a person looked in HubSpot, and closes a write that was never answered. Must never
//! send anything, nor close one that still can be settled by reading.
use crate::arguments::{Checked, Found};
use crate::error::CliError;
use crate::install::Install;
use crate::report::{Line, Report, Status, Three};
use ledger::{Commit, Entry, Intent, IntentOutcome, IntentState, LedgerError, Opened, Run, Stored};
use serde_json::json;
use types::{Actor, EntryState, IntentId, Reason};

/// How often a change is tried against a sweep's.
const TRIES: usize = 4;

/// Closes it: row and audit entry together, then its permits are forgotten.
pub(crate) async fn run(install: &Install, arguments: &Checked, actor: Actor) -> Result<Report, CliError> {
    let tables = |operation| move |source: LedgerError| CliError::Tables { operation, source };
    for _ in 0..TRIES {
        let waiting = install.ledger.open_intents("needs_human", i64::MAX).await;
        let waiting = waiting.map_err(tables("read the writes that wait for a person"))?;
        let Some(opened) = waiting.into_iter().find(|one| one.intent.intent_id == arguments.intent) else {
            return Ok(not_waiting(&arguments.intent));
        };
        let mut run = install.ledger.run(&opened.run_id).await.map_err(tables("read its run"))?;
        let intent = close(opened, arguments);
        let entry = entry(install, &mut run, &intent, arguments, actor.clone());
        let commit = Commit { intents: vec![intent.clone()], entries: vec![entry], ..Commit::default() };
        match install.ledger.commit(&mut run, commit).await.map_err(tables("close it"))? {
            Stored::Raced => {}
            Stored::Yes => {
                let resolved = install.interlock.resolve(&intent.intent_id).await;
                let report = report(&run, &intent);
                return Ok(match resolved {
                    Ok(()) => report,
                    Err(error) => report.but(Three::new(
                        "it is closed, but its permit still counts as unknown",
                        error.to_string(),
                        "nothing is lost: holdfast status shows it, and no write of it can start",
                    )),
                });
            }
        }
    }
    Ok(Report::failed(Three::new(
        "nothing was closed",
        "the run was changed by others at each try",
        "try again",
    )))
}

fn state_of(found: Option<Found>) -> EntryState {
    match found {
        Some(Found::There) => EntryState::Applied,
        Some(Found::Absent) => EntryState::Failed,
        None => EntryState::Unknown,
    }
}

fn close(opened: Opened, arguments: &Checked) -> Intent {
    let state = state_of(arguments.found);
    let tell = match arguments.found {
        Some(Found::There) => "Done: a person found it in the CRM.",
        Some(Found::Absent) => "Not done: a person looked, and it is not in the CRM.",
        None => "A person checked it by hand.",
    };
    let mut intent = opened.intent;
    intent.state = IntentState::Closed;
    intent.read_back_ms = None;
    intent.outcome = Some(IntentOutcome {
        state,
        reason: Some(Reason::CheckedByHand),
        tell: tell.to_owned(),
        is_error: state != EntryState::Applied,
    });
    intent
}

fn entry(install: &Install, run: &mut Run, intent: &Intent, arguments: &Checked, actor: Actor) -> Entry {
    Entry {
        customer_id: intent.customer_id.clone(),
        state: state_of(arguments.found),
        reason: Some(Reason::CheckedByHand),
        mode: intent.mode,
        tier: intent.tier,
        intent_id: Some(intent.intent_id.clone()),
        step: Some(intent.step),
        before: intent.before.clone(),
        after: intent.after.clone(),
        because: Some(arguments.because.clone()),
        detail: Some(json!({"what": intent.what, "source": "cli"})),
        ..Entry::of_run(run, install.clock.now(), actor, &intent.tool, intent.target.clone())
    }
}

fn not_waiting(intent: &IntentId) -> Report {
    Report::failed(Three::new(
        "nothing was closed",
        format!("no write `{intent}` waits for a person: it is closed already, or is still being read back"),
        "holdfast status lists those that wait",
    ))
}

fn report(run: &Run, intent: &Intent) -> Report {
    let state = intent.outcome.as_ref().map_or(EntryState::Unknown, |outcome| outcome.state);
    let word = match state {
        EntryState::Applied => "as done",
        EntryState::Failed => "as not done",
        EntryState::Opened
        | EntryState::WouldHave
        | EntryState::Drafted
        | EntryState::Refused
        | EntryState::Halted
        | EntryState::Unknown => "as unknown, with your reason",
    };
    let lines =
        vec![Line::item(Status::Did, "closed", format!("{word}: {} ({})", intent.what, intent.target))];
    let json = json!({
        "closed": intent.intent_id, "run_id": run.run_id, "state": state, "reason": Reason::CheckedByHand,
    });
    Report::done(lines, json)
}
