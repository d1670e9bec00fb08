//! `holdfast halt`: stops the agent and says what is confirmed. Must never say more, nor be refused for a
//! setting that it does not need.
use crate::arguments::Halt;
use crate::console::Ask;
use crate::error::{CliError, causes};
use crate::install::Install;
use crate::page::{self, Taken};
use crate::report::{Line, Report, Status, Three};
use config::Settings;
use interlock::{Control, ControlHalt, HaltReport, Press};
use kill_switch::FlagHalt;
use serde_json::{Value, json};
use sight::write_of;
use types::{Actor, Scope};
use web::Lang;

/// The settings that a halt reads. A slip in any other one must not refuse it.
const OWN_SETTINGS: [&str; 8] = [
    "PUBLIC_HALT_URL",
    "TABLE_PREFIX",
    "REDIS_URL",
    "REDIS_URL_PARAMETER",
    "REDIS_REPLICAS",
    "AWS_REGION",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_SSM",
];

/// Presses on the halt page if a link is at hand, else (or if the page does not confirm it) in both stores.
pub(crate) async fn run(
    arguments: &Halt,
    actor: Actor,
    lookup: &dyn Fn(&str) -> Option<String>,
    ask: &mut dyn Ask,
) -> Result<Report, CliError> {
    let scope = arguments.customer.clone().map_or(Scope::Global, Scope::Customer);
    let own = |name: &str| {
        let is_own = OWN_SETTINGS.contains(&name) || name.starts_with("AWS_ACCESS");
        is_own.then(|| lookup(name)).flatten()
    };
    let settings = Settings::from_map(own);
    if let Some(link) = lookup("HOLDFAST_HALT_LINK").filter(|link| !link.trim().is_empty()) {
        let base = settings.as_ref().ok().and_then(|settings| settings.public_halt_url.as_deref());
        match page::press(base, &link, &scope).await {
            Ok(taken) => return Ok(by_page(&scope, &taken, arguments.because.is_some())),
            Err(why) => {
                ask.progress(&format!("the halt page gave no confirmation: {why}; writing to both stores"))
            }
        }
    }
    let install = Install::open(&settings.map_err(CliError::Settings)?).await?;
    if let Some(error) = &install.no_switch {
        ask.progress(&format!("{error} ({}): halting in the control item alone", causes(error)));
    }
    let because = arguments.because.clone().unwrap_or_else(|| "pressed".to_owned());
    let press = Press { actor, source: "cli".to_owned(), because };
    let halted = install.interlock.halt(&scope, &press).await;
    Ok(report(&scope, &halted, install.clock.now_ms()))
}

/// What a press on the page is worth.
fn by_page(scope: &Scope, taken: &Taken, had_reason: bool) -> Report {
    let mut lines = vec![
        Line::item(
            Status::Halt,
            "halt page",
            format!("took the press for {}: at least one switch confirmed it", of(scope)),
        ),
        match &taken.says {
            Some(says) => Line::item(Status::Halt, "it says now", says.clone()),
            None => Line::item(Status::Warn, "it says now", "nothing: it could not be read after the press"),
        },
    ];
    if had_reason {
        lines.push(Line::text("The page keeps no reason with a press: --because was not sent."));
    }
    let json = json!({
        "via": "halt_page", "scope": scope.to_string(), "confirmed": "at_least_one", "page_says": taken.says,
    });
    Report::done(lines, json)
}

/// What both stores confirmed, and no more.
pub(crate) fn report(scope: &Scope, halted: &HaltReport, now_ms: i64) -> Report {
    match &halted.control {
        ControlHalt::Latched(control) => latched(scope, control, halted.flags, now_ms),
        ControlHalt::Failed(error) => flags_only(scope, halted.flags, &format!("{error}: {}", causes(error))),
    }
}

