//! A tripped cap: halts in both stores, then tells people once. Must never wait for Slack before it halts.
use crate::step::{InHand, StepOutput};
use crate::{Deps, StepError, close, rows};
use budget::Amount;
use config::metrics::{self, Metric};
use interlock::Press;
use ledger::{Commit, Notice, Ping, Stored};
use notify::{LastCall, Link, Message, Posted, Spent, Trip, trip_ping};
use serde::{Deserialize, Serialize};
use types::{Actor, Cap, DealId, EntryState, Reason, RunId, Scope, Target, UsdNanos};

/// What the ping says, kept until Slack took it.
#[derive(Debug, Serialize, Deserialize)]
struct TripPing {
    scope: Scope,
    cap: Cap,
    /// Nano-dollars, tokens or calls.
    used: i64,
    limit: i64,
    run_id: RunId,
    last_call: Option<(String, DealId, String, String)>,
}

/// What may lie in the queue.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Queued {
    Trip(TripPing),
    Notice(Notice),
}

/// Halts what the cap covers and closes the run.
// INVARIANT (I17): a trip sets the same flag as a press, once per epoch, with one ping that names limit and
// last call.
pub(crate) async fn trip(
    hand: &mut InHand<'_>,
    cap: Cap,
    left: Amount,
    asked: Amount,
) -> Result<StepOutput, StepError> {
    let reason = reason_of(cap);
    let scope = match (cap, hand.customer()) {
        (Cap::UsdPerDay, _) | (Cap::TokensPerRun | Cap::ToolCallsPerRun, None) => Scope::Global,
        (Cap::TokensPerRun | Cap::ToolCallsPerRun, Some(customer)) => Scope::Customer(customer.clone()),
    };
    let press = Press {
        actor: Actor::System("cap".to_owned()),
        source: "cap".to_owned(),
        because: cap.code().to_owned(),
    };
    if !types::mutant("trip_only_tells") {
        hand.deps.interlock.trip(&scope, &press).await?;
    }
    metrics::count(Metric::Trips, 1);
    if let Some(bound) = hand.run.bound.clone() {
        let once = hand.deps.budget.trip_part(cap, &scope, bound.epoch, bound.generation)?;
        tell(hand, cap, &scope, left, once).await?;
    }
    let mut entry = rows::run_entry(hand, EntryState::Refused, reason);
    entry.verb = "trip".to_owned();
    entry.target = match &scope {
        Scope::Global => Target::new("agent", "global"),
        Scope::Customer(id) => Target::new("customer", id),
    };
    entry.actor = Actor::System("cap".to_owned());
    entry.detail = Some(serde_json::json!({
        "cap": cap.code(), "left": left.to_string(), "asked": asked.to_string(), "scope": scope.to_string(),
    }));
    let commit = Commit { entries: vec![entry], ..Commit::default() };
    match hand.deps.ledger.commit(&mut hand.run, commit).await? {
        Stored::Yes => close::halted(hand, Some(&scope), reason).await,
        Stored::Raced => Err(StepError::Raced),
    }
}

/// Queues the ping in one transaction with the mark that this cap tripped, then sends it: a crash in between
/// still tells people, and a second trip of the same epoch tells them nothing new.
async fn tell(
    hand: &InHand<'_>,
    cap: Cap,
    scope: &Scope,
    left: Amount,
    once: aws_sdk_dynamodb::types::TransactWriteItem,
) -> Result<(), StepError> {
    let (used, limit) = used_of(hand, cap, left);
    // The call that found nothing left was not made.
    let made = |intent: &&ledger::Intent| {
        intent.outcome.as_ref().is_none_or(|outcome| outcome.reason != Some(reason_of(cap)))
    };
    let last = hand.transcript.intents.values().rfind(made);
    let last_call = last.zip(hand.run.deal.as_ref()).map(|(intent, deal)| {
        let at = intent.sent_ms.unwrap_or_else(|| hand.deps.clock.now_ms());
        (intent.tool.clone(), deal.deal_id.clone(), deal.customer_name.clone(), time_of_day(hand, at))
    });
    let ping =
        TripPing { scope: scope.clone(), cap, used, limit, run_id: hand.run.run_id.clone(), last_call };
    let body = serde_json::to_value(&ping).map_err(|error| StepError::Payload { why: error.to_string() })?;
    let epoch = hand.run.bound.as_ref().map(|bound| bound.epoch).unwrap_or_default();
    let ping = Ping { id: format!("{cap}-{scope}-{epoch}-{}", hand.run.run_id), body };
    if hand.deps.ledger.queue_ping(&ping, once).await? { send(hand.deps, &ping).await } else { Ok(()) }
}

