//! `holdfast drill`: a real halt and a resume in dry-run, timed and recorded. Must never halt everybody
//! unless a person asked for that and agreed.
use crate::arguments::Drill as Asked;
use crate::console::Ask;
use crate::error::{CliError, causes};
use crate::install::Install;
use crate::report::{Line, Report, Status, Three};
use interlock::{DEADLINE_MARGIN_MS, DRILL_CUSTOMER, Drill, DrillAsk, DrillFault, Drilled};
use ledger::{Entry, LedgerError};
use serde_json::json;
use std::time::Duration;
use types::{Actor, CustomerId, EntryState, Scope, Target};

/// The longest that a step may run (ms); a write in flight ends no later than that and the margin.
const STEP_MS_MAX: i64 = 60_000;
/// How long it waits beyond the last deadline (ms).
const PATIENCE_MS: i64 = 5_000;

/// Shows, asks where it concerns everybody, drills, records.
pub(crate) async fn run(
    install: &Install,
    arguments: &Asked,
    actor: Actor,
    ask: &mut dyn Ask,
) -> Result<Report, CliError> {
    if let Some(error) = &install.no_switch {
        let why = format!("{error}: {}", causes(error));
        let next = "inside AWS the halt function drills by itself; from here: holdfast doctor";
        return Ok(Report::failed(Three::new("nothing was drilled", why, next)));
    }
    let scope = if arguments.global { Scope::Global } else { Scope::Customer(drill_customer()?) };
    if arguments.global
        && let Err(three) = agreed(install, arguments.yes, ask).await?
    {
        return Ok(Report::failed(three));
    }
    let within = STEP_MS_MAX.saturating_add(DEADLINE_MARGIN_MS).saturating_add(PATIENCE_MS);
    let quiet_within = Duration::from_millis(u64::try_from(within).unwrap_or(0));
    let drilled = install.interlock.drill(&DrillAsk { scope, actor, quiet_within }).await;
    let control = |source| CliError::Control { operation: "drill", source };
    let drill = match drilled.map_err(control)? {
        Drilled::Done(drill) => drill,
        Drilled::NotRunning => return Ok(not_running()),
    };
    let recorded = install.ledger.append_outbox(&[entry(install, &drill)]).await;
    Ok(report(&drill, recorded.as_ref().err()))
}

fn drill_customer() -> Result<CustomerId, CliError> {
    let source = interlock::InterlockError::Malformed { attribute: "drill" };
    CustomerId::new(DRILL_CUSTOMER)
        .map_err(|_never| CliError::Control { operation: "name the drill's customer", source })
}

/// A drill of everything stops real work, so only the typed word (or `--yes`) goes on.
async fn agreed(install: &Install, yes: bool, ask: &mut dyn Ask) -> Result<Result<(), Three>, CliError> {
    let control = install.interlock.control().await;
    let control =
        control.map_err(|source| CliError::Control { operation: "read the control item", source })?;
    let (_, unknown) = control.writes(&Scope::Global, install.clock.now_ms());
    if !unknown.is_empty() {
        return Ok(Err(Three::new(
            "nothing was drilled",
            format!("results still unknown: {}; with those it is never quiet", unknown.len()),
            "settle them first: holdfast status",
        )));
    }
    ask.progress("a drill of everything is a real halt: runs under way stop for good");
    ask.progress("afterwards every tool starts in dry-run; turn writes on again in the console");
    if yes {
        return Ok(Ok(()));
    }
    Ok(match ask.ask("type the word drill") {
        Some(word) if word == "drill" => Ok(()),
        Some(_) => {
            Err(Three::new("nothing was drilled", "the word was not typed", "holdfast drill --global"))
        }
        None => Err(Three::usage(
            "nothing was drilled",
            "nobody is at a terminal to confirm it",
            "holdfast drill --global --yes",
        )),
    })
}

fn not_running() -> Report {
    Report::done(Vec::new(), json!({"drilled": false, "why": "not_running"})).but(Three::new(
        "nothing was drilled",
        "the agent is halted already: a halt that is in force needs no drill",
        "holdfast status",
    ))
}

fn entry(install: &Install, drill: &Drill) -> Entry {
    let (target, customer_id) = match &drill.scope {
        Scope::Global => (Target::new("agent", "global"), None),
        Scope::Customer(id) => (Target::new("customer", id), Some(id.clone())),
    };
    let state = if drill.fault.is_none() { EntryState::Applied } else { EntryState::Failed };
    Entry {
        customer_id,
        state,
        detail: Some(json!(drill)),
        ..Entry::new(
            "control",
            format_args!("{}-drill", drill.receipt_id),
            install.clock.now(),
            drill.actor.clone(),
            "drill",
            target,
        )
    }
}