/// The control item has it: what is in flight is known, from the same answer.
// INVARIANT (I1): "nothing in flight" is said only when one answer of the control item has neither live nor
// unknown writes.
fn latched(scope: &Scope, control: &Control, flags: FlagHalt, now_ms: i64) -> Report {
    let whole = match scope {
        Scope::Global => true,
        Scope::Customer(id) => !control.halted_customers.contains_key(id),
    };
    let in_force = if whole { &Scope::Global } else { scope };
    let (live, unknown) = control.writes(in_force, now_ms);
    let (word, text) = match (live.len(), unknown.len()) {
        (0, 0) => ("HALTED", "nothing in flight".to_owned()),
        (0, n) => ("HALTED", format!("nothing is being sent; results still unknown: {n}")),
        (n, 0) => ("HALTING", format!("writes already under way: {n}")),
        (n, m) => ("HALTING", format!("writes already under way: {n}; results still unknown: {m}")),
    };
    let mut lines = vec![Line::item(Status::Halt, word, format!("{}: {text}", of(in_force)))];
    if whole && matches!(scope, Scope::Customer(_)) {
        lines.push(Line::text("Too many customers are halted one by one, so everything was halted instead."));
    }
    for held in &live {
        let left_s = held.deadline_ms.saturating_sub(now_ms).saturating_add(999).div_euclid(1_000);
        let write = write_of(held).for_a_list(Lang::En);
        let text =
            format!("{write}, customer {}, finished in {left_s} seconds at the latest", held.customer_id);
        lines.push(Line::item(Status::Warn, "in flight", text));
    }
    for held in &unknown {
        let write = write_of(held).for_a_list(Lang::En);
        let text = format!("{write}, customer {}: HubSpot never answered", held.customer_id);
        lines.push(Line::item(Status::Warn, "unknown", text));
    }
    let (confirmed, text) = match flags {
        FlagHalt::Confirmed { .. } => ("both", "both confirmed".to_owned()),
        FlagHalt::TooFewAcks { acks } => (
            "control_item",
            format!("control item confirmed; the switch store has it, replicas that said so: {acks}"),
        ),
        FlagHalt::Failed => (
            "control_item",
            "control item confirmed; the switch store did not: a sweep tries it each minute".to_owned(),
        ),
    };
    let status = if confirmed == "both" { Status::Ok } else { Status::Warn };
    lines.push(Line::item(status, "switches", text));
    let writes = |held: &[&interlock::HeldPermit]| -> Value {
        let one = |held: &&interlock::HeldPermit| {
            json!({
                "tool": held.tool, "target": held.target, "customer_id": held.customer_id,
                "run_id": held.run_id, "intent_id": held.intent_id, "deadline_ms": held.deadline_ms,
            })
        };
        held.iter().map(one).collect()
    };
    let json = json!({
        "via": "stores", "scope": in_force.to_string(), "confirmed": confirmed, "latched": true,
        "epoch": control.epoch, "in_flight": writes(&live), "unknown": writes(&unknown),
    });
    Report::done(lines, json)
}

/// The control item is silent: nothing is known of writes in flight.
fn flags_only(scope: &Scope, flags: FlagHalt, why: &str) -> Report {
    let json = |confirmed: &str| {
        json!({"via": "stores", "scope": scope.to_string(), "confirmed": confirmed, "latched": false,
               "in_flight": null, "unknown": null})
    };
    let known = "writes in flight: unknown, finished in 65 seconds at the latest";
    match flags {
        FlagHalt::Confirmed { .. } => Report::done(
            vec![
                Line::item(
                    Status::Halt,
                    "STOPPING",
                    format!(
                        "one switch confirmed for {}: the agent stops when it next checks it; {known}",
                        of(scope)
                    ),
                ),
                Line::Item {
                    status: Status::Warn,
                    about: "control item".to_owned(),
                    text: format!("not confirmed: {why}"),
                    todo: Some("run it again until both confirm: holdfast halt".to_owned()),
                },
            ],
            json("switch_store"),
        ),
        FlagHalt::TooFewAcks { acks } => Report::done(by_hand(), json("neither")).but(Three::new(
            format!("sent, not confirmed: {} may still run", agent(scope)),
            format!("the switch store has it, but replicas that said so: {acks}; control item: {why}"),
            "run it again: holdfast halt",
        )),
        FlagHalt::Failed => Report::done(by_hand(), json("neither")).but(Three::new(
            format!("NOT confirmed: {} may still run", agent(scope)),
            format!("neither switch answered; control item: {why}"),
            "run it again: holdfast halt",
        )),
    }
}

/// What stops the agent when neither store can be reached.
fn by_hand() -> Vec<Line> {
    vec![
        Line::text("To stop it without either switch:"),
        Line::text("- in HubSpot, revoke the app's access token: nothing can be written without it"),
        Line::text("- in the AWS console, set the reserved concurrency of the function `step` to 0"),
    ]
}

fn of(scope: &Scope) -> String {
    match scope {
        Scope::Global => "every customer".to_owned(),
        Scope::Customer(id) => format!("customer {id}"),
    }
}

fn agent(scope: &Scope) -> String {
    match scope {
        Scope::Global => "the agent".to_owned(),
        Scope::Customer(id) => format!("the agent, for customer {id},"),
    }
}