/// What was used of the cap, and the cap: nano-dollars, tokens or calls.
fn used_of(hand: &InHand<'_>, cap: Cap, left: Amount) -> (i64, i64) {
    let caps = hand.run.caps;
    let limit = match cap {
        Cap::UsdPerDay => hand.config.hot.caps.usd_per_day.0,
        Cap::TokensPerRun => i64::try_from(caps.tokens_per_run).unwrap_or(i64::MAX),
        Cap::ToolCallsPerRun => i64::from(caps.tool_calls_per_run),
    };
    let left = match left {
        Amount::Usd(usd) => usd.0,
        Amount::Tokens(count) | Amount::Calls(count) => count,
    };
    (limit.saturating_sub(left), limit)
}

fn time_of_day(hand: &InHand<'_>, at_ms: i64) -> String {
    let at = types::Timestamp::from_millisecond(at_ms).unwrap_or_default();
    at.in_tz(&hand.config.hot.zone).map(|zoned| zoned.strftime("%H:%M:%S").to_string()).unwrap_or_default()
}

/// Sends one queued ping; one that Slack did not take stays queued for the sweep.
pub(crate) async fn send(deps: &Deps, ping: &Ping) -> Result<(), StepError> {
    let Some(slack) = &deps.slack else {
        return Ok(deps.ledger.drop_ping(&ping.id).await?);
    };
    let message = match serde_json::from_value(ping.body.clone()) {
        Ok(Queued::Trip(trip)) => trip_message(deps, &trip),
        Ok(Queued::Notice(notice)) => notice_message(deps, &notice),
        Err(_) => return Ok(deps.ledger.drop_ping(&ping.id).await?),
    };
    match slack.post(&message).await {
        Posted::Ok => Ok(deps.ledger.drop_ping(&ping.id).await?),
        Posted::Refused { code, .. } => {
            tracing::error!(%code, "slack will never take this ping; the halt stands all the same");
            Ok(deps.ledger.drop_ping(&ping.id).await?)
        }
        Posted::RateLimited { .. } | Posted::Unavailable { .. } => {
            tracing::warn!("slack did not take a ping; it stays queued");
            Ok(())
        }
    }
}

fn trip_message(deps: &Deps, trip: &TripPing) -> Message {
    let spent = match trip.cap {
        Cap::UsdPerDay => Spent::Usd { used: UsdNanos(trip.used), cap: UsdNanos(trip.limit) },
        Cap::TokensPerRun | Cap::ToolCallsPerRun => Spent::Count {
            used: u64::try_from(trip.used).unwrap_or(0),
            cap: u64::try_from(trip.limit).unwrap_or(0),
        },
    };
    let last_call = trip.last_call.as_ref().map(|(tool, deal_id, customer, at)| LastCall {
        tool,
        deal_id,
        customer_name: Some(customer),
        at,
    });
    trip_ping(
        &Trip { scope: &trip.scope, cap: trip.cap, spent, last_call, run_id: &trip.run_id },
        &links(deps, &trip.run_id),
    )
}

fn notice_message(deps: &Deps, notice: &Notice) -> Message {
    let console = deps.links.console_url.as_ref().map(|url| format!("{url}/audit"));
    let links: Vec<Link> = console.and_then(|url| Link::new("Open the log", &url)).into_iter().collect();
    match notice {
        Notice::Checkpoint { note } => notify::checkpoint(note, &links),
        Notice::LogDamaged { seq, what } => {
            let text = format!(
                "The audit log is damaged at row {seq}: {what}. No checkpoint is signed any more. Keep the \
                 database as it is and run: holdfast verify"
            );
            notify::info(&text, &links)
        }
    }
}

pub(crate) fn links(deps: &Deps, run_id: &RunId) -> Vec<Link> {
    let run = deps.links.console_url.as_ref().map(|url| format!("{url}/runs/{run_id}"));
    [
        deps.links.halt_url.as_deref().and_then(|url| Link::new("Open halt page", url)),
        run.and_then(|url| Link::new("Open run", &url)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(crate) fn reason_of(cap: Cap) -> Reason {
    match cap {
        Cap::TokensPerRun => Reason::TokensPerRun,
        Cap::ToolCallsPerRun => Reason::ToolCallsPerRun,
        Cap::UsdPerDay => Reason::UsdPerDay,
    }
}
