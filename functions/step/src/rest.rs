//! The calls of a decision that nobody works off any more. Must never leave one without its row, nor give it
//! two.
use crate::act::new_intent;
use crate::step::InHand;
use crate::trail::StepTrail;
use crate::{StepError, rows};
use ledger::{Commit, Intent, IntentState};
use types::{EntryState, Reason};

/// The rows of every call that the run leaves behind, to be stored together with its end; where they are too
/// many for one commit, the first ones are stored at once. A call that may have been sent is left to the
/// sweep, which finds its end.
// INVARIANT (I25): also when the end comes an invocation after the decision, or after some of its calls.
pub(crate) async fn close(
    hand: &mut InHand<'_>,
    state: EntryState,
    reason: Reason,
) -> Result<Commit, StepError> {
    let n = hand.run.n;
    if types::mutant("rest_without_rows") {
        return Ok(Commit::default());
    }
    let Some(decision) = hand.transcript.decisions.get(&n).cloned() else { return Ok(Commit::default()) };
    let mut trail = StepTrail::new(hand, &decision);
    for (index, call) in decision.calls.iter().enumerate() {
        let intent = match trail.hand.transcript.intents.get(&(n, index)).cloned() {
            // Those behind it, dropped ones too, have their one row since then.
            Some(known) if found_no_call_left(&known) => return Ok(trail.gathered()),
            Some(known) if known.state != IntentState::Planned => continue,
            Some(known) => known,
            None => new_intent(trail.hand, index, call, None)?,
        };
        let tell = if state == EntryState::Halted { "Halted." } else { "The run ended before this call." };
        trail.conclude(intent, None, state, Some(reason), tell.to_owned());
        trail.make_room().await?;
    }
    summary(&mut trail, decision.calls_dropped);
    Ok(trail.gathered())
}

/// One row for so many calls.
pub(crate) fn summary(trail: &mut StepTrail<'_, '_>, calls: u64) {
    if calls == 0 {
        return;
    }
    let target = trail.hand.run.target();
    let mut entry = rows::entry(trail.hand, "tool_calls", target, EntryState::Refused);
    entry.reason = Some(Reason::ToolCallsPerRun);
    entry.detail = Some(serde_json::json!({ "calls": calls }));
    entry.prompt = Some(trail.decision.prompt.clone());
    entry.model_version = Some(trail.decision.model_version.clone());
    trail.entries.push(entry);
}

/// Is this the call that found the run's cap used up? Its row and the one row of all behind it were stored
/// together, before the trip: whoever finds it again only trips.
pub(crate) fn found_no_call_left(intent: &Intent) -> bool {
    let cap = Some(Reason::ToolCallsPerRun);
    let of_cap =
        |outcome: &ledger::IntentOutcome| outcome.state == EntryState::Refused && outcome.reason == cap;
    intent.state == IntentState::Closed && intent.outcome.as_ref().is_some_and(of_cap)
}
