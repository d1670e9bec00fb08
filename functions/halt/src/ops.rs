//! Operations for those who may invoke the function: the minute's sweep and the operator's command.
//! Must never be reachable through the function URL.
use crate::{Deps, HaltError, drill, forget, press, receipts, rows};
use interlock::{ControlHalt, ModesAfter, Press, RearmAsk, Rearmed};
use kill_switch::FlagHalt;
use serde::Deserialize;
use serde_json::{Value, json};
use types::{Actor, CustomerId, Epoch, Generation, PersonId, Scope};
use web::{Lang, panel::Panel};

/// A scope as the operator's command writes it: `global` or `customer:1234`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct ScopeText(Scope);

impl TryFrom<String> for ScopeText {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.split_once(':') {
            None if text == "global" => Ok(Self(Scope::Global)),
            Some(("customer", id)) => {
                CustomerId::new(id).map(|id| Self(Scope::Customer(id))).map_err(|_| "no customer id")
            }
            None | Some(_) => Err("neither `global` nor `customer:<id>`"),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", tag = "op", deny_unknown_fields)]
enum Operation {
    Status {
        customer: Option<CustomerId>,
    },
    Halt {
        scope: ScopeText,
        person: Option<PersonId>,
        because: Option<String>,
    },
    Resume {
        scope: ScopeText,
        person: Option<PersonId>,
        because: String,
        epoch: u64,
        #[serde(default)]
        generation: u64,
        seq: String,
        #[serde(default)]
        as_before: bool,
    },
}

/// One direct invocation.
pub(crate) async fn operate(deps: &Deps, event: &Value) -> Result<Value, HaltError> {
    if event.get("sweep").and_then(Value::as_str) == Some("flags") {
        return sweep(deps).await;
    }
    if event.get("drill").and_then(Value::as_str) == Some("customer") {
        return drill::of_the_customer(deps).await;
    }
    if event.get("op").is_none() {
        return Err(HaltError::UnknownEvent);
    }
    let operation = Operation::deserialize(event).map_err(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "an operation could not be read");
        HaltError::UnknownEvent
    })?;
    match operation {
        Operation::Status { customer } => Ok(status(deps, customer.as_ref()).await),
        Operation::Halt { scope, person, because } => {
            let because = because.unwrap_or_else(|| "pressed".to_owned());
            let press = Press { actor: actor(person), source: "cli".to_owned(), because };
            Ok(halt(deps, &scope.0, &press).await)
        }
        Operation::Resume { scope, person, because, epoch, generation, seq, as_before } => {
            if because.trim().chars().count() < 10 {
                return Err(HaltError::BadField { field: "because" });
            }
            let ask = RearmAsk {
                scope: scope.0,
                epoch_shown: Epoch(epoch),
                generation_shown: Generation(generation),
                seq_shown: seq,
                actor: actor(person),
                because,
                source: "cli".to_owned(),
                modes: if as_before { ModesAfter::AsBefore } else { ModesAfter::DryRun },
            };
            resume(deps, &ask).await
        }
    }
}

fn actor(person: Option<PersonId>) -> Actor {
    person.map_or_else(|| Actor::System("cli".to_owned()), Actor::Person)
}

