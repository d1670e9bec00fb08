//! The effects sweep, every minute: nothing that was begun stays without an end. Must never send a write
//! again.
use crate::trail::READ_BACK_MS;
use crate::{Deps, HOLDFAST_ACTOR, Invocation, StepError, trip, waiting};
use gate::{Context, Kind, Plan, ReadBack};
use ledger::{Commit, Entry, Intent, IntentOutcome, IntentState, Opened, Run, Stored};
use serde::Serialize;
use starter::Start;
use std::sync::Arc;
use types::{Actor, EntryState, Reason};

/// A start that was lost is noticed after this long (ms).
const UNSTARTED_MS: i64 = 60_000;
/// A planned call of a run that ended is closed after this long (ms).
const ABANDONED_MS: i64 = 120_000;

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct EffectSweep {
    /// Permits moved to unknown.
    pub permits_overdue: u32,
    /// Tool calls that were read back.
    pub read_back: u32,
    /// Of those, how many have an end now.
    pub resolved: u32,
    /// Reservations posted in full.
    pub reservations: u32,
    /// Runs started again by the same name.
    pub started: u32,
    /// Runs started that had waited, as a person wished.
    pub waiting_started: u32,
    /// Pings sent again.
    pub pings: u32,
}

pub(crate) async fn sweep(deps: &Deps, _invocation: &Invocation) -> Result<EffectSweep, StepError> {
    let now_ms = deps.clock.now_ms();
    let mut swept = EffectSweep::default();
    let overdue = deps.interlock.sweep_permits().await?;
    swept.permits_overdue = u32::try_from(overdue.len()).unwrap_or(u32::MAX);
    for opened in deps.ledger.open_intents("open_intent", now_ms.saturating_add(1)).await? {
        match settle(deps, opened).await {
            Ok(resolved) => {
                swept.read_back = swept.read_back.saturating_add(1);
                swept.resolved = swept.resolved.saturating_add(u32::from(resolved));
            }
            // One call that cannot be settled must not keep the others waiting.
            Err(error) => tracing::warn!(%error, "a tool call could not be settled; looked at again"),
        }
    }
    forget_ended(deps).await?;
    if !types::mutant("reservations_stay") {
        swept.reservations = deps.budget.sweep_orphans(now_ms).await?;
    }
    // A day that opened with an older cap follows the ops lead's; only a fresh reading may move money.
    let config = deps.hot.get().await;
    if config.freshness == config::Freshness::Fresh {
        deps.budget.change_cap(config.hot.caps.usd_per_day, &config.hot.zone).await?;
    }
    for (key, run_id) in deps.ledger.unstarted(now_ms.saturating_sub(UNSTARTED_MS)).await? {
        deps.starter.start(&Start { name: run_id.to_string(), run_id, n: 0 }).await?;
        deps.ledger.mark_started(&key).await?;
        swept.started = swept.started.saturating_add(1);
    }
    swept.waiting_started = Box::pin(waiting::start(deps)).await?;
    for ping in deps.ledger.pings().await? {
        trip::send(deps, &ping).await?;
        swept.pings = swept.pings.saturating_add(1);
    }
    Ok(swept)
}

/// A permit whose return was lost turns unknown at its deadline. Where its call has its end nothing is
/// unknown about it, and the halt page must not say so for ever.
async fn forget_ended(deps: &Deps) -> Result<(), StepError> {
    let unknown = deps.interlock.control().await?.unknown;
    for held in unknown.values() {
        let transcript = deps.ledger.transcript(&held.run_id).await?;
        let mut calls = transcript.intents.values();
        if calls.any(|call| call.intent_id == held.intent_id && call.state == IntentState::Closed) {
            deps.interlock.resolve(&held.intent_id).await?;
        }
    }
    Ok(())
}

/// Gives one open tool call its end, if it can be known. True when it has one now.
async fn settle(deps: &Deps, opened: Opened) -> Result<bool, StepError> {
    let now_ms = deps.clock.now_ms();
    let mut run = deps.ledger.run(&opened.run_id).await?;
    // The queue is an index, which may be late, and another sweep may be at work. What counts is the call as
    // it stands after the run was read: whoever changes it moves the run on, and the commit below is refused.
    let calls = deps.ledger.transcript(&opened.run_id).await?.intents;
    let Some(intent) = calls.into_values().find(|call| call.intent_id == opened.intent.intent_id) else {
        return Ok(false);
    };
    match intent.state {
        IntentState::Planned => {
            // A run that goes on works it off by itself.
            let since = run.ended_ms.unwrap_or(now_ms);
            if run.status.is_open() || now_ms.saturating_sub(since) < ABANDONED_MS {
                return Ok(false);
            }
            close(deps, &mut run, intent, EntryState::Halted, Reason::NotApplied).await
        }
        IntentState::Open | IntentState::Unknown => read_back(deps, &mut run, intent).await,
        IntentState::NeedsHuman | IntentState::Closed => Ok(false),
    }
}

