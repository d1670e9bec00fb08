//! `holdfast resume`: lets new work start, if everything still is as it was shown. Must never resume what it
//! did not show.
use crate::arguments::Resume;
use crate::console::Ask;
use crate::error::{CliError, causes};
use crate::install::Install;
use crate::look::look;
use crate::people;
use crate::report::{Line, Report, Status, Three};
use interlock::{Control, HaltedBy, ModesAfter, People, RearmAsk, Rearmed};
use serde_json::json;
use sight::{Sight, moment, name_of};
use types::{Actor, Epoch, Generation, Mode, Scope};
use web::{Lang, panel::tools_word};

/// What is shown, and must still hold when it is released.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    scope: Scope,
    epoch: Epoch,
    generation: Generation,
    seq: String,
}

/// Shows, asks, releases.
pub(crate) async fn run(
    install: &Install,
    arguments: &Resume,
    actor: Actor,
    ask: &mut dyn Ask,
) -> Result<Report, CliError> {
    let scope = arguments.customer.clone().map_or(Scope::Global, Scope::Customer);
    let customers: Vec<String> = arguments.customer.iter().map(ToString::to_string).collect();
    let mut sight = look(install, &customers).await;
    let control = match (sight.control.take(), sight.trouble.take()) {
        (Some(control), _) => control,
        (None, trouble) => {
            let source = trouble.unwrap_or(interlock::InterlockError::Absent);
            return Err(CliError::Control { operation: "read the control item", source });
        }
    };
    let Some(flags) = &sight.flags else { return Ok(flags_silent(install.no_switch.as_ref())) };
    if scope == Scope::Global
        && let Some(three) = cap_refuses(&sight)
    {
        return Ok(Report::failed(three));
    }
    let people = people::read(install).await.unwrap_or_default();
    let held = install.ledger.held().await.ok().map(|held| held.len());
    let (generation, seq) = match &arguments.customer {
        None => (Generation::default(), flags.seq_global.clone()),
        Some(id) => {
            let seq = flags.customers.first().map(|(_, seq)| seq.clone()).unwrap_or_default();
            (control.generation(id), seq)
        }
    };
    let shown = Shown { scope, epoch: control.epoch, generation, seq };
    for line in what_is_shown(&shown, &control, &sight, &people, held, arguments.as_before) {
        ask.progress(&line);
    }
    if let Err(three) = agreed(arguments.yes, ask) {
        return Ok(Report::failed(three));
    }
    let rearm = RearmAsk {
        scope: shown.scope.clone(),
        epoch_shown: shown.epoch,
        generation_shown: shown.generation,
        seq_shown: shown.seq.clone(),
        actor,
        because: arguments.because.clone(),
        source: "cli".to_owned(),
        modes: if arguments.as_before { ModesAfter::AsBefore } else { ModesAfter::DryRun },
    };
    let rearmed = install.interlock.rearm(&rearm).await;
    let rearmed = rearmed
        .map_err(|source| CliError::Control { operation: "learn whether the resume arrived", source })?;
    let after = install.interlock.control().await.ok();
    Ok(report(&shown.scope, &rearmed, after.as_ref()))
}

/// What the person sees before she agrees, on stderr: the report itself is what happened.
fn what_is_shown(
    shown: &Shown,
    control: &Control,
    sight: &Sight,
    people: &People,
    held: Option<usize>,
    as_before: bool,
) -> Vec<String> {
    let by = |halted: &HaltedBy| {
        let at = sight.seen.zone.text(moment(halted.at_ms), sight.seen.now, Lang::En);
        format!(
            "halted by {} at {at}, {}: {}",
            name_of(&halted.by, Some(people)),
            sight.seen.zone.city(),
            halted.reason
        )
    };
    let halted = match &shown.scope {
        Scope::Global => control.halted_by.as_ref(),
        Scope::Customer(id) => control.halted_customers.get(id),
    };
    let mut lines = vec![
        format!(
            "{}: {}",
            shown.scope,
            halted.map_or_else(|| "not halted in the control item".to_owned(), by)
        ),
        match &shown.scope {
            Scope::Global => format!("epoch {}, press counter {}", shown.epoch, counter(&shown.seq)),
            Scope::Customer(_) => {
                format!("halts of this customer {}, press counter {}", shown.generation, counter(&shown.seq))
            }
        },
    ];
    if let Scope::Customer(_) = &shown.scope {
        if let Some(halted) = &control.halted_by {
            lines.push(format!("everything stays halted: {}", by(halted)));
        }
        return lines;
    }
    if !control.halted_customers.is_empty() {
        lines.push(format!("halted customers that stay halted: {}", control.halted_customers.len()));
    }
    lines.push(match held {
        Some(n) => format!("events that wait, for the console's list: {n}"),
        None => "events that wait: unknown, the tables do not answer".to_owned(),
    });
    lines.push("runs that were stopped stay stopped: they are never picked up half-way".to_owned());
    lines.push(if as_before {
        format!("as before: writes on for {}", live_tools(control))
    } else {
        "in dry-run: it reads, and writes nothing".to_owned()
    });
    lines
}

