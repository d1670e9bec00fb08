//! The would-have log on a terminal: one block a run, one line a row. Must never print a row that is not in
//! the log.
use crate::House;
use crate::first_boot::spent_today;
use crate::terminal::{Status, Terminal};
use audit_log::Row;
use ledger::{Run, RunStatus};
use serde_json::Value;
use types::{EntryState, RunId, UsdNanos};

/// What the last line counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Runs printed.
    pub runs: usize,
    /// Runs with at least one would-have row.
    pub dry_run: usize,
    /// Runs with at least one refused call.
    pub refused: usize,
    /// Runs that a halt or a cap stopped.
    pub halted: usize,
    /// Writes that the CRM confirmed.
    pub writes: usize,
    /// Nano-dollars.
    pub usd: UsdNanos,
}

/// Why a report could not be printed.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A run.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
    /// The log.
    #[error(transparent)]
    AuditLog(#[from] audit_log::Error),
}

/// Prints one run and counts it.
///
/// # Errors
/// [`ReportError`] when the run or its rows cannot be read.
pub async fn print_run(
    house: &House,
    terminal: Terminal,
    run_id: &RunId,
    totals: &mut Totals,
) -> Result<(), ReportError> {
    let run = house.step.ledger.run(run_id).await?;
    let transcript = house.step.ledger.transcript(run_id).await?;
    let rows = house.audit.log.run(run_id.as_str()).await?;
    let usd = transcript.decisions.values().fold(UsdNanos::ZERO, |sum, decision| sum.plus(decision.usd));
    totals.runs = totals.runs.saturating_add(1);
    totals.usd = totals.usd.plus(usd);
    let any = |state: EntryState| rows.iter().any(|row| is_call(row) && row.decision == state);
    totals.dry_run = totals.dry_run.saturating_add(usize::from(any(EntryState::WouldHave)));
    totals.refused = totals.refused.saturating_add(usize::from(any(EntryState::Refused)));
    let halted = matches!(run.status, RunStatus::Halted | RunStatus::Held);
    totals.halted = totals.halted.saturating_add(usize::from(halted));
    totals.writes = totals.writes.saturating_add(rows.iter().filter(|row| is_write(row)).count());
    if terminal.is_json() {
        for row in &rows {
            if let Ok(line) = serde_json::to_string(row) {
                terminal.say(&line);
            }
        }
        return Ok(());
    }
    terminal.say(&heading(terminal, &run));
    if run.bound.is_some() {
        terminal.say(&terminal.line(Status::Ok, "halt check", "clear"));
        let day = spent_today(house).await;
        let day = day.map(|(spent, cap)| format!(", day {spent} of {cap}")).unwrap_or_default();
        terminal.say(&terminal.line(Status::Ok, "budget", &format!("used {usd}{day}")));
    }
    for row in &rows {
        if let Some((status, text)) = row_text(row) {
            let what = if is_call(row) { row.verb.as_str() } else { place(row) };
            terminal.say(&terminal.line(status, what, &text));
        }
    }
    Ok(())
}

/// The last line.
#[must_use]
pub fn last_line(totals: &Totals, seconds_tenths: u64) -> String {
    let writes = if totals.writes == 1 { "1 write".to_owned() } else { format!("{} writes", totals.writes) };
    format!(
        "{} runs: {} dry-run, {} with a refusal, {} halted. {writes}. {}. {}.{} s",
        totals.runs,
        totals.dry_run,
        totals.refused,
        totals.halted,
        totals.usd,
        seconds_tenths / 10,
        seconds_tenths % 10,
    )
}

fn heading(terminal: Terminal, run: &Run) -> String {
    let about = match &run.deal {
        Some(deal) => format!("{} deal {} {}", run.run_id, deal.deal_id, deal.customer_name),
        None => format!("{} {}", run.run_id, run.event.line()),
    };
    terminal.plain(&about, 80)
}

fn is_call(row: &Row) -> bool {
    row.intent_id.is_some()
}

fn is_write(row: &Row) -> bool {
    row.decision == EntryState::Applied && row.mode == Some(types::Mode::Live)
}

/// Where in the step a row of the run itself belongs.
fn place(row: &Row) -> &'static str {
    match (row.verb.as_str(), row.decision) {
        ("trip", _) => "budget",
        (_, EntryState::Halted) => "halt check",
        _ => "run",
    }
}

fn row_text(row: &Row) -> Option<(Status, String)> {
    let what = row.detail.as_ref().and_then(|detail| detail.get("what")).and_then(Value::as_str);
    let what = what.unwrap_or(&row.verb);
    let reason = row.reason.as_deref().unwrap_or_default();
    let because = row.because.as_deref().unwrap_or_default();
    if !is_call(row) {
        return Some(match (row.verb.as_str(), row.decision) {
            ("trip", _) => (Status::Cap, format!("{reason}: the next call was not made")),
            (_, EntryState::Halted) => {
                (Status::Halt, format!("{reason}: no model call, no tool call; waits for a person"))
            }
            (_, EntryState::Applied) if because.is_empty() => return None,
            (_, EntryState::Applied) => (Status::Ok, because.to_owned()),
            (_, _) => (Status::Fail, format!("{reason} {because}")),
        });
    }
    Some(match row.decision {
        EntryState::WouldHave => (Status::Dry, format!("would have: {what}")),
        EntryState::Applied if is_write(row) => (Status::Did, what.to_owned()),
        EntryState::Applied => (Status::Ok, what.to_owned()),
        EntryState::Drafted => (Status::Draft, what.to_owned()),
        EntryState::Refused => (Status::No, format!("{what}: {reason}")),
        EntryState::Halted => (Status::Halt, format!("{what}: {reason}")),
        EntryState::Failed => (Status::Fail, format!("{what}: {reason}")),
        EntryState::Unknown | EntryState::Opened => (Status::Fail, format!("{what}: outcome unknown")),
    })
}