/// Reads back a write that was never answered, on its schedule.
// INVARIANT (I21): a write is never sent a second time; past the horizon a person looks.
async fn read_back(deps: &Deps, run: &mut Run, mut intent: Intent) -> Result<bool, StepError> {
    let now_ms = deps.clock.now_ms();
    if intent.read_back_ms.is_some_and(|due| due > now_ms) {
        return Ok(false);
    }
    let found = match deps.tools.get(&intent.tool).map(|tool| &tool.kind) {
        Some(Kind::Act(_, act)) => {
            let (context, plan) = of_row(deps, run, &intent).await?;
            act.read_back(&context, &plan).await
        }
        Some(Kind::Read(_) | Kind::Draft(_) | Kind::Ask(_)) | None => ReadBack::Unreadable,
    };
    match found {
        ReadBack::Applied => {
            return close(deps, run, intent, EntryState::Applied, Reason::OutcomeUnknown).await;
        }
        ReadBack::NotApplied if past_horizon(&intent) => {
            return close(deps, run, intent, EntryState::Failed, Reason::NotApplied).await;
        }
        ReadBack::Conflict { .. } => {
            return close(deps, run, intent, EntryState::Failed, Reason::Conflict).await;
        }
        // Not there yet, or unreadable: absence is no proof before the horizon.
        ReadBack::NotApplied | ReadBack::NotYet | ReadBack::Unreadable => {}
    }
    let entry = if past_horizon(&intent) && found != ReadBack::Unreadable {
        intent.state = IntentState::NeedsHuman;
        intent.read_back_ms = None;
        Some(entry_of(deps, run, &intent, EntryState::Unknown, Reason::NeedsHuman))
    } else {
        let was_open = intent.state == IntentState::Open;
        intent.state = IntentState::Unknown;
        if found != ReadBack::Unreadable {
            intent.read_backs = intent.read_backs.saturating_add(1);
        }
        intent.read_back_ms = Some(next_look(&intent, now_ms));
        // The invocation that sent it ended without a word: that is where "unknown" begins.
        was_open.then(|| entry_of(deps, run, &intent, EntryState::Unknown, Reason::OutcomeUnknown))
    };
    store(deps, run, intent, entry).await?;
    Ok(false)
}

fn past_horizon(intent: &Intent) -> bool {
    if types::mutant("immediate_read_back") {
        return true;
    }
    usize::try_from(intent.read_backs).is_ok_and(|done| done.saturating_add(1) >= READ_BACK_MS.len())
}

fn next_look(intent: &Intent, now_ms: i64) -> i64 {
    let done = usize::try_from(intent.read_backs).unwrap_or(usize::MAX);
    let after = READ_BACK_MS.get(done).or(READ_BACK_MS.last()).copied().unwrap_or(900_000);
    intent.sent_ms.unwrap_or(now_ms).saturating_add(after).max(now_ms.saturating_add(1_000))
}

/// Ends a tool call: row and entry together, then its permits are forgotten.
async fn close(
    deps: &Deps,
    run: &mut Run,
    mut intent: Intent,
    state: EntryState,
    reason: Reason,
) -> Result<bool, StepError> {
    let tell = if state == EntryState::Applied {
        "Done; the CRM had not answered, but it is there.".to_owned()
    } else {
        "Not done.".to_owned()
    };
    intent.state = IntentState::Closed;
    intent.read_back_ms = None;
    intent.outcome =
        Some(IntentOutcome { state, reason: Some(reason), tell, is_error: state != EntryState::Applied });
    let entry = entry_of(deps, run, &intent, state, reason);
    let intent_id = intent.intent_id.clone();
    store(deps, run, intent, Some(entry)).await?;
    deps.interlock.resolve(&intent_id).await?;
    Ok(true)
}

async fn store(deps: &Deps, run: &mut Run, intent: Intent, entry: Option<Entry>) -> Result<(), StepError> {
    let commit = Commit { intents: vec![intent], entries: entry.into_iter().collect(), ..Commit::default() };
    match deps.ledger.commit(run, commit).await? {
        Stored::Yes => Ok(()),
        Stored::Raced => Err(StepError::Raced),
    }
}

fn entry_of(deps: &Deps, run: &mut Run, intent: &Intent, state: EntryState, reason: Reason) -> Entry {
    let actor = Actor::System(HOLDFAST_ACTOR.to_owned());
    Entry {
        customer_id: intent.customer_id.clone(),
        state,
        reason: Some(reason),
        mode: intent.mode,
        tier: intent.tier,
        intent_id: Some(intent.intent_id.clone()),
        step: Some(intent.step),
        before: intent.before.clone(),
        after: intent.after.clone(),
        because: intent.because.clone(),
        detail: Some(serde_json::json!({ "what": intent.what, "read_backs": intent.read_backs })),
        ..Entry::of_run(run, deps.clock.now(), actor, &intent.tool, intent.target.clone())
    }
}

/// The plan and context of a stored call, to read back what it wrote.
async fn of_row(deps: &Deps, run: &Run, intent: &Intent) -> Result<(Context, Plan), StepError> {
    let deal = run.deal.as_ref().ok_or(StepError::Inconsistent { what: "the run has no deal" })?;
    let hot = deps.hot.get().await.hot;
    let context = Context {
        run_id: run.run_id.clone(),
        deal_id: deal.deal_id.clone(),
        customer_id: deal.customer_id.clone(),
        customer_name: deal.customer_name.clone(),
        contact_ids: deal.contact_ids.clone(),
        intent_id: intent.intent_id.clone(),
        stages: Arc::new(hot.stages.clone()),
        zone: hot.zone.clone(),
        now: deps.clock.now(),
        own_writes: Vec::new(),
        run_url: None,
    };
    let plan = Plan {
        verb: intent.tool.clone(),
        target: intent.target.clone(),
        before: intent.before.clone(),
        after: intent.after.clone(),
        request: intent.request.clone(),
        because: intent.because.clone(),
        what: intent.what.clone(),
        subjects: Vec::new(),
        warnings: Vec::new(),
    };
    Ok((context, plan))
}