/// Every minute: halts into the flags, the log into the outbox, receipts to their end, the zone into this
/// process.
async fn sweep(deps: &Deps) -> Result<Value, HaltError> {
    let failed = |operation| move |source| HaltError::Switches { operation, source };
    let swept = deps.interlock.sweep_flags().await.map_err(failed("sweep the flags"))?;
    let (entries, folded) = deps.interlock.log().await.map_err(failed("read the log"))?;
    let mut moved: Vec<_> = entries.iter().map(rows::of_log).collect();
    if let (Some(last), true) = (entries.last(), folded > 0) {
        moved.push(rows::of_folded(folded, &last.id, deps.now()));
    }
    // Stored first, dropped after: a sweep that dies in between stores the same rows again under the same
    // ids.
    if !moved.is_empty() {
        deps.ledger.append_outbox(&moved).await.map_err(HaltError::MoveLog)?;
    }
    // Before the log goes: a receipt that got lost is made from it.
    let receipts = receipts::sweep(deps, &entries).await?;
    let dropped = deps.interlock.drop_log(&entries, folded).await.map_err(failed("drop the moved log"))?;
    let forgotten = Box::pin(forget::sweep(deps)).await;
    deps.refresh_zone().await;
    Ok(json!({
        "asserted": swept.asserted, "skipped": swept.skipped, "failed": swept.failed,
        "moved": moved.len(), "dropped": dropped,
        "receipts_made": receipts.made, "receipts_filed": receipts.filed, "receipts_open": receipts.open,
        "forgotten": forgotten,
    }))
}

/// What the halt page would say, and what a resume must show again.
async fn status(deps: &Deps, customer: Option<&CustomerId>) -> Value {
    let seq_of_customer = match customer {
        Some(id) => deps.interlock.switch().read(&[id.to_string()]).await,
        None => None,
    };
    let seq_of_customer = seq_of_customer.and_then(|flags| flags.customers.into_iter().next());
    let sight = deps.look(None).await;
    let panel = Panel::of(&sight.seen, Lang::En);
    let lines: Vec<String> =
        std::iter::once(&panel.bold).chain(&panel.lines).map(|line| web::plain_text(&line.0)).collect();
    let generations: Option<serde_json::Map<String, Value>> = sight.control.as_ref().map(|control| {
        let halted = control.halted_customers.keys();
        halted.map(|id| (id.to_string(), json!(control.generation(id).0))).collect()
    });
    json!({
        "state": panel.state.code(), "word": panel.word, "lines": lines,
        "checked": web::plain_text(&panel.checked.0), "checked_ms": sight.seen.now.as_millisecond(),
        "epoch": sight.control.as_ref().map(|control| control.epoch.0),
        "seq": sight.flags.as_ref().map(|flags| flags.seq_global.clone()),
        "halted_customers": generations,
        "customer_seq": seq_of_customer.map(|(_, seq)| seq),
        "in_flight": sight.seen.in_flight.len(), "unknown": sight.seen.unknown.len(),
        "control_answers": sight.control.is_some(), "flags_answer": sight.flags.is_some(),
    })
}

async fn halt(deps: &Deps, scope: &Scope, press: &Press) -> Value {
    let report = deps.interlock.halt(scope, press).await;
    let latched = match &report.control {
        ControlHalt::Latched(control) => Some(control.writes(scope, deps.now_ms())),
        ControlHalt::Failed(_) => None,
    };
    press::count(latched.is_some(), report.flags);
    let flags = match report.flags {
        FlagHalt::Confirmed { .. } => "confirmed",
        FlagHalt::TooFewAcks { .. } => "too_few_acks",
        FlagHalt::Failed => "failed",
    };
    json!({
        "latched": latched.is_some(), "flags": flags,
        "in_flight": latched.as_ref().map(|(live, _)| live.len()),
        "unknown": latched.as_ref().map(|(_, unknown)| unknown.len()),
    })
}

async fn resume(deps: &Deps, ask: &RearmAsk) -> Result<Value, HaltError> {
    let rearmed = deps.interlock.rearm(ask).await;
    let rearmed = rearmed.map_err(|source| HaltError::Switches { operation: "resume", source })?;
    Ok(match rearmed {
        Rearmed::Done { epoch } => json!({"resumed": true, "epoch": epoch.0}),
        Rearmed::PressedAgain => json!({"resumed": false, "why": "pressed_again"}),
        Rearmed::NotHalted => json!({"resumed": false, "why": "not_halted"}),
        Rearmed::FlagsSilent => json!({"resumed": false, "why": "flags_silent"}),
    })
}
