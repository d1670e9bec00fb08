//! Audit entries of a step. Must never leave out who, what, why and under which version.
use crate::step::InHand;
use gate::Plan;
use ledger::{Decision, Entry, Intent};
use types::{Actor, EntryState, Reason, Target};

/// The actor of what the product does by itself.
pub const HOLDFAST_ACTOR: &str = "holdfast";

/// An entry of this run, with everything that is the same for all of its entries.
pub(crate) fn entry(hand: &mut InHand<'_>, verb: &str, target: Target, state: EntryState) -> Entry {
    let actor = Actor::Agent(hand.run.run_id.clone());
    Entry {
        state,
        config_version: Some(hand.config.hot.version.clone()),
        ..Entry::of_run(&mut hand.run, hand.deps.clock.now(), actor, verb, target)
    }
}

/// An entry about the run itself.
pub(crate) fn run_entry(hand: &mut InHand<'_>, state: EntryState, reason: Reason) -> Entry {
    let mut entry = entry(hand, "run", hand.run.target(), state);
    entry.actor = Actor::System(HOLDFAST_ACTOR.to_owned());
    entry.reason = Some(reason);
    entry
}

/// An entry of a tool call: what the intent holds, the plan's people and warnings, the prompt that led to it.
pub(crate) fn call_entry(
    hand: &mut InHand<'_>,
    intent: &Intent,
    plan: Option<&Plan>,
    decision: &Decision,
    state: EntryState,
    reason: Option<Reason>,
) -> Entry {
    let mut entry = entry(hand, &intent.tool, intent.target.clone(), state);
    entry.reason = reason;
    entry.mode = intent.mode;
    entry.tier = intent.tier;
    entry.intent_id = Some(intent.intent_id.clone());
    entry.before = intent.before.clone();
    entry.after = intent.after.clone();
    entry.because = intent.because.clone();
    entry.prompt = Some(decision.prompt.clone());
    entry.model_version = Some(decision.model_version.clone());
    entry.detail = Some(serde_json::json!({
        "what": intent.what,
        "request": intent.request,
        "warnings": plan.map(|plan| plan.warnings.clone()).unwrap_or_default(),
        "event": hand.run.event.line(),
        "customer": hand.run.deal.as_ref().map(|deal| deal.customer_name.clone()),
        "deal": hand.run.deal.as_ref().map(|deal| deal.deal_name.clone()),
    }));
    if let Some(plan) = plan {
        for subject in &plan.subjects {
            if !entry.subjects.contains(subject) {
                entry.subjects.push(subject.clone());
            }
        }
    }
    entry
}
