//! `holdfast status`: the halt page's words, spend, and what waits for a person. Must never change anything.
use crate::error::{CliError, causes};
use crate::install::Install;
use crate::look::look;
use crate::report::{Line, Report, Status, Three};
use ledger::{Opened, Run};
use serde_json::{Value, json};
use sight::{Sight, moment};
use web::panel::{Panel, State};
use web::{Lang, Zone, plain_text};

/// What the tables say of what waits. `None`: no answer.
pub(crate) struct Waiting {
    /// Runs that met a halt before they began.
    pub(crate) held: Option<Vec<Run>>,
    /// Writes that only a person can settle.
    pub(crate) to_check: Option<Vec<Opened>>,
    /// Audit rows that are not in the log yet (at most 100 are counted).
    pub(crate) outbox: Option<usize>,
}

/// Looks at everything once.
pub(crate) async fn run(install: &Install) -> Result<Report, CliError> {
    let sight = look(install, &[]).await;
    let (held, to_check, outbox) = tokio::join!(
        install.ledger.held(),
        install.ledger.open_intents("needs_human", i64::MAX),
        install.ledger.unacknowledged(100),
    );
    let waiting =
        Waiting { held: held.ok(), to_check: to_check.ok(), outbox: outbox.ok().map(|rows| rows.len()) };
    Ok(report(&sight, &waiting, install.no_switch.as_ref()))
}

/// The words.
pub(crate) fn report(sight: &Sight, waiting: &Waiting, no_switch: Option<&CliError>) -> Report {
    let panel = Panel::of(&sight.seen, Lang::En);
    let said: Vec<String> =
        std::iter::once(&panel.bold).chain(&panel.lines).map(|line| plain_text(&line.0)).collect();
    let checked = plain_text(&panel.checked.0);
    let status = match panel.state {
        State::RunningWrites | State::RunningDry | State::RunningExcept => Status::Ok,
        State::Stopped | State::Unknown | State::NotConfirmed | State::NoContact | State::Sending => {
            Status::Warn
        }
        State::NotStarted
        | State::Halting
        | State::Halted
        | State::HaltedByCap
        | State::HaltedUnknown
        | State::Emptied
        | State::StoppingByHand
        | State::StoppingOneSwitch => Status::Halt,
    };
    let mut lines = vec![Line::item(status, panel.word, said.join(" "))];
    lines.extend(writes(sight));
    lines.push(spend(sight));
    lines.extend(waits(waiting, &sight.seen.zone, sight));
    if let Some(error) = no_switch {
        lines.push(Line::item(Status::Warn, "switch store", format!("{error}: {}", causes(error))));
    }
    lines.push(Line::text(checked.clone()));
    let report = Report::done(lines, in_json(sight, waiting, &panel, &said));
    match (&sight.trouble, &sight.flags) {
        (Some(interlock::InterlockError::Absent), _) => report.but(Three::new(
            "this install is not set up",
            "there is no control item in these tables",
            "holdfast init --name NAME",
        )),
        (Some(error), None) => report.but(Three::new(
            "neither switch answers",
            format!("{error}: {}", causes(error)),
            "treat the agent as running; to stop it: holdfast halt",
        )),
        (Some(_) | None, _) => report,
    }
}

/// Writes in flight and unknown ones, one line each.
fn writes(sight: &Sight) -> Vec<Line> {
    let seen = &sight.seen;
    let live = seen.in_flight.iter().map(|write| {
        let left = write.until.as_second().saturating_sub(seen.now.as_second()).max(0);
        Line::item(
            Status::Warn,
            "in flight",
            format!("{}, finished in {left} seconds at the latest", write.for_a_list(Lang::En)),
        )
    });
    let unknown = seen.unknown.iter().map(|write| {
        Line::item(Status::Warn, "unknown", format!("{}: HubSpot never answered", write.for_a_list(Lang::En)))
    });
    live.chain(unknown).collect()
}