fn counter(seq: &str) -> &str {
    if seq.is_empty() { "none" } else { seq }
}

fn live_tools(control: &Control) -> String {
    let live: Vec<String> = control
        .modes
        .iter()
        .filter(|(_, mode)| **mode == Mode::Live)
        .map(|(tool, _)| tools_word(tool, Lang::En))
        .collect();
    if live.is_empty() { "no tool".to_owned() } else { live.join(", ") }
}

/// Only the typed word (or `--yes`) goes on.
pub(crate) fn agreed(yes: bool, ask: &mut dyn Ask) -> Result<(), Three> {
    if yes {
        return Ok(());
    }
    match ask.ask("type the word resume") {
        Some(word) if word == "resume" => Ok(()),
        Some(_) => {
            Err(Three::new("nothing was resumed", "the word was not typed", "holdfast resume --because TEXT"))
        }
        None => Err(Three::usage(
            "nothing was resumed",
            "nobody is at a terminal to confirm it",
            "holdfast resume --because TEXT --yes",
        )),
    }
}

/// After the daily budget was used up, only a raised cap or a new day lets the agent start again.
fn cap_refuses(sight: &Sight) -> Option<Three> {
    let city = sight.seen.zone.city();
    match sight.cap_holds() {
        Some(false) => None,
        Some(true) => Some(Three::new(
            "nothing was resumed",
            format!(
                "the daily budget halted the agent, and what is left would halt it again before 00:00 {city}"
            ),
            "raise the cap in the console, or wait for the new day",
        )),
        None => Some(Three::new(
            "nothing was resumed",
            "the daily budget halted the agent, and the budget does not answer",
            "try again: holdfast status",
        )),
    }
}

fn flags_silent(no_switch: Option<&CliError>) -> Report {
    let why = no_switch.map_or_else(
        || "the switch store does not answer from here".to_owned(),
        |error| format!("{error}: {}", causes(error)),
    );
    Report::failed(Three::new(
        "nothing was resumed: the agent stays as it is",
        why,
        "inside AWS, let the halt function do it: holdfast resume --because TEXT --through FUNCTION",
    ))
}

/// How it went.
pub(crate) fn report(scope: &Scope, rearmed: &Rearmed, after: Option<&Control>) -> Report {
    let refused = |why: &str, code: &str, next: &str| {
        let json = json!({"resumed": false, "scope": scope.to_string(), "why": code});
        Report::done(Vec::new(), json).but(Three::new("nothing was resumed", why, next))
    };
    match rearmed {
        Rearmed::Done { epoch } => {
            let modes = match (scope, after) {
                (Scope::Customer(id), _) => format!("customer {id}: new runs may start"),
                (Scope::Global, Some(control)) => format!("writes on for {}", live_tools(control)),
                (Scope::Global, None) => "which tools write is not known: holdfast status".to_owned(),
            };
            let lines = vec![
                Line::item(Status::Did, "resumed", format!("{scope}; new runs belong to epoch {epoch}")),
                Line::item(Status::Ok, "modes", modes),
            ];
            Report::done(lines, json!({"resumed": true, "scope": scope.to_string(), "epoch": epoch}))
        }
        Rearmed::PressedAgain => refused(
            "somebody pressed HALT, or resumed, after this was read",
            "pressed_again",
            "look again before you resume: holdfast status",
        ),
        Rearmed::NotHalted => refused("it is not halted", "not_halted", "holdfast status"),
        Rearmed::FlagsSilent => refused(
            "the switch store did not confirm; the agent stays halted",
            "flags_silent",
            "try again: holdfast resume --because TEXT",
        ),
    }
}