/// What held, with its times, and what did not.
fn report(drill: &Drill, not_recorded: Option<&LedgerError>) -> Report {
    let after = |at_ms: Option<i64>| {
        at_ms.map_or_else(
            || "not confirmed".to_owned(),
            |at| format!("{} ms", at.saturating_sub(drill.pressed_ms)),
        )
    };
    let good = |good: bool| if good { Status::Ok } else { Status::Fail };
    let said = |text: &Option<String>| text.clone().unwrap_or_else(|| "not asked, or no answer".to_owned());
    let quiet = match drill.quiet_ms {
        Some(_) => Line::item(Status::Ok, "quiet", format!("nothing in flight, {}", after(drill.quiet_ms))),
        None => {
            Line::item(Status::Warn, "quiet", "a write was still in flight or unknown when the wait ended")
        }
    };
    let halted = |text: &Option<String>| text.as_deref().is_some_and(|text| text.starts_with("halted_"));
    let lines = vec![
        Line::item(Status::Did, "halted", format!("{}; times count from the press", drill.scope)),
        Line::item(good(drill.control_ms.is_some()), "control item", after(drill.control_ms)),
        Line::item(good(drill.flags_ms.is_some()), "switch store", after(drill.flags_ms)),
        quiet,
        Line::item(good(halted(&drill.flag_check)), "flag check", said(&drill.flag_check)),
        Line::item(good(halted(&drill.permit)), "permit", format!("refused: {}", said(&drill.permit))),
        Line::item(good(drill.resumed_ms.is_some()), "resumed", after(drill.resumed_ms)),
        Line::text(format!("Receipt {}", drill.receipt_id)),
    ];
    let (passed, recorded) = (drill.fault.is_none(), not_recorded.is_none());
    let json = json!({"drilled": true, "passed": passed, "recorded": recorded, "drill": drill});
    let report = Report::done(lines, json);
    match (drill.fault, not_recorded) {
        (Some(fault), _) => report.but(Three::new(
            "the drill found a fault, and did not resume",
            why(fault),
            "look at what is there now: holdfast status",
        )),
        (None, Some(error)) => report.but(Three::new(
            "the drill held, but is not in the audit log",
            error.to_string(),
            "drill again when the tables answer",
        )),
        (None, None) => report,
    }
}

fn why(fault: DrillFault) -> &'static str {
    match fault {
        DrillFault::ControlSilent => "the control item did not confirm the halt",
        DrillFault::FlagsSilent => "the switch store did not confirm the halt",
        DrillFault::FlagCheck => "a check of the switch store did not say that it is halted",
        DrillFault::Permit => "a write was not refused because of the halt",
        DrillFault::PressedAgain => "somebody pressed HALT meanwhile; her halt stands",
        DrillFault::NotResumed => "the halt held, but the resume was not confirmed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn drill(fault: Option<DrillFault>) -> Drill {
        Drill {
            receipt_id: "abc".into(),
            scope: Scope::Customer(drill_customer().unwrap()),
            actor: Actor::System("cli".into()),
            pressed_ms: 1_000,
            flags_ms: Some(1_004),
            control_ms: Some(1_009),
            quiet_ms: Some(1_009),
            flag_check: Some("halted_customer".into()),
            permit: Some("halted_customer".into()),
            resumed_ms: fault.is_none().then_some(1_030),
            fault,
        }
    }

    #[test]
    fn a_fault_fails_the_command_and_a_clean_drill_does_not() {
        let clean = report(&drill(None), None);
        assert_eq!((clean.exit_code(), &clean.json["passed"]), (0, &Value::Bool(true)));
        for fault in
            [DrillFault::FlagCheck, DrillFault::Permit, DrillFault::PressedAgain, DrillFault::NotResumed]
        {
            let faulty = report(&drill(Some(fault)), None);
            assert_eq!((faulty.exit_code(), &faulty.json["passed"]), (1, &Value::Bool(false)));
            assert_eq!(faulty.failed.unwrap().why, why(fault));
        }
    }

    #[test]
    fn a_permit_that_was_granted_is_not_worded_as_fine() {
        let granted = Drill { permit: Some("granted".into()), ..drill(Some(DrillFault::Permit)) };
        let said = report(&granted, None);
        let failed =
            |line: &Line| matches!(line, Line::Item { status: Status::Fail, about, .. } if about == "permit");
        assert!(said.lines.iter().any(failed), "{said:?}");
    }
}