fn spend(sight: &Sight) -> Line {
    match &sight.day {
        None => Line::item(
            Status::Warn,
            "spend today",
            "unknown: the budget does not answer, so no model call is made",
        ),
        Some(None) => Line::item(Status::Ok, "spend today", "nothing: no day was opened yet"),
        Some(Some(day)) => Line::item(
            Status::Ok,
            "spend today",
            format!("{} of {}, {} reserved, {} left", day.spent, day.cap, day.pending, day.left),
        ),
    }
}

fn waits(waiting: &Waiting, zone: &Zone, sight: &Sight) -> Vec<Line> {
    let silent = |about: &str| Line::item(Status::Warn, about, "unknown: the tables do not answer");
    let mut lines = vec![match &waiting.held {
        None => silent("held events"),
        Some(held) if held.is_empty() => Line::item(Status::Ok, "held events", "none waits"),
        Some(held) => Line::item(
            Status::Warn,
            "held events",
            format!("{} met a halt before they began; start or discard them in the console", held.len()),
        ),
    }];
    match &waiting.to_check {
        None => lines.push(silent("to check")),
        Some(opened) if opened.is_empty() => {
            lines.push(Line::item(Status::Ok, "to check", "no write waits for a person"))
        }
        Some(opened) => lines.extend(opened.iter().map(|one| to_check(one, zone, sight))),
    }
    lines.push(match waiting.outbox {
        None => silent("audit rows"),
        Some(0) => Line::item(Status::Ok, "audit rows", "all are in the log"),
        Some(n) => {
            let more = if n >= 100 { " or more" } else { "" };
            Line::item(Status::Ok, "audit rows", format!("{n}{more} on their way to the log"))
        }
    });
    lines
}

/// One write that only a person can settle.
fn to_check(opened: &Opened, zone: &Zone, sight: &Sight) -> Line {
    let intent = &opened.intent;
    let sent = intent.sent_ms.map(|ms| zone.text(moment(ms), sight.seen.now, Lang::En));
    let sent = sent.map_or_else(String::new, |at| format!(", sent {at}"));
    Line::Item {
        status: Status::Warn,
        about: "to check".to_owned(),
        text: format!("{} ({}{sent}): look whether it is there", intent.what, intent.target),
        todo: Some(format!(
            "holdfast checked --intent {} --found there|absent --because TEXT",
            intent.intent_id
        )),
    }
}

fn in_json(sight: &Sight, waiting: &Waiting, panel: &Panel, said: &[String]) -> Value {
    let control = sight.control.as_ref();
    let writes = |list: &[web::panel::Write]| {
        let one = |write: &web::panel::Write| {
            let (deal_id, customer_id) = (&write.deal, &write.customer_id);
            json!({"tool": write.tool, "deal_id": deal_id, "customer_id": customer_id, "until": write.until})
        };
        Value::Array(list.iter().map(one).collect())
    };
    let day = sight.day.as_ref().and_then(Option::as_ref).map(|day| {
        json!({
            "date": day.date, "cap_nanos": day.cap, "spent_nanos": day.spent, "reserved_nanos": day.pending,
            "left_nanos": day.left,
        })
    });
    let to_check = waiting.to_check.as_ref().map(|all| {
        let one = |opened: &Opened| {
            let intent = &opened.intent;
            json!({
                "intent_id": intent.intent_id, "run_id": opened.run_id, "target": intent.target.to_string(),
                "what": intent.what,
            })
        };
        all.iter().map(one).collect::<Vec<_>>()
    });
    json!({
        "state": panel.state.code(), "word": panel.word, "lines": said, "checked_at": sight.seen.now,
        "epoch": control.map(|control| control.epoch.0),
        "seq": sight.flags.as_ref().map(|flags| flags.seq_global.clone()),
        "halted_customers": control.map(|control| control.halted_customers.keys().collect::<Vec<_>>()),
        "modes": control.map(|control| control.modes.clone()),
        "in_flight": control.map(|_| writes(&sight.seen.in_flight)),
        "unknown": control.map(|_| writes(&sight.seen.unknown)),
        "control_answers": control.is_some(), "flags_answer": sight.flags.is_some(),
        "spend_today": day, "held": waiting.held.as_ref().map(Vec::len), "to_check": to_check,
        "outbox": waiting.outbox,
    })
}
